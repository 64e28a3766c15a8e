//! Log targets (configuration manual, 4.2 "log" and 3.1 "log").

use proxy_types::{Address, Span, Spanned};

use crate::lexer::Word;

/// One `log` line of a proxy, in the order written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEntry {
    /// `log global`: the targets that the `global` sections before this line have.
    Global {
        span: Span,
        targets: usize,
    },
    Target(LogTarget),
}

/// Where log lines go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTarget {
    /// The whole directive.
    pub span: Span,
    pub destination: Spanned<LogDestination>,
    /// `len`: bytes of a line at most, 80 to 65535, 1024 by default.
    pub max_len: u16,
    /// `sample`: which lines of a round are sent.
    pub sample: Option<Spanned<LogSample>>,
    /// `None` means [`LogFormat::Local`], or [`LogFormat::Rfc3164`] with `log-send-hostname`; in `log-forward`
    /// sections, the form that a message came in.
    pub format: Option<Spanned<LogFormat>>,
    /// `profile`: the section that says how its lines are made.
    pub profile: Option<Spanned<String>>,
    pub facility: Facility,
    /// Lines that are less severe are not sent. All are by default.
    pub level: LogLevel,
    /// Lines that are more severe are sent with this level. [`LogLevel::Emerg`] changes none.
    pub min_level: LogLevel,
}

/// A `log-profile` section.
#[derive(Clone, Debug)]
pub struct LogProfile {
    pub name: Spanned<String>,
    pub log_tag: Option<Spanned<String>>,
    /// At most one for each step.
    pub steps: Vec<ProfileStep>,
}

/// An `on` line.
#[derive(Clone, Debug)]
pub struct ProfileStep {
    pub step: LogStep,
    pub drop: bool,
    pub format: Option<Word>,
    /// Structured data.
    pub sd: Option<Word>,
}

/// When a line is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogStep {
    Accept,
    /// Every step that no line is about.
    Any,
    Close,
    Connect,
    Error,
    HttpAfterRes,
    HttpReq,
    HttpRes,
    QuicInit,
    Request,
    Response,
    TcpReqConn,
    TcpReqCont,
    TcpReqSess,
    TcpResCont,
}

impl LogStep {
    /// What `log-steps` takes beside `all`.
    pub const OF_STREAMS: &'static [(&'static str, Self)] = &[
        ("accept", Self::Accept),
        ("close", Self::Close),
        ("connect", Self::Connect),
        ("request", Self::Request),
        ("response", Self::Response),
    ];
    /// What `on` lines take.
    pub const OF_PROFILES: &'static [(&'static str, Self)] = &[
        ("accept", Self::Accept),
        ("any", Self::Any),
        ("close", Self::Close),
        ("connect", Self::Connect),
        ("error", Self::Error),
        ("http-after-res", Self::HttpAfterRes),
        ("http-req", Self::HttpReq),
        ("http-res", Self::HttpRes),
        ("quic-init", Self::QuicInit),
        ("request", Self::Request),
        ("response", Self::Response),
        ("tcp-req-conn", Self::TcpReqConn),
        ("tcp-req-cont", Self::TcpReqCont),
        ("tcp-req-sess", Self::TcpReqSess),
        ("tcp-res-cont", Self::TcpResCont),
    ];
}

/// `sample <ranges>:<size>`: of every `size` lines, those in a range, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSample {
    /// In ascending order, without overlap; both ends belong to it.
    pub ranges: Vec<(u32, u32)>,
    pub size: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogDestination {
    /// `backend@`: the servers of a backend in mode log.
    Backend(String),
    /// UDP address (port 514 when none was written) or UNIX datagram socket. A host name is resolved at start.
    Datagram(Address),
    Fd(i32),
    /// `ring@`.
    Ring(String),
    Stderr,
    Stdout,
    /// TCP address (port 514 when none was written) or UNIX stream socket: a ring of its own in front of it.
    Stream(Address),
}

/// `log-proto`: how messages are told apart on a connection (RFC 6587).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogProto {
    /// Each is a line.
    #[default]
    Legacy,
    /// Each has its length in front.
    OctetCount,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Iso,
    Local,
    Priority,
    Raw,
    Rfc3164,
    Rfc5424,
    Short,
    Timed,
}

impl LogFormat {
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("iso", Self::Iso),
        ("local", Self::Local),
        ("priority", Self::Priority),
        ("raw", Self::Raw),
        ("rfc3164", Self::Rfc3164),
        ("rfc5424", Self::Rfc5424),
        ("short", Self::Short),
        ("timed", Self::Timed),
    ];
}

/// Syslog facility: its number (RFC 5424, 6.2.1; HAProxy's names, which call 12 to 15 after their Solaris use).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facility(pub u8);

impl Facility {
    /// Index is the number.
    pub const NAMES: &'static [&'static str] = &[
        "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2",
        "ftp", "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4",
        "local5", "local6", "local7",
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|&n| n == name).map(|n| Self(n as u8))
    }
}

/// Syslog severity, most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    Emerg,
    Alert,
    Crit,
    Err,
    Warning,
    Notice,
    Info,
    Debug,
}

impl LogLevel {
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("emerg", Self::Emerg),
        ("alert", Self::Alert),
        ("crit", Self::Crit),
        ("err", Self::Err),
        ("warning", Self::Warning),
        ("notice", Self::Notice),
        ("info", Self::Info),
        ("debug", Self::Debug),
    ];
}
