//! The clocks of the socket layer: a coarse one for deadlines (about 5 ns a read, one kernel tick old at
//! most) and a precise one for what is measured and logged (about 30 ns a read). Both count from the same
//! origin, so their readings compare.

use std::cell::Cell;
use std::ops::{Add, Sub};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// A point on the monotonic clock, in milliseconds since boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(u64);

impl Tick {
    /// Later than any deadline that can be armed.
    pub const NEVER: Self = Self(u64::MAX);

    /// A point given in milliseconds of the monotonic clock.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds of the monotonic clock.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Time since `earlier`; zero when `earlier` is the later one.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Self;
    /// Part milliseconds are rounded up, so that a deadline is never early.
    fn add(self, d: Duration) -> Self {
        let ms = d.as_nanos().div_ceil(1_000_000);
        Self(self.0.saturating_add(u64::try_from(ms).unwrap_or(u64::MAX)))
    }
}

impl Sub for Tick {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.since(earlier)
    }
}

fn read(id: ClockId) -> Duration {
    // Monotonic clocks always exist on Linux; the call can only fail for an unknown id.
    clock_gettime(id).map(Duration::from).unwrap_or_default()
}

/// The coarse clock: for deadlines that may be one kernel tick off.
pub fn coarse() -> Tick {
    Tick(read(ClockId::CLOCK_MONOTONIC_COARSE).as_millis() as u64)
}

/// The precise clock in whole milliseconds: for timers that are logged.
pub fn precise() -> Tick {
    Tick(read(ClockId::CLOCK_MONOTONIC).as_millis() as u64)
}

/// Calendar time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Wall {
    /// Seconds since 1970-01-01 UTC.
    pub secs: i64,
    /// Microseconds of the second.
    pub micros: u32,
}

/// The calendar time now.
pub fn wall() -> Wall {
    let now = read(ClockId::CLOCK_REALTIME);
    Wall { secs: now.as_secs() as i64, micros: now.subsec_micros() }
}

/// Seconds that local time is ahead of UTC at `secs`, as the system's time zone says.
pub fn utc_offset(secs: i64) -> i32 {
    // Zones change on quarters of an hour at most.
    const PERIOD: i64 = 900;
    thread_local! {
        static KNOWN: Cell<(i64, i32)> = const { Cell::new((i64::MIN, 0)) };
    }
    let period = secs.div_euclid(PERIOD);
    let (known, offset) = KNOWN.get();
    if known == period {
        return offset;
    }
    let offset = crate::sys::utc_offset(secs);
    KNOWN.set((period, offset));
    offset
}

/// How much the coarse clock may lag behind: one kernel tick.
pub fn coarse_resolution() -> Duration {
    nix::time::clock_getres(ClockId::CLOCK_MONOTONIC_COARSE).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_clocks_agree_within_a_kernel_tick() {
        let (a, b) = (coarse(), precise());
        assert!(b.since(a) < Duration::from_millis(100), "{a:?} {b:?}");
    }

    #[test]
    fn deadlines_round_up_and_saturate() {
        let t = Tick::from_millis(10);
        assert_eq!(t + Duration::from_micros(1), Tick::from_millis(11));
        assert_eq!(t + Duration::from_millis(5), Tick::from_millis(15));
        assert_eq!(t + Duration::MAX, Tick::NEVER);
        assert_eq!(t - Tick::from_millis(20), Duration::ZERO);
    }
}
