//! Answers of the proxy itself: the built-in error pages and those of `errorfile`.

use std::sync::Arc;

use proxy_http::h1::{Limits, Progress, parse_response};
use proxy_http::{BodyLen, Method, ResponseHead};
use proxy_rules::ruleset::RuleSet;

/// A complete answer, ready to be sent to any client.
#[derive(Debug, Clone)]
pub struct Reply {
    head: ResponseHead,
    body: Vec<u8>,
    silent: bool,
}

/// Why the content of an `errorfile` is not an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    #[error("not an HTTP response: {0}")]
    Malformed(#[from] proxy_http::h1::ParseError),
    #[error("the head does not end with an empty line")]
    Unfinished,
    #[error("transfer-encoding is not possible in a stored response")]
    Encoded,
    #[error("content-length is {said} but {found} bytes follow the head")]
    Length { said: u64, found: usize },
}

impl Reply {
    /// Reads a stored response: status line, fields, empty line, body. The length of the body is what
    /// follows; a Content-Length that says otherwise is an error. An empty text closes without an answer, which
    /// counts as `status`.
    ///
    /// # Errors
    /// See [`ReplyError`].
    pub fn parse(text: &[u8], status: u16) -> Result<Self, ReplyError> {
        if text.is_empty() {
            let mut head = ResponseHead::default();
            head.start(status, BodyLen::None);
            return Ok(Self { head, body: Vec::new(), silent: true });
        }
        let limits = Limits { max_head: 64 * 1024, ..Limits::default() };
        let mut head = ResponseHead::default();
        let Progress::Complete { consumed } =
            parse_response(text, &limits, Method::Get, &mut head)?
        else {
            return Err(ReplyError::Unfinished);
        };
        let body = text[consumed..].to_vec();
        match head.body() {
            BodyLen::Chunked => return Err(ReplyError::Encoded),
            BodyLen::Length(said) if said != body.len() as u64 => {
                return Err(ReplyError::Length { said, found: body.len() });
            }
            _ => {}
        }
        Ok(Self::new(head, body))
    }

    /// An answer made here, with the usual fields of error pages.
    #[must_use]
    pub fn page(status: u16, content_type: &[u8], body: Vec<u8>) -> Self {
        let mut head = ResponseHead::default();
        head.start(status, BodyLen::None);
        if let Some(reason) = legacy_reason(status) {
            head.set_status(status, Some(reason.as_bytes()));
        }
        let headers = head.headers_mut();
        headers.append(b"content-length", body.len().to_string().as_bytes());
        headers.append(b"cache-control", b"no-cache");
        headers.append(b"content-type", content_type);
        Self { head, body, silent: false }
    }

    /// A redirection in place of an error: `errorloc`.
    #[must_use]
    pub fn redirection(code: u16, url: &[u8]) -> Self {
        let mut head = ResponseHead::default();
        head.start(code, BodyLen::None);
        let headers = head.headers_mut();
        headers.append(b"cache-control", b"no-cache");
        headers.append(b"content-length", b"0");
        headers.append(b"location", url);
        Self { head, body: Vec::new(), silent: false }
    }

    fn new(mut head: ResponseHead, body: Vec<u8>) -> Self {
        head.set_current_version();
        let headers = head.headers_mut();
        headers.remove(b"connection");
        headers.remove(b"keep-alive");
        headers.set(b"content-length", body.len().to_string().as_bytes());
        Self { head, body, silent: false }
    }

    /// An answer of which everything is given, the length among the fields.
    #[must_use]
    pub fn made(head: ResponseHead, body: Vec<u8>) -> Self {
        Self { head, body, silent: false }
    }

    /// The connection closes without an answer.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// The head, to be copied and completed for a client.
    #[must_use]
    pub fn head(&self) -> &ResponseHead {
        &self.head
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }
}

/// The answer to an error.
#[derive(Debug, Clone)]
pub enum ErrorReply {
    Stored(Arc<Reply>),
    /// Made by the only rule of a set when it is needed. Before a request is read, the built-in page stands in.
    Made(Arc<RuleSet>),
}

/// The answers a proxy sets itself, by status.
#[derive(Debug, Clone, Default)]
pub struct ErrorReplies(Vec<(u16, ErrorReply)>);

