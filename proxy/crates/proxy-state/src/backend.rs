//! The server side of a proxy.

use crate::cookie::{self, CookieSpec};
use crate::counters::{
    BackendCounters, Counted, ExternalCounters, Gauge, Mux, Rate, Times, TlsCounts,
};
use crate::lb::{Balancer, ChooseInput, Farm, LbSpec, NoServer};
use crate::options::RetryOn;
use crate::queue::Queue;
use crate::registry::Hooks;
use crate::{Now, ProxyOptions, Server, ServerSpec, Timeouts};
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use proxy_types::{Mode, ProxyId, ServerId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a [`Backend`] is built from.
#[derive(Clone, Debug, Default)]
pub struct BackendSpec {
    pub name: String,
    /// Explicit by `id` or counted; shared with the frontend of the same `listen` section.
    pub id: ProxyId,
    /// `id` was explicit (`bk_f_forced_id` of the server state).
    pub forced_id: bool,
    pub mode: Mode,
    pub description: Option<String>,
    pub timeouts: Timeouts,
    pub options: ProxyOptions,
    pub lb: LbSpec,
    /// `retries`; HAProxy's default is 3.
    pub retries: u32,
    /// `retry-on`.
    pub retry_on: RetryOn,
    /// `option redispatch [interval]`; `None` without the option, -1 on the last retry.
    pub redispatch: Option<i32>,
    /// `fullconn`; 0 computes it.
    pub fullconn: u32,
    /// `max-keep-alive-queue`; `None` is no limit.
    pub max_keep_alive_queue: Option<u32>,
    pub cookie: Option<CookieSpec>,
    /// `disabled`.
    pub disabled: bool,
    /// `be-unpublished`.
    pub unpublished: bool,
    pub servers: Vec<ServerSpec>,
}

/// The server side of a proxy: a `backend` section, or half of a `listen` section.
#[derive(Debug)]
pub struct Backend {
    pub id: ProxyId,
    pub forced_id: bool,
    pub name: Arc<str>,
    pub mode: Mode,
    pub description: Option<String>,
    pub timeouts: Timeouts,
    pub options: ProxyOptions,
    pub lb: LbSpec,
    pub retries: u32,
    pub retry_on: RetryOn,
    pub redispatch: Option<i32>,
    /// `max-keep-alive-queue`; `None` is no limit.
    pub max_keep_alive_queue: Option<u32>,
    pub fullconn: u32,
    /// Whether values are made, and with which key, is [`Backend::dynamic_cookie`]'s to say.
    pub cookie: Option<CookieSpec>,
    makes_cookies: AtomicBool,
    cookie_key: ArcSwapOption<String>,
    pub disabled: bool,
    /// Sessions that live now (`scur`).
    pub sessions: Gauge,
    /// Sessions waiting for any server (`qcur`).
    pub queued: Gauge,
    /// New sessions per second (`rate`).
    pub session_rate: Rate,
    pub counters: Counted<BackendCounters>,
    pub mux: Mux,
    pub tls: TlsCounts,
    pub times: Times,
    published: AtomicBool,
    /// Something in the configuration names it.
    named: AtomicBool,
    servers: ArcSwap<Vec<Arc<Server>>>,
    balancer: Balancer,
    pub(crate) hooks: Arc<Hooks>,
    inner: Mutex<Inner>,
    last_session: AtomicU64,
    external_sessions: AtomicU64,
    pub(crate) queue: Queue,
}

#[derive(Debug, Default)]
struct Inner {
    last_change: Now,
    downtime_ms: u64,
}

/// A server of this name or number is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a server of this name or id exists already")]
pub struct ServerExists;

/// Why a server cannot be taken away now. The texts are HAProxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InUse {
    #[error(
        "This server cannot be removed at runtime due to other configuration elements pointing to it."
    )]
    Named,
    #[error("Only servers in maintenance mode can be deleted.")]
    InService,
    #[error("Server still has connections attached to it, cannot remove it.")]
    Connections,
}

/// A reading of a backend's state.
#[derive(Clone, Copy, Debug)]
pub struct BackendView {
    pub farm: Farm,
    /// `UP`: some server can be balanced to, or there are none at all.
    pub up: bool,
    pub last_change: Now,
    pub downtime_ms: u64,
}

