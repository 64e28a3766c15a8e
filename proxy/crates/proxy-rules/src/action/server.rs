//! Actions on the way to a server and on packets: the place in queues, retries, marks (configuration manual, 4.4).

use proxy_types::Diagnostic;

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, RuleEnv};
use super::number::Number;
use crate::sample::context::Overrides;
use crate::sample::parse::fail;
use crate::sample::{ParseCx, Parsed, Place};

const BEFORE_SERVER: Sets = Sets::of("...Y.Y..");
const TO_CLIENT: Sets = Sets::of(".YYYYYY.");

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "set-bc-mark",
        sets: BEFORE_SERVER,
        parse: |args, cx| {
            number(args, cx, u32::MAX.into(), |o, n| o.server_mark.set(u32::try_from(n).ok()))
        },
        syntax: "{ <mark> | <expr> }",
        doc: "Sets the mark that netfilter sees on packets to the server.",
    },
    ActionDef {
        name: "set-bc-tos",
        sets: BEFORE_SERVER,
        parse: |args, cx| number(args, cx, 255, |o, n| o.server_tos.set(u8::try_from(n).ok())),
        syntax: "{ <tos> | <expr> }",
        doc: "Sets the type of service of packets to the server.",
    },
    ActionDef {
        name: "set-fc-mark",
        sets: TO_CLIENT,
        parse: client_mark,
        syntax: "{ <mark> | <expr> }",
        doc: "Sets the mark that netfilter sees on packets to the client.",
    },
    ActionDef {
        name: "set-fc-tos",
        sets: TO_CLIENT,
        parse: client_tos,
        syntax: "{ <tos> | <expr> }",
        doc: "Sets the type of service of packets to the client.",
    },
    ActionDef {
        name: "set-mark",
        sets: TO_CLIENT,
        parse: client_mark,
        syntax: "<mark>",
        doc: "Same as `set-fc-mark`.",
    },
    ActionDef {
        name: "set-priority-class",
        sets: BEFORE_SERVER,
        parse: |args, cx| {
            let value = Number::Expr(args.expr(cx)?);
            Ok(Box::new(Set {
                value,
                set: |o, n| o.priority.set((n.clamp(-2047, 2047) as i32, o.priority.get().1)),
            }))
        },
        syntax: "<expr>",
        doc: "Sets the class of the request in queues, from -2047 to 2047: lower ones are served first.",
    },
    ActionDef {
        name: "set-priority-offset",
        sets: BEFORE_SERVER,
        parse: |args, cx| {
            let value = Number::Expr(args.expr(cx)?);
            Ok(Box::new(Set {
                value,
                set: |o, n| o.priority.set((o.priority.get().0, n.clamp(-524_287, 524_287) as i32)),
            }))
        },
        syntax: "<expr>",
        doc: "Moves the request in queues by this many milliseconds, from -524287 to 524287: backwards is sooner.",
    },
    ActionDef {
        name: "set-retries",
        sets: BEFORE_SERVER,
        parse: set_retries,
        syntax: "{ <int> | <expr> }",
        doc: "Sets how often a connection is tried again for this stream, 0 to 100.",
    },
    ActionDef {
        name: "set-tos",
        sets: TO_CLIENT,
        parse: client_tos,
        syntax: "<tos>",
        doc: "Same as `set-fc-tos`.",
    },
];

/// A number up to `most`, in decimal or behind `0x`.
fn up_to(most: i64) -> impl FnOnce(&str) -> Option<i64> {
    move |text| {
        let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
            Some(digits) => i64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        };
        number.filter(|number| (0..=most).contains(number))
    }
}

/// Sets something for the stream.
#[derive(Debug)]
struct Set {
    value: Number,
    set: fn(&Overrides, i64),
}

impl Act for Set {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        if let Some((overrides, value)) = env.base.overrides.zip(self.value.get(env)) {
            (self.set)(overrides, value);
        }
        Flow::Next
    }
}

/// A value out of range, which only an expression gives, changes nothing.
fn number(
    args: &mut ActionArgs<'_, '_>,
    cx: &mut ParseCx<'_>,
    most: i64,
    set: fn(&Overrides, i64),
) -> Parsed<Box<dyn Act>> {
    let expected = format!("a number from 0 to {most}");
    Ok(Box::new(Set { value: Number::parse(args, cx, &expected, up_to(most))?, set }))
}

fn client_mark(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    number(args, cx, u32::MAX.into(), |o, n| o.client_mark.set(u32::try_from(n).ok()))
}

fn client_tos(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    number(args, cx, 255, |o, n| o.client_tos.set(u8::try_from(n).ok()))
}

fn set_retries(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let in_frontend = matches!(cx.place, Place::FeHttpRequest | Place::FeTcpContent);
    if in_frontend && !cx.listen {
        return fail(
            Diagnostic::alert(format!("{} is for proxies with servers", args.what()))
                .at(args.span())
                .help("write it in the backend"),
        );
    }
    number(args, cx, 100, |o, n| {
        if (0..=100).contains(&n) {
            o.retries.set(u32::try_from(n).ok());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check_error, run_with};
    use crate::action::SetKind;

    #[test]
    fn what_rules_set() {
        let lines = "set-priority-class int(-5000)\nset-priority-offset req.hdr(x-num)\nset-bc-tos 0x20\n\
            set-bc-mark int(7)";
        run_with(SetKind::HttpRequest, lines, |_, overrides| {
            assert_eq!(overrides.priority.get(), (-2047, -42));
            assert_eq!(overrides.server_tos.get(), Some(32));
            assert_eq!(overrides.server_mark.get(), Some(7));
        });
        check_error(
            SetKind::HttpRequest,
            "set-bc-tos 256",
            "'http-request set-bc-tos': '256' is not a number from 0 to 255",
        );
        check_error(
            SetKind::HttpRequest,
            "set-retries 3",
            "'http-request set-retries' is for proxies with servers",
        );
    }
}
