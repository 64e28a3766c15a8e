//! The response head: status and header fields (configuration manual, 7.3.6).

use proxy_http::{HeaderList, ResponseHead, Version};

use super::header::{self, Cut};
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::def::out;
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};
use crate::spop;

const NAME: &[ArgDef] = &[opt(ArgKind::Str)];
const NAME_OCC: &[ArgDef] = &[opt(ArgKind::Str), opt(ArgKind::Int)];
const AT: Validity = Validity::RESPONSE;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "res.fhdr",
        NAME_OCC,
        Type::Str,
        AT,
        res_fhdr,
        "Whole value of a response header field.",
    )
    .check(header::check_occurrence)
    .eg(&[("res.fhdr(date)", Some("Sun, 22 Nov 2026 10:00:00 GMT"))]),
    FetchDef::new(
        "res.fhdr_cnt",
        NAME,
        Type::Sint,
        AT,
        res_fhdr_cnt,
        "Number of response header fields.",
    )
    .eg(&[("res.fhdr_cnt(set-cookie)", Some("2"))]),
    FetchDef::new(
        "res.hdr",
        NAME_OCC,
        Type::Str,
        AT,
        res_hdr,
        "Value of a response header field, cut at commas.",
    )
    .check(header::check_occurrence)
    .eg(&[("res.hdr(content-type)", Some("text/html")), ("res.hdr(date,1)", Some("Sun"))]),
    FetchDef::new(
        "res.hdr_cnt",
        NAME,
        Type::Sint,
        AT,
        res_hdr_cnt,
        "Number of comma-separated response values.",
    )
    .eg(&[("res.hdr_cnt(date)", Some("2"))]),
    FetchDef::new(
        "res.hdr_ip",
        NAME_OCC,
        Type::Addr,
        AT,
        res_hdr_ip,
        "Value of a response header field as address.",
    )
    .check(header::check_occurrence)
    .eg(&[("res.hdr_ip(x-served-by)", Some("10.1.2.3"))]),
    FetchDef::new(
        "res.hdr_names",
        NAME,
        Type::Str,
        AT,
        res_hdr_names,
        "Names of all response header fields.",
    )
    .eg(&[("res.hdr_names,field(1,',')", Some("date"))]),
    FetchDef::new(
        "res.hdr_val",
        NAME_OCC,
        Type::Sint,
        AT,
        res_hdr_val,
        "Value of a response header field as number.",
    )
    .check(header::check_occurrence)
    .eg(&[("res.hdr_val(content-length)", Some("1234"))]),
    FetchDef::new(
        "res.hdrs",
        &[],
        Type::Bin,
        AT,
        res_hdrs,
        "The response header fields as lines, with the empty one.",
    )
    .eg(&[("res.hdrs,field(1,:)", Some("date"))]),
    FetchDef::new(
        "res.hdrs_bin",
        &[],
        Type::Bin,
        AT,
        res_hdrs_bin,
        "The response header fields, each name and value behind its length.",
    )
    .eg(&[("res.hdrs_bin,bytes(0,6),hex", Some("04646174651D"))]),
    FetchDef::new(
        "res.ver",
        &[],
        Type::Str,
        Validity::SERVER_CONN,
        res_ver,
        "Version of the response, such as 1.1.",
    )
    .eg(&[("res.ver", Some("1.1"))]),
    FetchDef::new("resp_ver", &[], Type::Str, Validity::SERVER_CONN, res_ver, "Same as `res.ver`.")
        .eg(&[("resp_ver", Some("1.1"))]),
    FetchDef::new("shdr", NAME_OCC, Type::Str, AT, res_hdr, "Same as `res.hdr`.")
        .check(header::check_occurrence)
        .eg(&[("shdr(content-type)", Some("text/html"))]),
    FetchDef::new("shdr_cnt", NAME, Type::Sint, AT, res_hdr_cnt, "Same as `res.hdr_cnt`.")
        .eg(&[("shdr_cnt(none)", Some("0"))]),
    FetchDef::new("shdr_ip", NAME_OCC, Type::Addr, AT, res_hdr_ip, "Same as `res.hdr_ip`.")
        .check(header::check_occurrence)
        .eg(&[("shdr_ip(x-served-by)", Some("10.1.2.3"))]),
    FetchDef::new("shdr_val", NAME_OCC, Type::Sint, AT, res_hdr_val, "Same as `res.hdr_val`.")
        .check(header::check_occurrence)
        .eg(&[("shdr_val(content-length)", Some("1234"))]),
    FetchDef::new(
        "status",
        &[],
        Type::Sint,
        Validity::SERVER_CONN,
        status,
        "Status of the response.",
    )
    .eg(&[("status", Some("200"))]),
];

