//! Binary values as digits (configuration manual, 7.3.1).

use super::string::made;
use crate::sample::args::{ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const CHUNKS: &[ArgDef] = &[req(ArgKind::Str), opt(ArgKind::Int), opt(ArgKind::Int)];
const HEX: &[ArgDef] = &[opt(ArgKind::Str), opt(ArgKind::Int), opt(ArgKind::Int)];

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new("base2", &[], Type::Bin, Type::Str, base2, "Eight binary digits per byte.")
        .eg(&[("bin(05f0),base2", Some("0000010111110000"))]),
    ConvDef::new("be2dec", CHUNKS, Type::Bin, Type::Str, be2dec, "Big-endian numbers of some bytes each, with a separator between; 1 drops a short last one.")
        .check(check_dec)
        .eg(&[
            ("bin(01020304050607),be2dec(:,2)", Some("258:772:1286:7")),
            ("bin(01020304050607),be2dec(-,2,1)", Some("258-772-1286")),
            ("bin(01020304050607),be2dec(,2,1)", Some("2587721286")),
            ("bin(7f000001),be2dec(.,1)", Some("127.0.0.1")),
        ]),
    ConvDef::new("be2hex", HEX, Type::Bin, Type::Str, be2hex, "Two hexadecimal digits per byte, with a separator between chunks; 1 drops a short last one.")
        .check(check_hex)
        .eg(&[
            ("bin(01020304050607),be2hex", Some("01020304050607")),
            ("bin(01020304050607),be2hex(:,2)", Some("0102:0304:0506:07")),
            ("bin(01020304050607),be2hex(--,2,1)", Some("0102--0304--0506")),
            ("bin(0102030405060708),be2hex(,3,1)", Some("010203040506")),
        ]),
    ConvDef::new("le2dec", CHUNKS, Type::Bin, Type::Str, le2dec, "Little-endian numbers of some bytes each, with a separator between; 1 drops a short last one.")
        .check(check_dec)
        .eg(&[
            ("bin(01020304050607),le2dec(:,2)", Some("513:1027:1541:7")),
            ("bin(7f000001),le2dec(.,1)", Some("127.0.0.1")),
        ]),
];

fn base2<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let data = value.bytes()?;
    made(cx, data.len() * 8, |out| {
        for byte in data {
            out.extend((0..8).rev().map(|bit| b'0' + (byte >> bit & 1)));
        }
    })
    .map(Sample::Str)
}

fn check_hex(args: &mut Args) -> Result<(), String> {
    let chunk = args.int(1);
    if chunk.is_some_and(|n| n < 0) {
        return Err(format!("invalid chunk size {}", chunk.unwrap_or(0)));
    }
    check_truncate(args)
}

fn check_dec(args: &mut Args) -> Result<(), String> {
    match args.int(1) {
        Some(1..=8) => check_truncate(args),
        _ => Err("the chunk size must be from 1 to 8 (bytes)".to_owned()),
    }
}

fn check_truncate(args: &Args) -> Result<(), String> {
    match args.int(2) {
        None | Some(0 | 1) => Ok(()),
        Some(n) => Err(format!("the truncate flag must be 0 or 1, not {n}")),
    }
}

/// Hands the chunks to `write`, with the separator between them.
fn chunked<'a>(
    cx: &EvalCtx<'a>,
    args: &Args,
    value: Sample<'a>,
    write: impl Fn(&mut crate::sample::def::Out<'a>, &[u8]),
) -> Option<Sample<'a>> {
    let data = value.bytes()?;
    let size = match usize::try_from(args.int(1).unwrap_or(0)).ok()? {
        0 => data.len().max(1),
        size => size,
    };
    let truncate = args.int(2) == Some(1);
    made(cx, data.len() * 3, |out| {
        for (index, chunk) in data.chunks(size).enumerate() {
            if chunk.len() < size && truncate {
                break;
            }
            if index > 0 {
                out.extend_from_slice(args.str(0).unwrap_or_default());
            }
            write(out, chunk);
        }
    })
    .map(Sample::Str)
}

fn decimal(out: &mut crate::sample::def::Out<'_>, n: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn be2dec<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let number = |chunk: &[u8]| chunk.iter().fold(0, |n, b| n << 8 | u64::from(*b));
    chunked(cx, args, value, |out, chunk| decimal(out, number(chunk)))
}

fn le2dec<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let number = |chunk: &[u8]| chunk.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b));
    chunked(cx, args, value, |out, chunk| decimal(out, number(chunk)))
}

fn be2hex<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let digit = crate::logformat::encode::hex;
    chunked(cx, args, value, |out, chunk| {
        chunk.iter().for_each(|b| out.extend_from_slice(&[digit(b >> 4), digit(b & 15)]));
    })
}
