//! Heads that come as a list of fields rather than as text: those of HTTP/2 and HTTP/3.
//!
//! They are laid out like HTTP/1 heads, so that whatever reads, edits or sends a head does not see where
//! it came from.

use crate::headers::{Field, HeaderList, Span};
use crate::message::{BodyLen, Method, RequestHead, ResponseHead, Version};

/// What a framed protocol says of a request beside its fields (RFC 9113 section 8.3.1).
#[derive(Debug, Clone, Copy)]
pub struct RequestLine<'a> {
    pub method: &'a [u8],
    /// Empty for CONNECT.
    pub scheme: &'a [u8],
    /// Empty when there is none.
    pub authority: &'a [u8],
    /// Path and query; empty for CONNECT.
    pub path: &'a [u8],
    /// As logs show it: `HTTP/2.0`.
    pub version: &'a [u8],
    /// The protocol of an extended CONNECT (RFC 8441): the request becomes an HTTP/1 upgrade.
    pub upgrade: Option<&'a [u8]>,
}

impl RequestHead {
    /// Makes this the head of a framed request, in place of its former content. `fields` come without
    /// pseudo fields, in lower case and free of line ends; `body` says what follows.
    ///
    /// `:authority` becomes `host` and comes first; a `host` field of the client's own gives way to it.
    /// Cookie crumbs are joined (RFC 9113 section 8.2.3).
    pub fn assemble<'f>(
        &mut self,
        line: &RequestLine<'_>,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        body: BodyLen,
    ) {
        self.clear();
        let method = if line.upgrade.is_some() { b"GET" } else { line.method };
        self.known = Method::of(method);
        self.version = Version::Http11;
        self.body = body;
        self.normalized = self.known != Method::Connect;
        let buf = &mut self.headers.buf;
        self.method_text = push(buf, method, b" ");
        let start = buf.len();
        if self.normalized && !line.authority.is_empty() && line.path != b"*" {
            buf.extend_from_slice(line.scheme);
            buf.extend_from_slice(b"://");
        }
        if line.path != b"*" {
            buf.extend_from_slice(line.authority);
        }
        buf.extend_from_slice(line.path);
        self.target = Span::new(start, buf.len());
        buf.push(b' ');
        self.version_text = push(buf, line.version, b"\r\n");
        self.received = (self.method_text, self.target, self.version_text);

        let headers = &mut self.headers;
        if !line.authority.is_empty() {
            push_field(headers, b"host", line.authority);
        }
        let mut crumbs = Vec::new();
        for (name, value) in fields {
            match name {
                b"host" if !line.authority.is_empty() => {}
                b"cookie" => {
                    if !crumbs.is_empty() {
                        crumbs.extend_from_slice(b"; ");
                    }
                    crumbs.extend_from_slice(value);
                }
                b"expect" => {
                    self.flags.expect_continue |= value.eq_ignore_ascii_case(b"100-continue");
                    push_field(headers, name, value);
                }
                b"te" => {
                    self.flags.te = true;
                    push_field(headers, name, value);
                }
                _ => push_field(headers, name, value),
            }
        }
        if !crumbs.is_empty() {
            push_field(headers, b"cookie", &crumbs);
        }
        if let Some(protocol) = line.upgrade {
            push_field(headers, b"connection", b"upgrade");
            push_field(headers, b"upgrade", protocol);
            self.flags.upgrade = true;
            self.flags.has_connection = true;
        }
        if body == BodyLen::Chunked {
            push_field(headers, b"transfer-encoding", b"chunked");
        }
        let start = headers.buf.len();
        headers.buf.extend_from_slice(b"\r\n");
        self.end = Span::new(start, start + 2);
        self.render_line();
    }

    /// Whether the target is in absolute form only because the client's protocol has no other: HTTP/1
    /// servers get path and query of it.
    #[must_use]
    pub fn is_normalized(&self) -> bool {
        self.normalized
    }
}

impl ResponseHead {
    /// Makes this the head of a framed response; as [`RequestHead::assemble`]. There is no reason phrase.
    pub fn assemble<'f>(
        &mut self,
        status: u16,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])>,
        body: BodyLen,
    ) {
        self.clear();
        self.version = Version::Http11;
        self.body = body;
        for (name, value) in fields {
            push_field(&mut self.headers, name, value);
        }
        if body == BodyLen::Chunked {
            push_field(&mut self.headers, b"transfer-encoding", b"chunked");
        }
        let start = self.headers.buf.len();
        self.headers.buf.extend_from_slice(b"\r\n");
        self.end = Span::new(start, start + 2);
        self.set_status(status, Some(b""));
    }
}

