//! Bounds of heads, and why one is refused.

/// Bounds of a head.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest head in bytes, blank line included: `tune.bufsize` less `tune.maxrewrite`.
    pub max_head: usize,
    /// `tune.http.maxhdr`: the start line counts as one.
    pub max_headers: usize,
    /// `option accept-unsafe-violations-in-http-request` (or `-response`).
    pub relaxed: bool,
    /// `h1-accept-payload-with-any-method`: requests in HTTP/1.0 by methods that have no payload may have one.
    pub any_payload: bool,
    /// `h1-do-not-close-on-insecure-transfer-encoding`.
    pub keep_insecure: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head: 16384 - 1024,
            max_headers: 101,
            relaxed: false,
            any_payload: false,
            keep_insecure: false,
        }
    }
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reject {
    #[error("the method is not a token")]
    BadMethod,
    #[error("the request target has a forbidden byte")]
    BadTarget,
    #[error("the request target has no valid form for its method")]
    BadTargetForm,
    #[error("the version is not HTTP/1.x")]
    BadVersion,
    #[error("the status code is not three digits")]
    BadStatus,
    #[error("a header name is not a token")]
    BadName,
    #[error("a header value holds a NUL byte")]
    NulInValue,
    #[error("CR without LF")]
    BareCr,
    #[error("more header fields than tune.http.maxhdr")]
    TooManyHeaders,
    #[error("head larger than tune.bufsize less tune.maxrewrite")]
    TooLarge,
    #[error("a request in HTTP/1.0 by a method without payload has one")]
    UnexpectedPayload,
    #[error("content-length is not a number")]
    BadContentLength,
    #[error("content-length fields disagree")]
    ConflictingContentLength,
    #[error("transfer-encoding is not exactly one final chunked")]
    BadTransferEncoding,
    #[error("transfer-encoding has codings besides chunked")]
    UnsupportedCoding,
    #[error("host fields disagree")]
    ConflictingHost,
    #[error("host and the authority of the target disagree")]
    HostMismatch,
    #[error("websocket upgrade without sec-websocket-key")]
    NoWebsocketKey,
}
