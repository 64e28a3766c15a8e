//! `timeout` lines (configuration manual, 4.2).

use std::time::Duration;

use proxy_types::Spanned;

/// Timeouts of a proxy. `None` was not written; zero switches the timeout off like `None`, but overrides `defaults`.
#[derive(Clone, Debug, Default)]
pub struct Timeouts {
    /// Time for a check's answer once connected. Without it a check lasts `inter` in all.
    pub check: Option<Spanned<Duration>>,
    pub client: Option<Spanned<Duration>>,
    /// Client side inactivity once it is half-closed. Falls back to `client`.
    pub client_fin: Option<Spanned<Duration>>,
    /// Time for the TLS handshake with the client. Falls back to `client`.
    pub client_hs: Option<Spanned<Duration>>,
    pub connect: Option<Spanned<Duration>>,
    /// Falls back to `http-request`, then to `client`.
    pub http_keep_alive: Option<Spanned<Duration>>,
    /// Time for a complete request head. Falls back to `client`.
    pub http_request: Option<Spanned<Duration>>,
    /// Time in a queue. Falls back to `connect`.
    pub queue: Option<Spanned<Duration>>,
    pub server: Option<Spanned<Duration>>,
    /// Server side inactivity once it is half-closed. Falls back to `server`.
    pub server_fin: Option<Spanned<Duration>>,
    /// Falls back to `connect`.
    pub tarpit: Option<Spanned<Duration>>,
    /// Inactivity of both sides once a tunnel is established; replaces `client` and `server` there.
    pub tunnel: Option<Spanned<Duration>>,
}

impl Timeouts {
    /// A timeout that applies: written and not zero.
    pub fn effective(value: Option<Spanned<Duration>>) -> Option<Duration> {
        value.map(|v| v.value).filter(|v| !v.is_zero())
    }
}
