//! Actions that end a rule set or a connection.

use proxy_state::options::Proto;
use proxy_types::Diagnostic;

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Close, Flow, RuleEnv, SwitchMode};
use crate::sample::parse::fail;
use crate::sample::{ParseCx, Parsed, Place};

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "accept",
        sets: Sets::of("YYYYY..."),
        parse: |_, _| Ok(Box::new(Verdict(Flow::Stop))),
        syntax: "",
        doc: "Ends the rule set; the connection goes on.",
    },
    ActionDef {
        name: "allow",
        sets: Sets::of(".....YYY"),
        parse: |_, _| Ok(Box::new(Verdict(Flow::Stop))),
        syntax: "",
        doc: "Ends the rule set; the message goes on.",
    },
    ActionDef {
        name: "close",
        sets: Sets::of("....Y..."),
        parse: |_, _| Ok(Box::new(Verdict(Flow::Close(Close::Reject)))),
        syntax: "",
        doc: "Closes the connection to the server.",
    },
    ActionDef {
        name: "expect-netscaler-cip",
        sets: Sets::of(".Y......"),
        parse: |args, _| expect(args, Expect::Netscaler),
        syntax: "layer4",
        doc: "Takes the client's address from a header of the NetScaler.",
    },
    ActionDef {
        name: "expect-proxy",
        sets: Sets::of(".Y......"),
        parse: |args, _| expect(args, Expect::Proxy),
        syntax: "layer4",
        doc: "Takes the client's address from a PROXY protocol header.",
    },
    ActionDef {
        name: "reject",
        sets: Sets::of("YYYYYY.."),
        parse: |_, _| Ok(Box::new(Verdict(Flow::Close(Close::Reject)))),
        syntax: "",
        doc: "Closes the connection without an answer.",
    },
    ActionDef {
        name: "silent-drop",
        sets: Sets::of(".YYYYYY."),
        parse: silent_drop,
        syntax: "[ rst-ttl <ttl> ]",
        doc: "Forgets the connection without telling the client.",
    },
    ActionDef {
        name: "switch-mode",
        sets: Sets::of("...Y...."),
        parse: switch_mode,
        syntax: "http [ proto <name> ]",
        doc: "Goes on in mode http with what the client sent.",
    },
];

#[derive(Debug)]
struct Switch(SwitchMode);

impl Act for Switch {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        // In mode http already: nothing to switch.
        if env.request.is_none() {
            env.effects.switch_mode = Some(self.0);
        }
        Flow::Stop
    }
}

fn switch_mode(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let (mode, span) = args.text("'http'")?;
    if mode != "http" {
        return fail(
            Diagnostic::alert(format!("{}: the mode must be 'http', got '{mode}'", args.what()))
                .at(span),
        );
    }
    let mut proto = None;
    if args.take_keyword("proto") {
        let (name, span) = args.text("'h1' or 'h2'")?;
        proto = Some(match name.as_str() {
            "h1" => Proto::H1,
            "h2" => Proto::H2,
            _ => {
                return fail(
                    Diagnostic::alert(format!("{}: unknown protocol '{name}'", args.what()))
                        .at(span)
                        .expected("'h1' or 'h2'"),
                );
            }
        });
    }
    let frontend = matches!(cx.place, Place::FeTcpContent);
    if !frontend {
        return fail(
            Diagnostic::alert(format!("{}: only frontends can switch", args.what()))
                .at(args.span()),
        );
    }
    Ok(Box::new(Switch(SwitchMode { proto })))
}

/// An action that always says the same.
#[derive(Debug)]
struct Verdict(Flow<'static>);

impl Act for Verdict {
    fn run<'a>(&'a self, _: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        self.0
    }

    fn verdict(&self) -> Option<Flow<'static>> {
        Some(self.0)
    }
}

/// A header that comes in front of everything else.
#[derive(Clone, Copy, Debug)]
enum Expect {
    Netscaler,
    Proxy,
}

impl Act for Expect {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        match self {
            Self::Netscaler => env.effects.expect_netscaler = true,
            Self::Proxy => env.effects.expect_proxy = true,
        }
        Flow::Next
    }
}

fn expect(args: &mut ActionArgs<'_, '_>, what: Expect) -> Parsed<Box<dyn Act>> {
    let (layer, span) = args.text("'layer4'")?;
    if layer != "layer4" {
        return fail(
            Diagnostic::alert(format!("{}: expected 'layer4', got '{layer}'", args.what()))
                .at(span),
        );
    }
    Ok(Box::new(what))
}

fn silent_drop(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let rst_ttl = match args.take_keyword("rst-ttl") {
        true => Some(args.number(1, 255, "a time to live")? as u8),
        false => None,
    };
    Ok(Box::new(Verdict(Flow::Close(Close::SilentDrop { rst_ttl }))))
}
