//! Messages of others on their way out (configuration manual, 12.6): what they have is kept, what a format wants and
//! they do not have is filled in.

use std::io::Write;
use std::net::IpAddr;

use proxy_net::clock::{self, Wall};

use super::frame::{self, Header};
use super::{Format, TargetSpec, Targets};
use crate::log::syslog::{Form, MONTHS, Message};

/// `option host`: what becomes of the name of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostRule {
    /// The sender's address behind it, or instead of none.
    Append,
    /// The sender's address instead of none.
    #[default]
    Fill,
    Keep,
    /// The sender's address.
    Replace,
}

/// Whom a message came from, and what that makes of its host.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sender {
    /// `None` on unix sockets, where hosts are kept.
    pub ip: Option<IpAddr>,
    pub rule: HostRule,
}

impl Targets {
    /// Passes a message on.
    pub fn relay(&self, message: &Message<'_>, sender: Sender) {
        // Headers that are filled in are short.
        let size = message.text.len() + message.data.map_or(0, <[u8]>::len) + 256;
        self.to_each(message.severity(), size, |spec, _: &mut Header, out| {
            write(spec, message, sender, out);
        });
    }
}

fn write(spec: &TargetSpec, message: &Message<'_>, sender: Sender, out: &mut Vec<u8>) {
    let format = match (spec.keeps_form, message.form) {
        (false, _) => spec.format,
        (true, Form::Plain) => Format::Priority,
        (true, Form::Rfc3164) => Format::Rfc3164,
        (true, Form::Rfc5424) => Format::Rfc5424,
    };
    let priority = message.priority.unwrap_or_else(|| u16::from(spec.facility) * 8);
    let severity = (priority & 7).max(u16::from(spec.min_level));
    // A Vec takes everything.
    let _ = match format {
        Format::Local | Format::Rfc3164 | Format::Rfc5424 | Format::Priority => {
            write!(out, "<{}>", priority & !7 | severity)
        }
        Format::Short | Format::Timed => write!(out, "<{severity}>"),
        Format::Iso | Format::Raw => Ok(()),
    };
    match format {
        Format::Local | Format::Rfc3164 => {
            old_date(message, out);
            out.push(b' ');
            if format == Format::Rfc3164 {
                host(message, sender, b"localhost", out);
                out.push(b' ');
            }
            if let Some(app) = message.app {
                out.extend_from_slice(app);
                if let Some(pid) = message.pid {
                    out.push(b'[');
                    out.extend_from_slice(pid);
                    out.push(b']');
                }
                out.extend_from_slice(b": ");
            }
        }
        Format::Rfc5424 => {
            out.extend_from_slice(b"1 ");
            match message {
                Message { form: Form::Rfc5424, date: None, .. } => out.push(b'-'),
                _ => new_date(message, out),
            }
            out.push(b' ');
            host(message, sender, b"-", out);
            for field in [message.app, message.pid, message.id, message.data] {
                out.push(b' ');
                out.extend_from_slice(field.unwrap_or(b"-"));
            }
            out.push(b' ');
        }
        Format::Timed | Format::Iso => {
            new_date(message, out);
            out.push(b' ');
        }
        Format::Priority | Format::Short | Format::Raw => {}
    }
    out.extend_from_slice(message.text);
}

fn host(message: &Message<'_>, sender: Sender, none: &[u8], out: &mut Vec<u8>) {
    let (known, ip) = match (message.host, sender.rule) {
        (Some(host), HostRule::Fill | HostRule::Keep) => (Some(host), None),
        (Some(host), HostRule::Append) => (Some(host), sender.ip),
        // Without an address to put there, what is there stays.
        (Some(host), HostRule::Replace) => match sender.ip {
            None => (Some(host), None),
            ip => (None, ip),
        },
        (None, HostRule::Keep) => (None, None),
        (None, _) => (None, sender.ip),
    };
    if let Some(host) = known {
        out.extend_from_slice(host);
    }
    let _ = match (known, ip) {
        (Some(_), Some(ip)) => write!(out, ",{}", ip.to_canonical()),
        (None, Some(ip)) => write!(out, "{}", ip.to_canonical()),
        (Some(_), None) => Ok(()),
        (None, None) => out.write_all(none),
    };
}

/// `Nov 30 17:54:45`: the message's own date, or now.
fn old_date(message: &Message<'_>, out: &mut Vec<u8>) {
    match (message.form, message.date) {
        (Form::Rfc3164, Some(date)) => out.extend_from_slice(date),
        (Form::Rfc5424, Some(date)) => {
            // `2026-01-02T03:04:05...`, as was seen to. The zone is lost, as the form has none.
            let digit = |at: usize| usize::from(date[at] - b'0');
            let month = digit(5) * 10 + digit(6);
            let name = MONTHS.get(month.wrapping_sub(1)).unwrap_or(&MONTHS[0]);
            out.extend_from_slice(&name[..]);
            out.push(b' ');
            out.push(if date[8] == b'0' { b' ' } else { date[8] });
            out.push(date[9]);
            out.push(b' ');
            out.extend_from_slice(&date[11..19]);
        }
        _ => frame::bsd_date(clock::wall(), out),
    }
}

