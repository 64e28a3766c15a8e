//! Server connections of this thread that wait for requests, most recently used first.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use proxy_net::clock::Tick;
use proxy_rules::sample::connection::Connection;
use proxy_rules::sample::context::{LinkFacts, Socket, StreamEnd, TcpInfo};
use proxy_state::counters::Open;
use proxy_state::{Server, SockAddr};
use rustc_hash::FxHashMap;

use crate::io::{Conn, tcp_info};
use crate::mux::h2::Dialed;

/// How a connection to a server began.
#[derive(Clone, Default)]
pub(crate) struct Route {
    /// Connections of different keys must not stand in for each other: they named other hosts, or other clients.
    pub(crate) key: u64,
    /// What TLS agreed on; `None` without it.
    pub(crate) facts: Option<Arc<Connection>>,
    /// What its protocol counts.
    pub(crate) link: Rc<LinkFacts>,
    /// Holds its place among the server's connections, where they are counted.
    pub(crate) place: Option<Arc<Place>>,
    /// Counts it as open, when it speaks HTTP/1.
    pub(crate) open: Option<Arc<Open>>,
}

/// One of the connections that a server with `strict-maxconn` may have.
pub(crate) struct Place(Arc<Server>);

impl Place {
    /// Takes a place; `None` when all are taken.
    pub(crate) fn take(server: &Arc<Server>) -> Option<Arc<Self>> {
        let free = server.open_connections.try_inc(server.maxconn());
        free.then(|| Arc::new(Self(server.clone())))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open_connections.dec();
    }
}

/// A connection to a server together with whose it is.
pub(crate) struct Attached {
    pub(crate) server: Arc<Server>,
    pub(crate) conn: Conn,
    /// The connection that `conn` is a stream of.
    pub(crate) shared: Option<Rc<Shared>>,
    /// Where it goes: the server's address of that time.
    pub(crate) addr: Arc<SockAddr>,
    pub(crate) route: Route,
    /// It carried a request before this one.
    pub(crate) reused: bool,
    /// It carried requests of several sessions, so its server keeps connections.
    pub(crate) proven: bool,
    /// Requests carried so far.
    pub(crate) uses: u32,
    /// State of the server's session count, see `Server::shutdowns`.
    pub(crate) shutdowns: u64,
    /// Counts it among those in use.
    pub(crate) in_use: InUse,
}

impl Socket for Attached {
    fn tcp_info(&self) -> Option<TcpInfo> {
        tcp_info(self.conn.io.transport()?)
    }

    fn saved_syn(&self) -> Option<Vec<u8>> {
        None
    }

    fn stream(&self) -> StreamEnd {
        // HTTP/1 counts its requests.
        let own = StreamEnd { id: self.uses.saturating_add(1), ..StreamEnd::default() };
        self.conn.io.stream().unwrap_or(own)
    }
}

/// Idle connections that one session keeps to itself, the oldest first.
#[derive(Default)]
pub(crate) struct Own {
    idle: Vec<Attached>,
}

impl Own {
    /// Takes a live connection to `server` at `addr` that began as `route` says.
    pub(crate) fn take(
        &mut self,
        server: &Arc<Server>,
        addr: &Arc<SockAddr>,
        route: u64,
    ) -> Option<Attached> {
        let fits = |own: &Attached| {
            Arc::ptr_eq(&own.server, server)
                && Arc::ptr_eq(&own.addr, addr)
                && own.route.key == route
        };
        loop {
            let mut own = self.idle.remove(self.idle.iter().rposition(fits)?);
            if own.conn.is_quiet() {
                return Some(own);
            }
        }
    }

    /// Keeps a connection; of more than `most` the oldest is closed.
    pub(crate) fn put(&mut self, attached: Attached, most: usize) {
        // Nobody will ask for those of servers that were removed.
        self.idle.retain(|own| !own.server.is_gone());
        self.idle.push(attached);
        if self.idle.len() > most {
            self.idle.remove(0).conn.reset_on_close();
        }
    }
}

/// An idle connection.
pub(crate) struct Idle {
    pub(crate) conn: Conn,
    pub(crate) addr: Arc<SockAddr>,
    pub(crate) route: Route,
    pub(crate) proven: bool,
    pub(crate) uses: u32,
}

/// A connection that carries several requests at once.
pub(crate) struct Shared {
    pub(crate) dialed: Dialed,
    pub(crate) addr: Arc<SockAddr>,
    pub(crate) route: Route,
    pub(crate) uses: Cell<u32>,
}

/// How many connections to a server this thread needs.
#[derive(Default)]
struct Need {
    in_use: Cell<usize>,
    /// Most in use at once, in this period and in the one before.
    peak: Cell<usize>,
    last_peak: Cell<usize>,
}

