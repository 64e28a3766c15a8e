//! Actions that answer in place of the server.

use super::body::Body;
use super::def::{Act, ActionArgs, ActionDef, SetKind, Sets};
use super::env::{Cause, Flow, Reply, RuleEnv};
use crate::sample::{ParseCx, Parsed};

const SYNTAX: &str = "[ status <code> ] [ content-type <type> ] [ <source> ] [ hdr <name> <fmt> ]*";

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "deny",
        sets: Sets::of(".....YY."),
        parse: |args, cx| {
            let status = if args.kind == SetKind::HttpResponse { 502 } else { 403 };
            answer(args, cx, Cause::Deny, status)
        },
        syntax: SYNTAX,
        doc: "Refuses the message, with the error page of the status or the answer given.",
    },
    ActionDef {
        name: "return",
        sets: Sets::of(".....YY."),
        parse: |args, cx| answer(args, cx, Cause::Return, 200),
        syntax: SYNTAX,
        doc: "Answers, with nothing or what is given.",
    },
    ActionDef {
        name: "tarpit",
        sets: Sets::of(".....Y.."),
        parse: |args, cx| answer(args, cx, Cause::Tarpit, 500),
        syntax: SYNTAX,
        doc: "Holds the request for a while, and refuses it then.",
    },
];

#[derive(Debug)]
struct Answer {
    cause: Cause,
    body: Body,
}

fn answer(
    args: &mut ActionArgs<'_, '_>,
    cx: &mut ParseCx<'_>,
    cause: Cause,
    status: u16,
) -> Parsed<Box<dyn Act>> {
    let body = Body::parse(args, cx, status, cause != Cause::Return)?;
    Ok(Box::new(Answer { cause, body }))
}

impl Act for Answer {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let content = self.body.content(env);
        Flow::Reply(Reply { status: self.body.status, cause: self.cause, content })
    }
}
