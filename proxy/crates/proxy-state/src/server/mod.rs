//! A server of a backend: where it is, whether it is usable, and what it carries.
//!
//! The request path reads atomics ([`Server::is_usable`], [`Server::weight`], the address); changes go through the methods of
//! `control`, which serialise on a lock, tell the backend and then the hooks of the registry.

mod agent;
mod check;
mod control;
mod health;
mod idle;
mod name;
mod restore;
mod slowstart;
mod spec;
mod states;
#[cfg(test)]
mod tests;
mod transition;

pub use agent::{AgentAnswer, AgentMode, AgentTarget, AgentView, MaxconnError};
pub use check::{AgentSpec, CheckResult, CheckSpec, CheckStatus, CheckTarget, CheckVerdict};
pub use control::{AddrChange, WeightError};
pub use health::{Health, HealthChange};
pub use idle::IdleConnections;
pub use name::Name;
pub use restore::SavedState;
pub use slowstart::WEIGHT_SCALE;
pub use spec::{HashKey, InitState, Observe, OnError, PortMode, ServerSpec, Source, UseClient};
pub use states::{Admin, OpState, Status};
pub use transition::{Cause, Change, Transition};

use crate::backend::InUse;
use crate::counters::{Counted, ExternalCounters, Gauge, Rate, ServerCounters, Times, TlsCounts};
use crate::queue::Queue;
use crate::{Backend, Now, SockAddr};
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use proxy_types::ServerId;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock, Weak};

/// Highest weight of a server.
pub const WEIGHT_MAX: u32 = 256;

/// `set server ssl` said nothing yet.
const TLS_UNTOLD: u8 = 2;

/// A server.
#[derive(Debug)]
pub struct Server {
    pub id: ServerId,
    /// What it is called now; `spec.name` is what it was called at first.
    pub name: Name,
    pub backend_name: Arc<str>,
    /// The settings that never change. Address, weight, limits and states of the specification are only initial values: ask the methods.
    pub spec: ServerSpec,
    addr: ArcSwap<SockAddr>,
    fqdn: ArcSwapOption<String>,
    /// Sessions on the server (`scur`).
    pub sessions: Gauge,
    /// Sessions waiting for a slot of this server (`qcur`).
    pub queued: Gauge,
    /// Connections in use (`used_conn_cur`).
    pub used_connections: Gauge,
    pub idle: IdleConnections,
    /// Connections that are open, where `strict-maxconn` bounds them.
    pub open_connections: Gauge,
    /// New sessions per second (`rate`).
    pub session_rate: Rate,
    pub counters: Counted<ServerCounters>,
    pub tls_counts: TlsCounts,
    pub times: Times,
    /// Seconds of [`Now`] of the last session plus one; 0 before the first.
    last_session: AtomicU64,
    op: AtomicU8,
    admin: AtomicU8,
    weight: AtomicU32,
    /// The part of its share that the server gets, of [`slowstart::WARM`].
    warmth: AtomicU32,
    maxconn: AtomicU32,
    check_enabled: AtomicBool,
    /// Something in the configuration names it.
    named: AtomicBool,
    /// It was taken out of its backend.
    gone: AtomicBool,
    /// What `set server ssl` said last: one of [`TLS_UNTOLD`], 0 and 1.
    tls: AtomicU8,
    shutdowns: AtomicU64,
    external_sessions: AtomicU64,
    inner: Mutex<Inner>,
    backend: Weak<Backend>,
    tracks: OnceLock<Weak<Self>>,
    trackers: Mutex<Vec<Weak<Self>>>,
    pub(crate) queue: Queue,
}

/// What changes together.
#[derive(Debug)]
struct Inner {
    op: OpState,
    admin: Admin,
    weight: u32,
    health: Health,
    check_enabled: bool,
    check_running: bool,
    last_check: CheckResult,
    last_change: Now,
    downtime_ms: u64,
    observed_errors: u32,
    agent: Option<Box<agent::Agent>>,
    /// Where commands have checks go.
    check_target: Option<Box<CheckTarget>>,
    /// Since when the server starts slowly.
    warming_since: Option<Now>,
    /// The share of the server is to be looked at again.
    cooled: bool,
}

