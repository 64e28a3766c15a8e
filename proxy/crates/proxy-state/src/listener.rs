//! A bound address of a frontend.

use crate::SockAddr;
use crate::counters::{Counted, Gauge, ListenerCounters, TlsCounts};
use crate::options::Proto;
use proxy_types::ListenerId;
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// What opens connections, or lets them in, beyond the socket: TLS, PROXY protocol. Made and read by `proxy-stream`.
pub type Transport = Arc<dyn Any + Send + Sync>;

/// What a [`Listener`] is built from. Socket options are the business of whoever binds.
#[derive(Clone, Debug)]
pub struct ListenerSpec {
    /// Explicit by `id` or counted from 1 within the frontend.
    pub id: ListenerId,
    /// `name`; HAProxy calls a nameless one `sock-<id>`.
    pub name: Option<String>,
    pub addr: SockAddr,
    /// `maxconn` of the bind line; 0 is no limit.
    pub maxconn: u32,
    /// What stands between the socket and the bytes of clients; `None` is nothing.
    pub transport: Option<Transport>,
    /// `proto`.
    pub proto: Option<Proto>,
    /// `proto none`: never mode http.
    pub raw: bool,
    /// `idle-ping`: how often a silent client of HTTP/2 is asked whether it lives.
    pub idle_ping: Option<Duration>,
}

/// One address of a `bind` line.
#[derive(Debug)]
pub struct Listener {
    pub id: ListenerId,
    pub name: String,
    pub addr: SockAddr,
    pub maxconn: u32,
    pub transport: Option<Transport>,
    pub proto: Option<Proto>,
    /// `proto none`.
    pub raw: bool,
    /// `idle-ping`.
    pub idle_ping: Option<Duration>,
    /// Sessions that live now.
    pub sessions: Gauge,
    pub counters: Counted<ListenerCounters>,
    pub tls: TlsCounts,
}

impl Listener {
    pub fn new(spec: ListenerSpec) -> Self {
        Self {
            id: spec.id,
            name: spec.name.unwrap_or_else(|| format!("sock-{}", spec.id)),
            addr: spec.addr,
            maxconn: spec.maxconn,
            transport: spec.transport,
            proto: spec.proto,
            raw: spec.raw,
            idle_ping: spec.idle_ping,
            sessions: Gauge::default(),
            counters: Counted::default(),
            tls: TlsCounts::default(),
        }
    }

    /// Whether no further session fits.
    pub fn is_full(&self) -> bool {
        self.maxconn != 0 && self.sessions.get() >= self.maxconn
    }
}
