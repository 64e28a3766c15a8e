//! What keeps a frontend off the kernel's path.

use proxy_types::Span;

/// What keeps a frontend in userspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blocker {
    /// The directive, as short as it can be named.
    pub(crate) directive: String,
    /// Why it needs userspace.
    pub(crate) reason: &'static str,
    pub(crate) span: Span,
}
