//! The last messages that broke the rules of HTTP/1, one of each kind for each section (`show errors`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use proxy_types::{ProxyId, ServerId};

/// A message that was refused.
#[derive(Clone, Debug)]
pub struct Invalid {
    /// Its number among all of them, from 0.
    pub event: u64,
    /// Local time in seconds since 1970, and microseconds.
    pub date: (i64, u32),
    pub is_request: bool,
    /// The frontend of a request, the backend of a response.
    pub proxy: (ProxyId, Arc<str>),
    /// The backend of a request when it has one, the frontend of a response.
    pub other: Option<(ProxyId, Arc<str>)>,
    pub server: Option<(ServerId, Arc<str>)>,
    /// The client; `None` on unix sockets.
    pub client: Option<SocketAddr>,
    /// What was received.
    pub bytes: Box<[u8]>,
    /// Where it went wrong.
    pub at: usize,
    pub reason: String,
    /// Bytes that a buffer takes.
    pub room: usize,
}

/// Keeps them.
#[derive(Debug, Default)]
pub struct InvalidMessages {
    total: AtomicU64,
    last: Mutex<Vec<Arc<Invalid>>>,
}

impl InvalidMessages {
    /// Keeps a message in place of the last of its kind and section; `make` gets its number.
    pub fn keep(&self, make: impl FnOnce(u64) -> Invalid) {
        let message = Arc::new(make(self.total.fetch_add(1, Ordering::Relaxed)));
        let mut last = self.last.lock();
        let same = |known: &&mut Arc<Invalid>| {
            known.proxy.0 == message.proxy.0 && known.is_request == message.is_request
        };
        match last.iter_mut().find(same) {
            Some(known) => *known = message,
            None => last.push(message),
        }
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Those that are kept, by section.
    pub fn all(&self) -> Vec<Arc<Invalid>> {
        let mut all = self.last.lock().clone();
        all.sort_by_key(|message| (message.proxy.0, !message.is_request));
        all
    }
}
