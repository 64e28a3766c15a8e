//! `sluice ctl`: a client of the stats socket for people and scripts.
//!
//! Exit codes: 0 when what was asked for was done, 1 when the process refused it, 2 when it could not be asked
//! or the command line is wrong. With `--json` a change answers `{"done":true}`, and an error goes to standard
//! error as `{"error":"..."}`.

mod client;
mod completion;
mod table;
mod top;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use client::{Rows, Socket};
use table::Column;

/// Talks to a running Sluice or HAProxy over its stats socket.
#[derive(Debug, Parser)]
#[command(name = "sluice ctl", version = crate::version::VERSION)]
struct Ctl {
    /// The stats socket: a path, or <address>:<port>.
    #[arg(
        short,
        long,
        env = "SLUICE_SOCKET",
        default_value = "/run/sluice/admin.sock",
        global = true
    )]
    socket: String,
    /// Answers as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists frontends.
    Frontends(Filter),
    /// Lists backends.
    Backends(Filter),
    /// Lists servers.
    Servers(Filter),
    /// Tells of the process.
    Info,
    /// Lets a server finish what it has, and gives it nothing new.
    Drain(Target),
    /// Takes a server out of service.
    Maint(Target),
    /// Puts a server back into service.
    Ready(Target),
    /// Sets the weight of a server: 0 to 256, or a percentage of the configured one.
    Weight {
        #[command(flatten)]
        target: Target,
        weight: String,
    },
    /// Shows frontends and servers as they work; servers can be drained and enabled.
    Top(top::Options),
    /// Sends a command as it is, and shows the answer.
    Do {
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Prints the script that completes command lines of sluice in a shell.
    Completion { shell: completion::Target },
}

#[derive(Debug, Args)]
struct Filter {
    /// Only of this section.
    name: Option<String>,
}

#[derive(Debug, Args)]
struct Target {
    /// <backend>/<server>
    server: String,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
enum CtlError {
    #[error("{0}")]
    Refused(String),
    #[error("{socket}: {error}")]
    Unreachable { socket: String, error: std::io::Error },
    #[error("the answer is not understood: {0}")]
    Answer(String),
    #[error("{0}")]
    Terminal(String),
}

impl CtlError {
    fn code(&self) -> ExitCode {
        ExitCode::from(if matches!(self, Self::Refused(_)) { 1 } else { 2 })
    }
}

/// Runs with the words behind `sluice`, `ctl` the first.
pub(crate) fn run(words: &[std::ffi::OsString]) -> ExitCode {
    let ctl = match Ctl::try_parse_from(words) {
        Ok(ctl) => ctl,
        Err(error) => {
            // Help and version come this way, too.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match ctl.run() {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            if ctl.json {
                eprintln!("{}", serde_json::json!({ "error": error.to_string() }));
            } else {
                eprintln!("{error}");
            }
            error.code()
        }
    }
}

const FRONTENDS: &[Column] = &[
    Column::text("FRONTEND", "pxname"),
    Column::text("STATUS", "status"),
    Column::text("MODE", "mode"),
    Column::number("SESSIONS", "scur"),
    Column::number("LIMIT", "slim"),
    Column::number("RATE", "rate"),
    Column::number("REQ/S", "req_rate"),
    Column::number("TOTAL", "stot"),
    Column::bytes("IN", "bin"),
    Column::bytes("OUT", "bout"),
    Column::number("DENIED", "dreq"),
    Column::number("ERRORS", "ereq"),
];

const BACKENDS: &[Column] = &[
    Column::text("BACKEND", "pxname"),
    Column::text("STATUS", "status"),
    Column::number("UP", "act"),
    Column::number("BACKUP", "bck"),
    Column::number("SESSIONS", "scur"),
    Column::number("QUEUE", "qcur"),
    Column::number("RATE", "rate"),
    Column::number("TOTAL", "stot"),
    Column::bytes("IN", "bin"),
    Column::bytes("OUT", "bout"),
    Column::number("RETRIES", "wretr"),
    Column::number("5XX", "hrsp_5xx"),
];

