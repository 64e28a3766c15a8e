//! `expect`: what an answer must be.

use std::borrow::Cow;

use proxy_types::Diagnostic;
use regex::bytes::Regex;

use super::words::{Kind, Words, integer};
use crate::logformat::LogFormat;
use crate::regex::{compile, unhex};
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, Expr, ParseCx, Parsed};

/// `http-check expect` and `tcp-check expect`.
#[derive(Debug)]
pub struct Expect {
    kind: Kind,
    negate: bool,
    what: What,
    /// Bytes that must be there before it is judged; `Some(0)` judges what is there.
    min_recv: Option<usize>,
    ok_status: Option<Status>,
    error_status: Option<Status>,
    timeout_status: Option<Status>,
    on_success: Option<LogFormat>,
    on_error: Option<LogFormat>,
    status_code: Option<Expr>,
}

/// A status that a rule may name (4.2 "http-check expect").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    L4Ok,
    L4Connection,
    L4Timeout,
    L6Ok,
    L6Response,
    L6Timeout,
    L7Ok,
    L7OkConditional,
    L7Response,
    L7Status,
    L7Timeout,
}

impl Status {
    const ALL: [(&'static str, Self); 11] = [
        ("L4OK", Self::L4Ok),
        ("L4CON", Self::L4Connection),
        ("L4TOUT", Self::L4Timeout),
        ("L6OK", Self::L6Ok),
        ("L6RSP", Self::L6Response),
        ("L6TOUT", Self::L6Timeout),
        ("L7OK", Self::L7Ok),
        ("L7OKC", Self::L7OkConditional),
        ("L7RSP", Self::L7Response),
        ("L7STS", Self::L7Status),
        ("L7TOUT", Self::L7Timeout),
    ];
}

#[derive(Debug)]
enum What {
    /// Ranges, both ends included.
    Status(Vec<(u16, u16)>),
    StatusRegex(Regex),
    Header {
        full: bool,
        name: Pattern,
        value: Option<Pattern>,
    },
    Content(Needle),
}

#[derive(Debug)]
enum Needle {
    String(Vec<u8>),
    Regex(Regex),
    Binary(Vec<u8>),
    /// On the hexadecimal digits, in lower case.
    BinaryRegex(Regex),
    Format(LogFormat),
    HexFormat(LogFormat),
}

/// The text of a header's name or value, and how it is compared.
#[derive(Debug)]
struct Pattern {
    how: How,
    text: PatternText,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Begin,
    End,
    Equal,
    Substring,
}

#[derive(Debug)]
enum PatternText {
    Fixed(Vec<u8>),
    Format(LogFormat),
    Regex(Regex),
}

/// What came from the server so far.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Bytes received; the body in HTTP.
    pub data: &'a [u8],
    /// Nothing more will come.
    pub complete: bool,
}

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More of it is needed.
    Wait,
    Passed {
        status: Status,
        code: Option<u32>,
        info: String,
    },
    Failed {
        status: Status,
        code: Option<u32>,
        info: String,
    },
}

impl Expect {
    /// What `option httpchk` expects when no rule says otherwise.
    pub(super) fn good_status() -> Self {
        Self::new(Kind::Http, What::Status(vec![(200, 399)]))
    }

    fn new(kind: Kind, what: What) -> Self {
        Self {
            kind,
            negate: false,
            what,
            min_recv: None,
            ok_status: None,
            error_status: None,
            timeout_status: None,
            on_success: None,
            on_error: None,
            status_code: None,
        }
    }

