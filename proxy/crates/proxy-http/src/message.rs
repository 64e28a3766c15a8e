//! Request and response heads: start line, header list and what their framing says.

use crate::headers::{HeaderList, Span};
use crate::{status, uri};

/// Request methods the proxy treats apart; the text is kept for all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Connect,
    Options,
    Trace,
    Patch,
    #[default]
    Other,
}

impl Method {
    /// Recognises a method; the comparison is case-sensitive (RFC 9110 section 9.1).
    #[must_use]
    pub fn of(text: &[u8]) -> Self {
        match text {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// RFC 9110 section 9.2.2: a request that may be sent again without asking the client.
    #[must_use]
    pub fn is_idempotent(self) -> bool {
        matches!(
            self,
            Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options | Self::Trace
        )
    }
}

/// Protocol version of a message; a later HTTP/1 minor version counts as 1.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    Http10,
    #[default]
    Http11,
}

impl Version {
    /// The version as it is written on the wire.
    #[must_use]
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Http10 => b"HTTP/1.0",
            Self::Http11 => b"HTTP/1.1",
        }
    }
}

/// How the end of a body is found (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyLen {
    /// No body follows the head.
    #[default]
    None,
    /// Exactly this many bytes follow.
    Length(u64),
    /// Chunks follow, up to and including the trailer section.
    Chunked,
    /// All bytes up to the end of the connection.
    UntilClose,
}

/// What the connection-level fields of a head said when it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeadFlags {
    /// `Connection: close`.
    pub close: bool,
    /// `Connection: keep-alive`.
    pub keep_alive: bool,
    /// `Connection: upgrade` together with an `Upgrade` field.
    pub upgrade: bool,
    /// `Expect: 100-continue`.
    pub expect_continue: bool,
    /// Both `Transfer-Encoding` and `Content-Length` were there, and the latter was removed, or the former
    /// came in HTTP/1.0: the connection must close after this message (RFC 9112 section 6.1).
    pub close_after: bool,
    /// A `TE` field exists.
    pub te: bool,
    /// A `Connection` field exists.
    pub has_connection: bool,
}

/// A request head.
#[derive(Debug, Clone, Default)]
pub struct RequestHead {
    pub(crate) headers: HeaderList,
    pub(crate) line: Span,
    pub(crate) end: Span,
    pub(crate) method_text: Span,
    pub(crate) target: Span,
    pub(crate) version_text: Span,
    pub(crate) received: (Span, Span, Span),
    pub(crate) known: Method,
    pub(crate) version: Version,
    pub(crate) flags: HeadFlags,
    pub(crate) body: BodyLen,
    /// The target is absolute, but HTTP/1 servers get path and query only.
    pub(crate) normalized: bool,
}

impl RequestHead {
    /// Forgets the message and keeps the memory.
    pub fn clear(&mut self) {
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        *self = Self { headers, ..Self::default() };
    }

