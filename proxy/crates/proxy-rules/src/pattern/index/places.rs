//! Places of entries within an index.

use smallvec::SmallVec;

/// Places of entries in an index, the first one first.
pub(super) type Places = SmallVec<[u32; 1]>;

/// The place that comes first.
pub(super) fn first(a: Option<u32>, b: Option<u32>) -> Option<u32> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
