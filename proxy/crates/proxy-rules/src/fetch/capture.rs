//! What a stream captured, and what stays known of its first lines (configuration manual, 7.3.6).

use crate::sample::args::{ArgDef, ArgKind, req};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const SLOT: &[ArgDef] = &[req(ArgKind::Int)];
const KEPT: Validity = Validity::REQUEST_KEPT;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "capture.req.hdr",
        SLOT,
        Type::Str,
        KEPT,
        req_hdr,
        "Value in a slot of the request.",
    )
    .check(check_slot)
    .eg(&[("capture.req.hdr(0)", Some("kept")), ("capture.req.hdr(7)", None)]),
    FetchDef::new(
        "capture.req.method",
        &[],
        Type::Str,
        KEPT,
        method,
        "Method of the request as received.",
    )
    .eg(&[("capture.req.method", Some("GET"))]),
    FetchDef::new(
        "capture.req.uri",
        &[],
        Type::Str,
        KEPT,
        uri,
        "Target of the request as received.",
    )
    .eg(&[("capture.req.uri", Some("/a/b.png?x=1&y=two&x=3"))]),
    FetchDef::new(
        "capture.req.ver",
        &[],
        Type::Str,
        KEPT,
        req_ver,
        "`HTTP/1.0` or `HTTP/1.1`, of the request.",
    )
    .eg(&[("capture.req.ver", Some("HTTP/1.1"))]),
    FetchDef::new(
        "capture.res.hdr",
        SLOT,
        Type::Str,
        Validity::SERVER_CONN,
        res_hdr,
        "Value in a slot of the response.",
    )
    .check(check_slot)
    .eg(&[("capture.res.hdr(0)", Some("nginx"))]),
    FetchDef::new(
        "capture.res.ver",
        &[],
        Type::Str,
        KEPT,
        res_ver,
        "`HTTP/1.0` or `HTTP/1.1`, of the response.",
    )
    .eg(&[("capture.res.ver", Some("HTTP/1.1"))]),
];

fn check_slot(args: &mut Args) -> Result<(), String> {
    match args.int(0) {
        Some(0..) => Ok(()),
        _ => Err("the number of a slot must not be negative".to_owned()),
    }
}

fn slot<'a>(
    cx: &EvalCtx<'a>,
    args: &Args,
    slots: &std::cell::RefCell<Vec<Option<Vec<u8>>>>,
) -> Option<Sample<'a>> {
    let index = usize::try_from(args.int(0)?).ok()?;
    let slots = slots.borrow();
    Some(Sample::Str(cx.scratch.alloc_slice_copy(slots.get(index)?.as_ref()?)))
}

fn req_hdr<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    slot(cx, args, &cx.captured?.request)
}

fn res_hdr<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    slot(cx, args, &cx.captured?.response)
}

fn method<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    cx.request.map(|head| Sample::Str(head.received().0))
}

fn uri<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    cx.request.map(|head| Sample::Str(head.received().1))
}

fn version(version: proxy_http::Version) -> Sample<'static> {
    Sample::Str(match version {
        proxy_http::Version::Http10 => b"HTTP/1.0",
        _ => b"HTTP/1.1",
    })
}

fn req_ver<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    cx.request.map(|head| version(head.version()))
}

fn res_ver<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    cx.response.map(|head| version(head.version()))
}
