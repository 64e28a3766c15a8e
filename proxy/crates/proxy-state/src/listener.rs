//! A bound address of a frontend.

use crate::SockAddr;
use crate::counters::{Counted, Gauge, ListenerCounters};
use proxy_types::ListenerId;

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
}

/// One address of a `bind` line.
#[derive(Debug)]
pub struct Listener {
    pub id: ListenerId,
    pub name: String,
    pub addr: SockAddr,
    pub maxconn: u32,
    /// Sessions that live now.
    pub sessions: Gauge,
    pub counters: Counted<ListenerCounters>,
}

impl Listener {
    pub fn new(spec: ListenerSpec) -> Self {
        Self {
            id: spec.id,
            name: spec.name.unwrap_or_else(|| format!("sock-{}", spec.id)),
            addr: spec.addr,
            maxconn: spec.maxconn,
            sessions: Gauge::default(),
            counters: Counted::default(),
        }
    }

    /// Whether no further session fits.
    pub fn is_full(&self) -> bool {
        self.maxconn != 0 && self.sessions.get() >= self.maxconn
    }
}
