//! Calendar dates of log lines and converters: from seconds since 1970 to text.

use std::cell::Cell;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const FULL_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const FULL_DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// A date of the proleptic Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    /// 1 to 12.
    pub(crate) month: u8,
    /// 1 to 31.
    pub(crate) day: u8,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
    /// 0 is Sunday.
    pub(crate) weekday: u8,
    /// 0 is the first of January.
    pub(crate) yearday: u16,
}

impl Civil {
    /// The date `secs` after 1970-01-01 00:00:00 on a clock without leap seconds. Years beyond ±292 thousand
    /// million do not occur: the day is clamped to what 10,000 years hold on either side.
    pub(crate) fn new(secs: i64) -> Self {
        const LIMIT: i64 = 10_000 * 366;
        let days = secs.div_euclid(86_400).clamp(-LIMIT, LIMIT);
        let rest = secs.rem_euclid(86_400);
        // Days from 0000-03-01, in eras of 400 years, so that the leap day is the last of a year
        // (H. Hinnant, "chrono-compatible low-level date algorithms").
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let of_era = z.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let yearday = if month > 2 { of_year + 59 + i64::from(leap) } else { of_year - 306 };
        Self {
            year,
            month: month as u8,
            day: day as u8,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
            yearday: yearday as u16,
        }
    }

    /// As fields of HTTP have it (RFC 9110, 5.6.7).
    pub(crate) fn write_http(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        write!(
            out,
            "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
            self.day_name(),
            self.day,
            self.month_name(),
            self.year,
            self.hour,
            self.minute,
            self.second
        )
    }

    pub(crate) fn month_name(&self) -> &'static str {
        MONTHS[usize::from(self.month - 1)]
    }

    pub(crate) fn day_name(&self) -> &'static str {
        DAYS[usize::from(self.weekday)]
    }

    pub(crate) fn full_month_name(&self) -> &'static str {
        FULL_MONTHS[usize::from(self.month - 1)]
    }

    pub(crate) fn full_day_name(&self) -> &'static str {
        FULL_DAYS[usize::from(self.weekday)]
    }

    /// Year and week of ISO 8601: weeks start on Monday, the first one has the year's first Thursday.
    pub(crate) fn iso_week(&self) -> (i64, i64) {
        let weekday = i64::from(if self.weekday == 0 { 7 } else { self.weekday });
        let week = (i64::from(self.yearday) + 1 - weekday + 10) / 7;
        let weeks_of = |year: i64| {
            let p = |y: i64| (y + y / 4 - y / 100 + y / 400).rem_euclid(7);
            if p(year) == 4 || p(year - 1) == 3 { 53 } else { 52 }
        };
        if week < 1 {
            (self.year - 1, weeks_of(self.year - 1))
        } else if week > weeks_of(self.year) {
            (self.year + 1, 1)
        } else {
            (self.year, week)
        }
    }

    /// [`Civil::log`] of a date. Most lines of a thread ask for the second that the line before asked for.
    pub(crate) fn log_at(secs: i64) -> [u8; 20] {
        thread_local! {
            static LAST: Cell<Option<(i64, [u8; 20])>> = const { Cell::new(None) };
        }
        match LAST.get() {
            Some((known, text)) if known == secs => text,
            _ => {
                let text = Self::new(secs).log();
                LAST.set(Some((secs, text)));
                text
            }
        }
    }

    /// `23/Nov/2026:09:39:17`, the form of log lines.
    fn log(&self) -> [u8; 20] {
        let mut text = *b"00/Mon/0000:00:00:00";
        text[0..2].copy_from_slice(&two(self.day));
        text[3..6].copy_from_slice(self.month_name().as_bytes());
        text[7..9].copy_from_slice(&two((self.year / 100 % 100) as u8));
        text[9..11].copy_from_slice(&two((self.year % 100) as u8));
        text[12..14].copy_from_slice(&two(self.hour));
        text[15..17].copy_from_slice(&two(self.minute));
        text[18..20].copy_from_slice(&two(self.second));
        text
    }
}

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar (H. Hinnant, as in [`Civil::new`]).
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Seconds since 1970 as fields of HTTP have them (RFC 9110, 5.6.7).
#[must_use]
pub fn http_date(secs: i64) -> Vec<u8> {
    let mut out = Vec::with_capacity(29);
    // Writing to memory does not fail.
    let _ = Civil::new(secs).write_http(&mut out);
    out
}

