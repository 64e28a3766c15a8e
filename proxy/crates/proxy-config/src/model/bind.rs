//! `bind` and `stats socket` lines (configuration manual, 5.1).

use std::time::Duration;

use proxy_types::{Address, Span, Spanned};

use super::{BindTls, Proto, ThreadSet};

/// One line; each of its addresses and each port of a range is a listener of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bind {
    /// The whole directive.
    pub span: Span,
    /// At least one. IP addresses have a port or range; host names are resolved at start.
    pub addresses: Vec<Spanned<Address>>,
    pub name: Option<Spanned<String>>,
    /// `id`: the `sid` of the first listener.
    pub id: Option<Spanned<u32>>,
    pub interface: Option<Spanned<String>>,
    /// `proto`: what clients speak, whatever they begin with.
    pub proto: Option<Spanned<Proto>>,
    /// `idle-ping`: how often silent clients of HTTP/2 are asked whether they live.
    pub idle_ping: Option<Spanned<Duration>>,
    /// Connections on each listener. The proxy's `maxconn` by default.
    pub maxconn: Option<Spanned<u32>>,
    /// Listen queue. The proxy's `backlog` by default.
    pub backlog: Option<Spanned<u32>>,
    /// Access to the sockets of UNIX addresses.
    pub unix: UnixAccess,
    /// IPv6 addresses take IPv4 clients, too.
    pub v4v6: Option<Span>,
    /// IPv6 addresses take IPv6 clients only.
    pub v6only: Option<Span>,
    /// Addresses that do not belong to this host may be bound.
    pub transparent: Option<Span>,
    /// TCP fast open.
    pub tfo: Option<Span>,
    /// TCP congestion control, by its name in the kernel.
    pub congestion: Option<Spanned<String>>,
    /// `tcp-md5sig`: the password.
    pub md5: Option<Spanned<String>>,
    pub defer_accept: Option<Span>,
    /// `tcp-ss`: 0 to 2.
    pub tcp_ss: Option<Spanned<u8>>,
    /// Identifiers of the listeners: this, `-` and their number on the line.
    pub guid_prefix: Option<Spanned<String>>,
    pub label: Option<Spanned<String>>,
    /// Network namespace to listen in.
    pub namespace: Option<Spanned<String>>,
    /// What stands in front of messages of the runtime API. Nothing by default.
    pub severity_output: Option<Spanned<SeverityOutput>>,
    /// Listening sockets per address. One for each thread by default.
    pub shards: Option<Spanned<Shards>>,
    /// Threads that accept here: all by default.
    pub threads: Option<Spanned<Vec<ThreadSet>>>,
    /// Largest TCP segment; negative values ask for that much less than the default.
    pub mss: Option<Spanned<i32>>,
    /// TCP_USER_TIMEOUT.
    pub tcp_ut: Option<Spanned<Duration>>,
    /// What the runtime API allows on this socket. [`CliLevel::Operator`] by default.
    pub level: Option<Spanned<CliLevel>>,
    /// `expose-fd listeners`: a new process may fetch the listening sockets here.
    pub expose_fd_listeners: Option<Span>,
    /// A PROXY protocol header tells the client's address.
    pub accept_proxy: Option<Span>,
    /// The magic number of NetScaler's client IP header.
    pub accept_netscaler_cip: Option<Spanned<u32>>,
    pub tls: BindTls,
}

/// Owner and mode of a UNIX socket file. The process's own by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnixAccess {
    /// Permission bits, at most 0o7777.
    pub mode: Option<Spanned<u32>>,
    /// User name; looked up at start.
    pub user: Option<Spanned<String>>,
    pub uid: Option<Spanned<u32>>,
    /// Group name; looked up at start.
    pub group: Option<Spanned<String>>,
    pub gid: Option<Spanned<u32>>,
}

/// `severity-output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeverityOutput {
    #[default]
    None,
    Number,
    String,
}

/// `shards`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shards {
    ByGroup,
    ByThread,
    Count(u32),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum CliLevel {
    User,
    #[default]
    Operator,
    Admin,
}
