//! Actions that let time pass (configuration manual, 4.4 "pause", "wait-for-body" and "wait-for-handshake").

use proxy_types::{Diagnostic, time::parse_timer};

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, RuleEnv};
use crate::sample::parse::{fail, show};
use crate::sample::{Expr, ParseCx, Parsed, Word};

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "pause",
        sets: Sets::of(".....YY."),
        parse: pause,
        syntax: "{ <timeout> | <expr> }",
        doc: "Holds the message for some time.",
    },
    ActionDef {
        name: "wait-for-body",
        sets: Sets::of(".....YY."),
        parse: wait_for_body,
        syntax: "time <time> [ at-least <bytes> ]",
        doc: "Waits for the body, or some bytes of it, and answers 408 when they do not come.",
    },
    ActionDef {
        name: "wait-for-handshake",
        sets: Sets::of(".....Y.."),
        parse: |_, _| Ok(Box::new(WaitForHandshake)),
        syntax: "",
        doc: "Holds requests of early data until the TLS handshake is complete.",
    },
];

/// A time that stands in the configuration or that an expression gives, in milliseconds.
#[derive(Debug)]
pub(super) enum Time {
    Expr(Expr),
    Ms(u32),
}

impl Time {
    pub(super) fn parse(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Self> {
        let Some(word) = args.peek() else {
            return fail(
                Diagnostic::alert(format!("{} expects a time or an expression", args.what()))
                    .at(args.span()),
            );
        };
        if word.value.first().is_some_and(u8::is_ascii_digit) {
            args.take();
            return Ok(Self::Ms(ms(word)?));
        }
        Ok(Self::Expr(args.expr(cx)?))
    }

    /// `None` when the expression gives no positive number.
    pub(super) fn get(&self, env: &RuleEnv<'_, '_>) -> Option<u32> {
        match self {
            Self::Ms(ms) => Some(*ms),
            Self::Expr(expr) => {
                let number = env.with_value(expr, |value, _| value.and_then(|v| v.int()));
                number.and_then(|n| u32::try_from(n).ok())
            }
        }
    }
}

fn ms(word: Word<'_>) -> Parsed<u32> {
    let text = show(word.value);
    let time = parse_timer(&text).ok().and_then(|t| u32::try_from(t.as_millis()).ok());
    match time {
        Some(ms) => Ok(ms),
        None => fail(
            Diagnostic::alert(format!("'{text}' is not a time such as 500ms or 10s")).at(word.span),
        ),
    }
}

#[derive(Debug)]
struct Pause(Time);

fn pause(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    Ok(Box::new(Pause(Time::parse(args, cx)?)))
}

impl Act for Pause {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        match self.0.get(env) {
            None | Some(0) => Flow::Next,
            Some(ms) => Flow::Pause { ms },
        }
    }
}

#[derive(Debug)]
struct WaitForBody {
    ms: u32,
    at_least: u64,
}

fn wait_for_body(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let (mut time, mut at_least) = (None, 0);
    while let Some(word) = args.take() {
        match word.value {
            b"time" => time = Some(ms(args.word("a time")?)?),
            b"at-least" => {
                let (text, span) = args.text("a size")?;
                at_least = match proxy_types::size::parse_size(&text) {
                    Ok(size) => size,
                    Err(_) => {
                        return fail(
                            Diagnostic::alert(format!("'{text}' is not a size such as 4k"))
                                .at(span),
                        );
                    }
                };
            }
            other => {
                return fail(
                    Diagnostic::alert(format!("{} does not know '{}'", args.what(), show(other)))
                        .at(word.span)
                        .expected("'time' and 'at-least'"),
                );
            }
        }
    }
    match time {
        Some(ms) => Ok(Box::new(WaitForBody { ms, at_least })),
        None => fail(
            Diagnostic::alert(format!("{} expects 'time' and a time", args.what())).at(args.span()),
        ),
    }
}

impl Act for WaitForBody {
    fn run<'a>(&'a self, _: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        Flow::Body { ms: self.ms, at_least: self.at_least }
    }
}

#[derive(Debug)]
struct WaitForHandshake;

impl Act for WaitForHandshake {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        match env.base.session.is_some_and(|session| session.connection.is_early()) {
            true => Flow::Handshake,
            false => Flow::Next,
        }
    }
}
