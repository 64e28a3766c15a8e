//! One source of traces: what it is asked for, and the state machine of starting, pausing, stopping and locking.

use std::fmt::Write as _;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::log::Sink;
use crate::log::ring::Ring;

/// Lines of traces are debug messages for those who see them as log messages.
const SEVERITY: u8 = 7;
/// A trace is one line of at most this many bytes.
const LONGEST: usize = 8192;

/// An event that may be traced.
pub struct EventRow {
    pub(super) bit: u64,
    pub name: &'static str,
    pub doc: &'static str,
}

/// How important a trace is; a source tells those of its level and the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    User,
    Proto,
    State,
    Data,
    Developer,
}

/// The levels with their names.
pub(super) const LEVELS: &[(Level, &str, &str)] = &[
    (Level::Error, "error", "report errors"),
    (Level::User, "user", "also information useful to the end user"),
    (Level::Proto, "proto", "also protocol-level updates"),
    (Level::State, "state", "also report internal state changes"),
    (Level::Data, "data", "also report data transfers"),
    (Level::Developer, "developer", "also report information useful only to the developer"),
];

/// How much a trace tells beside its event; indexes of [`VERBOSITIES`].
pub(super) const CLEAN: usize = 1;
const MINIMAL: usize = 2;
const SIMPLE: usize = 3;
const ADVANCED: usize = 4;
const COMPLETE: usize = 5;
pub(super) const VERBOSITIES: &[(&str, &str)] = &[
    ("quiet", "only the event"),
    ("clean", "add what it is about"),
    ("minimal", "add whose it is: connection, frontend, backend, server"),
    ("simple", "add the first line of messages and numbers"),
    ("advanced", "add the names of header fields"),
    ("complete", "add header fields with their values"),
];

/// What a source may keep to once it started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Criterion {
    Backend,
    Connection,
    Frontend,
    Listener,
    Nothing,
    Server,
    Session,
    Thread,
    /// What the source has of its own.
    Own,
}

pub(super) const CRITERIA: &[(Criterion, &str, &str)] = &[
    (Criterion::Backend, "backend", "lock on the backend that started the trace"),
    (Criterion::Connection, "connection", "lock on the connection that started the trace"),
    (Criterion::Frontend, "frontend", "lock on the frontend that started the trace"),
    (Criterion::Listener, "listener", "lock on the listener that started the trace"),
    (Criterion::Nothing, "nothing", "do not lock on anything"),
    (Criterion::Server, "server", "lock on the server that started the trace"),
    (Criterion::Session, "session", "lock on the session that started the trace"),
    (Criterion::Thread, "thread", "lock on the thread that started the trace"),
];

/// What an event is about, by numbers that tell one from another; 0 is nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subject {
    pub(crate) backend: u64,
    pub(crate) connection: u64,
    pub(crate) frontend: u64,
    pub(crate) listener: u64,
    pub(crate) server: u64,
    pub(crate) session: u64,
    pub(crate) own: u64,
}

impl Subject {
    fn value(&self, criterion: Criterion) -> u64 {
        match criterion {
            Criterion::Backend => self.backend,
            Criterion::Connection => self.connection,
            Criterion::Frontend => self.frontend,
            Criterion::Listener => self.listener,
            Criterion::Nothing => 0,
            Criterion::Server => self.server,
            Criterion::Session => self.session,
            Criterion::Thread => proxy_state::thread::current() as u64 + 1,
            Criterion::Own => self.own,
        }
    }
}

/// Where traces may go.
pub struct TraceSink {
    pub name: Box<str>,
    pub description: Box<str>,
    pub sink: Arc<dyn Sink>,
    /// Counts what found no room; descriptors have none.
    pub ring: Option<Arc<Ring>>,
}

impl TraceSink {
    pub(super) fn dropped(&self) -> u64 {
        self.ring.as_ref().map_or(0, |ring| ring.dropped())
    }
}

/// Every sink of the process.
pub type Sinks = Vec<Arc<TraceSink>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Stopped,
    /// A start event is awaited.
    Waiting,
    Running,
}

impl Run {
    pub(super) fn sign(self) -> char {
        match self {
            Self::Stopped => '.',
            Self::Waiting => 'w',
            Self::Running => 'R',
        }
    }
}