    pub(super) fn parse(
        kind: Kind,
        words: &mut Words<'_, '_>,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<(Self, Option<Box<str>>)> {
        let mut this = Self::new(kind, What::Status(Vec::new()));
        let mut comment = None;
        loop {
            let word = words.next("what to expect")?;
            match word.value {
                b"!" => this.negate = !this.negate,
                b"min-recv" => {
                    let number = words.next("a number")?;
                    this.min_recv = match show(number.value).parse::<i64>() {
                        Ok(-1) => None,
                        Ok(number) if (0..=i64::from(i32::MAX)).contains(&number) => {
                            usize::try_from(number).ok()
                        }
                        _ => {
                            return fail(
                                Diagnostic::alert("'min-recv' expects a number")
                                    .at(number.span)
                                    .expected("an integer from -1 to 2147483647"),
                            );
                        }
                    };
                }
                b"comment" => comment = Some(words.text("a text")?.into()),
                b"ok-status" => this.ok_status = Some(status(words, &OK)?),
                b"error-status" => this.error_status = Some(status(words, &ERROR)?),
                b"tout-status" => this.timeout_status = Some(status(words, &TIMEOUT)?),
                b"on-success" => this.on_success = Some(words.format(cx)?),
                b"on-error" => this.on_error = Some(words.format(cx)?),
                b"status-code" => {
                    this.status_code = Some(Expr::parse(words.next("an expression")?, cx)?);
                }
                keyword => {
                    let keyword = match keyword {
                        [b'!', rest @ ..] => {
                            this.negate = !this.negate;
                            rest
                        }
                        keyword => keyword,
                    };
                    this.what = what(kind, keyword, word.span, words, cx)?;
                    return Ok((this, comment));
                }
            }
        }
    }

    /// The status when no answer came in time.
    pub fn timeout(&self) -> Status {
        self.timeout_status.unwrap_or(Status::L7Timeout)
    }

    /// What it expects, as lines about timeouts of `tcp-check` say it.
    pub fn describe(&self) -> String {
        match &self.what {
            What::Content(Needle::String(text)) => format!("expect string '{}'", show(text)),
            What::Content(Needle::Binary(bytes)) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                format!("expect binary '{digits}'")
            }
            What::Content(Needle::Regex(_)) => "expect regex".to_owned(),
            What::Content(Needle::BinaryRegex(_)) => "expect binary regex".to_owned(),
            What::Content(Needle::Format(_)) => "expect log-format string".to_owned(),
            What::Content(Needle::HexFormat(_)) => "expect log-format binary".to_owned(),
            What::Status(_) | What::StatusRegex(_) | What::Header { .. } => "expect".to_owned(),
        }
    }

