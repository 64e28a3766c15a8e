//! The configuration as specs of live objects.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use proxy_config::model::{
    self, Affinity, Balance, CompressionAlgorithm, CompressionDirection, Config, CookieMode,
    FilterKind, Flag, FlagSet, HashFunction, HashKey, HttpConnectionMode, InitAddr, InitState,
    Observe, OnError, Proxy, Server, ServerOptions, Settings, SourceAddress, StickTable, UseSource,
};
use proxy_state::backend::BackendSpec;
use proxy_state::cache::{CacheSpec, HintsMode};
use proxy_state::cookie::{self, CookieSpec};
use proxy_state::frontend::FrontendSpec;
use proxy_state::lb::{self, HashMethod, HashSpec, LbSpec};
use proxy_state::options::{
    AddressHeader, Compressing, Compression, HttpConnection, HttpReuse, Proto, ProxyOptions,
    RestrictNames, RetryOn, TcpProbes,
};
use proxy_state::registry::{FIRST_PROXY_ID, RegistrySpec};
use proxy_state::server::{self, AgentSpec, CheckSpec, PortMode, ServerSpec, Source};
use proxy_state::stick::{Store, TableSpec, data};
use proxy_state::{ListenerSpec, Registry, SockAddr, Timeouts};
use proxy_types::{
    Address, DiagSink, Diagnostic, Diagnostics, Endpoint, Host, ListenerId, Mode, PortSpec,
    ProxyId, ServerId, Spanned,
};

use super::addresses::Resolver;
use super::peers;
use super::saved::SavedStates;
use super::tls::Tls;

/// Connections of the process when neither a limit nor enough descriptors say otherwise.
const DEFAULT_MAXCONN: u32 = 2000;

/// Errors in a row that `observe` acts at (configuration manual, 5.2 "error-limit").
const ERROR_LIMIT: u32 = 10;
/// Pause between two questions to an agent (configuration manual, 5.2 "agent-inter").
const AGENT_INTER: Duration = Duration::from_secs(2);
/// Descriptors for listeners, checks, pipes, logs and files, beside two a connection.
pub(crate) const RESERVED_DESCRIPTORS: u64 = 512;

/// What the command line has to say about assembly.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) resolver: Resolver,
    /// `-dr`.
    pub(crate) ignore_resolution: bool,
    /// `-n`.
    pub(crate) maxconn: Option<u32>,
    /// `-N`.
    pub(crate) proxy_maxconn: Option<u32>,
    /// What state files tell.
    pub(crate) saved: SavedStates,
}

/// Builds the specs of everything that lives in the registry, and reports names that do not resolve.
pub(crate) fn registry(
    config: &Config,
    overrides: &Overrides,
    tls: &mut Tls<'_>,
    diagnostics: &mut Diagnostics,
) -> RegistrySpec {
    let maxconn = process_maxconn(config, overrides);
    let mut ids = Ids::new(config.proxies.iter().filter_map(|proxy| proxy.id), FIRST_PROXY_ID);
    let mut spec = RegistrySpec { maxconn, ..RegistrySpec::default() };
    spec.tables = tables(config);
    spec.caches = config.caches.iter().map(cache).collect();
    for proxy in &config.proxies {
        let id = ProxyId(ids.take(proxy.id));
        if proxy.kind.is_frontend() {
            spec.frontends.push(frontend(proxy, id, maxconn, overrides, tls, diagnostics));
        }
        if proxy.kind.is_backend() {
            spec.backends.push(backend(proxy, id, overrides, tls, diagnostics));
        }
    }
    let reach = Reach::new(config, &spec.frontends);
    for backend in &mut spec.backends {
        if backend.fullconn == 0 {
            backend.fullconn = reach.fullconn(&backend.name);
        }
    }
    spec
}

/// The connections that may reach each backend.
struct Reach<'a> {
    /// Of frontends whose rules name the backend at run time: any backend.
    anywhere: u64,
    by_backend: HashMap<&'a str, u64>,
}

impl<'a> Reach<'a> {
    fn new(config: &'a Config, frontends: &[FrontendSpec]) -> Self {
        let proxies: HashMap<&str, &'a Proxy> =
            config.frontends().map(|proxy| (proxy.name.value.as_str(), proxy)).collect();
        let mut reach = Self { anywhere: 0, by_backend: HashMap::new() };
        for frontend in frontends {
            let Some(proxy) = proxies.get(&*frontend.name) else { continue };
            let maxconn = u64::from(frontend.maxconn);
            if proxy.use_backends.iter().any(|rule| rule.is_dynamic()) {
                reach.anywhere += maxconn;
                continue;
            }
            let default = proxy.settings.default_backend.iter().map(|name| name.value.as_str());
            let named = proxy.use_backends.iter().map(|rule| rule.target.value.as_str());
            let targets: HashSet<&str> =
                default.chain(named).chain([proxy.name.value.as_str()]).collect();
            for target in targets {
                *reach.by_backend.entry(target).or_default() += maxconn;
            }
        }
        reach
    }

