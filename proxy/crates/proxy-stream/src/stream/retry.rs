//! Requests that are sent again after they were sent: `retry-on` (configuration manual, 4.2).

use proxy_state::options::RetryOn;

use super::{Exchange, transfer};
use crate::backend;
use crate::session::Session;
use crate::term::Fault;

/// Whether this failure is one that the backend tries again, and can.
pub(super) fn wants(x: &Exchange, fault: Fault) -> bool {
    let what = match fault {
        Fault::ResponseAbort if x.flow.heard() => RetryOn::JUNK,
        Fault::ResponseAbort | Fault::StaleConnection => RetryOn::EMPTY,
        Fault::BadResponse => RetryOn::JUNK,
        Fault::ResponseTimeout => RetryOn::TIMEOUT,
        Fault::RetriedStatus => return true,
        _ => return false,
    };
    may(x, what)
}

/// Whether the response with this status is left for another try.
pub(super) fn wants_other(x: &Exchange, status: u16) -> bool {
    RetryOn::status(status).is_some_and(|what| may(x, what))
}

fn may(x: &Exchange, what: RetryOn) -> bool {
    let Some(back) = &x.backend else { return false };
    let backend = &back.backend;
    backend.retry_on.has(what)
        && x.record.retries < backend::retries(x, backend)
        && !x.answered
        && x.to_server.has_copy()
}

/// Begins to keep what is sent, where it may have to be sent again.
pub(super) fn prepare(s: &Session, x: &mut Exchange) {
    let wanted = x.backend.as_ref().is_some_and(|back| back.backend.retry_on.needs_copy());
    // A tunnel cannot be had twice.
    let tunnel = x.request.flags().upgrade || x.request.method() == proxy_http::Method::Connect;
    if wanted && !x.effects.disable_l7_retry && !tunnel {
        let head = x.request.headers().buffered();
        let limit = s.thread.env.shared.bufsize.saturating_sub(head);
        x.to_server.keep_copy(limit);
    }
}

/// Puts everything back to before the request was sent, and says where it goes next.
pub(super) fn again(s: &mut Session, x: &mut Exchange) {
    let copy = x.to_server.take_copy().unwrap_or_default();
    s.client.input.put_back(&copy);
    s.server_timer.disarm();
    s.client_timer.disarm();
    x.record.status = None;
    x.record.server_status = None;
    x.record.response_done = None;
    x.record.response_in = 0;
    transfer::rewind(s, x);
    x.flow.fresh_only = true;
    if let (Some(back), Some(server)) = (x.backend.clone(), x.record.server.clone()) {
        if !x.persist.force && backend::redispatches(x, &back.backend) {
            backend::count_redispatch(x, &back, &server);
            x.next = backend::Aim::Not(server.id);
        } else {
            x.next = backend::Aim::Same(server);
        }
    }
}
