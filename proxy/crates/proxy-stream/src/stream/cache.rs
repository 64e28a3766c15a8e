//! Answers from HTTP caches, and responses on their way into them (configuration manual, 6).

use std::future::poll_fn;
use std::task::{Poll, ready};

use proxy_http::Method;
use proxy_http::h1::{Limits, Progress, parse_response};
use proxy_rules::cache::head_of;

use super::{Exchange, answer, response};
use crate::env::Back;
use crate::mux::h1::Wire;
use crate::scratch;
use crate::session::Session;
use crate::term::Fault;

/// Bytes of a stored body that are sent in one go.
const STEP: usize = 64 * 1024;

/// Counts what rules of the frontend, or of the backend, did with caches.
pub(super) fn count(s: &Session, x: &mut Exchange, back: Option<&Back>) {
    let counts = std::mem::take(&mut x.effects.cache_counts);
    if counts == Default::default() {
        return;
    }
    let (lookups, hits, hints) =
        (u64::from(counts.lookups), u64::from(counts.hits), u64::from(counts.hints));
    match back {
        Some(back) => {
            let c = back.backend.counters.local();
            c.cache_lookups.add(lookups);
            c.cache_hits.add(hits);
            c.cache_hint_hits.add(hints);
        }
        None => {
            let c = s.front.frontend.counters.local();
            c.cache_lookups.add(lookups);
            c.cache_hits.add(hits);
            c.cache_hint_hits.add(hints);
        }
    }
}

/// Whether a cache has the answer.
pub(super) fn answers(x: &Exchange) -> bool {
    x.effects.cache.as_ref().is_some_and(|turn| turn.hit.is_some())
}

/// Answers from the cache. Response rules see the stored response as they would a server's.
pub(super) async fn serve(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    let Some(turn) = x.effects.cache.take() else { return Err(Fault::Internal) };
    let Some(entry) = turn.hit.clone() else { return Err(Fault::Internal) };
    let now = s.thread.now(s.thread.tick());
    x.record.service = Some("CACHE");
    (x.record.cause, x.record.phase) = (b'L', b'R');
    x.record.cache = Some(turn.cache.spec.name.as_str().into());
    let head = head_of(&entry, turn.not_modified);
    let limits = Limits { max_head: usize::MAX, max_headers: usize::MAX, ..Limits::default() };
    let parsed = parse_response(&head, &limits, Method::Get, &mut x.response);
    if !matches!(parsed, Ok(Progress::Complete { .. })) {
        return Err(Fault::Internal);
    }
    let headers = x.response.headers_mut();
    if turn.not_modified {
        headers.remove(b"content-length");
    }
    headers.append(b"age", entry.age(now).to_string().as_bytes());
    response::forward(s, x, Wire::Http11)?;
    x.record.server_status = None;
    x.answered = true;
    let body = if turn.not_modified { &[][..] } else { &entry.body[..] };
    s.client_timer.arm(s.front.frontend.timeouts.client);
    let mut at = 0;
    let sent = poll_fn(|cx| {
        loop {
            x.to_client.begin_poll();
            let flushed = x.to_client.poll_flush(cx, &mut s.client);
            if x.to_client.did_write {
                s.client_timer.arm(s.front.frontend.timeouts.client);
            }
            match flushed {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::DataClientAbort)),
                Poll::Pending => {
                    ready!(s.client_timer.poll_expired(cx));
                    return Poll::Ready(Err(Fault::DataClientTimeout));
                }
            }
            if at == body.len() {
                return Poll::Ready(Ok(()));
            }
            let part = &body[at..body.len().min(at + STEP)];
            at += part.len();
            let (pump, client) = (&mut x.to_client, &mut s.client);
            let sent = scratch::with(|buf| {
                let buf = &mut buf[..part.len()];
                buf.copy_from_slice(part);
                pump.send_first(cx, buf, client)
            });
            if sent.is_err() {
                return Poll::Ready(Err(Fault::DataClientAbort));
            }
        }
    })
    .await;
    s.client_timer.disarm();
    sent?;
    answer::flush(s, x).await?;
    x.flow.response_done = true;
    Ok(())
}

/// Has the pump keep the body of a response that is to be stored, and store it before the client has all of it: who
/// asks again finds it.
pub(super) fn keep(s: &Session, x: &mut Exchange, to: Wire) {
    let Some(storing) = x.effects.cache.as_mut().and_then(|turn| turn.storing()) else { return };
    let (room, env) = (storing.room(), s.thread.env.clone());
    let then = move |body| storing.store(body, env.now(proxy_net::clock::coarse()));
    x.to_client.set_tap(room, to, Box::new(then));
}