impl Need {
    /// How many idle ones are worth keeping.
    fn spare(&self) -> usize {
        self.peak.get().max(self.last_peak.get()).saturating_sub(self.in_use.get())
    }

    fn next_period(&self) {
        self.last_peak.set(self.peak.replace(self.in_use.get()));
    }
}

/// Counts a connection among those in use while it lives.
pub(crate) struct InUse(Rc<Need>);

impl InUse {
    fn new(need: &Rc<Need>) -> Self {
        let now = need.in_use.get() + 1;
        need.in_use.set(now);
        need.peak.set(need.peak.get().max(now));
        Self(need.clone())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.in_use.set(self.0.in_use.get() - 1);
    }
}

struct Shelf {
    server: Arc<Server>,
    /// Those that were reused before, and those that were not.
    proven: Vec<Idle>,
    unproven: Vec<Idle>,
    shared: Vec<Rc<Shared>>,
    need: Rc<Need>,
    /// Fewest idle connections since the last purge: those were not needed.
    spare: usize,
    purge_at: Tick,
}

impl Shelf {
    fn idle(&self) -> usize {
        self.proven.len() + self.unproven.len()
    }

    /// Drops the connections that can carry nothing more.
    fn bury(&mut self) {
        for idle in [&mut self.proven, &mut self.unproven] {
            idle.retain_mut(|idle| {
                let alive = idle.conn.is_quiet();
                if !alive {
                    count(&self.server, idle, false);
                }
                alive
            });
        }
    }
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
    fn shelf(&mut self, server: &Arc<Server>, now: Tick) -> &mut Shelf {
        self.shelves.entry(key(server)).or_insert_with(|| Shelf {
            server: server.clone(),
            proven: Vec::new(),
            unproven: Vec::new(),
            shared: Vec::new(),
            need: Rc::default(),
            spare: 0,
            purge_at: now + server.spec.pool_purge_delay,
        })
    }

    /// Counts a connection to `server` as in use.
    pub(crate) fn begin_use(&mut self, server: &Arc<Server>, now: Tick) -> InUse {
        InUse::new(&self.shelf(server, now).need)
    }

    /// Takes a live idle connection to `server` that began as `route` says; with `only_proven`, one that was
    /// reused before.
    pub(crate) fn take(
        &mut self,
        server: &Arc<Server>,
        route: u64,
        only_proven: bool,
    ) -> Option<Idle> {
        let shelf = self.shelves.get_mut(&key(server))?;
        let found = loop {
            let mut next = take_last(&mut shelf.proven, route);
            if next.is_none() && !only_proven {
                next = take_last(&mut shelf.unproven, route);
            }
            let Some(mut idle) = next else { break None };
            count(&shelf.server, &idle, false);
            if Arc::ptr_eq(&idle.addr, &server.addr()) && idle.conn.is_quiet() {
                break Some(idle);
            }
        };
        shelf.spare = shelf.spare.min(shelf.idle());
        found
    }

    /// Closes an idle connection to `server`, the least useful first; false when there is none.
    pub(crate) fn close_one(&mut self, server: &Arc<Server>) -> bool {
        let Some(shelf) = self.shelves.get_mut(&key(server)) else { return false };
        let list = if shelf.unproven.is_empty() { &mut shelf.proven } else { &mut shelf.unproven };
        if !list.is_empty() {
            let idle = list.remove(0);
            count(&shelf.server, &idle, false);
            idle.conn.reset_on_close();
            return true;
        }
        let unused = shelf.shared.iter().position(|shared| shared.dialed.streams() == 0);
        unused.map(|at| shelf.shared.remove(at)).is_some()
    }

    /// Keeps a connection that another thread had, whatever this one needs.
    pub(crate) fn put_back(&mut self, server: &Arc<Server>, idle: Idle, now: Tick) {
        let shelf = self.shelf(server, now);
        count(server, &idle, true);
        if idle.proven { &mut shelf.proven } else { &mut shelf.unproven }.push(idle);
    }

    /// A connection to `server` that began as `route` says and can carry one more request.
    pub(crate) fn share(
        &mut self,
        server: &Arc<Server>,
        route: u64,
        only_proven: bool,
    ) -> Option<Rc<Shared>> {
        let shelf = self.shelves.get_mut(&key(server))?;
        let least = if only_proven { 2 } else { 0 };
        let most = server.spec.max_reuse.unwrap_or(u32::MAX);
        let addr = server.addr();
        let fits = |shared: &&Rc<Shared>| {
            let uses = shared.uses.get();
            Arc::ptr_eq(&shared.addr, &addr)
                && shared.route.key == route
                && uses >= least
                && uses <= most
                && shared.dialed.has_room()
        };
        shelf.shared.iter().rev().find(fits).cloned()
    }

