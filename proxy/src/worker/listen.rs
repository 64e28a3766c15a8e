//! Listening sockets: from `bind` lines to sockets, those of the worker that is replaced first.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use proxy_admin::session_state::Severity;
use proxy_config::model::{Bind, Config, Flag, Proxy, SeverityOutput, Shards, Tune, UnixAccess};
use proxy_net::fdpass::PassError;
use proxy_net::getsocks;
use proxy_net::listener::{
    self, BindError, Bound, DatagramSocket, Identity, Inherited, ListenAddr, ListenOptions,
    ListenSpec, Steering, UnixOwner,
};
use proxy_net::sockopt::{Buffers, Keepalive};
use proxy_state::{Frontend, Listener, Registry, SockAddr};
use proxy_types::{Diagnostics, Endpoint, Mode, Transport};

use super::cpus::Plan;
use crate::assemble::peers;
use crate::assemble::state::{Overrides, bind_addresses};
use crate::messages;

/// How long the process that `-x` names may take.
const FETCH_LIMIT: std::time::Duration = std::time::Duration::from_secs(5);

/// The sockets of one listener.
pub(crate) struct FrontendListener {
    pub(crate) frontend: Arc<Frontend>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) bound: Bound,
    /// The threads that accept here, counted from 0.
    pub(crate) threads: Vec<usize>,
}

/// A socket of the runtime API.
pub(crate) struct CliListener {
    pub(crate) bound: Bound,
    pub(crate) level: proxy_config::model::CliLevel,
    pub(crate) severity: Severity,
    /// `expose-fd listeners`.
    pub(crate) exposes: bool,
    /// As `show cli sockets` prints it.
    pub(crate) name: String,
}

/// A socket of a `peers` section.
pub(crate) struct PeersListener {
    /// The section among those that exchange something.
    pub(crate) section: usize,
    /// Its `bind` line.
    pub(crate) bind: usize,
    pub(crate) bound: Bound,
}

/// A socket of a `log-forward` section for connections.
pub(crate) struct LogListener {
    /// The section, by its place in the configuration.
    pub(crate) section: usize,
    /// Its `bind` line.
    pub(crate) bind: usize,
    pub(crate) bound: Bound,
}

/// A socket of a `log-forward` section for datagrams.
pub(crate) struct LogSocket {
    /// The section, by its place in the configuration.
    pub(crate) section: usize,
    pub(crate) bound: DatagramSocket,
}

/// Everything this worker listens on.
#[derive(Default)]
pub(crate) struct Listeners {
    pub(crate) frontends: Vec<FrontendListener>,
    pub(crate) cli: Vec<CliListener>,
    pub(crate) peers: Vec<PeersListener>,
    pub(crate) logs: Vec<LogListener>,
    pub(crate) datagrams: Vec<LogSocket>,
}

/// How to bind.
#[derive(Clone, Copy)]
pub(crate) struct BindContext<'a> {
    pub(crate) overrides: &'a Overrides,
    pub(crate) plan: &'a Plan,
    /// `-dR`, `noreuseport`.
    pub(crate) no_reuse_port: bool,
}

