//! Timeouts of a proxy.

use std::time::Duration;

/// `timeout <name>` of a proxy (configuration manual, 4.2). `None` waits for ever, or falls back as said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// Inactivity on the client's side.
    pub client: Option<Duration>,
    /// Inactivity on a half-closed client side; falls back to `client`.
    pub client_fin: Option<Duration>,
    /// Handshakes of the client's connection (PROXY protocol, TLS); falls back to `client`.
    pub client_hs: Option<Duration>,
    /// Inactivity on the server's side.
    pub server: Option<Duration>,
    /// Inactivity on a half-closed server side; falls back to `server`.
    pub server_fin: Option<Duration>,
    /// Establishing a connection to a server.
    pub connect: Option<Duration>,
    /// Waiting for a free slot on a server; falls back to `connect`.
    pub queue: Option<Duration>,
    /// Receiving a whole request head; falls back to `client`.
    pub http_request: Option<Duration>,
    /// Waiting for the next request of a kept connection; falls back to `http_request`, then `client`.
    pub http_keep_alive: Option<Duration>,
    /// Inactivity of both sides once switched to a tunnel; replaces `client` and `server`.
    pub tunnel: Option<Duration>,
    /// How long a tarpitted request is held; falls back to `connect`.
    pub tarpit: Option<Duration>,
    /// Reading a check's answer once connected; without it `inter` bounds the whole check.
    pub check: Option<Duration>,
}

impl Timeouts {
    pub fn queue(&self) -> Option<Duration> {
        self.queue.or(self.connect)
    }

    pub fn tarpit(&self) -> Option<Duration> {
        self.tarpit.or(self.connect)
    }

    pub fn http_request(&self) -> Option<Duration> {
        self.http_request.or(self.client)
    }

    pub fn http_keep_alive(&self) -> Option<Duration> {
        self.http_keep_alive.or(self.http_request).or(self.client)
    }

    pub fn client_hs(&self) -> Option<Duration> {
        self.client_hs.or(self.client)
    }

    pub fn client_fin(&self) -> Option<Duration> {
        self.client_fin.or(self.client)
    }

    pub fn server_fin(&self) -> Option<Duration> {
        self.server_fin.or(self.server)
    }
}
