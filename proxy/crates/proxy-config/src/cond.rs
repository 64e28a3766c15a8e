//! Conditional blocks: `.if`, `.elif`, `.else`, `.endif` and their expressions (configuration manual, 2.4).
//! The expressions are those of `-cc`, too.

use proxy_types::text::nearest;
use proxy_types::{FileId, Span};

use crate::Environment;
use crate::lexer::{self, ArgumentsError, Word, arguments, sub_span};
use crate::options::Program;

/// What a predicate may look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub env: &'a Environment,
    pub program: &'a Program,
}

/// Why an expression has no value, and at which byte of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CondError {
    pub message: String,
    pub offset: usize,
}

type Predicate = fn(&Facts<'_>, &[String]) -> Result<bool, String>;

/// One predicate: its name, number of arguments, one-line description, function.
pub struct PredicateDef {
    pub name: &'static str,
    pub args: usize,
    pub doc: &'static str,
    eval: Predicate,
}

/// Every predicate of the manual.
pub const PREDICATES: &[PredicateDef] = &[
    PredicateDef {
        name: "awslc_api_atleast",
        args: 1,
        doc: "the AWS-LC API number is at least this",
        eval: |f, a| {
            Ok(f.program.awslc_api.is_some_and(|api| number(&a[0]).is_ok_and(|n| api >= n)))
        },
    },
    PredicateDef {
        name: "awslc_api_before",
        args: 1,
        doc: "the AWS-LC API number is lower than this",
        eval: |f, a| {
            Ok(f.program.awslc_api.is_some_and(|api| number(&a[0]).is_ok_and(|n| api < n)))
        },
    },
    PredicateDef {
        name: "defined",
        args: 1,
        doc: "the environment variable exists",
        eval: |f, a| Ok(f.env.get(&a[0]).is_some()),
    },
    PredicateDef {
        name: "enabled",
        args: 1,
        doc: "the run-time option is enabled",
        eval: |f, a| enabled(f, &a[0]),
    },
    PredicateDef {
        name: "feature",
        args: 1,
        doc: "the feature is built in",
        eval: |f, a| Ok(f.program.features.contains(&a[0].as_str())),
    },
    PredicateDef {
        name: "fips_mode",
        args: 0,
        doc: "the TLS library runs in FIPS mode",
        eval: |f, _| Ok(f.program.fips),
    },
    PredicateDef {
        name: "openssl_version_atleast",
        args: 1,
        doc: "the OpenSSL version is at least this",
        eval: |f, a| {
            let wanted = version(&a[0])?;
            Ok(f.program.openssl_version.is_some_and(|v| version(v).is_ok_and(|v| v >= wanted)))
        },
    },
    PredicateDef {
        name: "openssl_version_before",
        args: 1,
        doc: "the OpenSSL version is older than this",
        eval: |f, a| {
            let wanted = version(&a[0])?;
            Ok(f.program.openssl_version.is_some_and(|v| version(v).is_ok_and(|v| v < wanted)))
        },
    },
    PredicateDef {
        name: "ssllib_name_startswith",
        args: 1,
        doc: "the name of the TLS library starts with this",
        eval: |f, a| Ok(f.program.tls_library.is_some_and(|name| name.starts_with(a[0].as_str()))),
    },
    PredicateDef {
        name: "streq",
        args: 2,
        doc: "both strings are equal",
        eval: |_, a| Ok(a[0] == a[1]),
    },
    PredicateDef {
        name: "strneq",
        args: 2,
        doc: "the strings differ",
        eval: |_, a| Ok(a[0] != a[1]),
    },
    PredicateDef {
        name: "strstr",
        args: 2,
        doc: "the second string is part of the first",
        eval: |_, a| Ok(a[0].contains(a[1].as_str())),
    },
    PredicateDef {
        name: "version_atleast",
        args: 1,
        doc: "the version of the configuration language is at least this",
        eval: |f, a| Ok(version(f.program.language_version)? >= version(&a[0])?),
    },
    PredicateDef {
        name: "version_before",
        args: 1,
        doc: "the version of the configuration language is older than this",
        eval: |f, a| Ok(version(f.program.language_version)? < version(&a[0])?),
    },
];

/// What `enabled()` can be asked for.
const RUNTIME_OPTIONS: &[&str] = &[
    "EPOLL",
    "EVPORTS",
    "FAST-FORWARD",
    "GETADDRINFO",
    "KQUEUE",
    "POLL",
    "REUSEPORT",
    "SERVER-SSL-VERIFY-NONE",
    "SPLICE",
];

fn enabled(facts: &Facts<'_>, option: &str) -> Result<bool, String> {
    if RUNTIME_OPTIONS.contains(&option) {
        return Ok(facts.program.enabled.contains(&option));
    }
    Err(format!("unsupported option '{option}', one of {} is expected", RUNTIME_OPTIONS.join(", ")))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("'{text}' is not a number"))
}

