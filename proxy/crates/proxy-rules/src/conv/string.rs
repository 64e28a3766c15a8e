//! Text: case, cutting, joining.

use crate::sample::args::{ArgDef, ArgKind, opt, req};
use crate::sample::def::out;
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const STR: &[ArgDef] = &[req(ArgKind::Str)];
const PART: &[ArgDef] = &[req(ArgKind::Int), req(ArgKind::Str), opt(ArgKind::Int)];

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "bytes",
        &[req(ArgKind::Number), opt(ArgKind::Number)],
        Type::Bin,
        Type::Bin,
        bytes,
        "Cuts bytes out, from an offset on, all or as many as given.",
    )
    .check(check_bytes)
    .eg(&[
        ("str(AbC),bytes(1)", Some("bC")),
        ("str(AbC),bytes(1,1)", Some("b")),
        ("str(AbC),bytes(1,9)", Some("bC")),
        ("str(AbC),bytes(5)", Some("")),
        ("str(abcdefghi),bytes(txn.number)", Some("hi")),
    ]),
    ConvDef::new(
        "concat",
        &[opt(ArgKind::Str), opt(ArgKind::Var), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        concat,
        "Appends a text, the value of a variable, and a text.",
    )
    .eg(&[
        ("str(a),concat(<,txn.example,>)", Some("a<value>")),
        ("str(a),concat(b)", Some("ab")),
        ("str(a),concat(,txn.none,c)", Some("ac")),
    ]),
    ConvDef::new("cut_crlf", &[], Type::Str, Type::Str, cut_crlf, "Cuts at the first line end.")
        .eg(&[("str(\"a\\r\\nb\"),cut_crlf", Some("a")), ("str(ab),cut_crlf", Some("ab"))]),
    ConvDef::new(
        "field",
        PART,
        Type::Str,
        Type::Str,
        field,
        "Takes a field between delimiters, empty ones included.",
    )
    .check(check_part)
    .eg(&[
        ("str(a.b.c),field(2,.)", Some("b")),
        ("str(a.b.c),field(-1,.)", Some("c")),
        ("str(a.b.c.d),field(2,.,2)", Some("b.c")),
        ("str(a.b.c.d),field(-1,.,2)", Some("c.d")),
        ("str(a.b.c.d),field(2,.,0)", Some("b.c.d")),
        ("str(a.b),field(5,.)", None),
        ("str(a..b),field(2,.)", Some("")),
        ("str(a-b_c),field(3,-_)", Some("c")),
    ]),
    ConvDef::new("length", &[], Type::Str, Type::Sint, length, "Number of bytes.")
        .eg(&[("str(abc),length", Some("3")), ("always_true,length", Some("1"))]),
    ConvDef::new("lower", &[], Type::Str, Type::Str, lower, "Letters in lower case (ASCII).")
        .eg(&[("str(AbC),lower", Some("abc"))]),
    ConvDef::new(
        "ltrim",
        STR,
        Type::Str,
        Type::Str,
        ltrim,
        "Cuts characters of a set off the start.",
    )
    .eg(&[("str(xyaxx),ltrim(yx)", Some("axx"))]),
    ConvDef::new("reverse", &[], Type::Str, Type::Str, reverse, "The bytes in the opposite order.")
        .eg(&[("str(abc),reverse", Some("cba"))]),
    ConvDef::new(
        "rtrim",
        STR,
        Type::Str,
        Type::Str,
        rtrim,
        "Cuts characters of a set off the end.",
    )
    .eg(&[("str(xxaxy),rtrim(yx)", Some("xxa")), ("str(a),rtrim(a)", Some(""))]),
    ConvDef::new("upper", &[], Type::Str, Type::Str, upper, "Letters in upper case (ASCII).")
        .eg(&[("str(aBc),upper", Some("ABC"))]),
    ConvDef::new(
        "word",
        PART,
        Type::Str,
        Type::Str,
        word,
        "Takes a word between delimiters; runs of them count as one.",
    )
    .check(check_part)
    .eg(&[
        ("str(..a..b),word(1,.)", Some("a")),
        ("str(..a..b),word(2,.)", Some("b")),
        ("str(a.b.c.d),word(2,.,2)", Some("b.c")),
        ("str(a.b.c.d),word(-2,.,2)", Some("b.c")),
        ("str(a.b.c.d),word(3,.,0)", Some("c.d")),
        ("str(a.b),word(5,.)", Some("")),
    ]),
];

/// The text `f` writes into scratch memory, when it is not too long.
pub(super) fn made<'a>(
    cx: &EvalCtx<'a>,
    capacity: usize,
    f: impl FnOnce(&mut crate::sample::def::Out<'a>),
) -> Option<&'a [u8]> {
    let mut text = out(cx.scratch, capacity);
    f(&mut text);
    (text.len() <= cx.shared.bufsize).then(|| text.into_bump_slice() as &[u8])
}

