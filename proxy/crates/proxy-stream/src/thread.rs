//! What the sessions of one worker thread share. Nothing here is locked, nothing leaves the thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bumpalo::Bump;
use proxy_net::clock::{self, Tick};
use proxy_net::stop::{Phase, Stop};
use proxy_net::timer;
use proxy_rules::sample::EvalCtx;
use proxy_rules::sample::context::{Clock, Date, Task, TaskTimes};
use proxy_state::Now;
use proxy_types::{ProxyId, ServerId};
use slab::Slab;
use tokio::sync::Notify;

use crate::backend::Pool;
use crate::env::{self, CloseSpread, Env};
use crate::stopwatch::{Run, Stopwatch};
use crate::stream::Exchange;

/// Exchanges kept for reuse.
const SPARE_EXCHANGES: usize = 128;

/// Parts that clients leave in under `close-spread-time`.
const PARTS: usize = 64;

/// The engine of one thread. Build it with [`Thread::start`] on the thread it serves.
pub struct Thread {
    pub env: Arc<Env>,
    pub stop: Stop,
    pub(crate) pool: RefCell<Pool>,
    #[allow(clippy::vec_box, reason = "sessions hold the boxes; moving an exchange would copy it")]
    exchanges: RefCell<Vec<Box<Exchange>>>,
    sessions: RefCell<Slab<Seat>>,
    /// Their streams.
    rows: RefCell<Slab<StreamRow>>,
    /// Streams that are to end and did not notice yet.
    kills: Cell<u32>,
    random: Cell<u64>,
    /// Of [`PARTS`], how many are to leave once the worker drains.
    leaving: Cell<usize>,
    /// Memory of evaluations; reset after each.
    pub(crate) bump: RefCell<Bump>,
    lines: Cell<u32>,
    /// Processor time of the thread when it was last looked at, and its share of the second before, in percent.
    busy: Cell<(Duration, u32)>,
    streams: Cell<u32>,
    /// The task that runs, where tasks are timed.
    running: Cell<Option<Run>>,
    /// When the running task was woken; see [`Thread::timed`].
    now: Cell<Tick>,
    /// The same by the calendar, once somebody asked.
    date: Cell<Option<Date>>,
}

/// Place of a session among those of its thread.
pub(crate) type SeatKey = u32;

/// What the thread knows of a session. Small: there is one for each idle connection.
struct Seat {
    waker: Waker,
    /// Place of its stream among the rows; [`NO_STREAM`] while there is none.
    row: u32,
    /// Its stream is to end.
    killed: bool,
}

const NO_STREAM: u32 = u32::MAX;

/// A stream, for those who look from outside.
#[derive(Clone, Copy, Debug)]
pub struct StreamRow {
    /// Told apart within the process; not 0.
    pub id: u64,
    pub src: Option<SocketAddr>,
    pub frontend: ProxyId,
    /// Once it was chosen.
    pub backend: Option<ProxyId>,
    /// Once it was chosen.
    pub server: Option<ServerId>,
    pub since: Tick,
}

/// Lets clients go at a soft stop, as `close-spread-time` wants it.
async fn let_go(thread: Weak<Thread>) {
    let Some(spread) = thread.upgrade().map(|thread| thread.env.close_spread) else { return };
    let step = match spread {
        CloseSpread::AtOnce => PARTS,
        CloseSpread::Never => return,
        CloseSpread::Within(_) => 1,
    };
    for first in (0..PARTS).step_by(step) {
        if let CloseSpread::Within(time) = spread {
            timer::sleep(time / PARTS as u32).await;
        }
        let Some(thread) = thread.upgrade() else { return };
        thread.leaving.set(first + step);
        thread.wake(first..first + step);
    }
}

