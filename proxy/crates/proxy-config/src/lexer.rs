//! One line of configuration to words: quotes, escapes, variables, comments (configuration manual, 2.2 and 2.3).
//!
//! The second level of quoting, inside the parentheses of an argument, belongs to the parser of that argument;
//! [`arguments`] is the one for conditions.

use std::ops::Deref;

use proxy_types::{Diagnostic, FileId, Span, Spanned};

pub use crate::text::Text;

/// A word after quotes, escapes and variables were resolved, with the bytes it was written with.
pub type Word = Spanned<Text>;

/// Words that one line may hold.
pub const WORDS_MAX: usize = 64;
/// Bytes that one line may hold, variables included.
pub const LINE_MAX: usize = 1 << 20;

/// Where variables get their values from.
pub trait Variables {
    /// The value of an environment variable, or of a pseudo-variable when the name starts with a dot.
    fn variable(&self, name: &str) -> Option<String>;
}

impl Variables for crate::Environment {
    fn variable(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }
}

/// Why a line could not be cut into words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LexErrorKind {
    #[error("truncated or invalid hexadecimal sequence")]
    Hex,
    #[error("line too long, more than {LINE_MAX} bytes")]
    LineTooLong,
    #[error("unexpected NUL character, the file might not be a text file")]
    Nul,
    #[error("too many words, truncating after word {WORDS_MAX}")]
    TooManyWords,
    #[error("unmatched brace in environment variable name")]
    UnmatchedBrace,
    #[error("unmatched quote")]
    UnmatchedQuote,
    #[error("forbidden first char in environment variable name")]
    VariableName,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at position {}", span.column())]
pub struct LexError {
    pub kind: LexErrorKind,
    pub span: Span,
}

impl From<LexError> for Diagnostic {
    fn from(error: LexError) -> Self {
        Self::alert(error.to_string()).at(error.span)
    }
}

/// The line being cut.
struct Cutter<'a> {
    line: &'a [u8],
    pos: usize,
    file: FileId,
    number: u32,
    words: &'a mut Vec<Word>,
    /// Bytes of the word being built; `None` between words.
    word: Option<(usize, Vec<u8>)>,
    total: usize,
}

/// Cuts a line into words. The line ends at an unprotected `#` or carriage return.
///
/// # Errors
/// The first mistake; nothing of such a line can be trusted.
pub fn words(
    line: &[u8],
    file: FileId,
    number: u32,
    variables: &dyn Variables,
) -> Result<Vec<Word>, LexError> {
    let mut words = Vec::new();
    words_into(&mut words, line, file, number, variables)?;
    Ok(words)
}

/// [`words`] in the place of those that are there.
pub(crate) fn words_into(
    words: &mut Vec<Word>,
    line: &[u8],
    file: FileId,
    number: u32,
    variables: &dyn Variables,
) -> Result<(), LexError> {
    words.clear();
    let mut cutter = Cutter { line, pos: 0, file, number, words, word: None, total: 0 };
    if line.len() > LINE_MAX {
        return Err(cutter.error(LexErrorKind::LineTooLong, 0, 1));
    }
    cutter.run(variables)
}

/// The first word of a line as it was written; `None` when quotes, escapes or variables may make any word of it.
pub(crate) fn first_plain(line: &[u8]) -> Option<&[u8]> {
    let start = line.iter().position(|byte| !matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let rest = &line[start..];
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'\t' | b'#' | b'\r'));
    let word = &rest[..end.unwrap_or(rest.len())];
    (!word.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'\\'))).then_some(word)
}

