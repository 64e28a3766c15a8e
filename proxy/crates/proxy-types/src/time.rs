//! Durations: `5s`, `200ms`, `1d`, or a plain number in the keyword's own unit (configuration manual, 2.5).

use std::time::Duration;

/// The unit of a number without a suffix. Most keywords take milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Day,
    Hour,
    Microsecond,
    Millisecond,
    Minute,
    Second,
}

impl Unit {
    fn micros(self) -> u128 {
        match self {
            Self::Microsecond => 1,
            Self::Millisecond => 1_000,
            Self::Second => 1_000_000,
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => 86_400_000_000,
        }
    }
}

/// Timers are kept by HAProxy in 31 bits of milliseconds: about 24.8 days.
pub const TIMER_MAX: Duration = Duration::from_millis(2_147_483_647);

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    #[error("missing value")]
    Empty,
    #[error("unexpected character '{found}'")]
    Unexpected { found: char, offset: usize },
    #[error("timer overflow (maximum value is 2147483647 ms or ~24.8 days)")]
    Overflow,
    #[error("timer underflow (minimum non-null value is 1 ms)")]
    Underflow,
}

/// Duration in `text`, exact to the microsecond; a number without suffix counts `default`.
///
/// # Errors
/// [`TimeError::Overflow`] from 2^64 microseconds on; [`TimeError::Unexpected`] on signs, decimals, other units.
pub fn parse_duration(text: &str, default: Unit) -> Result<Duration, TimeError> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let unexpected = |offset: usize| match text.get(offset..).and_then(|t| t.chars().next()) {
        Some(found) => TimeError::Unexpected { found, offset },
        None => TimeError::Empty,
    };
    if number.is_empty() {
        return Err(unexpected(0));
    }
    let (unit, used) = match suffix.as_bytes() {
        [] => (default, 0),
        [b'u', b's', ..] => (Unit::Microsecond, 2),
        [b'm', b's', ..] => (Unit::Millisecond, 2),
        [b's', ..] => (Unit::Second, 1),
        [b'm', ..] => (Unit::Minute, 1),
        [b'h', ..] => (Unit::Hour, 1),
        [b'd', ..] => (Unit::Day, 1),
        _ => return Err(unexpected(digits)),
    };
    if suffix.len() > used {
        return Err(unexpected(digits + used));
    }
    let value: u128 = number.parse().map_err(|_| TimeError::Overflow)?;
    let micros = value.checked_mul(unit.micros()).ok_or(TimeError::Overflow)?;
    u64::try_from(micros).map(Duration::from_micros).map_err(|_| TimeError::Overflow)
}

/// A timer: [`parse_duration`] with milliseconds as default, at most [`TIMER_MAX`], and either zero or at
/// least one millisecond.
pub fn parse_timer(text: &str) -> Result<Duration, TimeError> {
    parse_timer_in(text, Unit::Millisecond)
}

/// [`parse_timer`] for the few keywords whose plain numbers count another unit.
pub fn parse_timer_in(text: &str, default: Unit) -> Result<Duration, TimeError> {
    let value = parse_duration(text, default)?;
    if value > TIMER_MAX {
        return Err(TimeError::Overflow);
    }
    if !value.is_zero() && value < Duration::from_millis(1) {
        return Err(TimeError::Underflow);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u64, TimeError>) {
        assert_eq!(parse_timer(text), expected.map(Duration::from_millis), "{text:?}");
    }

    #[test]
    fn timers() {
        check("0", Ok(0));
        check("5000", Ok(5000));
        check("5s", Ok(5000));
        check("200ms", Ok(200));
        check("2000us", Ok(2));
        check("1m", Ok(60_000));
        check("1h", Ok(3_600_000));
        check("1d", Ok(86_400_000));
        check("24d", Ok(2_073_600_000));
        check("2147483647", Ok(2_147_483_647));
        check("2147483648", Err(TimeError::Overflow));
        check("25d", Err(TimeError::Overflow));
        check("99999999999999999999999999999999999999999", Err(TimeError::Overflow));
        check("340282366920938463463374607431768211455d", Err(TimeError::Overflow));
        check("0us", Ok(0));
        check("999us", Err(TimeError::Underflow));
        check("", Err(TimeError::Empty));
        check("s", Err(TimeError::Unexpected { found: 's', offset: 0 }));
        check("-5", Err(TimeError::Unexpected { found: '-', offset: 0 }));
        check("1.5s", Err(TimeError::Unexpected { found: '.', offset: 1 }));
        check("5x", Err(TimeError::Unexpected { found: 'x', offset: 1 }));
        check("5u", Err(TimeError::Unexpected { found: 'u', offset: 1 }));
        check("5sec", Err(TimeError::Unexpected { found: 'e', offset: 2 }));
        check("5 s", Err(TimeError::Unexpected { found: ' ', offset: 1 }));
    }

    #[test]
    fn other_default_units() {
        assert_eq!(parse_timer_in("30", Unit::Second), Ok(Duration::from_secs(30)));
        assert_eq!(parse_timer_in("30ms", Unit::Second), Ok(Duration::from_millis(30)));
        assert_eq!(parse_duration("15us", Unit::Millisecond), Ok(Duration::from_micros(15)));
    }
}
