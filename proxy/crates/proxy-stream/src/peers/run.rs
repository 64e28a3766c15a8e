//! Peers on sockets: who is let in, who is connected to and when again, and the end.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bumpalo::Bump;
use proxy_net::accept::{self, Acceptance, Accepted, Room, Slots, Switch};
use proxy_net::connect::{ConnectOptions, connect_with_timer};
use proxy_net::listener::ListenSocket;
use proxy_net::stop::{JobGuard, Stop};
use proxy_net::timer::Timer;
use proxy_net::{Stream, clock, timer};
use proxy_rules::sample::EvalCtx;
use proxy_rules::sample::context::Clock;
use proxy_state::Now;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Notify;

use super::section::{Link, Section};
use super::session::{End, Session};
use crate::env::{Env, date};
use crate::io::Io;
use crate::log::Sink;
use crate::traces::{self, Level, Subject, peers};
use crate::transport::{Entrance, Exit, accept_tls};

/// Pause after a peer could not be reached.
const RECONNECT: Duration = Duration::from_secs(5);
/// Added to every pause, so that two peers do not connect to each other at the same time again and again.
const JITTER: (u64, u64) = (50, 2050);
/// Longest time for a connection and its handshakes.
const CONNECT: Duration = Duration::from_secs(5);
/// How long changes may still be told at the end.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Tries to reach the process that replaces this one, and the pause between them.
const SUCCESSOR: (u32, Duration) = (3, Duration::from_millis(200));
/// Bytes that wait to be sent before no more updates are made, and before nothing is read any more.
const LOW: usize = 64 * 1024;
const HIGH: usize = 1024 * 1024;
/// Bytes read at once.
const READ: usize = 16 * 1024;
/// Connections at once that peers may make, beside two for each of them.
const STRANGERS: usize = 64;
const NOTICE: u8 = 5;

/// A section and the means to run it.
pub struct Place {
    pub section: Arc<Section>,
    /// Each with what stands at its entrance.
    pub listeners: Vec<(ListenSocket, Option<Arc<Entrance>>)>,
    /// By peer.
    pub roads: Vec<Road>,
    pub log: Option<Arc<dyn Sink>>,
}

/// How a peer is connected to.
#[derive(Default)]
pub struct Road {
    pub options: ConnectOptions,
    pub exit: Option<Arc<Exit>>,
}

/// What all sections share.
pub struct Setup {
    pub env: Arc<Env>,
    pub stop: Stop,
    /// `tune.peers.max-updates-at-once`.
    pub most: usize,
}

struct Runner {
    section: Arc<Section>,
    roads: Vec<Road>,
    log: Option<Arc<dyn Sink>>,
    setup: Rc<Setup>,
    random: Cell<u64>,
    strangers: Cell<usize>,
    /// Notified when one of them has left.
    left: Notify,
    slots: Slots,
}

/// Runs all sections until the worker has left and told its successor everything. `listening` keeps a worker that leaves
/// from being idle before that begins.
pub async fn run(places: Vec<Place>, setup: Setup, listening: JobGuard) {
    let setup = Rc::new(setup);
    let stop = setup.stop.clone();
    let sections: Vec<_> = places
        .into_iter()
        .map(|place| tokio::task::spawn_local(section(place, setup.clone())))
        .collect();
    stop.draining().await;
    let _job = stop.job();
    drop(listening);
    for section in sections {
        tokio::select! {
            _ = section => {}
            () = stop.killed() => return,
        }
    }
}