impl Cutter<'_> {
    fn run(&mut self, variables: &dyn Variables) -> Result<(), LexError> {
        while let Some(&byte) = self.line.get(self.pos) {
            match byte {
                b' ' | b'\t' => {
                    self.finish_word()?;
                    self.pos += 1;
                }
                b'#' | b'\r' => break,
                b'"' => self.weak(variables)?,
                b'\'' => self.strong()?,
                b'\\' => self.escape()?,
                0 => return Err(self.error(LexErrorKind::Nul, self.pos, 1)),
                _ => self.plain_run()?,
            }
        }
        self.finish_word()
    }

    /// Starts a word here when none is open: a pair of quotes alone is an empty word.
    fn open_word(&mut self) -> &mut Vec<u8> {
        let pos = self.pos;
        &mut self.word.get_or_insert_with(|| (pos, Vec::new())).1
    }

    /// Takes the bytes from here on that stand for themselves; there is at least one.
    fn plain_run(&mut self) -> Result<(), LexError> {
        let rest = &self.line[self.pos..];
        let length = rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len());
        self.total += length;
        if self.total > LINE_MAX {
            return Err(self.error(LexErrorKind::LineTooLong, self.pos, 1));
        }
        let ends = matches!(rest.get(length), None | Some(b' ' | b'\t' | b'#' | b'\r'));
        if self.word.is_none() && ends {
            let start = self.pos;
            self.pos += length;
            return self.push_word(start, &rest[..length]);
        }
        self.open_word().extend_from_slice(&rest[..length]);
        self.pos += length;
        Ok(())
    }

    fn put(&mut self, byte: u8) -> Result<(), LexError> {
        self.total += 1;
        if self.total > LINE_MAX {
            return Err(self.error(LexErrorKind::LineTooLong, self.pos, 1));
        }
        self.open_word().push(byte);
        Ok(())
    }

    fn finish_word(&mut self) -> Result<(), LexError> {
        let Some((start, bytes)) = self.word.take() else { return Ok(()) };
        self.push_word(start, &bytes)
    }

    /// A word that was written from `start` to here.
    fn push_word(&mut self, start: usize, bytes: &[u8]) -> Result<(), LexError> {
        if self.words.len() == WORDS_MAX {
            return Err(self.error(LexErrorKind::TooManyWords, start, self.pos - start));
        }
        self.words.push(Word::new(Text::from_bytes(bytes), self.span(start, self.pos - start)));
        Ok(())
    }

    fn weak(&mut self, variables: &dyn Variables) -> Result<(), LexError> {
        let open = self.pos;
        self.open_word();
        self.pos += 1;
        loop {
            match self.line.get(self.pos) {
                None => return Err(self.error(LexErrorKind::UnmatchedQuote, open, 1)),
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(b'$') => self.variable(variables)?,
                Some(0) => return Err(self.error(LexErrorKind::Nul, self.pos, 1)),
                Some(&byte) => {
                    self.put(byte)?;
                    self.pos += 1;
                }
            }
        }
        self.pos += 1;
        Ok(())
    }

    fn strong(&mut self) -> Result<(), LexError> {
        let open = self.pos;
        self.open_word();
        self.pos += 1;
        loop {
            match self.line.get(self.pos) {
                None => return Err(self.error(LexErrorKind::UnmatchedQuote, open, 1)),
                Some(b'\'') => break,
                Some(0) => return Err(self.error(LexErrorKind::Nul, self.pos, 1)),
                Some(&byte) => {
                    self.put(byte)?;
                    self.pos += 1;
                }
            }
        }
        self.pos += 1;
        Ok(())
    }

    /// A backslash and what follows. Before any other character the backslash stands for itself.
    fn escape(&mut self) -> Result<(), LexError> {
        let (byte, used) = match self.line.get(self.pos + 1) {
            Some(&c @ (b' ' | b'\t' | b'#' | b'\\' | b'\'' | b'"' | b'$')) => (c, 2),
            Some(b'n') => (b'\n', 2),
            Some(b'r') => (b'\r', 2),
            Some(b't') => (b'\t', 2),
            Some(b'x') => {
                let digit = |at: usize| {
                    self.line.get(self.pos + at).and_then(|&c| char::from(c).to_digit(16))
                };
                match (digit(2), digit(3)) {
                    (Some(high), Some(low)) => ((high * 16 + low) as u8, 4),
                    _ => return Err(self.error(LexErrorKind::Hex, self.pos, 4)),
                }
            }
            _ => (b'\\', 1),
        };
        self.put(byte)?;
        self.pos += used;
        Ok(())
    }

    /// `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME[*]}` inside weak quotes. An unset variable is empty.
    fn variable(&mut self, variables: &dyn Variables) -> Result<(), LexError> {
        let dollar = self.pos;
        let braced = self.line.get(dollar + 1) == Some(&b'{');
        let name_at = dollar + 1 + usize::from(braced);
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let first = self.line.get(name_at).copied().unwrap_or(0);
        if !(first == b'_' || first == b'.' || first.is_ascii_alphabetic()) {
            return Err(self.error(LexErrorKind::VariableName, name_at, 1));
        }
        let tail = &self.line[name_at + 1..];
        let mut end = name_at + 1 + tail.iter().take_while(|b| is_name(b)).count();
        let name = String::from_utf8_lossy(&self.line[name_at..end]).into_owned();
        let mut value = variables.variable(&name);
        let mut split = false;
        if braced {
            if self.line[end..].starts_with(b"[*]") {
                split = true;
                end += 3;
            }
            let close = self.line[end..].iter().position(|&b| b == b'}').map(|at| end + at);
            let well_formed = close.filter(|&at| at == end || self.line[end] == b'-');
            let Some(close) = well_formed else {
                return Err(self.error(LexErrorKind::UnmatchedBrace, dollar + 1, end - dollar - 1));
            };
            if value.is_none() && close > end {
                value = Some(String::from_utf8_lossy(&self.line[end + 1..close]).into_owned());
            }
            end = close + 1;
        }
        let value = value.unwrap_or_default();
        if split {
            let mut parts = value.split([' ', '\t']).filter(|part| !part.is_empty());
            for byte in parts.next().unwrap_or_default().bytes() {
                self.put(byte)?;
            }
            let start = self.word.as_ref().map_or(dollar, |(start, _)| *start);
            for part in parts {
                self.pos = end;
                self.finish_word()?;
                self.word = Some((start, Vec::new()));
                for byte in part.bytes() {
                    self.put(byte)?;
                }
            }
        } else {
            for byte in value.bytes() {
                self.put(byte)?;
            }
        }
        self.pos = end;
        Ok(())
    }

    fn span(&self, start: usize, len: usize) -> Span {
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let end = (start + len).min(self.line.len()).max(start);
        Span::new(self.file, self.number, clip(start), clip(end))
    }

    fn error(&self, kind: LexErrorKind, start: usize, len: usize) -> LexError {
        LexError { kind, span: self.span(start, len) }
    }
}