    /// Offers a connection to later requests.
    pub(crate) fn offer(&mut self, server: &Arc<Server>, shared: Rc<Shared>, now: Tick) {
        self.shelf(server, now).shared.push(shared);
    }

    /// A request on a shared connection is over: what nobody will need is closed.
    pub(crate) fn settle(&mut self, server: &Arc<Server>) {
        let Some(shelf) = self.shelves.get_mut(&key(server)) else { return };
        let idle = shelf.shared.iter().filter(|s| s.dialed.streams() == 0).count();
        let mut surplus = idle.saturating_sub(shelf.need.spare().max(1));
        shelf.shared.retain(|shared| {
            let drop = surplus > 0 && shared.dialed.streams() == 0;
            surplus -= usize::from(drop);
            !drop && !shared.dialed.is_closed()
        });
    }

    /// Keeps a connection for later, unless the server's `pool-max-conn` is reached or as many wait as this
    /// thread needed at once lately.
    pub(crate) fn put(&mut self, server: &Arc<Server>, idle: Idle, now: Tick) {
        let full = server.spec.pool_max_conn.is_some_and(|max| server.idle.sum() >= max);
        // Few enough are kept whatever is needed.
        let low = server.spec.pool_low_conn;
        let few = low > 0 && server.idle.sum() < low;
        let shelf = self.shelf(server, now);
        if shelf.idle() >= shelf.need.spare() {
            // Those that the server closed meanwhile are no reason to close this one.
            shelf.bury();
        }
        let many = shelf.idle() >= shelf.need.spare() && !few;
        // One that was just used again is worth more than one that waits for somebody.
        let displaces = many && idle.proven && shelf.idle() > 0;
        if full || many && !displaces || !server.is_usable() {
            idle.conn.reset_on_close();
            return;
        }
        if displaces {
            let list =
                if shelf.unproven.is_empty() { &mut shelf.proven } else { &mut shelf.unproven };
            let other = list.remove(0);
            count(server, &other, false);
            other.conn.reset_on_close();
        }
        count(server, &idle, true);
        if idle.proven { &mut shelf.proven } else { &mut shelf.unproven }.push(idle);
    }

    /// Closes dead connections and, once per `pool-purge-delay`, half of those that were not needed
    /// since the last time. To be called about once per second.
    pub(crate) fn purge(&mut self, now: Tick) {
        for shelf in self.shelves.values_mut() {
            let server = &shelf.server.clone();
            let usable = server.is_usable();
            let mut alive = |idle: &mut Idle| {
                let current = Arc::ptr_eq(&idle.addr, &server.addr());
                let keep = usable && current && idle.conn.is_quiet();
                if !keep {
                    count(server, idle, false);
                }
                keep
            };
            shelf.proven.retain_mut(&mut alive);
            shelf.unproven.retain_mut(&mut alive);
            shelf.shared.retain(|shared| {
                usable && !shared.dialed.is_closed() && Arc::ptr_eq(&shared.addr, &server.addr())
            });
            shelf.spare = shelf.spare.min(shelf.proven.len() + shelf.unproven.len());
            if now >= shelf.purge_at {
                shelf.purge_at = now + server.spec.pool_purge_delay;
                let surplus = shelf.spare.div_ceil(2);
                let unproven = surplus.min(shelf.unproven.len());
                let proven = surplus - unproven;
                for idle in shelf.unproven.drain(..unproven).chain(shelf.proven.drain(..proven)) {
                    count(server, &idle, false);
                    idle.conn.reset_on_close();
                }
                shelf.spare = shelf.proven.len() + shelf.unproven.len();
                shelf.need.next_period();
                let mut surplus = shelf.shared.len().saturating_sub(shelf.need.last_peak.get());
                shelf.shared.retain(|shared| {
                    let drop = surplus > 0 && shared.dialed.streams() == 0;
                    surplus -= usize::from(drop);
                    !drop
                });
            }
        }
        self.shelves.retain(|_, shelf| {
            shelf.idle() > 0 || !shelf.shared.is_empty() || Rc::strong_count(&shelf.need) > 1
        });
    }

    /// Closes everything.
    pub(crate) fn clear(&mut self) {
        for (_, mut shelf) in self.shelves.drain() {
            let all = shelf.proven.drain(..).chain(shelf.unproven.drain(..));
            all.for_each(|idle| count(&shelf.server, &idle, false));
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The most recently used one that began as `route` says.
fn take_last(list: &mut Vec<Idle>, route: u64) -> Option<Idle> {
    let at = list.iter().rposition(|idle| idle.route.key == route)?;
    Some(list.remove(at))
}

fn count(server: &Server, idle: &Idle, add: bool) {
    server.idle.count(idle.proven, add);
}
