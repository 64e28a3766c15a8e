//! Mode udp in userspace: flows of datagrams, each from one address and port of a client to one server.
//!
//! A flow begins with the first datagram and ends when both sides have been silent for as long as `timeout client` or
//! `timeout server` says, when the server has sent `udp-responses` datagrams, or when its server is gone; the next
//! datagram then begins another one. Every flow has a socket towards its server, so that answers find it. Their number
//! is bounded by `maxconn`; when it is reached, a flow that no server has answered gives way to a new one, and
//! without such a flow the new one has no place. Nothing waits: a datagram that cannot be sent is lost, as it may be
//! in any network.

mod flow;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use proxy_net::clock;
use proxy_net::listener::ListenSocket;
use proxy_net::sockopt::Buffers;
use proxy_net::udp::{self, Door, Received, Receiver};
use proxy_rules::source::{SourceEval, SourceOutcome};
use proxy_state::lb::ChooseInput;
use proxy_state::{Listener, Server};
use rustc_hash::FxHashMap;

use self::flow::{End, Flow, Key};
use crate::backend::Ends;
use crate::env::{Back, Front};
use crate::log::{FlowLines, FlowRecord};
use crate::thread::Thread;

/// How long a flow lasts in silence where no timeout is set. It would last for ever otherwise.
pub const DEFAULT_IDLE: Duration = Duration::from_secs(30);

/// The flows of one listening socket on one thread.
pub struct Relay {
    thread: Rc<Thread>,
    front: Arc<Front>,
    listener: Arc<Listener>,
    door: Rc<Door>,
    /// Where clients send to, unless it is a wildcard.
    local: Option<SocketAddr>,
    port: u16,
    idle: Duration,
    flows: RefCell<FxHashMap<Key, Rc<Flow>>>,
    /// Flows that had no answer when they were put here, oldest first. Some have gone since, or been answered.
    unanswered: RefCell<VecDeque<Weak<Flow>>>,
    lines: FlowLines,
    /// Second in which a failure was said last.
    said: Cell<u64>,
}

impl Relay {
    /// Serves a bound datagram socket of a frontend in mode udp until the soft stop; flows live on after it.
    ///
    /// # Errors
    /// When the socket cannot be registered with the reactor.
    pub async fn run(
        thread: Rc<Thread>,
        front: Arc<Front>,
        listener: Arc<Listener>,
        socket: ListenSocket,
        switch: proxy_net::accept::Switch,
        batch: usize,
    ) -> io::Result<()> {
        let inet = socket.addr().inet();
        let door = Rc::new(Door::open(socket)?);
        let back = front.default_backend.as_ref().map(|back| &back.backend.timeouts);
        let relay = Rc::new(Self {
            idle: idle(front.frontend.timeouts.client, back.and_then(|t| t.server)),
            local: inet.filter(|addr| !addr.ip().is_unspecified()),
            port: inet.map_or(0, |addr| addr.port()),
            listener,
            door: door.clone(),
            flows: RefCell::default(),
            unanswered: RefCell::default(),
            lines: FlowLines::default(),
            said: Cell::new(0),
            thread: thread.clone(),
            front,
        });
        let stop = thread.stop.clone();
        udp::run(door, Rc::new(Entry(relay)), switch, stop, batch).await
    }

    /// Begins a flow with its first datagram. Whatever prevents it loses the datagram, counted.
    fn begin(self: &Rc<Self>, key: Key, data: &[u8], avoid: Option<&Server>) {
        let now = self.thread.now(self.thread.look());
        self.front.frontend.count_connection(now);
        self.listener.counters.local().conn_tot.inc();
        if self.is_denied(key.client.ip().to_canonical()) {
            self.front.frontend.counters.local().denied_conn.inc();
            self.listener.counters.local().denied_conn.inc();
            return;
        }
        if self.is_full() && !self.make_room() {
            return;
        }
        let Some(back) = &self.front.default_backend else { return };
        let asked = self.asked(&key);
        let Some(server) = self.choose(back, key.client.ip().to_canonical(), avoid) else {
            back.backend.counters.local().err_conn.inc();
            return;
        };
        let ends = Ends::between(key.client, asked);
        let to = ends.destination(&server.addr(), &server.spec).inet();
        let mut how = ends.connect_options(&server, back, self.thread.random());
        how.buffers = Buffers { unsent: None, ..self.thread.env.server_buffers };
        let socket = to.ok_or_else(|| io::Error::other("it has no IP address"));
        let socket = match socket.and_then(|to| udp::connect(to, &how)) {
            Ok(socket) => socket,
            Err(error) => {
                server.end_session();
                back.backend.counters.local().err_conn.inc();
                server.counters.local().err_conn.inc();
                self.say(&error);
                return;
            }
        };
        self.thread.env.registry().process.begin_connection(now);
        self.thread.env.registry().process.session_rate.inc(now);
        self.front.frontend.begin_session(now);
        self.listener.counters.local().sess_tot.inc();
        self.listener.sessions.inc();
        back.backend.begin_session(now);
        back.backend.counters.local().lb_tot.inc();
        let flow = Rc::new(Flow::new(key, socket, server, back.clone(), &self.thread));
        flow.silence.arm(self.idle);
        self.flows.borrow_mut().insert(key, flow.clone());
        self.unanswered.borrow_mut().push_back(Rc::downgrade(&flow));
        self.forget_answered();
        tokio::task::spawn_local(flow::carry(self.clone(), flow.clone()));
        self.forward(&flow, data);
    }