impl Inner {
    /// Whether an agent keeps the server down.
    fn is_held_down(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.is_against())
    }
}

/// A reading of everything about a server's state that statistics show, taken at once.
#[derive(Clone, Debug)]
pub struct StateView {
    pub op: OpState,
    pub admin: Admin,
    pub weight: u32,
    pub health: Health,
    /// A check is configured and runs (it pauses in maintenance).
    pub check_enabled: bool,
    /// A check is under way.
    pub check_running: bool,
    pub last_check: CheckResult,
    /// Since the last change of state.
    pub last_change: Now,
    /// All the time spent down, up to now.
    pub downtime_ms: u64,
}

impl Server {
    pub(crate) fn new(spec: ServerSpec, backend: Weak<Backend>, backend_name: Arc<str>) -> Self {
        let (rise, fall) = spec.check.as_ref().map_or_else(
            || {
                let check = CheckSpec::default();
                (check.rise, check.fall)
            },
            |check| (check.rise, check.fall),
        );
        let mut admin = Admin::default();
        if spec.disabled {
            admin = admin.with(Admin::FORCED_MAINT).with(Admin::CONFIGURED_MAINT);
        }
        if spec.held {
            admin = admin.with(Admin::FORCED_MAINT);
        }
        if spec.unresolved {
            admin = admin.with(Admin::RESOLUTION_MAINT);
        }
        let mut health = Health::new(rise, fall);
        health.reset(spec.init_state);
        if spec.check.is_none() && health.is_up() {
            health.force_up();
        }
        let up = health.is_up() && !admin.is_maint();
        let op = if up { OpState::Running } else { OpState::Stopped };
        if admin.is_maint() {
            health.force_down();
        }
        let inner = Inner {
            op,
            admin,
            weight: spec.weight.min(WEIGHT_MAX),
            health,
            check_enabled: spec.check.is_some() && !spec.dynamic,
            check_running: false,
            last_check: CheckResult { status: CheckStatus::Initializing, ..CheckResult::default() },
            last_change: Now::default(),
            downtime_ms: 0,
            observed_errors: 0,
            agent: spec
                .agent
                .as_ref()
                .map(|agent| Box::new(agent::Agent::new(agent, !spec.dynamic))),
            check_target: None,
            warming_since: None,
            cooled: false,
        };
        Self {
            id: spec.id,
            name: Name::new(spec.name.clone()),
            backend_name,
            addr: ArcSwap::from_pointee(spec.addr.clone()),
            fqdn: ArcSwapOption::from_pointee(spec.fqdn.clone()),
            sessions: Gauge::default(),
            queued: Gauge::default(),
            used_connections: Gauge::default(),
            idle: IdleConnections::default(),
            open_connections: Gauge::default(),
            session_rate: Rate::default(),
            counters: Counted::default(),
            tls_counts: TlsCounts::default(),
            times: Times::default(),
            last_session: AtomicU64::new(0),
            op: AtomicU8::new(op as u8),
            admin: AtomicU8::new(admin.0),
            weight: AtomicU32::new(inner.weight),
            warmth: AtomicU32::new(slowstart::WARM),
            maxconn: AtomicU32::new(spec.maxconn),
            check_enabled: AtomicBool::new(inner.check_enabled),
            named: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            tls: AtomicU8::new(TLS_UNTOLD),
            shutdowns: AtomicU64::new(0),
            external_sessions: AtomicU64::new(0),
            inner: Mutex::new(inner),
            backend,
            tracks: OnceLock::new(),
            trackers: Mutex::default(),
            queue: Queue::default(),
            spec,
        }
    }

    /// Whether this is its name, or the one that it had at first: some still know it by that.
    pub fn is_called(&self, name: &str) -> bool {
        *self.name == *name || *self.spec.name == *name
    }

