//! What the engine shares: built once from the configuration, read by every thread.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use proxy_http::h1::Limits;
use proxy_net::accept::Slots;
use proxy_net::clock::Tick;
use proxy_net::sockopt::Buffers;
use proxy_rules::acl::Condition;
pub use proxy_rules::action::Close;
use proxy_rules::bandwidth::Limiter;
use proxy_rules::capture::CaptureSlot;
use proxy_rules::logformat::LogFormat;
use proxy_rules::ruleset::{BackendRules, RuleSet, ServerRules};
use proxy_rules::sample::Expr;
use proxy_rules::sample::context::{Date, Shared};
use proxy_state::status::StatusSet;
use proxy_state::{Backend, Frontend, Listener, Now, Registry};
use rustc_hash::FxHashMap;

use crate::log::Log;
use crate::reply::ErrorReplies;
use crate::service::{Service, Stats};
pub use crate::stream::{FcgiApp, Forwarded, ForwardedPart, StickRule};
use crate::trace::Tracer;

/// The worker's immutable surroundings.
pub struct Env {
    /// What rules know of the worker; holds the registry.
    pub shared: Arc<Shared>,
    /// The instant that [`Now`] counts from.
    pub epoch: Tick,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset: i32,
    /// Bounds of heads: `tune.bufsize` less `tune.maxrewrite`, `tune.http.maxhdr`.
    pub limits: Limits,
    /// `tune.h1.*.glitches-threshold`, of connections of clients and to servers.
    pub glitches: [Glitches; 2],
    /// `http-err-codes` and `http-fail-codes`: what `http_err_cnt` and `http_fail_cnt` count.
    pub codes: [StatusSet; 2],
    /// `tune.glitches.kill.cpu-usage`: how busy a thread is that ends connections for their anomalies, in percent.
    pub kill_cpu: u32,
    /// The pages of `http-errors` sections.
    pub http_errors: FxHashMap<Box<str>, ErrorReplies>,
    /// `h1-case-adjust`: names in lower case, and as HTTP/1 peers that insist get them.
    pub spellings: FxHashMap<Box<[u8]>, Box<[u8]>>,
    /// `tune.comp.*`, `tune.zlib.*` and limits of compression.
    pub compression: crate::compress::Settings,
    /// `tune.h2.*`.
    pub h2: crate::mux::h2::Settings,
    /// `close-spread-time`: when idle and kept-alive clients leave at a soft stop.
    pub close_spread: CloseSpread,
    /// Buffers in the kernel of connections to servers.
    pub server_buffers: Buffers,
    /// `tune.http.logurilen`: longest request line in logs, in bytes.
    pub log_uri_len: usize,
    /// Backends by name, for `use_backend`.
    pub backends: Backs,
    /// Internal services by name, for `use-service`.
    pub services: Vec<(&'static str, Arc<dyn Service>)>,
    /// Where threads ask each other for idle server connections.
    pub mailboxes: crate::backend::Mailboxes,
    /// Who resolves names for `do-resolve`.
    pub names: Option<proxy_names::Asker>,
    /// Wakes the accept loops that wait for room.
    pub slots: Slots,
}

/// Backends by name. Replaced as a whole when one comes or goes; a look-up neither locks nor allocates.
#[derive(Default)]
pub struct Backs(ArcSwap<FxHashMap<Box<[u8]>, Arc<Back>>>);

impl Backs {
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<Arc<Back>> {
        self.0.load().get(name).cloned()
    }

    /// Makes a backend known under its name.
    pub fn insert(&self, back: Arc<Back>) {
        let mut all = FxHashMap::clone(&self.0.load());
        all.insert(back.backend.name.as_bytes().into(), back);
        self.0.store(Arc::new(all));
    }

    pub fn remove(&self, name: &str) {
        let mut all = FxHashMap::clone(&self.0.load());
        all.remove(name.as_bytes());
        self.0.store(Arc::new(all));
    }
}

impl FromIterator<(Box<[u8]>, Arc<Back>)> for Backs {
    fn from_iter<I: IntoIterator<Item = (Box<[u8]>, Arc<Back>)>>(all: I) -> Self {
        Self(ArcSwap::from_pointee(all.into_iter().collect()))
    }
}

/// How many heads a connection may bring that only the relaxed rules take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glitches {
    /// 0 is no limit.
    pub threshold: u32,
}

impl Glitches {
    /// The connection is not to be used for more: three quarters are used up.
    #[must_use]
    pub fn worn(self, count: u32) -> bool {
        self.threshold > 0 && u64::from(count) * 4 >= u64::from(self.threshold) * 3
    }

    /// The connection is to end at once.
    #[must_use]
    pub fn exhausted(self, count: u32) -> bool {
        self.threshold > 0 && count >= self.threshold
    }
}

