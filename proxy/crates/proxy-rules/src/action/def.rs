//! Rows of the action tables, and how their arguments are read.

use proxy_types::{Diagnostic, Span};

use super::env::{Flow, RuleEnv};
use crate::acl::Condition;
use crate::logformat::{LogFormat, Use};
use crate::sample::parse::{fail, show};
use crate::sample::{Expr, ParseCx, Parsed, Place, Word};

/// A compiled action.
pub trait Act: std::fmt::Debug + Send + Sync {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a>;

    /// What it does when that is all it does, whatever the connection.
    fn verdict(&self) -> Option<Flow<'static>> {
        None
    }
}

/// A kind of rule, in the column order of the manual's matrix (4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum SetKind {
    QuicInitial,
    TcpConnection,
    TcpSession,
    TcpRequest,
    TcpResponse,
    HttpRequest,
    HttpResponse,
    HttpAfterResponse,
}

impl SetKind {
    pub const ALL: [Self; 8] = [
        Self::QuicInitial,
        Self::TcpConnection,
        Self::TcpSession,
        Self::TcpRequest,
        Self::TcpResponse,
        Self::HttpRequest,
        Self::HttpResponse,
        Self::HttpAfterResponse,
    ];

    /// The keyword of its rules.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::QuicInitial => "quic-initial",
            Self::TcpConnection => "tcp-request connection",
            Self::TcpSession => "tcp-request session",
            Self::TcpRequest => "tcp-request content",
            Self::TcpResponse => "tcp-response content",
            Self::HttpRequest => "http-request",
            Self::HttpResponse => "http-response",
            Self::HttpAfterResponse => "http-after-response",
        }
    }

    /// Where its expressions are evaluated, in a frontend or a backend.
    pub fn place(self, in_frontend: bool) -> Place {
        match (self, in_frontend) {
            (Self::QuicInitial | Self::TcpConnection, _) => Place::FeTcpConnection,
            (Self::TcpSession, _) => Place::FeTcpSession,
            (Self::TcpRequest, true) => Place::FeTcpContent,
            (Self::TcpRequest, false) => Place::BeTcpContent,
            (Self::TcpResponse, true) => Place::FeTcpResponse,
            (Self::TcpResponse, false) => Place::BeTcpResponse,
            (Self::HttpRequest, true) => Place::FeHttpRequest,
            (Self::HttpRequest, false) => Place::BeHttpRequest,
            (Self::HttpResponse | Self::HttpAfterResponse, true) => Place::FeHttpResponse,
            (Self::HttpResponse | Self::HttpAfterResponse, false) => Place::BeHttpResponse,
        }
    }
}

/// The rule sets an action is valid in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sets(u8);

impl Sets {
    /// From a line of the matrix: `Y` or `.` for each [`SetKind`].
    pub const fn of(matrix: &str) -> Self {
        let letters = matrix.as_bytes();
        assert!(letters.len() == SetKind::ALL.len());
        let mut bits = 0;
        let mut i = 0;
        while i < letters.len() {
            if letters[i] == b'Y' {
                bits |= 1 << i;
            }
            i += 1;
        }
        Self(bits)
    }

    pub fn contains(self, kind: SetKind) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    pub fn letters(self) -> String {
        SetKind::ALL.into_iter().map(|k| if self.contains(k) { 'Y' } else { '.' }).collect()
    }
}

/// Reads the arguments of an action.
pub type ParseFn = fn(&mut ActionArgs<'_, '_>, &mut ParseCx<'_>) -> Parsed<Box<dyn Act>>;

/// An action.
#[derive(Clone, Copy)]
pub struct ActionDef {
    pub name: &'static str,
    pub sets: Sets,
    pub parse: ParseFn,
    /// Arguments as the manual shows them.
    pub syntax: &'static str,
    /// One line, third person.
    pub doc: &'static str,
}

impl ActionDef {
    /// Whether it takes `expose-experimental-directives` (configuration manual, 4.4).
    pub fn is_experimental(&self) -> bool {
        self.name == "normalize-uri"
    }
}

/// The words of an action, taken from the left up to the condition.
pub struct ActionArgs<'w, 't> {
    pub kind: SetKind,
    /// The name as it was written, for messages.
    name: &'w str,
    span: Span,
    /// What stands between parentheses after the name.
    paren: Option<Word<'t>>,
    rest: &'w [Word<'t>],
}

