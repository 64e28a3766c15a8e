//! `defaults`, `frontend`, `backend` and `listen` sections (configuration manual, 4).

use std::time::Duration;

use proxy_types::{Mode, Span, Spanned};

use super::rare::{Rare, unset};
use super::{
    AclLine, Affinity, Balance, Bind, CertLine, Checks, Compression, Condition, Cookie, EmailAlert,
    Filters, FlagSet, ForwardFor, Forwarded, HashType, HttpConnectionMode, HttpReuse, L4Answer,
    L4Mode, L4Policy, LogEntry, LogOption, LogStep, PersistRdp, PersistRule, Redispatch,
    RestrictNames, RuleLine, RuleSet, Server, ServerOptions, SourceAddress, StatsPage, StickRule,
    StickTable, Timeouts, UseBackend, UseServer,
};
use crate::lexer::Word;

unset!(Checks, EmailAlert, StatsPage);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyKind {
    Backend,
    Defaults,
    Frontend,
    Listen,
    /// The listeners and targets of a `log-forward` section.
    LogForward,
    /// The listeners and servers of a `peers` section.
    Peers,
    /// The servers of a `ring` section.
    Ring,
}

impl ProxyKind {
    /// The keyword of the section.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Backend => "backend",
            Self::Defaults => "defaults",
            Self::Frontend => "frontend",
            Self::Listen => "listen",
            Self::LogForward => "log-forward",
            Self::Peers => "peers",
            Self::Ring => "ring",
        }
    }

    /// How messages call such a section.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Listen => "proxy",
            other => other.as_str(),
        }
    }

    /// Accepts connections.
    pub fn is_frontend(self) -> bool {
        matches!(self, Self::Frontend | Self::Listen)
    }

    /// Has servers.
    pub fn is_backend(self) -> bool {
        matches!(self, Self::Backend | Self::Listen)
    }
}

/// Index into [`Config::defaults`](super::Config::defaults).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DefaultsId(pub usize);

/// One section.
#[derive(Clone, Debug)]
pub struct Proxy {
    pub kind: ProxyKind,
    /// Empty for an anonymous `defaults` section.
    pub name: Spanned<String>,
    /// The line that opens the section.
    pub span: Span,
    /// The `defaults` section that the settings come from.
    pub defaults: Option<DefaultsId>,
    /// Whether `from` named it.
    pub explicit_defaults: bool,
    /// Whether a line of the section, or of its `defaults`, could not be read: what seems to be missing may be there.
    pub has_errors: bool,
    pub settings: Settings,

    // What no section inherits.
    pub acls: Vec<AclLine>,
    pub binds: Vec<Bind>,
    /// `ssl-f-use`: certificates of all `bind` lines with `ssl`.
    pub certificates: Vec<Spanned<CertLine>>,
    /// `capture request header`, `declare capture` and their like, in order.
    pub captures: Vec<CaptureLine>,
    /// `capture cookie`.
    pub capture_cookie: Option<CaptureCookie>,
    pub description: Option<Word>,
    pub filters: Filters,
    pub guid: Option<Spanned<String>>,
    /// `id`: the `iid` of the statistics. The first free number from 2 by default, see
    /// [`ProxyId`](proxy_types::ProxyId).
    pub id: Option<Spanned<u32>>,
    /// `use-fcgi-app`.
    pub fcgi_app: Option<Spanned<String>>,
    /// `be-unpublished`.
    pub unpublished: Option<Span>,
    /// `force-be-switch`: any of them that holds lets disabled and unpublished backends be chosen.
    pub force_switch: Vec<Condition>,
    /// `force-persist` and `ignore-persist`.
    pub persist_rules: Vec<PersistRule>,
    /// All rule sets in the order written; see [`Config::rules`](super::Config::rules).
    pub rules: Vec<RuleLine>,
    /// `server-state-file-name`; the name of the section by default.
    pub server_state_file: Option<Spanned<String>>,
    pub servers: Vec<Server>,
    /// Which check rules are the section's own, not those of its defaults.
    pub own_checks: OwnChecks,
    /// `stats admin`: any of them that holds lets the page change states.
    pub stats_admin: Vec<Condition>,
    pub use_backends: Vec<UseBackend>,
    pub use_servers: Vec<UseServer>,
    pub stick_rules: Vec<StickRule>,
    pub stick_table: Option<StickTable>,
}

impl Proxy {
    /// Whether a rule of the section lets connections go on in mode http.
    pub fn switches_mode(&self) -> bool {
        self.rules.iter().any(|rule| {
            rule.set == RuleSet::TcpRequestContent
                && rule.words.first().is_some_and(|word| word.value == "switch-mode")
        })
    }