/// When clients that could stay are let go at a soft stop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CloseSpread {
    #[default]
    AtOnce,
    /// When they leave by themselves, or by their timeouts.
    Never,
    /// One part after the other, all of them by the end of this time.
    Within(Duration),
}

impl Env {
    /// Surroundings with default limits and no backend.
    #[must_use]
    pub fn new(shared: Shared, epoch: Tick) -> Self {
        Self {
            shared: Arc::new(shared),
            epoch,
            utc_offset: 0,
            limits: Limits::default(),
            glitches: Default::default(),
            codes: [StatusSet::ERRORS, StatusSet::FAILURES],
            kill_cpu: 0,
            http_errors: FxHashMap::default(),
            spellings: FxHashMap::default(),
            compression: Default::default(),
            h2: Default::default(),
            close_spread: CloseSpread::default(),
            server_buffers: Buffers::default(),
            log_uri_len: 1024,
            backends: Backs::default(),
            services: Vec::new(),
            mailboxes: Default::default(),
            names: None,
            slots: Slots::new(),
        }
    }

    /// Every live object of the worker.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// The time of the counters at `tick`.
    #[must_use]
    pub fn now(&self, tick: Tick) -> Now {
        Now(tick.as_millis().saturating_sub(self.epoch.as_millis()))
    }
}

/// The calendar time.
pub(crate) fn date() -> Date {
    date_at(SystemTime::now())
}

/// A moment as the calendar has it.
pub(crate) fn date_at(at: SystemTime) -> Date {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Date { secs: since.as_secs().try_into().unwrap_or(i64::MAX), usec: since.subsec_micros() }
}

/// A frontend: the live object and what its requests, or connections in mode tcp, go through, in this order.
pub struct Front {
    pub frontend: Arc<Frontend>,
    /// `tcp-request connection`.
    pub tcp_connection: RuleSet,
    /// `l4-deny`: who is told of clients that `tcp_connection` turned away.
    pub denials: Option<Denials>,
    /// `tcp-request session`.
    pub tcp_session: RuleSet,
    /// `tcp-request content`.
    pub tcp_content: RuleSet,
    /// `tcp-request inspect-delay`: how long `tcp_content` waits for data in mode tcp. `None` does not wait.
    pub inspect_delay: Option<Duration>,
    /// `capture request header` and `capture response header`.
    pub request_captures: Vec<CaptureSlot>,
    pub response_captures: Vec<CaptureSlot>,
    /// `capture cookie`: the start of the name, and how much is kept.
    pub capture_cookie: Option<CaptureSlot>,
    /// The statistics page, looked for between `http_request` and `redirects`.
    pub stats: Option<Stats>,
    /// `filter bwlim-in` and `bwlim-out`.
    pub limiters: Vec<Limiter>,
    /// `filter trace`.
    pub tracers: Vec<Arc<Tracer>>,
    /// `monitor fail`.
    pub monitor_fail: RuleSet,
    /// `monitor-uri`.
    pub monitor_uri: Option<Box<[u8]>>,
    pub http_request: RuleSet,
    /// The `redirect` keyword, evaluated whatever ended `http_request`.
    pub redirects: RuleSet,
    /// `use_backend`.
    pub use_backend: BackendRules,
    /// `default_backend`.
    pub default_backend: Option<Arc<Back>>,
    /// `force-be-switch`: when one holds, backends that are not open are chosen, too.
    pub force_switch: Vec<Condition>,
    /// `tcp-response content`, and how long it waits for data in mode tcp.
    pub tcp_response: RuleSet,
    pub response_delay: Option<Duration>,
    pub http_response: RuleSet,
    pub http_after_response: RuleSet,
    /// `errorfile` and the like.
    pub replies: ErrorReplies,
    /// Where its lines go; `None` logs nothing.
    pub log: Option<Log>,
    /// The backend of the same `listen` section: what rules see until a backend is chosen.
    pub listen: Option<Arc<Back>>,
    /// `max-session-srv-conns`: idle server connections that a session may keep to itself.
    pub session_connections: usize,
    /// `udp-responses`: so many datagrams of the server end a flow; 0: only silence does.
    pub udp_responses: u8,
    /// `unique-id-format` and `unique-id-header`.
    pub unique_id: Option<(LogFormat, Option<Box<str>>)>,
}

/// What a backend's algorithm hashes, beside the client's address.
#[derive(Debug)]
pub enum BalanceKey {
    /// `balance uri`; see [`proxy_state::lb::key::uri`].
    Uri { len: Option<usize>, depth: Option<usize>, whole: bool, path_only: bool },
    /// The value of an expression; of a host name only the main domain, if asked.
    Value { of: Expr, domain_only: bool },
}

