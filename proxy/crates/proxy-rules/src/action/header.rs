//! Actions on header fields.

use proxy_http::HeaderList;
use proxy_types::Diagnostic;
use regex::bytes::Regex;

use super::def::{Act, ActionArgs, ActionDef, SetKind, Sets};
use super::env::{Flow, RuleEnv};
use super::stream::EarlyHint;
use crate::logformat::LogFormat;
use crate::pattern::{Matcher, Method};
use crate::sample::parse::{fail, show};
use crate::sample::{Expr, ParseCx, Parsed, Sample};
use crate::spop;

const HTTP: Sets = Sets::of(".....YYY");

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "add-header",
        sets: HTTP,
        parse: |args, cx| edit(args, cx, Edit::Add),
        syntax: "<name> <fmt>",
        doc: "Appends a header field.",
    },
    ActionDef {
        name: "add-headers-bin",
        sets: HTTP,
        parse: |args, cx| edit_all(args, cx, Edit::Add),
        syntax: "<expr> [ prefix <str> ]",
        doc: "Appends the header fields of a binary list, such as `req.hdrs_bin` gives.",
    },
    ActionDef {
        name: "del-header",
        sets: HTTP,
        parse: del_header,
        syntax: "<name> [ -m <meth> ]",
        doc: "Removes the header fields whose name is, or matches, the one given.",
    },
    ActionDef {
        name: "del-headers-bin",
        sets: HTTP,
        parse: del_all,
        syntax: "<expr> [ -m <meth> ]",
        doc: "Removes the header fields whose names are, or match, those of a binary list of names.",
    },
    ActionDef {
        name: "early-hint",
        sets: Sets::of(".....Y.."),
        parse: early_hint,
        syntax: "<name> <fmt>",
        doc: "Sends a header field ahead in a response of status 103.",
    },
    ActionDef {
        name: "replace-header",
        sets: HTTP,
        parse: |args, cx| replace(args, cx, Part::Line),
        syntax: "<name> <match-regex> <replace-fmt>",
        doc: "Replaces values of header fields that match.",
    },
    ActionDef {
        name: "replace-value",
        sets: HTTP,
        parse: |args, cx| replace(args, cx, Part::Element),
        syntax: "<name> <match-regex> <replace-fmt>",
        doc: "Replaces comma-separated elements of header fields that match.",
    },
    ActionDef {
        name: "set-header",
        sets: HTTP,
        parse: |args, cx| edit(args, cx, Edit::Set),
        syntax: "<name> <fmt>",
        doc: "Sets a header field in place of all of that name.",
    },
    ActionDef {
        name: "set-headers-bin",
        sets: HTTP,
        parse: |args, cx| edit_all(args, cx, Edit::Set),
        syntax: "<expr> [ prefix <str> ]",
        doc: "Sets the header fields of a binary list in place of all of their names.",
    },
];

/// Which message a rule changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

impl Side {
    pub(super) fn of(kind: SetKind) -> Self {
        match kind {
            SetKind::HttpResponse | SetKind::HttpAfterResponse | SetKind::TcpResponse => {
                Self::Response
            }
            SetKind::HttpRequest
            | SetKind::QuicInitial
            | SetKind::TcpConnection
            | SetKind::TcpRequest
            | SetKind::TcpSession => Self::Request,
        }
    }

    fn headers<'e>(self, env: &'e mut RuleEnv<'_, '_>) -> Option<&'e mut HeaderList> {
        match self {
            Self::Request => env.request.as_deref_mut().map(|head| head.headers_mut()),
            Self::Response => env.response.as_deref_mut().map(|head| head.headers_mut()),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Edit {
    Add,
    Set,
}

#[derive(Debug)]
struct EditHeader {
    side: Side,
    edit: Edit,
    name: Box<[u8]>,
    value: LogFormat,
}

fn name(args: &mut ActionArgs<'_, '_>) -> Parsed<Box<[u8]>> {
    let word = args.word("the name of a header field")?;
    // HAProxy sends any name; what would end the field or the line cannot be meant.
    if word.value.is_empty() || word.value.iter().any(|b| *b <= b' ' || *b == 0x7f) {
        return fail(
            Diagnostic::alert(format!("invalid header name '{}'", show(word.value)))
                .at(word.span)
                .expected("letters, digits, '-' and '_'"),
        );
    }
    Ok(word.value.into())
}

fn edit(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>, edit: Edit) -> Parsed<Box<dyn Act>> {
    let name = name(args)?;
    let value = args.format("a name and a format", cx)?;
    Ok(Box::new(EditHeader { side: Side::of(args.kind), edit, name, value }))
}

fn early_hint(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let name = name(args)?;
    Ok(Box::new(EarlyHint { name, value: args.format("a name and a format", cx)? }))
}

impl Act for EditHeader {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let value = env.render(&self.value);
        if let Some(headers) = self.side.headers(env) {
            match self.edit {
                Edit::Add => headers.append(&self.name, value),
                Edit::Set => headers.set(&self.name, value),
            }
        }
        Flow::Next
    }
}