    /// Judges an answer. In HTTP the head is the context's response. `step` is the number of the rule.
    pub fn judge<'a>(
        &'a self,
        cx: &EvalCtx<'a>,
        answer: Answer<'_>,
        step: usize,
        comment: Option<&str>,
    ) -> Verdict {
        let holds = match &self.what {
            What::Status(ranges) => {
                let status = cx.response.map_or(0, |head| head.status());
                ranges.iter().any(|&(low, high)| (low..=high).contains(&status))
            }
            What::StatusRegex(regex) => {
                let status = cx.response.map_or(0, |head| head.status());
                regex.is_match(status.to_string().as_bytes())
            }
            What::Header { full, name, value } => has_header(cx, *full, name, value.as_ref()),
            What::Content(needle) => match self.content(needle, cx, answer) {
                Some(holds) => holds,
                None => return Verdict::Wait,
            },
        };
        if holds != self.negate {
            return self.passed(cx);
        }
        self.failed(cx, answer, step, comment)
    }

    /// Whether the content is there; `None` while more of it may decide.
    fn content<'a>(
        &'a self,
        needle: &'a Needle,
        cx: &EvalCtx<'a>,
        answer: Answer<'_>,
    ) -> Option<bool> {
        let data = answer.data;
        let (text, enough) = match needle {
            Needle::String(text) | Needle::Binary(text) => (Cow::Borrowed(&text[..]), true),
            Needle::Format(format) => (Cow::Borrowed(format.render(cx)), true),
            Needle::HexFormat(format) => {
                (Cow::Owned(unhex(format.render(cx)).unwrap_or_default()), true)
            }
            Needle::Regex(_) | Needle::BinaryRegex(_) => (Cow::Borrowed(&[][..]), false),
        };
        let least = match (self.min_recv, enough) {
            // No more than the text itself is ever needed to find it.
            (Some(least), true) => least.min(text.len()),
            (Some(least), false) => least,
            (None, _) => 1,
        };
        // An empty answer is none.
        if data.len() < least.max(1) && !answer.complete {
            return None;
        }
        let found = match needle {
            Needle::Regex(regex) => regex.is_match(data),
            Needle::BinaryRegex(regex) => {
                let digits: String = data.iter().map(|byte| format!("{byte:02X}")).collect();
                regex.is_match(digits.as_bytes())
                    || regex.is_match(digits.to_ascii_lowercase().as_bytes())
            }
            _ => memchr::memmem::find(data, &text).is_some(),
        };
        // What is not there may still come, unless everything came or a judgement is asked for.
        (found || answer.complete || self.min_recv == Some(0)).then_some(found)
    }

    fn code<'a>(&'a self, cx: &EvalCtx<'a>) -> Option<u32> {
        let own = self.status_code.as_ref().and_then(|expr| integer(expr, cx));
        let status = || match self.kind {
            Kind::Http => cx.response.map(|head| u32::from(head.status())),
            Kind::Tcp => Some(0),
        };
        own.and_then(|code| u32::try_from(code).ok()).or_else(status)
    }

    fn passed<'a>(&'a self, cx: &EvalCtx<'a>) -> Verdict {
        let info = match (&self.on_success, self.kind) {
            (Some(format), _) => show(format.render(cx)).into_owned(),
            (None, Kind::Http) => String::new(),
            (None, Kind::Tcp) => "(tcp-check)".to_owned(),
        };
        let status = self.ok_status.unwrap_or(Status::L7Ok);
        Verdict::Passed { status, code: self.code(cx), info }
    }

    fn failed<'a>(
        &'a self,
        cx: &EvalCtx<'a>,
        answer: Answer<'_>,
        step: usize,
        comment: Option<&str>,
    ) -> Verdict {
        let content = matches!(self.what, What::Content(_));
        let usual = if content { Status::L7Response } else { Status::L7Status };
        let status = self.error_status.unwrap_or(usual);
        let mut info = match (&self.on_error, self.kind) {
            (Some(format), _) => {
                let info = show(format.render(cx)).into_owned();
                return Verdict::Failed { status, code: self.code(cx), info };
            }
            (None, Kind::Http) if content => {
                let text = if self.negate {
                    "HTTP check matched unwanted content"
                } else {
                    "HTTP content check did not match"
                };
                text.to_owned()
            }
            (None, Kind::Http) => {
                cx.response.map(|head| show(head.reason()).into_owned()).unwrap_or_default()
            }
            (None, Kind::Tcp) if answer.data.is_empty() => {
                format!("TCPCHK got an empty response at step {step}")
            }
            (None, Kind::Tcp) => {
                let what = match &self.what {
                    What::Content(Needle::String(text)) => format!("'{}'", show(text)),
                    What::Content(Needle::Regex(_)) => "(regex)".to_owned(),
                    What::Content(Needle::Binary(_)) => "(binary)".to_owned(),
                    What::Content(Needle::BinaryRegex(_)) => "(binary regex)".to_owned(),
                    What::Content(Needle::HexFormat(_)) => "(log-format binary)".to_owned(),
                    _ => "(log-format string)".to_owned(),
                };
                let verb = if self.negate { "matched unwanted" } else { "did not match" };
                format!("TCPCHK {verb} content {what} at step {step}")
            }
        };
        if let Some(comment) = comment {
            info.push_str(" comment: ");
            info.push_str(comment);
        }
        let code = if content && self.kind == Kind::Http && self.status_code.is_none() {
            None
        } else {
            self.code(cx)
        };
        Verdict::Failed { status, code, info }
    }
}

