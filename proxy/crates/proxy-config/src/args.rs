//! The words of one line, read from left to right by parse functions.

use std::borrow::Cow;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use proxy_types::time::{Unit, parse_timer_in};
use proxy_types::{Address, Diagnostic, Span, Spanned, size, text, time};

use crate::Environment;
use crate::context::{Context, Parsed, Reported};
use crate::lexer::{Word, sub_span};

/// `no` or `default` in front of a keyword.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Polarity {
    /// Restores the built-in setting.
    Default,
    No,
    Set,
}

/// A cursor over the words of a line. The words before the first argument are the keyword that messages name.
#[derive(Clone, Debug)]
pub(crate) struct Args<'a> {
    words: &'a [Word],
    pos: usize,
    pub(crate) polarity: Polarity,
    /// What messages call the keyword.
    name: Cow<'a, str>,
}

impl<'a> Args<'a> {
    /// Takes `no` or `default` and the first word of the line as keyword. `words` must not be empty.
    pub(crate) fn new(words: &'a [Word]) -> Self {
        let polarity = match words.first().map(|w| w.value.as_str()) {
            Some("no") if words.len() > 1 => Polarity::No,
            Some("default") if words.len() > 1 => Polarity::Default,
            _ => Polarity::Set,
        };
        let at = usize::from(polarity != Polarity::Set);
        let name = words.get(at).map(|w| Cow::Borrowed(w.value.as_str())).unwrap_or_default();
        Self { words, pos: at + 1, polarity, name }
    }

    /// The whole directive.
    pub(crate) fn span(&self) -> Span {
        match (self.words.first(), self.words.last()) {
            (Some(first), Some(last)) => first.span.to(last.span),
            _ => Span::NONE,
        }
    }

    /// The keyword, or its last word.
    pub(crate) fn keyword_span(&self) -> Span {
        self.words.get(self.pos - 1).map_or(Span::NONE, |w| w.span)
    }

