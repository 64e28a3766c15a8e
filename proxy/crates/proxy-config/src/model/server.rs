//! `server` and `default-server` lines (configuration manual, 5.2).

use std::net::IpAddr;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use proxy_types::{Address, Endpoint, Host, Span, Spanned};

use super::rare::{Rare, unset};
use super::{HashKey, Proto, ServerNames, ServerProxy, ServerTls};

unset!(AgentOptions, ProbeOptions, SeldomOptions, ServerNames, ServerProxy, ServerTls);

/// A server of a backend, with the settings of `default-server` applied.
#[derive(Clone, Debug)]
pub struct Server {
    /// The whole directive.
    pub span: Span,
    pub name: Spanned<String>,
    /// A port may be missing (the client's port is used then) or relative to it; never a range.
    pub address: Spanned<Address>,
    /// `id`: the `sid` of the statistics. The first free number from 1 by default.
    pub id: Option<Spanned<u32>>,
    pub guid: Option<Spanned<String>>,
    pub options: ServerOptions,
}

/// Everything that `default-server` can set. What few lines have is reached through it as if it stood here.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// 0 to 256; see [`ServerOptions::weight`].
    pub weight: Option<Spanned<u16>>,
    /// `check` or `no-check`.
    pub check: Option<Spanned<bool>>,
    /// Value of the persistence cookie.
    pub cookie: Option<Spanned<String>>,
    pub inter: Option<Spanned<Duration>>,
    pub rise: Option<Spanned<u32>>,
    pub fall: Option<Spanned<u32>>,
    /// `backup` or `no-backup`.
    pub backup: Option<Spanned<bool>>,
    /// `disabled` (true) or `enabled` (false).
    pub disabled: Option<Spanned<bool>>,
    /// Connections at once; zero or nothing means no limit.
    pub maxconn: Option<Spanned<u32>>,
    pub tls: Rare<ServerTls>,
    /// The PROXY protocol header that opens connections.
    pub proxy: Rare<ServerProxy>,
    pub agent: Rare<AgentOptions>,
    /// How connections of checks differ.
    pub probe: Rare<ProbeOptions>,
    pub names: Rare<ServerNames>,
    seldom: Rare<SeldomOptions>,
}

impl Deref for ServerOptions {
    type Target = SeldomOptions;
    fn deref(&self) -> &SeldomOptions {
        &self.seldom
    }
}

impl DerefMut for ServerOptions {
    fn deref_mut(&mut self) -> &mut SeldomOptions {
        &mut self.seldom
    }
}

/// Those of [`ServerOptions`] that few of very many servers have.
#[derive(Clone, Debug, Default)]
pub struct SeldomOptions {
    /// 5.2 "error-limit": 10 by default.
    pub error_limit: Option<Spanned<u32>>,
    /// `non-stick`: stick tables do not learn it.
    pub non_stick: Option<Spanned<bool>>,
    pub hash_key: Option<Spanned<HashKey>>,
    pub observe: Option<Spanned<Observe>>,
    pub on_error: Option<Spanned<OnError>>,
    /// `track`: a server, perhaps with its backend in front.
    pub track: Option<Spanned<String>>,
    /// The section that says how the server is checked.
    pub healthcheck: Option<Spanned<String>>,
    /// `init-state`; `None` is its `none`.
    pub init_state: Option<Spanned<InitState>>,
    pub slowstart: Option<Spanned<Duration>>,
    /// `redir`: what comes before the request's path in the answer's `Location`.
    pub redir: Option<Spanned<String>>,
    /// `socks4`: the proxy on the way.
    pub socks4: Option<Spanned<Address>>,
    /// While the state is changing. Falls back to `inter`.
    pub fastinter: Option<Spanned<Duration>>,
    /// While the server is down. Falls back to `inter`.
    pub downinter: Option<Spanned<Duration>>,
    /// Port of the checks. The server's by default.
    pub check_port: Option<Spanned<u16>>,
    /// Address of the checks. The server's by default.
    pub check_addr: Option<Spanned<Address>>,
    pub minconn: Option<Spanned<u32>>,
    /// Requests waiting; zero or nothing means no limit.
    pub maxqueue: Option<Spanned<u32>>,
    /// Requests that reuse a connection; `None` is no limit.
    pub max_reuse: Option<Spanned<i32>>,
    /// Idle connections on one thread below which it takes none of another.
    pub pool_low_conn: Option<Spanned<u32>>,
    /// Idle connections; negative is no limit.
    pub pool_max_conn: Option<Spanned<i32>>,
    pub pool_purge_delay: Option<Spanned<Duration>>,
    /// `proto`: what the server speaks, whatever ALPN says.
    pub proto: Option<Spanned<Proto>>,
    /// `idle-ping`: how often silent servers of HTTP/2 are asked whether they live.
    pub idle_ping: Option<Spanned<Duration>>,
    /// `pool-conn-name`: an expression whose value tells idle connections apart.
    pub pool_conn_name: Option<Spanned<String>>,
    /// `strict-maxconn`: idle connections count, too.
    pub strict_maxconn: Option<Spanned<bool>>,
    /// `ws`; `None` is its `auto`.
    pub ws: Option<Spanned<Proto>>,
    /// TCP congestion control, by its name in the kernel.
    pub congestion: Option<Spanned<String>>,
    /// `tcp-md5sig`: the password.
    pub md5: Option<Spanned<String>>,
    /// Network namespace to connect from.
    pub namespace: Option<Spanned<String>>,
    pub source: Option<Spanned<SourceAddress>>,
    /// Bytes that wait for a server of a log backend.
    pub log_bufsize: Option<Spanned<u32>>,
    /// How messages are told apart on a connection of a ring or a log backend.
    pub log_proto: Option<Spanned<super::LogProto>>,
    /// How a host name gets its address at start; empty means `last,libc`.
    pub init_addr: Option<Spanned<Vec<InitAddr>>>,
    pub on_marked_down: Option<Spanned<OnMarkedDown>>,
    pub on_marked_up: Option<Spanned<OnMarkedUp>>,
    /// `tfo` or `no-tfo`.
    pub tfo: Option<Spanned<bool>>,
    /// TCP_USER_TIMEOUT.
    pub tcp_ut: Option<Spanned<Duration>>,
    /// In `peers` sections: the part of the keys that the peer is told of.
    pub shard: Option<Spanned<u32>>,
}