    /// Whether something in the configuration names it, or follows it.
    pub fn is_named(&self) -> bool {
        let followed = || self.trackers.lock().iter().any(|tracker| tracker.strong_count() > 0);
        self.named.load(Ordering::Relaxed) || followed()
    }

    /// Something in the configuration names it.
    pub fn set_named(&self) {
        self.named.store(true, Ordering::Relaxed);
    }

    /// Whether it was taken out of its backend.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Whether it can be taken out of its backend now (management manual, 9.3 "del server").
    ///
    /// # Errors
    /// It cannot: why.
    pub fn is_removable(&self) -> Result<(), InUse> {
        let gauges = [&self.sessions, &self.queued, &self.used_connections];
        if self.is_named() {
            Err(InUse::Named)
        } else if !self.admin_state().is_maint() {
            Err(InUse::InService)
        } else if gauges.iter().any(|gauge| gauge.get() > 0) || self.idle.sum() > 0 {
            Err(InUse::Connections)
        } else {
            Ok(())
        }
    }

    /// It is taken out of its backend.
    pub(crate) fn leave(self: &Arc<Self>) {
        self.gone.store(true, Ordering::Relaxed);
        if let Some(tracked) = self.tracked() {
            tracked.trackers.lock().retain(|t| !std::ptr::eq(t.as_ptr(), Arc::as_ptr(self)));
        }
    }

    /// Its state begins now.
    pub(crate) fn stamp(&self, now: Now) {
        self.inner.lock().last_change = now;
    }

    /// Whether connections begin with TLS.
    pub fn uses_tls(&self) -> bool {
        match self.tls.load(Ordering::Relaxed) {
            TLS_UNTOLD => self.spec.transport_is_tls,
            said => said != 0,
        }
    }

    /// What a command said of TLS; `None` when none did.
    pub fn told_tls(&self) -> Option<bool> {
        let said = self.tls.load(Ordering::Relaxed);
        (said != TLS_UNTOLD).then_some(said != 0)
    }

    /// `set server ssl`. False when the server cannot speak TLS.
    pub fn set_tls(&self, on: bool) -> bool {
        if self.spec.can_tls {
            self.tls.store(u8::from(on), Ordering::Relaxed);
        }
        self.spec.can_tls
    }

    /// The backend; `None` only while a worker is being taken down.
    pub fn backend(&self) -> Option<Arc<Backend>> {
        self.backend.upgrade()
    }

    /// The address in use. The guard is cheap; do not hold it across an await.
    pub fn addr(&self) -> arc_swap::Guard<Arc<SockAddr>> {
        self.addr.load()
    }

    /// The host name that the address comes from.
    pub fn fqdn(&self) -> Option<Arc<String>> {
        self.fqdn.load_full()
    }

    /// The value of the persistence cookie: the configured one, or one made of the address.
    pub fn cookie(&self) -> Option<String> {
        match &self.spec.cookie {
            Some(value) => Some(value.clone()),
            None => self.backend()?.dynamic_cookie(self.addr().inet()?),
        }
    }

    /// Whether [`Server::cookie`] is this value.
    pub(crate) fn has_cookie(&self, value: &[u8]) -> bool {
        match &self.spec.cookie {
            Some(own) => own.as_bytes() == value,
            None => self.cookie().is_some_and(|own| own.as_bytes() == value),
        }
    }

    pub fn op_state(&self) -> OpState {
        OpState::from_u8(self.op.load(Ordering::Relaxed))
    }

    pub fn admin_state(&self) -> Admin {
        Admin(self.admin.load(Ordering::Relaxed))
    }

    /// Weight set by the configuration or a command, 0 to 256 (`uweight`).
    pub fn weight(&self) -> u32 {
        self.weight.load(Ordering::Relaxed)
    }

    /// Whether the server may receive a session that was made for it (persistence, `use-server`):
    /// it is not down and not in maintenance. Draining and stopping servers are usable in this sense.
    pub fn is_usable(&self) -> bool {
        self.op_state() != OpState::Stopped && !self.admin_state().is_maint()
    }

