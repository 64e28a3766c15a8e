//! A decoded field section.

use crate::headers::Span;

/// Fields in the order they came in, pseudo fields included; names as they were sent. One buffer holds all of them.
#[derive(Debug, Clone, Default)]
pub struct Fields {
    pub(super) buf: Vec<u8>,
    pub(super) list: Vec<(Span, Span)>,
}

impl Fields {
    /// Empties the section and keeps its memory.
    pub fn clear(&mut self) {
        self.buf.clear();
        self.list.clear();
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.list.iter().map(|(name, value)| (name.of(&self.buf), value.of(&self.buf)))
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buf.len()
    }
}
