//! `observe`: what traffic tells of a server's health (configuration manual, 5.2).

use std::sync::Arc;

use proxy_state::Server;
use proxy_state::server::{CheckResult, CheckStatus};

use super::Exchange;
use crate::session::Session;
use crate::term::Blame;

/// Counts the stream's experience with its server.
pub(super) fn end(s: &Session, x: &Exchange) {
    let Some(server) = &x.record.server else { return };
    let Some(observe) = server.spec.observe else { return };
    if x.record.response_done.is_some() && observe.layer7 {
        match x.record.status {
            Some(100..=499 | 501 | 505) | None => server.observe_success(),
            Some(_) => failed(s, server, "L7STS"),
        }
    } else if x.record.connected.is_some() && !observe.layer7 {
        server.observe_success();
    }
}

/// Counts a failure that `blame` was found for.
pub(super) fn blamed(s: &Session, server: &Arc<Server>, blame: Blame) {
    match (blame, server.spec.observe) {
        (Blame::Connect, Some(_)) => failed(s, server, "L4CON"),
        (Blame::Response | Blame::ResponseAbort, Some(observe)) if observe.layer7 => {
            failed(s, server, "L7RSP");
        }
        _ => {}
    }
}

fn failed(s: &Session, server: &Arc<Server>, last: &str) {
    let limit = server.spec.observe.map_or(0, |observe| observe.error_limit);
    let info = format!("Detected {limit} consecutive errors, last one was: {last}");
    let result = CheckResult { status: CheckStatus::Observed, info, ..CheckResult::default() };
    server.observe_error(result, s.thread.now(s.thread.tick()));
}
