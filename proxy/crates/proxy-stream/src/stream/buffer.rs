//! Request bodies that are looked at before they are sent: `option http-buffer-request`.

use std::future::poll_fn;
use std::task::{Context, Poll};

use proxy_http::BodyLen;
use proxy_http::h1::{ChunkDecoder, Keep};

use proxy_net::clock::Tick;

use super::Exchange;
use crate::backend;
use crate::session::Session;
use crate::term::Fault;

/// What was taken in of a request body. The bytes themselves wait with the client's connection.
#[derive(Debug, Default)]
pub(crate) struct Peeked {
    /// The payload of a body in chunks.
    payload: Vec<u8>,
    decoder: ChunkDecoder,
    /// Bytes of the connection that the decoder has seen.
    seen: usize,
    /// The body, or its start, is there.
    pub(super) done: bool,
    /// Not its start only.
    whole: bool,
}

impl Exchange {
    /// Whether all of the request's body was taken in.
    pub(super) fn has_whole_body(&self) -> bool {
        !self.flow.has_body || self.peeked.as_deref().is_some_and(|peeked| peeked.whole)
    }

    /// The payload of the request that was taken in.
    pub(super) fn peeked<'a>(&'a self, input: &'a [u8]) -> Option<&'a [u8]> {
        let peeked = self.peeked.as_deref().filter(|peeked| peeked.done)?;
        Some(match self.request.body() {
            BodyLen::Chunked if peeked.seen > 0 => &peeked.payload,
            BodyLen::Length(n) => {
                &input[..usize::try_from(n).unwrap_or(usize::MAX).min(input.len())]
            }
            _ => input,
        })
    }
}

/// Waits until the whole body is there, or as much as a buffer holds.
pub(super) async fn wait(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    if !x.flow.has_body || x.peeked.as_ref().is_some_and(|peeked| peeked.done) {
        return Ok(());
    }
    let limit = s.front.frontend.timeouts.http_request();
    let until = limit.map(|delay| x.record.first_byte + delay);
    wait_until(s, x, until, 0).await
}

/// [`wait`] up to `until`, or for `at_least` bytes when that is not 0.
pub(super) async fn wait_until(
    s: &mut Session,
    x: &mut Exchange,
    until: Option<Tick>,
    at_least: u64,
) -> Result<(), Fault> {
    if !x.flow.has_body {
        return Ok(());
    }
    let outcome = receive(s, x, until, at_least).await;
    s.client_timer.disarm();
    if outcome.is_err() {
        x.record.head_done = None;
    }
    outcome
}

async fn receive(
    s: &mut Session,
    x: &mut Exchange,
    until: Option<Tick>,
    at_least: u64,
) -> Result<(), Fault> {
    let again = x.peeked.is_some();
    x.peeked.get_or_insert_with(Box::default);
    let head = x.request.headers().buffered();
    let limit = s.thread.env.limits.max_head.saturating_sub(head).max(1);
    if x.request.flags().expect_continue && !again {
        invite(s, x)?;
    }
    match until {
        Some(until) => s.client_timer.arm_at(until),
        None => s.client_timer.disarm(),
    }
    poll_fn(|cx| {
        let _ = x.to_client.poll_flush(cx, &mut s.client);
        loop {
            let ended = s.client.framed && s.client.eof;
            if is_there(x, s.client.input.data(), ended, limit, at_least)? {
                return Poll::Ready(Ok(()));
            }
            if s.client.eof {
                return Poll::Ready(Err(Fault::BodyAbort));
            }
            if !more(s, cx, limit)? {
                return s.client_timer.poll_expired(cx).map(|()| Err(Fault::RequestTimeout));
            }
        }
    })
    .await
}

/// The client waits for this before it sends the body; the server needs not say it again.
fn invite(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    x.request.headers_mut().remove(b"expect");
    if s.client.framed {
        x.response.start(100, BodyLen::None);
        return s.client.framed()?.send_response(&x.response, false).map_err(|_| Fault::BodyAbort);
    }
    x.to_client.queue(|out| out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n"));
    Ok(())
}

/// Takes in what came; false when nothing did.
fn more(s: &mut Session, cx: &mut Context<'_>, limit: usize) -> Result<bool, Fault> {
    let before = s.client.input.len();
    let received = backend::receive(&mut s.client, cx, limit);
    received.map_err(|_| Fault::BodyAbort)?;
    Ok(s.client.input.len() > before || s.client.eof)
}

fn is_there(
    x: &mut Exchange,
    data: &[u8],
    ended: bool,
    limit: usize,
    at_least: u64,
) -> Result<bool, Fault> {
    let Some(peeked) = x.peeked.as_deref_mut() else { return Ok(true) };
    let whole = match x.request.body() {
        BodyLen::None => true,
        BodyLen::Length(n) => data.len() as u64 >= n,
        _ if ended => true,
        BodyLen::Chunked if x.request.is_normalized() => false,
        BodyLen::Chunked => {
            let start = peeked.payload.len();
            peeked.payload.extend_from_slice(&data[peeked.seen..]);
            let filtered = peeked
                .decoder
                .filter(&mut peeked.payload[start..], Keep::Payload)
                .map_err(|_| Fault::BadRequest { status: 400 })?;
            peeked.payload.truncate(start + filtered.produced);
            peeked.seen += filtered.consumed;
            filtered.done
        }
        BodyLen::UntilClose => false,
    };
    let enough = at_least > 0 && data.len() as u64 >= at_least;
    peeked.whole = whole;
    peeked.done = whole || data.len() >= limit || enough;
    Ok(peeked.done)
}