    /// True until a parser filled this head.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.headers.buf.is_empty()
    }

    /// The method, as an enum.
    #[must_use]
    pub fn method(&self) -> Method {
        self.known
    }

    /// The method as text.
    #[must_use]
    pub fn method_text(&self) -> &[u8] {
        self.method_text.of(&self.headers.buf)
    }

    /// The request target as it stands, edits included.
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.target.of(&self.headers.buf)
    }

    /// The target cut into scheme, authority, path and query.
    #[must_use]
    pub fn uri(&self) -> uri::Parts<'_> {
        uri::split(self.target())
    }

    /// Path of the target, without the query.
    #[must_use]
    pub fn path(&self) -> &[u8] {
        self.uri().path
    }

    /// Path and query of the target.
    #[must_use]
    pub fn path_and_query(&self) -> &[u8] {
        let parts = self.uri();
        let target = self.target();
        let tail = parts.path.len() + if parts.has_query { parts.query.len() + 1 } else { 0 };
        &target[target.len() - tail..]
    }

    /// Query of the target, without the question mark.
    #[must_use]
    pub fn query(&self) -> &[u8] {
        self.uri().query
    }

    /// Protocol version that governs this message.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Version as received, such as `HTTP/1.1`.
    #[must_use]
    pub fn version_text(&self) -> &[u8] {
        self.version_text.of(&self.headers.buf)
    }

    /// Method, target and version as received, whatever rules changed since: for logs.
    #[must_use]
    pub fn received(&self) -> (&[u8], &[u8], &[u8]) {
        let buf = &self.headers.buf;
        (self.received.0.of(buf), self.received.1.of(buf), self.received.2.of(buf))
    }

    /// How the body ends.
    #[must_use]
    pub fn body(&self) -> BodyLen {
        self.body
    }

    /// Connection-level facts, as received.
    #[must_use]
    pub fn flags(&self) -> HeadFlags {
        self.flags
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderList {
        &self.headers
    }

    /// The header fields, for edits.
    pub fn headers_mut(&mut self) -> &mut HeaderList {
        &mut self.headers
    }

    /// Changes the method; bytes outside the token set become underscores.
    pub fn set_method(&mut self, method: &[u8]) {
        let start = self.headers.buf.len();
        let clean = method.iter().map(|&b| if crate::headers::is_token(b) { b } else { b'_' });
        self.headers.buf.extend(clean);
        self.method_text = Span::new(start, self.headers.buf.len());
        self.known = Method::of(self.method_text.of(&self.headers.buf));
        self.render_line();
    }

    /// Replaces the whole target. Blanks, controls and bytes above 126 are percent-encoded.
    pub fn set_target(&mut self, target: &[u8]) {
        self.set_target_parts(&[target]);
    }

    /// Replaces the path and keeps scheme, authority and query.
    pub fn set_path(&mut self, path: &[u8]) {
        let (prefix, _, query) = self.cut();
        self.set_target_parts(&[&prefix, path, &query]);
    }

    /// Replaces path and query and keeps scheme and authority.
    pub fn set_path_and_query(&mut self, path_and_query: &[u8]) {
        let (prefix, ..) = self.cut();
        self.set_target_parts(&[&prefix, path_and_query]);
    }

    /// Replaces the query; an empty one drops the question mark too.
    pub fn set_query(&mut self, query: &[u8]) {
        let (prefix, path, _) = self.cut();
        let mark: &[u8] = if query.is_empty() { b"" } else { b"?" };
        self.set_target_parts(&[&prefix, &path, mark, query]);
    }

    /// Target as (scheme and authority, path, query with its mark).
    fn cut(&self) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let target = self.target();
        let tail = self.path_and_query();
        let path = self.path();
        (target[..target.len() - tail.len()].to_vec(), path.to_vec(), tail[path.len()..].to_vec())
    }

    fn set_target_parts(&mut self, parts: &[&[u8]]) {
        let start = self.headers.buf.len();
        for &byte in parts.iter().copied().flatten() {
            if (0x21..=0x7e).contains(&byte) {
                self.headers.buf.push(byte);
            } else {
                let hex = b"0123456789ABCDEF";
                let coded = [b'%', hex[usize::from(byte >> 4)], hex[usize::from(byte & 15)]];
                self.headers.buf.extend_from_slice(&coded);
            }
        }
        self.target = Span::new(start, self.headers.buf.len());
        self.render_line();
    }

    /// How much of the target's end HTTP/1 servers get.
    fn wire_target_len(&self) -> usize {
        if self.normalized { self.path_and_query().len() } else { self.target.len() }
    }

    /// Writes the start line anew at the end of the buffer.
    pub(crate) fn render_line(&mut self) {
        let target = self.target.end as usize - self.wire_target_len()..self.target.end as usize;
        let buf = &mut self.headers.buf;
        let start = buf.len();
        buf.extend_from_within(self.method_text.start as usize..self.method_text.end as usize);
        buf.push(b' ');
        buf.extend_from_within(target);
        buf.push(b' ');
        buf.extend_from_slice(self.version.as_bytes());
        buf.extend_from_slice(b"\r\n");
        self.line = Span::new(start, buf.len());
    }
}

/// A response head.
#[derive(Debug, Clone, Default)]
pub struct ResponseHead {
    pub(crate) headers: HeaderList,
    pub(crate) line: Span,
    pub(crate) end: Span,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    pub(crate) version: Version,
    pub(crate) flags: HeadFlags,
    pub(crate) body: BodyLen,
}

