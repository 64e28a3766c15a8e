//! `debug`: for those who look for faults of the program (management manual, 9.3). What acts upon structures of C says so.

use super::inside::show_fd;
use crate::command::{Answer, Call, Command, Reply};
use std::iter;
use std::time::{Duration, Instant};

/// `debug dev log` writes at this severity.
const INFO: u8 = 6;
/// Bytes of one piece of `debug dev write`.
const PIECE: usize = 16 * 1024;

/// The first argument as a number, 0 without one.
fn number<T: std::str::FromStr + Default>(call: &Call<'_>) -> Result<T, Reply> {
    match call.arg(0) {
        "" => Ok(T::default()),
        text => text.parse().map_err(|_| Reply::line(format!("'{text}' is not a number here."))),
    }
}

/// `debug dev log <message>`: a line in the log of the process.
fn log(call: &mut Call<'_>) -> Answer {
    if let Some(log) = &call.admin.log {
        log.line(INFO, call.args.join(" ").as_bytes());
    }
    Ok(Reply::done())
}

/// Keeps the control thread asleep: what it does for others waits.
fn delay(call: &mut Call<'_>) -> Answer {
    std::thread::sleep(Duration::from_millis(number(call)?));
    Ok(Reply::done())
}

/// Keeps the control thread busy.
fn run_on(call: &mut Call<'_>) -> Answer {
    let (begin, time) = (Instant::now(), Duration::from_millis(number(call)?));
    while begin.elapsed() < time {
        std::hint::spin_loop();
    }
    Ok(Reply::done())
}

fn exit(call: &mut Call<'_>) -> Answer {
    let code = number(call)?;
    tracing::error!(code, "'debug dev exit'");
    std::process::exit(code)
}

fn abort(_: &mut Call<'_>) -> Answer {
    tracing::error!("the process ends at once: a 'debug dev' command asked for it");
    std::process::abort()
}

fn warn(_: &mut Call<'_>) -> Answer {
    tracing::warn!("a 'debug dev' command asked for this line");
    Ok(Reply::done())
}

fn hash(call: &mut Call<'_>) -> Answer {
    Ok(Reply::line(call.session.anon.name(&call.args.join(" "))))
}

/// So many dots.
fn write(call: &mut Call<'_>) -> Answer {
    let mut left: usize = number::<u32>(call)? as usize;
    let pieces = iter::from_fn(move || {
        let size = left.min(PIECE);
        left -= size;
        let end = if left == 0 { "\n" } else { "" };
        (size > 0).then(|| ".".repeat(size) + end)
    });
    Ok(Reply::Pieces(Box::new(pieces)))
}

/// What memory holds, and who uses a descriptor, is not for commands to reach into.
fn refuse(_: &mut Call<'_>) -> Answer {
    Err(Reply::line(
        "This acts upon structures of HAProxy's C code, which are not here: use a debugger.",
    ))
}

/// `debug counters`: HAProxy's are made by macros that its code is strewn with.
fn counters(call: &mut Call<'_>) -> Answer {
    let known = ["reset", "show", "on", "off", "all", "bug", "chk", "cnt", "glt", "?"];
    let asks = call.arg(0) == "?" || call.args.iter().any(|word| !known.contains(&word.as_str()));
    match asks {
        true => Err(Reply::line(format!("Usage: debug counters [{}]*", known.join("|")))),
        false => Ok(Reply::line(
            "No places in the code are counted. See 'show activity' and 'show stat'.",
        )),
    }
}

pub(super) static COMMANDS: &[Command] = &[
    Command::admin(
        &["debug", "counters"],
        "[?|all|bug|cnt|chk|glt]* [on|off|reset|show]*",
        "not carried: says what counts instead",
        counters,
    ),
    Command::expert(&["debug", "dev", "abort"], "", "end the process by a signal now", abort),
    Command::expert(&["debug", "dev", "bug"], "", "end the process by a signal now", abort),
    Command::expert(&["debug", "dev", "check"], "", "write a warning", warn),
    Command::expert(&["debug", "dev", "close"], "<fd>", "not carried: says why", refuse),
    Command::expert(&["debug", "dev", "deadlock"], "[tasks]", "not carried: says why", refuse),
    Command::expert(&["debug", "dev", "delay"], "[ms]", "put the control thread to sleep", delay),
    Command::expert(&["debug", "dev", "exit"], "[code]", "end the process with this code", exit),
    Command::expert(&["debug", "dev", "fd"], "", "show every descriptor", show_fd),
    Command::admin(
        &["debug", "dev", "hash"],
        "[msg]",
        "show what a name becomes in anonymized mode",
        hash,
    ),
    Command::expert(&["debug", "dev", "hex"], "<addr> [len]", "not carried: says why", refuse),
    Command::expert(&["debug", "dev", "log"], "[msg] ...", "send this msg to global logs", log),
    Command::expert(&["debug", "dev", "loop"], "[ms]", "keep the control thread busy", run_on),
    Command::expert(&["debug", "dev", "panic"], "", "end the process by a signal now", abort),
    Command::expert(
        &["debug", "dev", "sched"],
        "{task|tasklet} [k=v]*",
        "not carried: says why",
        refuse,
    ),
    Command::expert(&["debug", "dev", "stream"], "[k=v]*", "not carried: says why", refuse),
    Command::expert(&["debug", "dev", "sym"], "<addr>", "not carried: says why", refuse),
    Command::expert(&["debug", "dev", "task"], "<ptr>", "not carried: says why", refuse),
    Command::expert(&["debug", "dev", "tkill"], "[thr] [sig]", "not carried: says why", refuse),
    Command::expert(&["debug", "dev", "warn"], "", "write a warning", warn),
    Command::expert(&["debug", "dev", "write"], "[size]", "answer with that many bytes", write),
];
