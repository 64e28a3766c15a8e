//! Everything a log line needs that is not in the message heads or live objects.

use std::net::SocketAddr;

use crate::sample::context::Date;

/// What a stream gathered for its log line. Durations are milliseconds; `None` means that the phase was not
/// reached, which logs show as `-1`.
#[derive(Clone, Debug)]
pub struct LogFacts<'a> {
    /// When the connection was accepted (`%t`).
    pub accepted: Date,
    /// When the first byte of the request came (`%tr`).
    pub request: Date,
    /// Handshakes of the connection (`%Th`).
    pub handshake: Option<u32>,
    /// Idle time before the request (`%Ti`).
    pub idle: Option<u32>,
    /// First byte to the end of the request head (`%TR`).
    pub request_head: Option<u32>,
    /// Waiting in queues (`%Tw`).
    pub queue: Option<u32>,
    /// Connecting to the server (`%Tc`).
    pub connect: Option<u32>,
    /// Waiting for the response head (`%Tr`).
    pub response_head: Option<u32>,
    /// From the acceptance (TCP, and the first request) or the end of the previous request, to now (`%Tt`).
    pub total: u32,
    /// The response had not ended when the line was made: sizes and total times get a `+` (`option logasap`).
    pub unfinished: bool,
    /// Status that the server sent.
    pub server_status: Option<u16>,
    /// Status sent to the client (`%ST`).
    pub status: Option<u16>,
    /// Bytes sent to the client (`%B`).
    pub bytes_out: u64,
    /// Bytes received from the client (`%U`).
    pub bytes_in: u64,
    /// Bytes sent to the server.
    pub request_out: u64,
    /// Bytes received from the server.
    pub response_in: u64,
    /// The first request of its connection.
    pub first_request: bool,
    /// Version of HTTP that is spoken on the connection to the server; `None` before there is one.
    pub server_http: Option<u8>,
    /// The connection to the server had been used before.
    pub reused: bool,
    /// Termination state: cause, phase, and in HTTP the request's and response's cookie (`%tsc`).
    pub termination: Termination,
    /// Connections of the process, frontend, backend and server when the line is made.
    pub process_conns: u32,
    pub frontend_conns: u32,
    pub backend_conns: u32,
    pub server_conns: u32,
    pub retries: u32,
    /// A retry went to another server (`+` in front of `%rc`).
    pub redispatched: bool,
    /// Places in the queues when the request arrived there.
    pub server_queue: u32,
    pub backend_queue: u32,
    /// Who answered (`%s`) when no server did.
    pub answered_by: AnsweredBy<'a>,
    /// Connection to the server.
    pub backend_src: Option<SocketAddr>,
    pub backend_dst: Option<SocketAddr>,
    /// `capture cookie`.
    pub request_cookie: Option<&'a [u8]>,
    pub response_cookie: Option<&'a [u8]>,
    /// `capture request header`, one per declaration; `None` where nothing was captured.
    pub request_captures: &'a [Option<&'a [u8]>],
    pub response_captures: &'a [Option<&'a [u8]>],
    /// The request line as received, cut at `tune.http.logurilen`; `None` for a request that could not be read.
    pub request_line: Option<&'a [u8]>,
    pub unique_id: Option<&'a [u8]>,
    /// The algorithm that the response was compressed with.
    pub compressed: Option<&'static str>,
    /// The cache that the response came from.
    pub cache: Option<&'a str>,
    /// Number of the stream within the process (`%rt`).
    pub stream_number: u32,
    /// Number of the line within the frontend (`%lc`).
    pub line_number: u32,
    /// Why the line is made (`%OG`).
    pub origin: Origin,
    /// The client connection is encrypted (`~` after the name in `%ft`).
    pub tls: bool,
    pub tls_version: Option<&'a [u8]>,
    pub tls_cipher: Option<&'a [u8]>,
}

impl LogFacts<'_> {
    /// A stream of which nothing is known.
    pub const NONE: Self = Self {
        accepted: Date { secs: 0, usec: 0 },
        request: Date { secs: 0, usec: 0 },
        handshake: None,
        idle: None,
        request_head: None,
        queue: None,
        connect: None,
        response_head: None,
        total: 0,
        unfinished: false,
        server_status: None,
        status: None,
        request_out: 0,
        response_in: 0,
        first_request: false,
        server_http: None,
        reused: false,
        bytes_out: 0,
        bytes_in: 0,
        termination: Termination::NONE,
        process_conns: 0,
        frontend_conns: 0,
        backend_conns: 0,
        server_conns: 0,
        retries: 0,
        redispatched: false,
        server_queue: 0,
        backend_queue: 0,
        answered_by: AnsweredBy::Server,
        backend_src: None,
        backend_dst: None,
        request_cookie: None,
        response_cookie: None,
        request_captures: &[],
        response_captures: &[],
        request_line: None,
        unique_id: None,
        compressed: None,
        cache: None,
        stream_number: 0,
        line_number: 0,
        origin: Origin::Unspec,
        tls: false,
        tls_version: None,
        tls_cipher: None,
    };
}

impl Default for LogFacts<'_> {
    fn default() -> Self {
        Self::NONE
    }
}

/// Timeouts that rules set for one stream, in milliseconds (`set-timeout`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutChanges {
    pub client: Option<u32>,
    pub connect: Option<u32>,
    pub queue: Option<u32>,
    pub server: Option<u32>,
    pub tarpit: Option<u32>,
    pub tunnel: Option<u32>,
}

/// The letters of `%ts` and `%tsc` (configuration manual, 8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Termination {
    pub cause: u8,
    pub phase: u8,
    pub request_cookie: u8,
    pub response_cookie: u8,
}

impl Termination {
    /// A normal end, without cookies.
    pub const NONE: Self =
        Self { cause: b'-', phase: b'-', request_cookie: b'-', response_cookie: b'-' };
}

impl Default for Termination {
    fn default() -> Self {
        Self::NONE
    }
}

/// Who answered a request that no server was chosen for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnsweredBy<'a> {
    /// A service inside the proxy, by its name: `STATS`, `CACHE` ... (`<STATS>`).
    Applet(&'a str),
    /// `<NOSRV>`, or the server of the context.
    #[default]
    Server,
}

/// Which step makes a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// `do-log` in rules of this set, and so on.
    HttpAfterRes,
    HttpReq,
    HttpRes,
    QuicInit,
    TcpReqConn,
    TcpReqCont,
    TcpReqSess,
    TcpResCont,
    SessError,
    SessKilled,
    TxnAccept,
    TxnClose,
    TxnConnect,
    TxnRequest,
    TxnResponse,
    #[default]
    Unspec,
}

impl Origin {
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpAfterRes => "http-after-res",
            Self::HttpReq => "http-req",
            Self::HttpRes => "http-res",
            Self::QuicInit => "quic-init",
            Self::TcpReqConn => "tcp-req-conn",
            Self::TcpReqCont => "tcp-req-cont",
            Self::TcpReqSess => "tcp-req-sess",
            Self::TcpResCont => "tcp-res-cont",
            Self::SessError => "sess_error",
            Self::SessKilled => "sess_killed",
            Self::TxnAccept => "txn_accept",
            Self::TxnClose => "txn_close",
            Self::TxnConnect => "txn_connect",
            Self::TxnRequest => "txn_request",
            Self::TxnResponse => "txn_response",
            Self::Unspec => "unspec",
        }
    }
}