impl ResponseHead {
    /// Forgets the message and keeps the memory.
    pub fn clear(&mut self) {
        let mut headers = std::mem::take(&mut self.headers);
        headers.clear();
        *self = Self { headers, ..Self::default() };
    }

    /// True until a parser or [`Self::start`] filled this head.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.headers.buf.is_empty()
    }

    /// Begins a local answer: HTTP/1.1, `status` and its registered reason, no field yet.
    pub fn start(&mut self, status: u16, body: BodyLen) {
        self.clear();
        self.version = Version::Http11;
        self.body = body;
        self.headers.buf.extend_from_slice(b"\r\n");
        self.end = Span::new(0, 2);
        self.set_status(status, None);
    }

    /// Status code, 100-999.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Reason phrase, possibly empty.
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.reason.of(&self.headers.buf)
    }

    /// Protocol version of the sender.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body ends.
    #[must_use]
    pub fn body(&self) -> BodyLen {
        self.body
    }

    /// Connection-level facts, as received.
    #[must_use]
    pub fn flags(&self) -> HeadFlags {
        self.flags
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &HeaderList {
        &self.headers
    }

    /// The header fields, for edits.
    pub fn headers_mut(&mut self) -> &mut HeaderList {
        &mut self.headers
    }

    /// Changes the status; without a reason the registered one is used.
    pub fn set_status(&mut self, status: u16, reason: Option<&[u8]>) {
        self.status = status;
        let reason = reason.unwrap_or_else(|| status::reason(status).as_bytes());
        let start = self.headers.buf.len();
        let clean = reason.iter().map(|&b| if matches!(b, b'\r' | b'\n' | 0) { b' ' } else { b });
        self.headers.buf.extend(clean);
        self.reason = Span::new(start, self.headers.buf.len());
        self.render_line();
    }

    /// Makes the answer one of HTTP/1.1, whatever it was read as.
    pub fn set_current_version(&mut self) {
        if self.version != Version::Http11 {
            self.version = Version::Http11;
            self.render_line();
        }
    }

    /// Writes the start line anew at the end of the buffer.
    pub(crate) fn render_line(&mut self) {
        let buf = &mut self.headers.buf;
        let start = buf.len();
        buf.extend_from_slice(self.version.as_bytes());
        buf.push(b' ');
        let digit = |place: u16| b'0' + (self.status / place % 10) as u8;
        buf.extend_from_slice(&[digit(100), digit(10), digit(1), b' ']);
        buf.extend_from_within(self.reason.start as usize..self.reason.end as usize);
        buf.extend_from_slice(b"\r\n");
        self.line = Span::new(start, buf.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{self, Limits};

    fn request(target: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("GET {target} HTTP/1.1\r\n\r\n");
        h1::parse_request(text.as_bytes(), &Limits::default(), &mut head).unwrap();
        head
    }

    #[track_caller]
    fn check(target: &str, edit: impl Fn(&mut RequestHead), expected: &str) {
        let mut head = request(target);
        edit(&mut head);
        assert_eq!(String::from_utf8_lossy(head.target()), expected);
        let mut out = Vec::new();
        h1::write_request(&head, &mut out);
        let method = String::from_utf8_lossy(head.method_text());
        let line = format!("{method} {expected} HTTP/1.1\r\n\r\n");
        assert_eq!(String::from_utf8_lossy(&out), line);
        assert_eq!(head.received().1, target.as_bytes());
    }

    #[test]
    fn target_edits() {
        check("/a?b", |h| h.set_path(b"/c d"), "/c%20d?b");
        check("/a?b", |h| h.set_query(b""), "/a");
        check("/a", |h| h.set_query(b"x=1"), "/a?x=1");
        check("/a?b", |h| h.set_path_and_query(b"/z"), "/z");
        check("http://h/a?b", |h| h.set_path(b"/z"), "http://h/z?b");
        check("/a", |h| h.set_target(b"http://q/"), "http://q/");
        check("/a", |h| h.set_method(b"PO ST"), "/a");
    }

    #[test]
    fn local_answer() {
        let mut head = ResponseHead::default();
        head.start(404, BodyLen::Length(0));
        head.headers_mut().append(b"content-length", b"0");
        let mut out = Vec::new();
        h1::write_response(&head, &mut out);
        assert_eq!(out, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    }
}