    /// The word that was taken last, as it was written.
    pub(crate) fn keyword(&self) -> &'a str {
        self.words.get(self.pos - 1).map_or("", |w| w.value.as_str())
    }

    /// The keyword as messages name it: `timeout client`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Makes the next word part of the keyword: `timeout` becomes `timeout client`.
    pub(crate) fn deepen(&mut self) -> Option<&'a Word> {
        let word = self.optional()?;
        self.name = Cow::Owned(format!("{} {}", self.name, word.value));
        Some(word)
    }

    /// Gives messages another name for the keyword.
    pub(crate) fn rename(&mut self, name: impl Into<Cow<'a, str>>) {
        self.name = name.into();
    }

    /// [`Args::rename`] for one option after the other of a line, in the same piece of memory.
    pub(crate) fn rename_option(&mut self, of: &str, between: &str, option: &str) {
        let name = self.name.to_mut();
        name.clear();
        for part in [of, between, option] {
            name.push_str(part);
        }
    }

    pub(crate) fn peek(&self) -> Option<&'a Word> {
        self.words.get(self.pos)
    }

    pub(crate) fn optional(&mut self) -> Option<&'a Word> {
        let word = self.words.get(self.pos)?;
        self.pos += 1;
        Some(word)
    }

    /// Takes the next word when it is this one.
    pub(crate) fn accept(&mut self, word: &str) -> Option<Span> {
        let next = self.peek().filter(|w| w.value == word)?;
        self.pos += 1;
        Some(next.span)
    }

    /// All words that are left.
    pub(crate) fn rest(&mut self) -> &'a [Word] {
        let rest = self.words.get(self.pos..).unwrap_or_default();
        self.pos = self.words.len();
        rest
    }

    /// Right behind the last word: where something is missing.
    fn missing_span(&self) -> Span {
        let end = self.words.last().map_or(Span::NONE, |w| w.span);
        Span { start: end.end, end: end.end + 1, ..end }
    }

    /// Tells that `what` is expected and nothing, or an empty word, is there.
    pub(crate) fn missing(&self, cx: &mut Context<'_>, what: &str) -> Reported {
        let message = format!("'{}' expects {what}", self.name);
        let span = self.peek().map_or_else(|| self.missing_span(), |word| word.span);
        cx.report(Diagnostic::alert(message).at(span).expected(format!("expected {what}")))
    }

    /// Tells that `what` is expected in place of a word.
    pub(crate) fn missing_at(&self, cx: &mut Context<'_>, span: Span, what: &str) -> Reported {
        let message = format!("'{}' expects {what}", self.name);
        cx.report(Diagnostic::alert(message).at(span).expected(format!("expected {what}")))
    }

    /// Tells what is wrong with a word.
    pub(crate) fn wrong(
        &self,
        cx: &mut Context<'_>,
        span: Span,
        message: impl Display,
    ) -> Reported {
        cx.alert(span, format!("'{}' : {message}", self.name))
    }

    /// The next word, which must be there and not be empty.
    pub(crate) fn word(&mut self, cx: &mut Context<'_>, what: &str) -> Parsed<&'a Word> {
        match self.peek() {
            Some(word) if !word.value.is_empty() => {
                self.pos += 1;
                Ok(word)
            }
            _ => Err(self.missing(cx, what)),
        }
    }

    /// [`Args::word`], where it takes work to say what is expected.
    fn word_of(&mut self, cx: &mut Context<'_>, what: impl FnOnce() -> String) -> Parsed<&'a Word> {
        match self.peek() {
            Some(word) if !word.value.is_empty() => {
                self.pos += 1;
                Ok(word)
            }
            _ => Err(self.missing(cx, &what())),
        }
    }

    /// A word that must be text: a name, a file.
    pub(crate) fn string(&mut self, cx: &mut Context<'_>, what: &str) -> Parsed<Spanned<String>> {
        let word = self.word(cx, what)?;
        self.text(cx, word)
    }

    /// A word that must be text.
    pub(crate) fn text(&self, cx: &mut Context<'_>, word: &Word) -> Parsed<Spanned<String>> {
        if word.value.is_utf8() {
            return Ok(Spanned::new(word.value.as_str().to_owned(), word.span));
        }
        let message = format!("'{}' expects text, '{}' is not valid UTF-8", self.name, word.value);
        Err(cx.report(Diagnostic::alert(message).at(word.span).help("save the file as UTF-8")))
    }

    /// An integer in `range`.
    pub(crate) fn number<T>(
        &mut self,
        cx: &mut Context<'_>,
        range: RangeInclusive<T>,
    ) -> Parsed<Spanned<T>>
    where
        T: Copy + Into<i64> + TryFrom<i64> + Display + PartialOrd,
    {
        let what = || format!("an integer between {} and {}", range.start(), range.end());
        let word = self.word_of(cx, what)?;
        let bounds = (*range.start()).into()..=(*range.end()).into();
        let value = word.value.parse::<i64>().ok().filter(|v| bounds.contains(v));
        match value.and_then(|v| T::try_from(v).ok()) {
            Some(value) => Ok(Spanned::new(value, word.span)),
            None => {
                let what = what();
                let message = format!("'{}' expects {what}, got '{}'", self.name, word.value);
                Err(cx.report(
                    Diagnostic::alert(message).at(word.span).expected(format!("expected {what}")),
                ))
            }
        }
    }

    /// A timer in milliseconds unless it has another unit.
    pub(crate) fn timer(&mut self, cx: &mut Context<'_>) -> Parsed<Spanned<Duration>> {
        self.timer_in(cx, Unit::Millisecond)
    }

    pub(crate) fn timer_in(
        &mut self,
        cx: &mut Context<'_>,
        unit: Unit,
    ) -> Parsed<Spanned<Duration>> {
        let default = match unit {
            Unit::Second => "in seconds",
            _ => "in milliseconds",
        };
        let what = || format!("an integer value ({default})");
        let word = self.word_of(cx, what)?;
        parse_timer_in(&word.value, unit).map(|v| Spanned::new(v, word.span)).map_err(|error| {
            let (span, text) = match error {
                time::TimeError::Unexpected { found, offset } => (
                    sub_span(word, offset, found.len_utf8()),
                    format!("unexpected character '{found}' in '{}'", self.name),
                ),
                other => {
                    (word.span, format!("{other} in argument '{}' to '{}'", word.value, self.name))
                }
            };
            let units = format!("expected {} or a number followed by us, ms, s, m, h or d", what());
            cx.report(Diagnostic::alert(text).at(span).expected(units))
        })
    }

    /// A size in bytes in `range`.
    pub(crate) fn size(
        &mut self,
        cx: &mut Context<'_>,
        range: RangeInclusive<u32>,
    ) -> Parsed<Spanned<u32>> {
        let what = || format!("a size in bytes between {} and {}", range.start(), range.end());
        let word = self.word_of(cx, what)?;
        let value = size::parse_size(&word.value)
            .map_err(|error| error.to_string())
            .and_then(|v| u32::try_from(v).map_err(|_| "value too large".to_owned()))
            .and_then(|v| {
                if range.contains(&v) { Ok(v) } else { Err("value out of range".to_owned()) }
            });
        value.map(|v| Spanned::new(v, word.span)).map_err(|error| {
            let message = format!("'{}' : {error} in '{}'", self.name, word.value);
            let expected = format!("expected {}", what());
            cx.report(Diagnostic::alert(message).at(word.span).expected(expected))
        })
    }

    /// One word of a closed list.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        cx: &mut Context<'_>,
        choices: &[(&'static str, T)],
    ) -> Parsed<Spanned<T>> {
        let what = || {
            let names: Vec<String> = choices.iter().map(|(name, _)| format!("'{name}'")).collect();
            match names.as_slice() {
                [only] => only.clone(),
                _ => format!("one of {}", names.join(", ")),
            }
        };
        let word = self.word_of(cx, what)?;
        match choices.iter().find(|(name, _)| word.value == *name) {
            Some(&(_, value)) => Ok(Spanned::new(value, word.span)),
            None => {
                let message = format!("'{}' expects {}, got '{}'", self.name, what(), word.value);
                let near = text::nearest(&word.value, choices.iter().map(|(name, _)| *name));
                Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)))
            }
        }
    }

    pub(crate) fn address(&mut self, cx: &mut Context<'_>, what: &str) -> Parsed<Spanned<Address>> {
        let word = self.word(cx, what)?;
        self.parse_address(cx, word, 0, &word.value)
    }

    /// An address that is the part of `word` from `offset` on.
    pub(crate) fn parse_address(
        &self,
        cx: &mut Context<'_>,
        word: &Word,
        offset: usize,
        text: &str,
    ) -> Parsed<Spanned<Address>> {
        let text = expanded(&cx.env, text);
        Address::parse(&text)
            .map(|address| Spanned::new(address, sub_span(word, offset, text.len())))
            .map_err(|error| {
                let span = sub_span(word, offset + error.offset, error.len.max(1));
                self.wrong(cx, span, format!("{error} in '{text}'"))
            })
    }

    /// What follows is not read, as in HAProxy, and the user is told.
    pub(crate) fn leave(&mut self, cx: &mut Context<'_>) -> Parsed {
        if let Some(extra) = self.peek() {
            let message =
                format!("'{}' : '{}' and what follows is not read", self.name, extra.value);
            let help = "put the argument in quotes when it has spaces";
            cx.report(Diagnostic::notice(message).at(extra.span).help(help));
            self.rest();
        }
        Ok(())
    }

    /// Nothing may follow.
    pub(crate) fn end(&mut self, cx: &mut Context<'_>) -> Parsed {
        match self.peek() {
            None => Ok(()),
            Some(word) => {
                let message =
                    format!("'{}' cannot handle unexpected argument '{}'", self.name, word.value);
                Err(cx.alert(word.span, message))
            }
        }
    }
}