    pub fn new(kind: ProxyKind, name: Spanned<String>, span: Span) -> Self {
        Self {
            kind,
            name,
            span,
            defaults: None,
            explicit_defaults: false,
            has_errors: false,
            settings: Settings::default(),
            acls: Vec::new(),
            binds: Vec::new(),
            certificates: Vec::new(),
            captures: Vec::new(),
            capture_cookie: None,
            description: None,
            filters: Filters::default(),
            guid: None,
            id: None,
            fcgi_app: None,
            unpublished: None,
            force_switch: Vec::new(),
            persist_rules: Vec::new(),
            rules: Vec::new(),
            server_state_file: None,
            servers: Vec::new(),
            own_checks: OwnChecks::default(),
            stats_admin: Vec::new(),
            use_backends: Vec::new(),
            use_servers: Vec::new(),
            stick_rules: Vec::new(),
            stick_table: None,
        }
    }

    /// How messages name the section: `frontend 'www'`.
    pub fn label(&self) -> String {
        format!("{} '{}'", self.kind.noun(), self.name.value)
    }
}

/// Which file tells the states that servers begin in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateSource {
    /// `server-state-file`.
    Global,
    /// `server-state-file-name`.
    Local,
    None,
}

/// `default-server name <name>`: settings that servers start from when they say so.
#[derive(Clone, Debug)]
pub struct NamedDefaultServer {
    pub name: Spanned<String>,
    pub options: ServerOptions,
}

/// What a `defaults` section passes on.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Listen queue of the frontend's sockets. `maxconn` by default.
    pub backlog: Option<Spanned<u32>>,
    pub balance: Option<Spanned<Balance>>,
    pub checks: Rare<Checks>,
    /// `clitcpka-cnt`, `-idle`, `-intvl`.
    pub clitcpka: TcpProbes,
    pub compression: Option<Compression>,
    pub cookie: Option<Spanned<Cookie>>,
    pub default_backend: Option<Spanned<String>>,
    /// What the following `server` lines start from.
    pub default_server: ServerOptions,
    /// Whether `default-server` says something.
    pub has_default_server: bool,
    /// `default-server name <name>`.
    pub named_default_servers: Vec<NamedDefaultServer>,
    /// `disabled` (true) or `enabled` (false): whether the section takes part at all.
    pub disabled: Option<Spanned<bool>>,
    /// What dynamic cookies are made with.
    pub dynamic_cookie_key: Option<Spanned<String>>,
    /// `errorfile` and the like, in order.
    pub error_pages: Vec<ErrorPage>,
    pub flags: FlagSet,
    /// `error-log-format`.
    pub error_log_format: Option<Word>,
    pub fullconn: Option<Spanned<u32>>,
    /// `option forwardfor`.
    pub forwardfor: Option<Spanned<ForwardFor>>,
    /// `option forwarded`.
    pub forwarded: Option<Spanned<Forwarded>>,
    /// `hash-balance-factor`, in percent of the average load; 0 or more than 100.
    pub hash_balance_factor: Option<Spanned<u32>>,
    pub hash_preserve_affinity: Option<Spanned<Affinity>>,
    pub hash_type: Option<Spanned<HashType>>,
    pub http_connection_mode: Option<Spanned<HttpConnectionMode>>,
    /// `http-reuse`. 4.2 "http-reuse": safe by default.
    pub http_reuse: Option<Spanned<HttpReuse>>,
    /// `http-send-name-header`: the header that tells servers their names.
    pub http_send_name_header: Option<Spanned<String>>,
    pub l4: Option<Spanned<L4Policy>>,
    pub l4_mode: Option<Spanned<L4Mode>>,
    /// `l4-deny`: how long the kernel turns a client away that a connection rule rejected.
    pub l4_deny: Option<Spanned<Duration>>,
    /// `l4-no-server`: what new connections get in the kernel while no server lives.
    pub l4_no_server: Option<Spanned<L4Answer>>,
    /// `l4-pick-up`: connections that another balancer has begun are carried on.
    pub l4_pick_up: Option<Spanned<bool>>,
    /// `l4-reject`: what clients get in the kernel that a `reject` about their address holds for.
    pub l4_reject: Option<Spanned<L4Answer>>,
    /// `l4-source-rate`: new connections of one address in a period, and the period.
    pub l4_source_rate: Option<Spanned<(u32, Duration)>>,
    /// `udp-responses`: so many datagrams of the server end a flow.
    pub udp_responses: Option<Spanned<u8>>,
    /// `log-format`: the text, to be compiled by `proxy-rules`. The later of this and [`Settings::log_option`] counts;
    /// setting one clears the other.
    pub log_format: Option<Word>,
    /// `log-format-sd`: structured data of lines in format rfc5424.
    pub log_format_sd: Option<Word>,
    /// `log-steps`; once at the end without.
    pub log_steps: Option<Spanned<Vec<LogStep>>>,
    pub log_option: Option<Spanned<LogOption>>,
    pub log_tag: Option<Spanned<String>>,
    /// `log` lines in order.
    pub logs: Vec<LogEntry>,
    /// Connections of the frontend; the global `maxconn` by default.
    pub maxconn: Option<Spanned<u32>>,
    /// `max-keep-alive-queue`; negative is no limit. -1 by default.
    pub max_keep_alive_queue: Option<Spanned<i32>>,
    /// `max-session-srv-conns`, 5 by default.
    pub max_session_srv_conns: Option<Spanned<u32>>,
    pub mode: Option<Spanned<Mode>>,
    /// Path that is answered with 200 without a server.
    pub monitor_uri: Option<Spanned<String>>,
    /// `option originalto`.
    pub originalto: Option<Spanned<ForwardFor>>,
    /// `persist rdp-cookie`.
    pub persist_rdp: Option<PersistRdp>,
    /// `option redispatch`. 4.2 "option redispatch": off by default.
    pub redispatch: Option<Spanned<Redispatch>>,
    /// `option http-restrict-req-hdr-names`.
    pub restrict_req_hdr_names: Option<Spanned<RestrictNames>>,
    /// `rate-limit sessions`, per second; 0 is no limit.
    pub rate_limit_sessions: Option<Spanned<u32>>,
    pub email_alert: Rare<EmailAlert>,
    pub retries: Option<Spanned<u32>>,
    /// `retry-on`: words and statuses.
    pub retry_on: Option<Spanned<Vec<String>>>,
    /// `load-server-state-from-file`; `none` by default.
    pub server_states: Option<Spanned<StateSource>>,
    pub source: Option<Spanned<SourceAddress>>,
    /// `srvtcpka-cnt`, `-idle`, `-intvl`.
    pub srvtcpka: TcpProbes,
    pub stats: Rare<StatsPage>,
    /// `tcp-request inspect-delay`.
    pub tcp_request_inspect_delay: Option<Spanned<Duration>>,
    /// `tcp-response inspect-delay`.
    pub tcp_response_inspect_delay: Option<Spanned<Duration>>,
    pub timeouts: Timeouts,
    pub unique_id_format: Option<Word>,
    pub unique_id_header: Option<Spanned<String>>,
}