/// `2026-11-30T17:54:45...`: the message's own date, or now.
fn new_date(message: &Message<'_>, out: &mut Vec<u8>) {
    match (message.form, message.date) {
        (Form::Rfc5424, Some(date)) => out.extend_from_slice(date),
        (Form::Rfc3164, Some(date)) => {
            let month = MONTHS.iter().position(|name| name[..] == date[..3]).unwrap_or(0) as u8 + 1;
            let year = year_of(month, clock::wall());
            let day = if date[4] == b' ' { b'0' } else { date[4] };
            let _ = write!(out, "{year:04}-{month:02}-{}{}T", char::from(day), char::from(date[5]));
            out.extend_from_slice(&date[7..15]);
            // RFC 3339, 4.3: the offset from UTC is not known.
            out.extend_from_slice(b"-00:00");
        }
        _ => frame::iso_date(clock::wall(), out),
    }
}

/// The year of a date that has none: a month that is still to come was last year's.
fn year_of(month: u8, now: Wall) -> i32 {
    let (year, this) = frame::month(now);
    if month > this + 1 { year - 1 } else { year }
}

#[cfg(test)]
mod tests {
    use super::super::Destination;
    use super::*;

    fn relayed(format: Option<Format>, rule: HostRule, message: &str) -> String {
        let spec = TargetSpec {
            destination: Destination::Fd(1),
            format: format.unwrap_or(Format::Raw),
            keeps_form: format.is_none(),
            facility: 16,
            level: 7,
            min_level: 0,
            max_len: 1024,
            sample: None,
            tag: "haproxy".into(),
            buffers: Default::default(),
            hostname: None,
        };
        let mut out = Vec::new();
        let ip = Some(IpAddr::from([192, 0, 2, 1]));
        write(&spec, &Message::parse(message.as_bytes()), Sender { ip, rule }, &mut out);
        String::from_utf8(out).unwrap()
    }

    const OLD: &str = "<134>Nov  3 07:54:45 web1 haproxy[12]: hello";
    const NEW: &str = "<29>1 2026-01-02T03:04:05.123456+02:00 h5 app5 77 ID [ex a=\"b\"] three";

    #[track_caller]
    fn check(format: Option<Format>, message: &str, expected: &str) {
        let year = frame::month(clock::wall()).0;
        let seen = relayed(format, HostRule::Fill, message);
        // Whether November was this year or last depends on when this runs.
        let seen = seen.replace(&format!("{year}-11-"), "YEAR-11-");
        let seen = seen.replace(&format!("{}-11-", year - 1), "YEAR-11-");
        assert_eq!(seen, expected);
    }

    /// As HAProxy 2.6 does.
    #[test]
    fn forms_become_each_other() {
        check(None, OLD, OLD);
        check(None, NEW, NEW);
        check(None, "<13>x", "<13>x");
        check(None, "x", "<128>x");
        check(Some(Format::Rfc3164), OLD, OLD);
        check(Some(Format::Local), OLD, "<134>Nov  3 07:54:45 haproxy[12]: hello");
        check(
            Some(Format::Rfc5424),
            OLD,
            "<134>1 YEAR-11-03T07:54:45-00:00 web1 haproxy 12 - - hello",
        );
        check(Some(Format::Timed), OLD, "<6>YEAR-11-03T07:54:45-00:00 hello");
        check(Some(Format::Iso), NEW, "2026-01-02T03:04:05.123456+02:00 three");
        check(Some(Format::Rfc3164), NEW, "<29>Jan  2 03:04:05 h5 app5[77]: three");
        check(Some(Format::Rfc5424), NEW, NEW);
        check(Some(Format::Short), NEW, "<5>three");
        check(Some(Format::Priority), NEW, "<29>three");
        check(Some(Format::Raw), NEW, "three");
        check(Some(Format::Rfc5424), "<29>1 - h - - - - m", "<29>1 - h - - - - m");
    }

    #[test]
    fn hosts() {
        let of = |rule, message| {
            let seen = relayed(Some(Format::Rfc5424), rule, message);
            seen.split(' ').nth(2).unwrap_or_default().to_owned()
        };
        let none = "<29>1 - - - - - - m";
        for (rule, known, missing) in [
            (HostRule::Keep, "web1", "-"),
            (HostRule::Fill, "web1", "192.0.2.1"),
            (HostRule::Replace, "192.0.2.1", "192.0.2.1"),
            (HostRule::Append, "web1,192.0.2.1", "192.0.2.1"),
        ] {
            assert_eq!((of(rule, OLD), of(rule, none)), (known.to_owned(), missing.to_owned()));
        }
        let seen = relayed(Some(Format::Rfc3164), HostRule::Keep, "<13>x");
        assert!(seen.ends_with(" localhost x"), "{seen}");
    }
}
