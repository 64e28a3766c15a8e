//! The Forwarded header field (RFC 7239; configuration manual, 7.3.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::string::made;
use crate::sample::args::{ArgKind, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "rfc7239_field",
        &[req(ArgKind::Str)],
        Type::Str,
        Type::Str,
        field,
        "A parameter of a Forwarded value: proto, host, for or by.",
    )
    .check(check_field)
    .eg(&[
        (r#"str('proto=https;host="haproxy.org:80"'),rfc7239_field(host)"#, Some("haproxy.org:80")),
        (r#"str('for="127.0.0.1:9999"'),rfc7239_field(for)"#, Some("127.0.0.1:9999")),
        ("str(for=127.0.0.1),rfc7239_field(by)", None),
    ]),
    ConvDef::new(
        "rfc7239_is_valid",
        &[],
        Type::Str,
        Type::Bool,
        is_valid,
        "True for a valid Forwarded value.",
    )
    .eg(&[
        ("str(for=127.0.0.1;proto=http),rfc7239_is_valid", Some("1")),
        ("str(proto=custom),rfc7239_is_valid", Some("0")),
        (r#"str('for="[::1]:_8888";host="haproxy.org";proto=http'),rfc7239_is_valid"#, Some("1")),
        ("str(for=[::1]),rfc7239_is_valid", Some("0")),
        ("str(for=1.2.3.4;for=1.2.3.4),rfc7239_is_valid", Some("0")),
    ]),
    ConvDef::new(
        "rfc7239_n2nn",
        &[],
        Type::Str,
        Type::Any,
        n2nn,
        "The name of a node: an address, `unknown` or `_identifier`.",
    )
    .eg(&[
        ("str(127.0.0.1:9999),rfc7239_n2nn", Some("127.0.0.1")),
        ("str([ab:cd:ff:ff:ff:ff:ff:ff]:9998),rfc7239_n2nn", Some("ab:cd:ff:ff:ff:ff:ff:ff")),
        ("str(_name:_port),rfc7239_n2nn", Some("_name")),
        ("str(unknown),rfc7239_n2nn", Some("unknown")),
    ]),
    ConvDef::new(
        "rfc7239_n2np",
        &[],
        Type::Str,
        Type::Any,
        n2np,
        "The port of a node: a number or `_identifier`.",
    )
    .eg(&[
        ("str(127.0.0.1:9999),rfc7239_n2np,add(1)", Some("10000")),
        ("str(_name:_port),rfc7239_n2np", Some("_port")),
        ("str(127.0.0.1),rfc7239_n2np", None),
    ]),
    ConvDef::new(
        "rfc7239_nn",
        &[],
        Type::Any,
        Type::Str,
        nn,
        "Makes the name of a node of an address or an identifier.",
    )
    .eg(&[
        ("ipv6(ab:cd:ff:ff:ff:ff:ff:ff),rfc7239_nn", Some("[ab:cd:ff:ff:ff:ff:ff:ff]")),
        ("src,rfc7239_nn", Some("192.0.2.10")),
        ("str(test),rfc7239_nn", Some("_test")),
        ("str(),rfc7239_nn", Some("unknown")),
        ("str(a b),rfc7239_nn", None),
    ]),
    ConvDef::new(
        "rfc7239_np",
        &[],
        Type::Any,
        Type::Str,
        np,
        "Makes the port of a node of a number or an identifier.",
    )
    .eg(&[
        ("int(12),rfc7239_np", Some("12")),
        ("str(test),rfc7239_np", Some("_test")),
        ("int(70000),rfc7239_np", None),
    ]),
];

/// A name: what a node is called, in its four forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name<'a> {
    Addr(IpAddr),
    Obfuscated(&'a [u8]),
    Unknown(&'a [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Port<'a> {
    Number(u16),
    Obfuscated(&'a [u8]),
}

fn obfuscated(text: &[u8]) -> bool {
    matches!(text, [b'_', rest @ ..] if !rest.is_empty() && rest.iter().all(is_obf))
}

fn is_obf(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-')
}

/// Section 6: `node = nodename [ ":" node-port ]`.
fn node(text: &[u8]) -> Option<(Name<'_>, Option<Port<'_>>)> {
    let (name, rest) = if let [b'[', inner @ ..] = text {
        let end = inner.iter().position(|b| *b == b']')?;
        let ip: Ipv6Addr = std::str::from_utf8(&inner[..end]).ok()?.parse().ok()?;
        (Name::Addr(ip.into()), &inner[end + 1..])
    } else {
        let end = text.iter().position(|b| *b == b':').unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        let name = if name.eq_ignore_ascii_case(b"unknown") {
            Name::Unknown(name)
        } else if obfuscated(name) {
            Name::Obfuscated(name)
        } else {
            let ip: Ipv4Addr = std::str::from_utf8(name).ok()?.parse().ok()?;
            Name::Addr(ip.into())
        };
        (name, rest)
    };
    let port = match rest {
        [] => None,
        [b':', port @ ..] if obfuscated(port) => Some(Port::Obfuscated(port)),
        [b':', port @ ..]
            if (1..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit) =>
        {
            Some(Port::Number(std::str::from_utf8(port).ok()?.parse().ok()?))
        }
        _ => return None,
    };
    Some((name, port))
}

fn is_token(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)
}

/// A host as in the Host field (RFC 3986, 3.2.2), with or without a port.
fn is_host(text: &[u8]) -> bool {
    let (host, port) = proxy_http::uri::host_port(text);
    let name = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(b);
    let valid = match host {
        [b'[', inner @ .., b']'] => {
            std::str::from_utf8(inner).is_ok_and(|ip| ip.parse::<Ipv6Addr>().is_ok())
        }
        _ => !host.is_empty() && host.iter().all(name),
    };
    valid && port.iter().all(u8::is_ascii_digit)
}

/// Section 4: parameters of one element, each at most once; `None` for what is not valid.
fn parameters<'a>(mut text: &'a [u8], mut found: impl FnMut(usize, &'a [u8])) -> Option<()> {
    let mut seen = [false; 4];
    while !text.is_empty() {
        let eq = text.iter().position(|b| *b == b'=')?;
        let name = &text[..eq];
        let index = NAMES.iter().position(|n| name.eq_ignore_ascii_case(n))?;
        if std::mem::replace(&mut seen[index], true) {
            return None;
        }
        let rest = &text[eq + 1..];
        let (value, rest) = match rest {
            [b'"', inner @ ..] => {
                let end = inner.iter().position(|b| *b == b'"')?;
                (&inner[..end], &inner[end + 1..])
            }
            _ => {
                let end = rest.iter().position(|b| !is_token(b)).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        let valid = match index {
            0 => value.eq_ignore_ascii_case(b"http") || value.eq_ignore_ascii_case(b"https"),
            1 => is_host(value),
            _ => node(value).is_some(),
        };
        if !valid {
            return None;
        }
        found(index, value);
        text = match rest {
            [] => &[],
            [b';', rest @ ..] if !rest.is_empty() => rest,
            _ => return None,
        };
    }
    seen.contains(&true).then_some(())
}

const NAMES: [&[u8]; 4] = [b"proto", b"host", b"for", b"by"];

fn check_field(args: &mut Args) -> Result<(), String> {
    match NAMES.contains(&args.str(0).unwrap_or_default()) {
        true => Ok(()),
        false => Err("unknown field (proto, host, for or by is expected)".to_owned()),
    }
}

fn field<'a>(_: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let wanted = NAMES.iter().position(|n| Some(*n) == args.str(0))?;
    let mut result = None;
    parameters(value.bytes()?, |index, value| {
        if index == wanted {
            result = Some(Sample::Str(value));
        }
    })?;
    result
}

fn is_valid<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Bool(parameters(value.bytes()?, |_, _| {}).is_some()))
}

fn n2nn<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(match node(value.bytes()?)?.0 {
        Name::Addr(ip) => Sample::from(ip),
        Name::Obfuscated(text) | Name::Unknown(text) => Sample::Str(text),
    })
}

fn n2np<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(match node(value.bytes()?)?.1? {
        Port::Number(n) => Sample::Int(i64::from(n)),
        Port::Obfuscated(text) => Sample::Str(text),
    })
}

fn prefixed<'a>(cx: &EvalCtx<'a>, text: &[u8]) -> Option<Sample<'a>> {
    if text.is_empty() || !text.iter().all(is_obf) {
        return None;
    }
    made(cx, text.len() + 1, |out| {
        out.push(b'_');
        out.extend_from_slice(text);
    })
    .map(Sample::Str)
}

fn nn<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    match value {
        Sample::Ipv4(ip) => Some(Sample::Str(crate::sample::value::display(cx.scratch, ip))),
        Sample::Ipv6(ip) => {
            Some(Sample::Str(crate::sample::value::display(cx.scratch, format_args!("[{ip}]"))))
        }
        _ => match value.str(cx.scratch)? {
            b"" => Some(Sample::Str(b"unknown")),
            text => prefixed(cx, text),
        },
    }
}

fn np<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    match value {
        Sample::Int(n) if (0..=65_535).contains(&n) => value.str(cx.scratch).map(Sample::Str),
        Sample::Int(_) => None,
        _ => prefixed(cx, value.str(cx.scratch)?),
    }
}
