//! Events per second.

use super::Sharded;
use crate::Now;
use std::sync::atomic::{AtomicU64, Ordering};

const SEC_BITS: u32 = 20;
const COUNT_BITS: u32 = 22;
const SEC_MASK: u64 = (1 << SEC_BITS) - 1;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// Counts of the running second and of the one before, in one word so that a reader sees them together:
/// 20 bits of the second's number (wraps after 12 days, when a shard idle for exactly that long would show an old
/// value for one second), 22 bits each for the counts (saturating at 4 million per second and thread).
#[derive(Debug, Default)]
struct Window(AtomicU64);

impl Window {
    /// The counts as of second `sec`: (running, before).
    fn at(&self, sec: u64) -> (u64, u64) {
        let word = self.0.load(Ordering::Relaxed);
        let (current, previous) = ((word >> COUNT_BITS) & COUNT_MASK, word & COUNT_MASK);
        match sec.wrapping_sub(word >> (2 * COUNT_BITS)) & SEC_MASK {
            0 => (current, previous),
            1 => (0, current),
            _ => (0, 0),
        }
    }

    fn add(&self, sec: u64, n: u64) {
        let (current, previous) = self.at(sec);
        let current = (current + n.min(COUNT_MASK)).min(COUNT_MASK);
        let word = ((sec & SEC_MASK) << (2 * COUNT_BITS)) | (current << COUNT_BITS) | previous;
        self.0.store(word, Ordering::Relaxed);
    }
}

/// Events per second over the last second, and the highest rate seen.
///
/// The highest rate is taken by [`Rate::observe`], once per second on the control thread and whenever the
/// statistics are read, so that counting an event touches only the shard of its thread.
#[derive(Debug, Default)]
pub struct Rate {
    shards: Sharded<Window>,
    max: AtomicU64,
}

impl Rate {
    /// Counts one event.
    pub fn inc(&self, now: Now) {
        self.add(now, 1);
    }

    /// Counts `n` events.
    pub fn add(&self, now: Now, n: u64) {
        self.shards.local().add(now.secs(), n);
    }

    /// Events per second: those of the running second plus the share of the previous one that is less than a second old.
    pub fn get(&self, now: Now) -> u64 {
        let left = 1000 - now.0 % 1000;
        let (current, previous) = self.shards.iter().fold((0, 0), |sum, shard| {
            let (current, previous) = shard.at(now.secs());
            (sum.0 + current, sum.1 + previous)
        });
        // A stable rate of one per second reads as one all along: the old part rounds up when
        // nothing happened in this second yet.
        current
            + if current == 0 { (previous * left).div_ceil(1000) } else { previous * left / 1000 }
    }

    /// Reads the rate and keeps it when it is the highest so far.
    pub fn observe(&self, now: Now) -> u64 {
        let rate = self.get(now);
        if super::keeps_peaks() {
            self.max.fetch_max(rate, Ordering::Relaxed);
        }
        rate
    }

    /// The highest rate observed.
    pub fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// Forgets the highest rate.
    pub fn clear_max(&self) {
        self.max.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fades_over_the_second_after() {
        let rate = Rate::default();
        for ms in 0..10 {
            rate.inc(Now(5000 + ms * 100));
        }
        assert_eq!(rate.get(Now(5999)), 10);
        assert_eq!(rate.get(Now(6000)), 10);
        assert_eq!(rate.get(Now(6500)), 5);
        assert_eq!(rate.get(Now(6990)), 1);
        assert_eq!(rate.get(Now(7000)), 0);
        assert_eq!(rate.max(), 0);
        assert_eq!(rate.observe(Now(6000)), 10);
        assert_eq!(rate.max(), 10);
        rate.add(Now(7000), 3);
        assert_eq!(rate.get(Now(7100)), 3);
    }

    #[test]
    fn saturates_instead_of_spilling() {
        let rate = Rate::default();
        rate.add(Now(1000), u64::MAX);
        rate.add(Now(1000), u64::MAX);
        assert_eq!(rate.get(Now(1999)), COUNT_MASK);
    }
}
