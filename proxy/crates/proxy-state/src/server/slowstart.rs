//! `slowstart` (configuration manual, 5.2): a server that comes back gets a part of its weight and of its connections
//! that grows with time.

use super::{Change, Inner, Server};
use crate::Now;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// All of it.
pub(super) const WARM: u32 = 10_000;
/// Effective weights are counted in this part of a unit, so that a weight of 1 can grow, too.
pub const WEIGHT_SCALE: u32 = 16;
/// Steps of the growth.
const STEPS: u32 = 20;

impl Server {
    /// The weight that counts now, in units of 1/[`WEIGHT_SCALE`]: at least one when there is any weight.
    pub fn effective_weight(&self) -> u32 {
        self.part_of(self.weight() * WEIGHT_SCALE)
    }

    /// Of `all`, what the server gets now; at least 1 of anything.
    pub(super) fn part_of(&self, all: u32) -> u32 {
        match self.warmth.load(Ordering::Relaxed) {
            WARM => all,
            warmth => {
                let part = (u64::from(all) * u64::from(warmth)).div_ceil(u64::from(WARM));
                u32::try_from(part).unwrap_or(all)
            }
        }
    }

    /// Percent of its share that the server gets while it starts slowly; `None` when it has it all.
    pub fn throttle(&self) -> Option<u32> {
        let warmth = self.warmth.load(Ordering::Relaxed);
        (warmth != WARM).then(|| warmth.div_ceil(WARM / 100))
    }

    /// How often [`Server::warm_up`] wants to be called while [`Server::throttle`] is there.
    pub fn warm_up_step(&self) -> std::time::Duration {
        (self.spec.slowstart / STEPS).max(std::time::Duration::from_millis(10))
    }

    /// Lets the share grow with time; whether it is still less than all.
    pub fn warm_up(self: &Arc<Self>, now: Now) -> bool {
        if self.throttle().is_none() {
            return false;
        }
        // Everyone who knows the weight is told, as of a change.
        self.change(now, |inner| {
            inner.cooled = inner.warming_since.is_some();
            None
        });
        self.throttle().is_some()
    }
}

impl Inner {
    /// Notes when a server came back: it starts slowly from here on.
    pub(super) fn starts_slowly(&mut self, change: Option<&Change>, now: Now) {
        match change {
            Some(Change::Up(_) | Change::LeaveMaint { up: true, .. }) => {
                self.warming_since = Some(now);
            }
            Some(Change::Down(_) | Change::EnterMaint(_) | Change::EnterMaintDown(_)) => {
                self.warming_since = None
            }
            _ => {}
        }
    }

    /// The part of its share, of [`WARM`], that the server gets at `now`.
    pub(super) fn warmth(&mut self, slowstart: std::time::Duration, now: Now) -> u32 {
        let whole = u64::try_from(slowstart.as_millis()).unwrap_or(u64::MAX);
        let Some(since) = self.warming_since else { return WARM };
        let passed = now.ms_since(since);
        if passed >= whole {
            self.warming_since = None;
            return WARM;
        }
        let part = u128::from(passed) * u128::from(WARM) / u128::from(whole);
        u32::try_from(part).unwrap_or(WARM).clamp(1, WARM - 1)
    }
}
