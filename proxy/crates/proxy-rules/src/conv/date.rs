//! Dates as text, and text as dates (configuration manual, 7.3.1).

use std::io::Write as _;

use super::string::made;
use crate::date::{Civil, two, zone};
use crate::sample::args::{ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const TIME: &[ArgDef] = &[req(ArgKind::Str), opt(ArgKind::Int)];

const fn time(name: &'static str, run: crate::sample::def::ConvFn, doc: &'static str) -> ConvDef {
    ConvDef::new(name, TIME, Type::Sint, Type::Str, run, doc).check(check_format)
}

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "date",
        &[],
        Type::Str,
        Type::Sint,
        date,
        "Reads a date of a header field, in any of its three forms.",
    )
    .eg(&[
        ("str(\"Sun, 06 Nov 1994 08:49:37 GMT\"),date", Some("784111777")),
        ("str(\"Sunday, 06-Nov-94 08:49:37 GMT\"),date", Some("784111777")),
        ("str(\"Sun Nov  6 08:49:37 1994\"),date", Some("784111777")),
        ("str(yesterday),date", None),
    ]),
    ConvDef::new(
        "http_date",
        &[opt(ArgKind::Int), opt(ArgKind::Str)],
        Type::Sint,
        Type::Str,
        http_date,
        "A date for header fields, of seconds, ms or us.",
    )
    .check(check_unit)
    .eg(&[
        ("int(784111777),http_date", Some("Sun, 06 Nov 1994 08:49:37 GMT")),
        ("int(784111776999),http_date(1,ms)", Some("Sun, 06 Nov 1994 08:49:37 GMT")),
    ]),
    time("ltime", ltime, "Local date, in the format of strftime(3).")
        .eg(&[("int(0),ltime(\"%H:%M %z\")", Some("01:00 +0100"))]),
    time("ms_ltime", ms_ltime, "Local date of milliseconds, in the format of strftime(3) and %N.")
        .eg(&[("int(1999),ms_ltime(\"%T.%3N\")", Some("01:00:01.999"))]),
    time("ms_utime", ms_utime, "UTC date of milliseconds, in the format of strftime(3) and %N.")
        .eg(&[("int(1500),ms_utime(%T.%N,499)", Some("00:00:01.999000000"))]),
    time("us_ltime", us_ltime, "Local date of microseconds, in the format of strftime(3) and %N.")
        .eg(&[("int(1000001),us_ltime(%T.%6N)", Some("01:00:01.000001"))]),
    time("us_utime", us_utime, "UTC date of microseconds, in the format of strftime(3) and %N.")
        .eg(&[("int(1000001),us_utime(%T.%2N)", Some("00:00:01.00"))]),
    time("utime", utime, "UTC date, in the format of strftime(3).").eg(&[
        ("int(1234567890),utime(%Y-%m-%dT%H:%M:%SZ)", Some("2009-02-13T23:31:30Z")),
        (
            "int(0),utime(%a %A %b %B %e %j %y %s %%)",
            Some("Thu Thursday Jan January  1 001 70 0 %"),
        ),
        (
            "int(1234567890),utime(%I:%M %p %u %w %C %h %k %l %R %r)",
            Some("11:31 PM 5 5 20 Feb 23 11 23:31 11:31:30 PM"),
        ),
        (
            "int(1234567890),utime(%c|%x|%X|%U %W %V %G %g|%Z)",
            Some("Fri Feb 13 23:31:30 2009|02/13/09|23:31:30|06 06 07 2009 09|UTC"),
        ),
    ]),
];

/// Conversions of strftime(3), in the C locale.
const CONVERSIONS: &[u8] = b"%aAbBcCdDeFgGhHIjklmMnNpPrRsSTtuUVwWxXyYzZ";

fn check_format(args: &mut Args) -> Result<(), String> {
    let mut format = args.str(0).unwrap_or_default();
    while let Some(at) = memchr::memchr(b'%', format) {
        let mut rest = &format[at + 1..];
        if let [b'1'..=b'9', after @ ..] = rest
            && after.first() == Some(&b'N')
        {
            rest = after;
        }
        match rest.first() {
            Some(c) if CONVERSIONS.contains(c) => format = &rest[1..],
            Some(c) => {
                return Err(format!("unknown conversion '%{}' of a date", char::from(*c)));
            }
            None => return Err("a '%' ends the format of the date".to_owned()),
        }
    }
    Ok(())
}

fn check_unit(args: &mut Args) -> Result<(), String> {
    match args.str(1) {
        None | Some(b"s" | b"ms" | b"us") => Ok(()),
        Some(_) => Err("the unit must be s, ms or us".to_owned()),
    }
}

fn http_date<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let unit = match args.str(1) {
        Some(b"ms") => 1000,
        Some(b"us") => 1_000_000,
        _ => 1,
    };
    let time = value.int()?.saturating_add(args.int(0).unwrap_or(0));
    let date = Civil::new(time.div_euclid(unit));
    made(cx, 29, |out| {
        let _ = date.write_http(out);
    })
    .map(Sample::Str)
}

fn ltime<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    print(cx, args, value, 1, true)
}

fn utime<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    print(cx, args, value, 1, false)
}

