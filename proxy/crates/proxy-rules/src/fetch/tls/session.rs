//! What TLS agreed on, on either side (configuration manual, 7.3.4).

use super::{Back, Front, Side};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

pub(in crate::fetch) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "ssl_bc",
        &[],
        Type::Bool,
        Validity::of("...........YYYYYYYYY.."),
        is_tls::<Back>,
        "True when the server's connection is encrypted.",
    )
    .eg(&[("ssl_bc", Some("1"))]),
    FetchDef::new(
        "ssl_bc_alg_keysize",
        &[],
        Type::Sint,
        Validity::of("...........YYYYYYYYY.."),
        bits::<Back>,
        "Strength of the cipher of the server's connection, in bits.",
    )
    .eg(&[("ssl_bc_alg_keysize", Some("256"))]),
    FetchDef::new(
        "ssl_bc_alpn",
        &[],
        Type::Str,
        Validity::of("...........YYYYYYYYY.."),
        alpn::<Back>,
        "Protocol that ALPN agreed on with the server.",
    )
    .eg(&[("ssl_bc_alpn", Some("h2"))]),
    FetchDef::new(
        "ssl_bc_cipher",
        &[],
        Type::Str,
        Validity::of("...........YYYYYYYYY.."),
        cipher::<Back>,
        "Cipher suite of the server's connection.",
    )
    .eg(&[("ssl_bc_cipher", Some("TLS_AES_256_GCM_SHA384"))]),
    FetchDef::new(
        "ssl_bc_curve",
        &[],
        Type::Str,
        Validity::of("...........YYYYYYYYY.."),
        curve::<Back>,
        "Group of the key exchange of the server's connection.",
    )
    .eg(&[("ssl_bc_curve", Some("X25519"))]),
    FetchDef::new(
        "ssl_bc_err",
        &[],
        Type::Sint,
        Validity::of("...........YYYYYYYYY.."),
        err::<Back>,
        "OpenSSL's code of the error that ended the server's handshake.",
    )
    .eg(&[("ssl_bc_err", Some("167772294"))]),
    FetchDef::new(
        "ssl_bc_err_str",
        &[],
        Type::Str,
        Validity::of("...........YYYYYYYYY.."),
        err_str::<Back>,
        "The error that ended the server's handshake.",
    )
    .eg(&[("ssl_bc_err_str", Some("certificate verify failed"))]),
    FetchDef::new(
        "ssl_bc_is_resumed",
        &[],
        Type::Bool,
        Validity::of("...........YYYYYYYYY.."),
        is_resumed::<Back>,
        "True when the server's connection took up an earlier session.",
    )
    .eg(&[("ssl_bc_is_resumed", Some("0"))]),
    FetchDef::new(
        "ssl_bc_npn",
        &[],
        Type::Str,
        Validity::of("...........YYYYYYYYY.."),
        npn,
        "Protocol by NPN, which no version of TLS has that is offered.",
    )
    .eg(&[("ssl_bc_npn", None)]),
    FetchDef::new(
        "ssl_bc_protocol",
        &[],
        Type::Str,
        Validity::of("...........YYYYYYYYY.."),
        protocol::<Back>,
        "TLS version of the server's connection.",
    )
    .eg(&[("ssl_bc_protocol", Some("TLSv1.3"))]),
    FetchDef::new(
        "ssl_bc_sni",
        &[],
        Type::Str,
        Validity::of("...........YYYYYYYYY.."),
        sni::<Back>,
        "Host that the server was asked for.",
    )
    .eg(&[("ssl_bc_sni", Some("s1.example.org"))]),
    FetchDef::new(
        "ssl_bc_use_keysize",
        &[],
        Type::Sint,
        Validity::of("...........YYYYYYYYY.."),
        bits::<Back>,
        "Bits of the cipher's key in use on the server's connection.",
    )
    .eg(&[("ssl_bc_use_keysize", Some("256"))]),
    FetchDef::new(
        "ssl_c_ca_err",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        ca_err,
        "First error found above the client's certificate.",
    )
    .eg(&[("ssl_c_ca_err", Some("19"))]),
    FetchDef::new(
        "ssl_c_ca_err_depth",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        ca_err_depth,
        "How far above the client's certificate that error is.",
    )
    .eg(&[("ssl_c_ca_err_depth", Some("1"))]),
    FetchDef::new(
        "ssl_c_err",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        crt_err,
        "First error found in the client's certificate itself.",
    )
    .eg(&[("ssl_c_err", Some("10"))]),
    FetchDef::new(
        "ssl_c_used",
        &[],
        Type::Bool,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        used,
        "True when the client has a certificate, shown now or in the session it resumed.",
    )
    .eg(&[("ssl_c_used", Some("1"))]),
    FetchDef::new(
        "ssl_c_verify",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        verify,
        "Last error found in the client's certificate; 0 is none.",
    )
    .eg(&[("ssl_c_verify", Some("10"))]),
    FetchDef::new(
        "ssl_fc",
        &[],
        Type::Bool,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        is_tls::<Front>,
        "True when the client's connection is encrypted.",
    )
    .eg(&[("ssl_fc", Some("1"))]),
    FetchDef::new(
        "ssl_fc_alg_keysize",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        bits::<Front>,
        "Strength of the cipher of the client's connection, in bits.",
    )
    .eg(&[("ssl_fc_alg_keysize", Some("256"))]),
    FetchDef::new(
        "ssl_fc_alpn",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        alpn::<Front>,
        "Protocol that ALPN agreed on with the client.",
    )
    .eg(&[("ssl_fc_alpn", Some("h2"))]),
    FetchDef::new(
        "ssl_fc_cipher",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        cipher::<Front>,
        "Cipher suite of the client's connection.",
    )
    .eg(&[("ssl_fc_cipher", Some("TLS_AES_256_GCM_SHA384"))]),
    FetchDef::new(
        "ssl_fc_crtname",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        crtname,
        "Name of the certificate that was shown to the client.",
    )
    .eg(&[("ssl_fc_crtname", Some("site.pem"))]),
    FetchDef::new(
        "ssl_fc_curve",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        curve::<Front>,
        "Group of the key exchange of the client's connection.",
    )
    .eg(&[("ssl_fc_curve", Some("X25519"))]),
    FetchDef::new(
        "ssl_fc_early_rcvd",
        &[],
        Type::Bool,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        early_rcvd,
        "True when the client sent data before its handshake was complete, whether it is now or not.",
    )
    .eg(&[("ssl_fc_early_rcvd", Some("0"))]),
    FetchDef::new(
        "ssl_fc_err",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        err::<Front>,
        "OpenSSL's code of the error that ended the client's handshake.",
    )
    .eg(&[("ssl_fc_err", Some("167772294"))]),
    FetchDef::new(
        "ssl_fc_err_str",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        err_str::<Front>,
        "The error that ended the client's handshake.",
    )
    .eg(&[("ssl_fc_err_str", Some("certificate verify failed"))]),
    FetchDef::new(
        "ssl_fc_has_crt",
        &[],
        Type::Bool,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        has_crt,
        "True when the client showed a certificate in this connection.",
    )
    .eg(&[("ssl_fc_has_crt", Some("1"))]),
    FetchDef::new(
        "ssl_fc_has_early",
        &[],
        Type::Bool,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        has_early,
        "True when the client sent data before its handshake was complete, and it still is not.",
    )
    .eg(&[("ssl_fc_has_early", Some("0"))]),
    FetchDef::new(
        "ssl_fc_has_sni",
        &[],
        Type::Bool,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        has_sni,
        "True when the client named a host.",
    )
    .eg(&[("ssl_fc_has_sni", Some("1"))]),
    FetchDef::new(
        "ssl_fc_is_resumed",
        &[],
        Type::Bool,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        is_resumed::<Front>,
        "True when the client's connection took up an earlier session.",
    )
    .eg(&[("ssl_fc_is_resumed", Some("0"))]),
    FetchDef::new(
        "ssl_fc_npn",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        npn,
        "Protocol by NPN, which no version of TLS has that is offered.",
    )
    .eg(&[("ssl_fc_npn", None)]),
    FetchDef::new(
        "ssl_fc_protocol",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        protocol::<Front>,
        "TLS version of the client's connection.",
    )
    .eg(&[("ssl_fc_protocol", Some("TLSv1.3"))]),
    FetchDef::new(
        "ssl_fc_sni",
        &[],
        Type::Str,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        sni::<Front>,
        "Host that the client named.",
    )
    .eg(&[("ssl_fc_sni", Some("www.example.org"))]),
    FetchDef::new(
        "ssl_fc_use_keysize",
        &[],
        Type::Sint,
        Validity::of(".YYYYYYYYYYYYYYYYYY..."),
        bits::<Front>,
        "Bits of the cipher's key in use on the client's connection.",
    )
    .eg(&[("ssl_fc_use_keysize", Some("256"))]),
];