impl Thread {
    /// Makes the thread's state and spawns what keeps it tidy: the purge of idle server connections and
    /// the wake-up of idle sessions at a soft stop. Must run inside a runtime where `spawn_local` works.
    #[must_use]
    pub fn start(env: Arc<Env>, stop: Stop, seed: u64) -> Rc<Self> {
        let thread = Rc::new(Self {
            env,
            stop,
            pool: RefCell::default(),
            exchanges: RefCell::default(),
            sessions: RefCell::default(),
            rows: RefCell::default(),
            kills: Cell::new(0),
            random: Cell::new(seed | 1),
            leaving: Cell::new(0),
            bump: RefCell::default(),
            lines: Cell::new(0),
            busy: Cell::default(),
            streams: Cell::new(0),
            running: Cell::new(None),
            now: Cell::new(clock::precise()),
            date: Cell::new(None),
        });
        let weak = Rc::downgrade(&thread);
        tokio::task::spawn_local(async move {
            while let Some(thread) = weak.upgrade() {
                thread.pool.borrow_mut().purge(clock::coarse());
                thread.measure();
                drop(thread);
                timer::sleep(Duration::from_secs(1)).await;
            }
        });
        if let Some(mut letters) = thread.env.mailboxes.open(proxy_state::thread::current()) {
            let weak = Rc::downgrade(&thread);
            tokio::task::spawn_local(async move {
                while let Some(letter) = letters.recv().await {
                    let Some(thread) = weak.upgrade() else { return };
                    letter.obey(&mut thread.pool.borrow_mut());
                    thread.env.mailboxes.caught_up(proxy_state::thread::current());
                }
            });
        }
        tokio::task::spawn_local(wake_on_shutdown(&thread));
        tokio::task::spawn_local(purge_on_maintenance(&thread));
        let (weak, stop) = (Rc::downgrade(&thread), thread.stop.clone());
        tokio::task::spawn_local(async move {
            for phase in [Phase::Draining, Phase::Killed] {
                stop.reached(phase).await;
                let Some(thread) = weak.upgrade() else { return };
                thread.pool.borrow_mut().clear();
                if phase == Phase::Killed {
                    thread.wake(0..PARTS);
                } else {
                    tokio::task::spawn_local(let_go(Rc::downgrade(&thread)));
                }
            }
        });
        thread
    }

