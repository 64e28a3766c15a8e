//! What a server is built from.

use super::{AgentSpec, CheckSpec};
use crate::{SockAddr, Transport};
use proxy_types::ServerId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// The port of a server (configuration manual, 5.2 `server`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortMode {
    /// The port of the address.
    #[default]
    Fixed,
    /// No port was given: the one the client connected to.
    Client,
    /// `+n` or `-n`: the one the client connected to plus this.
    Offset(i32),
}

/// What a server's places on a hash ring come from (configuration manual, 5.2 `hash-key`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    /// The 28 lowest bits of the id, spread over the ring.
    #[default]
    Id,
    /// The id as it is.
    Id32,
    /// The address; without one, the id.
    Addr,
    AddrPort,
}

/// `source <addr>` with its options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Address and port to bind; port 0 lets the kernel choose.
    pub addr: Option<SocketAddr>,
    /// Port range, both ends included.
    pub ports: Option<(u16, u16)>,
    /// `usesrc`.
    pub use_client: Option<UseClient>,
    /// `interface`.
    pub interface: Option<String>,
}

/// `usesrc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseClient {
    /// The client's address; the kernel chooses the port.
    Address,
    AddressAndPort,
    /// An address that need not belong to this host.
    Other(SocketAddr),
}

/// `observe`, `error-limit` and `on-error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observe {
    /// Count wrong HTTP answers, not only connection errors.
    pub layer7: bool,
    /// Errors in a row that trigger `on_error`.
    pub error_limit: u32,
    pub on_error: OnError,
}

/// `on-error`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    Fastinter,
    /// Counts as a failed check.
    #[default]
    FailCheck,
    /// As a failed check that is the last one before the server falls.
    SuddenDeath,
    MarkDown,
}

/// `init-state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InitState {
    /// Down until every check of `rise` passed.
    FullyDown,
    /// Down until a check passes.
    Down,
    /// Up until a check fails.
    #[default]
    Up,
    /// Up until every check of `fall` failed.
    FullyUp,
}