pub(super) struct State {
    pub(super) run: Run,
    pub(super) report: u64,
    pub(super) start: u64,
    pub(super) pause: u64,
    pub(super) stop: u64,
    pub(super) level: Level,
    pub(super) verbosity: usize,
    pub(super) lock: Criterion,
    /// What is kept to now; 0 is nothing yet.
    pub(super) locked: u64,
    pub(super) follows: Option<&'static Source>,
    pub(super) sink: Option<Arc<TraceSink>>,
}

/// A source of traces.
pub struct Source {
    pub name: &'static str,
    pub doc: &'static str,
    pub events: &'static [EventRow],
    /// The criterion that only this source has.
    pub(super) own: Option<(&'static str, &'static str)>,
    /// Events that change something now.
    wanted: AtomicU64,
    state: Mutex<State>,
}

/// What makes the text of a trace.
pub(crate) struct Telling {
    pub(crate) text: String,
    verbosity: usize,
}

impl Telling {
    /// Whether it is told what the event is about.
    pub(crate) fn has_subject(&self) -> bool {
        self.verbosity >= CLEAN
    }

    /// Whether it is told whose it is.
    pub(crate) fn has_parties(&self) -> bool {
        self.verbosity >= MINIMAL
    }

    pub(crate) fn has_details(&self) -> bool {
        self.verbosity >= SIMPLE
    }

    pub(crate) fn has_names(&self) -> bool {
        self.verbosity >= ADVANCED
    }

    pub(crate) fn has_values(&self) -> bool {
        self.verbosity >= COMPLETE
    }
}

impl Source {
    pub(super) const fn new(
        name: &'static str,
        doc: &'static str,
        events: &'static [EventRow],
        own: Option<(&'static str, &'static str)>,
    ) -> Self {
        let state = State {
            run: Run::Stopped,
            report: u64::MAX,
            start: 0,
            pause: 0,
            stop: 0,
            level: Level::User,
            verbosity: CLEAN,
            lock: Criterion::Nothing,
            locked: 0,
            follows: None,
            sink: None,
        };
        Self { name, doc, events, own, wanted: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// Whether somebody wants to know of any of these events.
    #[inline]
    pub(crate) fn wants(&self, events: u64) -> bool {
        self.wanted.load(Ordering::Relaxed) & events != 0
    }

    /// Changes the source; trace points see it at once.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock();
        let changed = change(&mut state);
        self.settle(&state);
        changed
    }

    fn settle(&self, state: &State) {
        let own = match state.run {
            Run::Stopped => 0,
            Run::Waiting => state.start,
            Run::Running => state.report | state.pause | state.stop,
        };
        let followed = if state.follows.is_some() { state.report } else { 0 };
        self.wanted.store(own | followed, Ordering::Relaxed);
    }

    /// What is kept to, for those who follow this source.
    fn held(&self) -> Option<(Criterion, u64)> {
        let state = self.state.lock();
        let holds = state.run == Run::Running && state.locked != 0;
        holds.then_some((state.lock, state.locked))
    }

    /// Something happened. `text` is made when it is told.
    #[cold]
    #[track_caller]
    pub(crate) fn tell(
        &self,
        events: u64,
        level: Level,
        subject: &Subject,
        text: &dyn Fn(&mut Telling),
    ) {
        let follows = self.state.lock().follows;
        let followed = follows.filter(|other| !std::ptr::eq(*other, self)).and_then(Self::held);
        let followed = followed.is_some_and(|(by, value)| subject.value(by) == value);
        let Some((sink, verbosity)) = self.change(|state| {
            let told = state.takes(events, subject) || followed;
            let told = told && level <= state.level && events & state.report != 0;
            let sink = state.sink.clone().filter(|_| told).zip(Some(state.verbosity));
            state.passed(events, subject);
            sink
        }) else {
            return;
        };
        let (place, number) = (Location::caller(), LEVELS.iter().position(|row| row.0 == level));
        let file = place.file().rsplit('/').next().unwrap_or_default();
        let mut telling = Telling { text: String::new(), verbosity };
        let _ = write!(
            telling.text,
            "[{:02}|{}|{}|{file}:{}] ",
            proxy_state::thread::current() + 1,
            self.name,
            number.unwrap_or_default(),
            place.line()
        );
        text(&mut telling);
        let line = telling.text.as_bytes();
        sink.sink.line(SEVERITY, &line[..line.len().min(LONGEST)]);
    }
}

impl State {
    /// Whether an event is one of those that are traced now; a start event begins.
    fn takes(&mut self, events: u64, subject: &Subject) -> bool {
        if self.run == Run::Waiting && events & self.start != 0 {
            self.run = Run::Running;
        }
        if self.run != Run::Running {
            return false;
        }
        if self.lock == Criterion::Nothing {
            return true;
        }
        let value = subject.value(self.lock);
        if self.locked == 0 {
            self.locked = value;
        }
        value == self.locked && value != 0
    }