/// How a backend chooses a server beside its algorithm.
#[derive(Debug, Default)]
pub struct ServerChoice {
    /// `force-persist` (true) and `ignore-persist` (false).
    pub persist: Vec<(bool, Condition)>,
    pub use_servers: ServerRules,
    pub sticks: Vec<StickRule>,
    /// `persist rdp-cookie`: the cookie.
    pub rdp: Option<Expr>,
}

/// A backend and what goes to it.
pub struct Back {
    pub backend: Arc<Backend>,
    /// For the algorithms that hash something of the request.
    pub balance_key: Option<BalanceKey>,
    pub choice: ServerChoice,
    /// `option forwarded`.
    pub forwarded: Option<Box<Forwarded>>,
    /// `use-fcgi-app`.
    pub fcgi: Option<Arc<FcgiApp>>,
    /// `filter bwlim-in` and `bwlim-out`.
    pub limiters: Vec<Limiter>,
    /// `filter trace`.
    pub tracers: Vec<Arc<Tracer>>,
    pub tcp_content: RuleSet,
    /// `tcp-request inspect-delay` of the backend's own rules.
    pub inspect_delay: Option<Duration>,
    pub http_request: RuleSet,
    /// The statistics page, looked for between `http_request` and `redirects`.
    pub stats: Option<Stats>,
    /// The `redirect` keyword, evaluated whatever ended `http_request`.
    pub redirects: RuleSet,
    /// `tcp-response content`, and how long it waits for data in mode tcp.
    pub tcp_response: RuleSet,
    pub response_delay: Option<Duration>,
    pub http_response: RuleSet,
    pub http_after_response: RuleSet,
    /// `errorfile` and the like; the frontend's answer for what is not set here.
    pub replies: ErrorReplies,
}

/// Tells of clients that connection rules turned away.
pub struct Denials {
    /// For how long they are to stay away.
    pub time: Duration,
    tell: OnceLock<Tell>,
}

type Tell = Box<dyn Fn(IpAddr, Close) + Send + Sync>;

impl Denials {
    /// For so long; nobody listens yet.
    #[must_use]
    pub fn new(time: Duration) -> Self {
        Self { time, tell: OnceLock::new() }
    }

    /// Who listens, which must not wait. Only the first one does.
    pub fn listen(&self, tell: impl Fn(IpAddr, Close) + Send + Sync + 'static) {
        let _ = self.tell.set(Box::new(tell));
    }

    pub(crate) fn tell(&self, client: IpAddr, close: Close) {
        if let Some(tell) = self.tell.get() {
            tell(client, close);
        }
    }
}

impl Front {
    /// A frontend without rules and logs.
    #[must_use]
    pub fn new(frontend: Arc<Frontend>, default_backend: Option<Arc<Back>>) -> Self {
        Self {
            frontend,
            tcp_connection: RuleSet::new(),
            denials: None,
            tcp_session: RuleSet::new(),
            tcp_content: RuleSet::new(),
            inspect_delay: None,
            request_captures: Vec::new(),
            response_captures: Vec::new(),
            capture_cookie: None,
            stats: None,
            limiters: Vec::new(),
            tracers: Vec::new(),
            monitor_fail: RuleSet::new(),
            monitor_uri: None,
            http_request: RuleSet::new(),
            redirects: RuleSet::new(),
            use_backend: BackendRules::new(),
            default_backend,
            force_switch: Vec::new(),
            tcp_response: RuleSet::new(),
            response_delay: None,
            http_response: RuleSet::new(),
            http_after_response: RuleSet::new(),
            replies: ErrorReplies::default(),
            log: None,
            listen: None,
            session_connections: 5,
            udp_responses: 0,
            unique_id: None,
        }
    }
}

impl Back {
    /// A backend without rules.
    #[must_use]
    pub fn new(backend: Arc<Backend>) -> Self {
        Self {
            backend,
            balance_key: None,
            choice: ServerChoice::default(),
            forwarded: None,
            fcgi: None,
            limiters: Vec::new(),
            tracers: Vec::new(),
            tcp_content: RuleSet::new(),
            inspect_delay: None,
            http_request: RuleSet::new(),
            stats: None,
            redirects: RuleSet::new(),
            tcp_response: RuleSet::new(),
            response_delay: None,
            http_response: RuleSet::new(),
            http_after_response: RuleSet::new(),
            replies: ErrorReplies::default(),
        }
    }
}

/// Facts of an accepted connection.
#[derive(Clone)]
pub struct Accepted {
    pub listener: Arc<Listener>,
    /// Client; `None` on unix sockets.
    pub src: Option<SocketAddr>,
    /// Address the client connected to; `None` on unix sockets.
    pub dst: Option<SocketAddr>,
    /// When it was accepted.
    pub at: Tick,
}