    /// Sends a client's datagram on.
    fn forward(&self, flow: &Flow, data: &[u8]) {
        flow.silence.arm(self.idle);
        let len = data.len() as u64;
        flow.bytes_in.set(flow.bytes_in.get() + len);
        match flow.socket.try_send(data) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // What the datagram before this one met: the one who waits for answers ends the flow.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => flow.refuse(),
            Err(error) => self.say(&error),
        }
    }

    /// Sends a server's datagram to the client. True when it was the last one expected.
    fn answer(&self, flow: &Flow, data: &[u8]) -> bool {
        flow.silence.arm(self.idle);
        flow.note_answer(&self.thread);
        flow.bytes_out.set(flow.bytes_out.get() + data.len() as u64);
        if let Err(error) = self.door.send(data, flow.key.client, flow.key.local)
            && error.kind() != io::ErrorKind::WouldBlock
        {
            self.say(&error);
        }
        let expected = u64::from(self.front.udp_responses);
        expected != 0 && flow.answers.get() >= expected
    }

    /// The address that a client has sent to.
    fn asked(&self, key: &Key) -> SocketAddr {
        let unknown = || SocketAddr::new(IpAddr::from([0, 0, 0, 0]), self.port);
        let own = key.local.map(|ip| SocketAddr::new(ip.to_canonical(), self.port));
        own.or(self.local).unwrap_or_else(unknown)
    }

    fn is_denied(&self, client: IpAddr) -> bool {
        let rules = &self.front.tcp_connection;
        if rules.is_empty() {
            return false;
        }
        let hit = SourceEval::new(&self.thread.env.shared).first(rules, client);
        let outcome = hit.and_then(|at| rules.iter().nth(at)).map(|rule| rule.outcome());
        // Assembly has seen to it that there is no other action.
        matches!(outcome, Some(SourceOutcome::Reject | SourceOutcome::SilentDrop))
    }

    fn is_full(&self) -> bool {
        let process = &self.thread.env.registry().process;
        process.connections.get() >= process.maxconn() || self.front.frontend.is_full()
    }

    /// Ends the oldest flow without an answer. False when there is none on this thread.
    fn make_room(&self) -> bool {
        loop {
            let Some(oldest) = self.unanswered.borrow_mut().pop_front() else { return false };
            if let Some(oldest) = waiting(&oldest) {
                self.end(&oldest, End::Displaced);
                return true;
            }
        }
    }

    /// Keeps the queue of unanswered flows about as short as it is said to be.
    fn forget_answered(&self) {
        let mut queue = self.unanswered.borrow_mut();
        for _ in 0..2 {
            match queue.front() {
                Some(flow) if waiting(flow).is_none() => {
                    queue.pop_front();
                }
                _ => break,
            }
        }
        // Old ones at the front may wait for long while those behind them were answered.
        if queue.len() > 2 * self.flows.borrow().len() + 64 {
            queue.retain(|flow| waiting(flow).is_some());
        }
    }

    /// A server that takes one more session, which is counted there.
    fn choose(&self, back: &Back, client: IpAddr, avoid: Option<&Server>) -> Option<Arc<Server>> {
        let now = self.thread.now(self.thread.look());
        let mut exclude = avoid.map(|server| server.id);
        for _ in 0..back.backend.servers().len().max(1) {
            let input = ChooseInput {
                client: Some(client),
                key: None,
                exclude,
                random: self.thread.random(),
                now,
            };
            let server = back.backend.choose(&input).ok()?;
            if server.try_begin_session(now) {
                return Some(server);
            }
            exclude = Some(server.id);
        }
        None
    }

    /// Ends a flow: its place is free at once, and the task that carries it ends by itself.
    fn end(&self, flow: &Rc<Flow>, end: End) {
        if !flow.close(end) {
            return;
        }
        let mut flows = self.flows.borrow_mut();
        if flows.get(&flow.key).is_some_and(|present| Rc::ptr_eq(present, flow)) {
            flows.remove(&flow.key);
        }
        drop(flows);
        self.account(flow, end);
    }

    fn account(&self, flow: &Flow, end: End) {
        let (bytes_in, bytes_out) = (flow.bytes_in.get(), flow.bytes_out.get());
        let now = self.thread.now(self.thread.look());
        macro_rules! add {
            ($($counters:expr),*) => {$(
                let counters = $counters.counters.local();
                counters.bytes_in.add(bytes_in);
                counters.req_bytes_out.add(bytes_in);
                counters.bytes_out.add(bytes_out);
                counters.res_bytes_in.add(bytes_out);
            )*};
        }
        add!(self.front.frontend, self.listener, flow.back.backend, flow.server);
        if end == End::Refused {
            flow.back.backend.counters.local().err_conn.inc();
            flow.server.counters.local().err_conn.inc();
        }
        let process = &self.thread.env.registry().process;
        process.count_out(now, bytes_in + bytes_out);
        flow.server.end_session();
        flow.back.backend.sessions.dec();
        self.front.frontend.sessions.dec();
        self.listener.sessions.dec();
        process.connections.dec();
        self.thread.env.slots.freed();
        let since = |from: clock::Tick| self.thread.look().since(from);
        let duration = since(flow.started);
        let record = FlowRecord {
            client: canonical(flow.key.client),
            listener: self.asked(&flow.key),
            source: flow.socket.local_addr().ok(),
            server: Some(flow.server.clone()),
            server_addr: flow.socket.peer_addr().ok(),
            start: SystemTime::now().checked_sub(duration).unwrap_or_else(SystemTime::now),
            duration,
            connect: flow.answered.get(),
            bytes_in,
            bytes_out,
            ended: end.letters(flow.answers.get() > 0),
        };
        self.lines.write(&self.thread.env, &self.front, &record, now);
    }

    /// Failures are said once a second at most.
    fn say(&self, error: &io::Error) {
        let second = clock::coarse().as_millis() / 1000;
        if self.said.replace(second) != second {
            tracing::warn!(frontend = &*self.front.frontend.name, %error, "a datagram was lost");
        }
    }
}

