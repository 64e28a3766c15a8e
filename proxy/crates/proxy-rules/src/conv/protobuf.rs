//! Protocol buffers and gRPC (configuration manual, 7.3.1; protobuf.dev, "Encoding").

use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const ARGS: &[ArgDef] = &[req(ArgKind::FieldPath), opt(ArgKind::Str)];

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "protobuf",
        ARGS,
        Type::Bin,
        Type::Bin,
        protobuf,
        "A field of a Protocol Buffers message, by the numbers on its path.",
    )
    .check(check_type)
    .eg(&[
        ("bin(0a0408071009),protobuf(1.2,int32)", Some("9")),
        ("bin(0a0408071009),protobuf(2,int32)", None),
        ("bin(08071009),protobuf(2,int32)", Some("9")),
        ("bin(08071009),protobuf(1.2,int32)", None),
        ("bin(1203616263),protobuf(2)", Some("abc")),
        ("bin(0803),protobuf(1,sint32)", Some("-2")),
        ("bin(0d01000000),protobuf(1,fixed32)", Some("1")),
    ]),
    ConvDef::new(
        "ungrpc",
        ARGS,
        Type::Bin,
        Type::Bin,
        ungrpc,
        "A field of the Protocol Buffers message in a gRPC message.",
    )
    .check(check_type)
    .eg(&[
        ("bin(00000000060a0408071009),ungrpc(1.2,int32)", Some("9")),
        ("bin(0000),ungrpc(1)", None),
    ]),
];

/// Wire types of fields.
const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const BYTES: u8 = 2;
const FIXED32: u8 = 5;

/// A name, its wire type, and what the bits mean.
type Scalar = (&'static [u8], u8, fn(u64) -> Sample<'static>);

const TYPES: [Scalar; 14] = [
    (b"int32", VARINT, |n| Sample::Int(i64::from(n as i32))),
    (b"int64", VARINT, |n| Sample::Int(n as i64)),
    (b"uint32", VARINT, |n| Sample::Int(i64::from(n as u32))),
    (b"uint64", VARINT, |n| Sample::Int(n as i64)),
    (b"sint32", VARINT, |n| Sample::Int(i64::from((n as u32 >> 1) as i32 ^ -((n & 1) as i32)))),
    (b"sint64", VARINT, |n| Sample::Int((n >> 1) as i64 ^ -((n & 1) as i64))),
    (b"bool", VARINT, |n| Sample::Int(i64::from(n != 0))),
    (b"enum", VARINT, |n| Sample::Int(n as i64)),
    (b"fixed64", FIXED64, |n| Sample::Int(n as i64)),
    (b"sfixed64", FIXED64, |n| Sample::Int(n as i64)),
    (b"double", FIXED64, |n| Sample::Int(f64::from_bits(n) as i64)),
    (b"fixed32", FIXED32, |n| Sample::Int(i64::from(n as u32))),
    (b"sfixed32", FIXED32, |n| Sample::Int(i64::from(n as i32))),
    (b"float", FIXED32, |n| Sample::Int(f32::from_bits(n as u32) as i64)),
];

fn check_type(args: &mut Args) -> Result<(), String> {
    let Some(name) = args.str(1) else { return Ok(()) };
    match TYPES.iter().position(|(n, ..)| *n == name) {
        Some(row) => {
            args.0[1] = Arg::Int(row as i64);
            Ok(())
        }
        None => Err(format!(
            "unknown type '{}' (int32, int64, uint32, uint64, sint32, sint64, bool, enum, fixed64, sfixed64, double, \
             fixed32, sfixed32 or float is expected)",
            String::from_utf8_lossy(name)
        )),
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..70).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn fixed(bytes: &mut &[u8], len: usize) -> Option<u64> {
    let (field, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(field.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// The first field of this number: its wire type, bits of scalars, bytes of the others.
fn find(mut message: &[u8], number: u64) -> Option<(u8, u64, &[u8])> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let wire = (key & 7) as u8;
        let (bits, bytes): (u64, &[u8]) = match wire {
            VARINT => (varint(&mut message)?, b""),
            FIXED64 => (fixed(&mut message, 8)?, b""),
            BYTES => {
                let len = usize::try_from(varint(&mut message)?).ok()?;
                let (field, rest) = message.split_at_checked(len)?;
                message = rest;
                (0, field)
            }
            FIXED32 => (fixed(&mut message, 4)?, b""),
            _ => return None,
        };
        if key >> 3 == number {
            return Some((wire, bits, bytes));
        }
    }
    None
}

fn extract<'a>(cx: &EvalCtx<'a>, args: &'a Args, mut message: &'a [u8]) -> Option<Sample<'a>> {
    let Arg::FieldPath(path) = args.get(0) else { return None };
    let (last, outer) = path.split_last()?;
    for number in outer {
        let (wire, _, bytes) = find(message, u64::from(*number))?;
        if wire != BYTES {
            return None;
        }
        message = bytes;
    }
    let (wire, bits, bytes) = find(message, u64::from(*last))?;
    if let Some(row) = args.int(1) {
        let (_, expected, value) = TYPES[row as usize % TYPES.len()];
        return (wire == expected).then(|| value(bits));
    }
    Some(Sample::Bin(match wire {
        BYTES => bytes,
        FIXED32 => cx.scratch.alloc_slice_copy(&(bits as u32).to_le_bytes()),
        _ => cx.scratch.alloc_slice_copy(&bits.to_le_bytes()),
    }))
}

fn protobuf<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    extract(cx, args, value.bytes()?)
}

/// A message has a flag byte and a length in front.
fn ungrpc<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (head, rest) = value.bytes()?.split_at_checked(5)?;
    let len = head[1..].iter().fold(0, |n, b| n << 8 | usize::from(*b));
    // Only whole, plain messages can be read.
    let message = rest.get(..len).filter(|_| head[0] == 0)?;
    extract(cx, args, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64), number in 0..20u64) {
            let _ = find(&bytes, number);
        }
    }
}
