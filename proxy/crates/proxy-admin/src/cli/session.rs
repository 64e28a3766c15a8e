//! Commands about the session itself.

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use crate::session_state::{Mode, Severity};
use proxy_types::time::{Unit, parse_timer_in};

fn help(call: &mut Call<'_>) -> Answer {
    Ok(Reply::Text((call.help)(call.session.access(), call.args)))
}

fn quit(call: &mut Call<'_>) -> Answer {
    call.session.quit = true;
    Ok(Reply::done())
}

const PROMPT_HELP: &str = "Usage: prompt [help | n | i | p | timed]*
   n      non-interactive: one line, then the connection closes
   i      interactive: line after line, without a prompt
   p      interactive with a prompt
   timed  toggle the uptime in the prompt
Without argument: toggle between prompt and non-interactive mode.
";

fn prompt(call: &mut Call<'_>) -> Answer {
    let session = &mut *call.session;
    if call.args.is_empty() {
        session.mode = if session.mode == Mode::Prompt { Mode::Once } else { Mode::Prompt };
        return Ok(Reply::done());
    }
    for word in call.args {
        match word.as_str() {
            "n" => session.mode = Mode::Once,
            "i" => session.mode = Mode::Interactive,
            "p" => session.mode = Mode::Prompt,
            "timed" => {
                session.timed = !session.timed;
                session.mode = Mode::Prompt;
            }
            _ => return Ok(Reply::Text(PROMPT_HELP.into())),
        }
    }
    Ok(Reply::done())
}

/// Lowers the level; it never rises.
fn lower(call: &mut Call<'_>, to: Level) -> Answer {
    call.session.level = call.session.level.min(to);
    call.session.expert = false;
    call.session.experimental = false;
    Ok(Reply::done())
}

fn user(call: &mut Call<'_>) -> Answer {
    lower(call, Level::User)
}

fn operator(call: &mut Call<'_>) -> Answer {
    lower(call, Level::Operator)
}

/// Nothing is said to a client that may not have them.
fn getsocks(call: &mut Call<'_>) -> Answer {
    call.session.wants_listeners = call.session.exposes_listeners;
    call.session.quit = true;
    Ok(Reply::done())
}

fn echo(call: &mut Call<'_>) -> Answer {
    Ok(Reply::line(call.args.join(" ")))
}

fn switch(name: &str, now: &mut bool, word: &str) -> Answer {
    match word {
        "on" => *now = true,
        "off" => *now = false,
        _ => return Ok(Reply::line(format!("{name} is {}", if *now { "ON" } else { "OFF" }))),
    }
    Ok(Reply::done())
}

fn expert_mode(call: &mut Call<'_>) -> Answer {
    let word = call.arg(0).to_owned();
    switch("expert-mode", &mut call.session.expert, &word)
}

fn experimental_mode(call: &mut Call<'_>) -> Answer {
    let word = call.arg(0).to_owned();
    switch("experimental-mode", &mut call.session.experimental, &word)
}

fn show_level(call: &mut Call<'_>) -> Answer {
    Ok(Reply::line(call.session.level.as_str()))
}

fn show_sockets(call: &mut Call<'_>) -> Answer {
    let mut text = String::from("# socket lvl processes\n");
    for socket in call.admin.process.cli_sockets() {
        text.push_str(&format!("{} {} all\n", socket.address, socket.level));
    }
    Ok(Reply::Text(text))
}

fn set_timeout(call: &mut Call<'_>) -> Answer {
    if call.arg(0) != "cli" {
        return Err(Reply::line("'set timeout' only supports 'cli'."));
    }
    if call.arg(1).is_empty() {
        return Err(Reply::line("Expects an integer value."));
    }
    let timeout = parse_timer_in(call.arg(1), Unit::Second)
        .ok()
        .filter(|t| !t.is_zero())
        .ok_or_else(|| Reply::line("Invalid timeout value."))?;
    call.session.timeout = Some(timeout);
    Ok(Reply::done())
}

fn set_severity(call: &mut Call<'_>) -> Answer {
    call.session.severity = match call.arg(0) {
        "none" => Severity::None,
        "number" => Severity::Number,
        "string" => Severity::String,
        _ => {
            return Err(Reply::line("one of 'none', 'number', 'string' is a required argument"));
        }
    };
    Ok(Reply::done())
}

pub(super) static COMMANDS: &[Command] = &[
    Command::user(&["help"], "[<command>]", "list matching or all commands", help),
    Command::user(
        &["prompt"],
        "[help | n | i | p | timed]*",
        "toggle interactive mode with prompt",
        prompt,
    ),
    Command::user(&["quit"], "", "disconnect", quit),
    Command::user(&["user"], "", "lower the level of the current CLI session to user", user),
    Command::user(
        &["operator"],
        "",
        "lower the level of the current CLI session to operator",
        operator,
    ),
    Command::user(&["_getsocks"], "", "hand the listening sockets to a new process", getsocks),
    Command::user(&["echo"], "<text>", "print text to the output", echo),
    Command::user(
        &["show", "cli", "level"],
        "",
        "display the level of the current CLI session",
        show_level,
    ),
    Command {
        words: &["show", "cli", "sockets"],
        usage: "",
        doc: "dump list of cli sockets",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: show_sockets,
    },
    Command::user(&["set", "timeout"], "[cli] <delay>", "change a timeout setting", set_timeout),
    Command::user(
        &["set", "severity-output"],
        "[none|number|string]",
        "set presence of severity level in feedback information",
        set_severity,
    ),
    Command {
        words: &["expert-mode"],
        usage: "[on|off]",
        doc: "enable or disable commands meant for experts",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: expert_mode,
    },
    Command {
        words: &["experimental-mode"],
        usage: "[on|off]",
        doc: "enable or disable experimental commands",
        level: Level::Admin,
        mode: SessionMode::Any,
        run: experimental_mode,
    },
];
