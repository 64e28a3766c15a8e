//! How often something happened within a period that slides.

/// Value of [`SERVICE_RATES`](crate::maps::SERVICE_RATES) and [`SOURCE_RATES`](crate::maps::SOURCE_RATES): what was
/// counted in the present period and in the one before, as HAProxy counts. CPUs that count at the same
/// moment may lose one or two.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rate {
    /// When the present period began, in nanoseconds.
    pub start_ns: u64,
    pub current: u32,
    pub previous: u32,
}

impl Rate {
    /// As it is at a later time.
    #[inline(always)]
    pub const fn at(self, now: u64, period: u64) -> Self {
        let elapsed = now.wrapping_sub(self.start_ns);
        if elapsed < period {
            self
        } else if elapsed < 2 * period {
            Self {
                start_ns: self.start_ns.wrapping_add(period),
                current: 0,
                previous: self.current,
            }
        } else {
            Self { start_ns: now, current: 0, previous: 0 }
        }
    }

    /// How often within the last period: all of the present one, and of the one before the part that still counts.
    #[inline(always)]
    pub const fn value(self, now: u64, period: u64) -> u64 {
        let left = period.wrapping_sub(now.wrapping_sub(self.start_ns));
        // In microseconds, so that the product fits.
        let (left, period) = (left / 1000, period / 1000);
        if period == 0 {
            return self.current as u64;
        }
        self.current as u64 + self.previous as u64 * left / period
    }
}

const _: () = assert!(size_of::<Rate>() == 16);

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn periods_slide() {
        let rate = Rate { start_ns: 10 * SECOND, current: 8, previous: 4 };
        let check = |now: u64, expected: u64| {
            let now = 10 * SECOND + now;
            assert_eq!(rate.at(now, SECOND).value(now, SECOND), expected, "{now}");
        };
        check(0, 12);
        check(SECOND / 2, 10);
        check(SECOND, 8);
        check(SECOND * 3 / 2, 4);
        check(SECOND * 2, 0);
        check(SECOND * 100, 0);
    }
}