async fn section(place: Place, setup: Rc<Setup>) {
    let seed = u64::from(std::process::id()) << 32
        ^ clock::precise().as_millis()
        ^ place.section.peers.len() as u64;
    let runner = Rc::new(Runner {
        section: place.section,
        roads: place.roads,
        log: place.log,
        setup,
        random: Cell::new(seed | 1),
        strangers: Cell::new(0),
        left: Notify::new(),
        slots: Slots::new(),
    });
    let stop = &runner.setup.stop;
    let doors: Vec<_> = place
        .listeners
        .into_iter()
        .map(|(socket, entrance)| {
            let door = Rc::new(Door { runner: runner.clone(), entrance });
            let accepting =
                accept::run(socket, door, runner.slots.clone(), Switch::new(), stop.clone(), 16);
            let name = runner.section.name.clone();
            tokio::task::spawn_local(async move {
                if let Err(error) = accepting.await {
                    tracing::error!(%error, section = &*name, "a listener of peers was lost");
                }
            })
        })
        .collect();
    tokio::task::spawn_local(runner.clone().learn());
    let remotes: Vec<_> = (0..runner.section.peers.len())
        .filter(|peer| !runner.section.peers[*peer].is_local)
        .map(|peer| tokio::task::spawn_local(runner.clone().keep_connected(peer)))
        .collect();
    stop.draining().await;
    for task in doors.into_iter().chain(remotes) {
        let _ = task.await;
    }
    // Those that connected here say their last words, too.
    let quiet = async {
        while runner.strangers.get() > 0 {
            runner.left.notified().await;
        }
    };
    let _ = timer::timeout(Some(LAST_WORDS), quiet).await;
    runner.teach_successor().await;
}

impl Runner {
    fn now(&self) -> Now {
        self.setup.env.now(clock::precise())
    }

    fn jitter(&self) -> Duration {
        let mut x = self.random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.random.set(x);
        Duration::from_millis(JITTER.0 + x % (JITTER.1 - JITTER.0))
    }

    fn say(&self, text: &str) {
        let line = format!("Peers {}: {text}", self.section.name);
        tracing::info!("{line}");
        if let Some(log) = &self.log {
            log.line(NOTICE, line.as_bytes());
        }
    }