/// `check-ssl` and its kin.
#[derive(Clone, Debug, Default)]
pub struct ProbeOptions {
    pub ssl: Option<Spanned<bool>>,
    pub sni: Option<Spanned<String>>,
    /// True by default.
    pub sni_auto: Option<Spanned<bool>>,
    pub alpn: Option<Spanned<Vec<String>>>,
    pub proto: Option<Spanned<Proto>>,
    pub send_proxy: Option<Spanned<bool>>,
    pub socks4: Option<Spanned<bool>>,
}

/// `agent-check` and its parameters.
#[derive(Clone, Debug, Default)]
pub struct AgentOptions {
    /// `agent-check` or `no-agent-check`.
    pub check: Option<Spanned<bool>>,
    /// Host without a port. The address of the checks, then the server's by default.
    pub addr: Option<Spanned<Address>>,
    /// 2 s by default.
    pub inter: Option<Spanned<Duration>>,
    pub port: Option<Spanned<u16>>,
    pub send: Option<Spanned<String>>,
}

impl Server {
    /// The name of SRV records that the address is: it begins with an underscore (configuration manual, 5.3.1).
    pub fn srv_record(&self) -> Option<&str> {
        match &self.address.value.endpoint {
            Endpoint::Inet { host: Host::Name(name), .. } if name.starts_with('_') => Some(name),
            _ => None,
        }
    }
}

impl ServerOptions {
    /// 5.2 "weight": 1 by default, of 256 at most.
    pub fn weight(&self) -> u16 {
        self.weight.map_or(1, |w| w.value)
    }

    pub fn is_checked(&self) -> bool {
        self.check.is_some_and(|c| c.value)
    }

    /// Whether checks go where traffic does not: what connections begin with is not inherited then (5.2 "check").
    pub fn is_checked_elsewhere(&self) -> bool {
        self.check_port.is_some() || self.check_addr.is_some()
    }

    /// Whether checks that say nothing else are spoken over TLS.
    pub fn checks_over_tls(&self) -> bool {
        self.probe.ssl.is_some_and(|on| on.value)
            || self.tls.is_on() && !self.is_checked_elsewhere()
    }

    /// Whether checks that say nothing else begin with a PROXY protocol header.
    pub fn checks_send_proxy(&self) -> bool {
        let inherited = [self.proxy.v1, self.proxy.v2].into_iter().flatten().any(|send| send.value);
        self.probe.send_proxy.is_some_and(|on| on.value)
            || inherited && !self.is_checked_elsewhere()
    }

    pub fn has_agent(&self) -> bool {
        self.agent.check.is_some_and(|c| c.value)
    }

    pub fn is_backup(&self) -> bool {
        self.backup.is_some_and(|b| b.value)
    }

    /// Whether the server starts in maintenance.
    pub fn is_disabled(&self) -> bool {
        self.disabled.is_some_and(|d| d.value)
    }

    /// 5.2 "inter": 2 s by default.
    pub fn inter(&self) -> Duration {
        self.inter.map_or(Duration::from_secs(2), |v| v.value)
    }

    pub fn fastinter(&self) -> Duration {
        self.fastinter.map_or_else(|| self.inter(), |v| v.value)
    }

    pub fn downinter(&self) -> Duration {
        self.downinter.map_or_else(|| self.inter(), |v| v.value)
    }

    /// 5.2 "rise": 2 successes by default.
    pub fn rise(&self) -> u32 {
        self.rise.map_or(2, |v| v.value)
    }

    /// 5.2 "fall": 3 failures by default.
    pub fn fall(&self) -> u32 {
        self.fall.map_or(3, |v| v.value)
    }
}

/// `init-state`: the state before the first check, and when maintenance ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitState {
    Down,
    FullyDown,
    FullyUp,
    Up,
}

/// One step of `init-addr`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InitAddr {
    /// This address.
    Ip(IpAddr),
    /// The address of the state file.
    Last,
    /// The system's resolver.
    Libc,
    /// No address: the server starts in maintenance.
    None,
}

/// `source`: where connections to servers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAddress {
    /// IP address, with a port or a range of ports to use when one was written.
    pub address: Address,
    pub interface: Option<Spanned<String>>,
    pub use_source: Option<Spanned<UseSource>>,
}

/// `usesrc`: the address that servers see, whoever it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UseSource {
    Address(Address),
    /// The client's address and port.
    Client,
    /// The client's address.
    ClientIp,
    /// `hdr_ip(<name>[,<occurrence>])`: an address in a header field of the request; the last one by default.
    Header {
        name: String,
        occurrence: i32,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMarkedDown {
    ShutdownSessions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMarkedUp {
    ShutdownBackupSessions,
}

/// `observe`: what counts as an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observe {
    Layer4,
    Layer7,
}

/// `on-error`. The default is [`OnError::FailCheck`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    #[default]
    FailCheck,
    Fastinter,
    MarkDown,
    SuddenDeath,
}