/// A version as it compares: the parts before the dash, the kind of release, its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    parts: [u32; 3],
    stage: Stage,
    build: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Development,
    Candidate,
    Release,
}

/// Reads `3`, `3.5`, `v3.5.1`, `3.5-dev4`, `3.5-rc1`; further suffixes such as `-1+deb12` do not count.
pub fn version(text: &str) -> Result<Version, String> {
    let wrong = || format!("invalid version '{text}'");
    let (numbers, suffix) = text.split_once('-').unwrap_or((text, ""));
    let numbers = numbers.strip_prefix('v').unwrap_or(numbers);
    let mut parts = [0; 3];
    for (index, part) in numbers.split('.').enumerate() {
        *parts.get_mut(index).ok_or_else(wrong)? = part.parse().map_err(|_| wrong())?;
    }
    let digits = |rest: &str| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().map_err(|_| wrong())
    };
    let (stage, build) = if let Some(rest) = suffix.strip_prefix("dev") {
        (Stage::Development, digits(rest)?)
    } else if let Some(rest) = suffix.strip_prefix("rc") {
        (Stage::Candidate, digits(rest)?)
    } else {
        (Stage::Release, 0)
    };
    Ok(Version { parts, stage, build })
}

/// The value of a condition whose words the lexer has cut: they are joined by single spaces, as the manual says.
///
/// # Errors
/// What is wrong, and the word and the byte of it where that is.
pub fn evaluate_words(words: &[Word], facts: &Facts<'_>) -> Result<bool, (CondError, Span)> {
    let mut joined = String::new();
    // Where each word starts in the joined text.
    let mut starts = Vec::with_capacity(words.len());
    for word in words {
        if !joined.is_empty() {
            joined.push(' ');
        }
        starts.push(joined.len());
        joined.push_str(&word.value);
    }
    evaluate(&joined, facts).map_err(|error| {
        let at = starts.partition_point(|&start| start <= error.offset).saturating_sub(1);
        let span = match (words.get(at), starts.get(at)) {
            (Some(word), Some(start)) => {
                let offset = (error.offset - start).min(word.value.len().saturating_sub(1));
                sub_span(word, offset, word.value.len() - offset)
            }
            _ => Span::NONE,
        };
        (error, span)
    })
}

/// The value of the condition of `-cc`, which is cut into words as a line of the configuration is.
///
/// # Errors
/// What is wrong, in words.
pub fn evaluate_line(text: &str, facts: &Facts<'_>) -> Result<bool, String> {
    let words = lexer::words(text.as_bytes(), FileId(0), 1, facts.env)
        .map_err(|error| error.to_string())?;
    evaluate_words(&words, facts)
        .map_err(|(error, _)| format!("{error} at position {}", error.offset + 1))
}

/// Parentheses and negations that may be open at once.
const DEPTH_MAX: usize = 64;

/// The value of a condition; the empty text is false.
pub fn evaluate(text: &str, facts: &Facts<'_>) -> Result<bool, CondError> {
    let mut parser = Parser { text, pos: 0, facts, depth: 0 };
    parser.spaces();
    if parser.rest().is_empty() {
        return Ok(false);
    }
    let value = parser.or(true)?;
    if parser.rest().is_empty() { Ok(value) } else { Err(parser.unparsable()) }
}

