//! Mail about servers that change their state (configuration manual, 12.3, 4.2 "email-alert").

use std::time::Duration;

use proxy_types::{Address, Spanned};

use super::LogLevel;

/// A `mailers` section.
#[derive(Clone, Debug)]
pub struct Mailers {
    pub name: Spanned<String>,
    pub mailers: Vec<Mailer>,
    /// `timeout mail`: 10 s by default.
    pub timeout: Option<Spanned<Duration>>,
}

/// A server that takes mail.
#[derive(Clone, Debug)]
pub struct Mailer {
    pub name: Spanned<String>,
    pub address: Spanned<Address>,
}

/// The `email-alert` lines of a section.
#[derive(Clone, Debug, Default)]
pub struct EmailAlert {
    pub mailers: Option<Spanned<String>>,
    pub from: Option<Spanned<String>>,
    pub to: Option<Spanned<String>>,
    /// The least severe level that is mailed; alert by default.
    pub level: Option<Spanned<LogLevel>>,
    /// The host's name by default.
    pub myhostname: Option<Spanned<String>>,
}
