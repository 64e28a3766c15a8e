//! The master's own CLI commands, one row each (management manual, 9.4.1).

use std::fmt::Write;

use proxy_admin::cli::inside::OF_ANY_PROCESS;

use super::cli::Session;
use super::{Effect, Master};

/// Who may run a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    User,
    Operator,
    #[default]
    Admin,
}

impl Level {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "user" => Some(Self::User),
            "operator" => Some(Self::Operator),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// One row per command.
pub(crate) struct Command {
    words: &'static [&'static str],
    level: Level,
    usage: &'static str,
    doc: &'static str,
    run: fn(&mut Master, &mut Session, &[&str]) -> Effect,
}

/// The words that call each command.
pub(crate) fn names() -> impl Iterator<Item = String> {
    COMMANDS.iter().map(|command| command.words.join(" "))
}

static COMMANDS: &[Command] = &[
    Command {
        words: &["echo"],
        level: Level::User,
        usage: "echo <text>",
        doc: "print text to the output",
        run: echo,
    },
    Command {
        words: &["experimental-mode"],
        level: Level::Admin,
        usage: "experimental-mode [on|off]",
        doc: "enable experimental mode in workers' sessions",
        run: |_, s, a| toggle("experimental-mode", &mut s.experimental, a),
    },
    Command {
        words: &["expert-mode"],
        level: Level::Admin,
        usage: "expert-mode [on|off]",
        doc: "enable expert mode in workers' sessions",
        run: |_, s, a| toggle("expert-mode", &mut s.expert, a),
    },
    Command {
        words: &["hard-reload"],
        level: Level::Operator,
        usage: "hard-reload",
        doc: "reload, cutting the connections of the old worker",
        run: |m, s, _| m.reload_from_cli(s, true),
    },
    Command {
        words: &["help"],
        level: Level::User,
        usage: "help [<command>]",
        doc: "list matching or all commands",
        run: |_, s, a| Effect::Answer(help(s.level, s.debug, a)),
    },
    Command {
        words: &["mcli-debug-mode"],
        level: Level::Admin,
        usage: "mcli-debug-mode [on|off]",
        doc: "let the master answer commands about its own process",
        run: |_, s, a| toggle("mcli-debug-mode", &mut s.debug, a),
    },
    Command {
        words: &["operator"],
        level: Level::Operator,
        usage: "operator",
        doc: "lower the level of the current CLI session to operator",
        run: |_, s, _| lower(s, Level::Operator),
    },
    Command {
        words: &["prompt"],
        level: Level::User,
        usage: "prompt [help | n | i | p | timed]*",
        doc: "toggle interactive mode with prompt",
        run: prompt,
    },
    Command {
        words: &["quit"],
        level: Level::User,
        usage: "quit",
        doc: "disconnect",
        run: |_, _, _| Effect::Close,
    },
    Command {
        words: &["reload"],
        level: Level::Operator,
        usage: "reload",
        doc: "reload the configuration",
        run: |m, s, _| m.reload_from_cli(s, false),
    },
    Command {
        words: &["show", "cli", "level"],
        level: Level::User,
        usage: "show cli level",
        doc: "display the level of the current CLI session",
        run: |_, s, _| Effect::Answer(format!("{}\n", s.level.as_str())),
    },
    Command {
        words: &["show", "cli", "sockets"],
        level: Level::User,
        usage: "show cli sockets",
        doc: "dump list of cli sockets",
        run: |m, _, _| Effect::Answer(m.cli.describe_sockets()),
    },
    Command {
        words: &["show", "env"],
        level: Level::Operator,
        usage: "show env [var]",
        doc: "dump the environment",
        run: show_env,
    },
    Command {
        words: &["show", "proc"],
        level: Level::User,
        usage: "show proc [debug]",
        doc: "show the processes and their status",
        run: |m, _, a| Effect::Answer(m.show_proc(a.first() == Some(&"debug"))),
    },
    Command {
        words: &["show", "startup-logs"],
        level: Level::User,
        usage: "show startup-logs",
        doc: "report the messages of the latest start or reload",
        run: |_, _, _| {
            Effect::Answer(String::from_utf8_lossy(&crate::messages::startup_log()).into_owned())
        },
    },
    Command {
        words: &["show", "version"],
        level: Level::User,
        usage: "show version",
        doc: "show version of the current process",
        run: |_, _, _| Effect::Answer(format!("{}\n", crate::version::VERSION)),
    },
    Command {
        words: &["user"],
        level: Level::User,
        usage: "user",
        doc: "lower the level of the current CLI session to user",
        run: |_, s, _| lower(s, Level::User),
    },
];

/// Runs one command of the master; `words` is what the user typed, without any `@` prefix.
pub(crate) fn run(master: &mut Master, session: &mut Session, words: &[&str]) -> Effect {
    if words.is_empty() {
        return Effect::Answer(String::new());
    }
    let found = COMMANDS.iter().find(|command| matches(command, words));
    match found {
        None if session.debug => {
            Effect::Answer(of_process(words).unwrap_or_else(|| unknown(session.level, words)))
        }
        None => Effect::Answer(unknown(session.level, words)),
        Some(command) if command.level > session.level => {
            Effect::Answer("Permission denied\n".into())
        }
        Some(command) => (command.run)(master, session, &words[command.words.len()..]),
    }
}

/// The answer to a command about the process, whichever it is (`mcli-debug-mode`).
fn of_process(words: &[&str]) -> Option<String> {
    let row = OF_ANY_PROCESS.iter().find(|row| words.starts_with(&row.words))?;
    let args: Vec<String> =
        words[row.words.len()..].iter().map(|word| (*word).to_owned()).collect();
    Some((row.run)(&args).unwrap_or_else(|wrong| wrong + "\n"))
}