struct Parser<'a> {
    text: &'a str,
    pos: usize,
    facts: &'a Facts<'a>,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }

    fn spaces(&mut self) {
        let rest = self.rest();
        self.pos += rest.len() - rest.trim_start_matches([' ', '\t']).len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.pos += token.len();
            self.spaces();
        }
        found
    }

    fn error(&self, offset: usize, message: impl Into<String>) -> CondError {
        CondError { message: message.into(), offset }
    }

    fn unparsable(&self) -> CondError {
        let message = format!("unparsable conditional expression '{}'", self.rest());
        self.error(self.pos, message)
    }

    /// `live` tells whether the value matters: predicates behind a decided operator are parsed, not evaluated.
    fn or(&mut self, live: bool) -> Result<bool, CondError> {
        let mut value = self.and(live)?;
        while self.take("||") {
            value |= self.and(live && !value)?;
        }
        Ok(value)
    }

    fn and(&mut self, live: bool) -> Result<bool, CondError> {
        let mut value = self.term(live)?;
        while self.take("&&") {
            value &= self.term(live && value)?;
        }
        Ok(value)
    }

    fn term(&mut self, live: bool) -> Result<bool, CondError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error(self.pos, "too many levels in conditional expression"));
        }
        let value = if self.take("!") {
            !self.term(live)?
        } else if self.take("(") {
            let value = self.or(live)?;
            if !self.take(")") {
                let message = format!("expected ')' before '{}'", self.rest());
                return Err(self.error(self.pos, message));
            }
            value
        } else {
            self.leaf(live)?
        };
        self.depth -= 1;
        Ok(value)
    }

    fn leaf(&mut self, live: bool) -> Result<bool, CondError> {
        let start = self.pos;
        let rest = self.rest();
        let sign = usize::from(rest.starts_with(['-', '+']));
        let name =
            rest[sign..].bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let number = &rest[sign..sign + name];
        if !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) {
            self.pos += sign + name;
            self.spaces();
            return Ok(number.bytes().any(|b| b != b'0'));
        }
        let len = if sign == 0 { name } else { 0 };
        let word = &rest[..len];
        let Some(def) = PREDICATES.iter().find(|def| def.name == word) else {
            let mut error = self.unparsable();
            if let Some(near) = nearest(word, PREDICATES.iter().map(|def| def.name)) {
                error.message.push_str(&format!("; did you mean '{near}' maybe ?"));
            }
            return Err(error);
        };
        self.pos += len;
        let args = self.arguments(def)?;
        self.spaces();
        if !live {
            return Ok(false);
        }
        (def.eval)(self.facts, &args)
            .map_err(|e| self.error(start, format!("{e} in predicate '{}'", def.name)))
    }

    fn arguments(&mut self, def: &PredicateDef) -> Result<Vec<String>, CondError> {
        let expects = |found: usize| {
            let plural = if def.args == 1 { "" } else { "s" };
            format!("predicate '{}' expects {} argument{plural}, got {found}", def.name, def.args)
        };
        if !self.rest().starts_with('(') {
            if def.args == 0 {
                return Ok(Vec::new());
            }
            return Err(self.error(self.pos, expects(0)));
        }
        self.pos += 1;
        let (mut args, used) = arguments(self.rest()).map_err(|e| match e {
            ArgumentsError::Unclosed(at) => self.error(
                self.pos + at,
                format!("missing ')' after the arguments of predicate '{}'", def.name),
            ),
            ArgumentsError::UnmatchedQuote(at) => self.error(
                self.pos + at,
                format!("unmatched quote in the arguments of predicate '{}'", def.name),
            ),
        })?;
        if def.args == 0 && args.iter().all(String::is_empty) {
            args.clear();
        }
        if args.len() != def.args {
            return Err(self.error(self.pos, expects(args.len())));
        }
        self.pos += used;
        Ok(args)
    }
}

/// Where a block of lines stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The condition held: the lines count.
    Taken,
    /// No condition held so far.
    Pending,
    /// An earlier condition held, or the block is inside lines that do not count.
    Done,
}

