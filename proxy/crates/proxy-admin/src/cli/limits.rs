//! Limits of the process and of rates.

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use std::sync::atomic::Ordering;

fn number(text: &str) -> Result<u32, Reply> {
    text.parse().map_err(|_| Reply::line("Expects an integer value."))
}

fn set_maxconn_global(call: &mut Call<'_>) -> Answer {
    let process = &call.admin.registry.process;
    // 0 gives the configured limit back.
    let maxconn = match number(call.arg(0))? {
        0 => process.hard_maxconn(),
        n => n,
    };
    if !process.set_maxconn(maxconn) {
        return Err(Reply::line("Value out of range."));
    }
    Ok(Reply::done())
}

const RATES: &str = "'set rate-limit' only supports :
   - 'connections global' to set the per-process maximum connection rate
   - 'sessions global' to set the per-process maximum session rate
   - 'ssl-sessions global' to set the per-process maximum SSL session rate
   - 'http-compression global' to set the per-process maximum compression speed in kB/s
";

fn set_rate_limit(call: &mut Call<'_>) -> Answer {
    let process = &call.admin.registry.process;
    let set: &dyn Fn(u32) = match (call.arg(0), call.arg(1)) {
        ("connections", "global") => &|n| process.set_conn_rate_limit(n),
        ("sessions", "global") => &|n| process.set_sess_rate_limit(n),
        ("ssl-sessions", "global") => &|n| process.set_tls_rate_limit(n),
        ("http-compression", "global") => &|n| {
            process.compress_rate_limit.store(u64::from(n) * 1024, Ordering::Relaxed);
        },
        _ => return Err(Reply::Text(RATES.into())),
    };
    set(number(call.arg(2))?);
    Ok(Reply::done())
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["set", "maxconn", "global"],
        usage: "<value>",
        doc: "change the per-process maxconn setting",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: set_maxconn_global,
    },
    Command {
        words: &["set", "rate-limit"],
        usage: "<setting> <value>",
        doc: "change a rate limiting value",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: set_rate_limit,
    },
];
