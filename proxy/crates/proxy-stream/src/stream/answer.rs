//! Answers of our own on the client's connection.

use std::future::poll_fn;
use std::task::Poll;

use proxy_http::{Method, Version};
use proxy_net::clock::Tick;

use super::{Exchange, finish, response, rules};
use crate::backend::OnEof;
use crate::reply::Reply;
use crate::session::Session;
use crate::term::Fault;

/// Ends a stream that met `fault`: letters, counters, and an answer if the client got nothing yet.
pub(super) async fn fail(s: &mut Session, x: &mut Exchange, fault: Fault) {
    let verdict = fault.verdict();
    (x.record.cause, x.record.phase) = (verdict.cause, verdict.phase);
    finish::blame(s, x, verdict.blame);
    finish::trace_fault(s, x, fault);
    x.server = take_server(x);
    finish::drop_server(x);
    if fault == Fault::StaleConnection {
        // The client sent this on a connection that had worked: it will repeat it elsewhere, as it
        // would had its own connection gone stale. An error page would hide that from it.
        x.record.silent = true;
        x.keep_client = false;
        return;
    }
    if let Some(reply) = x.replacement.take() {
        if x.flow.has_body && !x.flow.request_done {
            x.keep_client = false;
        }
        queue(s, x, &reply);
        let _ = flush(s, x).await;
        return;
    }
    let Some(status) = verdict.reply.filter(|_| !x.answered) else {
        x.keep_client = false;
        return;
    };
    if !x.record.request_read || !x.flow.request_done && x.flow.has_body {
        x.keep_client = false;
    }
    if s.front.frontend.options.http_ignore_probes && x.record.bytes_in == 0 {
        x.record.status = Some(status);
        return;
    }
    let back = x.record.backend.clone();
    let reply = rules::error_page(s, x, back.as_deref(), status);
    queue(s, x, &reply);
    let _ = flush(s, x).await;
}

fn take_server(x: &mut Exchange) -> Option<crate::backend::Attached> {
    x.server.take()
}

/// Queues the answer of a server that sends the client elsewhere (configuration manual, 5.2 `redir`).
pub(super) fn elsewhere(s: &mut Session, x: &mut Exchange) {
    let prefix = x.record.server.as_ref().and_then(|server| server.spec.redir.as_deref());
    let mut url = prefix.unwrap_or_default().as_bytes().to_vec();
    url.extend_from_slice(x.request.path_and_query());
    x.keep_client &= !x.flow.has_body;
    queue(s, x, &Reply::redirection(302, &url));
    (x.record.cause, x.record.phase) = (b'L', b'R');
}

/// Queues `reply` for the client.
pub(super) fn queue(s: &mut Session, x: &mut Exchange, reply: &Reply) {
    if reply.is_silent() {
        x.keep_client = false;
        x.answered = true;
        x.flow.response_done = true;
        x.record.status = Some(reply.head().status());
        return;
    }
    x.response.clone_from(reply.head());
    // Rules are those of requests: one that could not be read has none (the connection answers).
    if x.record.request_read {
        response::after_rules(s, x);
    }
    if s.leaves() {
        x.keep_client = false;
    }
    let old = x.record.request_read && x.request.version() == Version::Http10;
    if !x.keep_client {
        x.response.headers_mut().append(b"connection", b"close");
    } else if old {
        x.response.headers_mut().append(b"connection", b"keep-alive");
    }
    let head_only = x.record.request_read && x.request.method() == Method::Head;
    let body = if head_only { &[][..] } else { reply.body() };
    x.to_client.reset();
    x.to_client.set_own_message(body.len(), x.client_wire(&s.client));
    // A client that is gone is noticed when the answer is flushed.
    let _ = response::send_head(s, x);
    x.to_client.queue(|out| out.extend_from_slice(body));
    let response = &x.response;
    x.answered = true;
    x.record.status = Some(response.status());
    x.flow.response_done = true;
}

/// Sends what is queued for the client.
pub(super) async fn flush(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    s.client_timer.arm(s.front.frontend.timeouts.client);
    poll_fn(|cx| match x.to_client.poll_finish(cx, &mut s.client) {
        Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
        Poll::Ready(Err(_)) => Poll::Ready(Err(Fault::DataClientAbort)),
        Poll::Pending => s.client_timer.poll_expired(cx).map(|()| Err(Fault::DataClientTimeout)),
    })
    .await
}

/// Holds a request until the tick given, or until the client leaves. Its answer is queued already.
pub(super) async fn tarpit(
    s: &mut Session,
    x: &mut Exchange,
    until: Option<Tick>,
) -> Result<(), Fault> {
    s.client_timer.disarm();
    match until {
        Some(until) => s.server_timer.arm_at(until),
        None => s.server_timer.disarm(),
    }
    let outcome = poll_fn(|cx| {
        if until.is_none() || s.server_timer.poll_expired(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        if crate::backend::client_left(&mut s.client, cx, OnEof::Leave) {
            return Poll::Ready(Err(Fault::TarpitAbort));
        }
        Poll::Pending
    })
    .await;
    x.record.queue_done = Some(s.thread.tick());
    outcome
}