impl ErrorReplies {
    /// Sets the answer for `status`, in place of an earlier one.
    pub fn set(&mut self, status: u16, reply: ErrorReply) {
        self.reset(status);
        self.0.push((status, reply));
    }

    /// Forgets the answer for `status`.
    pub fn reset(&mut self, status: u16) {
        self.0.retain(|(known, _)| *known != status);
    }

    /// All answers with their statuses.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &ErrorReply)> {
        self.0.iter().map(|(status, reply)| (*status, reply))
    }

    /// The answer set for `status`.
    #[must_use]
    pub fn get(&self, status: u16) -> Option<&ErrorReply> {
        self.0.iter().find(|(known, _)| *known == status).map(|(_, reply)| reply)
    }
}

/// The built-in page for `status`.
#[must_use]
pub fn builtin(status: u16) -> Reply {
    let reason = legacy_reason(status).unwrap_or_else(|| proxy_http::status::reason(status));
    let text = ROWS.iter().find(|row| row.0 == status).map_or("", |row| row.2);
    let body = format!("<html><body><h1>{status} {reason}</h1>\n{text}\n</body></html>\n");
    Reply::page(status, b"text/html", body.into_bytes())
}

/// Reason phrases of HAProxy's own answers where they differ from the registered ones.
fn legacy_reason(status: u16) -> Option<&'static str> {
    ROWS.iter().find(|row| row.0 == status).map(|row| row.1)
}

/// Status, reason phrase in HAProxy's spelling, and the sentence of the page.
static ROWS: &[(u16, &str, &str)] = &[
    (200, "OK", "Service ready."),
    (400, "Bad request", "The request could not be understood."),
    (401, "Unauthorized", "A user name and a password are needed here."),
    (403, "Forbidden", "This request is not allowed."),
    (404, "Not Found", "There is nothing at this address."),
    (405, "Method Not Allowed", "This method is not allowed here."),
    (407, "Unauthorized", "The proxy needs a user name and a password."),
    (408, "Request Time-out", "The request did not arrive completely in time."),
    (410, "Gone", "What was at this address is gone for good."),
    (413, "Payload Too Large", "The request is larger than allowed."),
    (421, "Misdirected Request", "This server does not answer for that name."),
    (422, "Unprocessable Content", "The request uses a coding that cannot be processed."),
    (425, "Too Early", "The request came too early to be safe."),
    (429, "Too Many Requests", "Too many requests were sent in a short time."),
    (500, "Internal Server Error", "Something went wrong inside the proxy."),
    (501, "Not Implemented", "The proxy does not support this request."),
    (502, "Bad Gateway", "The server's answer was invalid or incomplete."),
    (503, "Service Unavailable", "No server can take this request."),
    (504, "Gateway Time-out", "The server did not answer in time."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_http::h1::write_response;

    #[track_caller]
    fn check(reply: &Reply, head: &str, body: &str) {
        let mut out = Vec::new();
        write_response(reply.head(), &mut out);
        assert_eq!(String::from_utf8_lossy(&out), head);
        assert_eq!(String::from_utf8_lossy(reply.body()), body);
    }

    #[test]
    fn pages() {
        let body = "<html><body><h1>408 Request Time-out</h1>\nThe request did not arrive completely in time.\n</body></html>\n";
        let head = format!(
            "HTTP/1.1 408 Request Time-out\r\ncontent-length: {}\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n\r\n",
            body.len()
        );
        check(&builtin(408), &head, body);
    }

    #[test]
    fn stored_answers() {
        let reply = Reply::parse(b"HTTP/1.0 503 No\r\nConnection: close\r\nX: y\r\n\r\nsorry", 500)
            .unwrap();
        check(&reply, "HTTP/1.1 503 No\r\nX: y\r\ncontent-length: 5\r\n\r\n", "sorry");
        assert!(Reply::parse(b"", 408).unwrap().is_silent());
        assert_eq!(Reply::parse(b"HTTP/1.1 200 OK\r\n", 500).unwrap_err(), ReplyError::Unfinished);
        let error =
            Reply::parse(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx", 500).unwrap_err();
        assert_eq!(error, ReplyError::Length { said: 9, found: 1 });
        assert!(matches!(Reply::parse(b"hello", 500), Err(ReplyError::Malformed(_))));
    }
}
