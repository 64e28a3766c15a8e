//! Raw bytes held in the buffers (configuration manual, 7.3.5).

use super::hello::{self, ClientHello, Hello, Kind};
use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const OFFSET_LENGTH: &[ArgDef] = &[req(ArgKind::Int), req(ArgKind::Int)];

const LENGTH_VALUE: &[ArgDef] = &[req(ArgKind::Int), req(ArgKind::Int), opt(ArgKind::Str)];

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "payload",
        OFFSET_LENGTH,
        Type::Bin,
        Validity::of("..YYYYYYYYYYYYYYYY.Y.."),
        req_payload,
        "Same as `req.payload`.",
    )
    .check(check_range)
    .eg(&[("payload(0,2)", None)]),
    FetchDef::new(
        "payload_lv",
        LENGTH_VALUE,
        Type::Bin,
        Validity::MESSAGE,
        req_payload_lv,
        "Same as `req.payload_lv`.",
    )
    .check(check_lv)
    .eg(&[("payload_lv(0,1)", None)]),
    FetchDef::new(
        "rep_ssl_hello_type",
        &[],
        Type::Sint,
        Validity::of("...........YYYYYYY.Y.."),
        res_hello_type,
        "Same as `res.ssl_hello_type`.",
    )
    .eg(&[("rep_ssl_hello_type", None)]),
    FetchDef::new(
        "req.len",
        &[],
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        req_len,
        "Number of bytes received and held.",
    )
    .eg(&[("req.len", None)]),
    FetchDef::new(
        "req.payload",
        OFFSET_LENGTH,
        Type::Bin,
        Validity::of("..YYYYYYYYY..........."),
        req_payload,
        "Bytes received and held; a length of 0 takes all.",
    )
    .check(check_range)
    .eg(&[("req.payload(0,0)", None)]),
    FetchDef::new(
        "req.payload_lv",
        LENGTH_VALUE,
        Type::Bin,
        Validity::REQUEST,
        req_payload_lv,
        "Bytes whose number stands in front of them.",
    )
    .check(check_lv)
    .eg(&[("req.payload_lv(0,1)", None)]),
    FetchDef::new(
        "req.proto_http",
        &[],
        Type::Bool,
        Validity::of("..YYYYYYYYYYYYYYYYY..."),
        proto_http,
        "True for HTTP requests.",
    )
    .eg(&[("req.proto_http", Some("1"))]),
    FetchDef::new(
        "req.ssl_alpn",
        &[],
        Type::Str,
        Validity::of("..YYYYYYYYY..........."),
        ssl_alpn,
        "First protocol of a ClientHello's ALPN.",
    )
    .eg(&[("req.ssl_alpn", None)]),
    FetchDef::new(
        "req.ssl_cipherlist",
        &[],
        Type::Bin,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.."),
        ssl_ciphers,
        "Cipher suites of a ClientHello.",
    )
    .eg(&[("req.ssl_cipherlist", None)]),
    FetchDef::new(
        "req.ssl_ec_ext",
        &[],
        Type::Bool,
        Validity::of("..YYYYYYYYY..........."),
        ssl_ec_ext,
        "True when a ClientHello tells of elliptic curves.",
    )
    .eg(&[("req.ssl_ec_ext", None)]),
    FetchDef::new(
        "req.ssl_hello_type",
        &[],
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        hello_type,
        "1 when a whole TLS ClientHello was received.",
    )
    .eg(&[("req.ssl_hello_type", None)]),
    FetchDef::new(
        "req.ssl_keyshare_groups",
        &[],
        Type::Bin,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.."),
        ssl_key_shares,
        "Groups that a ClientHello has key shares of.",
    )
    .eg(&[("req.ssl_keyshare_groups", None)]),
    FetchDef::new(
        "req.ssl_sigalgs",
        &[],
        Type::Bin,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.."),
        ssl_sigalgs,
        "Signature algorithms of a ClientHello.",
    )
    .eg(&[("req.ssl_sigalgs", None)]),
    FetchDef::new(
        "req.ssl_sni",
        &[],
        Type::Str,
        Validity::of("..YYYYYYYYY..........."),
        ssl_sni,
        "Server name of a TLS ClientHello.",
    )
    .eg(&[("req.ssl_sni", None)]),
    FetchDef::new(
        "req.ssl_st_ext",
        &[],
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        ssl_st_ext,
        "Session ticket of a ClientHello: 0 not known, 1 none, 2 there is one.",
    )
    .eg(&[("req.ssl_st_ext", None)]),
    FetchDef::new(
        "req.ssl_supported_groups",
        &[],
        Type::Bin,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.."),
        ssl_groups,
        "Groups of the key exchange of a ClientHello.",
    )
    .eg(&[("req.ssl_supported_groups", None)]),
    FetchDef::new(
        "req.ssl_ver",
        &[],
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        ssl_ver,
        "TLS version of a ClientHello, major times 65536 plus minor.",
    )
    .eg(&[("req.ssl_ver", None)]),
    FetchDef::new(
        "req_len",
        &[],
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        req_len,
        "Same as `req.len`.",
    )
    .eg(&[("req_len", None)]),
    FetchDef::new(
        "req_proto_http",
        &[],
        Type::Bool,
        Validity::of("..YYYYYYYYYYYYYYYYY..."),
        proto_http,
        "Same as `req.proto_http`.",
    )
    .eg(&[("req_proto_http", Some("1"))]),
    FetchDef::new(
        "req_ssl_hello_type",
        &[],
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        hello_type,
        "Same as `req.ssl_hello_type`.",
    )
    .eg(&[("req_ssl_hello_type", None)]),
    FetchDef::new(
        "req_ssl_sni",
        &[],
        Type::Str,
        Validity::of("..YYYYYYYYY..........."),
        ssl_sni,
        "Same as `req.ssl_sni`.",
    )
    .eg(&[("req_ssl_sni", None)]),
    FetchDef::new(
        "req_ssl_ver",
        &[],
        Type::Sint,
        Validity::of("..YYYYYYYYY..........."),
        ssl_ver,
        "Same as `req.ssl_ver`.",
    )
    .eg(&[("req_ssl_ver", None)]),
    FetchDef::new(
        "res.len",
        &[],
        Type::Sint,
        Validity::of("...........YYYYYYY.Y.."),
        res_len,
        "Number of response bytes held.",
    )
    .eg(&[("res.len", None)]),
    FetchDef::new(
        "res.payload",
        OFFSET_LENGTH,
        Type::Bin,
        Validity::of("...........YYYYYYY.Y.."),
        res_payload,
        "Response bytes held; a length of 0 takes all.",
    )
    .check(check_range)
    .eg(&[("res.payload(0,0)", None)]),
    FetchDef::new(
        "res.payload_lv",
        LENGTH_VALUE,
        Type::Bin,
        Validity::RESPONSE,
        res_payload_lv,
        "Response bytes whose number stands in front of them.",
    )
    .check(check_lv)
    .eg(&[("res.payload_lv(0,1)", None)]),
    FetchDef::new(
        "res.ssl_hello_type",
        &[],
        Type::Sint,
        Validity::of("...........YYYYYYY.Y.."),
        res_hello_type,
        "2 when a whole TLS ServerHello was received.",
    )
    .eg(&[("res.ssl_hello_type", None)]),
];