    /// Whether the server may receive new sessions by balancing.
    pub fn is_eligible(&self) -> bool {
        self.op_state() == OpState::Running
            && !self.admin_state().is_maint()
            && !self.admin_state().is_drain()
            && self.weight() > 0
    }

    /// `maxconn`: the highest limit on [`Server::sessions`]; 0 is no limit.
    pub fn maxconn(&self) -> u32 {
        self.maxconn.load(Ordering::Relaxed)
    }

    /// Whether another thread than this one has idle connections, and enough are there to take one
    /// (configuration manual, 5.2 "pool-low-conn").
    pub fn idle_elsewhere(&self) -> bool {
        self.idle.is_elsewhere() && self.idle.sum() >= self.spec.pool_low_conn
    }

    /// Changes `maxconn`, and lets waiting sessions in when there is more room.
    pub fn set_maxconn(&self, maxconn: u32) {
        self.maxconn.store(maxconn, Ordering::Relaxed);
        if let Some(backend) = self.backend() {
            backend.grant();
        }
    }

    /// The limit that holds now; 0 is no limit. With `minconn` it grows from there to `maxconn` as the backend fills to
    /// its `fullconn`.
    pub fn limit(&self) -> u32 {
        let maxconn = self.maxconn();
        let minconn = self.spec.minconn;
        if minconn == 0 || minconn >= maxconn {
            return self.part_of(maxconn);
        }
        let Some(backend) = self.backend() else { return maxconn };
        let (load, full) = (backend.sessions.get(), backend.fullconn);
        if load >= full {
            return self.part_of(maxconn);
        }
        let share = u64::from(maxconn) * u64::from(load) / u64::from(full);
        self.part_of(u32::try_from(share).unwrap_or(maxconn).max(minconn))
    }

    /// Whether a session would have to wait for a slot.
    pub fn is_full(&self) -> bool {
        let limit = self.limit();
        limit != 0 && self.sessions.get() >= limit
    }

    /// Takes a slot; `false` when the server is full. [`Server::end_session`] gives it back.
    pub fn take_slot(&self) -> bool {
        match self.limit() {
            0 => {
                self.sessions.inc();
                true
            }
            limit => self.sessions.try_inc(limit),
        }
    }

    /// Counts the session that holds a slot.
    pub fn count_session(&self, now: Now) {
        self.counters.local().sess_tot.inc();
        self.session_rate.inc(now);
        let stamp = now.secs() + 1;
        if self.last_session.load(Ordering::Relaxed) != stamp {
            self.last_session.store(stamp, Ordering::Relaxed);
        }
    }

    /// [`Server::take_slot`] and [`Server::count_session`].
    pub fn try_begin_session(&self, now: Now) -> bool {
        let taken = self.take_slot();
        if taken {
            self.count_session(now);
        }
        taken
    }

    /// Gives a slot back; it goes to whoever waits longest.
    pub fn end_session(self: &Arc<Self>) {
        self.sessions.dec();
        if self.maxconn() == 0 {
            return;
        }
        // Pairs with the fence in `Backend::enqueue`: this thread sees the waiter, or the waiter sees the slot.
        fence(Ordering::SeqCst);
        if let Some(backend) = self.backend()
            && (self.queued.own() > 0 || backend.queued.own() > 0)
        {
            self.grant(&backend);
        }
    }

    /// Seconds since the last session began; `None` before the first.
    pub fn last_session(&self, now: Now) -> Option<u64> {
        let stamp = self.last_session.load(Ordering::Relaxed);
        (stamp > 0).then(|| (now.secs() + 1).saturating_sub(stamp))
    }

    /// Whether checks are configured and not disabled. They pause while [`Admin::is_maint`].
    pub fn check_enabled(&self) -> bool {
        self.check_enabled.load(Ordering::Relaxed)
    }

