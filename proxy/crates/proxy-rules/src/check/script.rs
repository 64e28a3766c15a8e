//! The rules of a script, compiled.

use proxy_types::{Diagnostic, Span};

use super::connect::Connect;
use super::expect::Expect;
use super::http::HttpRequest;
use super::protocol;
use super::send::Send;
use super::words::{Kind, RequestLine, Words};
use crate::conv::VarCondition;
use crate::logformat::LogFormat;
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, Expr, ParseCx, Parsed, Sample, Word};
use crate::vars::{Scope, VarRef};

/// A compiled script.
#[derive(Debug)]
pub struct Script {
    pub kind: Kind,
    pub steps: Vec<Step>,
    /// `http-check disable-on-404`.
    pub disable_on_404: bool,
    /// `http-check send-state`.
    pub send_state: bool,
    /// `unique-id-format` of the backend.
    pub unique_id: Option<LogFormat>,
}

/// One rule.
#[derive(Debug)]
pub struct Step {
    /// Its place among the rules that were written, from 1; 0 was not written.
    pub number: usize,
    pub act: Act,
    /// Told when the rule fails.
    pub comment: Option<Box<str>>,
}

/// What a rule does.
#[derive(Debug)]
pub enum Act {
    Connect(Connect),
    Send(Send),
    Expect(Box<Expect>),
    /// What a protocol answers.
    Reply(protocol::Reply),
    Set(SetVar),
    Unset(VarRef),
}

/// `set-var` and `set-var-fmt`.
#[derive(Debug)]
pub struct SetVar {
    var: VarRef,
    conditions: Vec<VarCondition>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Expr(Expr),
    Format(LogFormat),
}

impl SetVar {
    /// Keeps the value of the moment.
    pub fn run<'a>(&'a self, cx: &EvalCtx<'a>) {
        let value = match &self.value {
            Value::Expr(expr) => expr.eval(cx),
            Value::Format(format) => Some(Sample::Str(format.render(cx))),
        };
        if let Some(value) = value
            && self.conditions.iter().all(|condition| condition.holds(self.var, value, cx))
        {
            cx.set_var(self.var, value);
        }
    }
}

/// A rule as it was written: the words behind the keyword.
pub type Line<'w> = (Vec<Word<'w>>, Span);