/// An open `.if`.
#[derive(Clone, Copy, Debug)]
struct Level {
    state: State,
    seen_else: bool,
    line: u32,
}

/// The open blocks of one file.
#[derive(Debug, Default)]
pub struct Blocks {
    levels: Vec<Level>,
}

/// Blocks that may be open at once.
pub const NESTING_MAX: usize = 1024;

impl Blocks {
    /// Whether the lines here count.
    pub fn active(&self) -> bool {
        self.levels.last().is_none_or(|level| level.state == State::Taken)
    }

    /// The line of the innermost open `.if`.
    pub fn open_line(&self) -> Option<u32> {
        self.levels.last().map(|level| level.line)
    }

    /// Opens a block; `condition` is only asked when it matters.
    pub fn on_if<E>(
        &mut self,
        line: u32,
        condition: impl FnOnce() -> Result<bool, E>,
    ) -> Result<(), E> {
        let (state, result) = if !self.active() || self.levels.len() >= NESTING_MAX {
            (State::Done, Ok(()))
        } else {
            decided(condition())
        };
        self.levels.push(Level { state, seen_else: false, line });
        result
    }

    /// `.elif`. `Ok(None)` when it is out of place.
    pub fn on_elif<E>(
        &mut self,
        condition: impl FnOnce() -> Result<bool, E>,
    ) -> Result<Result<(), E>, &'static str> {
        let level = self.levels.last_mut().ok_or("lone '.elif' with no matching '.if'")?;
        if level.seen_else {
            return Err("'.elif' after '.else' is not permitted");
        }
        if level.state == State::Pending {
            let (state, result) = decided(condition());
            level.state = state;
            return Ok(result);
        }
        level.state = State::Done;
        Ok(Ok(()))
    }

    pub fn on_else(&mut self) -> Result<(), &'static str> {
        let level = self.levels.last_mut().ok_or("lone '.else' with no matching '.if'")?;
        if level.seen_else {
            return Err("'.else' after '.else' is not permitted");
        }
        level.seen_else = true;
        level.state = if level.state == State::Pending { State::Taken } else { State::Done };
        Ok(())
    }

    pub fn on_endif(&mut self) -> Result<(), &'static str> {
        self.levels.pop().map(drop).ok_or("lone '.endif' with no matching '.if'")
    }
}

