//! What an expression sees of the stream it is evaluated for.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use bumpalo::Bump;
use proxy_http::{RequestHead, ResponseHead};
use proxy_state::stick::data::id;
use proxy_state::{Backend, Frontend, Listener, Now, Registry, Server};

use super::connection::Connection;
use super::value::Sample;
use crate::capture::Captured;
use crate::jwe::Allowed;
use crate::jwt::PublicKeys;
use crate::logformat::{LogFacts, Origin, TimeoutChanges};
use crate::pattern::PatternLists;
use crate::track::Tracked;
use crate::users::Userlist;
use crate::vars::{ProcVars, Room, Scope, StreamVars, VarNames, VarRef, Vars};

/// Facts of the worker that do not change, and what its threads share.
#[derive(Debug)]
pub struct Shared {
    pub registry: Arc<Registry>,
    /// The pattern lists of ACLs and maps, for changes at run time.
    pub patterns: Arc<PatternLists>,
    pub public_keys: Arc<PublicKeys>,
    pub userlists: Vec<Userlist>,
    /// The names of variables, for the CLI.
    pub var_names: Arc<VarNames>,
    pub proc_vars: ProcVars,
    /// Of the machine, as logs show it.
    pub hostname: Box<str>,
    /// `node` of `global`, or the hostname.
    pub node: Box<str>,
    pub pid: u32,
    pub nbthread: u32,
    /// When the worker started.
    pub started: Date,
    /// `tune.bufsize`: no converter makes more bytes than this.
    pub bufsize: usize,
    /// What encrypted tokens may use.
    pub jwe: Allowed,
    /// Whether an address is one of this machine.
    pub is_local: fn(IpAddr) -> bool,
    /// Environment at the start, for `env()`.
    pub env: Vec<(Box<str>, Box<[u8]>)>,
}

/// A point of calendar time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Date {
    /// Seconds since 1970-01-01 UTC.
    pub secs: i64,
    /// Microseconds of the second, 0 to 999,999.
    pub usec: u32,
}

/// The time an evaluation happens at; never read from a clock here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    pub now: Now,
    pub date: Date,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset: i32,
}

/// What the protocol of a connection counts.
#[derive(Clone, Debug)]
pub struct LinkFacts {
    /// Anomalies so far.
    pub glitches: Cell<u32>,
    /// Streams that are open.
    pub streams: Cell<u32>,
    /// Streams that may be open at once.
    pub limit: Cell<u32>,
}

impl Default for LinkFacts {
    /// A connection that carries one stream.
    fn default() -> Self {
        Self { glitches: Cell::new(0), streams: Cell::new(1), limit: Cell::new(1) }
    }
}

/// [`LinkFacts`] of a connection, made when there is something to count: most carry one stream without an anomaly.
#[derive(Clone, Debug, Default)]
pub struct Link(OnceCell<Rc<LinkFacts>>);

impl Link {
    /// What is counted.
    pub fn facts(&self) -> &Rc<LinkFacts> {
        self.0.get_or_init(Rc::default)
    }

    /// Anomalies so far.
    pub fn glitches(&self) -> u32 {
        self.0.get().map_or(0, |facts| facts.glitches.get())
    }
}

impl From<Rc<LinkFacts>> for Link {
    fn from(facts: Rc<LinkFacts>) -> Self {
        Self(OnceCell::from(facts))
    }
}

/// A client connection.
#[derive(Clone, Debug)]
pub struct Session {
    /// Client; `None` on unix sockets.
    pub src: Option<SocketAddr>,
    /// Address the client connected to; `None` on unix sockets.
    pub dst: Option<SocketAddr>,
    pub accepted: Date,
    pub listener: Arc<Listener>,
    pub vars: Vars,
    /// Entries of stick tables tracked for the life of the connection.
    pub tracked: Tracked,
    pub connection: Connection,
    /// What the client's protocol counts.
    pub link: Link,
}

impl Session {
    /// Counts one more anomaly of the client's protocol.
    pub fn count_glitch(&self, now: Now) {
        self.count_glitches(1, now);
    }

    /// Counts `n` more anomalies of the client's protocol.
    pub fn count_glitches(&self, n: u32, now: Now) {
        let glitches = &self.link.facts().glitches;
        glitches.set(glitches.get().saturating_add(n));
        self.tracked.count(id::GLITCH_CNT, id::GLITCH_RATE, u64::from(n), now);
    }
}