impl Backend {
    pub fn new(spec: BackendSpec, hooks: Arc<Hooks>) -> Arc<Self> {
        let name: Arc<str> = spec.name.into();
        let server_specs = spec.servers;
        let backend = Arc::new_cyclic(|this| {
            let servers: Vec<Arc<Server>> = server_specs
                .into_iter()
                .map(|s| Arc::new(Server::new(s, this.clone(), name.clone())))
                .collect();
            Self {
                id: spec.id,
                forced_id: spec.forced_id,
                name,
                mode: spec.mode,
                description: spec.description,
                timeouts: spec.timeouts,
                balancer: Balancer::default(),
                lb: spec.lb,
                options: spec.options,
                retries: spec.retries,
                retry_on: spec.retry_on,
                redispatch: spec.redispatch,
                fullconn: spec.fullconn,
                max_keep_alive_queue: spec.max_keep_alive_queue,
                makes_cookies: AtomicBool::new(spec.cookie.as_ref().is_some_and(|c| c.dynamic)),
                cookie_key: spec.cookie.as_ref().and_then(|c| c.key.clone()).map(Arc::new).into(),
                cookie: spec.cookie,
                disabled: spec.disabled,
                sessions: Gauge::default(),
                queued: Gauge::default(),
                session_rate: Rate::default(),
                counters: Counted::default(),
                mux: Mux::default(),
                tls: TlsCounts::default(),
                times: Times::default(),
                published: AtomicBool::new(!spec.unpublished),
                named: AtomicBool::new(false),
                servers: ArcSwap::from_pointee(servers),
                hooks,
                inner: Mutex::default(),
                last_session: AtomicU64::new(0),
                external_sessions: AtomicU64::new(0),
                queue: Queue::default(),
            }
        });
        backend.rebuild();
        backend
    }

    /// The servers in the order of the configuration.
    pub fn servers(&self) -> Arc<Vec<Arc<Server>>> {
        self.servers.load_full()
    }

    pub fn server(&self, name: &str) -> Option<Arc<Server>> {
        self.servers.load().iter().find(|s| *s.name == *name).cloned()
    }

    /// The value of the cookie for a server at `addr` that has none of its own.
    pub fn dynamic_cookie(&self, addr: SocketAddr) -> Option<String> {
        if !self.makes_cookies.load(Ordering::Relaxed) {
            return None;
        }
        Some(cookie::dynamic_value(self.cookie_key.load().as_ref()?, addr))
    }

    /// `enable|disable dynamic-cookie backend`.
    pub fn set_dynamic_cookie(&self, enabled: bool) {
        self.makes_cookies.store(enabled, Ordering::Relaxed);
    }

    /// `set dynamic-cookie-key backend`.
    pub fn set_cookie_key(&self, key: &str) {
        self.cookie_key.store(Some(Arc::new(key.to_owned())));
    }

    /// The server whose persistence cookie has this value.
    pub fn server_by_cookie(&self, value: &[u8]) -> Option<Arc<Server>> {
        self.servers.load().iter().find(|s| s.has_cookie(value)).cloned()
    }

    /// The server at this address.
    pub fn server_by_addr(&self, addr: SocketAddr) -> Option<Arc<Server>> {
        self.servers.load().iter().find(|s| s.addr().inet() == Some(addr)).cloned()
    }

    pub fn server_by_id(&self, id: ServerId) -> Option<Arc<Server>> {
        self.servers.load().iter().find(|s| s.id == id).cloned()
    }

    /// Whether rules that choose a backend may choose it (configuration manual, 4.2 "be-unpublished").
    pub fn is_published(&self) -> bool {
        self.published.load(Ordering::Relaxed)
    }

    /// `publish backend`, `unpublish backend`.
    pub fn set_published(self: &Arc<Self>, published: bool) {
        if self.published.swap(published, Ordering::Relaxed) != published {
            self.hooks.backend_changed(self);
        }
    }

    /// Whether rules may choose it: it is neither disabled nor unpublished.
    pub fn is_open(&self) -> bool {
        !self.disabled && self.is_published()
    }

    /// Whether something in the configuration names it.
    pub fn is_named(&self) -> bool {
        self.named.load(Ordering::Relaxed)
    }

    /// Something in the configuration names it.
    pub fn set_named(&self) {
        self.named.store(true, Ordering::Relaxed);
    }

    /// The lowest id that no server has.
    pub fn next_server_id(&self) -> ServerId {
        let servers = self.servers.load();
        let taken: std::collections::HashSet<u32> = servers.iter().map(|s| s.id.0).collect();
        ServerId((1..).find(|id| !taken.contains(id)).unwrap_or(u32::MAX))
    }

    /// Makes a server, which follows `tracked` if given, and lets it join behind the others. Control thread only.
    ///
    /// # Errors
    /// There is a server of this name or id, or `tracked` follows this one.
    pub fn add_server(
        self: &Arc<Self>,
        spec: ServerSpec,
        tracked: Option<&Arc<Server>>,
        now: Now,
    ) -> Result<Arc<Server>, ServerExists> {
        let known = self.servers.load();
        if known.iter().any(|s| s.is_called(&spec.name) || s.id == spec.id) {
            return Err(ServerExists);
        }
        let server = Arc::new(Server::new(spec, Arc::downgrade(self), self.name.clone()));
        server.stamp(now);
        if tracked.is_some_and(|tracked| !server.track(tracked)) {
            return Err(ServerExists);
        }
        let mut list = Vec::clone(&known);
        list.push(server.clone());
        self.replace_servers(list, now);
        Ok(server)
    }

