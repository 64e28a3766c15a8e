//! Rings of servers: position in, server out. The kernel side only indexes them; how servers are
//! spread over the positions is decided here.

mod maglev;
mod turns;

use crate::spec::Policy;

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

/// Fills a ring of at most `capacity` positions for `policy`; empty when there is no candidate.
#[must_use]
pub(crate) fn build(policy: Policy, candidates: &[Candidate], capacity: usize) -> Vec<u16> {
    match policy {
        Policy::HashFlow | Policy::HashSource => maglev::build(candidates, capacity),
        // Every server once: the programs pick two and compare their load over weight.
        Policy::LeastConn => candidates.iter().take(capacity).map(|c| c.index).collect(),
        Policy::RoundRobin => turns::build(candidates, capacity),
    }
}
