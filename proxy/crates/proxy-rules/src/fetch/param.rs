//! Cookies and query parameters of the request (configuration manual, 7.3.6).

use proxy_http::RequestHead;

use super::http_req::head;
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const NAME: &[ArgDef] = &[opt(ArgKind::Str)];
const PARAM: &[ArgDef] = &[opt(ArgKind::Str), opt(ArgKind::Str), opt(ArgKind::Str)];

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "cookie",
        NAME,
        Type::Str,
        Validity::of("..YYYYYYYYYYYYYYYY.Y.."),
        req_cook,
        "Same as `req.cook`.",
    )
    .eg(&[("cookie(theme)", Some("dark"))]),
    FetchDef::new(
        "req.cook",
        NAME,
        Type::Str,
        Validity::of("..YYYYYYYYY..........."),
        req_cook,
        "Value of a cookie of the request.",
    )
    .eg(&[
        ("req.cook(sid)", Some("def")),
        ("req.cook(none)", None),
        ("req.cook", Some("abc123")),
    ]),
    FetchDef::new(
        "req.cook_cnt",
        NAME,
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        req_cook_cnt,
        "Number of cookies of the request.",
    )
    .eg(&[("req.cook_cnt(sid)", Some("2")), ("req.cook_cnt", Some("3"))]),
    FetchDef::new(
        "req.cook_val",
        NAME,
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        req_cook_val,
        "Value of a cookie of the request as number.",
    )
    .eg(&[("req.cook_val(theme)", Some("0"))]),
    FetchDef::new(
        "url_param",
        PARAM,
        Type::Str,
        Validity::of("..YYYYYYYYY..........."),
        url_param,
        "Value of a parameter of the query.",
    )
    .check(check_param)
    .eg(&[
        ("url_param(y)", Some("two")),
        ("url_param(x)", Some("1")),
        ("url_param(none)", None),
    ]),
    FetchDef::new(
        "urlp",
        PARAM,
        Type::Str,
        Validity::of("..YYYYYYYYY..........."),
        url_param,
        "Same as `url_param`.",
    )
    .check(check_param)
    .eg(&[("urlp", Some("1")), ("urlp(X,,i)", Some("1")), ("urlp(x,&)", Some("3"))]),
    FetchDef::new(
        "urlp_val",
        PARAM,
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        urlp_val,
        "Value of a parameter of the query as number.",
    )
    .check(check_param)
    .eg(&[("urlp_val(x)", Some("1"))]),
];

/// The next `name=value` of the Cookie fields, with the position after it.
pub(super) fn next_cookie<'a>(
    head: &'a RequestHead,
    at: &mut [u32; 2],
) -> Option<(&'a [u8], &'a [u8])> {
    loop {
        let header = head.headers().at(at[0] as usize)?;
        let start = at[1] as usize;
        if !header.name.eq_ignore_ascii_case(b"cookie") || start >= header.value.len() {
            *at = [at[0] + 1, 0];
            continue;
        }
        let rest = &header.value[start..];
        let len = end_of_pair(rest);
        at[1] += len as u32 + 1;
        let pair = proxy_http::value::trim(&rest[..len]);
        if let Some(eq) = memchr::memchr(b'=', pair) {
            let (name, value) = (&pair[..eq], &pair[eq + 1..]);
            return Some((proxy_http::value::trim(name), proxy_http::value::trim(value)));
        }
    }
}

/// Offset of the first `;` outside a quoted string.
fn end_of_pair(text: &[u8]) -> usize {
    let mut quoted = false;
    let end = text.iter().position(|b| {
        quoted ^= *b == b'"';
        *b == b';' && !quoted
    });
    end.unwrap_or(text.len())
}

fn name(args: &Args) -> Option<&[u8]> {
    args.str(0).filter(|n| !n.is_empty())
}

pub(super) fn req_cook<'a>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    cursor: &mut Cursor,
) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    let wanted = name(args);
    let mut found = None;
    while let Some((name, value)) = next_cookie(head, &mut cursor.at) {
        if wanted.is_none_or(|w| w == name) {
            found = Some(Sample::Str(value));
            if cursor.iterate {
                cursor.more = true;
                return found;
            }
            if wanted.is_none() {
                return found;
            }
        }
    }
    found
}

pub(super) fn req_cook_cnt<'a>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    cursor: &mut Cursor,
) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    let wanted = name(args);
    let mut at = [0; 2];
    let cookies = std::iter::from_fn(|| next_cookie(head, &mut at));
    Some(Sample::Int(cookies.filter(|(name, _)| wanted.is_none_or(|w| w == *name)).count() as i64))
}

pub(super) fn req_cook_val<'a>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    cursor: &mut Cursor,
) -> Option<Sample<'a>> {
    req_cook(cx, args, cursor)?.int().map(Sample::Int)
}

fn check_param(args: &mut Args) -> Result<(), String> {
    if args.str(1).is_some_and(|d| d.len() > 1) {
        return Err("the delimiter must be a single character".to_owned());
    }
    match args.str(2) {
        None | Some(b"i" | b"") => Ok(()),
        Some(_) => Err("the third argument must be 'i'".to_owned()),
    }
}

fn url_param<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let url = head(cx, cursor)?.target();
    let delimiter = args.str(1).and_then(|d| d.first()).copied().unwrap_or(b'?');
    let ignore_case = args.str(2) == Some(b"i");
    let wanted = name(args);
    let mut at = match cursor.at[0] {
        0 => memchr::memchr(delimiter, url)? + 1,
        next => next as usize,
    };
    let ends = |b: &u8| matches!(b, b'&' | b';') || *b == delimiter && delimiter != b'?';
    while at <= url.len() {
        let rest = &url[at..];
        let len = rest.iter().position(ends).unwrap_or(rest.len());
        let pair = &rest[..len];
        at += len + 1;
        let Some(eq) = memchr::memchr(b'=', pair) else { continue };
        let same = wanted.is_none_or(|w| {
            if ignore_case { w.eq_ignore_ascii_case(&pair[..eq]) } else { *w == pair[..eq] }
        });
        if same {
            cursor.at[0] = at as u32;
            cursor.more = cursor.iterate;
            return Some(Sample::Str(&pair[eq + 1..]));
        }
    }
    None
}

fn urlp_val<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    url_param(cx, args, cursor)?.int().map(Sample::Int)
}