/// Raw bytes exist in TCP only: an HTTP message is held in its own form.
fn raw(data: Option<&[u8]>, http: bool) -> Option<&[u8]> {
    data.filter(|_| !http)
}

fn length<'a>(data: &[u8], cx: &EvalCtx<'a>, cursor: &mut Cursor) -> Option<Sample<'a>> {
    cursor.may_change = !cx.complete;
    Some(Sample::Int(data.len() as i64))
}

/// Bytes `offset,length` of the arguments, or a wait for them.
fn slice<'a>(
    data: &'a [u8],
    cx: &EvalCtx<'a>,
    args: &Args,
    cursor: &mut Cursor,
) -> Option<Sample<'a>> {
    let offset = usize::try_from(args.int(0)?).ok()?;
    let length = usize::try_from(args.int(1)?).ok()?;
    let end = offset.checked_add(length)?;
    if end > cx.shared.bufsize {
        return None;
    }
    cursor.may_change = !cx.complete && (length == 0 || data.len() < end);
    if data.len() < end.max(offset.saturating_add(1)) {
        return None;
    }
    Some(Sample::Bin(if length == 0 { &data[offset..] } else { &data[offset..end] }))
}

fn check_range(args: &mut Args) -> Result<(), String> {
    match (args.int(0), args.int(1)) {
        (Some(0..), Some(0..)) => Ok(()),
        _ => Err("offset and length must not be negative".to_owned()),
    }
}

