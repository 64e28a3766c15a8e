//! `option forwarded`: the Forwarded field of RFC 7239 (configuration manual, 4.2).

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use proxy_rules::sample::{EvalCtx, Expr, Sample};

use super::{Exchange, rules};
use crate::env::Back;
use crate::session::Session;

/// Where a parameter comes from.
#[derive(Debug)]
pub enum Part {
    /// What the connection or the request says.
    Own,
    Expr(Expr),
}

/// The parameters of the field.
#[derive(Debug, Default)]
pub struct Forwarded {
    pub proto: bool,
    pub host: Option<Part>,
    pub by: Option<Part>,
    pub by_port: Option<Part>,
    pub client: Option<Part>,
    pub client_port: Option<Part>,
}

/// Adds the field to the request. One that is there already stays: together they are one list.
pub(super) fn add(s: &Session, x: &mut Exchange, back: &Back) {
    let Some(wanted) = back.forwarded.as_deref() else { return };
    let tls = s.client.io.is_tls();
    let value = rules::with_context(s, x, Some(back), |cx| wanted.value(cx, tls));
    if !value.is_empty() {
        x.request.headers_mut().append(b"forwarded", &value);
    }
}

impl Forwarded {
    fn value(&self, cx: &EvalCtx<'_>, tls: bool) -> Vec<u8> {
        let mut out = Vec::new();
        if self.proto {
            parameter(&mut out, "proto", if tls { b"https" } else { b"http" });
        }
        let host = match &self.host {
            None => None,
            Some(Part::Own) => cx.request.and_then(|head| head.headers().get(b"host")),
            Some(Part::Expr(expr)) => expr.eval_str(cx),
        };
        // A host is quoted whatever is in it; what cannot be in quotes is no host.
        if let Some(host) = host.filter(|host| !host.is_empty() && is_quotable(host)) {
            parameter(&mut out, "host", &[b"\"", host, b"\""].concat());
        }
        for (name, node, port, own) in [
            ("by", &self.by, &self.by_port, cx.dst()),
            ("for", &self.client, &self.client_port, cx.src()),
        ] {
            if let Some(node) = node {
                parameter(&mut out, name, &node_text(cx, node, port.as_ref(), own));
            }
        }
        out
    }
}

fn parameter(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    if !out.is_empty() {
        out.push(b';');
    }
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
}

fn is_quotable(text: &[u8]) -> bool {
    text.iter().all(|b| matches!(b, b' ' | b'!' | b'#'..=b'[' | b']'..=b'~'))
}

/// `nodename [ ":" port ]`, quoted when there is more than a token in it (RFC 7239 section 6).
fn node_text(
    cx: &EvalCtx<'_>,
    node: &Part,
    port: Option<&Part>,
    own: Option<SocketAddr>,
) -> Vec<u8> {
    let mut text = Vec::new();
    match node {
        Part::Own => address(&mut text, own.map(|own| own.ip())),
        Part::Expr(expr) => match expr.eval(cx) {
            Some(Sample::Ipv4(ip)) => address(&mut text, Some(ip.into())),
            Some(Sample::Ipv6(ip)) => address(&mut text, Some(ip.into())),
            value => name(&mut text, value.and_then(|value| value.str(cx.scratch))),
        },
    }
    let port = match port {
        None => Vec::new(),
        Some(Part::Own) => own.map_or_else(Vec::new, |own| own.port().to_string().into_bytes()),
        Some(Part::Expr(expr)) => match expr.eval(cx) {
            Some(Sample::Int(n)) => {
                u16::try_from(n).map_or_else(|_| Vec::new(), |n| n.to_string().into_bytes())
            }
            value => node_port(value.and_then(|value| value.str(cx.scratch))),
        },
    };
    if !port.is_empty() {
        text.push(b':');
        text.extend_from_slice(&port);
    }
    if text.iter().any(|b| matches!(b, b':' | b'[')) {
        text.insert(0, b'"');
        text.push(b'"');
    }
    text
}

fn address(out: &mut Vec<u8>, ip: Option<IpAddr>) {
    // Writing to memory does not fail.
    let _ = match ip.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V4(ip)) => write!(out, "{ip}"),
        Some(IpAddr::V6(ip)) => write!(out, "[{ip}]"),
        None => write!(out, "unknown"),
    };
}

/// What an expression gave as text: an address, or a name that says nothing.
fn name(out: &mut Vec<u8>, text: Option<&[u8]>) {
    let text = text.unwrap_or_default();
    let ip = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    let before = out.len();
    match ip {
        Some(ip) => address(out, Some(ip)),
        None if text.eq_ignore_ascii_case(b"unknown") => {}
        None => obfuscated(out, text),
    }
    if out.len() == before {
        out.extend_from_slice(b"unknown");
    }
}

/// A port that an expression gave as text; empty for what cannot be one.
fn node_port(text: Option<&[u8]>) -> Vec<u8> {
    let text = text.unwrap_or_default();
    let number = std::str::from_utf8(text).is_ok_and(|text| text.parse::<u16>().is_ok());
    if number && text.iter().all(u8::is_ascii_digit) {
        return text.to_vec();
    }
    let mut out = Vec::new();
    obfuscated(&mut out, text);
    out
}

/// Section 6.3: a name with an underscore in front; nothing where `text` cannot be one.
fn obfuscated(out: &mut Vec<u8>, text: &[u8]) {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    let text = text.strip_prefix(b"_").filter(|rest| !rest.is_empty()).unwrap_or(text);
    if !text.is_empty() && text.iter().all(fits) {
        out.push(b'_');
        out.extend_from_slice(text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes() {
        for (text, expected) in [
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "[::1]"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("_haproxy", "_haproxy"),
            ("000000007F2F367E", "_000000007F2F367E"),
            ("Unknown", "unknown"),
            ("a b", "unknown"),
            ("", "unknown"),
        ] {
            let mut out = Vec::new();
            name(&mut out, Some(text.as_bytes()));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn ports_of_nodes() {
        for (text, expected) in [("80", "80"), ("70000", "_70000"), ("id", "_id"), ("a:b", "")] {
            let port = String::from_utf8(node_port(Some(text.as_bytes()))).unwrap();
            assert_eq!(port, expected, "{text}");
        }
    }
}
