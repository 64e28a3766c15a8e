//! `option ...` and related settings of a proxy, typed (configuration manual, 4.2). Defaults are HAProxy's.

use std::net::IpAddr;
use std::time::Duration;

/// What happens to connections between requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpConnection {
    /// `option http-keep-alive`, the default: both sides are kept.
    #[default]
    KeepAlive,
    /// `option http-server-close`: the client's side is kept.
    ServerClose,
    /// `option httpclose`: neither is.
    Close,
}

/// `proto` of bind and server lines: what is spoken, whatever ALPN says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// FastCGI; of servers.
    Fcgi,
    H1,
    H2,
}

/// `http-reuse`: which idle server connections may serve another client's request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpReuse {
    Never,
    /// The first request of a session always opens a connection.
    #[default]
    Safe,
    /// As safe, but connections that were reused before may serve first requests too.
    Aggressive,
    Always,
}

/// `option forwardfor` and `option originalto`: one header naming an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressHeader {
    /// Header name, as to be sent.
    pub header: String,
    /// Network whose addresses are not added: address and prefix length.
    pub except: Option<(IpAddr, u8)>,
    /// Only when the request has no such header yet.
    pub if_none: bool,
}

/// `option http-restrict-req-hdr-names`: what happens to header names with other bytes than letters, digits
/// and `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestrictNames {
    Delete,
    Reject,
}

/// TCP keep-alive probes; what is not given is as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpProbes {
    pub count: Option<u32>,
    pub idle: Option<Duration>,
    pub interval: Option<Duration>,
}

/// How payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressing {
    /// Not at all, but sent as if it were.
    Identity,
    Gzip,
    /// In the form of zlib (RFC 1950).
    Deflate,
    /// Without its header and checksum (RFC 1951).
    RawDeflate,
}

/// `compression`. Where both sides of a request have some, what the backend says goes before the frontend's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    /// Whether the filters that compress have their turn.
    pub on_requests: bool,
    pub on_responses: bool,
    /// `algo-req`.
    pub request: Option<Compressing>,
    /// `algo-res`, in the order of preference.
    pub response: Vec<Compressing>,
    /// `type-req`, `type-res`: how Content-Type may begin; none is any.
    pub request_types: Vec<Box<[u8]>>,
    pub response_types: Vec<Box<[u8]>>,
    /// `minsize-req`, `minsize-res`: the smallest payload that is compressed, in bytes.
    pub request_min: u64,
    pub response_min: u64,
    /// `offload`: servers do not see what the client accepts.
    pub offload: bool,
}

/// Settings that both sides of a proxy may have. Each side reads its own and, where the manual says so,
/// the other's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// `option http-keep-alive|http-server-close|httpclose`; `None` when not said, which lets the other side decide.
    pub http_connection: Option<HttpConnection>,
    /// `option forwardfor`.
    pub forwardfor: Option<AddressHeader>,
    /// `option originalto`.
    pub originalto: Option<AddressHeader>,
    /// `option dontlognull`.
    pub dontlognull: bool,
    /// `option dontlog-normal`.
    pub dontlog_normal: bool,
    /// `option log-separate-errors`.
    pub log_separate_errors: bool,
    /// `option logasap`.
    pub logasap: bool,
    /// `option log-health-checks`.
    pub log_health_checks: bool,
    /// `option abortonclose`.
    pub abortonclose: bool,
    /// `option persist`.
    pub persist: bool,
    /// `option prefer-last-server`.
    pub prefer_last_server: bool,
    /// `option allbackups`.
    pub allbackups: bool,
    /// `option socket-stats`.
    pub socket_stats: bool,
    /// `option clitcpka`.
    pub clitcpka: bool,
    /// `option srvtcpka`.
    pub srvtcpka: bool,
    /// `srvtcpka-cnt`, `-idle`, `-intvl`.
    pub srvtcpka_probes: TcpProbes,
    /// `option nolinger`.
    pub nolinger: bool,
    /// `option independent-streams`.
    pub independent_streams: bool,
    /// `option tcp-smart-connect`, which mode http has unless it is refused.
    pub tcp_smart_connect: bool,
    /// `option splice-auto`, where it was said or refused.
    pub splice_auto: Option<bool>,
    /// `option splice-request`.
    pub splice_request: bool,
    /// `option splice-response`.
    pub splice_response: bool,
    /// `option http-buffer-request`.
    pub http_buffer_request: bool,
    /// `option http-ignore-probes`.
    pub http_ignore_probes: bool,
    /// `option http-no-delay`.
    pub http_no_delay: bool,
    /// `option http-pretend-keepalive`.
    pub http_pretend_keepalive: bool,
    /// `option http-use-proxy-header`.
    pub http_use_proxy_header: bool,
    /// `option accept-unsafe-violations-in-http-request`.
    pub accept_unsafe_request: bool,
    /// `option accept-unsafe-violations-in-http-response`.
    pub accept_unsafe_response: bool,
    /// `option h1-case-adjust-bogus-client`.
    pub h1_case_adjust_client: bool,
    /// `option h1-case-adjust-bogus-server`.
    pub h1_case_adjust_server: bool,
    /// `http-reuse`.
    pub http_reuse: HttpReuse,
    /// `option checkcache`.
    pub checkcache: bool,
    /// `option disable-h2-upgrade`.
    pub disable_h2_upgrade: bool,
    /// `option http-drop-request-trailers`.
    pub drop_request_trailers: bool,
    /// `option http-drop-response-trailers`.
    pub drop_response_trailers: bool,
    /// `option idle-close-on-response`.
    pub idle_close_on_response: bool,
    /// `option http-restrict-req-hdr-names`; `None` preserves.
    pub restrict_req_hdr_names: Option<RestrictNames>,
    /// `compression`, where a filter makes use of it.
    pub compression: Option<Box<Compression>>,
    /// `http-send-name-header`.
    pub send_name_header: Option<String>,
}

/// `retry-on`: failures of a request after which it is tried again (configuration manual, 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOn(u32);

impl Default for RetryOn {
    /// The connection could not be made.
    fn default() -> Self {
        Self::CONNECTION
    }
}

impl RetryOn {
    pub const NOTHING: Self = Self(0);
    /// The connection, or the handshake on it, failed.
    pub const CONNECTION: Self = Self(1);
    /// The server closed without a byte of an answer.
    pub const EMPTY: Self = Self(2);
    /// What came is no response.
    pub const JUNK: Self = Self(4);
    /// The response did not come in time.
    pub const TIMEOUT: Self = Self(8);
    /// The server refused early data, which no server is sent here.
    pub const EARLY_DATA: Self = Self(16);
    /// The statuses that can be named; their bits follow.
    pub const STATUSES: [u16; 12] = [401, 403, 404, 408, 421, 425, 429, 500, 501, 502, 503, 504];

    /// The bit of a status; `None` for one that cannot be named.
    pub fn status(status: u16) -> Option<Self> {
        let at = Self::STATUSES.iter().position(|known| *known == status)?;
        Some(Self(1 << (5 + at)))
    }

    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether anything is retried that happens after the request was sent.
    pub fn needs_copy(self) -> bool {
        self.0 & !(Self::CONNECTION.0 | Self::EARLY_DATA.0) != 0
    }
}
