//! Idle connections change threads: one that has none for a request asks those that have some.
//!
//! A connection belongs to the reactor of its thread, so only its owner can let go of it. The owner takes it out of its
//! pool and out of its reactor, and sends socket and TLS state over. Nothing of this is on the way of a request whose
//! thread has a connection, and nothing is locked.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proxy_net::clock;
use proxy_net::timer;
use proxy_rules::sample::connection::Connection;
use proxy_state::counters::Open;
use proxy_state::{Server, SockAddr};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::reuse::{Idle, Place, Pool, Route};
use crate::io::{Conn, Detached};

/// How long an owner is waited for. One that is busy for longer costs more than a new connection, and is not asked again
/// before it has caught up.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long an owner is waited for where nothing else helps.
const NEED: Duration = Duration::from_secs(1);

/// What another thread is asked for.
pub(crate) enum Want {
    /// A connection of this key; with `only_proven`, one that was reused before.
    Connection { key: u64, only_proven: bool },
    /// That it closes one.
    Room,
}

/// A question to a thread.
pub(crate) struct Letter {
    server: Arc<Server>,
    want: Want,
    answer: oneshot::Sender<Answer>,
}

/// What a thread answers.
pub(crate) enum Answer {
    Moved(Moved),
    Closed,
    Nothing,
}

/// An idle connection between two threads.
pub(crate) struct Moved {
    pub(crate) io: Detached,
    addr: Arc<SockAddr>,
    key: u64,
    facts: Option<Arc<Connection>>,
    proven: bool,
    uses: u32,
    place: Option<Arc<Place>>,
    open: Option<Arc<Open>>,
}

impl Moved {
    /// Takes a connection out of its thread; `None` when that cannot be.
    fn of(idle: Idle) -> Option<Self> {
        let Idle { conn, addr, route, proven, uses } = idle;
        let io = conn.io.detach().ok()?;
        Some(Self {
            io,
            addr,
            key: route.key,
            facts: route.facts,
            proven,
            uses,
            place: route.place,
            open: route.open,
        })
    }

    /// Makes it one of this thread; `None` when that failed.
    pub(crate) fn arrive(self) -> Option<Idle> {
        let Self { io, addr, key, facts, proven, uses, place, open } = self;
        let conn = Conn::new(io.attach().ok()?);
        let route = Route { key, facts, place, open, ..Route::default() };
        Some(Idle { conn, addr, route, proven, uses })
    }
}

/// Where the threads get their letters.
#[derive(Default)]
pub struct Mailboxes(Vec<Mailbox>);

struct Mailbox {
    to: UnboundedSender<Letter>,
    /// Until its thread has begun.
    from: Mutex<Option<UnboundedReceiver<Letter>>>,
    /// Its thread did not answer in time, and reads its letters still.
    late: AtomicBool,
}

impl Mailboxes {
    /// Mailboxes of `threads` worker threads.
    #[must_use]
    pub fn new(threads: usize) -> Self {
        let mailbox = |_| {
            let (to, from) = unbounded_channel();
            Mailbox { to, from: Mutex::new(Some(from)), late: AtomicBool::new(false) }
        };
        Self((0..threads).map(mailbox).collect())
    }

    /// The letters of a thread; once.
    pub(crate) fn open(&self, thread: usize) -> Option<UnboundedReceiver<Letter>> {
        self.0.get(thread)?.from.lock().ok()?.take()
    }

    /// A thread has read a letter.
    pub(crate) fn caught_up(&self, thread: usize) {
        if let Some(mailbox) = self.0.get(thread) {
            mailbox.late.store(false, Ordering::Relaxed);
        }
    }

    /// Asks the threads that have idle connections to `server`, one after the other, until one does not answer in time.
    async fn ask(
        &self,
        server: &Arc<Server>,
        patience: Duration,
        want: impl Fn() -> Want,
    ) -> Option<Answer> {
        let own = proxy_state::thread::current();
        // Whoever is asked first should not always be the same.
        let first = own + 1;
        for at in 0..self.0.len() {
            let thread = (first + at) % self.0.len();
            let mailbox = &self.0[thread];
            let late = || patience < NEED && mailbox.late.load(Ordering::Relaxed);
            if thread == own || server.idle.of(thread) == 0 || late() {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            let letter = Letter { server: server.clone(), want: want(), answer };
            if mailbox.to.send(letter).is_err() {
                continue;
            }
            match timer::timeout(Some(patience), answered).await {
                Ok(Ok(Answer::Nothing) | Err(_)) => {}
                Ok(Ok(answer)) => return Some(answer),
                Err(_) => {
                    mailbox.late.store(true, Ordering::Relaxed);
                    return None;
                }
            }
        }
        None
    }

    /// A live connection to `server` from another thread.
    pub(crate) async fn take(
        &self,
        server: &Arc<Server>,
        key: u64,
        only_proven: bool,
    ) -> Option<Idle> {
        let answer = self.ask(server, PATIENCE, || Want::Connection { key, only_proven }).await?;
        let Answer::Moved(moved) = answer else { return None };
        let mut idle = moved.arrive()?;
        idle.conn.is_quiet().then_some(idle)
    }

    /// Has another thread close an idle connection to `server`; false when there was none.
    pub(crate) async fn make_room(&self, server: &Arc<Server>) -> bool {
        matches!(self.ask(server, NEED, || Want::Room).await, Some(Answer::Closed))
    }
}

impl Letter {
    /// Does what it says.
    pub(crate) fn obey(self, pool: &mut Pool) {
        let Self { server, want, answer } = self;
        match want {
            Want::Room => {
                let closed = pool.close_one(&server);
                // Whoever asked may have given up.
                let _ = answer.send(if closed { Answer::Closed } else { Answer::Nothing });
            }
            Want::Connection { key, only_proven } => {
                if answer.is_closed() {
                    return;
                }
                let moved = pool.take(&server, key, only_proven).and_then(Moved::of);
                let answered = answer.send(moved.map_or(Answer::Nothing, Answer::Moved));
                if let Err(Answer::Moved(moved)) = answered
                    && let Some(idle) = moved.arrive()
                {
                    pool.put_back(&server, idle, clock::coarse());
                }
            }
        }
    }
}
