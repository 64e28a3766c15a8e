//! The request head: start line and header fields (configuration manual, 7.3.6).

use proxy_http::RequestHead;

use super::header::{self, Cut, Values};
use crate::hash::HashFunction;
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::def::out;
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const NAME: &[ArgDef] = &[opt(ArgKind::Str)];
const NAME_OCC: &[ArgDef] = &[opt(ArgKind::Str), opt(ArgKind::Int)];
const AT: Validity = Validity::REQUEST;
const KEPT: Validity = Validity::REQUEST_KEPT;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new("base", &[], Type::Str, AT, base, "Host field and path.")
        .eg(&[("base", Some("www.example.com:8080/a/b.png"))]),
    FetchDef::new("base32", &[], Type::Sint, AT, base32, "32-bit hash of `base`.")
        .eg(&[("base32", Some("1393422911"))]),
    FetchDef::new(
        "base32+src",
        &[],
        Type::Bin,
        AT,
        base32_src,
        "`base32` and the client's address together.",
    )
    .eg(&[("base32+src,hex", Some("530DF23FC000020A"))]),
    FetchDef::new("baseq", &[], Type::Str, AT, baseq, "Host field, path and query.")
        .eg(&[("baseq", Some("www.example.com:8080/a/b.png?x=1&y=two&x=3"))]),
    FetchDef::new("hdr", NAME_OCC, Type::Str, Validity::MESSAGE, req_hdr, "Same as `req.hdr`.")
        .check(header::check_occurrence)
        .check(header::check_occurrence)
        .eg(&[("hdr(x-list,1)", Some("a"))]),
    FetchDef::new("hdr_cnt", NAME, Type::Sint, AT, req_hdr_cnt, "Same as `req.hdr_cnt`.")
        .eg(&[("hdr_cnt(x-list)", Some("4"))]),
    FetchDef::new("hdr_ip", NAME_OCC, Type::Addr, AT, req_hdr_ip, "Same as `req.hdr_ip`.")
        .check(header::check_occurrence)
        .eg(&[("hdr_ip(x-forwarded-for)", Some("10.0.0.1"))]),
    FetchDef::new("hdr_val", NAME_OCC, Type::Sint, AT, req_hdr_val, "Same as `req.hdr_val`.")
        .check(header::check_occurrence)
        .eg(&[("hdr_val(x-num)", Some("-42"))]),
    FetchDef::new("method", &[], Type::Meth, KEPT, method, "Method of the request.")
        .eg(&[("method", Some("GET")), ("method,length", Some("3"))]),
    FetchDef::new("path", &[], Type::Str, AT, path, "Path, up to the question mark.")
        .eg(&[("path", Some("/a/b.png"))]),
    FetchDef::new("pathq", &[], Type::Str, AT, pathq, "Path with the query.")
        .eg(&[("pathq", Some("/a/b.png?x=1&y=two&x=3"))]),
    FetchDef::new("query", &[], Type::Str, AT, query, "Query, after the question mark.")
        .eg(&[("query", Some("x=1&y=two&x=3"))]),
    FetchDef::new("req.fhdr", NAME_OCC, Type::Str, AT, req_fhdr, "Whole value of a header field.")
        .check(header::check_occurrence)
        .eg(&[("req.fhdr(x-list,1)", Some("a, b ,c")), ("req.fhdr(x-list)", Some("d"))]),
    FetchDef::new("req.fhdr_cnt", NAME, Type::Sint, AT, req_fhdr_cnt, "Number of header fields.")
        .eg(&[("req.fhdr_cnt(x-list)", Some("2")), ("req.fhdr_cnt(none)", Some("0"))]),
    FetchDef::new(
        "req.hdr",
        NAME_OCC,
        Type::Str,
        AT,
        req_hdr,
        "Value of a header field, cut at commas.",
    )
    .check(header::check_occurrence)
    .eg(&[
        ("req.hdr(x-list)", Some("d")),
        ("req.hdr(X-List,2)", Some("b")),
        ("req.hdr(x-list,-2)", Some("c")),
        ("req.hdr(x-list,5)", None),
        ("req.hdr(none)", None),
    ]),
    FetchDef::new(
        "req.hdr_cnt",
        NAME,
        Type::Sint,
        AT,
        req_hdr_cnt,
        "Number of comma-separated values.",
    )
    .eg(&[("req.hdr_cnt(x-list)", Some("4")), ("req.hdr_cnt(none)", Some("0"))]),
    FetchDef::new(
        "req.hdr_ip",
        NAME_OCC,
        Type::Addr,
        AT,
        req_hdr_ip,
        "Value of a header field as address.",
    )
    .check(header::check_occurrence)
    .eg(&[("req.hdr_ip(x-forwarded-for,1)", Some("192.0.2.33")), ("req.hdr_ip(x-num)", None)]),
    FetchDef::new(
        "req.hdr_names",
        NAME,
        Type::Str,
        AT,
        req_hdr_names,
        "Names of all header fields.",
    )
    .eg(&[("req.hdr_names(:),length", Some("80"))]),
    FetchDef::new(
        "req.hdr_val",
        NAME_OCC,
        Type::Sint,
        AT,
        req_hdr_val,
        "Value of a header field as number.",
    )
    .check(header::check_occurrence)
    .eg(&[("req.hdr_val(x-num)", Some("-42"))]),
    FetchDef::new(
        "req.hdrs",
        &[],
        Type::Bin,
        AT,
        req_hdrs,
        "The header fields as lines, with the empty one.",
    )
    .eg(&[("req.hdrs,field(1,:)", Some("host"))]),
    FetchDef::new(
        "req.hdrs_bin",
        &[],
        Type::Bin,
        AT,
        req_hdrs_bin,
        "The header fields, each name and value behind its length.",
    )
    .eg(&[("req.hdrs_bin,bytes(0,7),hex", Some("04686F73741477"))]),
    FetchDef::new("req.ver", &[], Type::Str, KEPT, req_ver, "Version of the request, such as 1.1.")
        .eg(&[("req.ver", Some("1.1"))]),
    FetchDef::new("req_ver", &[], Type::Str, KEPT, req_ver, "Same as `req.ver`.")
        .eg(&[("req_ver", Some("1.1"))]),
    FetchDef::new("url", &[], Type::Str, AT, url, "Request target as it was sent.")
        .eg(&[("url", Some("/a/b.png?x=1&y=two&x=3"))]),
    FetchDef::new(
        "url32",
        &[],
        Type::Sint,
        AT,
        url32,
        "32-bit hash of the Host field and the whole target.",
    )
    .eg(&[("url32", Some("3277027671"))]),
    FetchDef::new(
        "url32+src",
        &[],
        Type::Bin,
        AT,
        url32_src,
        "`url32` and the client's address together.",
    )
    .eg(&[("url32+src,hex,bytes(8)", Some("C000020A"))]),
    FetchDef::new("url_ip", &[], Type::Ipv4, AT, url_ip, "Address that an absolute target names.")
        .eg(&[("url_ip", None)]),
    FetchDef::new(
        "url_port",
        &[],
        Type::Sint,
        AT,
        url_port,
        "Port that an absolute target names, 80 if none.",
    )
    .eg(&[("url_port", None)]),
];

