//! Lists, parameters, comparisons and checks of text (configuration manual, 7.3.1).

use super::string::made;
use crate::sample::args::{Arg, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "add_item",
        &[req(ArgKind::Str), opt(ArgKind::Var), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        add_item,
        "Appends a variable and a text to a list, with a delimiter when needed.",
    )
    .check(check_item)
    .eg(&[
        ("str(a),add_item(\",\",txn.example,\"(x)\")", Some("a,value(x)")),
        ("str(),add_item(\",\",txn.example)", Some("value")),
        ("str(a),add_item(\",\",txn.none)", Some("a")),
        ("str(a),add_item(;,,b)", Some("a;b")),
    ]),
    ConvDef::new(
        "has_ctl",
        &[opt(ArgKind::Str)],
        Type::Bin,
        Type::Bool,
        has_ctl,
        "True for control characters: all but the tab, `any`, `http`, or those of a mask.",
    )
    .check(check_mask)
    .eg(&[
        ("bin(610962),has_ctl", Some("0")),
        ("bin(610962),has_ctl(any)", Some("1")),
        ("bin(610962),has_ctl(0x200)", Some("1")),
        ("bin(610d62),has_ctl(http)", Some("1")),
        ("bin(617f62),has_ctl()", Some("1")),
        ("bin(617f62),has_ctl(http)", Some("0")),
    ]),
    ConvDef::new(
        "language",
        &[req(ArgKind::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        language,
        "The language of a list that an Accept-Language value prefers.",
    )
    .eg(&[
        ("str(\"da, en-gb;q=0.8, en;q=0.7\"),language(es;fr;en)", Some("en")),
        ("str(\"fr;q=0.2,es;q=0.5\"),language(es;fr;en)", Some("es")),
        ("str(\"fr;q=0\"),language(es;fr,en)", Some("en")),
        ("str(pt-br),language(pt;pt-br)", Some("pt-br")),
        ("str(de),language(es)", None),
    ]),
    ConvDef::new(
        "param",
        &[req(ArgKind::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        param,
        "The first parameter of this name, between delimiters.",
    )
    .check(check_param)
    .eg(&[
        ("str(a=b&c=d&a=r),param(a)", Some("b")),
        ("str(a&b=c),param(a)", Some("")),
        ("str(a=&b&c=a),param(b)", Some("")),
        ("str(a=1;b=2;c=4),param(b,;)", Some("2")),
        ("str(a=1|b=2),param(b,0x7c)", Some("2")),
        ("str(a=1),param(b)", None),
    ]),
    ConvDef::new(
        "reverse_dom",
        &[],
        Type::Str,
        Type::Str,
        reverse_dom,
        "The labels of a domain name in the opposite order.",
    )
    .eg(&[
        ("str(mail.example.com),reverse_dom", Some("com.example.mail")),
        ("str(example.com.),reverse_dom", Some("com.example")),
        ("str(a..b),reverse_dom", None),
    ]),
    ConvDef::new(
        "strcmp",
        &[req(ArgKind::Var)],
        Type::Str,
        Type::Sint,
        strcmp,
        "Compares with a variable: 0 for the same text.",
    )
    .eg(&[
        ("str(value),strcmp(txn.example)", Some("0")),
        ("str(valu),strcmp(txn.example)", Some("-1")),
        ("str(a),strcmp(txn.example)", Some("-21")),
        ("str(w),strcmp(txn.example)", Some("1")),
        ("str(w),strcmp(txn.none)", None),
    ]),
];

fn check_item(args: &mut Args) -> Result<(), String> {
    if args.is_given(1) || args.str(2).is_some_and(|s| !s.is_empty()) {
        return Ok(());
    }
    Err("a variable or a suffix is expected".to_owned())
}

fn add_item<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let list = value.bytes()?;
    let item = args.text(1, cx).unwrap_or_default();
    let suffix = args.str(2).unwrap_or_default();
    // A variable that does not exist adds nothing, unless there is nothing but a suffix to add.
    let adds = !item.is_empty() || !suffix.is_empty() && !args.is_given(1);
    let (item, suffix): (&[u8], &[u8]) = if adds { (item, suffix) } else { (b"", b"") };
    let delimiter = if adds && !list.is_empty() { args.str(0)? } else { b"" };
    let parts = [list, delimiter, item, suffix];
    made(cx, parts.iter().map(|p| p.len()).sum(), |out| {
        parts.iter().for_each(|p| out.extend_from_slice(p));
    })
    .map(Sample::Str)
}

fn check_mask(args: &mut Args) -> Result<(), String> {
    const ANY: i64 = 0x1_ffff_ffff;
    let mask = match args.str(0).unwrap_or_default() {
        b"" => ANY & !0x200,
        b"any" => ANY,
        b"http" => 0x2401,
        text => {
            let text = String::from_utf8_lossy(text);
            let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
                Some(digits) => i64::from_str_radix(digits, 16),
                None => text.parse(),
            };
            match number {
                Ok(n) if (0..=ANY).contains(&n) => n,
                _ => {
                    return Err(format!(
                        "'{text}' is no mask of 33 bits ('any' or 'http' is expected otherwise)"
                    ));
                }
            }
        }
    };
    args.0 = vec![Arg::Int(mask)];
    Ok(())
}

fn has_ctl<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let mask = args.int(0)? as u64;
    let hit = |b: &u8| match b {
        0..=31 => mask >> b & 1 == 1,
        127 => mask >> 32 & 1 == 1,
        _ => false,
    };
    Some(Sample::Bool(value.bytes()?.iter().any(hit)))
}

/// Quality in thousandths (RFC 9110, 12.4.2); 1000 without one or with one that is none.
fn quality(parameters: &[u8]) -> u32 {
    for parameter in parameters.split(|b| *b == b';') {
        let [b'q' | b'Q', b'=', digits @ ..] = proxy_http::value::trim(parameter) else { continue };
        let text = std::str::from_utf8(digits).unwrap_or("1");
        return text.parse::<f32>().map_or(1000, |q| (q.clamp(0.0, 1.0) * 1000.0) as u32);
    }
    1000
}

fn language<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let wanted = args.str(0)?;
    let mut best: Option<(u32, &[u8])> = None;
    for item in value.bytes()?.split(|b| *b == b',') {
        let end = item.iter().position(|b| *b == b';').unwrap_or(item.len());
        let name = proxy_http::value::trim(&item[..end]);
        let q = quality(&item[end..]);
        if q == 0 || best.is_some_and(|(known, _)| known >= q) {
            continue;
        }
        let base = name.split(|b| *b == b'-').next().unwrap_or(name);
        let find = |name: &[u8]| wanted.split(|b| *b == b';').find(|w| *w == name);
        if let Some(found) = find(name).or_else(|| find(base)) {
            best = Some((q, found));
        }
    }
    best.map(|(_, name)| name).or_else(|| args.str(1)).map(Sample::Str)
}