/// Everything an expression may look at. `None` means that there is no such thing, or not yet.
#[derive(Clone, Copy)]
pub struct EvalCtx<'a> {
    /// Takes the bytes that evaluation makes. The owner resets it when no value is in use.
    pub scratch: &'a Bump,
    pub shared: &'a Shared,
    pub clock: Clock,
    /// Index of the running thread.
    pub thread: usize,
    /// State of the thread's random sequence; any value but 0.
    pub random: &'a Cell<u64>,
    /// No more content will come: what is missing is missing for good.
    pub complete: bool,
    /// The worker has begun to leave.
    pub stopping: bool,
    pub session: Option<&'a Session>,
    pub frontend: Option<&'a Frontend>,
    /// Once it was chosen.
    pub backend: Option<&'a Backend>,
    /// Once it was chosen.
    pub server: Option<&'a Server>,
    /// The connection to the server.
    pub server_connection: Option<&'a Connection>,
    /// The stream carries messages of HTTP, not bytes.
    pub http: bool,
    /// What its protocol counts.
    pub server_link: Option<&'a LinkFacts>,
    /// The client's connection as the kernel sees it.
    pub client_socket: Option<&'a dyn Socket>,
    /// The same of the server's, or what is left of it.
    pub server_socket: Option<&'a dyn Socket>,
    /// The task that carries the stream, where tasks are timed.
    pub task: Option<&'a dyn Task>,
    pub request: Option<&'a RequestHead>,
    pub response: Option<&'a ResponseHead>,
    /// Bytes received from the client and not passed on: raw in `mode tcp`, of the body in HTTP.
    pub req_data: Option<&'a [u8]>,
    /// Bytes received from the server and not passed on.
    pub res_data: Option<&'a [u8]>,
    pub vars: Option<&'a StreamVars>,
    /// Variables of the health check.
    pub check_vars: Option<&'a Vars>,
    /// What rules set for the stream.
    pub overrides: Option<&'a Overrides>,
    /// What the stream captured.
    pub captured: Option<&'a Captured>,
    /// The rule that last ended a rule set of the stream.
    pub last_rule: Option<&'a LastRule>,
    /// The rule that the stream waits at.
    pub waiting_rule: Option<&'a LastRule>,
    /// Entries of stick tables tracked for the life of the stream.
    pub tracked: Option<&'a Tracked>,
    /// What a log line knows of the stream.
    pub facts: Option<&'a LogFacts<'a>>,
    /// The stream itself while it lives, where `facts` are not made yet.
    pub stream: Option<&'a dyn StreamView>,
    /// Where `do-log` writes.
    pub logger: Option<&'a dyn Logger>,
}

/// Writes log lines while rules run.
pub trait Logger {
    /// Writes the line of what `cx` shows, in the form of a profile if one is named.
    fn log(&self, cx: &EvalCtx<'_>, origin: Origin, profile: Option<&str>);
}

/// What rules set for one stream in place of what holds otherwise (`set-src`, `set-dst`, `set-timeout`).
#[derive(Debug, Default)]
pub struct Overrides {
    pub src: Cell<Option<SocketAddr>>,
    pub dst: Cell<Option<SocketAddr>>,
    pub timeouts: Cell<TimeoutChanges>,
    /// `set-priority-class` and `set-priority-offset` (in ms).
    pub priority: Cell<(i32, i32)>,
    /// `set-retries`.
    pub retries: Cell<Option<u32>>,
    /// `set-bc-mark` and `set-bc-tos`.
    pub server_mark: Cell<Option<u32>>,
    pub server_tos: Cell<Option<u8>>,
    /// `set-fc-mark` and `set-fc-tos`, until they are done.
    pub client_mark: Cell<Option<u32>>,
    pub client_tos: Cell<Option<u8>>,
}

impl Overrides {
    /// As at the start of a stream.
    pub fn clear(&self) {
        let Self { src, dst, timeouts, priority, retries, .. } = self;
        src.take();
        dst.take();
        timeouts.take();
        priority.take();
        retries.take();
        self.server_mark.take();
        self.server_tos.take();
        self.client_mark.take();
        self.client_tos.take();
    }

    /// What was set for a backend of the same section does not hold for another.
    pub fn leave_section(&self) {
        let of_client = self.timeouts.get();
        self.timeouts.set(TimeoutChanges {
            client: of_client.client,
            tarpit: of_client.tarpit,
            ..TimeoutChanges::default()
        });
        self.retries.take();
    }
}

/// What the kernel knows of a connection of TCP.
pub trait Socket {
    /// `None` when it is no such connection, or was closed.
    fn tcp_info(&self) -> Option<TcpInfo>;

    /// The packet that opened it, if that was kept (`tcp-ss`).
    fn saved_syn(&self) -> Option<Vec<u8>>;

    /// The stream on it.
    fn stream(&self) -> StreamEnd {
        StreamEnd::default()
    }
}

/// What the protocol of a connection knows of one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamEnd {
    /// Number of the stream, or of the request where the protocol numbers none; 0 on bare TCP.
    pub id: u32,
    /// Code of the peer's RST_STREAM.
    pub reset: Option<u32>,
    /// The peer gave the stream up, as far as the protocol says so.
    pub aborted: bool,
}

