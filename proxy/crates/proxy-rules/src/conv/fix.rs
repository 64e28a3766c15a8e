//! FIX, the Financial Information eXchange protocol (configuration manual, 7.3.1; fixtrading.org, "FIX tagvalue
//! encoding").

use crate::sample::args::{Arg, ArgKind, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "fix_is_valid",
        &[],
        Type::Bin,
        Type::Bool,
        is_valid,
        "True for a valid FIX message.",
    )
    .eg(&[
        ("bin(383d4649582e342e3201393d350133353d300131303d31363101),fix_is_valid", Some("1")),
        ("bin(383d4649582e342e3201393d350133353d300131303d31363201),fix_is_valid", Some("0")),
        ("str(GET / HTTP/1.1),fix_is_valid", Some("0")),
    ]),
    ConvDef::new(
        "fix_tag_value",
        &[req(ArgKind::Str)],
        Type::Bin,
        Type::Bin,
        tag_value,
        "The value of a tag of a FIX message, by number or name.",
    )
    .check(check_tag)
    .eg(&[
        ("bin(383d4649582e342e3201393d350133353d300131303d31363101),fix_tag_value(35)", Some("0")),
        (
            "bin(383d4649582e342e3201393d350133353d300131303d31363101),fix_tag_value(BeginString)",
            Some("FIX.4.2"),
        ),
        ("bin(383d4649582e342e3201393d350133353d300131303d31363101),fix_tag_value(49)", None),
    ]),
];

const SOH: u8 = 1;

const NAMES: [(&str, i64); 6] = [
    ("BeginString", 8),
    ("BodyLength", 9),
    ("MsgType", 35),
    ("SenderCompID", 49),
    ("TargetCompID", 56),
    ("CheckSum", 10),
];

const VERSIONS: [&[u8]; 7] =
    [b"FIX.4.0", b"FIX.4.1", b"FIX.4.2", b"FIX.4.3", b"FIX.4.4", b"FIX.5.0", b"FIXT.1.1"];

fn check_tag(args: &mut Args) -> Result<(), String> {
    let name = String::from_utf8_lossy(args.str(0).unwrap_or_default()).into_owned();
    let named = NAMES.iter().find(|(n, _)| *n == name).map(|(_, tag)| *tag);
    let tag = named.or_else(|| name.parse().ok()).filter(|tag| *tag > 0);
    args.0[0] = Arg::Int(tag.ok_or_else(|| format!("unknown FIX tag '{name}'"))?);
    Ok(())
}

/// Cuts the first `tag=value` off; gives the tag, the value and what is behind the end of it.
fn field(text: &[u8]) -> Option<(i64, &[u8], &[u8])> {
    let end = memchr::memchr(SOH, text)?;
    let eq = memchr::memchr(b'=', &text[..end])?;
    let digits = &text[..eq];
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let tag = digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0'));
    let value = &text[eq + 1..end];
    (tag > 0 && !value.is_empty()).then_some((tag, value, &text[end + 1..]))
}

fn valid(message: &[u8]) -> Option<()> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<usize>().ok();
    let (tag, version, rest) = field(message)?;
    (tag == 8 && VERSIONS.contains(&version)).then_some(())?;
    let (tag, length, body) = field(rest)?;
    (tag == 9).then_some(())?;
    // The body goes from here to the checksum.
    let tail = body.get(number(length)?..)?;
    let (tag, _, mut rest) = field(body)?;
    (tag == 35).then_some(())?;
    while rest.len() > tail.len() {
        let (_, _, after) = field(rest)?;
        rest = after;
    }
    (rest.len() == tail.len()).then_some(())?;
    let (tag, checksum, end) = field(tail)?;
    (tag == 10 && checksum.len() == 3 && end.is_empty()).then_some(())?;
    let summed = &message[..message.len() - tail.len()];
    let sum = summed.iter().fold(0u8, |sum, b| sum.wrapping_add(*b));
    (number(checksum)? == usize::from(sum)).then_some(())
}

fn is_valid<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Bool(valid(value.bytes()?).is_some()))
}

fn tag_value<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let mut rest = value.bytes()?;
    loop {
        let (tag, value, after) = field(rest)?;
        if Some(tag) == args.int(0) {
            return Some(Sample::Bin(value));
        }
        rest = after;
    }
}
