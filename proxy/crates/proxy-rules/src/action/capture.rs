//! Keeping values for the log (configuration manual, 4.4 "capture").

use proxy_types::Diagnostic;

use super::def::{Act, ActionArgs, ActionDef, SetKind, Sets};
use super::env::{Flow, RuleEnv};
use crate::capture::{CaptureSlot, Captured};
use crate::sample::parse::fail;
use crate::sample::{Expr, ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "capture",
    sets: Sets::of("...Y.YYY"),
    parse: capture,
    syntax: "<sample> [ len <length> | id <id> ]",
    doc: "Keeps a value in a slot, for logs and `capture.req.hdr`.",
}];

#[derive(Debug)]
struct Capture {
    expr: Expr,
    response: bool,
    index: usize,
    len: usize,
}

fn capture(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let expr = args.expr(cx)?;
    let response = matches!(args.kind, SetKind::HttpResponse | SetKind::HttpAfterResponse);
    let wrong = |args: &ActionArgs<'_, '_>, why: &str| {
        fail(Diagnostic::alert(format!("{}: {why}", args.what())).at(args.span()))
    };
    let slots = cx.captures.map(|c| if response { &c.response } else { &c.request });
    let (index, len) = if args.take_keyword("len") {
        if response {
            return wrong(
                args,
                "'len' is not possible in responses, use 'declare capture response' and 'id'",
            );
        }
        let len = args.number(1, 65_535, "a length")? as usize;
        let Some(slots) = slots else {
            return wrong(args, "captures are only possible in frontends");
        };
        let mut slots = slots.borrow_mut();
        slots.push(CaptureSlot { header: None, len });
        (slots.len() - 1, len)
    } else if args.take_keyword("id") {
        let index = args.number(0, u32::MAX, "the number of a slot")? as usize;
        match slots {
            // Rules of a backend are checked when they run: they may be reached from any frontend.
            None => (index, usize::MAX),
            Some(slots) => match slots.borrow().get(index) {
                Some(slot) => (index, slot.len),
                None => {
                    return wrong(
                        args,
                        &format!("unable to find capture id '{index}' (declare it before)"),
                    );
                }
            },
        }
    } else {
        return wrong(args, "'len' or 'id' is expected after the expression");
    };
    Ok(Box::new(Capture { expr, response, index, len }))
}

impl Act for Capture {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let Some(captured) = env.base.captured else { return Flow::Next };
        let slots = if self.response { &captured.response } else { &captured.request };
        env.with_value(&self.expr, |value, cx| {
            let text = value.and_then(|value| value.str(cx.scratch));
            // A slot that the frontend does not have keeps nothing.
            if let Some(text) = text.filter(|_| self.index < slots.borrow().len()) {
                Captured::set(slots, self.index, self.len, text);
            }
        });
        Flow::Next
    }
}