/// Changes by a list of names and values behind their lengths.
#[derive(Debug)]
struct EditAll {
    side: Side,
    edit: Edit,
    list: Expr,
    /// Only names that begin so.
    prefix: Box<[u8]>,
}

fn edit_all(
    args: &mut ActionArgs<'_, '_>,
    cx: &mut ParseCx<'_>,
    edit: Edit,
) -> Parsed<Box<dyn Act>> {
    let list = args.expr(cx)?;
    let prefix = match args.take_keyword("prefix") {
        true => args.word("the beginning of names")?.value.into(),
        false => Box::default(),
    };
    Ok(Box::new(EditAll { side: Side::of(args.kind), edit, list, prefix }))
}

/// The bytes of a list, in memory that changes of the heads do not touch.
fn list<'a>(env: &RuleEnv<'_, 'a>, expr: &Expr) -> Option<&'a [u8]> {
    let scratch = env.base.scratch;
    env.with_value(expr, |value, cx| {
        value.and_then(|v| v.bin(cx.scratch)).map(|bytes| &*scratch.alloc_slice_copy(bytes))
    })
}

/// What would end a field or a line is no part of one.
fn is_field(name: &[u8], value: &[u8]) -> bool {
    name.iter().all(|b| *b > b' ' && !matches!(b, 0x7f | b':'))
        && !value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))
}

fn begins(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

impl Act for EditAll {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let Some(list) = list(env, &self.list) else { return Flow::Next };
        let Some(headers) = self.side.headers(env) else { return Flow::Next };
        let fields = || {
            spop::fields(list)
                .filter(|(name, value)| begins(name, &self.prefix) && is_field(name, value))
        };
        if let Edit::Set = self.edit {
            headers.remove_if(|h| fields().any(|(name, _)| h.name.eq_ignore_ascii_case(name)));
        }
        fields().for_each(|(name, value)| headers.append(name, value));
        Flow::Next
    }
}

#[derive(Debug)]
struct DelAll {
    side: Side,
    method: Method,
    list: Expr,
}

fn del_all(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let list = args.expr(cx)?;
    let allowed = [Method::Str, Method::Beg, Method::End, Method::Sub];
    let method = method(args, &allowed, "str, beg, end or sub")?;
    Ok(Box::new(DelAll { side: Side::of(args.kind), method, list }))
}

impl Act for DelAll {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let Some(list) = list(env, &self.list) else { return Flow::Next };
        let Some(headers) = self.side.headers(env) else { return Flow::Next };
        headers.remove_if(|h| {
            spop::names(list).any(|name| {
                let (ours, len) = (h.name, name.len());
                match self.method {
                    Method::Beg => begins(ours, name),
                    Method::End => ours.len() >= len && begins(&ours[ours.len() - len..], name),
                    Method::Sub => ours.windows(len).any(|part| part.eq_ignore_ascii_case(name)),
                    _ => ours.eq_ignore_ascii_case(name),
                }
            })
        });
        Flow::Next
    }
}

#[derive(Debug)]
struct DelHeader {
    side: Side,
    names: Names,
}

/// Names of header fields; they compare without case.
#[derive(Debug)]
enum Names {
    /// This one.
    One(Box<[u8]>),
    /// Those that match.
    Like(Matcher),
}