fn matches(command: &Command, words: &[&str]) -> bool {
    words.len() >= command.words.len() && command.words.iter().zip(words).all(|(a, b)| a == b)
}

/// The `@` prefixes are parsed before any row is looked up, and listed with the rows.
const PREFIXES: [(&str, &str); 4] = [
    ("@!<pid>", "send a command to the <pid> process"),
    ("@<relative pid>", "send a command to the <relative pid> process"),
    ("@master", "send a command to the master process"),
    ("@@<[!]pid> [<command>]", "enter a bidirectional session of that process"),
];

fn help(level: Level, debug: bool, words: &[&str]) -> String {
    let mut out = String::from("The following commands are valid at this level:\n");
    let asked =
        |usage: &str| words.iter().zip(usage.split_whitespace()).all(|(w, u)| u.starts_with(w));
    list(&mut out, |usage, needed| needed <= level && asked(usage));
    for row in OF_ANY_PROCESS.iter().filter(|_| debug) {
        let usage = format!("{} {}", row.words.join(" "), row.usage);
        if asked(&usage) {
            let _ = writeln!(out, "  {usage:<39} : {}", row.doc);
        }
    }
    out
}

fn unknown(level: Level, words: &[&str]) -> String {
    let mut out =
        String::from("Unknown command, but maybe one of the following ones is a better match:\n");
    let close: Vec<_> = COMMANDS
        .iter()
        .filter(|c| c.level <= level)
        .filter(|c| {
            let typed = words[0];
            c.words[0].starts_with(typed)
                || typed.starts_with(c.words[0])
                || proxy_types::text::nearest(typed, [c.words[0]]).is_some()
        })
        .map(|c| c.usage)
        .collect();
    if close.is_empty() {
        out = String::from("Unknown command. Please enter one of the following commands only:\n");
    }
    list(&mut out, |usage, needed| {
        needed <= level
            && (close.is_empty()
                || close.contains(&usage)
                || ["help", "prompt", "quit"].iter().any(|w| usage.starts_with(w)))
    });
    out
}

fn list(out: &mut String, wanted: impl Fn(&str, Level) -> bool) {
    for (usage, doc) in PREFIXES {
        if wanted(usage, Level::User) {
            let _ = writeln!(out, "  {usage:<39} : {doc}");
        }
    }
    for command in COMMANDS {
        if wanted(command.usage, command.level) {
            let _ = writeln!(out, "  {:<39} : {}", command.usage, command.doc);
        }
    }
}

fn echo(_: &mut Master, _: &mut Session, words: &[&str]) -> Effect {
    Effect::Answer(format!("{}\n", words.join(" ")))
}

fn lower(session: &mut Session, level: Level) -> Effect {
    session.level = session.level.min(level);
    Effect::Silent
}

fn toggle(name: &str, mode: &mut bool, words: &[&str]) -> Effect {
    match words.first() {
        Some(&"on") => *mode = true,
        Some(&"off") => *mode = false,
        _ => return Effect::Answer(format!("{name} is {}\n", if *mode { "ON" } else { "OFF" })),
    }
    Effect::Answer(String::new())
}

/// `prompt` alone toggles the prompt; `n` turns it off, `i` keeps the session without a prompt, `p`
/// shows one.
fn prompt(_: &mut Master, session: &mut Session, words: &[&str]) -> Effect {
    match words {
        [] => session.prompt = !session.prompt,
        ["n" | "i"] => session.prompt = false,
        ["p"] => session.prompt = true,
        ["timed"] | ["p", "timed"] | ["timed", "p"] => {
            session.prompt = true;
            session.timed = !session.timed;
        }
        _ => {
            return Effect::Answer(
                "prompt [n|i|p|timed]: toggle the prompt, or none, interactive, prompt, uptime in it\n"
                    .into(),
            );
        }
    }
    Effect::Silent
}

fn show_env(_: &mut Master, _: &mut Session, words: &[&str]) -> Effect {
    let mut out = String::new();
    for (name, value) in std::env::vars_os() {
        let (name, value) = (name.to_string_lossy(), value.to_string_lossy());
        if words.first().is_none_or(|wanted| *wanted == name) {
            let _ = writeln!(out, "{name}={value}");
        }
    }
    if let Some(wanted) = words.first().filter(|_| out.is_empty()) {
        let _ = writeln!(out, "Variable not found: {wanted}");
    }
    Effect::Answer(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_sorted() {
        for pair in COMMANDS.windows(2) {
            assert!(pair[0].words < pair[1].words, "{}", pair[1].usage);
        }
    }

    #[test]
    fn help_respects_the_level() {
        assert!(
            help(Level::Admin, false, &[]).contains("  reload                                  : ")
        );
        assert!(!help(Level::User, false, &[]).contains("\n  reload"));
        let shown = help(Level::User, false, &["show"]);
        assert!(shown.contains("show proc") && !shown.contains("quit"));
    }

    #[test]
    fn debug_mode_adds_what_any_process_can_tell() {
        assert!(!help(Level::Admin, false, &["show"]).contains("show libs"));
        assert!(help(Level::Admin, true, &["show"]).contains("show libs"));
        assert!(of_process(&["show", "threads"]).is_some_and(|text| text.contains("name=")));
        assert!(of_process(&["show", "fd", "?"]).is_some_and(|text| text.starts_with("Expects")));
        assert_eq!(of_process(&["show", "stat"]), None);
    }

    #[test]
    fn unknown_words_get_the_close_ones() {
        let text = unknown(Level::Admin, &["relaod"]);
        assert!(text.starts_with("Unknown command, but maybe"));
        assert!(text.contains("  reload ") && text.contains("  quit "));
        assert!(!text.contains("show proc"));
    }
}
