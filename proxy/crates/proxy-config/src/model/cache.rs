//! `cache` sections (configuration manual, 6.2).

use proxy_types::{Span, Spanned};

/// `early-hints`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyHints {
    Off,
    /// With the share of the memory that hints may take, in percent.
    On {
        ratio: u8,
    },
    Only,
}

/// A section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    pub name: Spanned<String>,
    pub span: Span,
    /// In megabytes; must be there.
    pub total_max_size: Option<Spanned<u32>>,
    /// In bytes; a 256th of all by default.
    pub max_object_size: Option<Spanned<u32>>,
    /// In seconds; 60 by default.
    pub max_age: Option<Spanned<u32>>,
    /// 10 by default.
    pub max_secondary_entries: Option<Spanned<u32>>,
    /// Off by default.
    pub process_vary: Option<Spanned<bool>>,
    pub early_hints: Option<Spanned<EarlyHints>>,
}

impl Cache {
    /// `total-max-size` in bytes.
    pub fn total(&self) -> u64 {
        self.total_max_size.map_or(0, |size| u64::from(size.value) << 20)
    }

    /// `max-object-size` in bytes.
    pub fn max_object(&self) -> u64 {
        self.max_object_size.map_or_else(|| self.total() / 256, |size| size.value.into())
    }
}
