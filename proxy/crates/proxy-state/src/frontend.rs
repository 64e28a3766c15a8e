//! The client side of a proxy.

use crate::counters::{Counted, ExternalCounters, FrontendCounters, Gauge, Mux, Rate, TlsCounts};
use crate::{Listener, ListenerSpec, Now, ProxyOptions, Timeouts};
use proxy_types::{Mode, ProxyId};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

/// What a [`Frontend`] is built from.
#[derive(Clone, Debug, Default)]
pub struct FrontendSpec {
    pub name: String,
    /// Explicit by `id` or counted; shared with the backend of the same `listen` section.
    pub id: ProxyId,
    pub mode: Mode,
    /// `description`.
    pub description: Option<String>,
    /// `maxconn`; 0 takes the process' limit.
    pub maxconn: u32,
    /// `rate-limit sessions`; 0 is no limit.
    pub rate_limit_sessions: u32,
    pub timeouts: Timeouts,
    pub options: ProxyOptions,
    /// `backlog`.
    pub backlog: Option<u32>,
    /// `default_backend`, if a backend of that name is meant.
    pub default_backend: Option<String>,
    /// `disabled`: kept out of service for the life of the worker.
    pub disabled: bool,
    pub listeners: Vec<ListenerSpec>,
}

/// Whether a frontend accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FrontendState {
    /// Accepting.
    Open = 0,
    /// Disabled for now by `disable frontend`: sockets stay bound, nothing is accepted.
    Paused = 1,
    /// Stopped for good: `shutdown frontend`, `disabled`, or the worker is leaving.
    Stopped = 2,
}

/// The client side of a proxy: a `frontend` section, or half of a `listen` section.
#[derive(Debug)]
pub struct Frontend {
    pub id: ProxyId,
    pub name: Arc<str>,
    pub mode: Mode,
    pub description: Option<String>,
    pub timeouts: Timeouts,
    pub options: ProxyOptions,
    pub listeners: Box<[Arc<Listener>]>,
    pub backlog: Option<u32>,
    pub default_backend: Option<String>,
    /// Sessions that live now (`scur`, `smax`).
    pub sessions: Gauge,
    /// New sessions per second (`rate`).
    pub session_rate: Rate,
    /// New connections per second (`conn_rate`).
    pub connection_rate: Rate,
    /// HTTP requests per second (`req_rate`).
    pub request_rate: Rate,
    pub counters: Counted<FrontendCounters>,
    pub mux: Mux,
    pub tls: TlsCounts,
    state: AtomicU8,
    maxconn: AtomicU32,
    rate_limit: AtomicU32,
    external_sessions: AtomicU64,
}

impl Frontend {
    pub fn new(spec: FrontendSpec) -> Arc<Self> {
        let state = if spec.disabled { FrontendState::Stopped } else { FrontendState::Open };
        let listeners = spec.listeners.into_iter().map(|l| Arc::new(Listener::new(l))).collect();
        Arc::new(Self {
            id: spec.id,
            name: spec.name.into(),
            mode: spec.mode,
            description: spec.description,
            timeouts: spec.timeouts,
            options: spec.options,
            listeners,
            backlog: spec.backlog,
            default_backend: spec.default_backend,
            sessions: Gauge::default(),
            session_rate: Rate::default(),
            connection_rate: Rate::default(),
            request_rate: Rate::default(),
            counters: Counted::default(),
            mux: Mux::default(),
            tls: TlsCounts::default(),
            state: AtomicU8::new(state as u8),
            maxconn: AtomicU32::new(spec.maxconn),
            rate_limit: AtomicU32::new(spec.rate_limit_sessions),
            external_sessions: AtomicU64::new(0),
        })
    }

    pub fn state(&self) -> FrontendState {
        match self.state.load(Ordering::Acquire) {
            0 => FrontendState::Open,
            1 => FrontendState::Paused,
            _ => FrontendState::Stopped,
        }
    }

    /// Changes the state; a stopped frontend stays stopped. Tells whether anything changed.
    /// Whoever accepts looks at [`Frontend::state`], or is told by `Registry::on_frontend_change`.
    pub(crate) fn set_state(&self, to: FrontendState) -> bool {
        let changed = self.state.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now != FrontendState::Stopped as u8 && now != to as u8).then_some(to as u8)
        });
        changed.is_ok()
    }

    /// Limit on [`Frontend::sessions`]; 0 when only the process' limit holds.
    pub fn maxconn(&self) -> u32 {
        self.maxconn.load(Ordering::Relaxed)
    }

    pub fn set_maxconn(&self, maxconn: u32) {
        self.maxconn.store(maxconn, Ordering::Relaxed);
    }

    /// Whether no further session fits.
    pub fn is_full(&self) -> bool {
        let maxconn = self.maxconn();
        maxconn != 0 && self.sessions.get() >= maxconn
    }

    /// `rate-limit sessions`; 0 is no limit.
    pub fn rate_limit(&self) -> u32 {
        self.rate_limit.load(Ordering::Relaxed)
    }

    /// Counts an accepted connection. `tcp-request connection` rules run after it.
    pub fn count_connection(&self, now: Now) {
        self.counters.local().conn_tot.inc();
        self.connection_rate.inc(now);
    }

    /// Counts a session that passed the connection rules. `Gauge::dec` on [`Frontend::sessions`] ends it.
    pub fn begin_session(&self, now: Now) {
        self.sessions.inc();
        self.counters.local().sess_tot.inc();
        self.session_rate.inc(now);
    }

    /// Counts an HTTP request.
    pub fn count_request(&self, now: Now, http2: bool) {
        let counters = self.counters.local();
        counters.req_tot.inc();
        if http2 { &counters.h2_req } else { &counters.h1_req }.inc();
        self.request_rate.inc(now);
    }

    /// Takes over what the kernel programs counted. Control thread only.
    pub fn set_external(&self, totals: &ExternalCounters, now: Now) {
        let external = self.counters.external();
        external.conn_tot.set(totals.sessions);
        external.sess_tot.set(totals.sessions);
        external.denied_conn.set(totals.denied);
        external.bytes_in.set(totals.bytes_in);
        external.req_bytes_out.set(totals.bytes_in);
        external.bytes_out.set(totals.bytes_out);
        external.res_bytes_in.set(totals.bytes_out);
        self.sessions.set_external(totals.current);
        let before = self.external_sessions.swap(totals.sessions, Ordering::Relaxed);
        let new = totals.sessions.saturating_sub(before);
        if new > 0 {
            self.session_rate.add(now, new);
            self.connection_rate.add(now, new);
        }
    }

    /// Keeps the highest rates; once per second on the control thread, and before the statistics are read.
    pub fn observe_rates(&self, now: Now) {
        for rate in [&self.session_rate, &self.connection_rate, &self.request_rate] {
            rate.observe(now);
        }
    }
}
