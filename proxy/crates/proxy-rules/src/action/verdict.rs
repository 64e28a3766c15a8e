//! Actions that end a rule set or a connection.

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Close, Flow, RuleEnv};
use crate::sample::{ParseCx, Parsed};

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
];

/// An action that always says the same.
#[derive(Debug)]
struct Verdict(Flow<'static>);

impl Act for Verdict {
    fn run<'a>(&'a self, _: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        self.0
    }
}

fn silent_drop(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let rst_ttl = match args.take_keyword("rst-ttl") {
        true => Some(args.number(1, 255, "a time to live")? as u8),
        false => None,
    };
    Ok(Box::new(Verdict(Flow::Close(Close::SilentDrop { rst_ttl }))))
}
