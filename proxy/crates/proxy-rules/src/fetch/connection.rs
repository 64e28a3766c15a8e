//! How a connection began: errors and the PROXY protocol (configuration manual, 7.3.3).

use super::tls::{Back, Front, Side};
use crate::sample::args::{ArgDef, ArgKind, req};
use crate::sample::connection::ERRORS;
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const TLV: &[ArgDef] = &[req(ArgKind::Str)];

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "bc_err",
        &[],
        Type::Sint,
        Validity::SERVER_CONN,
        err::<Back>,
        "Number of the error that ended the server's connection.",
    )
    .eg(&[("bc_err", Some("26"))]),
    FetchDef::new(
        "bc_err_name",
        &[],
        Type::Str,
        Validity::SERVER_CONN,
        err_name::<Back>,
        "Name of the error that ended the server's connection.",
    )
    .eg(&[("bc_err_name", Some("SSL_TIMEOUT"))]),
    FetchDef::new(
        "bc_err_str",
        &[],
        Type::Str,
        Validity::SERVER_CONN,
        err_str::<Back>,
        "The error that ended the server's connection.",
    )
    .eg(&[("bc_err_str", Some("Timeout during SSL handshake"))]),
    FetchDef::new(
        "bc_glitches",
        &[],
        Type::Sint,
        Validity::SERVER_CONN,
        glitches::<Back>,
        "Anomalies of the server's protocol on its connection.",
    )
    .eg(&[("bc_glitches", Some("4"))]),
    FetchDef::new(
        "bc_http_major",
        &[],
        Type::Sint,
        Validity::SERVER_CONN,
        server_http,
        "Version of HTTP on the connection to the server: 1 or 2.",
    )
    .eg(&[("bc_http_major", Some("1"))]),
    FetchDef::new(
        "bc_nb_streams",
        &[],
        Type::Sint,
        Validity::SERVER_CONN,
        streams::<Back>,
        "Streams that are open on the server's connection.",
    )
    .eg(&[("bc_nb_streams", Some("2"))]),
    FetchDef::new(
        "bc_settings_streams_limit",
        &[],
        Type::Sint,
        Validity::SERVER_CONN,
        limit::<Back>,
        "Streams that may be open at once on the server's connection.",
    )
    .eg(&[("bc_settings_streams_limit", Some("100"))]),
    FetchDef::new(
        "fc_err",
        &[],
        Type::Sint,
        Validity::CLIENT,
        err::<Front>,
        "Number of the error that ended the client's connection.",
    )
    .eg(&[("fc_err", Some("31"))]),
    FetchDef::new(
        "fc_err_name",
        &[],
        Type::Str,
        Validity::CLIENT,
        err_name::<Front>,
        "Name of the error that ended the client's connection.",
    )
    .eg(&[("fc_err_name", Some("SSL_CRT_FAIL"))]),
    FetchDef::new(
        "fc_err_str",
        &[],
        Type::Str,
        Validity::CLIENT,
        err_str::<Front>,
        "The error that ended the client's connection.",
    )
    .eg(&[("fc_err_str", Some("SSL client certificate not trusted"))]),
    FetchDef::new(
        "fc_glitches",
        &[],
        Type::Sint,
        Validity::CLIENT,
        glitches::<Front>,
        "Anomalies of the client's protocol on its connection.",
    )
    .eg(&[("fc_glitches", Some("3"))]),
    FetchDef::new(
        "fc_http_major",
        &[],
        Type::Sint,
        Validity::CLIENT,
        client_http,
        "Version of HTTP on the client's connection: 1 or 2.",
    )
    .eg(&[("fc_http_major", Some("1"))]),
    FetchDef::new(
        "fc_nb_streams",
        &[],
        Type::Sint,
        Validity::CLIENT,
        streams::<Front>,
        "Streams that are open on the client's connection.",
    )
    .eg(&[("fc_nb_streams", Some("2"))]),
    FetchDef::new(
        "fc_pp_authority",
        &[],
        Type::Str,
        Validity::CLIENT,
        authority,
        "Host that a PROXY protocol header named.",
    )
    .eg(&[("fc_pp_authority", Some("pp.example.org"))]),
    FetchDef::new(
        "fc_pp_tlv",
        TLV,
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        tlv,
        "A value of the PROXY protocol header.",
    )
    .eg(&[
        ("fc_pp_tlv(0x02)", Some("pp.example.org")),
        ("fc_pp_tlv(UNIQUE_ID)", Some("id-1")),
        ("fc_pp_tlv(5)", Some("id-1")),
        ("fc_pp_tlv(6)", None),
    ])
    .check(check_tlv),
    FetchDef::new(
        "fc_pp_unique_id",
        &[],
        Type::Str,
        Validity::CLIENT,
        unique_id,
        "Unique id in the PROXY protocol header.",
    )
    .eg(&[("fc_pp_unique_id", Some("id-1"))]),
    FetchDef::new(
        "fc_rcvd_proxy",
        &[],
        Type::Bool,
        Validity::CLIENT,
        received,
        "True when a PROXY protocol header came.",
    )
    .eg(&[("fc_rcvd_proxy", Some("1"))]),
    FetchDef::new(
        "fc_settings_streams_limit",
        &[],
        Type::Sint,
        Validity::CLIENT_SESSION,
        limit::<Front>,
        "Streams that may be open at once on the client's connection.",
    )
    .eg(&[("fc_settings_streams_limit", Some("100"))]),
];

