//! What the builders of rings are given.

/// A server that takes new flows, as the ring builders see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// What the ring holds for it.
    pub(crate) index: u16,
    /// Identity that is the same in every process and on every machine.
    pub(crate) id: u64,
    /// 1 to 256.
    pub(crate) weight: u16,
}
