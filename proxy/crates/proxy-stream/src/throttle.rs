//! How fast one direction of a stream may go (configuration manual, 9.7).
//!
//! A limit is so many bytes per period. What went through is counted over a period that slides: the running one, and
//! the share of the one before that it overlaps.

use std::task::{Context, Poll};
use std::time::Duration;

use proxy_net::clock::{self, Tick};
use proxy_net::timer::Timer;
use proxy_state::Now;
use proxy_state::stick::{Held, Slot};
use smallvec::SmallVec;

/// Bytes that are worth a wake-up, however low the limit, where `min-size` says nothing.
const WORTHWHILE: u64 = 1460;

/// All limits of a direction.
pub(crate) struct Throttle {
    limits: SmallVec<[Limit; 1]>,
    timer: Timer,
    /// The instant that [`Now`] counts from.
    epoch: Tick,
    /// Nothing may go through at the moment.
    waits: bool,
}

/// One limit of a direction.
pub(crate) struct Limit {
    /// Which one of the configuration.
    pub(crate) name: std::sync::Arc<str>,
    /// Bytes per period.
    pub(crate) bytes: u64,
    /// Bytes that go through at a time at least.
    pub(crate) min_size: u64,
    pub(crate) meter: Meter,
}

/// What counts the bytes.
pub(crate) enum Meter {
    /// Those of this stream.
    Own(Window),
    /// Those of all streams that share an entry of a stick table.
    Shared {
        held: Held,
        slot: Slot,
        /// Bytes that do not make a block of `brates-factor` yet.
        rest: u64,
    },
}

/// Bytes over a period that slides.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    period: u64,
    start: u64,
    current: u64,
    before: u64,
}

impl Window {
    /// `period` in ms; `now` on the clock of [`Now`].
    pub(crate) fn new(period: u32, now: u64) -> Self {
        Self { period: u64::from(period.max(1)), start: now, current: 0, before: 0 }
    }

    fn turn(&mut self, now: u64) {
        let periods = now.saturating_sub(self.start) / self.period;
        if periods > 0 {
            self.before = if periods == 1 { self.current } else { 0 };
            self.current = 0;
            self.start += periods * self.period;
        }
    }

    fn sum(&mut self, now: u64) -> u64 {
        self.turn(now);
        let left = self.period - now.saturating_sub(self.start).min(self.period);
        self.current + (u128::from(self.before) * u128::from(left) / u128::from(self.period)) as u64
    }
}

impl Limit {
    /// Bytes that may go through at `now`, and the period in ms.
    fn room(&mut self, now: Now) -> (u64, u64) {
        match &mut self.meter {
            Meter::Own(window) => (self.bytes.saturating_sub(window.sum(now.0)), window.period),
            Meter::Shared { held, slot, .. } => {
                let factor = u64::from(held.table.spec.brates_factor);
                let moved = held.entry.read(|values| values.get(*slot, now)).saturating_mul(factor);
                let users = u64::from(held.entry.trackers()).max(1);
                let share = self.bytes.div_ceil(users);
                (self.bytes.saturating_sub(moved).min(share), u64::from(slot.period_ms))
            }
        }
    }

    fn took(&mut self, bytes: u64, now: Now) {
        match &mut self.meter {
            Meter::Own(window) => {
                window.turn(now.0);
                window.current += bytes;
            }
            Meter::Shared { held, slot, rest } => {
                let factor = u64::from(held.table.spec.brates_factor).max(1);
                *rest += bytes;
                let blocks = *rest / factor;
                *rest %= factor;
                held.table.update(&held.entry, |values| values.add(*slot, blocks, now));
            }
        }
    }
}

impl Throttle {
    pub(crate) fn new(epoch: Tick) -> Self {
        Self { limits: SmallVec::new(), timer: Timer::new(), epoch, waits: false }
    }

    /// Sets a limit, in place of an earlier one of the same name.
    pub(crate) fn set(&mut self, limit: Limit) {
        self.limits.retain(|known| known.name != limit.name);
        self.limits.push(limit);
    }

    fn now(&self) -> Now {
        Now(clock::precise().as_millis().saturating_sub(self.epoch.as_millis()))
    }

    /// Whether nothing may go through at the moment.
    pub(crate) fn waits(&self) -> bool {
        self.waits
    }

    /// How many bytes may go through, once that is worth it.
    pub(crate) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        loop {
            let now = self.now();
            let (mut room, mut wait) = (u64::MAX, 0);
            for limit in &mut self.limits {
                let (there, period) = limit.room(now);
                let least =
                    limit.min_size.max(WORTHWHILE.min(limit.bytes / 10)).min(limit.bytes).max(1);
                if there < least {
                    let missing = least - there;
                    let time =
                        u128::from(period) * u128::from(missing) / u128::from(limit.bytes.max(1));
                    wait = wait.max((time as u64).clamp(1, period.max(1)));
                }
                room = room.min(there);
            }
            if wait == 0 {
                self.waits = false;
                self.timer.disarm();
                return Poll::Ready(usize::try_from(room).unwrap_or(usize::MAX));
            }
            if !self.waits {
                self.waits = true;
                self.timer.arm(Some(Duration::from_millis(wait)));
            }
            if self.timer.poll_expired(cx).is_pending() {
                return Poll::Pending;
            }
            self.waits = false;
        }
    }

    /// Counts what went through.
    pub(crate) fn took(&mut self, bytes: u64) {
        let now = self.now();
        self.limits.iter_mut().for_each(|limit| limit.took(bytes, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_slides() {
        let mut window = Window::new(1000, 5000);
        window.current = 800;
        assert_eq!(window.sum(5500), 800);
        // Of the last period three quarters still count.
        assert_eq!(window.sum(6250), 600);
        assert_eq!(window.sum(6999), 0);
        window.current = 10;
        assert_eq!(window.sum(9000), 0);
    }
}
