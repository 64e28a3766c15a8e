//! Commands about the session itself.

use super::{done, refuse};
use crate::Level;
use crate::command::{Answer, Call, Command, Reply, help};
use crate::session::Prompt;
use std::time::Duration;

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["echo"],
        usage: "<text>",
        doc: "print text to the output",
        level: Level::User,
        run: |c| Ok(Reply::line(c.args.join(" "))),
    },
    Command {
        words: &["expert-mode"],
        usage: "[on|off]",
        doc: "enable or disable expert mode",
        level: Level::Admin,
        run: |c| switch(c, "expert-mode", |c| &mut c.session.expert),
    },
    Command {
        words: &["experimental-mode"],
        usage: "[on|off]",
        doc: "enable or disable experimental mode",
        level: Level::Admin,
        run: |c| switch(c, "experimental-mode", |c| &mut c.session.experimental),
    },
    Command {
        words: &["help"],
        usage: "[<command>]",
        doc: "list matching or all commands",
        level: Level::User,
        run: |c| Ok(Reply::Text(help(c.session.level, c.args))),
    },
    Command {
        words: &["operator"],
        usage: "",
        doc: "lower the level of the current CLI session to operator",
        level: Level::Operator,
        run: |c| lower(c, Level::Operator),
    },
    Command {
        words: &["prompt"],
        usage: "[help | n | i | p | timed]*",
        doc: "toggle interactive mode with prompt",
        level: Level::User,
        run: prompt,
    },
    Command { words: &["quit"], usage: "", doc: "disconnect", level: Level::User, run: quit },
    Command {
        words: &["set", "timeout"],
        usage: "cli <delay>",
        doc: "change a timeout setting",
        level: Level::User,
        run: timeout,
    },
    Command {
        words: &["show", "cli", "level"],
        usage: "",
        doc: "display the level of the current CLI session",
        level: Level::User,
        run: |c| Ok(Reply::line(c.session.level.as_str())),
    },
    Command {
        words: &["show", "cli", "sockets"],
        usage: "",
        doc: "dump list of cli sockets",
        level: Level::Operator,
        run: sockets,
    },
    Command {
        words: &["user"],
        usage: "",
        doc: "lower the level of the current CLI session to user",
        level: Level::User,
        run: |c| lower(c, Level::User),
    },
];

fn lower(call: &mut Call<'_>, level: Level) -> Answer {
    call.session.level = call.session.level.min(level);
    done()
}

fn switch(
    call: &mut Call<'_>,
    name: &str,
    mode: for<'a> fn(&'a mut Call<'_>) -> &'a mut bool,
) -> Answer {
    match call.arg(0) {
        "on" => *mode(call) = true,
        "off" => *mode(call) = false,
        "" => {
            let state = if *mode(call) { "ON" } else { "OFF" };
            return Ok(Reply::line(format!("{name} is {state}")));
        }
        other => return refuse(format!("'{name}' expects 'on' or 'off', not '{other}'.")),
    }
    done()
}

/// Without argument the prompt is toggled; the words choose none (`n`), interactive without one (`i`), or
/// one (`p`), and toggle the uptime in it (`timed`).
fn prompt(call: &mut Call<'_>) -> Answer {
    if call.args.is_empty() {
        call.session.prompt = match call.session.prompt {
            Prompt::Shown => Prompt::None,
            Prompt::None | Prompt::Interactive => Prompt::Shown,
        };
        return done();
    }
    for word in call.args {
        match word.as_str() {
            "n" => call.session.prompt = Prompt::None,
            "i" => call.session.prompt = Prompt::Interactive,
            "p" => call.session.prompt = Prompt::Shown,
            "timed" => call.session.timed = !call.session.timed,
            _ => {
                return refuse(
                    "Usage: prompt [n|i|p|timed]*: n = one line and no prompt, i = interactive, \
                     p = interactive with a prompt, timed = toggle the uptime in the prompt.",
                );
            }
        }
    }
    done()
}

fn quit(call: &mut Call<'_>) -> Answer {
    call.session.closing = true;
    done()
}

fn timeout(call: &mut Call<'_>) -> Answer {
    if call.arg(0) != "cli" {
        return refuse("'set timeout' only supports 'cli'.");
    }
    let Ok(secs) = call.arg(1).trim_end_matches('s').parse::<u64>() else {
        return refuse("Missing timeout value: a number of seconds is expected.");
    };
    if secs == 0 || secs > 86_400 {
        return refuse("Invalid timeout value: 1 to 86400 seconds are expected.");
    }
    call.session.timeout = Some(Duration::from_secs(secs));
    done()
}

fn sockets(call: &mut Call<'_>) -> Answer {
    let mut text = String::from("# socket lvl processes\n");
    for socket in call.admin.process.cli_sockets() {
        text.push_str(&format!("{} {} all\n", socket.address, socket.level));
    }
    Ok(Reply::Text(text))
}
