//! `set-bandwidth-limit` (configuration manual, 4.4 and 9.7).

use std::sync::Arc;

use proxy_types::size::parse_size;
use proxy_types::time::parse_timer;
use proxy_types::{Diagnostic, Spanned};

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, RuleEnv};
use super::number::Number;
use crate::bandwidth::Wanted;
use crate::sample::parse::{Named, fail, show};
use crate::sample::{ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "set-bandwidth-limit",
    sets: Sets::of("...YYYY."),
    parse,
    syntax: "<name> [limit { <expr> | <size> }] [period { <expr> | <time> }]",
    doc: "Puts the stream under the limit of a bwlim-in or bwlim-out filter.",
}];

/// A positive number that `read` takes.
fn positive(read: impl FnOnce(&str) -> Option<u64>) -> impl FnOnce(&str) -> Option<i64> {
    |text| read(text).and_then(|number| i64::try_from(number).ok()).filter(|number| *number > 0)
}

fn get(value: &Option<Number>, env: &RuleEnv<'_, '_>) -> Option<u64> {
    let number = value.as_ref()?.get(env)?;
    u64::try_from(number).ok().filter(|number| *number > 0)
}

#[derive(Debug)]
struct SetLimit {
    name: Arc<str>,
    limit: Option<Number>,
    period: Option<Number>,
}

fn parse(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let (name, span) = args.text("the name of a bwlim-in or bwlim-out filter")?;
    let (mut limit, mut period) = (None, None);
    loop {
        if args.take_keyword("limit") {
            limit =
                Some(Number::parse(args, cx, "a size", positive(|text| parse_size(text).ok()))?);
        } else if args.take_keyword("period") {
            let time =
                |text: &str| parse_timer(text).ok().and_then(|t| t.as_millis().try_into().ok());
            period = Some(Number::parse(args, cx, "a time", positive(time))?);
        } else if let Some(word) = args.peek() {
            return fail(
                Diagnostic::alert(format!("{} does not know '{}'", args.what(), show(word.value)))
                    .at(word.span)
                    .expected("limit or period"),
            );
        } else {
            break;
        }
    }
    let own = limit.is_some() || period.is_some();
    cx.refs.push(Spanned::new(Named::Limiter { name: name.as_str().into(), own }, span));
    Ok(Box::new(SetLimit { name: name.into(), limit, period }))
}

impl Act for SetLimit {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let (limit, period) = (get(&self.limit, env), get(&self.period, env));
        let wanted = Wanted {
            name: self.name.clone(),
            limit,
            period: period.map(|ms| u32::try_from(ms).unwrap_or(u32::MAX)),
        };
        env.effects.limits.push(wanted);
        Flow::Next
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check_error, run};
    use crate::action::SetKind;
    use crate::bandwidth::Wanted;

    #[test]
    fn limits_are_asked_for() {
        let lines = "set-bandwidth-limit up\nset-bandwidth-limit down period 10s limit 1k\n\
            set-bandwidth-limit down limit int(5),mul(2) period req.hdr(x-num)";
        run(SetKind::HttpRequest, lines, |_, env| {
            let wanted = |name: &str, limit, period| Wanted { name: name.into(), limit, period };
            let expected = [
                wanted("up", None, None),
                wanted("down", Some(1024), Some(10_000)),
                // A period that is no time leaves what the filter says.
                wanted("down", Some(10), None),
            ];
            assert_eq!(env.effects.limits, expected);
        });
        check_error(
            SetKind::HttpRequest,
            "set-bandwidth-limit x limit 0",
            "'http-request set-bandwidth-limit': '0' is not a size",
        );
    }
}
