//! How a client of the command line is served: what its listener says, and what its own commands change of it.

use crate::Level;
use crate::anon::Anon;
use crate::command::SessionMode;
use std::time::Duration;

/// How a session begins.
#[derive(Clone, Copy, Debug)]
pub struct SessionOptions {
    pub level: Level,
    /// `stats timeout`: a client that is silent, or does not read, for that long is let go. HAProxy's default is 10 s; `None` waits
    /// for ever.
    pub timeout: Option<Duration>,
    /// `severity-output`.
    pub severity: Severity,
    /// `expose-fd listeners`: the client may ask for the listening sockets.
    pub exposes_listeners: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            level: Level::default(),
            timeout: Some(Duration::from_secs(10)),
            severity: Severity::None,
            exposes_listeners: false,
        }
    }
}

/// What `prompt` switches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// One line, then goodbye.
    #[default]
    Once,
    /// Line after line.
    Interactive,
    /// With a prompt before each.
    Prompt,
}

/// What commands may change about their session.
#[derive(Clone, Debug)]
pub struct SessionState {
    pub level: Level,
    pub mode: Mode,
    /// The prompt shows the uptime.
    pub timed: bool,
    pub timeout: Option<Duration>,
    pub severity: Severity,
    pub expert: bool,
    pub experimental: bool,
    /// Whether names and addresses are told.
    pub anon: Anon,
    /// Leave after this command.
    pub quit: bool,
    pub exposes_listeners: bool,
    /// The client gets the listening sockets, and nothing else any more.
    pub wants_listeners: bool,
}

/// What a session may.
#[derive(Clone, Copy, Debug)]
pub struct Access {
    pub level: Level,
    pub expert: bool,
    pub experimental: bool,
}

impl Access {
    /// Whether the session is in that mode.
    pub fn has(self, mode: SessionMode) -> bool {
        match mode {
            SessionMode::Any => true,
            SessionMode::Expert => self.expert,
            SessionMode::Experimental => self.experimental,
        }
    }
}

/// `set severity-output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Severity {
    #[default]
    None,
    Number,
    String,
}

impl SessionState {
    /// What the session may now.
    pub fn access(&self) -> Access {
        Access { level: self.level, expert: self.expert, experimental: self.experimental }
    }

    pub fn new(options: SessionOptions) -> Self {
        Self {
            level: options.level,
            mode: Mode::Once,
            timed: false,
            timeout: options.timeout,
            severity: options.severity,
            expert: false,
            experimental: false,
            anon: Anon::default(),
            quit: false,
            exposes_listeners: options.exposes_listeners,
            wants_listeners: false,
        }
    }
}
