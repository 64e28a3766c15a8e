//! `http-check send`: a request.

use std::io::Write;

use proxy_types::Diagnostic;

use super::words::{RequestLine, Words};
use crate::logformat::LogFormat;
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, ParseCx, Parsed};

/// The request of an HTTP check.
#[derive(Debug)]
pub struct HttpRequest {
    method: String,
    uri: Text,
    version: String,
    headers: Vec<(String, Text)>,
    body: Option<Text>,
}

#[derive(Debug)]
enum Text {
    Fixed(Vec<u8>),
    Format(LogFormat),
}

impl Text {
    fn bytes<'a>(&'a self, cx: &EvalCtx<'a>) -> &'a [u8] {
        match self {
            Self::Fixed(bytes) => bytes,
            Self::Format(format) => format.render(cx),
        }
    }
}

/// Fields that are the check's own affair (4.2 "http-check send").
const OWN: [&str; 2] = ["content-length", "transfer-encoding"];

impl HttpRequest {
    /// The request of `option httpchk` alone.
    pub(super) fn new(line: &RequestLine) -> Self {
        let or = |text: &Option<String>, default: &str| {
            text.clone().unwrap_or_else(|| default.to_owned())
        };
        let host =
            line.host.iter().map(|host| ("host".to_owned(), Text::Fixed(host.clone().into())));
        Self {
            method: or(&line.method, "OPTIONS"),
            uri: Text::Fixed(or(&line.uri, "/").into_bytes()),
            version: or(&line.version, "HTTP/1.0"),
            headers: host.collect(),
            body: None,
        }
    }

    pub(super) fn parse(
        line: &RequestLine,
        words: &mut Words<'_, '_>,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<(Self, Option<Box<str>>)> {
        let (mut request, mut comment) = (Self::new(line), None);
        while let Some(word) = words.rest.first().copied() {
            words.rest = &words.rest[1..];
            match word.value {
                b"meth" => request.method = words.text("a method")?,
                b"uri" => request.uri = Text::Fixed(words.next("a URI")?.value.to_vec()),
                b"uri-lf" => request.uri = Text::Format(words.format(cx)?),
                b"ver" => request.version = words.text("a version")?,
                b"hdr" => {
                    let name = words.text("the name of a header")?.to_ascii_lowercase();
                    let value = words.format(cx)?;
                    if name == "host" {
                        request.headers.retain(|(known, _)| known != "host");
                    }
                    if !OWN.contains(&name.as_str()) {
                        request.headers.push((name, Text::Format(value)));
                    }
                }
                b"body" => request.body = Some(Text::Fixed(words.next("a body")?.value.to_vec())),
                b"body-lf" => request.body = Some(Text::Format(words.format(cx)?)),
                b"comment" => comment = Some(words.text("a text")?.into()),
                other => {
                    return fail(
                        Diagnostic::alert(format!(
                            "'http-check send' does not know '{}'",
                            show(other)
                        ))
                        .at(word.span)
                        .expected("one of body, body-lf, comment, hdr, meth, uri, uri-lf, ver"),
                    );
                }
            }
        }
        Ok((request, comment))
    }

    /// The host it names, without a port.
    pub(super) fn host<'a>(&'a self, cx: &EvalCtx<'a>) -> Option<&'a [u8]> {
        let (_, host) = self.headers.iter().find(|(name, _)| name == "host")?;
        let host = host.bytes(cx);
        // A port stands behind the last colon; an address in brackets has colons of its own.
        let end = match host.iter().rposition(|b| *b == b':') {
            Some(colon) if !host[colon..].contains(&b']') => colon,
            _ => host.len(),
        };
        Some(&host[..end]).filter(|host| !host.is_empty())
    }

    /// The request as it goes over the wire.
    pub(super) fn bytes<'a>(&'a self, cx: &EvalCtx<'a>, state: Option<&str>) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b' ');
        // A format may make nothing.
        let uri = Some(self.uri.bytes(cx)).filter(|uri| !uri.is_empty());
        out.extend_from_slice(uri.unwrap_or(b"/"));
        out.push(b' ');
        out.extend_from_slice(self.version.as_bytes());
        out.extend_from_slice(b"\r\n");
        let mut field = |name: &str, value: &[u8]| {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value);
            out.extend_from_slice(b"\r\n");
        };
        for (name, value) in &self.headers {
            field(name, value.bytes(cx));
        }
        if let Some(state) = state {
            field("x-haproxy-server-state", state.as_bytes());
        }
        let body = self.body.as_ref().map(|body| body.bytes(cx));
        if let Some(body) = body {
            let mut length = [0; 20];
            let mut cursor = &mut length[..];
            // 20 bytes hold any length.
            let _ = write!(cursor, "{}", body.len());
            let left = cursor.len();
            field("content-length", &length[..20 - left]);
        }
        let closes = self.headers.iter().any(|(name, _)| name == "connection");
        if self.version == "HTTP/1.1" && !closes {
            field("connection", b"close");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(body.unwrap_or_default());
        out
    }
}