/// The flow, while it lives and has no answer.
fn waiting(flow: &Weak<Flow>) -> Option<Rc<Flow>> {
    flow.upgrade().filter(|flow| flow.answers.get() == 0 && !flow.is_over())
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// Traffic in either direction keeps a flow, so the shorter timeout is the one that can strike.
fn idle(client: Option<Duration>, server: Option<Duration>) -> Duration {
    let set = [client, server].into_iter().flatten().filter(|timeout| !timeout.is_zero());
    set.min().unwrap_or(DEFAULT_IDLE)
}

/// The relay as the loop of its socket sees it.
struct Entry(Rc<Relay>);

impl Receiver for Entry {
    fn received(&self, datagram: Received<'_>) {
        let Received { data, client, local } = datagram;
        let (relay, key) = (&self.0, Key { client, local });
        let present = relay.flows.borrow().get(&key).cloned();
        let mut avoid = None;
        if let Some(flow) = present {
            match flow.is_lost() {
                None => return relay.forward(&flow, data),
                Some(end) => {
                    relay.end(&flow, end);
                    avoid = (end == End::Refused).then(|| flow.server.clone());
                }
            }
        }
        relay.begin(key, data, avoid.as_deref());
    }

    fn failed(&self, error: &io::Error) {
        self.0.say(error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shorter_timeout_strikes() {
        let secs = |n| Some(Duration::from_secs(n));
        assert_eq!(idle(None, None), DEFAULT_IDLE);
        assert_eq!(idle(secs(0), None), DEFAULT_IDLE);
        assert_eq!(idle(secs(5), None), Duration::from_secs(5));
        assert_eq!(idle(secs(5), secs(3)), Duration::from_secs(3));
    }
}