/// A condition without a value skips its whole block, `.else` included.
fn decided<E>(condition: Result<bool, E>) -> (State, Result<(), E>) {
    match condition {
        Ok(true) => (State::Taken, Ok(())),
        Ok(false) => (State::Pending, Ok(())),
        Err(error) => (State::Done, Err(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn eval(text: &str) -> Result<bool, CondError> {
        let env: Environment = [("FOO", "bar")].into_iter().collect();
        let program = Program {
            language_version: "3.5.0",
            features: &["EPOLL", "THREAD"],
            enabled: &["EPOLL", "SPLICE"],
            ..Program::default()
        };
        evaluate(text, &Facts { env: &env, program: &program })
    }

    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(eval(text), Ok(expected), "{text:?}");
    }

    #[track_caller]
    fn wrong(text: &str, message: &str, offset: usize) {
        let error = eval(text).expect_err(text);
        assert_eq!((error.message.as_str(), error.offset), (message, offset), "{text:?}");
    }

    #[test]
    fn values() {
        check("", false);
        check("0", false);
        check("00", false);
        check("1", true);
        check("-1000 && +200", true);
        check("-0", false);
        check("!0", true);
        check("!!0", false);
        check("! 1", false);
        check("1 && 0 || 1", true);
        check("1||0&&0", true);
        check("(1 || 0) && 0", false);
        check("!(1 && 0)", true);
        check("defined(FOO)", true);
        check("defined( FOO )", false);
        check("defined(NOPE)", false);
        check("streq(a b,a b)", true);
        check("streq(0, 0)", false);
        check(r#"streq("a,b",a\,b)"#, true);
        check("strneq(a,b) && strstr(abc,bc)", true);
        check("feature(EPOLL)", true);
        check("feature(OPENSSL)", false);
        check("enabled(SPLICE) && !enabled(KQUEUE)", true);
        check("version_atleast(2.4-dev19)", true);
        check("version_atleast(3.5)", true);
        check("version_atleast(v3.5-dev3)", true);
        check("version_atleast(3.5.1)", false);
        check("version_before(3.6-dev1)", true);
        check("version_before(3.5-rc1)", false);
        check("openssl_version_atleast(1.1.1)", false);
        check("awslc_api_atleast(1)", false);
        check("fips_mode()", false);
        check("0 && enabled(foo)", false);
    }

    #[test]
    fn lines_are_cut_into_words_first() {
        let env: Environment = [("FOO", "bar")].into_iter().collect();
        let facts = Facts { env: &env, program: &Program::default() };
        for (text, expected) in [
            (r#"defined(FOO) && streq("$FOO","bar")"#, true),
            (r#"streq("foo bar",'foo bar')"#, true),
            ("", false),
            ("1   &&!   0", true),
        ] {
            assert_eq!(evaluate_line(text, &facts), Ok(expected), "{text}");
        }
        for text in [r#"streq(a,"a)"#, "!(0))", "200rrr"] {
            assert!(evaluate_line(text, &facts).is_err(), "{text}");
        }
    }

    #[test]
    fn mistakes_are_located() {
        wrong("abc", "unparsable conditional expression 'abc'", 0);
        wrong("1 &&", "unparsable conditional expression ''", 4);
        wrong("1 1", "unparsable conditional expression '1'", 2);
        wrong("-", "unparsable conditional expression '-'", 0);
        wrong("-a", "unparsable conditional expression '-a'", 0);
        wrong("200rrr", "unparsable conditional expression '200rrr'", 0);
        wrong("(1", "expected ')' before ''", 2);
        wrong(
            "strqe(a,b)",
            "unparsable conditional expression 'strqe(a,b)'; did you mean 'streq' maybe ?",
            0,
        );
        wrong("streq(a)", "predicate 'streq' expects 2 arguments, got 1", 6);
        wrong("defined", "predicate 'defined' expects 1 argument, got 0", 7);
        wrong("streq(a,b", "missing ')' after the arguments of predicate 'streq'", 9);
        wrong("streq(a,'b)", "unmatched quote in the arguments of predicate 'streq'", 8);
        wrong("version_atleast(foo)", "invalid version 'foo' in predicate 'version_atleast'", 0);
        wrong(&"(".repeat(100), "too many levels in conditional expression", 64);
    }

    #[test]
    fn versions_compare() {
        let v = |text| version(text).unwrap();
        assert!(v("2.4-dev19") < v("2.4-rc1") && v("2.4-rc1") < v("2.4") && v("2.4") < v("2.4.1"));
        assert_eq!(v("3"), v("3.0.0"));
        assert_eq!(v("2.6.12-1+deb12u4"), v("2.6.12"));
        assert!(version("").is_err() && version("1.2.3.4").is_err() && version("1.x").is_err());
    }

    #[test]
    fn blocks_nest() {
        let mut blocks = Blocks::default();
        let yes = || Ok::<_, ()>(true);
        let no = || Ok::<_, ()>(false);
        let never = || -> Result<bool, ()> { panic!("must not be asked") };
        assert!(blocks.active());
        blocks.on_if(1, no).unwrap();
        assert!(!blocks.active());
        blocks.on_if(2, never).unwrap();
        blocks.on_else().unwrap();
        assert!(!blocks.active());
        blocks.on_endif().unwrap();
        blocks.on_elif(yes).unwrap().unwrap();
        assert!(blocks.active());
        blocks.on_elif(never).unwrap().unwrap();
        assert!(!blocks.active());
        blocks.on_else().unwrap();
        assert!(!blocks.active());
        assert!(blocks.on_else().is_err() && blocks.on_elif(yes).is_err());
        assert_eq!(blocks.open_line(), Some(1));
        blocks.on_endif().unwrap();
        assert!(blocks.active() && blocks.on_endif().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in r#"([a-z01(),!&|"'\\ ]|streq|defined){0,40}"#) {
            let _ = eval(&text);
        }
    }
}