fn ms_ltime<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    print(cx, args, value, 1000, true)
}

fn ms_utime<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    print(cx, args, value, 1000, false)
}

fn us_ltime<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    print(cx, args, value, 1_000_000, true)
}

fn us_utime<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    print(cx, args, value, 1_000_000, false)
}

fn print<'a>(
    cx: &EvalCtx<'a>,
    args: &Args,
    value: Sample<'a>,
    unit: i64,
    local: bool,
) -> Option<Sample<'a>> {
    let time = value.int()?.saturating_add(args.int(1).unwrap_or(0));
    let (secs, nanos) = (time.div_euclid(unit), time.rem_euclid(unit) * (1_000_000_000 / unit));
    let offset = if local { cx.clock.utc_offset } else { 0 };
    let format = args.str(0)?;
    made(cx, 64, |out| strftime(out, format, secs, nanos, offset, local)).map(Sample::Str)
}

fn strftime(
    out: &mut crate::sample::def::Out<'_>,
    format: &[u8],
    secs: i64,
    nanos: i64,
    offset: i32,
    local: bool,
) {
    let date = Civil::new(secs.saturating_add(i64::from(offset)));
    let hour12 = (date.hour + 11) % 12 + 1;
    let weekday = if date.weekday == 0 { 7 } else { date.weekday };
    let mut rest = format;
    while let Some((&b, after)) = rest.split_first() {
        rest = after;
        let (width, conversion) = match (b, rest) {
            (b'%', [d @ b'1'..=b'9', b'N', tail @ ..]) => {
                rest = tail;
                (usize::from(d - b'0'), b'N')
            }
            (b'%', [c, tail @ ..]) => {
                rest = tail;
                (9, *c)
            }
            _ => {
                out.push(b);
                continue;
            }
        };
        // Writing to memory cannot fail.
        let _ = match conversion {
            b'a' => out.write_all(date.day_name().as_bytes()),
            b'A' => out.write_all(date.full_day_name().as_bytes()),
            b'b' | b'h' => out.write_all(date.month_name().as_bytes()),
            b'B' => out.write_all(date.full_month_name().as_bytes()),
            b'c' => write!(
                out,
                "{} {} {:2} {:02}:{:02}:{:02} {}",
                date.day_name(),
                date.month_name(),
                date.day,
                date.hour,
                date.minute,
                date.second,
                date.year
            ),
            b'C' => write!(out, "{:02}", date.year / 100),
            b'd' => out.write_all(&two(date.day)),
            b'D' | b'x' => write!(out, "{:02}/{:02}/{:02}", date.month, date.day, date.year % 100),
            b'e' => write!(out, "{:2}", date.day),
            b'F' => write!(out, "{}-{:02}-{:02}", date.year, date.month, date.day),
            b'g' => write!(out, "{:02}", date.iso_week().0 % 100),
            b'G' => write!(out, "{}", date.iso_week().0),
            b'H' => out.write_all(&two(date.hour)),
            b'I' => out.write_all(&two(hour12)),
            b'j' => write!(out, "{:03}", date.yearday + 1),
            b'k' => write!(out, "{:2}", date.hour),
            b'l' => write!(out, "{hour12:2}"),
            b'm' => out.write_all(&two(date.month)),
            b'M' => out.write_all(&two(date.minute)),
            b'n' => out.write_all(b"\n"),
            b'N' => {
                let mut digits = [0; 9];
                let mut left = nanos;
                for digit in digits.iter_mut().rev() {
                    *digit = b'0' + (left % 10) as u8;
                    left /= 10;
                }
                out.write_all(&digits[..width])
            }
            b'p' => out.write_all(if date.hour < 12 { b"AM" } else { b"PM" }),
            b'P' => out.write_all(if date.hour < 12 { b"am" } else { b"pm" }),
            b'r' => write!(
                out,
                "{hour12:02}:{:02}:{:02} {}",
                date.minute,
                date.second,
                if date.hour < 12 { "AM" } else { "PM" }
            ),
            b'R' => write!(out, "{:02}:{:02}", date.hour, date.minute),
            b's' => write!(out, "{secs}"),
            b'S' => out.write_all(&two(date.second)),
            b't' => out.write_all(b"\t"),
            b'T' | b'X' => {
                write!(out, "{:02}:{:02}:{:02}", date.hour, date.minute, date.second)
            }
            b'u' => write!(out, "{weekday}"),
            b'U' => write!(out, "{:02}", (date.yearday + 7 - u16::from(date.weekday)) / 7),
            b'V' => write!(out, "{:02}", date.iso_week().1),
            b'w' => write!(out, "{}", date.weekday),
            b'W' => write!(out, "{:02}", (date.yearday + 8 - u16::from(weekday)) / 7),
            b'y' => write!(out, "{:02}", date.year % 100),
            b'Y' => write!(out, "{}", date.year),
            b'z' => out.write_all(&zone(offset)),
            b'Z' if local => out.write_all(&zone(offset)),
            b'Z' => out.write_all(b"UTC"),
            c => out.write_all(&[c]),
        };
    }
}

/// RFC 9110, 5.6.7.
fn date<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = std::str::from_utf8(value.bytes()?).ok()?;
    crate::date::parse_http(text).map(Sample::Int)
}
