//! The words of one rule of a script.

use proxy_types::{Diagnostic, Span};

use crate::logformat::{LogFormat, Use};
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, Expr, ParseCx, Parsed, Sample, Type, Word};

/// Which rules a script is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Http,
    Tcp,
}

impl Kind {
    /// The keyword in front of its rules.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Http => "http-check",
            Self::Tcp => "tcp-check",
        }
    }
}

/// The request line that `option httpchk` gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestLine {
    pub method: Option<String>,
    pub uri: Option<String>,
    pub version: Option<String>,
    pub host: Option<String>,
}

/// The value as a number; the digits of a payload, too.
pub(super) fn integer<'a>(expr: &'a Expr, cx: &EvalCtx<'a>) -> Option<i64> {
    let value = expr.eval(cx)?;
    match value.bytes() {
        Some(digits) => Sample::Str(digits).cast(Type::Sint, cx.scratch)?.int(),
        None => value.int(),
    }
}

/// The words of one rule, read from left to right.
pub(super) struct Words<'w, 's> {
    pub(super) rest: &'s [Word<'w>],
    pub(super) span: Span,
    /// The keyword that messages name.
    pub(super) what: &'static str,
}

impl<'w> Words<'w, '_> {
    pub(super) fn next(&mut self, what: &str) -> Parsed<Word<'w>> {
        match self.rest.split_first() {
            Some((word, rest)) => {
                self.rest = rest;
                Ok(*word)
            }
            None => {
                fail(Diagnostic::alert(format!("'{}' expects {what}", self.what)).at(self.span))
            }
        }
    }

    pub(super) fn peek(&self) -> Option<&'w [u8]> {
        self.rest.first().map(|word| word.value)
    }

    /// Takes `word` when it is next.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word.as_bytes());
        if found {
            self.rest = &self.rest[1..];
        }
        found
    }

    pub(super) fn text(&mut self, what: &str) -> Parsed<String> {
        Ok(show(self.next(what)?.value).into_owned())
    }

    pub(super) fn format(&mut self, cx: &mut ParseCx<'_>) -> Parsed<LogFormat> {
        LogFormat::parse(self.next("a format")?, Use::Http, cx)
    }

    pub(super) fn end(&self) -> Parsed<()> {
        match self.rest.first() {
            None => Ok(()),
            Some(word) => fail(
                Diagnostic::alert(format!(
                    "'{}' does not know '{}' here",
                    self.what,
                    show(word.value)
                ))
                .at(word.span),
            ),
        }
    }
}