/// Whether a field belongs to one HTTP/1 connection and has no place in a framed message (RFC 9113
/// section 8.2.2). `name` may be in any case.
#[must_use]
pub fn is_connection_field(name: &[u8]) -> bool {
    let names: &[&[u8]] = match name.len() {
        7 => &[b"upgrade"],
        10 => &[b"connection", b"keep-alive"],
        16 => &[b"proxy-connection"],
        17 => &[b"transfer-encoding"],
        _ => &[],
    };
    names.iter().any(|n| name.eq_ignore_ascii_case(n))
}

fn push(buf: &mut Vec<u8>, text: &[u8], behind: &[u8]) -> Span {
    let start = buf.len();
    buf.extend_from_slice(text);
    let span = Span::new(start, buf.len());
    buf.extend_from_slice(behind);
    span
}

/// Adds a field whose name and value are known to be clean.
fn push_field(headers: &mut HeaderList, name: &[u8], value: &[u8]) {
    let name = push(&mut headers.buf, name, b": ");
    let value = push(&mut headers.buf, value, b"\r\n");
    let value = crate::headers::trimmed(&headers.buf, value);
    let line = Span::new(name.start as usize, headers.buf.len());
    headers.fields.push(Field { line, name, value });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1;

    const LINE: RequestLine<'static> = RequestLine {
        method: b"GET",
        scheme: b"https",
        authority: b"a:8443",
        path: b"/p?q",
        version: b"HTTP/2.0",
        upgrade: None,
    };

    #[track_caller]
    fn check(
        line: RequestLine<'_>,
        fields: &[(&str, &str)],
        body: BodyLen,
        target: &str,
        wire: &str,
    ) {
        let mut head = RequestHead::default();
        let fields = fields.iter().map(|(n, v)| (n.as_bytes(), v.as_bytes()));
        head.assemble(&line, fields, body);
        assert_eq!(String::from_utf8_lossy(head.received().1), target);
        let mut out = Vec::new();
        h1::write_request(&head, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), wire);
    }

    #[test]
    fn requests_in_the_words_of_http_1() {
        check(
            LINE,
            &[("cookie", "a=1"), ("x", "y"), ("host", "other"), ("cookie", "b=2")],
            BodyLen::None,
            "https://a:8443/p?q",
            "GET /p?q HTTP/1.1\r\nhost: a:8443\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n",
        );
        let connect = RequestLine { method: b"CONNECT", scheme: b"", path: b"", ..LINE };
        let wire = "CONNECT a:8443 HTTP/1.1\r\nhost: a:8443\r\n\r\n";
        check(connect, &[], BodyLen::None, "a:8443", wire);
        let websocket = RequestLine { method: b"CONNECT", upgrade: Some(b"websocket"), ..LINE };
        let wire = "GET /p?q HTTP/1.1\r\nhost: a:8443\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        check(websocket, &[], BodyLen::None, "https://a:8443/p?q", wire);
        let post = RequestLine { method: b"POST", authority: b"", ..LINE };
        let wire = "POST /p?q HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        check(post, &[], BodyLen::Chunked, "/p?q", wire);
        let options = RequestLine { method: b"OPTIONS", path: b"*", ..LINE };
        let wire = "OPTIONS * HTTP/1.1\r\nhost: a:8443\r\n\r\n";
        check(options, &[], BodyLen::None, "*", wire);
    }

    #[test]
    fn edits_of_a_framed_target_reach_http_1_as_a_path() {
        let mut head = RequestHead::default();
        head.assemble(&LINE, std::iter::empty(), BodyLen::None);
        head.set_path(b"/new");
        assert_eq!(head.target(), b"https://a:8443/new?q");
        let mut out = Vec::new();
        h1::write_request(&head, &mut out);
        assert!(out.starts_with(b"GET /new?q HTTP/1.1\r\n"));
    }

    #[test]
    fn responses() {
        let mut head = ResponseHead::default();
        let fields = [(&b"a"[..], &b"b"[..])];
        head.assemble(404, fields.into_iter(), BodyLen::Chunked);
        let mut out = Vec::new();
        h1::write_response(&head, &mut out);
        assert_eq!(out, b"HTTP/1.1 404 \r\na: b\r\ntransfer-encoding: chunked\r\n\r\n");
    }
}
