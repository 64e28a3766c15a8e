//! Listening sockets: from `bind` lines to sockets, those of the worker that is replaced first.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use proxy_config::model::{Bind, Config, Flag, Proxy, UnixAccess};
use proxy_net::listener::{
    self, BindError, Bound, Identity, Inherited, ListenAddr, ListenOptions, ListenSpec, UnixOwner,
};
use proxy_net::sockopt::Keepalive;
use proxy_state::{Frontend, Listener, Registry, SockAddr};
use proxy_types::{Diagnostics, Endpoint, Transport};

use crate::assemble::state::{Overrides, bind_addresses};
use crate::messages;

/// The sockets of one listener.
pub(crate) struct FrontendListener {
    pub(crate) frontend: Arc<Frontend>,
    pub(crate) listener: Arc<Listener>,
    pub(crate) bound: Bound,
}

/// A socket of the runtime API.
pub(crate) struct CliListener {
    pub(crate) bound: Bound,
    pub(crate) level: proxy_config::model::CliLevel,
    /// As `show cli sockets` prints it.
    pub(crate) name: String,
}

/// Everything this worker listens on.
#[derive(Default)]
pub(crate) struct Listeners {
    pub(crate) frontends: Vec<FrontendListener>,
    pub(crate) cli: Vec<CliListener>,
}

/// How to bind.
#[derive(Clone, Copy)]
pub(crate) struct BindContext<'a> {
    pub(crate) overrides: &'a Overrides,
    pub(crate) threads: usize,
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
                for (addr, transport) in addresses(bind, context.overrides) {
                    let Some(listener) = listeners.next() else { break };
                    let options = options(proxy, bind, transport, context.no_reuse_port);
                    match listener::bind(&ListenSpec { addr, options }, context.threads, inherited)
                    {
                        Ok(bound) => out.frontends.push(FrontendListener {
                            frontend: frontend.clone(),
                            listener: listener.clone(),
                            bound,
                        }),
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
                            bound,
                            level: bind.level.map(|level| level.value).unwrap_or_default(),
                            name,
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
        frontends.chain(cli).try_for_each(Bound::publish)
    }

    /// Duplicates of all sockets, for the next worker.
    pub(crate) fn duplicates(&self) -> Vec<(Identity, OwnedFd)> {
        let frontends = self.frontends.iter().map(|listener| &listener.bound);
        let cli = self.cli.iter().map(|listener| &listener.bound);
        frontends
            .chain(cli)
            .flat_map(|bound| bound.sockets().iter().map(|fd| (bound.identity.clone(), fd)))
            .filter_map(|(identity, fd)| Some((identity, fd.try_clone().ok()?)))
            .collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.frontends.len() + self.cli.len()
    }
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
        namespace: None,
        defer_accept: bind.defer_accept.is_some(),
        tfo: bind.tfo.is_some(),
        mss: bind.mss.and_then(|mss| u32::try_from(mss.value).ok()),
        user_timeout: bind.tcp_ut.map(|limit| limit.value),
        keepalive: settings.flags.is_on(Flag::CliTcpKa).then(Keepalive::default),
        no_reuse_port,
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
