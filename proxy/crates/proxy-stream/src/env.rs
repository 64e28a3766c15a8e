//! What the engine shares: built once from the configuration, read by every thread.

use std::sync::Arc;

use proxy_http::h1::Limits;
use proxy_net::accept::Slots;
use proxy_net::clock::Tick;
use proxy_state::{Backend, Frontend, Listener, Now, Registry};

use crate::reply::ErrorReplies;

/// The worker's immutable surroundings.
pub struct Env {
    pub registry: Arc<Registry>,
    /// The instant that [`Now`] counts from.
    pub epoch: Tick,
    /// Bounds of heads: `tune.bufsize` less `tune.maxrewrite`, `tune.http.maxhdr`.
    pub limits: Limits,
    /// Wakes the accept loops that wait for room.
    pub slots: Slots,
    /// Told of every finished stream.
    pub observer: Option<Observer>,
}

/// Callback that sees the record of a finished stream.
pub type Observer = Box<dyn Fn(&Front, &crate::log::Record) + Send + Sync>;

impl Env {
    /// Surroundings with default limits.
    #[must_use]
    pub fn new(registry: Arc<Registry>, epoch: Tick) -> Self {
        Self { registry, epoch, limits: Limits::default(), slots: Slots::new(), observer: None }
    }

    /// The time of the counters at `tick`.
    #[must_use]
    pub fn now(&self, tick: Tick) -> Now {
        Now(tick.as_millis().saturating_sub(self.epoch.as_millis()))
    }
}

/// A frontend in mode http: the live object and what its requests go through.
pub struct Front {
    pub frontend: Arc<Frontend>,
    /// `default_backend`.
    pub default_backend: Option<Arc<Back>>,
    /// `errorfile` and the like.
    pub replies: ErrorReplies,
    /// `monitor-uri`.
    pub monitor_uri: Option<Box<[u8]>>,
}

/// A backend in mode http.
pub struct Back {
    pub backend: Arc<Backend>,
    /// `errorfile` and the like; the frontend's answer for what is not set here.
    pub replies: ErrorReplies,
}

impl Front {
    /// A frontend without rules.
    #[must_use]
    pub fn new(frontend: Arc<Frontend>, default_backend: Option<Arc<Back>>) -> Self {
        Self { frontend, default_backend, replies: ErrorReplies::default(), monitor_uri: None }
    }
}

impl Back {
    /// A backend without rules.
    #[must_use]
    pub fn new(backend: Arc<Backend>) -> Self {
        Self { backend, replies: ErrorReplies::default() }
    }
}

/// Facts of an accepted connection.
#[derive(Clone)]
pub struct Accepted {
    pub listener: Arc<Listener>,
    /// Client; `None` on unix sockets.
    pub src: Option<std::net::SocketAddr>,
    /// Address the client connected to; `None` on unix sockets.
    pub dst: Option<std::net::SocketAddr>,
    /// When it was accepted.
    pub at: Tick,
}
