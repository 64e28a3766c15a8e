//! Actions on the stream itself: its timeouts, retries, addresses and early hints (configuration manual, 4.4).

use std::net::{IpAddr, SocketAddr};

use proxy_types::Diagnostic;

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, RuleEnv};
use super::wait::Time;
use crate::logformat::LogFormat;
use crate::sample::parse::fail;
use crate::sample::{Expr, ParseCx, Parsed};

const ADDRESS: Sets = Sets::of(".YYY.Y..");

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "disable-l7-retry",
        sets: Sets::of(".....Y.."),
        parse: |_, _| Ok(Box::new(DisableRetry)),
        syntax: "",
        doc: "Keeps the request from being sent again after it was sent.",
    },
    ActionDef {
        name: "set-dst",
        sets: ADDRESS,
        parse: |args, cx| address(args, cx, Part::Dst),
        syntax: "<expr>",
        doc: "Sets the address that the client connected to.",
    },
    ActionDef {
        name: "set-dst-port",
        sets: ADDRESS,
        parse: |args, cx| address(args, cx, Part::DstPort),
        syntax: "<expr>",
        doc: "Sets the port that the client connected to.",
    },
    ActionDef {
        name: "set-nice",
        sets: Sets::of("...YYYY."),
        parse: set_nice,
        syntax: "<nice>",
        doc: "Has no effect: streams of a thread take turns.",
    },
    ActionDef {
        name: "set-src",
        sets: ADDRESS,
        parse: |args, cx| address(args, cx, Part::Src),
        syntax: "<expr>",
        doc: "Sets the address of the client.",
    },
    ActionDef {
        name: "set-src-port",
        sets: ADDRESS,
        parse: |args, cx| address(args, cx, Part::SrcPort),
        syntax: "<expr>",
        doc: "Sets the port of the client.",
    },
    ActionDef {
        name: "set-timeout",
        sets: Sets::of(".....YY."),
        parse: set_timeout,
        syntax: "{ client | connect | queue | server | tarpit | tunnel } { <timeout> | <expr> }",
        doc: "Sets a timeout for this stream.",
    },
    ActionDef {
        name: "strict-mode",
        sets: Sets::of(".....YYY"),
        parse: strict_mode,
        syntax: "{ on | off }",
        doc: "Whether a rewrite that fails is an error. None fails here but for want of memory, which is always one.",
    },
];

#[derive(Debug)]
struct DisableRetry;

impl Act for DisableRetry {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        env.effects.disable_l7_retry = true;
        Flow::Next
    }
}

#[derive(Clone, Copy, Debug)]
enum Part {
    Dst,
    DstPort,
    Src,
    SrcPort,
}

#[derive(Debug)]
struct SetAddress {
    part: Part,
    expr: Expr,
}

fn address(
    args: &mut ActionArgs<'_, '_>,
    cx: &mut ParseCx<'_>,
    part: Part,
) -> Parsed<Box<dyn Act>> {
    Ok(Box::new(SetAddress { part, expr: args.expr(cx)? }))
}

/// A new address keeps the port when it was known; a new port needs an address.
fn moved(old: Option<SocketAddr>, ip: Option<IpAddr>, port: Option<u16>) -> Option<SocketAddr> {
    match (old, ip, port) {
        (old, Some(ip), _) => Some(SocketAddr::new(ip, old.map_or(0, |o| o.port()))),
        (Some(old), None, Some(port)) => Some(SocketAddr::new(old.ip(), port)),
        _ => None,
    }
}

impl Act for SetAddress {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let Some(overrides) = env.base.overrides else { return Flow::Next };
        let (ip, port) = env.with_value(&self.expr, |value, _| match self.part {
            Part::Dst | Part::Src => (value.and_then(|v| v.addr()), None),
            Part::DstPort | Part::SrcPort => {
                (None, value.and_then(|v| v.int()).and_then(|n| u16::try_from(n).ok()))
            }
        });
        let (slot, old) = match self.part {
            Part::Dst | Part::DstPort => (&overrides.dst, env.base.dst()),
            Part::Src | Part::SrcPort => (&overrides.src, env.base.src()),
        };
        if let Some(new) = moved(old, ip, port) {
            slot.set(Some(new));
        }
        Flow::Next
    }
}

#[derive(Clone, Copy, Debug)]
enum Which {
    Client,
    Connect,
    Queue,
    Server,
    Tarpit,
    Tunnel,
}

#[derive(Debug)]
struct SetTimeout {
    which: Which,
    time: Time,
}

fn set_timeout(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let expected = "client, connect, queue, server, tarpit or tunnel";
    let (name, span) = args.text(expected)?;
    let which = match name.as_str() {
        "client" => Which::Client,
        "connect" => Which::Connect,
        "queue" => Which::Queue,
        "server" => Which::Server,
        "tarpit" => Which::Tarpit,
        "tunnel" => Which::Tunnel,
        _ => {
            return fail(
                Diagnostic::alert(format!("{}: unknown timeout '{name}'", args.what()))
                    .at(span)
                    .expected(expected),
            );
        }
    };
    Ok(Box::new(SetTimeout { which, time: Time::parse(args, cx)? }))
}

impl Act for SetTimeout {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let Some(ms) = self.time.get(env).filter(|ms| *ms > 0) else { return Flow::Next };
        let Some(overrides) = env.base.overrides else { return Flow::Next };
        let mut timeouts = overrides.timeouts.get();
        let slot = match self.which {
            Which::Client => &mut timeouts.client,
            Which::Connect => &mut timeouts.connect,
            Which::Queue => &mut timeouts.queue,
            Which::Server => &mut timeouts.server,
            Which::Tarpit => &mut timeouts.tarpit,
            Which::Tunnel => &mut timeouts.tunnel,
        };
        *slot = Some(ms);
        overrides.timeouts.set(timeouts);
        Flow::Next
    }
}

#[derive(Debug)]
struct Nothing;

/// Which stream of a thread goes first is the runtime's choice, as with `nice` of `bind` lines.
fn set_nice(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let (text, span) = args.text("a number")?;
    if !text.parse().is_ok_and(|n: i32| (-1024..=1024).contains(&n)) {
        return fail(
            Diagnostic::alert(format!("{}: '{text}' is no niceness", args.what()))
                .at(span)
                .expected("a number from -1024 to 1024"),
        );
    }
    let message = format!("{} has no effect: streams of a thread take turns", args.what());
    cx.diag.push(Diagnostic::notice(message).at(args.span()));
    Ok(Box::new(Nothing))
}

fn strict_mode(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let (text, span) = args.text("'on' or 'off'")?;
    match text.as_str() {
        "on" | "off" => Ok(Box::new(Nothing)),
        _ => fail(
            Diagnostic::alert(format!("{}: unexpected value '{text}'", args.what()))
                .at(span)
                .expected("'on' or 'off'"),
        ),
    }
}

impl Act for Nothing {
    fn run<'a>(&'a self, _: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        Flow::Next
    }
}

/// Kept for the head of the early hints that one run of rules adds up.
#[derive(Debug)]
pub(super) struct EarlyHint {
    pub(super) name: Box<[u8]>,
    pub(super) value: LogFormat,
}

impl Act for EarlyHint {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let value = env.render(&self.value);
        env.effects.early_hints.push((self.name.clone(), value.into()));
        Flow::Next
    }
}
