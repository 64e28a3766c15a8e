//! What is remembered of a stream, and the line made of it.

pub mod collect;
pub mod delivery;
pub mod emit;
pub mod farm;
mod flow;
mod line;
mod lines;
mod record;
mod refused;
pub mod ring;
mod setup;
pub mod syslog;
pub mod transport;

use std::sync::Arc;

use proxy_rules::action::LogLevel;
use proxy_rules::logformat::{LogFacts, LogFormat, Origin};
use proxy_rules::sample::EvalCtx;
use proxy_rules::sample::context::Logger;

use crate::thread::Thread;
pub use flow::{FlowLines, FlowRecord};
pub(crate) use line::{View, last_step, step, write};
pub use record::Record;
pub(crate) use refused::{broken, write as refused};

/// Takes finished lines. Called on the thread of the stream, so it must not wait.
pub trait Sink: Send + Sync {
    /// `severity` is that of syslog, 0 (emerg) to 7 (debug). `line` has no line end.
    fn line(&self, severity: u8, line: &[u8]);

    /// A line with structured data, for targets whose format has some (RFC 5424, 6.3).
    fn record(&self, severity: u8, data: Option<&[u8]>, line: &[u8]) {
        let _ = data;
        self.line(severity, line);
    }
}

/// How a frontend logs its streams.
pub struct Log {
    /// `log-format`, `option httplog` ...
    pub format: LogFormat,
    /// `error-log-format`, for streams that failed before they reached a server.
    pub error_format: Option<LogFormat>,
    /// `log-format-sd`.
    pub data: Option<LogFormat>,
    /// `log-steps`: when lines are made. `None` is at the end only.
    pub steps: Option<Vec<Origin>>,
    pub routes: Vec<Route>,
    /// The routes of `do-log profile`, by the profile's name.
    pub profiles: Vec<(Box<str>, Vec<Route>)>,
}

/// Targets that get the same lines.
pub struct Route {
    pub sink: Arc<dyn Sink>,
    pub profile: Option<Arc<Profile>>,
}

/// A `log-profile` section.
#[derive(Debug, Default)]
pub struct Profile {
    /// What is different at each step, [`Origin::SessError`] for errors; `None` is any other step.
    pub steps: Vec<(Option<Origin>, Step)>,
}

/// What a profile changes of lines.
#[derive(Debug, Default)]
pub struct Step {
    pub drop: bool,
    pub format: Option<LogFormat>,
    pub data: Option<LogFormat>,
}

impl Profile {
    fn step(&self, origin: Origin) -> Option<&Step> {
        let find = |wanted| self.steps.iter().find(|(step, _)| *step == wanted);
        find(Some(origin)).or_else(|| find(None)).map(|(_, step)| step)
    }
}

impl Log {
    /// Lines in this format for every target, through `sink`.
    #[must_use]
    pub fn new(format: LogFormat, sink: Arc<dyn Sink>) -> Self {
        Self {
            format,
            error_format: None,
            data: None,
            steps: None,
            routes: vec![Route { sink, profile: None }],
            profiles: Vec::new(),
        }
    }

    /// Whether a step has lines of its own.
    pub(crate) fn tells(&self, origin: Origin) -> bool {
        self.steps.as_ref().is_some_and(|steps| steps.contains(&origin))
    }

    /// Whether there is a line at the end.
    pub(crate) fn tells_end(&self) -> bool {
        self.steps.is_none() || self.tells(Origin::TxnClose)
    }

    /// Sends the line of what `cx` shows to every target.
    pub fn emit(&self, cx: &EvalCtx<'_>, origin: Origin, severity: u8) {
        self.emit_to(&self.routes, cx, origin, severity, None);
    }

    /// `text` is the line where neither a profile nor `error-log-format` has another.
    fn emit_to(
        &self,
        routes: &[Route],
        cx: &EvalCtx<'_>,
        origin: Origin,
        severity: u8,
        text: Option<&[u8]>,
    ) {
        let error = self.error_format.as_ref().filter(|_| origin == Origin::SessError);
        for route in routes {
            let step = route.profile.as_ref().and_then(|profile| profile.step(origin));
            if step.is_some_and(|step| step.drop) {
                continue;
            }
            let format = step.and_then(|step| step.format.as_ref()).or(error);
            let data = step.and_then(|step| step.data.as_ref()).or(self.data.as_ref());
            let line = match (format, text) {
                (None, Some(text)) => text,
                (format, _) => format.unwrap_or(&self.format).render(cx),
            };
            route.sink.record(severity, data.map(|data| data.render(cx)), line);
        }
    }
}

/// `do-log`: lines made while rules run.
pub(crate) struct DoLog<'a> {
    pub(crate) log: &'a Log,
    /// `set-log-level`.
    pub(crate) level: Option<LogLevel>,
    pub(crate) thread: &'a Thread,
}

impl Logger for DoLog<'_> {
    fn log(&self, cx: &EvalCtx<'_>, origin: Origin, profile: Option<&str>) {
        let severity = match self.level {
            Some(LogLevel::Silent) => return,
            Some(LogLevel::Level(level)) => level,
            None => line::INFO,
        };
        let accepted = cx.session.map(|session| session.accepted).unwrap_or_default();
        let facts =
            cx.known().unwrap_or(LogFacts { accepted, request: accepted, ..LogFacts::NONE });
        let facts = LogFacts { origin, line_number: self.thread.next_line(), ..facts };
        let cx = EvalCtx { facts: Some(&facts), ..*cx };
        let named = profile.and_then(|name| self.log.profiles.iter().find(|(n, _)| **n == *name));
        let routes = named.map_or(&self.log.routes, |(_, routes)| routes);
        self.log.emit_to(routes, &cx, origin, severity, None);
    }
}