/// Whether a byte outside of quotes is more than itself.
fn is_special(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'#' | b'\r' | b'"' | b'\'' | b'\\' | 0)
}

/// The bytes `offset..offset + len` of a word's text in the line: exact when the word was written without quotes,
/// escapes and variables, the whole word otherwise.
pub fn sub_span<T: Deref<Target = str>>(word: &Spanned<T>, offset: usize, len: usize) -> Span {
    let written = (word.span.end - word.span.start) as usize;
    if written == word.value.len() { word.span.sub(offset, len) } else { word.span }
}

/// The texts between the commas of a word, each where it stands; an empty text is given a place of one byte.
pub fn between_commas<T: Deref<Target = str>>(
    word: &Spanned<T>,
) -> impl Iterator<Item = Spanned<&str>> {
    let mut offset = 0;
    word.value.split(',').map(move |text| {
        let span = sub_span(word, offset, text.len().max(1));
        offset += text.len() + 1;
        Spanned::new(text, span)
    })
}

/// Why the arguments in a pair of parentheses could not be read, and at which byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgumentsError {
    /// Another character than `,` or `)` follows a quoted argument, or the text ends.
    Unclosed(usize),
    UnmatchedQuote(usize),
}

/// Cuts `a,b,c)…` (the text after an opening parenthesis) into arguments and tells how many bytes were read,
/// the closing parenthesis included. Quotes and escapes as on the first level, but without `\#`, `\$`, `\xNN`.
pub fn arguments(text: &str) -> Result<(Vec<String>, usize), ArgumentsError> {
    let mut args = Vec::new();
    let mut current = String::new();
    let mut chars = text.char_indices();
    let mut quote: Option<(char, usize)> = None;
    while let Some((at, c)) = chars.next() {
        match (quote, c) {
            (Some((open, _)), c) if c == open => quote = None,
            (Some(('\'', _)), c) => current.push(c),
            (_, '\\') => {
                let next = chars.clone().next().map(|(_, next)| next);
                let replaced = match next {
                    Some(c @ (' ' | '\t' | '\\' | '\'' | '"' | ',' | '(' | ')')) => Some(c),
                    Some('n') => Some('\n'),
                    Some('r') => Some('\r'),
                    Some('t') => Some('\t'),
                    _ => None,
                };
                match replaced {
                    Some(c) => {
                        current.push(c);
                        chars.next();
                    }
                    None => current.push('\\'),
                }
            }
            (Some(_), c) => current.push(c),
            (None, '"' | '\'') => quote = Some((c, at)),
            (None, ',') => args.push(std::mem::take(&mut current)),
            (None, ')') => {
                args.push(current);
                return Ok((args, at + 1));
            }
            (None, c) => current.push(c),
        }
    }
    Err(match quote {
        Some((_, at)) => ArgumentsError::UnmatchedQuote(at),
        None => ArgumentsError::Unclosed(text.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Environment;
    use proptest::prelude::*;

    fn env() -> Environment {
        [("FOO", "a b  c"), ("EMPTY", ""), ("HOST", "web1"), (".LINE", "7")].into_iter().collect()
    }

    fn cut(line: &[u8]) -> Result<Vec<Word>, LexError> {
        words(line, FileId(0), 1, &env())
    }

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        let words = cut(line.as_bytes()).unwrap_or_else(|e| panic!("{line:?}: {e}"));
        let texts: Vec<&str> = words.iter().map(|w| w.value.as_str()).collect();
        assert_eq!(texts, expected, "{line:?}");
    }

    #[track_caller]
    fn wrong(line: &str, message: &str) {
        assert_eq!(cut(line.as_bytes()).expect_err(line).to_string(), message, "{line:?}");
    }

    #[test]
    fn words_and_comments() {
        check("", &[]);
        check("  \t # only a comment", &[]);
        check("global#this is the global section", &["global"]);
        check("\tmode             http   # or tcp", &["mode", "http"]);
        check("a \"\" b ''", &["a", "", "b", ""]);
        check("bind :80\r", &["bind", ":80"]);
    }

    #[test]
    fn escapes_follow_the_manual() {
        check(r"log-format %{+Q}o\ %t\ %s\ %{-Q}r", &["log-format", "%{+Q}o %t %s %{-Q}r"]);
        check(r#"log-format "%{+Q}o %t %s %{-Q}r""#, &["log-format", "%{+Q}o %t %s %{-Q}r"]);
        check(r"log-format '%{+Q}o %t %s %{-Q}r'", &["log-format", "%{+Q}o %t %s %{-Q}r"]);
        check(r#"log-format "%{+Q}o %t"' %s %{-Q}r'"#, &["log-format", "%{+Q}o %t %s %{-Q}r"]);
        check(r#"log-format "%{+Q}o %t"' %s'\ %{-Q}r"#, &["log-format", "%{+Q}o %t %s %{-Q}r"]);
        check(r#"a\ b\#c\\d\"e\x41\n\q"#, &["a b#c\\d\"eA\n\\q"]);
        check(r#""a\qb\x41\ c\#""#, &["a\\qbA c#"]);
        check(r#"'a\x41"b'c"d"e"#, &["a\\x41\"bcde"]);
        check(r"abc\", &["abc\\"]);
        check(r"\$FOO $FOO '$FOO'", &["$FOO", "$FOO", "$FOO"]);
        check(r#""\$FOO" "\x24FOO""#, &["$FOO", "$FOO"]);
        check(r#"%[path,regsub(\"(foo|bar)\",blah,g)]"#, &["%[path,regsub(\"(foo|bar)\",blah,g)]"]);
        check("a\\\tb \"a\tb\"", &["a\tb", "a\tb"]);
    }

    #[test]
    fn variables() {
        check(r#""$HOST.x" "${HOST}x" "x$HOST""#, &["web1.x", "web1x", "xweb1"]);
        check(r#""${NOPE-127.0.0.1}:514""#, &["127.0.0.1:514"]);
        check(r#""${EMPTY-def}" "${NOPE-}" "$NOPE""#, &["", "", ""]);
        check(r#""x${FOO}y""#, &["xa b  cy"]);
        check(r#""x${FOO[*]}y" z"#, &["xa", "b", "cy", "z"]);
        check(r#"a "${NOPE[*]}" b"#, &["a", "", "b"]);
        check(r#""${NOPE[*]-u v}""#, &["u", "v"]);
        check(r#""${.LINE}" "$.LINE""#, &["7", "7"]);
    }

    #[test]
    fn mistakes() {
        wrong("  timeout \"abc", "unmatched quote at position 11");
        wrong("a 'b", "unmatched quote at position 3");
        wrong(r"a\xZZ", "truncated or invalid hexadecimal sequence at position 2");
        wrong(r"a\x4", "truncated or invalid hexadecimal sequence at position 2");
        wrong(r#""${FOO""#, "unmatched brace in environment variable name at position 3");
        wrong(r#""${FOO+x}""#, "unmatched brace in environment variable name at position 3");
        wrong(r#""${1A}""#, "forbidden first char in environment variable name at position 4");
        wrong(r#""$""#, "forbidden first char in environment variable name at position 3");
        wrong(r#""$ x""#, "forbidden first char in environment variable name at position 3");
        wrong("a\0b", "unexpected NUL character, the file might not be a text file at position 2");
        let words = cut(b"x \\xff\xe9").unwrap();
        assert_eq!(words[1].value.as_bytes(), b"\xff\xe9");
    }

    #[test]
    fn limits() {
        check(&"a ".repeat(64), &["a"; 64]);
        let error = cut("a ".repeat(65).as_bytes()).unwrap_err();
        assert_eq!((error.kind, error.span.start), (LexErrorKind::TooManyWords, 128));
        let long = vec![b'a'; LINE_MAX + 1];
        assert_eq!(cut(&long).unwrap_err().kind, LexErrorKind::LineTooLong);
        let big: Environment = [("BIG", "x".repeat(LINE_MAX / 2 + 1))].into_iter().collect();
        let error = words(br#""$BIG$BIG""#, FileId(0), 1, &big).unwrap_err();
        assert_eq!(error.kind, LexErrorKind::LineTooLong);
    }

    #[test]
    fn spans_cover_what_was_written() {
        let words = cut(br#" bind  "a b":80 x"#).unwrap();
        let spans: Vec<_> = words.iter().map(|w| (w.span.start, w.span.end)).collect();
        assert_eq!(spans, [(1, 5), (7, 15), (16, 17)]);
        assert_eq!(sub_span(&words[0], 1, 2), Span::new(FileId(0), 1, 2, 4));
        assert_eq!(sub_span(&words[1], 1, 2), words[1].span);
    }

    #[test]
    fn second_level() {
        let ok = |args: &[&str], used| Ok((args.iter().map(|s| (*s).to_owned()).collect(), used));
        assert_eq!(arguments("a, b)x"), ok(&["a", " b"], 5));
        assert_eq!(arguments(")"), ok(&[""], 1));
        assert_eq!(arguments(r#""a,)",'b\',\,)"#), ok(&["a,)", "b\\", ","], 14));
        assert_eq!(arguments("a"), Err(ArgumentsError::Unclosed(1)));
        assert_eq!(arguments("a,'b)"), Err(ArgumentsError::UnmatchedQuote(2)));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(words) = cut(&line) {
                for word in words {
                    prop_assert!(word.span.start < word.span.end);
                    prop_assert!(word.span.end as usize <= line.len());
                }
            }
        }

        #[test]
        fn any_soup_of_syntax_is_survived(line in r#"[a"'\\$\{}\[\]*#x. -]{0,60}"#) {
            let _ = cut(line.as_bytes());
            let _ = arguments(&line);
        }
    }
}