/// The head, or "not yet" while it is still coming.
pub(super) fn head<'a>(cx: &EvalCtx<'a>, cursor: &mut Cursor) -> Option<&'a ResponseHead> {
    match cx.response {
        Some(head) => Some(head),
        None if cx.complete => None,
        None => cursor.wait(),
    }
}

/// The names of all fields in lower case, joined by the first character of the argument or a comma.
pub(super) fn names<'a>(cx: &EvalCtx<'a>, headers: &HeaderList, args: &Args) -> &'a [u8] {
    let delimiter = args.str(0).and_then(|d| d.first()).copied().unwrap_or(b',');
    let mut text = out(cx.scratch, 256);
    for (i, header) in headers.iter().enumerate() {
        if i > 0 {
            text.push(delimiter);
        }
        text.extend(header.name.iter().map(u8::to_ascii_lowercase));
    }
    text.into_bump_slice()
}

/// All fields with their names in lower case, and the empty line.
pub(super) fn lines<'a>(cx: &EvalCtx<'a>, headers: &HeaderList) -> &'a [u8] {
    let mut text = out(cx.scratch, 1024);
    for header in headers.iter() {
        text.extend(header.name.iter().map(u8::to_ascii_lowercase));
        text.extend_from_slice(b": ");
        text.extend_from_slice(header.value);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.into_bump_slice()
}

/// Names, in lower case, and values behind their lengths, with two empty ones at the end.
pub(super) fn counted<'a>(cx: &EvalCtx<'a>, headers: &HeaderList) -> Option<&'a [u8]> {
    let mut list = out(cx.scratch, 1024);
    for header in headers.iter() {
        spop::put_number(&mut list, header.name.len() as u64);
        list.extend(header.name.iter().map(u8::to_ascii_lowercase));
        spop::put_text(&mut list, header.value);
    }
    list.extend_from_slice(&[0, 0]);
    (list.len() <= cx.shared.bufsize).then(|| list.into_bump_slice() as &[u8])
}

fn res_fhdr<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    header::pick(head.headers(), args, Cut::Full, cursor).map(Sample::Str)
}

fn res_fhdr_cnt<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Int(header::count(head.headers(), args, Cut::Full)))
}

fn res_hdr<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    header::pick(head.headers(), args, Cut::Commas, cursor).map(Sample::Str)
}

fn res_hdr_cnt<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Int(header::count(head.headers(), args, Cut::Commas)))
}

fn res_hdr_ip<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    header::pick(head.headers(), args, Cut::Commas, cursor).and_then(header::address)
}

fn res_hdr_names<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Str(names(cx, head.headers(), args)))
}

fn res_hdr_val<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    header::pick(head.headers(), args, Cut::Commas, cursor)
        .and_then(header::number)
        .map(Sample::Int)
}

fn res_hdrs<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Bin(lines(cx, head.headers())))
}

fn res_hdrs_bin<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    counted(cx, head.headers()).map(Sample::Bin)
}

fn res_ver<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Str(match head(cx, cursor)?.version() {
        Version::Http10 => b"1.0",
        Version::Http11 => b"1.1",
    }))
}

fn status<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(head(cx, cursor)?.status())))
}