impl Socket for StreamEnd {
    fn tcp_info(&self) -> Option<TcpInfo> {
        None
    }

    fn saved_syn(&self) -> Option<Vec<u8>> {
        None
    }

    fn stream(&self) -> StreamEnd {
        *self
    }
}

/// The task that carries a stream.
pub trait Task {
    /// Since the request began, up to now.
    fn times(&self) -> TaskTimes;
}

/// How often a task ran, how long that took, and how long it waited for its turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskTimes {
    pub calls: u32,
    pub run_ns: u64,
    pub wait_ns: u64,
}

/// Measurements of the kernel; times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpInfo {
    pub fackets: u32,
    pub lost: u32,
    pub reordering: u32,
    pub retrans: u32,
    pub rtt: u32,
    pub rttvar: u32,
    pub sacked: u32,
    pub unacked: u32,
}

/// Tells what is known of a stream so far.
pub trait StreamView {
    fn facts(&self) -> LogFacts<'_>;
}

/// File and line of the rule that last ended a rule set.
#[derive(Debug, Default)]
pub struct LastRule(RefCell<Option<(Arc<str>, u32)>>);

impl LastRule {
    pub fn set(&self, place: Option<(Arc<str>, u32)>) {
        *self.0.borrow_mut() = place;
    }

    pub fn get(&self) -> Option<(Arc<str>, u32)> {
        self.0.borrow().clone()
    }
}

impl<'a> EvalCtx<'a> {
    /// A context that knows the process and the time only.
    pub fn new(scratch: &'a Bump, shared: &'a Shared, clock: Clock, random: &'a Cell<u64>) -> Self {
        Self {
            scratch,
            shared,
            clock,
            thread: 0,
            random,
            complete: false,
            stopping: false,
            session: None,
            frontend: None,
            backend: None,
            server: None,
            server_connection: None,
            http: false,
            client_socket: None,
            server_socket: None,
            task: None,
            server_link: None,
            request: None,
            response: None,
            req_data: None,
            res_data: None,
            vars: None,
            check_vars: None,
            overrides: None,
            captured: None,
            last_rule: None,
            waiting_rule: None,
            tracked: None,
            facts: None,
            stream: None,
            logger: None,
        }
    }

    /// The client: as rules set it, or of the connection.
    pub fn src(&self) -> Option<SocketAddr> {
        self.overrides.and_then(|a| a.src.get()).or_else(|| self.session?.src)
    }

    /// Where the client connected to: as rules set it, or of the connection.
    pub fn dst(&self) -> Option<SocketAddr> {
        self.overrides.and_then(|a| a.dst.get()).or_else(|| self.session?.dst)
    }

    /// What is known of the stream so far; `None` where there is no stream.
    pub fn known(&self) -> Option<LogFacts<'a>> {
        match (self.facts, self.stream) {
            (Some(facts), _) => Some(facts.clone()),
            (None, Some(stream)) => Some(stream.facts()),
            (None, None) => None,
        }
    }

    /// The user list called `name`.
    pub fn userlist(&self, name: &str) -> Option<&'a Userlist> {
        self.shared.userlists.iter().find(|list| &*list.name == name)
    }

    /// The value of a variable.
    pub fn var(&self, var: VarRef) -> Option<Sample<'a>> {
        match var.scope {
            Scope::Proc => self.shared.proc_vars.get(var.id, self.scratch),
            _ => self.scope(var.scope)?.get(var.id, self.scratch),
        }
    }

    /// Keeps a value; `false` when the scope does not exist here.
    pub fn set_var(&self, var: VarRef, value: Sample<'_>) -> bool {
        if var.scope == Scope::Proc {
            self.shared.proc_vars.set(var.id, value);
            return true;
        }
        let scope = self.scope(var.scope);
        let session = self.session.map(|session| &session.vars);
        let room = Room { session, stream: self.vars, scope };
        self.shared.proc_vars.set_within(var, value, &room)
    }

    pub fn unset_var(&self, var: VarRef) {
        if var.scope == Scope::Proc {
            self.shared.proc_vars.unset(var.id);
        } else if let Some(vars) = self.scope(var.scope) {
            vars.unset(var.id);
        }
    }

    /// The variables of a scope other than that of the process.
    pub(crate) fn scope(&self, scope: Scope) -> Option<&'a Vars> {
        match scope {
            Scope::Check => self.check_vars,
            Scope::Proc => None,
            Scope::Req => self.vars.map(|v| &v.req),
            Scope::Res => self.vars.map(|v| &v.res),
            Scope::Sess => self.session.map(|s| &s.vars),
            Scope::Txn => self.vars.map(|v| &v.txn),
        }
    }

    /// The next number of the thread's random sequence (xorshift64*).
    pub fn next_random(&self) -> u32 {
        let mut x = self.random.get().max(1);
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }
}