    /// A tenth of the connections that the frontends which reach the backend may have (configuration manual, 4.2
    /// "fullconn").
    fn fullconn(&self, backend: &str) -> u32 {
        let total = self.anywhere + self.by_backend.get(backend).copied().unwrap_or_default();
        u32::try_from(total / 10).unwrap_or(u32::MAX).max(1)
    }
}

/// `fullconn` of a backend that no rule names: that of frontends whose rules name backends at run time.
pub(super) fn fullconn_at_run_time(config: &Config, registry: &Registry) -> u32 {
    let asking =
        config.frontends().filter(|proxy| proxy.use_backends.iter().any(|rule| rule.is_dynamic()));
    let frontends = asking.filter_map(|proxy| registry.frontend(&proxy.name.value));
    let total: u64 = frontends.map(|frontend| u64::from(frontend.maxconn())).sum();
    u32::try_from(total / 10).unwrap_or(u32::MAX).max(1)
}

/// `-n`, `maxconn`, or what the descriptor limit allows: two descriptors a connection, and some for
/// everything else (configuration manual, 3.2 "maxconn").
pub(crate) fn process_maxconn(config: &Config, overrides: &Overrides) -> u32 {
    if let Some(limit) =
        overrides.maxconn.or_else(|| config.global.maxconn.map(|limit| limit.value))
    {
        return limit;
    }
    let wanted = config.global.ulimit_n.map(|limit| u64::from(limit.value));
    let descriptors = wanted.or_else(|| {
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
            .ok()
            .map(|(_, hard)| hard)
    });
    let ceiling = config.global.fd_hard_limit.map_or(u64::MAX, |limit| u64::from(limit.value));
    descriptors.map(|limit| limit.min(ceiling)).map_or(DEFAULT_MAXCONN, |limit| {
        u32::try_from(limit.saturating_sub(RESERVED_DESCRIPTORS) / 2).unwrap_or(u32::MAX).max(1)
    })
}

/// Gives out numbers that nobody asked for explicitly.
struct Ids {
    taken: HashSet<u32>,
    next: u32,
}

impl Ids {
    fn new(explicit: impl Iterator<Item = Spanned<u32>>, first: u32) -> Self {
        Self { taken: explicit.map(|id| id.value).collect(), next: first }
    }

    fn take(&mut self, explicit: Option<Spanned<u32>>) -> u32 {
        if let Some(id) = explicit {
            return id.value;
        }
        while self.taken.contains(&self.next) {
            self.next += 1;
        }
        self.next += 1;
        self.next - 1
    }
}

fn frontend(
    proxy: &Proxy,
    id: ProxyId,
    process_maxconn: u32,
    overrides: &Overrides,
    tls: &mut Tls<'_>,
    diagnostics: &mut Diagnostics,
) -> FrontendSpec {
    let settings = &proxy.settings;
    FrontendSpec {
        name: proxy.name.value.clone(),
        id,
        mode: settings.mode(),
        description: proxy.description.as_ref().map(|text| text.value.to_string()),
        maxconn: settings
            .maxconn
            .map(|limit| limit.value)
            .or(overrides.proxy_maxconn)
            .unwrap_or(process_maxconn),
        rate_limit_sessions: settings.rate_limit_sessions.map_or(0, |rate| rate.value),
        timeouts: timeouts(settings),
        options: options(proxy),
        backlog: settings.backlog.map(|backlog| backlog.value),
        default_backend: settings.default_backend.as_ref().map(|name| name.value.clone()),
        disabled: settings.is_disabled(),
        listeners: listeners(proxy, overrides, tls, diagnostics),
    }
}

