//! What every parse function gets: the sink of diagnostics, the environment, what was said already.

use std::fmt::Display;

use proxy_types::{DiagSink, Diagnostic, Diagnostics, Severity, Span};
use rustc_hash::FxHashSet;

use crate::keyword::{Row, Support};
use crate::model::ServerOptions;
use crate::{Environment, Options};

/// A mistake that has been told to the user: nothing more to say about this line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported;

/// What a parse function returns.
pub(crate) type Parsed<T = ()> = Result<T, Reported>;

/// Settings of a server in another section than that of a line.
#[derive(Debug, Default)]
pub(crate) enum Elsewhere {
    Found(Box<ServerOptions>),
    Missing,
    #[default]
    NotNamed,
}

impl Elsewhere {
    /// What a line names.
    pub(crate) fn named(found: Option<ServerOptions>) -> Self {
        found.map_or(Self::Missing, |options| Self::Found(Box::new(options)))
    }
}

/// The state of one [`load`](crate::load).
pub(crate) struct Context<'a> {
    pub(crate) diagnostics: Diagnostics,
    pub(crate) env: Environment,
    pub(crate) options: &'a Options,
    /// How many log targets `global` has so far.
    pub(crate) global_logs: usize,
    /// `expose-experimental-directives` was read.
    pub(crate) experimental: bool,
    /// A `peers` section was read: the local name is settled.
    pub(crate) peers_seen: bool,
    /// The settings of another section that the line to be read names by `from`.
    pub(crate) origin: Elsewhere,
    told: FxHashSet<&'static str>,
    alerts: usize,
}

impl<'a> Context<'a> {
    pub(crate) fn new(env: Environment, options: &'a Options) -> Self {
        Self {
            diagnostics: Diagnostics::new(),
            env,
            options,
            global_logs: 0,
            experimental: false,
            peers_seen: false,
            origin: Elsewhere::NotNamed,
            told: FxHashSet::default(),
            alerts: 0,
        }
    }

    /// Tells a diagnostic and returns the mark that it was told.
    pub(crate) fn report(&mut self, diagnostic: Diagnostic) -> Reported {
        self.alerts += usize::from(diagnostic.severity == Severity::Alert);
        self.diagnostics.push(diagnostic);
        Reported
    }

    /// Alerts so far.
    pub(crate) fn alerts(&self) -> usize {
        self.alerts
    }

    pub(crate) fn alert(&mut self, span: Span, message: impl Into<String>) -> Reported {
        self.report(Diagnostic::alert(message).at(span))
    }

    pub(crate) fn warn(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::warning(message).at(span));
    }

    /// Tells what has no effect here. HAProxy says nothing of it, and a warning would stop a start under
    /// `zero-warning`.
    pub(crate) fn notice(&mut self, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::notice(message).at(span));
    }

    /// The function of a carried row; otherwise says why there is none. `place` completes the message, e.g.
    /// `in 'global' section`.
    pub(crate) fn carried<F: Copy>(
        &mut self,
        row: &Row<F>,
        what: impl Display,
        place: impl Display,
        span: Span,
    ) -> Parsed<F> {
        match row.support {
            Support::Carried(f) => Ok(f),
            Support::NoEffect(_) => {
                if self.told.insert(row.name) {
                    // HAProxy is silent about these words: a warning would stop a start under
                    // `zero-warning`.
                    let message = format!(
                        "{what} '{}' {place}: tunes HAProxy's internals, no effect here",
                        row.name
                    );
                    self.diagnostics.push(Diagnostic::notice(message).at(span));
                }
                Err(Reported)
            }
            Support::NotYet => {
                let message = format!("{what} '{}' {place}: known, not carried yet", row.name);
                let note =
                    format!("topic: {}; configuration manual, section {}", row.doc, row.manual);
                Err(self.report(Diagnostic::alert(message).at(span).note(note)))
            }
            Support::Removed { since, instead } => {
                let message = format!(
                    "{what} '{}' {place}: not supported anymore since version {since}",
                    row.name
                );
                Err(self.report(Diagnostic::alert(message).at(span).help(instead)))
            }
        }
    }
}
