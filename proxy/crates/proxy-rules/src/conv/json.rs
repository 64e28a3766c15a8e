//! JSON: escaping a string, and values by their path (configuration manual, 7.3.1).

use super::string::made;
use crate::json::{self, Json};
use crate::sample::args::{ArgKind, opt, req};
use crate::sample::def::Out;
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "json",
        &[opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        json,
        "Escapes a text for JSON, read as ascii, utf8, utf8s, utf8p or utf8ps.",
    )
    .check(check_code)
    .eg(&[
        ("str(foo 1/2),json", Some("foo 1\\/2")),
        ("str(\"a\\\"\\n\"),json(utf8)", Some("a\\\"\\n")),
        ("bin(2de02d),json(utf8s)", Some("--")),
        ("bin(2de02d),json(utf8)", None),
        ("bin(c3a9),json(utf8)", Some("\\u00e9")),
        ("bin(c3a9),json(ascii)", Some("\\u00c3\\u00a9")),
        ("bin(c081),json(utf8p)", Some("\\u0001")),
        ("bin(f09f9880),json(utf8)", None),
    ]),
    ConvDef::new(
        "json_query",
        &[req(ArgKind::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Any,
        json_query,
        "The value at a JSON path; `int` asks for a number.",
    )
    .check(check_query)
    .eg(&[
        (r#"str('{"a":{"b":[4]}}'),json_query('$.a.b[0]',int),add(1)"#, Some("5")),
        (r#"str('{"a":"x\ny"}'),json_query('$.a')"#, Some("x\ny")),
        (r#"str('{"a":true}'),json_query('$.a')"#, Some("1")),
        (r#"str('{"a":1.5}'),json_query('$.a')"#, Some("1.5")),
        (r#"str('{"a":[1,"b"]}'),json_query('$.a')"#, Some(r#"[1,"b"]"#)),
        (r#"str('{"a":1}'),json_query('$.b')"#, None),
    ]),
];

/// How [`json`] reads its input.
#[derive(Clone, Copy)]
struct Decoder {
    utf8: bool,
    /// Leaves out what is wrong.
    silent: bool,
    /// Takes characters written with more bytes than needed.
    permissive: bool,
}

const DECODERS: [(&[u8], Decoder); 6] = [
    (b"", Decoder { utf8: false, silent: false, permissive: false }),
    (b"ascii", Decoder { utf8: false, silent: false, permissive: false }),
    (b"utf8", Decoder { utf8: true, silent: false, permissive: false }),
    (b"utf8s", Decoder { utf8: true, silent: true, permissive: false }),
    (b"utf8p", Decoder { utf8: true, silent: false, permissive: true }),
    (b"utf8ps", Decoder { utf8: true, silent: true, permissive: true }),
];

fn check_code(args: &mut Args) -> Result<(), String> {
    let name = args.str(0).unwrap_or_default();
    match DECODERS.iter().any(|(n, _)| *n == name) {
        true => Ok(()),
        false => {
            Err("unexpected input code type (ascii, utf8, utf8s, utf8p or utf8ps is expected)"
                .to_owned())
        }
    }
}

fn json<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    let name = args.str(0).unwrap_or_default();
    let decoder = DECODERS.iter().find(|(n, _)| *n == name)?.1;
    let mut valid = true;
    let escaped = made(cx, text.len() + 16, |out| {
        let mut rest = text;
        while !rest.is_empty() {
            let (used, code) = decoder.next(rest);
            rest = &rest[used..];
            match code {
                Some(code) if code <= 0xffff => escape(out, code),
                _ if decoder.silent => {}
                _ => {
                    valid = false;
                    return;
                }
            }
        }
    })?;
    valid.then_some(Sample::Str(escaped))
}

impl Decoder {
    /// Bytes used, and the character if there is one.
    fn next(self, text: &[u8]) -> (usize, Option<u32>) {
        let first = text[0];
        if !self.utf8 || first < 0x80 {
            return (1, Some(u32::from(first)));
        }
        let len = match first {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            _ => return (1, None),
        };
        let tail = &text[1..text.len().min(len)];
        let good = tail.iter().take_while(|b| **b & 0xc0 == 0x80).count();
        if good + 1 < len {
            return (1 + good, None);
        }
        let lead = u32::from(first) & (0x7f >> len);
        let code = tail.iter().fold(lead, |code, b| code << 6 | u32::from(b & 0x3f));
        let overlong = code < [0x80, 0x800, 0x10000][len - 2];
        let invalid = (0xd800..=0xdfff).contains(&code) || matches!(code, 0xfffe | 0xffff);
        match (overlong && !self.permissive) || invalid {
            true => (len, None),
            false => (len, Some(code)),
        }
    }
}

fn escape(out: &mut Out<'_>, code: u32) {
    let short: &[u8] = match code {
        0x08 => b"\\b",
        0x09 => b"\\t",
        0x0a => b"\\n",
        0x0c => b"\\f",
        0x0d => b"\\r",
        0x22 => b"\\\"",
        0x2f => b"\\/",
        0x5c => b"\\\\",
        0x20..=0x7e => {
            out.push(code as u8);
            return;
        }
        _ => {
            let digit = |shift: u32| b"0123456789abcdef"[(code >> shift) as usize & 15];
            out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
            return;
        }
    };
    out.extend_from_slice(short);
}

pub(super) fn check_query(args: &mut Args) -> Result<(), String> {
    if let Some(path) = args.str(0) {
        json::check_path(path)?;
    }
    match args.str(1) {
        None | Some(b"int" | b"") => Ok(()),
        Some(other) => Err(format!(
            "output type '{}' is not supported, only 'int' is",
            String::from_utf8_lossy(other)
        )),
    }
}

fn json_query<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    query(cx, args, value.bytes()?)
}

/// The value at the path of the arguments.
pub(super) fn query<'a>(cx: &EvalCtx<'a>, args: &'a Args, text: &'a [u8]) -> Option<Sample<'a>> {
    let found = json::find(text, args.str(0)?)?;
    let as_int = args.str(1) == Some(b"int");
    match found {
        Json::Number(digits) if as_int => {
            let text = std::str::from_utf8(digits).ok()?;
            let float = || text.parse::<f64>().ok().map(|n| n as i64);
            text.parse().ok().or_else(float).map(Sample::Int)
        }
        Json::Number(digits) => Some(Sample::Str(digits)),
        Json::Bool(b) => Some(Sample::Bool(b)),
        Json::String(text) if !text.contains(&b'\\') => Some(Sample::Str(text)),
        Json::String(text) => {
            let mut valid = true;
            let plain = made(cx, text.len(), |out| {
                valid = json::unescape(text, |piece| out.extend_from_slice(piece));
            })?;
            valid.then_some(Sample::Str(plain))
        }
        Json::Array(text) => Some(Sample::Str(text)),
        Json::Null | Json::Object(_) => None,
    }
}
