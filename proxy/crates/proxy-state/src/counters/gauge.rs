//! Current values and their peaks, exact over all threads because limits and balancing depend on them.

use std::sync::atomic::{AtomicU32, Ordering};

/// A current number (of sessions, of queued requests) and the highest it ever had.
#[derive(Debug, Default)]
pub struct Gauge {
    current: AtomicU32,
    external: AtomicU32,
    max: AtomicU32,
}

impl Gauge {
    /// Adds one and returns the new value, flows counted outside included.
    pub fn inc(&self) -> u32 {
        let own = self.current.fetch_add(1, Ordering::Relaxed) + 1;
        let sum = own.saturating_add(self.external.load(Ordering::Relaxed));
        self.raise(sum);
        sum
    }

    /// Adds one unless that would exceed `limit`; tells whether it did.
    pub fn try_inc(&self, limit: u32) -> bool {
        let external = self.external.load(Ordering::Relaxed);
        let taken = self.current.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |own| {
            (own.saturating_add(external) < limit).then(|| own + 1)
        });
        match taken {
            Ok(own) => {
                self.raise((own + 1).saturating_add(external));
                true
            }
            Err(_) => false,
        }
    }

    /// Takes one away. Each call answers one [`Gauge::inc`] or successful [`Gauge::try_inc`].
    pub fn dec(&self) {
        let before = self.current.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a gauge went below zero");
    }

    /// The current value, flows counted outside included.
    pub fn get(&self) -> u32 {
        self.current.load(Ordering::Relaxed).saturating_add(self.external.load(Ordering::Relaxed))
    }

    /// The part of the current value that this process counts itself.
    pub fn own(&self) -> u32 {
        self.current.load(Ordering::Relaxed)
    }

    /// Sets the part that is counted outside of the process.
    pub fn set_external(&self, value: u32) {
        self.external.store(value, Ordering::Relaxed);
        self.raise(self.get());
    }

    /// The highest value since the start or the last [`Gauge::clear_max`].
    pub fn max(&self) -> u32 {
        self.max.load(Ordering::Relaxed)
    }

    /// Forgets the peak: the current value becomes it.
    pub fn clear_max(&self) {
        let peak = if super::keeps_peaks() { self.get() } else { 0 };
        self.max.store(peak, Ordering::Relaxed);
    }

    fn raise(&self, value: u32) {
        // The plain load keeps the line shared in the usual case that no record is broken.
        if value > self.max.load(Ordering::Relaxed) && super::keeps_peaks() {
            self.max.fetch_max(value, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_limits_and_remembers_the_peak() {
        let gauge = Gauge::default();
        assert_eq!((gauge.inc(), gauge.inc()), (1, 2));
        gauge.dec();
        assert_eq!((gauge.get(), gauge.max()), (1, 2));
        assert!(gauge.try_inc(2));
        assert!(!gauge.try_inc(2));
        gauge.set_external(5);
        assert_eq!((gauge.get(), gauge.own(), gauge.max()), (7, 2, 7));
        gauge.set_external(0);
        gauge.clear_max();
        assert_eq!(gauge.max(), 2);
    }
}