/// The head, or "not yet" while it is still coming.
pub(super) fn head<'a>(cx: &EvalCtx<'a>, cursor: &mut Cursor) -> Option<&'a RequestHead> {
    match cx.request {
        Some(head) => Some(head),
        None if cx.complete => None,
        None => cursor.wait(),
    }
}

fn host(head: &RequestHead) -> &[u8] {
    Values::new(head.headers(), Some(b"host"), Cut::Full).next().unwrap_or_default()
}

fn join<'a>(cx: &EvalCtx<'a>, a: &[u8], b: &[u8]) -> &'a [u8] {
    let mut text = out(cx.scratch, a.len() + b.len());
    text.extend_from_slice(a);
    text.extend_from_slice(b);
    text.into_bump_slice()
}

fn base<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Str(join(cx, host(head), head.path())))
}

fn base32<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let text = base(cx, args, cursor)?.bytes()?;
    Some(Sample::Int(i64::from(crate::hash::hash(HashFunction::Sdbm, text, true))))
}

fn baseq<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Str(join(cx, host(head), head.path_and_query())))
}

fn method<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Meth(head(cx, cursor)?.method_text()))
}

fn path<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let path = head(cx, cursor)?.path();
    path.starts_with(b"/").then_some(Sample::Str(path))
}

