//! Rings of servers: position in, server out. The kernel side only indexes them; how servers are
//! spread over the positions is decided here.

mod candidate;
mod maglev;
mod turns;

pub(crate) use candidate::Candidate;

use crate::spec::Policy;

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