impl Listeners {
    /// Binds all listeners. What is there at the end listens; unix paths are not touched before
    /// [`Self::publish`].
    ///
    /// # Errors
    /// Every listener that cannot be bound, each with the line it comes from.
    pub(crate) fn bind(
        config: &Config,
        registry: &Registry,
        context: BindContext<'_>,
        inherited: &mut Inherited,
    ) -> Result<Self, Vec<(proxy_types::Span, BindError)>> {
        let mut out = Self::default();
        let mut errors = Vec::new();
        for proxy in config.frontends().filter(|proxy| !proxy.settings.is_disabled()) {
            let Some(frontend) = registry.frontend(&proxy.name.value) else { continue };
            let mut listeners = frontend.listeners.iter();
            for bind in &proxy.binds {
                let threads = match threads_of(bind, context.plan) {
                    Ok(threads) => threads,
                    Err(error) => {
                        errors.push((bind.span, error));
                        continue;
                    }
                };
                let sockets = socket_count(bind, context.plan, &threads);
                for (addr, transport) in addresses(bind, context.overrides) {
                    let Some(listener) = listeners.next() else { break };
                    let mut options = options(proxy, bind, transport, context.no_reuse_port);
                    options.buffers = client_buffers(&config.global.tune);
                    match listener::bind(&ListenSpec { addr, options }, sockets, inherited) {
                        Ok(bound) => out.frontends.push(FrontendListener {
                            frontend: frontend.clone(),
                            listener: listener.clone(),
                            bound,
                            threads: threads.clone(),
                        }),
                        Err(error) => errors.push((bind.span, error)),
                    }
                }
            }
        }
        for (section, peers) in peers::active(config).enumerate() {
            for (number, bind) in peers.proxy.binds.iter().enumerate() {
                for (addr, transport) in addresses(bind, context.overrides) {
                    let options = options(&peers.proxy, bind, transport, context.no_reuse_port);
                    match listener::bind(&ListenSpec { addr, options }, 1, inherited) {
                        Ok(bound) => {
                            out.peers.push(PeersListener { section, bind: number, bound });
                        }
                        Err(error) => errors.push((bind.span, error)),
                    }
                }
            }
        }
        for (section, forward) in config.log_forwards.iter().enumerate() {
            for (number, bind) in forward.proxy.binds.iter().enumerate() {
                for (addr, transport) in addresses(bind, context.overrides) {
                    let options = options(&forward.proxy, bind, transport, context.no_reuse_port);
                    match listener::bind(&ListenSpec { addr, options }, 1, inherited) {
                        Ok(bound) => out.logs.push(LogListener { section, bind: number, bound }),
                        Err(error) => errors.push((bind.span, error)),
                    }
                }
            }
            for bind in &forward.dgram_binds {
                let mut options = options(&forward.proxy, bind, None, context.no_reuse_port);
                options.buffers = datagram_buffers(&config.global.tune);
                for (addr, _) in addresses(bind, context.overrides) {
                    let ListenAddr::Sock(SockAddr::Inet(addr)) = addr else { continue };
                    match listener::bind_datagram(addr, &options, inherited) {
                        Ok(bound) => out.datagrams.push(LogSocket { section, bound }),
                        Err(error) => errors.push((bind.span, error)),
                    }
                }
            }
        }
        for bind in &config.global.stats.sockets {
            for (addr, _) in addresses(bind, context.overrides) {
                let options =
                    ListenOptions { owner: owner(&bind.unix), ..ListenOptions::default() };
                match listener::bind(&ListenSpec { addr, options }, 1, inherited) {
                    Ok(bound) => {
                        let name = bound.addr.for_messages().to_string();
                        out.cli.push(CliListener {
                            level: bind.level.map(|level| level.value).unwrap_or_default(),
                            severity: severity(bind),
                            exposes: bind.expose_fd_listeners.is_some()
                                && bound.addr.inet().is_none(),
                            name,
                            bound,
                        });
                    }
                    Err(error) => errors.push((bind.span, error)),
                }
            }
        }
        if errors.is_empty() { Ok(out) } else { Err(errors) }
    }

    /// Makes unix sockets visible at their paths.
    ///
    /// # Errors
    /// The first path that could not be replaced.
    pub(crate) fn publish(&mut self) -> Result<(), BindError> {
        let frontends = self.frontends.iter_mut().map(|listener| &mut listener.bound);
        let cli = self.cli.iter_mut().map(|listener| &mut listener.bound);
        let peers = self.peers.iter_mut().map(|listener| &mut listener.bound);
        let logs = self.logs.iter_mut().map(|listener| &mut listener.bound);
        frontends.chain(cli).chain(peers).chain(logs).try_for_each(Bound::publish)
    }

    /// Duplicates of all sockets, for the next worker.
    pub(crate) fn duplicates(&self) -> Vec<(Identity, OwnedFd)> {
        let frontends = self.frontends.iter().map(|listener| &listener.bound);
        let cli = self.cli.iter().map(|listener| &listener.bound);
        let peers = self.peers.iter().map(|listener| &listener.bound);
        let logs = self.logs.iter().map(|listener| &listener.bound);
        let datagrams = self.datagrams.iter().filter_map(|socket| {
            Some((socket.bound.identity.clone(), socket.bound.socket.try_clone().ok()?.into()))
        });
        frontends
            .chain(cli)
            .chain(peers)
            .chain(logs)
            .flat_map(|bound| bound.sockets().iter().map(|fd| (bound.identity.clone(), fd)))
            .filter_map(|(identity, fd)| Some((identity, fd.try_clone().ok()?)))
            .chain(datagrams)
            .collect()
    }