/// What a [`Server`](super::Server) is built from: a `server` line with its defaults resolved. Very many of them may be
/// there: what the lines of a section usually have in common is shared ([`ServerSpec::share`]).
#[derive(Clone, Debug)]
pub struct ServerSpec {
    pub name: Arc<str>,
    /// Explicit by `id` or counted from 1 within the backend.
    pub id: ServerId,
    /// `id` was explicit (`srv_f_forced_id` of the server state).
    pub forced_id: bool,
    /// The address; the unspecified one while a name is unresolved.
    pub addr: SockAddr,
    /// The host name the address came from.
    pub fqdn: Option<String>,
    /// The name of the SRV records that give host name, port and weight.
    pub srv_record: Option<String>,
    /// The name could not be resolved: the server waits in `MAINT (resolution)`.
    pub unresolved: bool,
    pub port_mode: PortMode,
    /// The address is `0.0.0.0`, `*` or `::`: connections go where the client's did.
    pub transparent: bool,
    pub hash_key: HashKey,
    /// 0 to 256.
    pub weight: u32,
    pub backup: bool,
    pub disabled: bool,
    /// It begins in maintenance that nobody wrote into the configuration.
    pub held: bool,
    /// It was added at run time: nobody asks it before a command says so, and no other follows it.
    pub dynamic: bool,
    /// 0 is no limit.
    pub maxconn: u32,
    /// Limit at no load when `maxconn` is dynamic; 0 is `maxconn`.
    pub minconn: u32,
    /// 0 is no limit.
    pub maxqueue: u32,
    pub cookie: Option<String>,
    /// `non-stick`: stick tables do not learn it.
    pub non_stick: bool,
    pub check: Option<Arc<CheckSpec>>,
    /// `agent-check`.
    pub agent: Option<Arc<AgentSpec>>,
    /// The state before the first check, and when maintenance ends.
    pub init_state: InitState,
    /// `slowstart`: how long a server that came back gets less than its share.
    pub slowstart: Duration,
    /// `track [backend/]server`.
    pub track: Option<Box<(Option<String>, String)>>,
    pub observe: Option<Observe>,
    pub shutdown_sessions_on_down: bool,
    pub shutdown_backup_sessions_on_up: bool,
    /// What stands between the socket and the bytes for the server; `None` is nothing.
    pub transport: Option<Transport>,
    /// `ssl`.
    pub transport_is_tls: bool,
    /// How TLS is spoken is known: `ssl`, or a `no-ssl` that cancels one.
    pub can_tls: bool,
    /// `no-ssl`.
    pub tls_cancelled: bool,
    /// How TLS is spoken by checks, where they may want it.
    pub check_tls: Option<Transport>,
    /// `socks4`: the proxy that connections go through.
    pub socks4: Option<Box<SocketAddr>>,
    pub source: Option<Arc<Source>>,
    pub tcp_user_timeout: Option<Duration>,
    /// `tfo`.
    pub tfo: bool,
    /// `cc`.
    pub congestion: Option<String>,
    /// `tcp-md5sig`.
    pub md5: Option<String>,
    /// `namespace`.
    pub namespace: Option<String>,
    /// `pool-max-conn`; `None` is no limit.
    pub pool_max_conn: Option<u32>,
    /// `pool-purge-delay`.
    pub pool_purge_delay: Duration,
    /// `max-reuse`.
    pub max_reuse: Option<u32>,
    /// `redir`: GET and HEAD requests are sent there instead.
    pub redir: Option<String>,
    /// `proto`.
    pub proto: Option<crate::options::Proto>,
    /// `ws`: what carries WebSockets; `None` is what carries the rest, and HTTP/1 where ALPN lets choose.
    pub ws: Option<crate::options::Proto>,
    /// `pool-low-conn`: with fewer idle connections, threads take none of each other.
    pub pool_low_conn: u32,
    /// `strict-maxconn`: no more connections than `maxconn`, idle ones included.
    pub strict_maxconn: bool,
    /// `idle-ping`: how often a silent server of HTTP/2 is asked whether it lives.
    pub idle_ping: Option<Duration>,
}

impl ServerSpec {
    /// Has in common with another server what both say alike.
    pub fn share(&mut self, other: &Self) {
        fn share<T: PartialEq + ?Sized>(own: &mut Option<Arc<T>>, other: &Option<Arc<T>>) {
            if own == other {
                own.clone_from(other);
            }
        }
        share(&mut self.check, &other.check);
        share(&mut self.agent, &other.agent);
        share(&mut self.source, &other.source);
    }

    /// A server with HAProxy's defaults: weight 1, no check, no limit.
    pub fn new(name: impl Into<Arc<str>>, id: ServerId, addr: SockAddr) -> Self {
        Self {
            name: name.into(),
            id,
            forced_id: false,
            addr,
            fqdn: None,
            srv_record: None,
            unresolved: false,
            port_mode: PortMode::Fixed,
            transparent: false,
            hash_key: HashKey::Id,
            weight: 1,
            backup: false,
            disabled: false,
            held: false,
            dynamic: false,
            maxconn: 0,
            minconn: 0,
            maxqueue: 0,
            cookie: None,
            non_stick: false,
            check: None,
            agent: None,
            init_state: InitState::Up,
            slowstart: Duration::ZERO,
            track: None,
            observe: None,
            shutdown_sessions_on_down: false,
            shutdown_backup_sessions_on_up: false,
            transport: None,
            transport_is_tls: false,
            can_tls: false,
            tls_cancelled: false,
            check_tls: None,
            socks4: None,
            source: None,
            tcp_user_timeout: None,
            tfo: false,
            congestion: None,
            md5: None,
            namespace: None,
            pool_max_conn: None,
            pool_purge_delay: Duration::from_secs(5),
            max_reuse: None,
            redir: None,
            proto: None,
            ws: None,
            pool_low_conn: 0,
            strict_maxconn: false,
            idle_ping: None,
        }
    }
}
