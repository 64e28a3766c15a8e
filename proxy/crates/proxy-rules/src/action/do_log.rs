//! `do-log` (configuration manual, 4.4).

use proxy_types::{Diagnostic, Spanned};

use super::def::{Act, ActionArgs, ActionDef, SetKind, Sets};
use super::env::{Flow, RuleEnv};
use crate::logformat::Origin;
use crate::sample::parse::{Named, fail, show};
use crate::sample::{ParseCx, Parsed};

pub(super) const ACTIONS: &[ActionDef] = &[ActionDef {
    name: "do-log",
    sets: Sets::of("YYYYYYYY"),
    parse,
    syntax: "[profile <log_profile>]",
    doc: "Writes a log line now.",
}];

#[derive(Debug)]
struct DoLog {
    origin: Origin,
    profile: Option<Box<str>>,
}

fn parse(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let origin = match args.kind {
        SetKind::QuicInitial => Origin::QuicInit,
        SetKind::TcpConnection => Origin::TcpReqConn,
        SetKind::TcpSession => Origin::TcpReqSess,
        SetKind::TcpRequest => Origin::TcpReqCont,
        SetKind::TcpResponse => Origin::TcpResCont,
        SetKind::HttpRequest => Origin::HttpReq,
        SetKind::HttpResponse => Origin::HttpRes,
        SetKind::HttpAfterResponse => Origin::HttpAfterRes,
    };
    let mut profile = None;
    while let Some(word) = args.take() {
        if word.value != b"profile" {
            let message = format!("{} does not know '{}'", args.what(), show(word.value));
            return fail(Diagnostic::alert(message).at(word.span).expected("'profile'"));
        }
        let (name, span) = args.text("the name of a 'log-profile' section")?;
        cx.refs.push(Spanned::new(Named::LogProfile(name.as_str().into()), span));
        profile = Some(name.into());
    }
    Ok(Box::new(DoLog { origin, profile }))
}

impl Act for DoLog {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        if let Some(logger) = env.base.logger {
            logger.log(&env.cx(), self.origin, self.profile.as_deref());
        }
        Flow::Next
    }
}
