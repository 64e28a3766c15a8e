//! What actions see and change, and what they ask of the stream.

use proxy_http::{RequestHead, ResponseHead};
use proxy_state::options::Proto;

use super::request::{Resolve, ServiceDef};
use crate::bandwidth::Wanted;
use crate::cache;
use crate::logformat::LogFormat;
use crate::sample::{EvalCtx, Expr, Sample};

/// What happens after an action or a whole rule set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow<'a> {
    /// The connection ends without an answer.
    Close(Close),
    /// On to the next rule; of a rule set: on with the processing.
    Next,
    /// An answer of the proxy takes the place of what would follow.
    Reply(Reply<'a>),
    /// An internal service answers.
    Service(&'static ServiceDef),
    /// No further rule of this set (`accept`, `allow`).
    Stop,
    /// Data must come first: evaluate this rule again then.
    Wait,
    /// On with the next rule once this time is over.
    Pause { ms: u32 },
    /// On with the next rule once the body, or `at_least` bytes of it (when that is not 0), are there; after `ms` the
    /// client is told that it was too slow.
    Body { ms: u32, at_least: u64 },
    /// On with the next rule once the client's TLS handshake is complete.
    Handshake,
    /// On with the next rule once the name is resolved, or cannot be.
    Resolve(Resolve<'a>),
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Close {
    /// `reject`.
    Reject,
    /// `silent-drop`: the client is not told.
    SilentDrop {
        /// `rst-ttl`: reset with this time to live rather than vanish.
        rst_ttl: Option<u8>,
    },
}

/// An answer of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub status: u16,
    pub cause: Cause,
    pub content: Content<'a>,
}

/// Which kind of rule answers; decides counters and the termination state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Credentials are asked for.
    Auth,
    /// The request is not valid.
    Bad,
    Deny,
    Redirect,
    Return,
    /// The answer comes after `timeout tarpit`.
    Tarpit,
}

/// What an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content<'a> {
    /// The page of the proxy's error files for the status.
    ErrorPage,
    /// The same with these header fields in place of any of their names.
    ErrorPageWith(&'a [(&'a [u8], &'a [u8])]),
    /// The page of an `http-errors` section for the status, or else that of the proxy.
    SectionPage(&'a str),
    /// All header fields in order, the length among them, and the body.
    Made { headers: &'a [(&'a [u8], &'a [u8])], body: &'a [u8] },
    /// A whole HTTP response, as an error file holds it.
    Stored(&'a [u8]),
}

/// Severity of a stream's log line (`set-log-level`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    /// syslog severity, 0 (emerg) to 7 (debug).
    Level(u8),
    /// No line at all.
    Silent,
}

impl LogLevel {
    const NAMES: [&'static str; 8] =
        ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

    pub fn find(name: &str) -> Option<Self> {
        if name == "silent" {
            return Some(Self::Silent);
        }
        let level = Self::NAMES.iter().position(|n| *n == name)?;
        Some(Self::Level(level as u8))
    }
}

/// `switch-mode http [proto h1|h2]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SwitchMode {
    /// What the client speaks, when that is not to be found out.
    pub proto: Option<Proto>,
}

/// Name and value of a header field.
pub type Field = (Box<[u8]>, Box<[u8]>);

/// What rules decided about the rest of the stream's life.
#[derive(Debug, Default)]
pub struct Effects {
    pub log_level: Option<LogLevel>,
    /// `expect-proxy layer4`: a PROXY protocol header comes first.
    pub expect_proxy: bool,
    /// `expect-netscaler-cip layer4`: a header of the NetScaler comes first.
    pub expect_netscaler: bool,
    /// `switch-mode http`: the connection goes on in mode http.
    pub switch_mode: Option<SwitchMode>,
    /// `disable-l7-retry`: the request is not sent again.
    pub disable_l7_retry: bool,
    /// `set-bandwidth-limit`: limits asked for and not acted on yet.
    pub limits: Vec<Wanted>,
    /// `early-hint`: fields to be sent ahead.
    pub early_hints: Vec<Field>,
    /// `cache-use`: what the cache did.
    pub cache: Option<Box<cache::Turn>>,
    /// Events of caches that were not counted yet.
    pub cache_counts: cache::Counts,
}

/// The stream as actions see it: an evaluation context whose heads can be changed.
pub struct RuleEnv<'e, 'a> {
    /// Everything but the heads, which are `None` here.
    pub base: EvalCtx<'a>,
    pub request: Option<&'e mut RequestHead>,
    pub response: Option<&'e mut ResponseHead>,
    pub effects: &'e mut Effects,
}

impl<'a> RuleEnv<'_, 'a> {
    /// The context of an evaluation at this moment.
    pub fn cx(&self) -> EvalCtx<'_> {
        EvalCtx {
            request: self.request.as_deref().or(self.base.request),
            response: self.response.as_deref(),
            ..self.base
        }
    }

    /// The text of a format, in memory that changes of the heads do not touch.
    pub fn render(&self, format: &'a LogFormat) -> &'a [u8] {
        if let Some(text) = format.constant() {
            return text;
        }
        self.base.scratch.alloc_slice_copy(format.render(&self.cx()))
    }

    /// Hands the value of an expression to `use_it`.
    pub fn with_value<T>(
        &self,
        expr: &Expr,
        use_it: impl FnOnce(Option<Sample<'_>>, &EvalCtx<'_>) -> T,
    ) -> T {
        let cx = self.cx();
        use_it(expr.eval(&cx), &cx)
    }
}
