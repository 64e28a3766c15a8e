//! A `server` or `default-server` line while it is read; the words in its tables fill it.

use proxy_types::Spanned;

use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::model::ServerOptions;

/// A server being read.
pub(crate) struct Draft {
    pub(crate) options: ServerOptions,
    pub(super) id: Option<Spanned<u32>>,
    pub(super) guid: Option<Spanned<String>>,
    pub(super) is_default: bool,
    /// In a `peers` section.
    pub(super) is_peer: bool,
    /// In a `ring` section.
    pub(super) in_ring: bool,
    /// Added at run time.
    pub(super) is_dynamic: bool,
}

impl Draft {
    /// A line of a configuration that starts from these settings.
    pub(super) fn new(options: ServerOptions) -> Self {
        Self {
            options,
            id: None,
            guid: None,
            is_default: false,
            is_peer: false,
            in_ring: false,
            is_dynamic: false,
        }
    }
}

pub(crate) type Parse = fn(&mut Context<'_>, &mut Draft, &mut Args<'_>) -> Parsed;

/// One bool of a pair such as `check` and `no-check`.
pub(crate) fn here(args: &Args<'_>, value: bool) -> Option<Spanned<bool>> {
    Some(Spanned::new(value, args.keyword_span()))
}