    /// What an event ends that was looked at.
    fn passed(&mut self, events: u64, subject: &Subject) {
        let others = self.lock != Criterion::Nothing && subject.value(self.lock) != self.locked;
        if self.run != Run::Running || others {
            return;
        }
        if events & self.stop != 0 {
            (self.run, self.locked) = (Run::Stopped, 0);
        } else if events & self.pause != 0 {
            (self.run, self.locked) = (Run::Waiting, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: u64 = 1;
    const DATA: u64 = 2;
    const END: u64 = 4;
    static EVENTS: &[EventRow] = &[
        EventRow { bit: NEW, name: "new", doc: "" },
        EventRow { bit: DATA, name: "data", doc: "" },
        EventRow { bit: END, name: "end", doc: "" },
    ];

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Sink for Kept {
        fn line(&self, _: u8, line: &[u8]) {
            let line = String::from_utf8_lossy(line);
            let (_, text) = line.split_once("] ").unwrap();
            self.0.lock().push(text.to_owned());
        }
    }

    fn into(kept: &Arc<Kept>) -> Option<Arc<TraceSink>> {
        let (name, description) = ("t".into(), "".into());
        Some(Arc::new(TraceSink { name, description, sink: kept.clone(), ring: None }))
    }

    /// Tells `events`, each of a session, and what is expected to come out.
    fn check(source: &Source, kept: &Kept, events: &[(u64, u64)], expected: &[&str]) {
        for &(event, session) in events {
            if source.wants(event) {
                let subject = Subject { session, ..Subject::default() };
                source.tell(event, Level::User, &subject, &|t| {
                    let _ = write!(t.text, "{event} of {session}");
                });
            }
        }
        assert_eq!(std::mem::take(&mut *kept.0.lock()), expected);
    }

    #[test]
    fn a_source_keeps_to_what_started_it_until_it_pauses() {
        static SOURCE: Source = Source::new("s", "", EVENTS, None);
        let kept = Arc::new(Kept::default());
        check(&SOURCE, &kept, &[(NEW, 1)], &[]);
        SOURCE.change(|s| {
            (s.sink, s.lock) = (into(&kept), Criterion::Session);
            (s.run, s.start, s.pause) = (Run::Waiting, NEW, END);
        });
        let events =
            [(DATA, 9), (NEW, 1), (NEW, 2), (DATA, 1), (DATA, 2), (END, 2), (END, 1), (DATA, 1)];
        check(&SOURCE, &kept, &events, &["1 of 1", "2 of 1", "4 of 1"]);
        check(&SOURCE, &kept, &[(NEW, 3), (DATA, 3)], &["1 of 3", "2 of 3"]);
        SOURCE.change(|s| s.run = Run::Stopped);
        assert!(!SOURCE.wants(u64::MAX));
    }

    #[test]
    fn a_follower_tells_what_the_other_keeps_to() {
        static LEADER: Source = Source::new("a", "", EVENTS, None);
        static FOLLOWER: Source = Source::new("b", "", EVENTS, None);
        let kept = Arc::new(Kept::default());
        LEADER.change(|s| {
            (s.run, s.lock) = (Run::Running, Criterion::Session);
        });
        FOLLOWER.change(|s| (s.sink, s.follows) = (into(&kept), Some(&LEADER)));
        check(&FOLLOWER, &kept, &[(NEW, 1)], &[]);
        check(&LEADER, &kept, &[(NEW, 1)], &[]);
        check(&FOLLOWER, &kept, &[(DATA, 2), (DATA, 1)], &["2 of 1"]);
    }

    #[test]
    fn a_stop_event_is_told_and_ends_it() {
        static SOURCE: Source = Source::new("s", "", EVENTS, None);
        let kept = Arc::new(Kept::default());
        SOURCE.change(|s| (s.sink, s.run, s.stop) = (into(&kept), Run::Running, DATA));
        check(&SOURCE, &kept, &[(NEW, 1), (DATA, 1), (END, 1)], &["1 of 1", "2 of 1"]);
        SOURCE.change(|s| (s.run, s.stop, s.level) = (Run::Running, 0, Level::Error));
        check(&SOURCE, &kept, &[(NEW, 1)], &[]);
    }
}
