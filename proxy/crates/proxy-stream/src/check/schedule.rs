//! Pauses between health checks (configuration manual, 5.2 `inter`, 3.2 `spread-checks`).

use std::time::Duration;

use proxy_state::server::{CheckSpec, Health};

/// When the first check of each server is due, for `count` servers of which the most often checked one has
/// `shortest` as its pause: they start spread over that time instead of all at once.
#[must_use]
pub fn first(index: usize, count: usize, shortest: Duration) -> Duration {
    let count = u32::try_from(count.max(1)).unwrap_or(u32::MAX);
    shortest / count * u32::try_from(index).unwrap_or(u32::MAX).min(count)
}

/// The time from one check to the next: `inter` while firmly up, `fastinter` while changing, `downinter` while
/// firmly down.
#[must_use]
pub fn pause(spec: &CheckSpec, health: Health) -> Duration {
    if health.is_changing() {
        spec.fastinter.unwrap_or(spec.inter)
    } else if health.is_up() {
        spec.inter
    } else {
        spec.downinter.unwrap_or(spec.inter)
    }
}

/// `spread-checks`: `pause` made up to `percent` (0 to 50) longer or shorter, by a random number.
#[must_use]
pub fn spread(pause: Duration, percent: u32, random: u32) -> Duration {
    let width = pause.as_nanos() * u128::from(percent.min(50)) / 100;
    let shift = width * 2 * u128::from(random) / u128::from(u32::MAX);
    let nanos = pause.as_nanos() - width + shift;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// How long the connection of a check may take: `inter` bounds a whole check; with `timeout check`, which then
/// bounds the rest, the smaller of `timeout connect` and `inter`.
#[must_use]
pub fn connect_limit(
    spec: &CheckSpec,
    timeout_connect: Option<Duration>,
    timeout_check: Option<Duration>,
) -> Duration {
    match (timeout_check, timeout_connect) {
        (Some(_), Some(connect)) => connect.min(spec.inter),
        _ => spec.inter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn starts_are_spread_over_the_shortest_pause() {
        let due: Vec<_> = (0..4).map(|i| first(i, 4, ms(2000))).collect();
        assert_eq!(due, [ms(0), ms(500), ms(1000), ms(1500)]);
        assert_eq!(first(0, 0, ms(2000)), ms(0));
    }

    #[track_caller]
    fn check(results: &str, expected: Duration) {
        let spec = CheckSpec {
            inter: ms(2000),
            fastinter: Some(ms(500)),
            downinter: Some(ms(5000)),
            rise: 2,
            fall: 3,
            ..CheckSpec::default()
        };
        let mut health = Health::new(spec.rise, spec.fall);
        health.force_up();
        for result in results.bytes() {
            let _ = if result == b'+' { health.passed() } else { health.failed() };
        }
        assert_eq!(pause(&spec, health), expected, "{results:?}");
    }

    #[test]
    fn the_pause_follows_the_state() {
        check("", ms(2000));
        check("++", ms(2000));
        check("-", ms(500));
        check("--", ms(500));
        check("---", ms(5000));
        check("----", ms(5000));
        check("---+", ms(500));
        check("---++", ms(2000));
    }

    #[test]
    fn jitter_stays_within_its_percentage() {
        assert_eq!(spread(ms(1000), 0, u32::MAX), ms(1000));
        assert_eq!(spread(ms(1000), 50, 0), ms(500));
        assert_eq!(spread(ms(1000), 50, u32::MAX), ms(1500));
        assert_eq!(spread(ms(1000), 99, u32::MAX), ms(1500));
        assert_eq!(spread(ms(1000), 10, u32::MAX), ms(1100));
    }

    #[test]
    fn timeout_check_makes_the_connect_timeout_count() {
        let spec = CheckSpec { inter: ms(2000), ..CheckSpec::default() };
        assert_eq!(connect_limit(&spec, Some(ms(500)), None), ms(2000));
        assert_eq!(connect_limit(&spec, Some(ms(500)), Some(ms(100))), ms(500));
        assert_eq!(connect_limit(&spec, Some(ms(5000)), Some(ms(100))), ms(2000));
        assert_eq!(connect_limit(&spec, None, Some(ms(100))), ms(2000));
    }
}