    /// Gives up waiting for somebody who teaches.
    async fn learn(self: Rc<Self>) {
        let mut changes = self.section.watch();
        loop {
            let lesson = self.section.lesson();
            if lesson.is_done() {
                return;
            }
            let now = self.now();
            if lesson.deadline().is_some_and(|until| until <= now) {
                self.section.teach(|lesson| lesson.expire(now));
                continue;
            }
            let left = lesson.deadline().map(|until| Duration::from_millis(until.ms_since(now)));
            let limit = async {
                match left {
                    Some(left) => timer::sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = limit => {}
                _ = changes.changed() => {}
                () = self.setup.stop.draining() => return,
            }
        }
    }

    /// Connects to a peer whenever it has not connected itself.
    async fn keep_connected(self: Rc<Self>, index: usize) {
        let stop = self.setup.stop.clone();
        tokio::select! {
            () = self.clone().connect_again_and_again(index) => {}
            // A conversation that goes on says its last words by itself.
            () = stop.killed() => {}
        }
    }

    async fn connect_again_and_again(self: Rc<Self>, index: usize) {
        let peer = &self.section.peers[index];
        let stop = &self.setup.stop;
        let mut changes = self.section.watch();
        let mut pause = Duration::ZERO;
        while !stop.is_draining() {
            peer.state().reconnect_at = (!pause.is_zero()).then(|| self.now() + pause);
            tokio::select! {
                () = timer::sleep(pause) => {}
                () = stop.draining() => return,
            }
            let mut met = false;
            while peer.is_connected() {
                met = true;
                tokio::select! {
                    _ = changes.changed() => {}
                    () = stop.draining() => return,
                }
            }
            if met {
                pause = self.jitter();
                continue;
            }
            peer.state().reconnect_at = None;
            pause = match self.connect(index).await {
                true => self.jitter(),
                false => RECONNECT + self.jitter(),
            };
        }
    }

    /// One connection to a peer, to its end. False when there was none.
    async fn connect(self: &Rc<Self>, index: usize) -> bool {
        let peer = &self.section.peers[index];
        let unless_connected = |link| {
            let mut state = peer.state();
            if state.link != Link::Established {
                state.link = link;
            }
        };
        unless_connected(Link::Connecting);
        let io = match self.open(index).await {
            Ok(io) => io,
            Err(error) => {
                tracing::debug!(section = &*self.section.name, peer = &*peer.name, %error, "peer");
                self.trace(
                    peers::CONN_ERR,
                    Level::Error,
                    &peer.name,
                    &format!("no connection: {error}"),
                );
                unless_connected(Link::Closed);
                return false;
            }
        };
        // It may have been faster.
        if peer.is_connected() && !peer.is_local {
            return true;
        }
        let session = Session::connect(self.section.clone(), index, std::process::id(), self.now());
        let end = self.converse(io, session).await;
        end.was_open
    }

    async fn open(&self, index: usize) -> io::Result<Box<dyn Io>> {
        let peer = &self.section.peers[index];
        let address = peer.address.as_ref().ok_or(io::ErrorKind::AddrNotAvailable)?;
        let none = Road::default();
        let road = self.roads.get(index).unwrap_or(&none);
        let timer = Timer::new();
        timer.arm(CONNECT);
        let stream = connect_with_timer(address, &road.options, &timer).await;
        let stream = stream.map_err(|error| io::Error::other(error.to_string()))?;
        let Some(exit) = &road.exit else { return Ok(Box::new(stream)) };
        let opening = {
            let scratch = Bump::new();
            let env = &self.setup.env;
            let clock = Clock { date: date(), ..Clock::default() };
            exit.opening(&EvalCtx::new(&scratch, &env.shared, clock, &self.random), None, None)
        };
        let opened = opening.perform(stream, address.inet(), &timer).await;
        opened.map(|opened| opened.io).map_err(|failed| io::Error::other(failed.error.to_string()))
    }

    /// Tells of a connection with a peer.
    fn trace(&self, event: u64, level: Level, peer: &str, what: &str) {
        if traces::PEERS.wants(event) {
            traces::PEERS.tell(event, level, &Subject::default(), &|t| {
                t.text.push_str(what);
                if t.has_subject() {
                    t.text.push_str(&format!(" section={} peer={peer}", self.section.name));
                }
            });
        }
    }

    /// Lets somebody in.
    async fn welcome(self: Rc<Self>, stream: Stream, entrance: Option<&Entrance>) {
        let listener = entrance.and_then(|entrance| entrance.tls.clone());
        let io: Box<dyn Io> = match listener {
            None => Box::new(stream),
            Some(listener) => {
                let timer = Timer::new();
                timer.arm(CONNECT);
                let expired = |cx: &mut std::task::Context<'_>| timer.poll_expired(cx);
                match accept_tls(stream, &[], &listener, false, expired).await.0 {
                    Ok(stream) => Box::new(stream),
                    Err(error) => {
                        return tracing::debug!(section = &*self.section.name, %error, "peer");
                    }
                }
            }
        };
        let session = Session::accept(self.section.clone(), std::process::id(), self.now());
        self.converse(io, session).await;
    }

    /// A session from its first byte to its end.
    async fn converse(self: &Rc<Self>, io: Box<dyn Io>, mut session: Session) -> Ended {
        let (mut reader, mut writer) = tokio::io::split(io);
        let name_of = |session: &Session| session.peer_name().unwrap_or_else(|| "-".into());
        self.trace(peers::CONN_NEW, Level::User, &name_of(&session), "new connection");
        let mut out = Vec::new();
        let mut was_open = false;
        let end = tokio::select! {
            end = self.exchange(&mut reader, &mut writer, &mut session, &mut out, &mut was_open) => end,
            () = self.setup.stop.killed() => None,
        };
        // What is wrong is told if it can be told at once.
        let _ = session.produce(&mut out, 0, self.now());
        let last = async {
            writer.write_all(&out).await?;
            writer.shutdown().await
        };
        let _ = timer::timeout(Some(LAST_WORDS), last).await;
        let reason = end.map_or_else(String::new, |end| format!(": {end}"));
        let what = format!("connection ended{reason}");
        self.trace(peers::CONN_END, Level::User, &name_of(&session), &what);
        if let Some(name) = session.peer_name() {
            match (was_open, end) {
                (true, Some(end)) => self.say(&format!("connection with {name} ended: {end}.")),
                (true, None) => self.say(&format!("connection with {name} ended.")),
                (false, Some(end)) => self.say(&format!("no connection with {name}: {end}.")),
                (false, None) => {}
            }
        }
        session.close(end, self.now());
        Ended { was_open, taught: end == Some(End::Taught) }
    }

    async fn exchange(
        &self,
        reader: &mut ReadHalf<Box<dyn Io>>,
        writer: &mut WriteHalf<Box<dyn Io>>,
        session: &mut Session,
        out: &mut Vec<u8>,
        was_open: &mut bool,
    ) -> Option<End> {
        let mut changes = self.section.watch();
        let mut input = Vec::new();
        let stop = &self.setup.stop;
        let mut leave_by = None;
        loop {
            let now = self.now();
            if let Err(end) = session.tick(now) {
                return Some(end);
            }
            if session.is_open()
                && !std::mem::replace(was_open, true)
                && let Some(name) = session.peer_name()
            {
                self.say(&format!("connected with {name}."));
            }
            let more = out.len() < LOW
                && match session.produce(out, self.setup.most, now) {
                    Ok(more) => more,
                    Err(end) => return Some(end),
                };
            session.publish();
            let leaving = stop.is_draining() && !session.teaches_successor();
            if leaving {
                let by = *leave_by.get_or_insert(now + LAST_WORDS);
                if now >= by || !session.is_open() || (!more && out.is_empty()) {
                    return None;
                }
            }
            let deadline = session.deadline().min(leave_by.unwrap_or(Now(u64::MAX)));
            let wait = Duration::from_millis(deadline.ms_since(now).max(1));
            input.reserve(READ);
            tokio::select! {
                read = reader.read_buf(&mut input), if out.len() < HIGH => match read {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {
                        match session.receive(&input, self.now()) {
                            Ok(used) => drop(input.drain(..used)),
                            Err(end) => return Some(end),
                        }
                    }
                },
                written = writer.write(out), if !out.is_empty() => match written {
                    Ok(0) | Err(_) => return None,
                    Ok(n) => drop(out.drain(..n)),
                },
                _ = changes.changed() => {}
                () = tokio::task::yield_now(), if more && out.len() < LOW => {}
                () = timer::sleep(wait) => {}
                () = stop.draining(), if leave_by.is_none() && !session.teaches_successor() => {}
            }
        }
    }

    /// Tells the process that replaces this one everything, when there is one.
    async fn teach_successor(self: Rc<Self>) {
        let Some(local) = self.section.peers.iter().position(|peer| peer.is_local) else { return };
        let (tries, pause) = SUCCESSOR;
        for _ in 0..tries {
            match self.open(local).await {
                Ok(io) => {
                    let session = Session::connect(
                        self.section.clone(),
                        local,
                        std::process::id(),
                        self.now(),
                    );
                    if self.converse(io, session).await.taught {
                        return;
                    }
                }
                // Nobody listens any more: there is no successor.
                Err(error) => {
                    tracing::debug!(section = &*self.section.name, %error, "no successor");
                    return;
                }
            }
            timer::sleep(pause).await;
        }
    }
}

/// How a session ended.
struct Ended {
    was_open: bool,
    taught: bool,
}

/// Lets peers in.
struct Door {
    runner: Rc<Runner>,
    entrance: Option<Arc<Entrance>>,
}

impl Acceptance for Door {
    fn room(&self) -> Room {
        let known = self.runner.section.peers.len() * 2;
        if self.runner.strangers.get() < STRANGERS + known { Room::Yes } else { Room::Full }
    }

    fn accepted(&self, connection: Accepted) {
        let (runner, entrance) = (self.runner.clone(), self.entrance.clone());
        runner.strangers.set(runner.strangers.get() + 1);
        tokio::task::spawn_local(async move {
            runner.clone().welcome(connection.stream, entrance.as_deref()).await;
            runner.strangers.set(runner.strangers.get() - 1);
            runner.left.notify_one();
            runner.slots.freed();
        });
    }

    fn failed(&self, error: &io::Error) {
        tracing::warn!(section = &*self.runner.section.name, %error, "peers");
    }
}