    /// Grows each time all sessions of the server must end: `on-marked-down shutdown-sessions`, `shutdown sessions server`.
    /// A session remembers the number at its start and ends when it differs.
    pub fn shutdowns(&self) -> u64 {
        self.shutdowns.load(Ordering::Acquire)
    }

    /// The server whose state this one follows.
    pub fn tracked(&self) -> Option<Arc<Self>> {
        self.tracks.get().and_then(Weak::upgrade)
    }

    /// The server at the end of the chain of `track`, itself when it tracks none.
    fn checked(self: &Arc<Self>) -> Arc<Self> {
        let mut server = self.clone();
        while let Some(next) = server.tracked() {
            server = next;
        }
        server
    }

    /// Reads the whole state at once.
    pub fn state(&self, now: Now) -> StateView {
        let inner = self.inner.lock();
        let down = if inner.op == OpState::Stopped { now.ms_since(inner.last_change) } else { 0 };
        StateView {
            op: inner.op,
            admin: inner.admin,
            weight: inner.weight,
            health: inner.health,
            check_enabled: inner.check_enabled,
            check_running: inner.check_running,
            last_check: inner.last_check.clone(),
            last_change: inner.last_change,
            downtime_ms: inner.downtime_ms + down,
        }
    }

    /// The `status` of the statistics.
    pub fn status(self: &Arc<Self>) -> Status {
        let (op, admin) = {
            let inner = self.inner.lock();
            (inner.op, inner.admin)
        };
        let checked = self.checked();
        if admin.contains(Admin::RESOLUTION_MAINT) {
            return Status::MaintResolution;
        }
        if admin.is_maint() {
            let inherited =
                admin.contains(Admin::INHERITED_MAINT) && !admin.contains(Admin::FORCED_MAINT);
            return match self.tracked() {
                Some(via) if inherited => {
                    Status::MaintVia(format!("{}/{}", via.backend_name, via.name))
                }
                _ => Status::Maint,
            };
        }
        let health = checked.inner.lock().health;
        let (agent_against, agent_drains) = checked.agent_says();
        match op {
            OpState::Stopped if agent_against => Status::DownByAgent,
            OpState::Stopped => Status::Down(health.progress().filter(|_| !health.is_up())),
            OpState::Running if admin.is_drain() && agent_drains => Status::DrainByAgent,
            OpState::Running if admin.is_drain() => Status::Drain,
            OpState::Running if !checked.check_enabled() && self.tracked().is_none() => {
                Status::NoCheck
            }
            OpState::Running => Status::Up(health.progress().filter(|_| health.is_up())),
            OpState::Stopping => Status::NoLb(health.progress().filter(|_| health.is_up())),
        }
    }

    /// Takes over how many sessions the kernel carries; those who wait get the slots that are free now.
    pub fn set_external_sessions(self: &Arc<Self>, sessions: u32) {
        self.sessions.set_external(sessions);
        if self.maxconn() > 0
            && let Some(backend) = self.backend()
            && (self.queued.own() > 0 || backend.queued.own() > 0)
        {
            self.grant(&backend);
        }
    }

    /// Takes over what the kernel programs counted. Control thread only.
    pub fn set_external(self: &Arc<Self>, totals: &ExternalCounters, now: Now) {
        let external = self.counters.external();
        external.sess_tot.set(totals.sessions);
        external.lb_tot.set(totals.sessions);
        external.connect.set(totals.sessions);
        external.bytes_in.set(totals.bytes_in);
        external.req_bytes_out.set(totals.bytes_in);
        external.bytes_out.set(totals.bytes_out);
        external.res_bytes_in.set(totals.bytes_out);
        external.err_conn.set(totals.failed);
        self.set_external_sessions(totals.current);
        let before = self.external_sessions.swap(totals.sessions, Ordering::Relaxed);
        let new = totals.sessions.saturating_sub(before);
        if new > 0 {
            self.session_rate.add(now, new);
            self.last_session.store(now.secs() + 1, Ordering::Relaxed);
        }
    }
}