/// Each address and each port of a range is a listener of its own, numbered through the section.
fn listeners(
    proxy: &Proxy,
    overrides: &Overrides,
    tls: &mut Tls<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<ListenerSpec> {
    let mut ids = Ids::new(proxy.binds.iter().filter_map(|bind| bind.id), 1);
    let mut specs = Vec::new();
    for bind in &proxy.binds {
        let mut explicit = bind.id;
        let transport = tls.entrance(proxy, bind, diagnostics);
        if let Some(proto) = bind.proto.filter(|proto| proto.value == model::Proto::None)
            && proxy.settings.mode() == Mode::Http
        {
            let text = "'proto none' carries bytes, which mode http cannot do";
            diagnostics.push(Diagnostic::alert(text).at(proto.span));
        }
        for address in &bind.addresses {
            for addr in bind_addresses(address, overrides, diagnostics) {
                specs.push(ListenerSpec {
                    id: ListenerId(ids.take(explicit.take())),
                    name: bind.name.as_ref().map(|name| name.value.clone()),
                    addr,
                    maxconn: bind.maxconn.map_or(0, |limit| limit.value),
                    transport: transport.clone(),
                    proto: proto(bind.proto),
                    raw: bind.proto.is_some_and(|proto| proto.value == model::Proto::None),
                    idle_ping: bind.idle_ping.map(|every| every.value),
                });
            }
        }
    }
    specs
}

/// The addresses one word of a `bind` line stands for, in the order of their ports.
pub(crate) fn bind_addresses(
    address: &Spanned<Address>,
    overrides: &Overrides,
    diagnostics: &mut Diagnostics,
) -> Vec<SockAddr> {
    match &address.value.endpoint {
        Endpoint::Inet { family, host, port } => {
            let ip = match overrides.resolver.host(host, *family) {
                Ok(ip) => ip,
                Err(error) => {
                    diagnostics.push(Diagnostic::alert(error.to_string()).at(address.span));
                    return Vec::new();
                }
            };
            let (first, last) = port.range().unwrap_or((0, 0));
            (first..=last).map(|port| std::net::SocketAddr::new(ip, port).into()).collect()
        }
        // Nothing to look up: these cannot fail.
        _ => overrides.resolver.target(&address.value, 0).into_iter().collect(),
    }
}

/// `retry-on`, in mode http only.
fn retry_on(settings: &Settings) -> RetryOn {
    let Some(words) = settings.retry_on.as_ref().filter(|_| settings.mode() == Mode::Http) else {
        return RetryOn::default();
    };
    let status = |status| RetryOn::status(status).unwrap_or(RetryOn::NOTHING);
    words.value.iter().fold(RetryOn::NOTHING, |all, word| {
        all.with(match word.as_str() {
            "conn-failure" => RetryOn::CONNECTION,
            "empty-response" => RetryOn::EMPTY,
            "junk-response" => RetryOn::JUNK,
            "response-timeout" => RetryOn::TIMEOUT,
            "0rtt-rejected" => RetryOn::EARLY_DATA,
            "all-retryable-errors" => [
                RetryOn::CONNECTION,
                RetryOn::EMPTY,
                RetryOn::JUNK,
                RetryOn::TIMEOUT,
                RetryOn::EARLY_DATA,
                status(500),
                status(502),
                status(503),
                status(504),
            ]
            .into_iter()
            .fold(RetryOn::NOTHING, RetryOn::with),
            number => number.parse().map_or(RetryOn::NOTHING, status),
        })
    })
}

/// The address of a listener as it was written, with the first of its ports; host names have none yet.
pub(super) fn first_address(address: &Address) -> Option<SockAddr> {
    match &address.endpoint {
        Endpoint::Inet { host: Host::Ip(ip), port, .. } => {
            let (port, _) = port.range()?;
            Some(std::net::SocketAddr::new(*ip, port).into())
        }
        Endpoint::Unix(path) => Some(SockAddr::Unix(path.into())),
        _ => None,
    }
}

pub(super) fn backend(
    proxy: &Proxy,
    id: ProxyId,
    overrides: &Overrides,
    tls: &mut Tls<'_>,
    diagnostics: &mut Diagnostics,
) -> BackendSpec {
    let settings = &proxy.settings;
    let mut ids = Ids::new(proxy.servers.iter().filter_map(|server| server.id), 1);
    let mut servers: Vec<ServerSpec> = Vec::with_capacity(proxy.servers.len());
    for server in &proxy.servers {
        let id = ServerId(ids.take(server.id));
        let mut spec =
            self::server(&proxy.name.value, settings, server, id, overrides, diagnostics);
        spec.transport = tls.exit(proxy, server, diagnostics);
        spec.check_tls = tls.check_client(proxy, server, &spec, diagnostics);
        // Most lines of a section are alike.
        if let Some(before) = servers.last() {
            spec.share(before);
        }
        servers.push(spec);
    }
    BackendSpec {
        name: proxy.name.value.clone(),
        id,
        forced_id: proxy.id.is_some(),
        mode: settings.mode(),
        description: proxy.description.as_ref().map(|text| text.value.to_string()),
        timeouts: timeouts(settings),
        options: options(proxy),
        lb: balancing(settings),
        retries: settings.retries(),
        retry_on: retry_on(settings),
        redispatch: settings
            .redispatch
            .as_ref()
            .map(|r| r.value.0)
            .filter(|interval| *interval != 0),
        fullconn: settings.fullconn.map_or(0, |conns| conns.value),
        max_keep_alive_queue: settings
            .max_keep_alive_queue
            .and_then(|most| u32::try_from(most.value).ok()),
        cookie: cookie(settings),
        disabled: settings.is_disabled(),
        unpublished: proxy.unpublished.is_some(),
        servers,
    }
}

fn proto(written: Option<Spanned<model::Proto>>) -> Option<Proto> {
    match written?.value {
        model::Proto::Fcgi => Some(Proto::Fcgi),
        model::Proto::H1 => Some(Proto::H1),
        model::Proto::H2 => Some(Proto::H2),
        model::Proto::None => None,
    }
}

/// The stick tables. One that `stick` rules name keeps servers.
fn tables(config: &Config) -> Vec<TableSpec> {
    let by_rules = |name: &str| {
        config.proxies.iter().any(|proxy| {
            proxy.stick_rules.iter().any(|rule| {
                rule.table.as_ref().map_or(proxy.name.value.as_str(), |table| table.value.as_str())
                    == name
            })
        })
    };
    let spec = |name: String, table: &StickTable| {
        let mut stores = table.stores.clone();
        if by_rules(&name) {
            let server = ["server_id", "server_key"].into_iter().filter_map(data::find);
            stores.extend(server.map(|kind| Store { kind, count: 1, period: Duration::ZERO }));
        }
        let peers = table.peers.as_ref();
        let peers =
            peers.and_then(|name| peers::active(config).find(|s| s.name.value == name.value));
        TableSpec {
            name,
            key: table.key,
            size: usize::try_from(table.size.value).unwrap_or(usize::MAX),
            expire: table.expire,
            nopurge: table.nopurge,
            server_key: table.server_key,
            stores,
            brates_factor: table.brates_factor,
            shared: peers.is_some(),
            recv_only: table.recv_only,
            write_to: table.write_to.as_ref().map(|name| name.value.clone()),
            shards: peers.and_then(|section| section.shards).map_or(0, |shards| shards.value),
        }
    };
    let of_proxies = config
        .proxies
        .iter()
        .filter_map(|proxy| Some(spec(proxy.name.value.clone(), proxy.stick_table.as_ref()?)));
    let of_peers = config.peers.iter().flat_map(|section| {
        section.tables.iter().map(|(name, table)| spec(section.table_name(&name.value), table))
    });
    of_proxies.chain(of_peers).collect()
}

fn cache(cache: &model::Cache) -> CacheSpec {
    CacheSpec {
        name: cache.name.value.clone(),
        total: cache.total(),
        max_object: cache.max_object(),
        max_age: cache.max_age.map_or(60, |age| age.value.into()),
        vary: cache.process_vary.is_some_and(|on| on.value),
        max_variants: cache.max_secondary_entries.map_or(10, |most| most.value as usize),
        hints: match cache.early_hints.map(|mode| mode.value) {
            None | Some(model::EarlyHints::Off) => HintsMode::Off,
            Some(model::EarlyHints::On { ratio }) => HintsMode::On { ratio },
            Some(model::EarlyHints::Only) => HintsMode::Only,
        },
    }
}

/// `cookie`, in mode http only.
fn cookie(settings: &Settings) -> Option<CookieSpec> {
    let cookie = settings.cookie.as_ref().filter(|_| settings.mode() == Mode::Http)?;
    let cookie = &cookie.value;
    let mut attributes = "; path=/".to_owned();
    for domain in &cookie.domains {
        attributes.push_str("; domain=");
        attributes.push_str(domain);
    }
    for (on, text) in [(cookie.httponly, "; HttpOnly"), (cookie.secure, "; Secure")] {
        attributes.push_str(if on { text } else { "" });
    }
    for attribute in &cookie.attributes {
        attributes.push_str("; ");
        attributes.push_str(attribute);
    }
    Some(CookieSpec {
        name: cookie.name.clone(),
        mode: match cookie.mode {
            CookieMode::Passive => cookie::CookieMode::Passive,
            CookieMode::Insert => cookie::CookieMode::Insert,
            CookieMode::Prefix => cookie::CookieMode::Prefix,
            CookieMode::Rewrite => cookie::CookieMode::Rewrite,
        },
        indirect: cookie.indirect,
        nocache: cookie.nocache,
        postonly: cookie.postonly,
        preserve: cookie.preserve,
        attributes,
        maxidle: cookie.maxidle,
        maxlife: cookie.maxlife,
        dynamic: cookie.dynamic,
        key: settings.dynamic_cookie_key.as_ref().map(|key| key.value.clone()),
    })
}

fn balancing(settings: &Settings) -> LbSpec {
    let balance = settings.balance();
    let name = balance.as_str();
    let mut spec = LbSpec::default();
    if let Some(row) = lb::algorithm(name) {
        spec.algorithm = row;
    }
    if let Balance::Random { draws } = balance {
        spec.draws = draws;
    }
    if settings.mode() == Mode::Log {
        // There is no load to compare, and no weight (configuration manual, 4.2 "balance").
        (spec.draws, spec.unweighted) = (1, true);
    }
    spec.balance_factor = settings.hash_balance_factor.map_or(0, |factor| factor.value);
    spec.affinity = match settings.hash_preserve_affinity.map(|method| method.value) {
        None | Some(Affinity::Always) => lb::Affinity::Always,
        Some(Affinity::MaxConn) => lb::Affinity::MaxConn,
        Some(Affinity::MaxQueue) => lb::Affinity::MaxQueue,
    };
    if let Some(hash) = settings.hash_type {
        spec.hash = HashSpec {
            method: if hash.value.consistent {
                HashMethod::Consistent
            } else {
                HashMethod::MapBased
            },
            function: match hash.value.function {
                HashFunction::Crc32 => lb::HashFunction::Crc32,
                HashFunction::Djb2 => lb::HashFunction::Djb2,
                HashFunction::None => lb::HashFunction::None,
                HashFunction::Sdbm => lb::HashFunction::Sdbm,
                HashFunction::Wt6 => lb::HashFunction::Wt6,
            },
            avalanche: hash.value.avalanche,
        };
    }
    spec
}

pub(super) fn server(
    backend: &str,
    settings: &Settings,
    server: &Server,
    id: ServerId,
    overrides: &Overrides,
    diagnostics: &mut Diagnostics,
) -> ServerSpec {
    let options = &server.options;
    let (addr, unresolved) = server_address(backend, server, overrides, diagnostics);
    let mut spec = ServerSpec::new(server.name.value.as_str(), id, addr);
    spec.forced_id = server.id.is_some();
    spec.unresolved = unresolved;
    spec.transparent = matches!(
        &server.address.value.endpoint,
        Endpoint::Inet { host: Host::Ip(ip), .. } if ip.is_unspecified()
    );
    spec.srv_record = server.srv_record().map(str::to_owned);
    if let Endpoint::Inet { host: Host::Name(name), .. } = &server.address.value.endpoint
        && spec.srv_record.is_none()
    {
        spec.fqdn = Some(name.clone());
    }
    spec.port_mode = match server.address.value.port() {
        // The record has it.
        _ if spec.srv_record.is_some() => PortMode::Fixed,
        PortSpec::None | PortSpec::Port(0) => PortMode::Client,
        PortSpec::Offset(by) => PortMode::Offset(by),
        PortSpec::Port(_) | PortSpec::Range { .. } => PortMode::Fixed,
    };
    spec.hash_key = match options.hash_key.map(|key| key.value) {
        // No server has a guid: its id stands in (5.2 "hash-key").
        None | Some(HashKey::Id | HashKey::Guid) => server::HashKey::Id,
        Some(HashKey::Id32) => server::HashKey::Id32,
        Some(HashKey::Addr) => server::HashKey::Addr,
        Some(HashKey::AddrPort) => server::HashKey::AddrPort,
    };
    spec.non_stick = options.non_stick.is_some_and(|flag| flag.value);
    spec.cookie = options.cookie.as_ref().map(|value| value.value.clone());
    spec.weight = u32::from(options.weight());
    spec.backup = options.is_backup();
    spec.disabled = options.is_disabled();
    spec.maxconn = options.maxconn.map_or(0, |limit| limit.value);
    spec.minconn = options.minconn.map_or(0, |limit| limit.value);
    spec.maxqueue = options.maxqueue.map_or(0, |limit| limit.value);
    spec.check = options.is_checked().then(|| check(options, overrides, diagnostics).into());
    spec.agent = agent(options, overrides, diagnostics).map(Into::into);
    spec.transport_is_tls = options.tls.is_on();
    spec.can_tls = options.tls.is_possible;
    spec.tls_cancelled = options.tls.ssl.is_some_and(|ssl| !ssl.value);
    spec.init_state = match options.init_state.map(|state| state.value) {
        Some(InitState::FullyDown) => server::InitState::FullyDown,
        Some(InitState::Down) => server::InitState::Down,
        Some(InitState::Up) | None => server::InitState::Up,
        Some(InitState::FullyUp) => server::InitState::FullyUp,
    };
    spec.slowstart = options.slowstart.map_or(Duration::ZERO, |time| time.value);
    spec.track = options.track.as_ref().map(|target| {
        Box::new(match target.value.split_once('/') {
            Some((backend, server)) => (Some(backend.to_owned()), server.to_owned()),
            None => (None, target.value.clone()),
        })
    });
    spec.observe = options.observe.map(|mode| server::Observe {
        layer7: mode.value == Observe::Layer7,
        error_limit: options.error_limit.map_or(ERROR_LIMIT, |limit| limit.value),
        on_error: match options.on_error.map(|action| action.value).unwrap_or_default() {
            OnError::FailCheck => server::OnError::FailCheck,
            OnError::Fastinter => server::OnError::Fastinter,
            OnError::MarkDown => server::OnError::MarkDown,
            OnError::SuddenDeath => server::OnError::SuddenDeath,
        },
    });
    spec.shutdown_sessions_on_down = options.on_marked_down.is_some();
    spec.shutdown_backup_sessions_on_up = options.on_marked_up.is_some();
    let from = options.source.as_ref().or(settings.source.as_ref());
    spec.source = from.map(|from| source(from, overrides.resolver, diagnostics).into());
    spec.socks4 = options.socks4.as_ref().and_then(|address| {
        let resolved = overrides.resolver.target(&address.value, 0);
        resolved
            .map_err(|error| {
                diagnostics.push(Diagnostic::alert(error.to_string()).at(address.span));
            })
            .ok()?
            .inet()
            .map(Box::new)
    });
    spec.proto = proto(options.proto);
    spec.ws = proto(options.ws);
    spec.pool_low_conn = options.pool_low_conn.map_or(0, |most| most.value);
    spec.strict_maxconn = options.strict_maxconn.is_some_and(|on| on.value);
    spec.idle_ping = options.idle_ping.map(|every| every.value);
    spec.max_reuse = options.max_reuse.and_then(|count| u32::try_from(count.value).ok());
    spec.pool_max_conn = options.pool_max_conn.and_then(|max| u32::try_from(max.value).ok());
    if let Some(delay) = options.pool_purge_delay {
        spec.pool_purge_delay = delay.value;
        if delay.value.is_zero() {
            spec.pool_max_conn = Some(0);
        }
    }
    spec.tcp_user_timeout = options.tcp_ut.map(|limit| limit.value);
    spec.tfo = options.tfo.is_some_and(|tfo| tfo.value);
    spec.redir = options.redir.as_ref().map(|prefix| prefix.value.clone());
    spec.congestion = options.congestion.as_ref().map(|name| name.value.clone());
    spec.md5 = options.md5.as_ref().map(|password| password.value.clone());
    spec.namespace = options.namespace.as_ref().map(|name| name.value.clone());
    spec
}

/// `agent-check`. That it has a port was seen to.
fn agent(
    options: &ServerOptions,
    overrides: &Overrides,
    diagnostics: &mut Diagnostics,
) -> Option<AgentSpec> {
    let written = &options.agent;
    let port = written.port.filter(|_| options.has_agent())?.value;
    let addr = resolved(written.addr.as_ref(), overrides, diagnostics);
    Some(AgentSpec {
        inter: written.inter.map_or(AGENT_INTER, |inter| inter.value),
        addr: addr.or_else(|| resolved(options.check_addr.as_ref(), overrides, diagnostics)),
        port,
        send: written.send.as_ref().map(|text| text.value.clone()).unwrap_or_default(),
    })
}

/// Where checks or an agent are asked, when that is not the server's own address.
fn resolved(
    address: Option<&Spanned<Address>>,
    overrides: &Overrides,
    diagnostics: &mut Diagnostics,
) -> Option<IpAddr> {
    let address = address?;
    let Endpoint::Inet { family, host, .. } = &address.value.endpoint else { return None };
    match overrides.resolver.host(host, *family) {
        Ok(ip) => Some(ip),
        Err(error) => {
            diagnostics.push(Diagnostic::alert(error.to_string()).at(address.span));
            None
        }
    }
}

fn check(
    options: &ServerOptions,
    overrides: &Overrides,
    diagnostics: &mut Diagnostics,
) -> CheckSpec {
    CheckSpec {
        inter: options.inter(),
        fastinter: options.fastinter.map(|value| value.value),
        downinter: options.downinter.map(|value| value.value),
        rise: options.rise(),
        fall: options.fall(),
        port: options.check_port.map(|port| port.value),
        addr: resolved(options.check_addr.as_ref(), overrides, diagnostics),
        send_proxy: options.checks_send_proxy(),
        tls: options.checks_over_tls(),
        sni: options.probe.sni.as_ref().map(|name| name.value.clone()),
        sni_auto: options.probe.sni_auto.is_none_or(|auto| auto.value),
        alpn: options
            .probe
            .alpn
            .as_ref()
            .map(|names| names.value.iter().map(|name| name.as_bytes().to_vec()).collect()),
        proto: proto(options.probe.proto),
        via_socks4: options.probe.socks4.is_some_and(|via| via.value),
    }
}

/// Where connections come from; a name is looked up once.
pub(crate) fn source(
    from: &Spanned<SourceAddress>,
    resolver: Resolver,
    diagnostics: &mut Diagnostics,
) -> Source {
    let source = &from.value;
    let (ip, ports) = match &source.address.endpoint {
        Endpoint::Inet { host, family, port } => match resolver.host(host, *family) {
            Ok(ip) => (Some(ip), port.range()),
            Err(error) => {
                diagnostics.push(Diagnostic::alert(error.to_string()).at(from.span));
                (None, None)
            }
        },
        _ => (None, None),
    };
    let single = ports.filter(|(first, last)| first == last).map_or(0, |(port, _)| port);
    Source {
        addr: ip.map(|ip| std::net::SocketAddr::new(ip, single)),
        ports: ports.filter(|(first, last)| first != last),
        use_client: source.use_source.as_ref().and_then(|whose| match &whose.value {
            UseSource::Client => Some(server::UseClient::AddressAndPort),
            UseSource::ClientIp => Some(server::UseClient::Address),
            UseSource::Address(address) => match &address.endpoint {
                Endpoint::Inet { host: Host::Ip(ip), port, .. } => {
                    let port = port.range().map_or(0, |(port, _)| port);
                    Some(server::UseClient::Other(std::net::SocketAddr::new(*ip, port)))
                }
                _ => None,
            },
            // Part of what connections begin with: it takes an expression.
            UseSource::Header { .. } => None,
        }),
        interface: source.interface.as_ref().map(|name| name.value.clone()),
    }
}

/// The address a server starts with, by its `init-addr` steps, and whether it has none.
fn server_address(
    backend: &str,
    server: &Server,
    overrides: &Overrides,
    diagnostics: &mut Diagnostics,
) -> (SockAddr, bool) {
    const DEFAULT: [InitAddr; 2] = [InitAddr::Last, InitAddr::Libc];
    let address = &server.address.value;
    let port = address.port().range().map_or(0, |(port, _)| port);
    let nowhere = || SockAddr::from(std::net::SocketAddr::from(([0, 0, 0, 0], port)));
    let resolve = || overrides.resolver.target(address, 0);
    if !matches!(&address.endpoint, Endpoint::Inet { host: Host::Name(_), .. }) {
        return (resolve().unwrap_or_else(|_| nowhere()), false);
    }
    if server.srv_record().is_some() {
        return (nowhere(), true);
    }
    let steps = server.options.init_addr.as_ref().map_or(&DEFAULT[..], |steps| &steps.value);
    let mut failure = None;
    for step in steps {
        match step {
            InitAddr::Last => {
                if let Some(addr) = overrides.saved.address(backend, &server.name.value) {
                    return (addr.into(), false);
                }
            }
            InitAddr::Ip(ip) => {
                return (std::net::SocketAddr::new(*ip, port).into(), false);
            }
            InitAddr::Libc => match resolve() {
                Ok(addr) => return (addr, false),
                Err(error) => failure = Some(error),
            },
            InitAddr::None => return (nowhere(), true),
        }
    }
    if server.options.names.resolvers.is_some() && steps.contains(&InitAddr::Libc) {
        // Its nameservers may know better once the worker runs.
        let text = failure.map_or_else(String::new, |error| format!("{error}, "));
        let text = format!("server '{}' : {text}disabling server", server.name.value);
        diagnostics.push(Diagnostic::warning(text).at(server.address.span));
    } else if !overrides.ignore_resolution {
        let text = failure.map_or_else(
            || format!("server '{}' has no address", server.name.value),
            |error| format!("server '{}' : {error}", server.name.value),
        );
        diagnostics.push(
            Diagnostic::alert(text)
                .at(server.address.span)
                .help("'init-addr libc,none' lets the server start without an address"),
        );
    }
    (nowhere(), true)
}

/// Timeouts that apply: zero switches one off.
fn timeouts(settings: &Settings) -> Timeouts {
    use proxy_config::model::Timeouts as Written;
    let of = |value: Option<Spanned<Duration>>| Written::effective(value);
    let written = &settings.timeouts;
    Timeouts {
        client: of(written.client),
        client_fin: of(written.client_fin),
        client_hs: of(written.client_hs),
        server: of(written.server),
        server_fin: of(written.server_fin),
        connect: of(written.connect),
        queue: of(written.queue),
        http_request: of(written.http_request),
        http_keep_alive: of(written.http_keep_alive),
        tunnel: of(written.tunnel),
        tarpit: of(written.tarpit),
        check: of(written.check),
    }
}

fn options(proxy: &Proxy) -> ProxyOptions {
    let settings = &proxy.settings;
    let flags: &FlagSet = &settings.flags;
    ProxyOptions {
        http_connection: settings.http_connection_mode.map(|mode| match mode.value {
            HttpConnectionMode::KeepAlive => HttpConnection::KeepAlive,
            HttpConnectionMode::ServerClose => HttpConnection::ServerClose,
            HttpConnectionMode::Close => HttpConnection::Close,
        }),
        forwardfor: settings
            .forwardfor
            .as_ref()
            .map(|option| address_header(&option.value, "X-Forwarded-For")),
        originalto: settings
            .originalto
            .as_ref()
            .map(|option| address_header(&option.value, "X-Original-To")),
        http_reuse: match settings.http_reuse.map(|mode| mode.value) {
            Some(model::HttpReuse::Aggressive) => HttpReuse::Aggressive,
            Some(model::HttpReuse::Always) => HttpReuse::Always,
            Some(model::HttpReuse::Never) => HttpReuse::Never,
            None | Some(model::HttpReuse::Safe) => HttpReuse::Safe,
        },
        restrict_req_hdr_names: match settings.restrict_req_hdr_names.map(|what| what.value) {
            Some(model::RestrictNames::Preserve) => None,
            Some(model::RestrictNames::Delete) => Some(RestrictNames::Delete),
            Some(model::RestrictNames::Reject) => Some(RestrictNames::Reject),
            // Applications cannot tell such names apart.
            None => proxy.fcgi_app.as_ref().map(|_| RestrictNames::Delete),
        },
        compression: compression(proxy).map(Box::new),
        send_name_header: settings.http_send_name_header.as_ref().map(|name| name.value.clone()),
        accept_unsafe_request: flags.is_on(Flag::AcceptUnsafeRequest),
        accept_unsafe_response: flags.is_on(Flag::AcceptUnsafeResponse),
        checkcache: flags.is_on(Flag::CheckCache),
        disable_h2_upgrade: flags.is_on(Flag::DisableH2Upgrade),
        drop_request_trailers: flags.is_on(Flag::HttpDropRequestTrailers),
        drop_response_trailers: flags.is_on(Flag::HttpDropResponseTrailers),
        h1_case_adjust_client: flags.is_on(Flag::H1CaseAdjustClient),
        h1_case_adjust_server: flags.is_on(Flag::H1CaseAdjustServer),
        http_buffer_request: flags.is_on(Flag::HttpBufferRequest),
        http_ignore_probes: flags.is_on(Flag::HttpIgnoreProbes),
        http_no_delay: flags.is_on(Flag::HttpNoDelay),
        http_pretend_keepalive: flags.is_on(Flag::HttpPretendKeepalive),
        http_use_proxy_header: flags.is_on(Flag::HttpUseProxyHeader),
        idle_close_on_response: flags.is_on(Flag::IdleCloseOnResponse),
        independent_streams: flags.is_on(Flag::IndependentStreams),
        dontlog_normal: flags.is_on(Flag::DontLogNormal),
        dontlognull: flags.is_on(Flag::DontLogNull),
        logasap: flags.is_on(Flag::LogAsap),
        log_separate_errors: flags.is_on(Flag::LogSeparateErrors),
        log_health_checks: flags.is_on(Flag::LogHealthChecks),
        // On by default in mode http only (configuration manual, 4.2 "option abortonclose").
        abortonclose: match flags.get(Flag::AbortOnClose) {
            Some(flag) => flag.value,
            None => settings.mode() == Mode::Http,
        },
        persist: flags.is_on(Flag::Persist),
        prefer_last_server: flags.is_on(Flag::PreferLastServer),
        allbackups: flags.is_on(Flag::AllBackups),
        clitcpka: flags.is_on(Flag::CliTcpKa),
        srvtcpka: flags.is_on(Flag::SrvTcpKa),
        srvtcpka_probes: TcpProbes {
            count: settings.srvtcpka.count.map(|count| count.value),
            idle: settings.srvtcpka.idle.map(|idle| idle.value),
            interval: settings.srvtcpka.interval.map(|interval| interval.value),
        },
        socket_stats: flags.is_on(Flag::SocketStats),
        nolinger: flags.is_on(Flag::NoLinger),
        // Clients of HTTP speak first, so there is always something to send (configuration manual, 4.2).
        tcp_smart_connect: flags
            .get(Flag::TcpSmartConnect)
            .map_or_else(|| settings.mode() == Mode::Http, |flag| flag.value),
        splice_auto: flags.get(Flag::SpliceAuto).map(|flag| flag.value),
        splice_request: flags.is_on(Flag::SpliceRequest),
        splice_response: flags.is_on(Flag::SpliceResponse),
    }
}

/// `compression`, when one of the section's filters, or the one that is there without being named, makes use of it.
fn compression(proxy: &Proxy) -> Option<Compression> {
    let written = proxy.settings.compression.as_ref()?;
    let filters = &proxy.filters;
    let named = |kind: &FilterKind| filters.lines.iter().any(|line| line.kind == *kind);
    let direction = written.direction.map_or(CompressionDirection::Response, |d| d.value);
    let (mut on_requests, mut on_responses) = match direction {
        CompressionDirection::Request => (true, false),
        CompressionDirection::Response => (false, true),
        CompressionDirection::Both => (true, true),
    };
    let kinds = [FilterKind::CompressRequests, FilterKind::CompressResponses, FilterKind::Compress];
    if kinds.iter().any(named) {
        let [request, response, both] = kinds;
        let turn = |kind: &FilterKind| {
            let named = named(kind);
            (named && filters.on_requests(kind), named && filters.on_responses(kind))
        };
        on_requests = turn(&request).0 || on_requests && turn(&both).0;
        on_responses = turn(&response).1 || on_responses && turn(&both).1;
    }
    let algorithm = |written: &CompressionAlgorithm| match written {
        CompressionAlgorithm::Identity => Compressing::Identity,
        CompressionAlgorithm::Gzip => Compressing::Gzip,
        CompressionAlgorithm::Deflate => Compressing::Deflate,
        CompressionAlgorithm::RawDeflate => Compressing::RawDeflate,
    };
    let types = |list: &[String]| list.iter().map(|text| text.as_bytes().into()).collect();
    Some(Compression {
        on_requests,
        on_responses,
        request: written.request_algorithm.as_ref().map(algorithm),
        response: written.response_algorithms.iter().map(algorithm).collect(),
        request_types: types(&written.request_types),
        response_types: types(&written.response_types),
        request_min: written.request_min.map_or(0, |min| min.value.into()),
        response_min: written.response_min.map_or(0, |min| min.value.into()),
        offload: written.offload.is_some(),
    })
}

fn address_header(option: &model::ForwardFor, default: &str) -> AddressHeader {
    AddressHeader {
        header: option
            .header
            .as_ref()
            .map_or_else(|| default.to_owned(), |name| name.value.clone()),
        except: option.except.as_ref().map(|net| (net.value.address, net.value.prefix)),
        if_none: option.if_none.is_some(),
    }
}