const OK: [Status; 4] = [Status::L7Ok, Status::L7OkConditional, Status::L6Ok, Status::L4Ok];
const ERROR: [Status; 5] = [
    Status::L7OkConditional,
    Status::L7Response,
    Status::L7Status,
    Status::L6Response,
    Status::L4Connection,
];
const TIMEOUT: [Status; 3] = [Status::L7Timeout, Status::L6Timeout, Status::L4Timeout];

fn status(words: &mut Words<'_, '_>, allowed: &[Status]) -> Parsed<Status> {
    let word = words.next("a status")?;
    let text = show(word.value);
    let found = Status::ALL.iter().find(|(name, _)| name.eq_ignore_ascii_case(&text));
    match found.map(|(_, status)| *status).filter(|status| allowed.contains(status)) {
        Some(status) => Ok(status),
        None => {
            let names: Vec<&str> = Status::ALL
                .iter()
                .filter(|(_, status)| allowed.contains(status))
                .map(|(name, _)| *name)
                .collect();
            fail(
                Diagnostic::alert(format!("'{text}' is no status here"))
                    .at(word.span)
                    .expected(format!("one of {}", names.join(", "))),
            )
        }
    }
}

fn what(
    kind: Kind,
    keyword: &[u8],
    span: proxy_types::Span,
    words: &mut Words<'_, '_>,
    cx: &mut ParseCx<'_>,
) -> Parsed<What> {
    let needle = match (keyword, kind) {
        (b"status", Kind::Http) => {
            let word = words.next("status codes")?;
            return match ranges(&show(word.value)) {
                Some(ranges) => Ok(What::Status(ranges)),
                None => fail(
                    Diagnostic::alert(format!(
                        "'expect status' expects codes and ranges, got '{}'",
                        show(word.value)
                    ))
                    .at(word.span)
                    .expected("for instance 200,301-303"),
                ),
            };
        }
        (b"rstatus", Kind::Http) => return Ok(What::StatusRegex(regex(words)?)),
        (b"hdr" | b"fhdr", Kind::Http) => {
            let name = pattern("name", true, words, cx)?;
            let value = match words.peek() {
                Some(b"value" | b"value-lf") => Some(pattern("value", false, words, cx)?),
                _ => None,
            };
            return Ok(What::Header { full: keyword == b"fhdr", name, value });
        }
        (b"string", _) => Needle::String(words.next("a text")?.value.to_vec()),
        (b"rstring", _) => Needle::Regex(regex(words)?),
        (b"string-lf", _) => Needle::Format(words.format(cx)?),
        (b"binary", Kind::Tcp) => {
            let word = words.next("hexadecimal digits")?;
            match unhex(word.value) {
                Some(bytes) => Needle::Binary(bytes),
                None => {
                    return fail(
                        Diagnostic::alert(format!(
                            "'expect binary' expects an even number of hexadecimal digits, got '{}'",
                            show(word.value)
                        ))
                        .at(word.span),
                    );
                }
            }
        }
        (b"rbinary", Kind::Tcp) => Needle::BinaryRegex(regex(words)?),
        (b"binary-lf", Kind::Tcp) => Needle::HexFormat(words.format(cx)?),
        _ => {
            let expected = match kind {
                Kind::Http => "one of status, rstatus, hdr, fhdr, string, rstring, string-lf",
                Kind::Tcp => "one of string, rstring, string-lf, binary, rbinary, binary-lf",
            };
            return fail(
                Diagnostic::alert(format!(
                    "'{} expect' does not know '{}'",
                    kind.keyword(),
                    show(keyword)
                ))
                .at(span)
                .expected(expected),
            );
        }
    };
    Ok(What::Content(needle))
}

fn regex(words: &mut Words<'_, '_>) -> Parsed<Regex> {
    let word = words.next("a regular expression")?;
    compile(word.value, false).map_err(|why| Box::new(Diagnostic::alert(why).at(word.span)))
}

