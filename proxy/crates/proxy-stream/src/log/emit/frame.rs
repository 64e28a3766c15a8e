//! What stands in front of a line, by format (configuration manual, 4.2 "log"; RFC 3164, RFC 5424).

use std::io::Write;

use proxy_net::clock::{self, Wall};

use super::TargetSpec;
use crate::log::syslog::MONTHS;

/// `format` of a `log` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RFC 3164 without host name.
    Local,
    Rfc3164,
    Rfc5424,
    /// `<priority>`.
    Priority,
    /// `<severity>`.
    Short,
    /// `<severity>` and the ISO date.
    Timed,
    /// The ISO date.
    Iso,
    Raw,
}

/// The header of a target as it was last written: all but the priority changes once a second at most.
#[derive(Default)]
pub(super) struct Header {
    second: Option<i64>,
    /// What follows the priority, up to the line.
    text: Vec<u8>,
    /// Where microseconds belong, in formats that have them.
    fraction: Option<usize>,
}

impl Header {
    /// Appends the header of a line made now.
    pub(super) fn write(&mut self, spec: &TargetSpec, severity: u8, out: &mut Vec<u8>) {
        let priority = match spec.format {
            Format::Local | Format::Rfc3164 | Format::Rfc5424 | Format::Priority => {
                Some(spec.facility * 8 + severity)
            }
            Format::Short | Format::Timed => Some(severity),
            Format::Iso | Format::Raw => None,
        };
        if let Some(priority) = priority {
            push_priority(priority, out);
        }
        if matches!(spec.format, Format::Priority | Format::Short | Format::Raw) {
            return;
        }
        let now = clock::wall();
        if self.second != Some(now.secs) {
            self.second = Some(now.secs);
            self.text.clear();
            self.fraction = None;
            self.fill(spec, now);
        }
        let start = out.len();
        out.extend_from_slice(&self.text);
        if let Some(at) = self.fraction {
            let mut digits = [b'0'; 6];
            let mut rest = now.micros;
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            out[start + at..start + at + 6].copy_from_slice(&digits);
        }
    }

    fn fill(&mut self, spec: &TargetSpec, now: Wall) {
        let pid = std::process::id();
        let text = &mut self.text;
        let _ = match spec.format {
            Format::Local | Format::Rfc3164 => {
                let host = match (&spec.hostname, spec.format) {
                    (Some(host), Format::Rfc3164) => format!("{host} "),
                    _ => String::new(),
                };
                bsd_date(now, text);
                write!(text, " {host}{}[{pid}]: ", spec.tag)
            }
            Format::Rfc5424 | Format::Timed | Format::Iso => {
                if spec.format == Format::Rfc5424 {
                    text.extend_from_slice(b"1 ");
                }
                self.fraction = Some(text.len() + ISO_FRACTION);
                iso_date(now, text);
                match spec.format {
                    Format::Rfc5424 => {
                        let host = spec.hostname.as_deref().unwrap_or("-");
                        write!(text, " {host} {} {pid} - - ", spec.tag)
                    }
                    _ => write!(text, " "),
                }
            }
            Format::Priority | Format::Short | Format::Raw => Ok(()),
        };
    }
}

/// Appends `<134>`.
fn push_priority(priority: u8, out: &mut Vec<u8>) {
    let digit = |place: u8| b'0' + priority / place % 10;
    out.push(b'<');
    if priority >= 100 {
        out.push(digit(100));
    }
    if priority >= 10 {
        out.push(digit(10));
    }
    out.extend_from_slice(&[digit(1), b'>']);
}

/// The local time of a point of calendar time, and how far it is ahead of UTC.
fn local(at: Wall) -> (time::OffsetDateTime, i32) {
    let offset = clock::utc_offset(at.secs);
    let local = time::OffsetDateTime::from_unix_timestamp(at.secs + i64::from(offset));
    (local.unwrap_or(time::OffsetDateTime::UNIX_EPOCH), offset)
}

/// Month and year of a point of calendar time, where this process is.
pub(super) fn month(at: Wall) -> (i32, u8) {
    let (local, _) = local(at);
    (local.year(), u8::from(local.month()))
}

/// Appends `Nov 30 17:54:45`.
pub(super) fn bsd_date(at: Wall, out: &mut Vec<u8>) {
    let (local, _) = local(at);
    let (hour, minute, second) = local.to_hms();
    out.extend_from_slice(MONTHS[usize::from(u8::from(local.month())) - 1]);
    let _ = write!(out, " {:2} {hour:02}:{minute:02}:{second:02}", local.day());
}

/// Where microseconds begin in what [`iso_date`] appends.
const ISO_FRACTION: usize = 20;

/// Appends `2026-11-30T17:54:45.123456+01:00`.
pub(super) fn iso_date(at: Wall, out: &mut Vec<u8>) {
    let (local, offset) = local(at);
    let (hour, minute, second) = local.to_hms();
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:06}{}",
        local.year(),
        u8::from(local.month()),
        local.day(),
        at.micros,
        zone(offset)
    );
}

/// `+01:00`.
fn zone(offset: i32) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    let minutes = offset.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::super::Destination;
    use super::*;

    #[track_caller]
    fn check(format: Format, expected: &str) {
        let spec = TargetSpec {
            destination: Destination::Fd(1),
            format,
            facility: 16,
            level: 7,
            min_level: 0,
            max_len: 1024,
            keeps_form: false,
            sample: None,
            tag: "haproxy".into(),
            buffers: Default::default(),
            hostname: Some("box".into()),
        };
        let mut header = Header::default();
        let mut out = Vec::new();
        header.write(&spec, 6, &mut out);
        let pid = std::process::id().to_string();
        let text = String::from_utf8(out).unwrap().replace(&pid, "PID");
        // Digits of dates as 9, so that the shape is compared.
        let (priority, rest) = text.split_at(text.find('>').map_or(0, |at| at + 1));
        let shape: String =
            rest.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        assert_eq!(format!("{priority}{shape}"), expected);
    }

    #[test]
    fn shapes() {
        check(Format::Raw, "");
        check(Format::Short, "<6>");
        check(Format::Priority, "<134>");
        check(Format::Iso, "9999-99-99T99:99:99.999999+99:99 ");
        check(Format::Timed, "<6>9999-99-99T99:99:99.999999+99:99 ");
        check(Format::Rfc5424, "<134>9 9999-99-99T99:99:99.999999+99:99 box haproxy PID - - ");
    }

    #[test]
    fn priorities() {
        for priority in 0..=u8::MAX {
            let mut out = Vec::new();
            push_priority(priority, &mut out);
            assert_eq!(out, format!("<{priority}>").into_bytes());
        }
    }

    #[test]
    fn zones() {
        for (offset, text) in [(0, "+00:00"), (3600, "+01:00"), (-12_600, "-03:30")] {
            assert_eq!(zone(offset), text);
        }
    }
}
