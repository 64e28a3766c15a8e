//! `log-forward` sections.

use proxy_types::{Span, Spanned};

use super::{Bind, Proxy};

/// A `log-forward` section.
#[derive(Clone, Debug)]
pub struct LogForward {
    pub span: Span,
    pub name: Spanned<String>,
    /// Its listeners, targets and limits. It is never one of [`Config::proxies`](super::Config::proxies).
    pub proxy: Proxy,
    /// `dgram-bind` lines.
    pub dgram_binds: Vec<Bind>,
    pub dont_parse: Option<Span>,
    pub assume_ntf: Option<Span>,
    /// [`HostStrategy::Fill`] by default.
    pub host: Option<Spanned<HostStrategy>>,
}

/// `option host`: what becomes of the host name in messages that are passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostStrategy {
    /// The sender's address is put behind it.
    Append,
    /// The sender's address where there is none.
    #[default]
    Fill,
    Keep,
    /// The sender's address instead.
    Replace,
}

impl HostStrategy {
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("append", Self::Append),
        ("fill", Self::Fill),
        ("keep", Self::Keep),
        ("replace", Self::Replace),
    ];
}