/// `200,301-303`.
fn ranges(text: &str) -> Option<Vec<(u16, u16)>> {
    let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..=999).contains(code));
    text.split(',')
        .map(|part| {
            let (low, high) = part.split_once('-').unwrap_or((part, part));
            let (low, high) = (code(low)?, code(high)?);
            (low <= high).then_some((low, high))
        })
        .collect()
}

/// `name|name-lf [-m <method>] <text>`, the same with `value`.
fn pattern(
    what: &str,
    ignore_case: bool,
    words: &mut Words<'_, '_>,
    cx: &mut ParseCx<'_>,
) -> Parsed<Pattern> {
    let word = words.next(&format!("'{what}' or '{what}-lf'"))?;
    let format = match show(word.value).strip_prefix(what) {
        Some("") => false,
        Some("-lf") => true,
        _ => {
            return fail(
                Diagnostic::alert(format!("'{}' is not expected here", show(word.value)))
                    .at(word.span)
                    .expected(format!("'{what}' or '{what}-lf'")),
            );
        }
    };
    let mut how = How::Equal;
    let mut by_regex = false;
    if words.accept("-m") {
        let method = words.next("a matching method")?;
        match method.value {
            b"str" => how = How::Equal,
            b"beg" => how = How::Begin,
            b"end" => how = How::End,
            b"sub" => how = How::Substring,
            b"reg" if !format => by_regex = true,
            other => {
                return fail(
                    Diagnostic::alert(format!("'{}' is no matching method here", show(other)))
                        .at(method.span)
                        .expected("one of str, beg, end, sub, reg"),
                );
            }
        }
    }
    let text = if by_regex {
        let word = words.next("a regular expression")?;
        let regex = compile(word.value, ignore_case);
        PatternText::Regex(regex.map_err(|why| Box::new(Diagnostic::alert(why).at(word.span)))?)
    } else if format {
        PatternText::Format(words.format(cx)?)
    } else {
        PatternText::Fixed(words.next("a text")?.value.to_vec())
    };
    Ok(Pattern { how, text })
}

impl Pattern {
    fn matches<'a>(&'a self, cx: &EvalCtx<'a>, subject: &[u8], ignore_case: bool) -> bool {
        let text = match &self.text {
            PatternText::Regex(regex) => return regex.is_match(subject),
            PatternText::Fixed(text) => text,
            PatternText::Format(format) => format.render(cx),
        };
        let equal = |a: &[u8], b: &[u8]| {
            if ignore_case { a.eq_ignore_ascii_case(b) } else { a == b }
        };
        let length = text.len();
        match self.how {
            How::Equal => equal(subject, text),
            How::Begin => subject.get(..length).is_some_and(|head| equal(head, text)),
            How::End => {
                let start = subject.len().checked_sub(length);
                start.is_some_and(|start| equal(&subject[start..], text))
            }
            How::Substring => {
                length == 0 || subject.windows(length).any(|window| equal(window, text))
            }
        }
    }
}

fn has_header<'a>(
    cx: &EvalCtx<'a>,
    full: bool,
    name: &'a Pattern,
    value: Option<&'a Pattern>,
) -> bool {
    let Some(head) = cx.response else { return false };
    head.headers().iter().any(|field| {
        name.matches(cx, field.name, true)
            && value.is_none_or(|value| {
                if full {
                    value.matches(cx, field.value, false)
                } else {
                    field
                        .value
                        .split(|&byte| byte == b',')
                        .any(|part| value.matches(cx, part.trim_ascii(), false))
                }
            })
    })
}

pub(super) fn passed(status: Status, code: Option<u32>, info: impl Into<String>) -> Verdict {
    Verdict::Passed { status, code, info: info.into() }
}

pub(super) fn failed(status: Status, code: Option<u32>, info: impl Into<String>) -> Verdict {
    Verdict::Failed { status, code, info: info.into() }
}