fn check_tlv(args: &mut Args) -> Result<(), String> {
    let text = args.str(0).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default();
    match tlv_type(text) {
        Some(_) => Ok(()),
        None => {
            Err(format!("'{text}' is no type of a value: a number up to 255 or a name is expected"))
        }
    }
}

/// Names of types of values, beside their numbers.
const TYPES: [(&str, u8); 12] = [
    ("ALPN", 0x01),
    ("AUTHORITY", 0x02),
    ("CRC32", 0x03),
    ("NETNS", 0x30),
    ("NOOP", 0x04),
    ("SSL", 0x20),
    ("SSL_CIPHER", 0x23),
    ("SSL_CN", 0x22),
    ("SSL_KEY_ALG", 0x25),
    ("SSL_SIG_ALG", 0x24),
    ("SSL_VERSION", 0x21),
    ("UNIQUE_ID", 0x05),
];

/// The number of a type, written in decimal, in hexadecimal, or as its name.
fn tlv_type(text: &str) -> Option<u8> {
    if let Some((_, number)) = TYPES.iter().find(|(name, _)| *name == text) {
        return Some(*number);
    }
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u8::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

fn glitches<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(S::link(cx)?.glitches.get())))
}

fn streams<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(S::link(cx)?.streams.get())))
}

fn limit<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(S::link(cx)?.limit.get())))
}

fn err<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(S::connection(cx)?.error)))
}

fn err_name<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let (name, _) = ERRORS.get(usize::from(S::connection(cx)?.error))?;
    (!name.is_empty()).then_some(Sample::Str(name.as_bytes()))
}

fn err_str<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let (_, message) = ERRORS.get(usize::from(S::connection(cx)?.error))?;
    Some(Sample::Str(message.as_bytes()))
}

fn value<'a>(cx: &EvalCtx<'a>, kind: u8) -> Option<Sample<'a>> {
    cx.session?.connection.proxy.as_deref()?.tlv(kind).map(Sample::Str)
}

fn authority<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    value(cx, 0x02)
}

fn unique_id<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    value(cx, 0x05)
}

fn tlv<'a>(cx: &EvalCtx<'a>, args: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    let kind = tlv_type(std::str::from_utf8(args.str(0)?).ok()?)?;
    let tlvs = &cx.session?.connection.proxy.as_deref()?.tlvs;
    let mut found = tlvs.iter().filter(|(known, _)| *known == kind).skip(cursor.at[0] as usize);
    let (_, value) = found.next()?;
    cursor.at[0] += 1;
    cursor.more = found.next().is_some();
    Some(Sample::Str(value))
}

fn client_http<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(if cx.session?.connection.multiplexed { 2 } else { 1 }))
}

fn server_http<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    cx.known()?.server_http.map(|version| Sample::Int(version.into()))
}

fn received<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(cx.session?.connection.proxy.is_some()))
}
