//! Traces that start with the process.

use proxy_types::Span;

/// A line of a `traces` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    pub span: Span,
    /// What stands behind `trace`.
    pub words: Vec<String>,
}