/// A date of a header field in any of the forms of RFC 9110, 5.6.7, as seconds since 1970.
pub(crate) fn parse_http(text: &str) -> Option<i64> {
    let month = |name: &str| Some(MONTHS.iter().position(|m| *m == name)? as i64 + 1);
    let mut words = text.split([' ', ',']).filter(|w| !w.is_empty());
    let (first, second) = (words.next()?, words.next()?);
    let known = |names: &[&str; 7]| names.contains(&first);
    if !known(&DAYS) && !known(&FULL_DAYS) {
        return None;
    }
    let (year, month, day, time) = if let Some((day, rest)) = second.split_once('-') {
        // RFC 850: a year of two digits is at most 50 years ahead of 2020.
        let (name, year) = rest.split_once('-')?;
        let year: i64 = year.parse().ok()?;
        let year = if year >= 100 {
            year
        } else if year < 70 {
            2000 + year
        } else {
            1900 + year
        };
        (year, month(name)?, day.parse().ok()?, words.next()?)
    } else if second.starts_with(|c: char| c.is_ascii_digit()) {
        let (name, year, time) = (words.next()?, words.next()?, words.next()?);
        (year.parse().ok()?, month(name)?, second.parse().ok()?, time)
    } else {
        let (day, time, year) = (words.next()?, words.next()?, words.next()?);
        (year.parse().ok()?, month(second)?, day.parse().ok()?, time)
    };
    let mut parts = time.split(':').map(|n| n.parse::<i64>().ok());
    let (h, m, s) = (parts.next()??, parts.next()??, parts.next()??);
    let valid = (1..=31).contains(&day) && (0..24).contains(&h) && (0..60).contains(&m);
    let valid = valid && (0..=60).contains(&s) && (0..10_000).contains(&year);
    valid.then(|| days(year, month, day) * 86_400 + h * 3600 + m * 60 + s)
}

/// Two digits of a number below 100.
pub(crate) fn two(n: u8) -> [u8; 2] {
    [b'0' + n / 10 % 10, b'0' + n % 10]
}

/// `+0100` for one hour ahead of UTC.
pub(crate) fn zone(offset: i32) -> [u8; 5] {
    let minutes = offset.unsigned_abs() / 60;
    let (h, m) = (two((minutes / 60 % 100) as u8), two((minutes % 60) as u8));
    [if offset < 0 { b'-' } else { b'+' }, h[0], h[1], m[0], m[1]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(secs: i64, expected: &str, weekday: &str, yearday: u16) {
        let civil = Civil::new(secs);
        assert_eq!(String::from_utf8_lossy(&civil.log()), expected);
        assert_eq!([Civil::log_at(secs), Civil::log_at(secs)], [civil.log(); 2]);
        assert_eq!((civil.day_name(), civil.yearday), (weekday, yearday));
    }

    #[test]
    fn dates() {
        check(0, "01/Jan/1970:00:00:00", "Thu", 0);
        check(1_234_567_890, "13/Feb/2009:23:31:30", "Fri", 43);
        check(951_782_400, "29/Feb/2000:00:00:00", "Tue", 59);
        check(951_868_800, "01/Mar/2000:00:00:00", "Wed", 60);
        check(1_798_761_599, "31/Dec/2026:23:59:59", "Thu", 364);
        check(-1, "31/Dec/1969:23:59:59", "Wed", 364);
        let _ = (Civil::new(i64::MAX), Civil::new(i64::MIN));
        assert_eq!(&zone(-5400), b"-0130");
        assert_eq!(&zone(7200), b"+0200");
    }
}
