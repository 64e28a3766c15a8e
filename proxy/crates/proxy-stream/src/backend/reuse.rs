//! Idle server connections of this thread, most recently used first.

use std::collections::hash_map::Entry;
use std::sync::Arc;

use proxy_net::clock::Tick;
use proxy_state::{Server, SockAddr};
use rustc_hash::FxHashMap;

use crate::io::Conn;

/// A connection to a server together with whose it is.
pub(crate) struct Attached {
    pub(crate) server: Arc<Server>,
    pub(crate) conn: Conn,
    /// Where it goes: the server's address of that time.
    pub(crate) addr: Arc<SockAddr>,
    /// It carried a request before this one.
    pub(crate) reused: bool,
    /// It carried requests of several sessions, so its server keeps connections.
    pub(crate) proven: bool,
    /// Requests carried so far.
    pub(crate) uses: u32,
    /// State of the server's session count, see `Server::shutdowns`.
    pub(crate) shutdowns: u64,
}

/// An idle connection.
pub(crate) struct Idle {
    pub(crate) conn: Conn,
    pub(crate) addr: Arc<SockAddr>,
    pub(crate) proven: bool,
    pub(crate) uses: u32,
}

struct Shelf {
    server: Arc<Server>,
    idle: Vec<Idle>,
    /// Fewest idle connections since the last purge: those were not needed.
    spare: usize,
    purge_at: Tick,
}

/// The shelves by server.
#[derive(Default)]
pub(crate) struct Pool {
    shelves: FxHashMap<usize, Shelf>,
}

fn key(server: &Arc<Server>) -> usize {
    Arc::as_ptr(server) as usize
}

impl Pool {
    /// Takes a live idle connection to `server`; with `only_proven`, one that was reused before.
    pub(crate) fn take(&mut self, server: &Arc<Server>, only_proven: bool) -> Option<Idle> {
        let shelf = self.shelves.get_mut(&key(server))?;
        let found = loop {
            let at = shelf.idle.iter().rposition(|idle| idle.proven || !only_proven);
            let Some(at) = at else { break None };
            let mut idle = shelf.idle.remove(at);
            count(&shelf.server, &idle, false);
            if Arc::ptr_eq(&idle.addr, &server.addr()) && idle.conn.is_quiet() {
                break Some(idle);
            }
        };
        shelf.spare = shelf.spare.min(shelf.idle.len());
        found
    }

    /// Keeps a connection for later, unless the server's `pool-max-conn` is reached.
    pub(crate) fn put(&mut self, server: &Arc<Server>, idle: Idle, now: Tick) {
        let held = server.idle_safe.get() + server.idle_unsafe.get();
        if server.spec.pool_max_conn.is_some_and(|max| held >= max) || !server.is_usable() {
            idle.conn.reset_on_close();
            return;
        }
        let shelf = match self.shelves.entry(key(server)) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(empty) => empty.insert(Shelf {
                server: server.clone(),
                idle: Vec::new(),
                spare: 0,
                purge_at: now + server.spec.pool_purge_delay,
            }),
        };
        count(server, &idle, true);
        shelf.idle.push(idle);
    }

    /// Closes dead connections and, once per `pool-purge-delay`, half of those that were not needed
    /// since the last time. To be called about once per second.
    pub(crate) fn purge(&mut self, now: Tick) {
        for shelf in self.shelves.values_mut() {
            let server = &shelf.server;
            let usable = server.is_usable();
            shelf.idle.retain_mut(|idle| {
                let current = Arc::ptr_eq(&idle.addr, &server.addr());
                let keep = usable && current && idle.conn.is_quiet();
                if !keep {
                    count(server, idle, false);
                }
                keep
            });
            shelf.spare = shelf.spare.min(shelf.idle.len());
            if now >= shelf.purge_at {
                shelf.purge_at = now + server.spec.pool_purge_delay;
                for idle in shelf.idle.drain(..shelf.spare.div_ceil(2)) {
                    count(server, &idle, false);
                    idle.conn.reset_on_close();
                }
                shelf.spare = shelf.idle.len();
            }
        }
        self.shelves.retain(|_, shelf| !shelf.idle.is_empty());
    }

    /// Closes everything.
    pub(crate) fn clear(&mut self) {
        for (_, shelf) in self.shelves.drain() {
            shelf.idle.iter().for_each(|idle| count(&shelf.server, idle, false));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.clear();
    }
}

fn count(server: &Server, idle: &Idle, add: bool) {
    let gauge = if idle.proven { &server.idle_safe } else { &server.idle_unsafe };
    if add {
        gauge.inc();
    } else {
        gauge.dec();
    }
}
