//! Health checks of a backend.

use proxy_types::{Span, Spanned};

pub use proxy_rules::check::protocol::{MySqlForm, MySqlUser, Protocol};

use crate::lexer::Word;

/// Which option chose what is said on a check's connection; the last of them counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckOption {
    /// `option httpchk`: the words of the request line, as far as they were given.
    Http { method: Option<Word>, uri: Option<Word>, version: Option<Word>, host: Option<Word> },
    /// `option smtpchk` and the like.
    Protocol(Protocol),
    /// `option tcp-check`.
    Tcp,
    /// `option external-check`.
    External,
}

/// The checks of a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    pub option: Option<Spanned<CheckOption>>,
    /// `http-check` rules; used with `option httpchk`.
    pub http: Vec<CheckLine>,
    /// `tcp-check` rules; used with `option tcp-check`.
    pub tcp: Vec<CheckLine>,
    /// `external-check command`; used with `option external-check`.
    pub command: Option<Spanned<String>>,
    /// `external-check path`: the command's PATH.
    pub path: Option<Spanned<String>>,
}

/// A `healthcheck` section (configuration manual, 12.9).
#[derive(Clone, Debug)]
pub struct HealthCheck {
    pub name: Spanned<String>,
    pub checks: Checks,
}

/// One rule: the words behind the keyword.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckLine {
    pub span: Span,
    pub words: Vec<Word>,
}