fn pathq<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let path = head(cx, cursor)?.path_and_query();
    path.starts_with(b"/").then_some(Sample::Str(path))
}

fn query<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Str(head(cx, cursor)?.query()))
}

fn req_fhdr<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    header::pick(head.headers(), args, Cut::Full, cursor).map(Sample::Str)
}

fn req_fhdr_cnt<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Int(header::count(head.headers(), args, Cut::Full)))
}

fn req_hdr<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    header::pick(head.headers(), args, Cut::Commas, cursor).map(Sample::Str)
}

fn req_hdr_cnt<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Int(header::count(head.headers(), args, Cut::Commas)))
}

fn req_hdr_ip<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    header::pick(head.headers(), args, Cut::Commas, cursor).and_then(header::address)
}

fn req_hdr_names<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Str(super::http_res::names(cx, head.headers(), args)))
}

fn req_hdr_val<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    header::pick(head.headers(), args, Cut::Commas, cursor)
        .and_then(header::number)
        .map(Sample::Int)
}

fn req_hdrs<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    Some(Sample::Bin(super::http_res::lines(cx, head.headers())))
}

fn req_hdrs_bin<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    super::http_res::counted(cx, head.headers()).map(Sample::Bin)
}

fn req_ver<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    head(cx, cursor)?.version_text().strip_prefix(b"HTTP/").map(Sample::Str)
}

fn url<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Str(head(cx, cursor)?.target()))
}

fn url32<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let head = head(cx, cursor)?;
    let text = join(cx, host(head), head.target());
    Some(Sample::Int(i64::from(crate::hash::hash(HashFunction::Sdbm, text, true))))
}

fn authority<'a>(cx: &EvalCtx<'a>, cursor: &mut Cursor) -> Option<(&'a [u8], &'a [u8])> {
    let authority = head(cx, cursor)?.uri().authority;
    (!authority.is_empty()).then(|| proxy_http::uri::host_port(authority))
}

fn url_ip<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let (host, _) = authority(cx, cursor)?;
    std::str::from_utf8(host).ok()?.parse().ok().map(Sample::Ipv4)
}

fn url_port<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    url_ip(cx, args, cursor)?;
    let (_, port) = authority(cx, cursor)?;
    Some(Sample::Int(if port.is_empty() { 80 } else { header::number(port)? }))
}

/// A hash of 4 bytes with the client's address behind it, to be a key.
fn with_source<'a>(cx: &EvalCtx<'a>, hash: Sample<'a>) -> Option<Sample<'a>> {
    let mut key = out(cx.scratch, 20);
    key.extend_from_slice(&(hash.int()? as u32).to_be_bytes());
    match cx.session?.src?.ip() {
        std::net::IpAddr::V4(ip) => key.extend_from_slice(&ip.octets()),
        std::net::IpAddr::V6(ip) => key.extend_from_slice(&ip.octets()),
    }
    Some(Sample::Bin(key.into_bump_slice()))
}

fn base32_src<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    with_source(cx, base32(cx, args, cursor)?)
}

fn url32_src<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    with_source(cx, url32(cx, args, cursor)?)
}
