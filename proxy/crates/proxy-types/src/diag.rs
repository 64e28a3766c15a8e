//! What the user is told about a configuration: severity, place, text, and what would have been right.
//!
//! Texts are lower-case fragments without a final full stop. Rendering (one-line form, excerpt, colours)
//! belongs to whoever holds the sources.

use std::collections::HashSet;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// One configuration source (a file, or a text given by a test) in the order of loading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId(pub u32);

/// A range of bytes inside one line of one source. Nothing in the language spans two lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    pub file: FileId,
    /// Counted from 1; 0 means that the value does not come from a source (see [`Span::NONE`]).
    pub line: u32,
    /// First byte, counted from 0 at the start of the line.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The place of values that no source wrote: built-in defaults.
    pub const NONE: Self = Self { file: FileId(0), line: 0, start: 0, end: 0 };

    pub fn new(file: FileId, line: u32, start: u32, end: u32) -> Self {
        Self { file, line, start, end }
    }

    pub fn is_none(self) -> bool {
        self.line == 0
    }

    /// Column for people, counted from 1 in bytes.
    pub fn column(self) -> u32 {
        self.start + 1
    }

    /// From the start of `self` to the end of `other`, when both are on the same line.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        if self.file == other.file && self.line == other.line {
            Self { end: other.end.max(self.end), start: self.start.min(other.start), ..self }
        } else {
            self
        }
    }

    /// The `len` bytes from `offset` inside this span, clipped to it.
    #[must_use]
    pub fn sub(self, offset: usize, len: usize) -> Self {
        let offset = u32::try_from(offset).unwrap_or(u32::MAX);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        let start = self.start.saturating_add(offset).min(self.end);
        Self { start, end: start.saturating_add(len).min(self.end), ..self }
    }
}

/// A value and the place it was read from. Derefs to the value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spanned<T> {
    pub value: T,
    pub span: Span,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// A built-in value that no source wrote.
    pub fn builtin(value: T) -> Self {
        Self { value, span: Span::NONE }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned { value: f(self.value), span: self.span }
    }

    pub fn as_ref(&self) -> Spanned<&T> {
        Spanned { value: &self.value, span: self.span }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Spanned<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// HAProxy's message levels, weakest first. An alert makes the start fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// Advice, shown only in diagnostic mode (`-dD`).
    Diag,
    Notice,
    Warning,
    Alert,
}

impl Severity {
    /// The word between brackets in front of a message.
    pub fn tag(self) -> &'static str {
        match self {
            Self::Alert => "ALERT",
            Self::Diag => "DIAG",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
        }
    }
}

/// A second place that explains the first, e.g. an earlier definition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// One message to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The fact, as one line that makes sense alone.
    pub message: String,
    /// The words it is about; `None` for what concerns no line (e.g. no listener at all).
    pub span: Option<Span>,
    /// Short text under the caret; what was expected goes best here.
    pub expected: Option<String>,
    pub labels: Vec<Label>,
    /// Facts worth adding.
    pub notes: Vec<String>,
    /// What to write instead.
    pub help: Vec<String>,
}

impl Diagnostic {
    fn new(severity: Severity, message: impl Into<String>) -> Self {
        Self {
            severity,
            message: message.into(),
            span: None,
            expected: None,
            labels: Vec::new(),
            notes: Vec::new(),
            help: Vec::new(),
        }
    }

    pub fn alert(message: impl Into<String>) -> Self {
        Self::new(Severity::Alert, message)
    }

    pub fn warning(message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, message)
    }

    pub fn notice(message: impl Into<String>) -> Self {
        Self::new(Severity::Notice, message)
    }

    pub fn diag(message: impl Into<String>) -> Self {
        Self::new(Severity::Diag, message)
    }

    /// Points the message at `span`; [`Span::NONE`] leaves it without a place.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = (!span.is_none()).then_some(span);
        self
    }

    #[must_use]
    pub fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = Some(text.into());
        self
    }

    #[must_use]
    pub fn label(mut self, span: Span, text: impl Into<String>) -> Self {
        if !span.is_none() {
            self.labels.push(Label { span, text: text.into() });
        }
        self
    }

    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds HAProxy's hint `; did you mean 'X' maybe ?` to the message.
    #[must_use]
    pub fn did_you_mean(mut self, nearest: Option<&str>) -> Self {
        if let Some(word) = nearest {
            self.message.push_str(&format!("; did you mean '{word}' maybe ?"));
        }
        self
    }
}

