//! Arithmetic, bits and booleans. Results that do not fit saturate.

use crate::sample::args::{ArgDef, ArgKind, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const NUMBER: &[ArgDef] = &[req(ArgKind::Number)];

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new("add", NUMBER, Type::Sint, Type::Sint, add, "Adds a number.").eg(&[
        ("int(5),add(3)", Some("8")),
        ("int(9223372036854775807),add(1)", Some("9223372036854775807")),
        ("int(5),add(txn.number)", Some("12")),
        ("int(5),add(txn.none)", None),
    ]),
    ConvDef::new("and", NUMBER, Type::Sint, Type::Sint, and, "Keeps the bits that both have.")
        .eg(&[("int(6),and(3)", Some("2"))]),
    ConvDef::new("bool", &[], Type::Sint, Type::Bool, boolean, "True for what is not 0.")
        .eg(&[("int(300),bool", Some("1")), ("int(0),bool", Some("0"))]),
    ConvDef::new("cpl", &[], Type::Sint, Type::Sint, cpl, "Inverts every bit.")
        .eg(&[("int(5),cpl", Some("-6"))]),
    ConvDef::new(
        "div",
        NUMBER,
        Type::Sint,
        Type::Sint,
        div,
        "Divides; by 0 gives the largest number.",
    )
    .eg(&[("int(-7),div(2)", Some("-3")), ("int(5),div(0)", Some("9223372036854775807"))]),
    ConvDef::new("even", &[], Type::Sint, Type::Bool, even, "True for even numbers.")
        .eg(&[("int(4),even", Some("1"))]),
    ConvDef::new("htonl", &[], Type::Sint, Type::Bin, htonl, "The low 32 bits in network order.")
        .eg(&[("int(258),htonl,hex", Some("00000102"))]),
    ConvDef::new(
        "mod",
        NUMBER,
        Type::Sint,
        Type::Sint,
        modulo,
        "Rest of a division; by 0 gives 0.",
    )
    .eg(&[("int(-5),mod(3)", Some("-2")), ("int(5),mod(0)", Some("0"))]),
    ConvDef::new("mul", NUMBER, Type::Sint, Type::Sint, mul, "Multiplies.")
        .eg(&[("int(5),mul(-3)", Some("-15"))]),
    ConvDef::new("neg", &[], Type::Sint, Type::Sint, neg, "Changes the sign.")
        .eg(&[("int(-9223372036854775808),neg", Some("9223372036854775807"))]),
    ConvDef::new("not", &[], Type::Sint, Type::Bool, not, "True for 0.")
        .eg(&[("int(0),not", Some("1")), ("always_true,not", Some("0"))]),
    ConvDef::new("odd", &[], Type::Sint, Type::Bool, odd, "True for odd numbers.")
        .eg(&[("int(-3),odd", Some("1"))]),
    ConvDef::new("or", NUMBER, Type::Sint, Type::Sint, or, "Sets the bits that either has.")
        .eg(&[("int(6),or(1)", Some("7"))]),
    ConvDef::new("sub", NUMBER, Type::Sint, Type::Sint, sub, "Subtracts a number.")
        .eg(&[("int(5),sub(8)", Some("-3"))]),
    ConvDef::new("xor", NUMBER, Type::Sint, Type::Sint, xor, "Sets the bits that only one has.")
        .eg(&[("int(5),xor(3)", Some("6"))]),
];

/// Both operands, when the second exists.
fn two(cx: &EvalCtx<'_>, args: &Args, value: Sample<'_>) -> Option<(i64, i64)> {
    Some((value.int()?, args.number(0, cx)?))
}

fn add<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    two(cx, args, value).map(|(a, b)| Sample::Int(a.saturating_add(b)))
}

fn and<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    two(cx, args, value).map(|(a, b)| Sample::Int(a & b))
}

fn boolean<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    value.int().map(|n| Sample::Bool(n != 0))
}

fn cpl<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    value.int().map(|n| Sample::Int(!n))
}

fn div<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    two(cx, args, value).map(|(a, b)| match b {
        0 => Sample::Int(i64::MAX),
        _ => Sample::Int(a.saturating_div(b)),
    })
}

fn even<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    value.int().map(|n| Sample::Bool(n & 1 == 0))
}

fn htonl<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let bytes = (value.int()? as u32).to_be_bytes();
    Some(Sample::Bin(cx.scratch.alloc_slice_copy(&bytes)))
}

fn modulo<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    two(cx, args, value).map(|(a, b)| match b {
        0 => Sample::Int(0),
        _ => Sample::Int(a.wrapping_rem(b)),
    })
}

fn mul<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    two(cx, args, value).map(|(a, b)| Sample::Int(a.saturating_mul(b)))
}

fn neg<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    value.int().map(|n| Sample::Int(n.saturating_neg()))
}

fn not<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    value.int().map(|n| Sample::Bool(n == 0))
}

fn odd<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    value.int().map(|n| Sample::Bool(n & 1 != 0))
}

fn or<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    two(cx, args, value).map(|(a, b)| Sample::Int(a | b))
}

fn sub<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    two(cx, args, value).map(|(a, b)| Sample::Int(a.saturating_sub(b)))
}

fn xor<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    two(cx, args, value).map(|(a, b)| Sample::Int(a ^ b))
}
