//! Cookies of responses, and the names of cookies (configuration manual, 7.3.6).

use proxy_http::ResponseHead;

use super::http_res::head;
use super::param::{self, next_cookie};
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::def::out;
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const NAME: &[ArgDef] = &[opt(ArgKind::Str)];
const REQ: Validity = Validity::REQUEST;
const RES: Validity = Validity::RESPONSE;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new("cook", NAME, Type::Str, REQ, param::req_cook, "Same as `req.cook`.")
        .eg(&[("cook(theme)", Some("dark"))]),
    FetchDef::new(
        "cook_cnt",
        NAME,
        Type::Sint,
        REQ,
        param::req_cook_cnt,
        "Same as `req.cook_cnt`.",
    )
    .eg(&[("cook_cnt", Some("3"))]),
    FetchDef::new(
        "cook_val",
        NAME,
        Type::Sint,
        REQ,
        param::req_cook_val,
        "Same as `req.cook_val`.",
    )
    .eg(&[("cook_val(theme)", Some("0"))]),
    FetchDef::new(
        "req.cook_names",
        NAME,
        Type::Str,
        REQ,
        req_names,
        "Names of all cookies of the request.",
    )
    .check(check_delimiter)
    .eg(&[("req.cook_names", Some("sid,theme,sid")), ("req.cook_names(|)", Some("sid|theme|sid"))]),
    FetchDef::new(
        "res.cook",
        NAME,
        Type::Str,
        RES,
        res_cook,
        "Value of a cookie that the response sets.",
    )
    .eg(&[("res.cook(lang)", Some("en")), ("res.cook", Some("xyz")), ("res.cook(none)", None)]),
    FetchDef::new(
        "res.cook_cnt",
        NAME,
        Type::Sint,
        RES,
        res_cook_cnt,
        "Number of cookies that the response sets.",
    )
    .eg(&[("res.cook_cnt", Some("2")), ("res.cook_cnt(sid)", Some("1"))]),
    FetchDef::new(
        "res.cook_names",
        NAME,
        Type::Str,
        RES,
        res_names,
        "Names of all cookies that the response sets.",
    )
    .check(check_delimiter)
    .eg(&[("res.cook_names", Some("sid,lang"))]),
    FetchDef::new(
        "res.cook_val",
        NAME,
        Type::Sint,
        RES,
        res_cook_val,
        "Value of a cookie that the response sets as number.",
    )
    .eg(&[("res.cook_val(lang)", Some("0"))]),
    FetchDef::new("scook", NAME, Type::Str, RES, res_cook, "Same as `res.cook`.")
        .eg(&[("scook(lang)", Some("en"))]),
    FetchDef::new("scook_cnt", NAME, Type::Sint, RES, res_cook_cnt, "Same as `res.cook_cnt`.")
        .eg(&[("scook_cnt", Some("2"))]),
    FetchDef::new("scook_val", NAME, Type::Sint, RES, res_cook_val, "Same as `res.cook_val`.")
        .eg(&[("scook_val(lang)", Some("0"))]),
];

fn check_delimiter(args: &mut Args) -> Result<(), String> {
    match args.str(0) {
        None | Some([] | [_]) => Ok(()),
        Some(_) => Err("the delimiter must be a single character".to_owned()),
    }
}

/// The cookie of the next Set-Cookie field; `at` is its index.
fn next_set<'a>(head: &'a ResponseHead, at: &mut u32) -> Option<(&'a [u8], &'a [u8])> {
    loop {
        let header = head.headers().at(*at as usize)?;
        *at += 1;
        if !header.name.eq_ignore_ascii_case(b"set-cookie") {
            continue;
        }
        let pair = header.value.split(|b| *b == b';').next().unwrap_or(header.value);
        if let Some(eq) = memchr::memchr(b'=', pair) {
            let trim = proxy_http::value::trim;
            return Some((trim(&pair[..eq]), trim(&pair[eq + 1..])));
        }
    }
}

fn name(args: &Args) -> Option<&[u8]> {
    args.str(0).filter(|n| !n.is_empty())
}

fn res_cook<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    let wanted = name(args);
    let mut found = None;
    while let Some((name, value)) = next_set(head, &mut cursor.at[0]) {
        if wanted.is_none_or(|w| w == name) {
            found = Some(Sample::Str(value));
            cursor.more = cursor.iterate;
            if cursor.iterate || wanted.is_none() {
                break;
            }
        }
    }
    found
}

fn res_cook_cnt<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    let wanted = name(args);
    let mut at = 0;
    let cookies = std::iter::from_fn(|| next_set(head, &mut at));
    Some(Sample::Int(cookies.filter(|(name, _)| wanted.is_none_or(|w| w == *name)).count() as i64))
}

fn res_cook_val<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    res_cook(cx, args, cursor)?.int().map(Sample::Int)
}

fn joined<'a, 'n>(
    cx: &EvalCtx<'a>,
    args: &Args,
    names: impl Iterator<Item = &'n [u8]>,
) -> Sample<'a> {
    let delimiter = args.str(0).and_then(|d| d.first()).copied().unwrap_or(b',');
    let mut text = out(cx.scratch, 128);
    for (i, name) in names.enumerate() {
        if i > 0 {
            text.push(delimiter);
        }
        text.extend_from_slice(name);
    }
    Sample::Str(text.into_bump_slice())
}

fn req_names<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = super::http_req::head(cx, cursor)?;
    let mut at = [0; 2];
    Some(joined(cx, args, std::iter::from_fn(|| next_cookie(head, &mut at)).map(|c| c.0)))
}

fn res_names<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    let mut at = 0;
    Some(joined(cx, args, std::iter::from_fn(|| next_set(head, &mut at)).map(|c| c.0)))
}