fn check_param(args: &mut Args) -> Result<(), String> {
    let delimiter = match args.str(1) {
        None => b'&',
        Some([byte]) => *byte,
        Some([b'0', b'x' | b'X', hi, lo]) if hi.is_ascii_hexdigit() && lo.is_ascii_hexdigit() => {
            crate::regex::hex(*hi) << 4 | crate::regex::hex(*lo)
        }
        Some(_) => return Err("the delimiter must be one character, or 0xHH".to_owned()),
    };
    args.0.truncate(1);
    args.0.push(Arg::Int(i64::from(delimiter)));
    Ok(())
}

fn param<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (name, delimiter) = (args.str(0)?, args.int(1)? as u8);
    for pair in value.bytes()?.split(|b| *b == delimiter) {
        let eq = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
        if &pair[..eq] == name {
            return Some(Sample::Str(pair.get(eq + 1..).unwrap_or_default()));
        }
    }
    None
}

fn reverse_dom<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let name = value.bytes()?;
    let name = name.strip_suffix(b".").unwrap_or(name);
    if name.split(|b| *b == b'.').any(<[u8]>::is_empty) {
        return None;
    }
    made(cx, name.len(), |out| {
        for label in name.rsplit(|b| *b == b'.') {
            if !out.is_empty() {
                out.push(b'.');
            }
            out.extend_from_slice(label);
        }
    })
    .map(Sample::Str)
}

fn strcmp<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (a, b) = (value.bytes()?, cx.var(args.var(0)?)?.str(cx.scratch)?);
    // The difference of the first bytes that differ, as of strcmp(3) in C libraries; else of the lengths.
    let differ = a.iter().zip(b).find(|(a, b)| a != b);
    let difference =
        differ.map_or(a.len() as i64 - b.len() as i64, |(a, b)| i64::from(*a) - i64::from(*b));
    Some(Sample::Int(difference))
}
