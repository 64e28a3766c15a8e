//! `option` lines (configuration manual, 4.2).

use proxy_types::{Span, Spanned};

/// Options that are on or off, named as in the manual with `-` left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flag {
    AbortOnClose,
    AcceptUnsafeRequest,
    AcceptUnsafeResponse,
    AllBackups,
    CheckCache,
    CliTcpKa,
    DisableH2Upgrade,
    DontLogNormal,
    DontLogNull,
    H1CaseAdjustClient,
    H1CaseAdjustServer,
    HttpBufferRequest,
    HttpDropRequestTrailers,
    HttpDropResponseTrailers,
    HttpIgnoreProbes,
    HttpNoDelay,
    HttpPretendKeepalive,
    HttpUseProxyHeader,
    IdleCloseOnResponse,
    IndependentStreams,
    LogAsap,
    LogHealthChecks,
    LogSeparateErrors,
    NoLinger,
    SocketStats,
    Persist,
    PreferLastServer,
    SpliceAuto,
    SpliceRequest,
    SpliceResponse,
    SrvTcpKa,
    TcpSmartAccept,
    TcpSmartConnect,
}

/// Flags that mean something in mode http only, by the sides that have them.
pub const HTTP_FLAGS: &[(Flag, &str, Sides)] = &[
    (Flag::AcceptUnsafeRequest, "accept-unsafe-violations-in-http-request", Sides::Frontend),
    (Flag::AcceptUnsafeResponse, "accept-unsafe-violations-in-http-response", Sides::Backend),
    (Flag::CheckCache, "checkcache", Sides::Backend),
    (Flag::DisableH2Upgrade, "disable-h2-upgrade", Sides::Frontend),
    (Flag::HttpBufferRequest, "http-buffer-request", Sides::Both),
    (Flag::HttpDropRequestTrailers, "http-drop-request-trailers", Sides::Backend),
    (Flag::HttpDropResponseTrailers, "http-drop-response-trailers", Sides::Frontend),
    (Flag::HttpIgnoreProbes, "http-ignore-probes", Sides::Frontend),
    (Flag::HttpNoDelay, "http-no-delay", Sides::Both),
    (Flag::HttpPretendKeepalive, "http-pretend-keepalive", Sides::Backend),
    (Flag::HttpUseProxyHeader, "http-use-proxy-header", Sides::Frontend),
    (Flag::IdleCloseOnResponse, "idle-close-on-response", Sides::Frontend),
    (Flag::PreferLastServer, "prefer-last-server", Sides::Backend),
];

/// Sections that an option is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sides {
    Backend,
    Both,
    Frontend,
}

/// The flags that were written, in a section or in the `defaults` it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FlagSet {
    list: Vec<(Flag, Spanned<bool>)>,
}

impl FlagSet {
    /// Whether the flag is on. All are off when nothing was written.
    pub fn is_on(&self, flag: Flag) -> bool {
        self.get(flag).is_some_and(|v| v.value)
    }

    /// What was written last about the flag, and where.
    pub fn get(&self, flag: Flag) -> Option<Spanned<bool>> {
        self.list.iter().find(|(f, _)| *f == flag).map(|(_, v)| *v)
    }

    pub fn set(&mut self, flag: Flag, value: Spanned<bool>) {
        self.reset(flag);
        self.list.push((flag, value));
    }

    /// Forgets the flag (`default option`).
    pub fn reset(&mut self, flag: Flag) {
        self.list.retain(|(f, _)| *f != flag);
    }

    pub fn iter(&self) -> impl Iterator<Item = (Flag, Spanned<bool>)> {
        self.list.iter().copied()
    }
}

/// What happens to connections after a response; the strongest of frontend and backend counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum HttpConnectionMode {
    /// `option http-keep-alive`, the default.
    #[default]
    KeepAlive,
    /// `option http-server-close`.
    ServerClose,
    /// `option httpclose`.
    Close,
}

/// `option httplog [clf]`, `option tcplog [clf]`: a built-in log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOption {
    Http {
        clf: bool,
    },
    /// `option httpslog`.
    Https,
    Tcp {
        clf: bool,
    },
}

/// `option forwardfor`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardFor {
    /// Source addresses that add nothing.
    pub except: Option<Spanned<Except>>,
    /// The header's name, `X-Forwarded-For` when none was written.
    pub header: Option<Spanned<String>>,
    /// Adds nothing when the header is there.
    pub if_none: Option<Span>,
}

/// Where a parameter of `option forwarded` comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForwardedPart {
    /// What the connection or the request says.
    Own,
    /// An expression.
    Expr(Spanned<String>),
}

/// `option forwarded`: the parameters of the Forwarded field (RFC 7239 section 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forwarded {
    pub proto: bool,
    pub host: Option<ForwardedPart>,
    pub by: Option<ForwardedPart>,
    pub by_port: Option<ForwardedPart>,
    pub client: Option<ForwardedPart>,
    pub client_port: Option<ForwardedPart>,
}

impl Forwarded {
    /// The expressions of all parameters.
    pub fn expressions(&self) -> impl Iterator<Item = &Spanned<String>> {
        let parts = [&self.host, &self.by, &self.by_port, &self.client, &self.client_port];
        parts.into_iter().filter_map(|part| match part {
            Some(ForwardedPart::Expr(text)) => Some(text),
            _ => None,
        })
    }
}

/// An IP network in prefix form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Except {
    pub address: std::net::IpAddr,
    pub prefix: u8,
}

/// `option redispatch [interval]`: on which retries another server is chosen. A negative number counts from the
/// last retry: -1, the value without argument, is the last one only; 0 switches it off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redispatch(pub i32);

/// `option http-restrict-req-hdr-names`: what happens to requests with other header names than letters, digits and `-`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestrictNames {
    Preserve,
    Delete,
    Reject,
}

/// `http-reuse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpReuse {
    Aggressive,
    Always,
    Never,
    Safe,
}

/// `proto` of bind and server lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// FastCGI; of servers.
    Fcgi,
    H1,
    H2,
    /// In mode tcp: the bytes as they come, whatever they are.
    None,
}