    /// Lets new connections come to one socket of each address only, while what is returned lives.
    pub(crate) fn steer_to_first(&self) -> Vec<Steering> {
        let frontends = self.frontends.iter().map(|listener| &listener.bound);
        frontends.filter_map(Bound::steer_to_first).collect()
    }

    pub(crate) fn count(&self) -> usize {
        let logs = self.logs.len() + self.datagrams.len();
        self.frontends.len() + self.cli.len() + self.peers.len() + logs
    }
}

/// The listening sockets of the process behind a stats socket (`-x`).
///
/// # Errors
/// See [`getsocks::fetch`].
pub(crate) fn fetch(socket: &str) -> Result<Inherited, PassError> {
    let address = match socket.strip_prefix("abns@") {
        Some(name) => SockAddr::Abstract(name.as_bytes().to_vec()),
        None => SockAddr::Unix(socket.strip_prefix("unix@").unwrap_or(socket).into()),
    };
    let mut inherited = Inherited::none();
    for (identity, fd) in getsocks::fetch(&address, FETCH_LIMIT)? {
        inherited.add(identity, fd);
    }
    Ok(inherited)
}

fn addresses(bind: &Bind, overrides: &Overrides) -> Vec<(ListenAddr, Option<Transport>)> {
    // Names that do not resolve were reported by the assembly, which would have stopped the start.
    let mut ignored = Diagnostics::new();
    bind.addresses
        .iter()
        .flat_map(|address| {
            let transport = address.value.transport;
            let list: Vec<ListenAddr> = match address.value.endpoint {
                Endpoint::Fd(fd) | Endpoint::SockPair(fd) => vec![ListenAddr::Fd(fd)],
                _ => bind_addresses(address, overrides, &mut ignored)
                    .into_iter()
                    .map(ListenAddr::Sock)
                    .collect(),
            };
            list.into_iter().map(move |addr| (addr, transport))
        })
        .collect()
}

/// The threads that a line lets accept.
fn threads_of(bind: &Bind, plan: &Plan) -> Result<Vec<usize>, BindError> {
    let Some(sets) = &bind.threads else { return Ok((0..plan.threads()).collect()) };
    let threads = plan.members(&sets.value);
    if threads.is_empty() {
        Err(BindError::no_thread(
            bind.addresses.first().map(ToString::to_string).unwrap_or_default(),
        ))
    } else {
        Ok(threads)
    }
}

/// How many sockets share the connections to an address: one per thread unless `shards` says otherwise.
fn socket_count(bind: &Bind, plan: &Plan, threads: &[usize]) -> usize {
    match bind.shards.map(|shards| shards.value) {
        None | Some(Shards::ByThread) => threads.len(),
        Some(Shards::ByGroup) => plan.groups_of(threads),
        Some(Shards::Count(count)) => (count as usize).min(threads.len()),
    }
}

fn severity(bind: &Bind) -> Severity {
    match bind.severity_output.map(|form| form.value).unwrap_or_default() {
        SeverityOutput::None => Severity::None,
        SeverityOutput::Number => Severity::Number,
        SeverityOutput::String => Severity::String,
    }
}

fn client_buffers(tune: &Tune) -> Buffers {
    Buffers {
        receive: tune.rcvbuf_client.map(|bytes| bytes.value),
        send: tune.sndbuf_client.map(|bytes| bytes.value),
        unsent: tune.notsent_lowat_client.map(|bytes| bytes.value),
    }
}

fn datagram_buffers(tune: &Tune) -> Buffers {
    Buffers {
        receive: tune.rcvbuf_frontend.map(|bytes| bytes.value),
        send: tune.sndbuf_frontend.map(|bytes| bytes.value),
        unsent: None,
    }
}