/// An address with the variables in it replaced, those of words without quotes, too (configuration manual, 4.2 "bind").
/// One that does not exist is empty, as within quotes.
fn expanded<'t>(env: &Environment, text: &'t str) -> Cow<'t, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, name, after)) = rest.split_once("${").and_then(|(before, after)| {
        after.split_once('}').map(|(name, after)| (before, name, after))
    }) {
        out.push_str(before);
        out.push_str(env.get(name).unwrap_or_default());
        rest = after;
    }
    if out.is_empty() && rest.len() == text.len() {
        return Cow::Borrowed(text);
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The one argument of a keyword.
pub(crate) fn last_string(
    cx: &mut Context<'_>,
    args: &mut Args<'_>,
    what: &str,
) -> Parsed<Spanned<String>> {
    let value = args.string(cx, what)?;
    args.end(cx)?;
    Ok(value)
}

/// The one argument of a keyword, any bytes.
pub(crate) fn last_word(cx: &mut Context<'_>, args: &mut Args<'_>, what: &str) -> Parsed<Word> {
    let value = args.word(cx, what)?.clone();
    args.end(cx)?;
    Ok(value)
}

/// All words of the line joined by single spaces.
pub(crate) fn rest_text(cx: &mut Context<'_>, args: &mut Args<'_>, what: &str) -> Parsed<Word> {
    let mut text = args.word(cx, what)?.clone();
    for word in args.rest() {
        text.value.push_str(" ");
        text.value.push(&word.value);
        text.span = text.span.to(word.span);
    }
    Ok(text)
}