/// The ClientHello at the start of the bytes held, or a wait for it.
fn client_hello<'a>(cx: &EvalCtx<'a>, cursor: &mut Cursor) -> Option<ClientHello<'a>> {
    let data = raw(cx.req_data, cx.request.is_some())?;
    match hello::parse(data) {
        Hello::Client(hello) => Some(hello),
        Hello::Other => None,
        Hello::Partial if cx.complete => None,
        Hello::Partial => cursor.wait(),
    }
}

fn req_len<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    length(raw(cx.req_data, cx.request.is_some())?, cx, cursor)
}

fn res_len<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    length(raw(cx.res_data, cx.response.is_some())?, cx, cursor)
}

fn req_payload<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    slice(raw(cx.req_data, cx.request.is_some())?, cx, args, cursor)
}

fn res_payload<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    slice(raw(cx.res_data, cx.response.is_some())?, cx, args, cursor)
}

fn proto_http<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    if cx.request.is_some() {
        return Some(Sample::Bool(true));
    }
    let Some(data) = cx.req_data else { return Some(Sample::Bool(false)) };
    // HTTP/2 begins with something else.
    if data.starts_with(proxy_http::h2::PREFACE) {
        return Some(Sample::Bool(true));
    }
    let mut head = proxy_http::RequestHead::default();
    match proxy_http::h1::parse_request(data, &proxy_http::h1::Limits::default(), &mut head) {
        Ok(proxy_http::h1::Progress::Complete { .. }) => Some(Sample::Bool(true)),
        Ok(_) if !cx.complete => cursor.wait(),
        _ => Some(Sample::Bool(false)),
    }
}

fn hello_type<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    client_hello(cx, cursor).map(|_| Sample::Int(1))
}

fn ssl_sni<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    client_hello(cx, cursor)?.server_name().map(Sample::Str)
}

fn ssl_alpn<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    client_hello(cx, cursor)?.alpn().map(Sample::Str)
}

fn ssl_ciphers<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bin(client_hello(cx, cursor)?.ciphers))
}

fn ssl_ec_ext<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(client_hello(cx, cursor)?.has_curves()))
}

fn ssl_groups<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    client_hello(cx, cursor)?.groups().map(Sample::Bin)
}

fn ssl_key_shares<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let hello = client_hello(cx, cursor)?;
    let mut out = crate::sample::def::out(cx.scratch, 16);
    hello.key_shares()?.for_each(|group| out.extend_from_slice(group));
    Some(Sample::Bin(out.into_bump_slice()))
}

fn ssl_sigalgs<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    client_hello(cx, cursor)?.signatures().map(Sample::Bin)
}

fn ssl_st_ext<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(client_hello(cx, cursor)?.ticket()))
}

fn res_hello_type<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    match hello::kind(raw(cx.res_data, cx.response.is_some())?) {
        Kind::Hello(kind) => Some(Sample::Int(i64::from(kind))),
        Kind::Other => None,
        Kind::Partial if cx.complete => None,
        Kind::Partial => cursor.wait(),
    }
}

