//! Time as this crate sees it: milliseconds of a monotonic clock, always a parameter.

use std::time::{Duration, Instant};

/// Milliseconds since the start of the worker (see [`Epoch`]). Never goes backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Now(pub u64);

impl Now {
    pub fn from_secs(secs: u64) -> Self {
        Self(secs * 1000)
    }

    /// Whole seconds since the start of the worker.
    pub fn secs(self) -> u64 {
        self.0 / 1000
    }

    /// Milliseconds from `earlier` to here; 0 when `earlier` is in fact later.
    pub fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole seconds from `earlier` to here; 0 when `earlier` is in fact later.
    pub fn secs_since(self, earlier: Self) -> u64 {
        self.ms_since(earlier) / 1000
    }
}

impl std::ops::Add<Duration> for Now {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(rhs.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// The instant that [`Now`] counts from. Reads no clock itself: who owns one hands its instants in.
#[derive(Clone, Copy, Debug)]
pub struct Epoch(Instant);

impl Epoch {
    pub fn new(start: Instant) -> Self {
        Self(start)
    }

    pub fn at(self, instant: Instant) -> Now {
        let ms = instant.saturating_duration_since(self.0).as_millis();
        Now(u64::try_from(ms).unwrap_or(u64::MAX))
    }
}