impl Script {
    /// Compiles rules in their order. The mistakes of each are told on their own through `tell`.
    pub fn parse(
        kind: Kind,
        request: &RequestLine,
        lines: &[Line<'_>],
        cx: &mut ParseCx<'_>,
        mut tell: impl FnMut(Diagnostic, Span, &mut ParseCx<'_>),
    ) -> Self {
        let mut script = Self {
            kind,
            steps: Vec::new(),
            disable_on_404: false,
            send_state: false,
            unique_id: None,
        };
        let mut comment = None;
        for (number, (words, span)) in (1..).zip(lines) {
            let mut words = Words { rest: words, span: *span, what: kind.keyword() };
            match script.line(number, &mut words, &mut comment, request, cx) {
                Ok(()) => {}
                Err(diagnostic) => tell(*diagnostic, *span, cx),
            }
        }
        if kind == Kind::Http {
            script.complete(request);
        }
        script
    }

    /// The host that the first request names, where nothing else says what TLS asks for: there is no `connect`.
    pub fn auto_host<'a>(&'a self, cx: &EvalCtx<'a>) -> Option<&'a [u8]> {
        if self.steps.iter().any(|step| matches!(step.act, Act::Connect(_))) {
            return None;
        }
        self.steps.iter().find_map(|step| match &step.act {
            Act::Send(Send::Http(request)) => request.host(cx),
            _ => None,
        })
    }

    /// Whether a rule connects over TLS.
    pub fn needs_tls(&self) -> bool {
        self.steps.iter().any(|step| matches!(&step.act, Act::Connect(connect) if connect.ssl))
    }

    fn line(
        &mut self,
        number: usize,
        words: &mut Words<'_, '_>,
        comment: &mut Option<Box<str>>,
        request: &RequestLine,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<()> {
        let name = words.next("a rule")?;
        let text = show(name.value).into_owned();
        let (keyword, inner) = match text.split_once('(') {
            Some((keyword, rest)) => (keyword, rest.strip_suffix(')')),
            None => (text.as_str(), None),
        };
        let mut step = |act: Act, own: Option<Box<str>>| {
            let comment = own.or_else(|| comment.take());
            self.steps.push(Step { number, act, comment });
        };
        match (keyword, self.kind) {
            ("comment", _) => {
                let word = words.next("a text")?;
                *comment = Some(show(word.value).into());
            }
            ("connect", kind) => {
                let (connect, own) = Connect::parse(kind, words, cx)?;
                step(Act::Connect(connect), own);
            }
            ("expect", kind) => {
                let (expect, own) = Expect::parse(kind, words, cx)?;
                step(Act::Expect(Box::new(expect)), own);
            }
            ("set-var" | "set-var-fmt", _) => {
                let target = inner.unwrap_or_default();
                let set = SetVar::parse(keyword == "set-var-fmt", target, name.span, words, cx)?;
                step(Act::Set(set), None);
            }
            ("unset-var", _) => {
                let var = variable(inner.unwrap_or_default(), name.span, cx)?;
                step(Act::Unset(var), None);
            }
            ("send", Kind::Http) => {
                let first = !self.steps.iter().any(|s| matches!(s.act, Act::Send(_)));
                let defaults = if first { request.clone() } else { RequestLine::default() };
                let (request, own) = HttpRequest::parse(&defaults, words, cx)?;
                let comment = own.or_else(|| comment.take());
                let act = Act::Send(Send::Http(Box::new(request)));
                self.steps.push(Step { number, act, comment });
            }
            ("disable-on-404", Kind::Http) => self.disable_on_404 = true,
            ("send-state", Kind::Http) => self.send_state = true,
            ("send" | "send-lf" | "send-binary" | "send-binary-lf", Kind::Tcp) => {
                let (send, own) = Send::parse(keyword, words, cx)?;
                step(Act::Send(send), own);
            }
            _ => {
                return fail(
                    Diagnostic::alert(format!("'{}' does not know '{text}'", words.what))
                        .at(name.span)
                        .expected(match self.kind {
                            Kind::Http => {
                                "one of comment, connect, disable-on-404, expect, send, \
                                 send-state, set-var, set-var-fmt, unset-var"
                            }
                            Kind::Tcp => {
                                "one of comment, connect, expect, send, send-lf, send-binary, \
                                 send-binary-lf, set-var, set-var-fmt, unset-var"
                            }
                        }),
                );
            }
        }
        words.end()
    }

    /// What a script of `option httpchk` has although it was not written: a request, and an answer that is expected
    /// behind the last one.
    fn complete(&mut self, request: &RequestLine) {
        let position =
            |steps: &[Step], of: fn(&Act) -> bool| steps.iter().rposition(|s| of(&s.act));
        let is_send = |act: &Act| matches!(act, Act::Send(_));
        let is_expect = |act: &Act| matches!(act, Act::Expect(_));
        if position(&self.steps, is_send).is_none() {
            let connected = position(&self.steps, |act| matches!(act, Act::Connect(_)));
            let first = self.steps.iter().position(|step| is_expect(&step.act));
            let at = connected.map_or(0, |at| at + 1).min(first.unwrap_or(usize::MAX));
            let at = at.min(self.steps.len());
            let act = Act::Send(Send::Http(Box::new(HttpRequest::new(request))));
            self.steps.insert(at, Step { number: 0, act, comment: None });
        }
        if position(&self.steps, is_expect) < position(&self.steps, is_send) {
            let act = Act::Expect(Box::new(Expect::good_status()));
            self.steps.push(Step { number: 0, act, comment: None });
        }
    }
}

fn variable(text: &str, span: Span, cx: &mut ParseCx<'_>) -> Parsed<VarRef> {
    let var =
        cx.vars.parse(text.trim()).map_err(|why| Box::new(Diagnostic::alert(why).at(span)))?;
    if !matches!(var.scope, Scope::Check | Scope::Proc | Scope::Sess) {
        // HAProxy takes them and has no stream to keep them.
        let message = format!(
            "'{}' has no effect, checks have variables of scopes 'check', 'proc' and 'sess'",
            text.trim()
        );
        cx.diag.push(Diagnostic::notice(message).at(span));
    }
    Ok(var)
}

impl SetVar {
    fn parse(
        format: bool,
        target: &str,
        span: Span,
        words: &mut Words<'_, '_>,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<Self> {
        let mut parts = target.split(',');
        let var = variable(parts.next().unwrap_or_default(), span, cx)?;
        let conditions = parts
            .map(|name| {
                VarCondition::find(name.trim()).ok_or_else(|| {
                    Box::new(Diagnostic::alert(VarCondition::unknown(name)).at(span))
                })
            })
            .collect::<Parsed<_>>()?;
        let value = if format {
            Value::Format(words.format(cx)?)
        } else {
            Value::Expr(Expr::parse(words.next("an expression")?, cx)?)
        };
        Ok(Self { var, conditions, value })
    }
}
