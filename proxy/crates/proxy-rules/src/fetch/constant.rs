//! Constants, and what the process knows by itself.

use crate::acl::Verdict;
use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const ACLS: &[ArgDef] = &{
    let mut args = [opt(ArgKind::Acl); 12];
    args[0] = req(ArgKind::Acl);
    args
};
const STR: &[ArgDef] = &[req(ArgKind::Str)];
const AT: Validity = Validity::ALWAYS;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "acl",
        ACLS,
        Type::Bool,
        AT,
        acls,
        "True when all of the ACLs hold; `!` in front of a name negates.",
    )
    .eg(&[
        ("acl(TRUE)", Some("1")),
        ("acl(TRUE,!METH_GET)", Some("0")),
        ("acl(!FALSE,METH_GET)", Some("1")),
    ]),
    FetchDef::new("always_false", &[], Type::Bool, AT, always_false, "False.")
        .eg(&[("always_false", Some("0"))]),
    FetchDef::new("always_true", &[], Type::Bool, AT, always_true, "True.")
        .eg(&[("always_true", Some("1"))]),
    FetchDef::new("bin", STR, Type::Bin, AT, bytes, "The bytes of hexadecimal digits.")
        .check(check_bin)
        .eg(&[("bin(414243)", Some("ABC")), ("bin(4100),length", Some("1"))]),
    FetchDef::new("bool", STR, Type::Bool, AT, boolean, "`true` or `1`, `false` or `0`.")
        .check(check_bool)
        .eg(&[("bool(true)", Some("1")), ("bool(0)", Some("0"))]),
    FetchDef::new("int", &[req(ArgKind::Int)], Type::Sint, AT, int, "A number.")
        .eg(&[("int(-5)", Some("-5"))]),
    FetchDef::new("ipv4", &[req(ArgKind::Ipv4)], Type::Ipv4, AT, addr, "An IPv4 address.")
        .eg(&[("ipv4(192.0.2.1)", Some("192.0.2.1")), ("ipv4(1.2.3.4),add(1)", Some("16909061"))]),
    FetchDef::new("ipv6", &[req(ArgKind::Ipv6)], Type::Ipv6, AT, addr, "An IPv6 address.")
        .eg(&[("ipv6(2001:db8::1)", Some("2001:db8::1"))]),
    FetchDef::new("meth", STR, Type::Meth, AT, meth, "An HTTP method.")
        .eg(&[("meth(GET)", Some("GET"))]),
    FetchDef::new("str", STR, Type::Str, AT, string, "A text.").eg(&[
        ("str(abc)", Some("abc")),
        ("str(\"a,b)\")", Some("a,b)")),
        ("str()", Some("")),
    ]),
    FetchDef::new(
        "var",
        &[req(ArgKind::Var), opt(ArgKind::Str)],
        Type::Any,
        AT,
        var,
        "Value of a variable, or the default given.",
    )
    .eg(&[
        ("var(txn.example)", Some("value")),
        ("var(txn.none)", None),
        ("var(txn.none,x)", Some("x")),
    ]),
];

fn always_false<'a>(_: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(false))
}

fn always_true<'a>(_: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(true))
}

fn check_bin(args: &mut Args) -> Result<(), String> {
    let digits = args.str(0).unwrap_or_default();
    let bytes =
        crate::regex::unhex(digits).ok_or("an even number of hexadecimal digits is expected")?;
    args.0[0] = Arg::Str(bytes.into());
    Ok(())
}

fn acls<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let verdicts = (0..args.0.len()).filter_map(|i| args.acl(i, cx));
    match verdicts.min()? {
        Verdict::True => Some(Sample::Bool(true)),
        Verdict::False => Some(Sample::Bool(false)),
        Verdict::NeedMore => cursor.wait(),
    }
}

fn bytes<'a>(_: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    args.str(0).map(Sample::Bin)
}

fn check_bool(args: &mut Args) -> Result<(), String> {
    let value = match args.str(0).unwrap_or_default().to_ascii_lowercase().as_slice() {
        b"true" | b"1" => 1,
        b"false" | b"0" => 0,
        _ => return Err("'true', '1', 'false' or '0' is expected".to_owned()),
    };
    args.0[0] = Arg::Int(value);
    Ok(())
}

fn boolean<'a>(_: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    args.int(0).map(|n| Sample::Bool(n != 0))
}

fn int<'a>(_: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    args.int(0).map(Sample::Int)
}

fn addr<'a>(_: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    match args.get(0) {
        Arg::Ipv4(ip) => Some(Sample::Ipv4(*ip)),
        Arg::Ipv6(ip) => Some(Sample::Ipv6(*ip)),
        _ => None,
    }
}

fn meth<'a>(_: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    args.str(0).map(Sample::Meth)
}

fn string<'a>(_: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    args.str(0).map(Sample::Str)
}

fn var<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    cx.var(args.var(0)?).or_else(|| args.str(1).map(Sample::Str))
}