fn options(
    proxy: &Proxy,
    bind: &Bind,
    transport: Option<Transport>,
    no_reuse_port: bool,
) -> ListenOptions {
    let settings = &proxy.settings;
    let backlog = bind
        .backlog
        .or(settings.backlog)
        .or(bind.maxconn)
        .or(settings.maxconn)
        .map_or(0, |limit| limit.value);
    ListenOptions {
        backlog,
        v6only: match (bind.v6only, bind.v4v6) {
            (Some(_), _) => Some(true),
            (None, Some(_)) => Some(false),
            (None, None) => None,
        },
        transparent: bind.transparent.is_some(),
        interface: bind.interface.as_ref().map(|name| name.value.clone()),
        namespace: bind.namespace.as_ref().map(|name| name.value.clone()),
        defer_accept: bind.defer_accept.is_some(),
        // By itself in mode http (configuration manual, 4.2 "option tcp-smart-accept").
        smart_accept: settings
            .flags
            .get(Flag::TcpSmartAccept)
            .map_or_else(|| settings.mode() == Mode::Http, |flag| flag.value),
        save_syn: bind.tcp_ss.map_or(0, |mode| i32::from(mode.value)),
        tfo: bind.tfo.is_some(),
        mss: bind.mss.and_then(|mss| u32::try_from(mss.value).ok()).filter(|mss| *mss > 0),
        mss_cut: bind.mss.filter(|mss| mss.value < 0).map(|mss| mss.value.unsigned_abs()),
        user_timeout: bind.tcp_ut.map(|limit| limit.value),
        keepalive: settings.flags.is_on(Flag::CliTcpKa).then(|| Keepalive {
            count: settings.clitcpka.count.map(|count| count.value),
            idle: settings.clitcpka.idle.map(|idle| idle.value),
            interval: settings.clitcpka.interval.map(|interval| interval.value),
        }),
        buffers: Buffers::default(),
        congestion: bind.congestion.as_ref().map(|name| name.value.clone()),
        md5: bind.md5.as_ref().map(|password| password.value.clone()),
        no_reuse_port,
        datagram: transport == Some(Transport::Datagram),
        mptcp: transport == Some(Transport::Mptcp),
        owner: owner(&bind.unix),
    }
}

fn owner(access: &UnixAccess) -> UnixOwner {
    let user = access.user.as_ref().and_then(|name| {
        nix::unistd::User::from_name(&name.value).ok().flatten().map(|user| user.uid.as_raw())
    });
    let group = access.group.as_ref().and_then(|name| {
        nix::unistd::Group::from_name(&name.value).ok().flatten().map(|group| group.gid.as_raw())
    });
    UnixOwner {
        mode: access.mode.map(|mode| mode.value),
        uid: access.uid.map(|uid| uid.value).or(user),
        gid: access.gid.map(|gid| gid.value).or(group),
    }
}

/// Asks processes given by `-sf`/`-st` to release their ports while `attempt` is tried again, as
/// HAProxy does when an address is in use and nothing could be handed over (management manual, 4).
pub(crate) fn with_old_processes_paused<T>(
    old: &[i32],
    mut attempt: impl FnMut() -> Result<T, Vec<(proxy_types::Span, BindError)>>,
) -> Result<T, Vec<(proxy_types::Span, BindError)>> {
    use nix::sys::signal::{Signal, kill};
    const TRIES: u32 = 100;
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
    let tell = |signal| {
        for pid in old {
            let _ = kill(nix::unistd::Pid::from_raw(*pid), signal);
        }
    };
    let mut outcome = attempt();
    let in_use = |outcome: &Result<T, Vec<(_, BindError)>>| {
        outcome.as_ref().is_err_and(|errors| errors.iter().any(|(_, error)| error.is_in_use()))
    };
    if old.is_empty() || !in_use(&outcome) {
        return outcome;
    }
    tell(Signal::SIGTTOU);
    for _ in 0..TRIES {
        std::thread::sleep(PAUSE);
        outcome = attempt();
        if !in_use(&outcome) {
            break;
        }
    }
    if outcome.is_err() {
        tell(Signal::SIGTTIN);
    }
    outcome
}

/// Says what could not be bound, each with what to do about it.
pub(crate) fn report(errors: &[(proxy_types::Span, BindError)], sources: &proxy_config::Sources) {
    for (span, error) in errors {
        let hint = error.hint().map(|hint| format!(". {hint}")).unwrap_or_default();
        messages::alert(format_args!("Binding [{}] : {error}{hint}", sources.place(*span)));
    }
}

/// The address of a listener as `SockAddr`, for sessions.
pub(crate) fn local(bound: &Bound) -> Option<std::net::SocketAddr> {
    match &bound.addr {
        SockAddr::Inet(addr) => Some(*addr),
        SockAddr::Unix(_) | SockAddr::Abstract(_) => None,
    }
}