impl Settings {
    /// 4.2 "mode": tcp by default.
    pub fn mode(&self) -> Mode {
        self.mode.map_or(Mode::Tcp, |m| m.value)
    }

    /// 4.2 "balance": two draws at random when none was set.
    pub fn balance(&self) -> Balance {
        self.balance.as_ref().map_or(Balance::Random { draws: 2 }, |b| b.value.clone())
    }

    /// 4.2 "retries": 3 by default.
    pub fn retries(&self) -> u32 {
        self.retries.map_or(3, |r| r.value)
    }

    /// `disabled` sections neither listen nor serve.
    pub fn is_disabled(&self) -> bool {
        self.disabled.is_some_and(|d| d.value)
    }
}

/// TCP keep-alive of one side; what was not written is as the system has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpProbes {
    pub count: Option<Spanned<u32>>,
    pub idle: Option<Spanned<Duration>>,
    pub interval: Option<Spanned<Duration>>,
}

/// A line that sets answers; the last that sets one for a status counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    pub span: Span,
    /// Statuses it is for; none means all that its `http-errors` section has.
    pub statuses: Vec<Spanned<u16>>,
    pub source: ErrorSource,
}

/// Where an answer comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorSource {
    /// What would be answered without the section's own lines.
    Default,
    /// The complete answer, head included. Opened at start, not while parsing.
    File(Spanned<String>),
    /// A redirection with this code.
    Location { code: u16, url: Spanned<String> },
    /// As the action of an `http-request return` rule, from the word `return` on.
    Made(Vec<Word>),
    /// An `http-errors` section.
    Section(Spanned<String>),
}

/// An `http-errors` section (configuration manual, 12.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpErrors {
    pub name: Spanned<String>,
    pub files: Vec<ErrorPage>,
}

/// Kinds of check rules that a section has of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnChecks {
    pub http: bool,
    pub tcp: bool,
}

/// A slot for a captured value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureLine {
    pub span: Span,
    pub response: bool,
    /// The field that fills it; `None` for `declare capture`.
    pub header: Option<Spanned<String>>,
    pub len: u32,
}

/// `capture cookie <name> len <length>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureCookie {
    pub span: Span,
    /// Up to its `=` when the whole name is meant, else the start of it.
    pub name: Spanned<String>,
    pub len: u32,
}
