//! Bodies, as far as they were received and are held (configuration manual, 7.3.6).

use proxy_http::BodyLen;

use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const PARAM: &[ArgDef] = &[opt(ArgKind::Str), opt(ArgKind::Str)];
const REQ: Validity = Validity::REQUEST;
const RES: Validity = Validity::RESPONSE;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "req.body",
        &[],
        Type::Bin,
        REQ,
        req_body,
        "The body of the request, as far as it is held.",
    )
    .eg(&[("req.body", Some(""))]),
    FetchDef::new(
        "req.body_len",
        &[],
        Type::Sint,
        REQ,
        req_body_len,
        "Bytes of the request's body that are held.",
    )
    .eg(&[("req.body_len", Some("0"))]),
    FetchDef::new(
        "req.body_param",
        PARAM,
        Type::Bin,
        REQ,
        req_body_param,
        "A parameter of a URL-encoded body.",
    )
    .check(check_param)
    .eg(&[("req.body_param(a)", None)]),
    FetchDef::new(
        "req.body_size",
        &[],
        Type::Sint,
        REQ,
        req_body_size,
        "Bytes of the request's body, announced or held.",
    )
    .eg(&[("req.body_size", Some("0"))]),
    FetchDef::new(
        "res.body",
        &[],
        Type::Bin,
        RES,
        res_body,
        "The body of the response, as far as it is held.",
    )
    .eg(&[("res.body", Some(""))]),
    FetchDef::new(
        "res.body_len",
        &[],
        Type::Sint,
        RES,
        res_body_len,
        "Bytes of the response's body that are held.",
    )
    .eg(&[("res.body_len", Some("0"))]),
    FetchDef::new(
        "res.body_size",
        &[],
        Type::Sint,
        RES,
        res_body_size,
        "Bytes of the response's body, announced or held.",
    )
    .eg(&[("res.body_size", Some("1234"))]),
];

fn request<'a>(cx: &EvalCtx<'a>) -> Option<&'a [u8]> {
    cx.request?;
    Some(cx.req_data.unwrap_or_default())
}

fn response<'a>(cx: &EvalCtx<'a>) -> Option<&'a [u8]> {
    cx.response?;
    Some(cx.res_data.unwrap_or_default())
}

fn size<'a>(announced: BodyLen, held: &[u8]) -> Option<Sample<'a>> {
    Some(Sample::Int(match announced {
        BodyLen::Length(n) => i64::try_from(n).unwrap_or(i64::MAX),
        _ => held.len() as i64,
    }))
}

fn req_body<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    request(cx).map(Sample::Bin)
}

fn req_body_len<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(request(cx)?.len() as i64))
}

fn req_body_size<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    size(cx.request?.body(), request(cx)?)
}

fn check_param(args: &mut Args) -> Result<(), String> {
    match args.str(1) {
        None | Some(b"" | b"i") => Ok(()),
        Some(_) => Err("the second argument must be 'i'".to_owned()),
    }
}

fn req_body_param<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let body = request(cx)?;
    let wanted = args.str(0).filter(|name| !name.is_empty());
    let ignore_case = args.str(1) == Some(b"i");
    let mut at = cursor.at[0] as usize;
    while at < body.len() {
        let rest = &body[at..];
        let len = memchr::memchr(b'&', rest).unwrap_or(rest.len());
        at += len + 1;
        let Some(eq) = memchr::memchr(b'=', &rest[..len]) else { continue };
        let name = &rest[..eq];
        let same = wanted
            .is_none_or(|w| if ignore_case { w.eq_ignore_ascii_case(name) } else { w == name });
        if same {
            cursor.at[0] = at as u32;
            cursor.more = cursor.iterate;
            return Some(Sample::Bin(&rest[eq + 1..len]));
        }
    }
    None
}

fn res_body<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    response(cx).map(Sample::Bin)
}

fn res_body_len<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(response(cx)?.len() as i64))
}

fn res_body_size<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    size(cx.response?.body(), response(cx)?)
}
