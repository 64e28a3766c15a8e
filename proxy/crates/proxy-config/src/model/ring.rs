//! `ring` sections.

use proxy_types::{Span, Spanned};

use super::{LogFormat, Proxy};

/// A `ring` section.
#[derive(Clone, Debug)]
pub struct Ring {
    pub span: Span,
    pub name: Spanned<String>,
    /// The name by default.
    pub description: Option<Spanned<String>>,
    pub format: Option<Spanned<LogFormat>>,
    pub max_len: Option<Spanned<u32>>,
    pub size: Option<Spanned<u32>>,
    pub backing_file: Option<Spanned<String>>,
    /// Its servers and timeouts. It is never one of [`Config::proxies`](super::Config::proxies).
    pub proxy: Proxy,
}

impl Ring {
    /// The ring that is always there.
    pub const BUILTIN: &'static str = "buf0";
    /// What every ring holds at least, and by default: HAProxy's BUFSIZE.
    pub const LEAST_SIZE: u32 = 16384;
    pub const MOST_SIZE: u32 = i32::MAX as u32;
    pub const LEAST_LEN: u32 = 80;
    pub const MOST_LEN: u32 = 1 << 20;

    /// Bytes that it holds.
    pub fn size(&self) -> u32 {
        self.size.map_or(Self::LEAST_SIZE, |size| size.value)
    }

    /// Bytes of a message at most, header included: 1024 by default.
    pub fn max_len(&self) -> u32 {
        self.max_len.map_or(1024, |len| len.value)
    }

    /// [`LogFormat::Raw`] by default.
    pub fn format(&self) -> LogFormat {
        self.format.map_or(LogFormat::Raw, |format| format.value)
    }
}
