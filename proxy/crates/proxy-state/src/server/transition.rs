//! What changed about a server, for log lines and for whoever has to act on it.

use super::{CheckResult, Server};
use std::fmt;
use std::sync::Arc;

/// Who or what changed the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A health check.
    Check(CheckResult),
    /// A command.
    Cli,
    /// The tracked server, `backend/server`.
    Via(String),
}

/// A change of operational or administrative state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Down(Cause),
    Up(Cause),
    /// Up, but takes no new sessions.
    Stopping(Cause),
    /// Entered maintenance; the tracked server when it was inherited.
    EnterMaint(Option<String>),
    /// The same of a server that was down.
    EnterMaintDown(Option<String>),
    /// Left maintenance: whether it was asked for (or else inherited), and whether it is up.
    LeaveMaint {
        forced: bool,
        up: bool,
    },
    /// Entered maintenance because its name has no address for now, and why.
    Unresolved(&'static str),
    /// Its name has an address again.
    Resolved {
        up: bool,
    },
    /// Began to drain; the tracked server when it was inherited.
    EnterDrain(Option<String>),
    /// Ended to drain, and whether it is up.
    LeaveDrain {
        up: bool,
    },
}

/// A change with the facts its log line needs. `Display` is that line, as HAProxy says it.
#[derive(Clone, Debug)]
pub struct Transition {
    pub server: Arc<Server>,
    pub change: Change,
    /// Usable servers of the backend after the change.
    pub active: u32,
    /// Usable backup servers after the change.
    pub backup: u32,
    /// Sessions on the server.
    pub sessions: u32,
    /// Sessions moved from the server's queue to another server.
    pub requeued: u32,
    /// Sessions left in the backend's queue.
    pub queued: u32,
    /// This was the last usable server: `backend be has no server available!` follows.
    pub backend_down: bool,
}

impl Transition {
    /// Whether the change takes traffic away from the server.
    pub fn is_down(&self) -> bool {
        matches!(self.change, Change::Down(_) | Change::EnterMaint(_) | Change::Unresolved(_))
    }

    /// The line about the backend, when the change left it without a server.
    pub fn backend_line(&self) -> Option<String> {
        self.backend_down
            .then(|| format!("backend {} has no server available!", self.server.backend_name))
    }
}

impl Transition {
    /// The line without the result of the check: `option log-health-checks` has just told it.
    pub fn without_reason(&self) -> impl fmt::Display + '_ {
        WithoutReason(self)
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, reasons: bool) -> fmt::Result {
        let why = |cause| Why { cause, reasons };
        write!(f, "Server {}/{} ", self.server.backend_name, self.server.name)?;
        let state = |up: &bool| if *up { "UP" } else { "DOWN" };
        match &self.change {
            Change::Down(cause) => write!(f, "is DOWN{}", why(cause))?,
            Change::Up(cause) => write!(f, "is UP{}", why(cause))?,
            Change::Stopping(cause) => write!(f, "is stopping{}", why(cause))?,
            Change::EnterMaint(None) => f.write_str("is going DOWN for maintenance")?,
            Change::EnterMaint(Some(via)) => write!(f, "is going DOWN for maintenance via {via}")?,
            Change::EnterMaintDown(via) => {
                f.write_str("was DOWN and now enters maintenance")?;
                return match via {
                    Some(via) => write!(f, " via {via}."),
                    None => f.write_str("."),
                };
            }
            Change::Unresolved(why) => write!(f, "is going DOWN for maintenance ({why})")?,
            Change::Resolved { up } => {
                let fqdn = self.server.fqdn();
                let name = fqdn.as_deref().map_or("", |name| name.as_str());
                return write!(f, "('{name}') is {}/READY (resolves again).", state(up));
            }
            Change::EnterDrain(None) => f.write_str("enters drain state")?,
            Change::EnterDrain(Some(via)) => write!(f, "enters drain state via {via}")?,
            Change::LeaveMaint { forced, up } => {
                let forced = if *forced { "forced " } else { "" };
                return write!(f, "is {}/READY (leaving {forced}maintenance).", state(up));
            }
            Change::LeaveDrain { up } => {
                return write!(f, "is {} (leaving forced drain).", state(up));
            }
        }
        if self.is_down() {
            write!(
                f,
                ". {} active and {} backup servers left.{} {} sessions active, {} requeued, {} remaining in queue.",
                self.active,
                self.backup,
                if self.active == 0 && self.backup > 0 { " Running on backup." } else { "" },
                self.sessions,
                self.requeued,
                self.queued
            )
        } else {
            write!(
                f,
                ". {} active and {} backup servers online.{} {} sessions requeued, {} total in queue.",
                self.active,
                self.backup,
                if self.active == 0 && self.backup > 0 { " Running on backup." } else { "" },
                self.requeued,
                self.queued
            )
        }
    }
}

impl fmt::Display for Transition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f, true)
    }
}

struct WithoutReason<'a>(&'a Transition);

impl fmt::Display for WithoutReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f, false)
    }
}

struct Why<'a> {
    cause: &'a Cause,
    reasons: bool,
}

impl fmt::Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Cli => f.write_str(", changed from CLI"),
            Cause::Via(via) => write!(f, " via {via}"),
            Cause::Check(_) if !self.reasons => Ok(()),
            Cause::Check(result) => {
                write!(f, ", reason: {}", result.status.long())?;
                if let Some(code) = result.code.filter(|_| result.status.has_code()) {
                    write!(f, ", code: {code}")?;
                }
                if !result.info.is_empty() {
                    write!(f, ", info: \"{}\"", result.info)?;
                }
                write!(f, ", check duration: {}ms", result.duration_ms)
            }
        }
    }
}