impl<'w, 't> ActionArgs<'w, 't> {
    pub(crate) fn new(
        kind: SetKind,
        name: &'w str,
        span: Span,
        paren: Option<Word<'t>>,
        rest: &'w [Word<'t>],
    ) -> Self {
        Self { kind, name, span, paren, rest }
    }

    /// What the arguments have left, the condition included.
    pub fn rest(&self) -> &'w [Word<'t>] {
        self.rest
    }

    /// The next argument, when there is one before the condition.
    pub fn peek(&self) -> Option<Word<'t>> {
        self.rest.first().copied().filter(|w| !Condition::starts(w.value))
    }

    pub fn take(&mut self) -> Option<Word<'t>> {
        let word = self.peek()?;
        self.rest = &self.rest[1..];
        Some(word)
    }

    /// Takes the next argument when it is `keyword`.
    pub fn take_keyword(&mut self, keyword: &str) -> bool {
        let found = self.peek().is_some_and(|w| w.value == keyword.as_bytes());
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    /// The next argument, or the message that `expected` is missing.
    pub fn word(&mut self, expected: &str) -> Parsed<Word<'t>> {
        match self.take() {
            Some(word) => Ok(word),
            None => fail(
                Diagnostic::alert(format!(
                    "'{} {}' expects {expected}",
                    self.kind.keyword(),
                    self.name
                ))
                .at(self.span),
            ),
        }
    }

    /// The next argument as text.
    pub fn text(&mut self, expected: &str) -> Parsed<(String, Span)> {
        let word = self.word(expected)?;
        Ok((show(word.value).into_owned(), word.span))
    }

    /// The next argument as a whole number of `low..=high`.
    pub fn number(&mut self, low: u32, high: u32, expected: &str) -> Parsed<u32> {
        let (text, span) = self.text(expected)?;
        match text.parse() {
            Ok(n) if (low..=high).contains(&n) => Ok(n),
            _ => fail(
                Diagnostic::alert(format!("{}: '{text}' is not {expected}", self.what()))
                    .at(span)
                    .expected(format!("a number from {low} to {high}")),
            ),
        }
    }

    /// The next argument as a log format.
    pub fn format(&mut self, expected: &str, cx: &mut ParseCx<'_>) -> Parsed<LogFormat> {
        let word = self.word(expected)?;
        LogFormat::parse(word, Use::Http, cx)
    }

    /// The next argument as an expression.
    pub fn expr(&mut self, cx: &mut ParseCx<'_>) -> Parsed<Expr> {
        let word = self.word("a sample expression")?;
        Expr::parse(word, cx)
    }

    /// What stands between parentheses after the name, which must be there.
    pub fn paren(&self, expected: &str) -> Parsed<Word<'t>> {
        match self.paren {
            Some(word) if !word.value.is_empty() => Ok(word),
            _ => fail(
                Diagnostic::alert(format!("{} expects {expected} in parentheses", self.what()))
                    .at(self.span),
            ),
        }
    }

    pub(crate) fn has_paren(&self) -> bool {
        self.paren.is_some()
    }

    /// The name of the action as it was written.
    pub fn name(&self) -> &'w str {
        self.name
    }

    /// `'http-request set-header'`, for messages.
    pub fn what(&self) -> String {
        format!("'{} {}'", self.kind.keyword(), self.name)
    }

    pub fn span(&self) -> Span {
        self.span
    }
}
