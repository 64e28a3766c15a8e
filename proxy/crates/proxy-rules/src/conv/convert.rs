//! From one form to another: hexadecimal, base64, URL encoding, regular expressions, addresses.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use super::string::made;
use crate::logformat::encode;
use crate::regex::{self, expand};
use crate::sample::args::{Arg, ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const PLUS: &[ArgDef] = &[opt(ArgKind::Int)];

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new("b64dec", &[], Type::Str, Type::Bin, b64dec, "Decodes base64.")
        .eg(&[("str(QWJD),b64dec", Some("AbC")), ("str(QWJD?),b64dec", None)]),
    ConvDef::new("base64", &[], Type::Bin, Type::Str, base64, "Encodes in base64.")
        .eg(&[("str(AbC),base64", Some("QWJD"))]),
    ConvDef::new("hex", &[], Type::Bin, Type::Str, hex, "Two hexadecimal digits per byte.")
        .eg(&[("str(ab),hex", Some("6162")), ("int(65),hex", Some("0000000000000041"))]),
    ConvDef::new(
        "hex2i",
        &[],
        Type::Str,
        Type::Sint,
        hex2i,
        "Reads hexadecimal digits as a number.",
    )
    .eg(&[("str(ff),hex2i", Some("255")), ("str(ffx),hex2i", None)]),
    ConvDef::new("host_only", &[], Type::Str, Type::Str, host_only, "Host of a Host field.").eg(&[
        ("str(www.a.com:80),host_only", Some("www.a.com")),
        ("str([::1]:80),host_only", Some("[::1]")),
    ]),
    ConvDef::new(
        "iif",
        &[req(ArgKind::Str), req(ArgKind::Str)],
        Type::Bool,
        Type::Str,
        iif,
        "The first text for true, the second for false.",
    )
    .eg(&[("bool(0),iif(a,b)", Some("b")), ("int(5),iif(a,b)", Some("a"))]),
    ConvDef::new(
        "ipmask",
        &[req(ArgKind::Mask4), opt(ArgKind::Mask6)],
        Type::Addr,
        Type::Addr,
        ipmask,
        "Keeps the bits of a network mask.",
    )
    .eg(&[
        ("src,ipmask(24)", Some("192.0.2.0")),
        ("str(2001:db8:1::1),ipmask(24,32)", Some("2001:db8::")),
        ("ipv6(::ffff:1.2.3.4),ipmask(24)", Some("1.2.3.0")),
    ]),
    ConvDef::new(
        "port_only",
        &[],
        Type::Str,
        Type::Sint,
        port_only,
        "Port of a Host field, 0 if none.",
    )
    .eg(&[("str(www.a.com:80),port_only", Some("80")), ("str(www.a.com),port_only", Some("0"))]),
    ConvDef::new(
        "regsub",
        &[req(ArgKind::Str), req(ArgKind::Str), opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        regsub,
        "Replaces the first match of a regular expression, or all with `g`; `i` ignores case.",
    )
    .check(check_regsub)
    .eg(&[
        ("str(xaxbx),regsub(x,y)", Some("yaxbx")),
        ("str(XaXbX),regsub(x,y,gi)", Some("yayby")),
        (r#"path,regsub("^/(a)/",'/\1\1/')"#, Some("/aa/b.png")),
        ("str(abc),regsub(x,y)", Some("abc")),
    ]),
    ConvDef::new(
        "ub64dec",
        &[],
        Type::Str,
        Type::Bin,
        ub64dec,
        "Decodes base64url, with or without padding.",
    )
    .eg(&[("str(QWJD_-8),ub64dec,hex", Some("416243FFEF")), ("str(QWJD+),ub64dec", None)]),
    ConvDef::new(
        "ub64enc",
        &[],
        Type::Bin,
        Type::Str,
        ub64enc,
        "Encodes in base64url without padding.",
    )
    .eg(&[("bin(416243ffef),ub64enc", Some("QWJD_-8"))]),
    ConvDef::new(
        "url_dec",
        PLUS,
        Type::Str,
        Type::Str,
        url_dec,
        "Decodes %XX; with 1, `+` is a space too.",
    )
    .eg(&[
        ("str(%41+b),url_dec", Some("A+b")),
        ("str(%41+b),url_dec(1)", Some("A b")),
        ("str(%4),url_dec", None),
    ]),
    ConvDef::new(
        "url_enc",
        &[opt(ArgKind::Str)],
        Type::Str,
        Type::Str,
        url_enc,
        "Encodes for a query, as %XX.",
    )
    .check(check_url_enc)
    .eg(&[
        ("str(\"a b&c=~/?\"),url_enc", Some("a%20b%26c%3D~%2F%3F")),
        ("str(a),url_enc(query)", Some("a")),
    ]),
];

fn b64dec<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    let room = cx.scratch.alloc_slice_fill_copy(base64::decoded_len_estimate(text.len()), 0u8);
    let len = STANDARD.decode_slice(text, room).ok()?;
    Some(Sample::Bin(&room[..len]))
}

fn base64<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let data = value.bytes()?;
    let size = base64::encoded_len(data.len(), true).filter(|n| *n <= cx.shared.bufsize)?;
    let room = cx.scratch.alloc_slice_fill_copy(size, 0u8);
    let len = STANDARD.encode_slice(data, room).ok()?;
    Some(Sample::Str(&room[..len]))
}