    /// Looks at how much of the last second the thread was running.
    fn measure(&self) {
        let Ok(time) = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID) else {
            return;
        };
        let used = Duration::from(time);
        let (before, _) = self.busy.get();
        let percent = used.saturating_sub(before).as_millis() / 10;
        let percent = u32::try_from(percent).unwrap_or(100).min(100);
        self.busy.set((used, percent));
        self.env.registry().process.busy.set(proxy_state::thread::current(), percent);
    }

    /// Share of the last second that the thread was running, in percent.
    pub(crate) fn busy_percent(&self) -> u32 {
        self.busy.get().1
    }

    /// Whether a connection with too many anomalies is to end now.
    pub(crate) fn kills_glitches(&self) -> bool {
        self.busy_percent() >= self.env.kill_cpu
    }

    /// Runs a task that reads the clock once each time it is woken: what it does then happens at one time.
    pub(crate) fn timed<F: Future>(
        self: Rc<Self>,
        mut task: Pin<&mut F>,
    ) -> impl Future<Output = F::Output> {
        let timed = self.env.registry().process.times_tasks();
        let mut watch = timed.then(|| Box::new(Stopwatch::new()));
        poll_fn(move |cx| {
            self.look();
            match &mut watch {
                None => task.as_mut().poll(cx),
                Some(watch) => watch.poll(&self.running, task.as_mut(), cx),
            }
        })
    }

    /// Reads the clock.
    pub(crate) fn look(&self) -> Tick {
        let now = clock::precise();
        self.now.set(now);
        self.date.set(None);
        now
    }

    /// The time, as a task that is [timed](Thread::timed) sees it.
    pub(crate) fn tick(&self) -> Tick {
        self.now.get()
    }

    /// The same by the calendar.
    pub(crate) fn date(&self) -> Date {
        let date = self.date.get().unwrap_or_else(env::date);
        self.date.set(Some(date));
        date
    }

    /// `tick` as the counters' time.
    pub(crate) fn now(&self, tick: Tick) -> Now {
        self.env.now(tick)
    }

    /// A cleared exchange.
    pub(crate) fn exchange(&self) -> Box<Exchange> {
        self.exchanges.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes an exchange back.
    pub(crate) fn recycle(&self, mut exchange: Box<Exchange>) {
        exchange.reset();
        let mut spare = self.exchanges.borrow_mut();
        if spare.len() < SPARE_EXCHANGES {
            spare.push(exchange);
        }
    }

    /// Remembers whom to wake at a stop.
    pub(crate) fn enter(&self, waker: Waker) -> SeatKey {
        // As many as there are descriptors.
        self.sessions.borrow_mut().insert(Seat { waker, row: NO_STREAM, killed: false }) as SeatKey
    }

    /// Notes that a session serves a stream from now on.
    pub(crate) fn begin_stream(
        &self,
        key: Option<SeatKey>,
        number: u32,
        frontend: ProxyId,
        src: Option<SocketAddr>,
    ) {
        if self.running.get().is_some() {
            self.running.set(Some(Run::first()));
        }
        let Some(key) = key else { return };
        let mut sessions = self.sessions.borrow_mut();
        let Some(seat) = sessions.get_mut(key as usize) else { return };
        let row = StreamRow {
            // Not 0, and told apart from the numbers of other sessions that have the same stream number.
            id: (u64::from(number) + 1) << 24 | u64::from(key) & 0xff_ffff,
            src,
            frontend,
            backend: None,
            server: None,
            since: self.tick(),
        };
        let mut rows = self.rows.borrow_mut();
        match rows.get_mut(seat.row as usize) {
            Some(before) => *before = row,
            None => seat.row = rows.insert(row) as u32,
        }
    }

    /// Notes that the stream of a session ended.
    pub(crate) fn end_stream(&self, key: Option<SeatKey>) {
        let Some(key) = key else { return };
        if let Some(seat) = self.sessions.borrow_mut().get_mut(key as usize) {
            self.rows.borrow_mut().try_remove(std::mem::replace(&mut seat.row, NO_STREAM) as usize);
            if std::mem::take(&mut seat.killed) {
                self.kills.set(self.kills.get().saturating_sub(1));
            }
        }
    }

    /// Changes what is told of the stream of a session.
    pub(crate) fn note(&self, key: Option<SeatKey>, change: impl FnOnce(&mut StreamRow)) {
        let Some(row) = key.and_then(|key| Some(self.sessions.borrow().get(key as usize)?.row))
        else {
            return;
        };
        if let Some(row) = self.rows.borrow_mut().get_mut(row as usize) {
            change(row);
        }
    }

    /// Whether the stream of a session is to end.
    pub(crate) fn is_killed(&self, key: Option<SeatKey>) -> bool {
        self.kills.get() > 0
            && key.is_some_and(|key| {
                self.sessions.borrow().get(key as usize).is_some_and(|s| s.killed)
            })
    }

    /// The streams that live now.
    pub fn streams(&self) -> Vec<StreamRow> {
        self.rows.borrow().iter().map(|(_, row)| *row).collect()
    }

    /// Ends a stream; false when there is none of this id.
    pub fn kill_stream(&self, id: u64) -> bool {
        let rows = self.rows.borrow();
        let serves = |seat: &Seat| rows.get(seat.row as usize).is_some_and(|row| row.id == id);
        let mut sessions = self.sessions.borrow_mut();
        let Some((_, seat)) = sessions.iter_mut().find(|(_, seat)| serves(seat)) else {
            return false;
        };
        if !std::mem::replace(&mut seat.killed, true) {
            self.kills.set(self.kills.get() + 1);
        }
        seat.waker.wake_by_ref();
        true
    }

    /// Whether a session that could go on is to end: the worker stops, and its turn has come.
    pub(crate) fn leaves(&self, session: Option<SeatKey>) -> bool {
        let turn = || session.unwrap_or(0) as usize % PARTS < self.leaving.get();
        self.stop.is_draining() && (self.stop.is_killed() || turn())
    }

    /// Wakes the sessions of these parts.
    fn wake(&self, parts: std::ops::Range<usize>) {
        for (key, seat) in self.sessions.borrow().iter() {
            if parts.contains(&(key % PARTS)) {
                seat.waker.wake_by_ref();
            }
        }
    }

    /// Forgets a session.
    pub(crate) fn leave(&self, key: SeatKey) {
        self.end_stream(Some(key));
        self.sessions.borrow_mut().remove(key as usize);
    }

    /// An evaluation context that knows the worker and the time.
    pub(crate) fn context<'a>(&'a self, bump: &'a Bump, clock: Clock) -> EvalCtx<'a> {
        let mut cx = EvalCtx::new(bump, &self.env.shared, clock, &self.random);
        cx.thread = proxy_state::thread::current();
        cx.task = Some(self);
        // Heads are complete when rules run, and bodies are not looked at.
        cx.complete = true;
        cx.stopping = self.stop.is_draining();
        cx
    }

    /// The calendar and counters' time for an evaluation.
    pub(crate) fn clock(&self) -> Clock {
        Clock { now: self.now(self.tick()), date: self.date(), utc_offset: self.env.utc_offset }
    }

    /// Number of the next log line of this thread.
    pub(crate) fn next_line(&self) -> u32 {
        self.lines.replace(self.lines.get().wrapping_add(1))
    }

    /// Number of the next stream, told apart between threads by its place value.
    pub(crate) fn next_stream(&self) -> u32 {
        let own = self.streams.replace(self.streams.get().wrapping_add(1));
        let threads = u32::try_from(proxy_state::thread::shards()).unwrap_or(1);
        let index = u32::try_from(proxy_state::thread::current()).unwrap_or(0);
        own.wrapping_mul(threads).wrapping_add(index)
    }

    /// The next number of the thread's random sequence (xorshift64*).
    pub(crate) fn random(&self) -> u32 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}

