//! Actions on the status of responses.

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, RuleEnv};
use crate::sample::{ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "set-status",
    sets: Sets::of("......YY"),
    parse: set_status,
    syntax: "<status> [reason <str>]",
    doc: "Sets the status of the response.",
}];

#[derive(Debug)]
struct SetStatus {
    status: u16,
    reason: Option<Box<[u8]>>,
}

fn set_status(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let status = args.number(100, 999, "a status")? as u16;
    let reason = match args.take_keyword("reason") {
        true => Some(args.word("a reason")?.value.into()),
        false => None,
    };
    Ok(Box::new(SetStatus { status, reason }))
}

impl Act for SetStatus {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        if let Some(head) = env.response.as_deref_mut() {
            head.set_status(self.status, self.reason.as_deref());
        }
        Flow::Next
    }
}
