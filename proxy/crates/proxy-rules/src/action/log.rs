//! Actions on the log line.

use proxy_types::Diagnostic;

use super::def::{Act, ActionArgs, ActionDef, Sets};
use super::env::{Flow, LogLevel, RuleEnv};
use crate::sample::parse::fail;
use crate::sample::{ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "set-log-level",
    sets: Sets::of("...YYYYY"),
    parse: set_log_level,
    syntax: "<level>",
    doc: "Sets the severity of the stream's log line, or `silent` for none.",
}];

#[derive(Debug)]
struct SetLogLevel(LogLevel);

fn set_log_level(args: &mut ActionArgs<'_, '_>, _: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let expected = "emerg, alert, crit, err, warning, notice, info, debug or silent";
    let (text, span) = args.text(expected)?;
    match LogLevel::find(&text) {
        Some(level) => Ok(Box::new(SetLogLevel(level))),
        None => fail(
            Diagnostic::alert(format!("unknown log level '{text}'")).at(span).expected(expected),
        ),
    }
}

impl Act for SetLogLevel {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        env.effects.log_level = Some(self.0);
        Flow::Next
    }
}