impl Task for Thread {
    fn times(&self) -> TaskTimes {
        self.running.get().map(Run::times).unwrap_or_default()
    }
}

/// Closes idle connections to a server as soon as it is in maintenance: it may be about to be removed.
fn purge_on_maintenance(thread: &Rc<Thread>) -> impl Future<Output = ()> + use<> {
    let changed = Arc::new(Notify::new());
    let told = changed.clone();
    thread.env.registry().on_server_change(Box::new(move |server| {
        if server.admin_state().is_maint() {
            told.notify_one();
        }
    }));
    let weak = Rc::downgrade(thread);
    async move {
        loop {
            changed.notified().await;
            let Some(thread) = weak.upgrade() else { return };
            thread.pool.borrow_mut().purge(clock::coarse());
        }
    }
}

/// Wakes the sessions of the thread each time a server ends its own (see `Server::shutdowns`): one that carries no
/// bytes at that time would not notice.
fn wake_on_shutdown(thread: &Rc<Thread>) -> impl Future<Output = ()> + use<> {
    let ended = Arc::new(Notify::new());
    let told = ended.clone();
    thread.env.registry().on_server_change(Box::new(move |server| {
        if server.shutdowns() > 0 {
            told.notify_one();
        }
    }));
    let weak = Rc::downgrade(thread);
    async move {
        loop {
            ended.notified().await;
            let Some(thread) = weak.upgrade() else { return };
            thread.sessions.borrow().iter().for_each(|(_, seat)| seat.waker.wake_by_ref());
        }
    }
}