/// Takes diagnostics as they are found, so that one run reports them all.
pub trait DiagSink {
    fn push(&mut self, diagnostic: Diagnostic);
}

/// The usual sink: keeps everything in order.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    /// What was said of a place is not said of it again, however often the same words are compiled.
    told: HashSet<(Severity, Span, String)>,
}

impl Diagnostics {
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty list that leaves out what `self` has.
    #[must_use]
    pub fn following(&self) -> Self {
        Self { list: Vec::new(), told: self.told.clone() }
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|d| d.severity == severity).count()
    }

    /// Whether anything forbids to start.
    pub fn has_alert(&self) -> bool {
        self.count(Severity::Alert) > 0
    }

    pub fn has_warning(&self) -> bool {
        self.count(Severity::Warning) > 0
    }

    /// Puts the messages in the order of the lines they are about, those about no line last; messages about the
    /// same line keep their order.
    pub fn sort_by_place(&mut self) {
        self.list.sort_by_key(|d| d.span.map_or((true, FileId(0), 0), |s| (false, s.file, s.line)));
    }

    pub fn extend(&mut self, other: Self) {
        other.list.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }
}

impl DiagSink for Diagnostics {
    fn push(&mut self, diagnostic: Diagnostic) {
        if let Some(span) = diagnostic.span
            && !self.told.insert((diagnostic.severity, span, diagnostic.message.clone()))
        {
            return;
        }
        self.list.push(diagnostic);
    }
}

impl DiagSink for Vec<Diagnostic> {
    fn push(&mut self, diagnostic: Diagnostic) {
        Self::push(self, diagnostic);
    }
}

impl IntoIterator for Diagnostics {
    type Item = Diagnostic;
    type IntoIter = std::vec::IntoIter<Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_join_only_inside_a_line() {
        let at = |line, start, end| Span::new(FileId(0), line, start, end);
        assert_eq!(at(3, 4, 6).to(at(3, 9, 12)), at(3, 4, 12));
        assert_eq!(at(3, 4, 6).to(at(4, 0, 2)), at(3, 4, 6));
        assert_eq!(at(3, 4, 9).sub(2, 100), at(3, 6, 9));
        assert_eq!(at(3, 4, 9).sub(100, 1), at(3, 9, 9));
    }

    #[test]
    fn messages_are_sorted_by_line() {
        let at = |line| Span::new(FileId(0), line, 0, 1);
        let mut sink = Diagnostics::new();
        sink.push(Diagnostic::alert("none"));
        sink.push(Diagnostic::alert("b").at(at(2)));
        sink.push(Diagnostic::alert("c").at(at(2)));
        sink.push(Diagnostic::alert("a").at(at(1)));
        sink.sort_by_place();
        let order: Vec<&str> = sink.iter().map(|d| d.message.as_str()).collect();
        assert_eq!(order, ["a", "b", "c", "none"]);
    }

    #[test]
    fn nothing_is_said_twice_of_a_place() {
        let at = |line| Span::new(FileId(0), line, 0, 1);
        let mut sink = Diagnostics::new();
        sink.push(Diagnostic::warning("a").at(at(1)));
        sink.push(Diagnostic::warning("a").at(at(1)));
        sink.push(Diagnostic::warning("a").at(at(2)));
        sink.push(Diagnostic::warning("a"));
        sink.push(Diagnostic::warning("a"));
        assert_eq!(sink.len(), 4);
        let mut next = sink.following();
        next.push(Diagnostic::warning("a").at(at(2)));
        next.push(Diagnostic::alert("a").at(at(2)));
        assert_eq!(next.len(), 1);
    }

    #[test]
    fn alerts_are_counted() {
        let mut sink = Diagnostics::new();
        sink.push(Diagnostic::warning("w"));
        assert!(!sink.has_alert() && sink.has_warning());
        sink.push(Diagnostic::alert("unknown keyword 'nbthrd'").did_you_mean(Some("nbthread")));
        assert!(sink.has_alert());
        assert_eq!(
            sink.iter().last().map(|d| d.message.as_str()),
            Some("unknown keyword 'nbthrd'; did you mean 'nbthread' maybe ?")
        );
    }
}
