//! What binds requests to servers (configuration manual, 4.2 "cookie", "force-persist", "use-server").

use std::time::Duration;

use proxy_types::{Span, Spanned};

use super::Condition;
use crate::lexer::Word;

/// Who makes the persistence cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieMode {
    /// No mode was written: cookies of servers are looked at, and left as they are.
    #[default]
    Passive,
    Insert,
    Prefix,
    Rewrite,
}

/// `cookie <name> ...`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cookie {
    pub name: String,
    pub mode: CookieMode,
    pub indirect: bool,
    pub nocache: bool,
    pub postonly: bool,
    pub preserve: bool,
    pub httponly: bool,
    pub secure: bool,
    pub dynamic: bool,
    pub domains: Vec<String>,
    pub attributes: Vec<String>,
    pub maxidle: Option<Duration>,
    pub maxlife: Option<Duration>,
}

/// `force-persist` or `ignore-persist`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersistRule {
    pub span: Span,
    /// To the server even when it is down, or else to any server.
    pub force: bool,
    pub condition: Condition,
}

/// `use-server <name> if|unless <condition>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UseServer {
    pub span: Span,
    /// A name or a log format.
    pub target: Word,
    pub condition: Option<Condition>,
}

/// `persist rdp-cookie[(<name>)]`: the name, `msts` by default.
pub type PersistRdp = Spanned<String>;