fn ub64dec<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    let end = text.iter().rposition(|b| *b != b'=').map_or(0, |i| i + 1);
    let room = cx.scratch.alloc_slice_fill_copy(base64::decoded_len_estimate(end), 0u8);
    let len = URL_SAFE_NO_PAD.decode_slice(&text[..end], room).ok()?;
    Some(Sample::Bin(&room[..len]))
}

fn ub64enc<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let data = value.bytes()?;
    let size = base64::encoded_len(data.len(), false).filter(|n| *n <= cx.shared.bufsize)?;
    let room = cx.scratch.alloc_slice_fill_copy(size, 0u8);
    let len = URL_SAFE_NO_PAD.encode_slice(data, room).ok()?;
    Some(Sample::Str(&room[..len]))
}

fn check_url_enc(args: &mut Args) -> Result<(), String> {
    match args.str(0) {
        None | Some(b"" | b"query") => Ok(()),
        Some(_) => Err("unexpected encoding type ('query' is expected)".to_owned()),
    }
}

fn url_enc<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    made(cx, text.len(), |out| encode::push(out, text, b'%', &encode::RESERVED)).map(Sample::Str)
}

fn hex<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let data = value.bytes()?;
    made(cx, data.len() * 2, |text| {
        let digit = encode::hex;
        data.iter().for_each(|b| text.extend_from_slice(&[digit(b >> 4), digit(b & 15)]));
    })
    .map(Sample::Str)
}

fn hex2i<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    let valid = !text.is_empty() && text.len() <= 16 && text.iter().all(u8::is_ascii_hexdigit);
    let number = |n: u64, d: &u8| n << 4 | u64::from(regex::hex(*d));
    valid.then(|| Sample::Int(text.iter().fold(0, number) as i64))
}

fn host_only<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Str(proxy_http::uri::host_port(value.bytes()?).0))
}

fn port_only<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (_, port) = proxy_http::uri::host_port(value.bytes()?);
    let port = std::str::from_utf8(port).ok().and_then(|p| p.parse::<u16>().ok());
    Some(Sample::Int(i64::from(port.unwrap_or(0))))
}

fn iif<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    args.str(if value.bool()? { 0 } else { 1 }).map(Sample::Str)
}

fn ipmask<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    if let Some(ip) = value.ipv4() {
        return Some(Sample::Ipv4(Ipv4Addr::from(u32::from(ip) & args.mask4(0)?)));
    }
    let ip = u128::from(value.ipv6()?);
    args.mask6(1).map(|mask| Sample::Ipv6(Ipv6Addr::from(ip & mask)))
}

fn check_regsub(args: &mut Args) -> Result<(), String> {
    let flags = args.str(2).unwrap_or_default();
    if let Some(other) = flags.iter().find(|b| !matches!(b, b'g' | b'i')) {
        return Err(format!(
            "unknown flag '{}', only 'i' and 'g' are supported",
            char::from(*other)
        ));
    }
    let re = regex::compile(args.str(0).unwrap_or_default(), flags.contains(&b'i'))?;
    args.0[0] = Arg::Regex(Box::new(re));
    Ok(())
}

fn regsub<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (text, re, template) = (value.bytes()?, args.regex(0)?, args.str(1)?);
    let all = args.str(2).is_some_and(|flags| flags.contains(&b'g'));
    made(cx, text.len() + template.len(), |out| {
        let mut done = 0;
        for groups in re.captures_iter(text).take(if all { usize::MAX } else { 1 }) {
            let Some(whole) = groups.get(0) else { break };
            out.extend_from_slice(&text[done..whole.start()]);
            expand(template, &groups, |piece| out.extend_from_slice(piece));
            done = whole.end();
        }
        out.extend_from_slice(&text[done..]);
    })
    .map(Sample::Str)
}

fn url_dec<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let text = value.bytes()?;
    let plus = args.int(0).unwrap_or(0) != 0;
    let mut valid = true;
    let decoded = made(cx, text.len(), |out| {
        let mut rest = text;
        while let Some((&b, after)) = rest.split_first() {
            rest = after;
            match (b, after) {
                (b'%', [hi, lo, ..]) if hi.is_ascii_hexdigit() && lo.is_ascii_hexdigit() => {
                    out.push(regex::hex(*hi) << 4 | regex::hex(*lo));
                    rest = &after[2..];
                }
                (b'%', _) => valid = false,
                (b'+', _) if plus => out.push(b' '),
                _ => out.push(b),
            }
        }
    })?;
    valid.then_some(Sample::Str(decoded))
}