/// `-m <meth>`, or how names are compared without it.
fn method(
    args: &mut ActionArgs<'_, '_>,
    allowed: &[Method],
    expected: &'static str,
) -> Parsed<Method> {
    if !args.take_keyword("-m") {
        return Ok(Method::Str);
    }
    let (text, span) = args.text("a matching method")?;
    match allowed.iter().find(|m| m.name() == text) {
        Some(found) => Ok(*found),
        None => fail(
            Diagnostic::alert(format!("unknown matching method '{text}'"))
                .at(span)
                .expected(expected),
        ),
    }
}

fn del_header(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let name = args.word("the name of a header field")?;
    let allowed = [Method::Str, Method::Beg, Method::End, Method::Sub, Method::Reg];
    let method = method(args, &allowed, "str, beg, end, sub or reg")?;
    let names = match method {
        Method::Str => Names::One(name.value.into()),
        _ => Names::Like(
            Matcher::fixed(method, true, &[name.value])
                .map_err(|why| Box::new(Diagnostic::alert(why).at(name.span)))?,
        ),
    };
    Ok(Box::new(DelHeader { side: Side::of(args.kind), names }))
}

impl Act for DelHeader {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let base = env.base;
        let Some(headers) = self.side.headers(env) else { return Flow::Next };
        match &self.names {
            Names::One(name) => headers.remove(name),
            Names::Like(names) => headers.remove_if(|h| {
                names.matches(Sample::Str(base.scratch.alloc_slice_copy(h.name)), &base)
            }),
        };
        Flow::Next
    }
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Element,
    Line,
}

#[derive(Debug)]
struct Replace {
    side: Side,
    part: Part,
    name: Box<[u8]>,
    pattern: Regex,
    template: LogFormat,
}

fn replace(
    args: &mut ActionArgs<'_, '_>,
    cx: &mut ParseCx<'_>,
    part: Part,
) -> Parsed<Box<dyn Act>> {
    let name = name(args)?;
    let pattern = regex(args)?;
    let template = args.format("a replacement", cx)?;
    Ok(Box::new(Replace { side: Side::of(args.kind), part, name, pattern, template }))
}

/// The next argument as a regular expression.
pub(super) fn regex(args: &mut ActionArgs<'_, '_>) -> Parsed<Regex> {
    let word = args.word("a regular expression")?;
    crate::regex::compile(word.value, false)
        .map_err(|why| Box::new(Diagnostic::alert(why).at(word.span)))
}

impl Act for Replace {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let template = env.render(&self.template);
        let mut value = bumpalo::collections::Vec::new_in(env.base.scratch);
        let Some(headers) = self.side.headers(env) else { return Flow::Next };
        for index in 0..headers.len() {
            value.clear();
            let Some(header) = headers.at(index) else { break };
            let ours = header.name.len() == self.name.len()
                && header.name.eq_ignore_ascii_case(&self.name);
            let changed = ours
                && match self.part {
                    Part::Line => self.expand(header.value, template, &mut value),
                    Part::Element => self.expand_elements(header.value, template, &mut value),
                };
            if changed {
                headers.replace_at(index, &value);
            }
        }
        Flow::Next
    }
}

impl Replace {
    /// Appends the replacement of `text` when the expression matches it.
    fn expand(
        &self,
        text: &[u8],
        template: &[u8],
        out: &mut bumpalo::collections::Vec<'_, u8>,
    ) -> bool {
        let Some(groups) = self.pattern.captures(text) else { return false };
        crate::regex::expand(template, &groups, |piece| out.extend_from_slice(piece));
        true
    }

    /// Appends `line` with the elements replaced that match; what is between them stays.
    fn expand_elements(
        &self,
        line: &[u8],
        template: &[u8],
        out: &mut bumpalo::collections::Vec<'_, u8>,
    ) -> bool {
        let mut changed = false;
        let mut done = 0;
        for element in proxy_http::value::split(line) {
            // Elements are slices of the line.
            let start = element.as_ptr() as usize - line.as_ptr() as usize;
            out.extend_from_slice(&line[done..start]);
            if self.expand(element, template, out) {
                changed = true;
            } else {
                out.extend_from_slice(element);
            }
            done = start + element.len();
        }
        out.extend_from_slice(&line[done..]);
        changed
    }
}