fn is_tls<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    cx.session?;
    Some(Sample::Bool(S::tls(cx).is_some()))
}

fn bits<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let bits = S::tls(cx)?.bits;
    (bits > 0).then(|| Sample::Int(i64::from(bits)))
}

fn alpn<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    S::tls(cx)?.alpn.as_deref().map(Sample::Str)
}

fn npn<'a>(_: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    None
}

/// A text that is empty until it is known.
fn known(text: &str) -> Option<Sample<'_>> {
    (!text.is_empty()).then_some(Sample::Str(text.as_bytes()))
}

fn cipher<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    known(S::tls(cx)?.cipher)
}

fn curve<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    S::tls(cx)?.group.map(|name| Sample::Str(name.as_bytes()))
}

fn err<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::try_from(S::tls(cx)?.error).unwrap_or(i64::MAX)))
}

fn err_str<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let text = S::tls(cx)?.error_text.as_deref()?;
    Some(Sample::Str(text.as_bytes()))
}

fn is_resumed<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(S::tls(cx)?.resumed))
}

fn protocol<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    known(S::tls(cx)?.version)
}

fn sni<'a, S: Side>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    S::tls(cx)?.sni.as_deref().map(|name| Sample::Str(name.as_bytes()))
}

fn crtname<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Front::tls(cx)?.crtname.as_deref().map(|name| Sample::Str(name.as_bytes()))
}

fn has_crt<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let tls = Front::tls(cx)?;
    Some(Sample::Bool(!tls.peer.is_empty() && !tls.resumed))
}

fn early_rcvd<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    cx.session?;
    Some(Sample::Bool(Front::tls(cx).is_some_and(|tls| tls.early.is_some())))
}

fn has_early<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(cx.session?.connection.is_early()))
}

fn has_sni<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(Front::tls(cx)?.sni.is_some()))
}

fn ca_err<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(Front::tls(cx)?.ca_err)))
}

fn ca_err_depth<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(Front::tls(cx)?.ca_err_depth)))
}

fn crt_err<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(Front::tls(cx)?.crt_err)))
}

fn used<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    cx.session?;
    Some(Sample::Bool(Front::tls(cx).is_some_and(|tls| !tls.peer.is_empty())))
}

fn verify<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(Front::tls(cx)?.verify)))
}