const SERVERS: &[Column] = &[
    Column::text("BACKEND", "pxname"),
    Column::text("SERVER", "svname"),
    Column::text("STATUS", "status"),
    Column::text("ADDRESS", "addr"),
    Column::number("WEIGHT", "weight"),
    Column::number("SESSIONS", "scur"),
    Column::number("LIMIT", "slim"),
    Column::number("QUEUE", "qcur"),
    Column::number("RATE", "rate"),
    Column::number("TOTAL", "stot"),
    Column::text("CHECK", "check_status"),
    Column::text("DETAIL", "last_chk"),
];

impl Ctl {
    fn run(&self) -> Result<String, CtlError> {
        let socket = Socket(&self.socket);
        match &self.command {
            Command::Frontends(filter) => self.list(socket, "0", filter, FRONTENDS),
            Command::Backends(filter) => self.list(socket, "1", filter, BACKENDS),
            Command::Servers(filter) => self.list(socket, "2", filter, SERVERS),
            Command::Info => {
                let answer = socket.ask("show info")?;
                let pairs = answer.lines().filter_map(|line| line.split_once(": "));
                let pairs: Vec<_> = pairs.map(|(name, value)| (name, value.trim())).collect();
                if pairs.is_empty() {
                    return Err(CtlError::Refused(answer.trim().to_owned()));
                }
                Ok(if self.json { table::json(&[pairs]) } else { answer.trim().to_owned() + "\n" })
            }
            Command::Drain(target) => self.done(set_state(socket, &target.server, "drain")),
            Command::Maint(target) => self.done(set_state(socket, &target.server, "maint")),
            Command::Ready(target) => self.done(set_state(socket, &target.server, "ready")),
            Command::Weight { target, weight } => {
                let command = format!("set weight {} {}", word(&target.server), word(weight));
                self.done(socket.tell(&command))
            }
            Command::Top(options) => {
                top::run(socket, options, self.json)?;
                Ok(String::new())
            }
            Command::Do { words } => {
                let words: Vec<String> = words.iter().map(|text| word(text)).collect();
                let answer = socket.ask(&words.join(" "))?;
                let as_json = || format!("{:#}\n", serde_json::json!({ "answer": answer }));
                Ok(if self.json { as_json() } else { answer })
            }
            Command::Completion { shell } => Ok(completion::script(*shell)),
        }
    }

    /// What a change says.
    fn done(&self, outcome: Result<String, CtlError>) -> Result<String, CtlError> {
        let text = outcome?;
        Ok(if self.json { "{\"done\":true}\n".into() } else { text })
    }

    fn list(
        &self,
        socket: Socket<'_>,
        kind: &str,
        filter: &Filter,
        columns: &[Column],
    ) -> Result<String, CtlError> {
        let answer = socket.ask("show stat")?;
        let rows = Rows::parse(&answer).ok_or_else(|| CtlError::Answer(first_line(&answer)))?;
        let wanted = |row: &&Vec<String>| {
            rows.field(row, "type") == kind
                && filter.name.as_deref().is_none_or(|name| rows.field(row, "pxname") == name)
        };
        let found: Vec<_> = rows.rows.iter().filter(wanted).collect();
        if found.is_empty() && filter.name.is_some() {
            return Err(CtlError::Refused("There is nothing of that name.".into()));
        }
        if self.json {
            let objects: Vec<_> = found.iter().map(|row| rows.object(row)).collect();
            return Ok(table::json(&objects));
        }
        Ok(table::draw(columns, found.iter().map(|row| |name: &str| rows.field(row, name))))
    }
}

fn set_state(socket: Socket<'_>, server: &str, to: &str) -> Result<String, CtlError> {
    socket.tell(&format!("set server {} state {to}", word(server)))
}

/// A word as the command line of the socket reads it back.
fn word(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ' ' | '\t' | ';' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_escaped() {
        assert_eq!(word("a b;c\\d"), "a\\ b\\;c\\\\d");
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Ctl::command().debug_assert();
        let ctl = Ctl::try_parse_from(["ctl", "do", "show", "sess", "-x"]).unwrap();
        assert!(matches!(ctl.command, Command::Do { words } if words.len() == 3));
        assert!(Ctl::try_parse_from(["ctl", "weight", "a/b"]).is_err());
    }
}