fn check_bytes(args: &mut Args) -> Result<(), String> {
    if args.int(0).is_some_and(|n| n < 0) {
        return Err("the offset must not be negative".to_owned());
    }
    match args.int(1) {
        Some(n) if n <= 0 => Err("the length must be positive".to_owned()),
        _ => Ok(()),
    }
}

fn bytes<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let all = value.bytes()?;
    // What is no number, or negative, takes nothing.
    let number = |i| args.number(i, cx).and_then(|n| usize::try_from(n).ok());
    let rest = number(0).and_then(|start| all.get(start..)).unwrap_or_default();
    let len = match args.is_given(1) {
        true => number(1).unwrap_or(0).min(rest.len()),
        false => rest.len(),
    };
    Some(Sample::Bin(&rest[..len]))
}

fn concat<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let parts = [value.bytes(), args.str(0), args.text(1, cx), args.str(2)];
    let len = parts.iter().flatten().map(|p| p.len()).sum();
    made(cx, len, |text| parts.iter().flatten().for_each(|p| text.extend_from_slice(p)))
        .map(Sample::Str)
}

fn cut_crlf<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    Some(Sample::Str(memchr::memchr2(b'\r', b'\n', text).map_or(text, |end| &text[..end])))
}

fn check_part(args: &mut Args) -> Result<(), String> {
    if args.int(0) == Some(0) {
        return Err("the first argument counts from 1, or from -1 at the end".to_owned());
    }
    if args.str(1).is_none_or(<[u8]>::is_empty) {
        return Err("at least one delimiter is expected".to_owned());
    }
    match args.int(2) {
        Some(n) if n < 0 => Err("the number of parts must not be negative".to_owned()),
        _ => Ok(()),
    }
}

/// The `first`-th of the parts that `cut` yields in order (from the end when negative), and those after it up to
/// `count` in all; 0 takes the rest. A part is a range of `text`.
fn part(
    text: &[u8],
    first: i64,
    count: i64,
    cut: impl Iterator<Item = (usize, usize)> + Clone,
) -> Option<&[u8]> {
    let total = cut.clone().count();
    let at = usize::try_from(first.unsigned_abs()).ok()?;
    let count = usize::try_from(count).ok()?;
    if at == 0 || at > total {
        return None;
    }
    let (from, to) = if first > 0 {
        let from = at - 1;
        (from, if count == 0 { total } else { total.min(from.saturating_add(count)) })
    } else {
        let to = total - at + 1;
        (if count == 0 { 0 } else { to.saturating_sub(count) }, to)
    };
    let start = cut.clone().nth(from)?.0;
    let mut cut = cut;
    let end = cut.nth(to - 1)?.1;
    Some(&text[start..end])
}

/// Ranges between delimiters.
fn fields<'a>(
    text: &'a [u8],
    delimiters: &'a [u8],
) -> impl Iterator<Item = (usize, usize)> + Clone {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let end = text[start..]
            .iter()
            .position(|b| delimiters.contains(b))
            .map_or(text.len(), |len| start + len);
        next = (end < text.len()).then_some(end + 1);
        Some((start, end))
    })
}

fn field<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    let ranges = fields(text, args.str(1)?);
    part(text, args.int(0)?, args.int(2).unwrap_or(1), ranges).map(Sample::Str)
}

fn word<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    let ranges = fields(text, args.str(1)?).filter(|(start, end)| start < end);
    let found = part(text, args.int(0)?, args.int(2).unwrap_or(1), ranges);
    Some(Sample::Str(found.unwrap_or_default()))
}

fn length<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Int(value.bytes()?.len() as i64))
}

fn lower<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    if !text.iter().any(u8::is_ascii_uppercase) {
        return Some(Sample::Str(text));
    }
    let text = cx.scratch.alloc_slice_copy(text);
    text.make_ascii_lowercase();
    Some(Sample::Str(text))
}

fn upper<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = cx.scratch.alloc_slice_copy(value.bytes()?);
    text.make_ascii_uppercase();
    Some(Sample::Str(text))
}

fn reverse<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = cx.scratch.alloc_slice_copy(value.bytes()?);
    text.reverse();
    Some(Sample::Str(text))
}

fn ltrim<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (text, set) = (value.bytes()?, args.str(0)?);
    let start = text.iter().position(|b| !set.contains(b)).unwrap_or(text.len());
    Some(Sample::Str(&text[start..]))
}

fn rtrim<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (text, set) = (value.bytes()?, args.str(0)?);
    let end = text.iter().rposition(|b| !set.contains(b)).map_or(0, |at| at + 1);
    Some(Sample::Str(&text[..end]))
}
