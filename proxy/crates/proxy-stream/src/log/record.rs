//! Facts gathered along the way of one request.

use std::rc::Rc;
use std::sync::Arc;

use proxy_net::clock::Tick;
use proxy_rules::sample::connection::Connection;
use proxy_rules::sample::context::{LinkFacts, StreamEnd};
use proxy_state::Server;

use crate::env::Back;

/// One request from its first byte to its end. A time that was not reached is `None`.
#[derive(Clone)]
pub struct Record {
    /// When the connection was accepted, or the previous request ended.
    pub start: Tick,
    /// First byte of the request.
    pub first_byte: Tick,
    /// End of the request head.
    pub head_done: Option<Tick>,
    /// A server's slot was obtained.
    pub queue_done: Option<Tick>,
    /// A connection to the server was there.
    pub connected: Option<Tick>,
    /// End of the response head.
    pub response_done: Option<Tick>,
    /// End of the stream.
    pub end: Tick,
    /// Status that the server sent.
    pub server_status: Option<u16>,
    /// Status sent to the client, or of the answer that could not be sent.
    pub status: Option<u16>,
    /// Bytes received from the client, head included.
    pub bytes_in: u64,
    /// Bytes sent to the server, head included.
    pub request_out: u64,
    /// Bytes received from the server, head included.
    pub response_in: u64,
    /// Bytes sent to the client, heads included.
    pub bytes_out: u64,
    /// First two letters of the termination state.
    pub cause: u8,
    pub phase: u8,
    pub retries: u32,
    pub redispatched: bool,
    /// Version of HTTP that is spoken with the server.
    pub server_http: Option<u8>,
    /// The connection to the server had been used before.
    pub reused: bool,
    /// Places in the queues when the request arrived there.
    pub server_queue: u32,
    pub backend_queue: u32,
    /// Sessions of the server once this one has left.
    pub server_conns: u32,
    pub backend: Option<Arc<Back>>,
    pub server: Option<Arc<Server>>,
    /// What TLS to the server agreed on.
    pub server_connection: Option<Arc<Connection>>,
    /// What the protocol of that connection counts.
    pub server_link: Option<Rc<LinkFacts>>,
    /// How the stream to the server ended.
    pub server_end: Option<StreamEnd>,
    /// The internal service that answered in a server's place.
    pub service: Option<&'static str>,
    /// The cache that the response came from.
    pub cache: Option<Arc<str>>,
    /// The algorithm that the response was compressed with.
    pub compressed: Option<&'static str>,
    /// The request could be read.
    pub request_read: bool,
    /// No line is to be written.
    pub silent: bool,
    /// The line was written before the end (`option logasap`).
    pub logged: bool,
}

impl Default for Record {
    fn default() -> Self {
        Self {
            start: Tick::default(),
            first_byte: Tick::default(),
            head_done: None,
            queue_done: None,
            connected: None,
            response_done: None,
            end: Tick::default(),
            server_status: None,
            status: None,
            bytes_in: 0,
            request_out: 0,
            response_in: 0,
            bytes_out: 0,
            cause: b'-',
            phase: b'-',
            retries: 0,
            redispatched: false,
            server_http: None,
            reused: false,
            server_queue: 0,
            backend_queue: 0,
            server_conns: 0,
            backend: None,
            server: None,
            server_connection: None,
            server_link: None,
            server_end: None,
            service: None,
            cache: None,
            compressed: None,
            request_read: false,
            silent: false,
            logged: false,
        }
    }
}

impl Record {
    /// Milliseconds from `from` to `to`, when both were reached.
    fn between(from: Option<Tick>, to: Option<Tick>) -> Option<u32> {
        let ms = to?.since(from?).as_millis();
        Some(u32::try_from(ms).unwrap_or(u32::MAX))
    }

    /// Idle time before the request (`%Ti`).
    #[must_use]
    pub fn idle_ms(&self) -> Option<u32> {
        Self::between(Some(self.start), Some(self.first_byte))
    }

    /// First byte to the end of the head (`%TR`).
    #[must_use]
    pub fn request_ms(&self) -> Option<u32> {
        Self::between(Some(self.first_byte), self.head_done)
    }

    /// Waiting in queues (`%Tw`).
    #[must_use]
    pub fn queue_ms(&self) -> Option<u32> {
        Self::between(self.head_done, self.queue_done)
    }

    /// Connecting (`%Tc`).
    #[must_use]
    pub fn connect_ms(&self) -> Option<u32> {
        Self::between(self.queue_done, self.connected)
    }

    /// Waiting for the response head (`%Tr`).
    #[must_use]
    pub fn response_ms(&self) -> Option<u32> {
        Self::between(self.connected, self.response_done)
    }

    /// Active time, first byte to end (`%Ta`).
    #[must_use]
    pub fn active_ms(&self) -> u32 {
        Self::between(Some(self.first_byte), Some(self.end)).unwrap_or(0)
    }

    /// All of the time since [`Record::start`] (`%Tt`).
    #[must_use]
    pub fn total_ms(&self) -> u32 {
        Self::between(Some(self.start), Some(self.end)).unwrap_or(0)
    }
}