fn ssl_ver<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    client_hello(cx, cursor)
        .map(|h| Sample::Int(i64::from(h.version >> 8) << 16 | i64::from(h.version & 255)))
}

/// The third argument becomes an offset, and whether it counts from behind the length.
fn check_lv(args: &mut Args) -> Result<(), String> {
    let (offset, length) = (args.int(0).unwrap_or(-1), args.int(1).unwrap_or(0));
    if offset < 0 || !(1..=8).contains(&length) {
        return Err("an offset that is not negative and a length of 1 to 8 are expected".to_owned());
    }
    let text = String::from_utf8_lossy(args.str(2).unwrap_or(b"+0")).into_owned();
    let text = if text.is_empty() { "+0".to_owned() } else { text };
    let relative = text.starts_with(['+', '-']);
    let number: i64 = text.parse().map_err(|_| format!("'{text}' is no offset"))?;
    if relative && offset + length + number < 0 {
        return Err("the offset leads in front of the start".to_owned());
    }
    let start = if relative { offset + length + number } else { number };
    args.0.truncate(2);
    args.0.push(Arg::Int(start));
    Ok(())
}

fn length_value<'a>(
    data: &'a [u8],
    cx: &EvalCtx<'a>,
    args: &Args,
    cursor: &mut Cursor,
) -> Option<Sample<'a>> {
    let index = |i| usize::try_from(args.int(i)?).ok();
    let (offset, length, start) = (index(0)?, index(1)?, index(2)?);
    let wait = |cursor: &mut Cursor| if cx.complete { None } else { cursor.wait() };
    let Some(digits) = data.get(offset..offset.checked_add(length)?) else { return wait(cursor) };
    let size = digits.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    if size == 0 || end > cx.shared.bufsize {
        return None;
    }
    match data.get(start..end) {
        Some(bytes) => Some(Sample::Bin(bytes)),
        None => wait(cursor),
    }
}

fn req_payload_lv<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    length_value(raw(cx.req_data, cx.request.is_some())?, cx, args, cursor)
}

fn res_payload_lv<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    length_value(raw(cx.res_data, cx.response.is_some())?, cx, args, cursor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::example::Traffic;

    #[track_caller]
    fn check(expr: &str, data: &'static [u8], expected: Option<&str>) {
        let mut traffic = Traffic::new();
        traffic.req_data = data.to_vec();
        let mut diag = proxy_types::Diagnostics::new();
        let mut refs = Vec::new();
        let mut cx = crate::sample::ParseCx {
            section: "fe",
            listen: false,
            place: crate::sample::Place::FeTcpContent,
            mode: proxy_types::Mode::Tcp,
            vars: &traffic.names,
            loader: &crate::sample::NoFiles,
            patterns: &crate::pattern::PatternLists::default(),
            keys: &crate::jwt::PublicKeys::default(),
            files: &(),
            captures: None,
            acls: None,
            counters: crate::track::COUNTERS,
            diag: &mut diag,
            refs: &mut refs,
        };
        let word = proxy_types::Spanned::builtin(expr.as_bytes());
        let expr = crate::sample::Expr::parse(word, &mut cx).unwrap();
        let cx = EvalCtx { request: None, complete: true, ..traffic.context() };
        let value = expr.eval_str(&cx).map(String::from_utf8_lossy);
        assert_eq!(value.as_deref(), expected);
    }

    #[test]
    fn lengths_in_front() {
        check("req.payload_lv(0,1)", b"\x03abcdef", Some("abc"));
        check("req.payload_lv(1,2)", b"x\0\x02abcdef", Some("ab"));
        check("req.payload_lv(0,1,+2)", b"\x03abcdef", Some("cde"));
        check("req.payload_lv(0,1,4)", b"\x02abcdef", Some("de"));
        check("req.payload_lv(0,1)", b"\x09abc", None);
        check("req.payload(1,2)", b"abcd", Some("bc"));
    }
}