    /// Gives a server another name. Control thread only.
    ///
    /// # Errors
    /// Another server has, or had at first, this name.
    pub fn rename_server(&self, server: &Arc<Server>, name: &str) -> Result<(), ServerExists> {
        let known = self.servers.load();
        let mut others = known.iter().filter(|other| !Arc::ptr_eq(other, server));
        if others.any(|other| other.is_called(name)) {
            return Err(ServerExists);
        }
        server.set_name(name);
        Ok(())
    }

    /// Takes a server away. A session that has chosen it already goes on with it. Control thread only.
    ///
    /// # Errors
    /// It is in service, or has connections.
    pub fn remove_server(self: &Arc<Self>, server: &Arc<Server>, now: Now) -> Result<(), InUse> {
        server.is_removable()?;
        let mut list = Vec::clone(&self.servers.load());
        list.retain(|known| !Arc::ptr_eq(known, server));
        server.leave();
        self.replace_servers(list, now);
        Ok(())
    }

    fn replace_servers(self: &Arc<Self>, list: Vec<Arc<Server>>, now: Now) {
        self.servers.store(Arc::new(list));
        self.refresh(now);
        self.hooks.backend_changed(self);
    }

    /// Picks a server by the backend's algorithm. Neither locks nor allocates.
    pub fn choose(&self, input: &ChooseInput<'_>) -> Result<Arc<Server>, NoServer> {
        self.balancer.choose(&self.lb, input)
    }

    /// Counts a session that reached the backend. `Gauge::dec` on [`Backend::sessions`] ends it.
    pub fn begin_session(&self, now: Now) {
        self.sessions.inc();
        self.counters.local().sess_tot.inc();
        self.session_rate.inc(now);
        let stamp = now.secs() + 1;
        if self.last_session.load(Ordering::Relaxed) != stamp {
            self.last_session.store(stamp, Ordering::Relaxed);
        }
    }

    /// Seconds since the last session; `None` before the first.
    pub fn last_session(&self, now: Now) -> Option<u64> {
        let stamp = self.last_session.load(Ordering::Relaxed);
        (stamp > 0).then(|| (now.secs() + 1).saturating_sub(stamp))
    }

    /// Usable servers and their weight.
    pub fn farm(&self) -> Farm {
        self.balancer.farm()
    }

    /// Whether a session has somewhere to go: some server is eligible, or there are none configured.
    pub fn is_up(&self) -> bool {
        self.farm().weight > 0 || self.servers.load().is_empty()
    }

    pub fn state(&self, now: Now) -> BackendView {
        let inner = self.inner.lock();
        let up = self.is_up();
        let down = if up { 0 } else { now.ms_since(inner.last_change) };
        BackendView {
            farm: self.farm(),
            up,
            last_change: inner.last_change,
            downtime_ms: inner.downtime_ms + down,
        }
    }

    /// Rebuilds what the algorithm picks from, without counting a change.
    pub(crate) fn rebuild(&self) -> Farm {
        self.balancer.rebuild(&self.lb, &self.servers.load(), self.options.allbackups)
    }

    /// Rebuilds what the algorithm picks from after a server changed, and notes when that brought the backend up or down.
    pub(crate) fn refresh(&self, now: Now) -> Farm {
        let mut inner = self.inner.lock();
        let was_up = self.is_up();
        let mut farm = self.rebuild();
        let is_up = self.is_up();
        if was_up != is_up {
            if is_up {
                inner.downtime_ms += now.ms_since(inner.last_change);
            } else {
                self.counters.local().down_transitions.inc();
                farm.went_down = true;
            }
            inner.last_change = now;
        }
        farm
    }

    /// Takes over what the kernel programs counted. Control thread only.
    pub fn set_external(&self, totals: &ExternalCounters, now: Now) {
        let external = self.counters.external();
        external.sess_tot.set(totals.sessions);
        external.lb_tot.set(totals.sessions);
        external.connect.set(totals.sessions);
        external.bytes_in.set(totals.bytes_in);
        external.req_bytes_out.set(totals.bytes_in);
        external.bytes_out.set(totals.bytes_out);
        external.res_bytes_in.set(totals.bytes_out);
        external.err_conn.set(totals.failed);
        self.sessions.set_external(totals.current);
        let before = self.external_sessions.swap(totals.sessions, Ordering::Relaxed);
        let new = totals.sessions.saturating_sub(before);
        if new > 0 {
            self.session_rate.add(now, new);
            self.last_session.store(now.secs() + 1, Ordering::Relaxed);
        }
    }

    /// Keeps the highest rates, its servers' included.
    pub fn observe_rates(&self, now: Now) {
        self.session_rate.observe(now);
        for server in self.servers.load().iter() {
            server.session_rate.observe(now);
        }
    }
}
