//! Both directions of an exchange at once: the request to the server, the response to the client.
//!
//! Each poll moves what can be moved either way. The response may begin, and end, while the request body
//! is still on its way. Which side is waited for decides which timeout runs.

use std::future::poll_fn;
use std::task::{Context, Poll};

use proxy_http::ResponseHead;
use proxy_http::h1::{Limits, Progress, parse_response};

use super::{Exchange, bandwidth, finish, hold, response};
use crate::io::{Conn, Used};
use crate::mux::h1::{Pump, PumpFault, Wire};
use crate::session::Session;
use crate::term::Fault;
use crate::traces::{self, Level, Parties, h1, stream};

/// Bytes of further requests taken in while a response is awaited.
const PIPELINE: usize = 16 * 1024;

/// How far an exchange came.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Flow {
    /// The request has a body.
    pub(super) has_body: bool,
    /// The whole request was sent, or read when the server did not want it.
    pub(super) request_done: bool,
    /// The server takes no more of the request: what still comes is dropped.
    discard: bool,
    /// The final response head is on its way to the client.
    head_done: bool,
    /// The whole response was sent.
    pub(super) response_done: bool,
    /// Something was received from the server.
    heard: bool,
    /// A stale connection was met: the next one must be new.
    pub(crate) fresh_only: bool,
    client_armed: bool,
    server_armed: bool,
}

impl Flow {
    /// Something was received from the server.
    pub(super) fn heard(self) -> bool {
        self.heard
    }
}

/// Carries the exchange over the attached connection until both messages are complete, or until both
/// heads are when a tunnel follows.
pub(super) async fn run(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    let Some(mut attached) = x.server.take() else { return Err(Fault::Internal) };
    let reused = attached.reused;
    let shutdowns = attached.shutdowns;
    let server = attached.server.clone();
    let outcome = poll_fn(|cx| {
        if server.shutdowns() != shutdowns {
            return Poll::Ready(Err(Fault::ServerDown));
        }
        if s.is_killed() {
            return Poll::Ready(Err(Fault::Killed));
        }
        poll(s, x, &mut attached.conn, cx)
    })
    .await;
    // Told that the client has gone, the server gave up.
    let gave_up = attached.conn.shut && s.client.eof && !x.answered;
    x.server = Some(attached);
    match outcome {
        Err(Fault::ResponseAbort) if gave_up => Err(Fault::WaitAbort),
        // Nothing came back on a connection that had worked before: it had gone stale.
        Err(Fault::ResponseAbort)
            if reused && !x.flow.heard && (s.requests > 1 || may_repeat(x)) =>
        {
            Err(Fault::StaleConnection)
        }
        outcome => outcome,
    }
}

/// Whether the request can be sent once more on another connection without asking the client.
pub(super) fn may_repeat(x: &Exchange) -> bool {
    !x.flow.has_body && !x.answered && !x.flow.fresh_only && x.request.method().is_idempotent()
}

/// Puts everything back to before the request was sent.
pub(super) fn rewind(s: &Session, x: &mut Exchange) {
    x.record.retries += 1;
    if traces::STREAM.wants(stream::RETRY) {
        let event = (stream::RETRY, Level::User);
        traces::tell(&traces::STREAM, event, &Parties::server(s, x), "request sent once more");
    }
    if let (Some(back), Some(server)) = (&x.backend, &x.record.server) {
        back.backend.counters.local().retries.inc();
        server.counters.local().retries.inc();
    }
    finish::drop_server(x);
    x.held = None;
    x.to_server.reset();
    x.flow = Flow { fresh_only: true, has_body: x.flow.has_body, ..Flow::default() };
}

fn poll(
    s: &mut Session,
    x: &mut Exchange,
    server: &mut Conn,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    x.to_server.begin_poll();
    x.to_client.begin_poll();
    if traces::H1.wants(h1::RX_BODY | h1::TX_BODY) {
        return poll_traced(s, x, server, cx);
    }
    poll_both(s, x, server, cx)
}

/// [`poll_both`], and tells how much moved on connections of HTTP/1.
#[cold]
fn poll_traced(
    s: &mut Session,
    x: &mut Exchange,
    server: &mut Conn,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    let counts = |x: &Exchange| {
        let (up, down) = (&x.to_server, &x.to_client);
        [up.received, up.forwarded, down.received, down.forwarded]
    };
    let before = counts(x);
    let outcome = poll_both(s, x, server, cx);
    let after = counts(x);
    let (client, server) = (!s.client.framed, !server.framed);
    let rows = [
        (client, h1::RX_BODY, "rcvd H1 request body", false),
        (server, h1::TX_BODY, "sent H1 request body", true),
        (server, h1::RX_BODY, "rcvd H1 response body", true),
        (client, h1::TX_BODY, "sent H1 response body", false),
    ];
    for (n, (is_h1, event, what, of_server)) in rows.into_iter().enumerate() {
        let moved = after[n] - before[n];
        if !is_h1 || moved == 0 || !traces::H1.wants(event) {
            continue;
        }
        let parties = if of_server { Parties::server(s, x) } else { Parties::client(s, Some(x)) };
        traces::tell_with(&traces::H1, (event, Level::Data), &parties, what, &|t| {
            t.text.push_str(&format!(" {moved} bytes"));
        });
    }
    outcome
}

fn poll_both(
    s: &mut Session,
    x: &mut Exchange,
    server: &mut Conn,
    cx: &mut Context<'_>,
) -> Poll<Result<(), Fault>> {
    if x.flow.request_done {
        watch_client(s, x, server, cx)?;
    } else {
        poll_request(s, x, server, cx)?;
    }
    if !x.flow.response_done {
        poll_response(s, x, server, cx)?;
    }
    let tunnel_ready = x.tunnel && x.flow.head_done;
    if tunnel_ready || x.flow.request_done && x.flow.response_done {
        return Poll::Ready(Ok(()));
    }
    poll_timers(s, x, cx)
}

fn poll_request(
    s: &mut Session,
    x: &mut Exchange,
    server: &mut Conn,
    cx: &mut Context<'_>,
) -> Result<(), Fault> {
    let moved = if x.flow.discard {
        x.to_server.poll_discard(cx, &mut s.client)
    } else {
        x.to_server.poll(cx, &mut s.client, server)
    };
    match moved {
        Poll::Pending => Ok(()),
        Poll::Ready(Ok(())) => {
            x.flow.request_done = true;
            Ok(())
        }
        // The server reads no further. It may have answered before, so that is looked for first.
        Poll::Ready(Err(PumpFault::Write(_))) => {
            x.flow.discard = true;
            x.keep_server = false;
            x.to_server.drop_unsent();
            if x.flow.has_body {
                return poll_request(s, x, server, cx);
            }
            x.flow.request_done = true;
            Ok(())
        }
        Poll::Ready(Err(PumpFault::Transform(_))) => Err(Fault::Internal),
        Poll::Ready(Err(PumpFault::Framing(_))) if x.answered => Err(Fault::DataBad),
        Poll::Ready(Err(PumpFault::Framing(_))) => Err(Fault::BadRequestBody),
        Poll::Ready(Err(PumpFault::Closed | PumpFault::Read(_))) if x.answered => {
            Err(Fault::DataClientAbort)
        }
        Poll::Ready(Err(PumpFault::Closed | PumpFault::Read(_))) => Err(Fault::WaitAbort),
    }
}

/// Notices a client that leaves while it waits, and takes in requests that it pipelines.
fn watch_client(
    s: &mut Session,
    x: &mut Exchange,
    server: &mut Conn,
    cx: &mut Context<'_>,
) -> Result<(), Fault> {
    if s.client.framed {
        return match s.client.framed()?.poll_gone(cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) if x.answered => Err(Fault::DataClientAbort),
            Poll::Ready(()) => Err(Fault::WaitAbort),
        };
    }
    let aborts = x.backend.as_ref().is_some_and(|b| b.backend.options.abortonclose);
    // As in HAProxy, a client that sends nothing more is only listened to where its end matters.
    if !x.keep_client && !s.listens(aborts, cx) {
        return Ok(());
    }
    while !s.client.eof && s.client.input.len() < PIPELINE {
        let client = &mut s.client;
        let read = crate::scratch::with(|buf| {
            let read = client.poll_read(cx, &mut buf[..PIPELINE]);
            if let Poll::Ready(Ok(n)) = read {
                client.input.push(&buf[..n]);
            }
            read
        });
        match read {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(1..)) => {}
            Poll::Ready(Ok(0)) => {
                if aborts && !x.flow.response_done {
                    let _ = server.poll_shutdown(cx);
                }
            }
            Poll::Ready(Err(_)) if x.answered => return Err(Fault::DataClientAbort),
            Poll::Ready(Err(_)) => return Err(Fault::WaitAbort),
        }
    }
    Ok(())
}

fn poll_response(
    s: &mut Session,
    x: &mut Exchange,
    server: &mut Conn,
    cx: &mut Context<'_>,
) -> Result<(), Fault> {
    if x.held.is_some() {
        if !hold::poll(s, x, server, cx)? {
            return flush_interim(s, x, cx);
        }
        x.flow.head_done = true;
        x.answered = true;
    }
    if server.framed && !x.flow.head_done {
        return poll_framed_head(s, x, server, cx);
    }
    while !x.flow.head_done {
        let read = server.poll_read_process(cx, |_, data, cx| take_head(s, x, data, cx));
        match read {
            Poll::Pending => return flush_interim(s, x, cx),
            Poll::Ready(Ok(outcome)) => outcome?,
            Poll::Ready(Err(_)) => return Err(Fault::ResponseAbort),
        }
        if x.held.is_some() {
            return poll_response(s, x, server, cx);
        }
    }
    if x.tunnel {
        return flush_interim(s, x, cx);
    }
    match x.to_client.poll(cx, server, &mut s.client) {
        Poll::Pending => Ok(()),
        Poll::Ready(Ok(())) => {
            x.flow.response_done = true;
            if !x.flow.request_done && (server.eof || server.shut || !x.keep_server) {
                // Nobody is left to read the rest of the request.
                x.flow.discard = true;
                x.to_server.drop_unsent();
            }
            Ok(())
        }
        Poll::Ready(Err(fault)) => Err(body_fault(&fault)),
    }
}

/// The response heads of a server that sends them apart; then goes on with the body.
fn poll_framed_head(
    s: &mut Session,
    x: &mut Exchange,
    server: &mut Conn,
    cx: &mut Context<'_>,
) -> Result<(), Fault> {
    while !x.flow.head_done {
        let method = x.request.method();
        match server.framed()?.poll_response(cx, method, &mut x.response) {
            Poll::Pending => return flush_interim(s, x, cx),
            Poll::Ready(received) => received.map_err(|_| Fault::ResponseAbort)?,
        }
        x.flow.heard = true;
        let limits = &s.thread.env.limits;
        let headers = x.response.headers();
        x.record.response_in += headers.buffered() as u64;
        if headers.buffered() > limits.max_head || headers.len() >= limits.max_headers {
            return Err(Fault::BadResponse);
        }
        let upgraded = x.request.flags().upgrade && x.response.status() == 200;
        if upgraded && server.framed()?.carries_tunnels() {
            response::as_upgrade(x);
        }
        match response::received(s, x, Wire::Framed)? {
            response::Kind::Interim => {}
            response::Kind::Final => {
                x.flow.head_done = true;
                x.answered = true;
            }
            response::Kind::Held => break,
        }
    }
    poll_response(s, x, server, cx)
}

fn body_fault(fault: &PumpFault) -> Fault {
    match fault {
        PumpFault::Write(_) => Fault::DataClientAbort,
        PumpFault::Framing(_) => Fault::DataBad,
        PumpFault::Transform(_) => Fault::Internal,
        PumpFault::Closed | PumpFault::Read(_) => Fault::DataServerAbort,
    }
}

fn flush_interim(s: &mut Session, x: &mut Exchange, cx: &mut Context<'_>) -> Result<(), Fault> {
    match x.to_client.poll_flush(cx, &mut s.client) {
        Poll::Ready(Err(_)) => Err(Fault::DataClientAbort),
        _ => Ok(()),
    }
}

/// Reads response heads from `data`; the final one is sent together with what follows it.
fn take_head(
    s: &mut Session,
    x: &mut Exchange,
    data: &mut [u8],
    cx: &mut Context<'_>,
) -> Used<Result<(), Fault>> {
    if data.is_empty() {
        return Used { consumed: 0, value: Err(Fault::ResponseAbort) };
    }
    x.flow.heard = true;
    let relaxed = x.backend.as_ref().is_some_and(|b| b.backend.options.accept_unsafe_response);
    let limits = Limits { relaxed, ..s.thread.env.limits };
    let mut at = 0;
    loop {
        if at == data.len() {
            return Used { consumed: at, value: Ok(()) };
        }
        let parsed = parse_response(&data[at..], &limits, x.request.method(), &mut x.response);
        match parsed {
            Ok(Progress::Incomplete) => return Used { consumed: at, value: Ok(()) },
            Err(error) => {
                crate::invalid::response(s, x, &data[at..], &error);
                if traces::H1.wants(h1::STREAM_ERR) {
                    let parties = Parties::server(s, x);
                    let event = (h1::STREAM_ERR, Level::Error);
                    traces::tell_with(&traces::H1, event, &parties, "bad H1 response", &|t| {
                        t.text.push_str(&format!(" {error}"));
                    });
                }
                return Used { consumed: at, value: Err(Fault::BadResponse) };
            }
            Ok(Progress::Complete { consumed }) => {
                if relaxed && !count_glitch(s, x, &data[at..]) {
                    return Used { consumed: data.len(), value: Err(Fault::BadResponse) };
                }
                at += consumed;
                x.record.response_in += consumed as u64;
                if traces::H1.wants(h1::RX_HEADERS) {
                    let (event, about) =
                        ((h1::RX_HEADERS, Level::User), traces::response(&x.response));
                    let parties = Parties::server(s, x);
                    traces::tell_with(&traces::H1, event, &parties, "rcvd H1 response", &about);
                }
            }
        }
        match response::received(s, x, Wire::Http11) {
            Ok(response::Kind::Interim) => {}
            Ok(response::Kind::Final) => break,
            Ok(response::Kind::Held) => return Used { consumed: at, value: Ok(()) },
            Err(fault) => return Used { consumed: at, value: Err(fault) },
        }
    }
    x.flow.head_done = true;
    x.answered = true;
    // What is filtered goes through the pump.
    if x.tunnel || x.to_client.is_filtered() {
        return Used { consumed: at, value: Ok(()) };
    }
    match x.to_client.send_first(cx, &mut data[at..], &mut s.client) {
        Ok(n) => Used { consumed: at + n, value: Ok(()) },
        Err(PumpFault::Framing(_)) => {
            // Nothing of this response was sent: it can still be replaced by an error.
            x.to_client.drop_unsent();
            x.answered = false;
            Used { consumed: data.len(), value: Err(Fault::BadResponse) }
        }
        Err(fault) => Used { consumed: data.len(), value: Err(body_fault(&fault)) },
    }
}

/// Takes note of a head that only the relaxed rules took; false when there were too many on this connection.
fn count_glitch(s: &Session, x: &mut Exchange, head: &[u8]) -> bool {
    let glitches = s.thread.env.glitches[1];
    let strict = Limits { relaxed: false, ..s.thread.env.limits };
    let mut again = ResponseHead::default();
    let parsed = parse_response(head, &strict, x.request.method(), &mut again);
    let Some(link) = x.record.server_link.as_ref().filter(|_| parsed.is_err()) else { return true };
    link.glitches.set(link.glitches.get().saturating_add(1));
    x.keep_server &= !glitches.worn(link.glitches.get());
    !(glitches.exhausted(link.glitches.get()) && s.thread.kills_glitches())
}

/// Runs the timeout of the side that is waited for.
fn poll_timers(s: &mut Session, x: &mut Exchange, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
    let flow = &mut x.flow;
    let (up, down) = (&x.to_server, &x.to_client);
    let wants_request = !flow.request_done && !up.has_unsent();
    let waits_for_client = wants_request && !bandwidth::waits(up) || down.has_unsent();
    // While rules hold the response back, a timer of their own runs.
    let wants_response =
        flow.request_done && !down.has_unsent() && !flow.response_done && x.held.is_none();
    let waits_for_server = up.has_unsent() || wants_response && !bandwidth::waits(down);

    // With `option independent-streams`, what a side receives is no sign of life of what it should send.
    let front_apart = s.front.frontend.options.independent_streams;
    let back_apart = x.backend.as_ref().is_some_and(|b| b.backend.options.independent_streams);
    let client_moved = match front_apart {
        true => wants_request && up.did_read || down.has_unsent() && down.did_write,
        false => up.did_read || down.did_write,
    };
    let server_moved = match back_apart {
        true => up.has_unsent() && up.did_write || down.did_read,
        false => up.did_write || down.did_read,
    };
    if !waits_for_client {
        if std::mem::take(&mut flow.client_armed) {
            s.client_timer.disarm();
        }
    } else if !flow.client_armed || client_moved {
        flow.client_armed = true;
        let set = x.overrides.timeouts.get().client;
        s.client_timer.arm(super::in_force(set, s.front.frontend.timeouts.client));
    }
    if !waits_for_server {
        if std::mem::take(&mut flow.server_armed) {
            s.server_timer.disarm();
        }
    } else if !flow.server_armed || server_moved {
        flow.server_armed = true;
        let back = x.backend.as_ref();
        let set = x.overrides.timeouts.get().server;
        s.server_timer.arm(super::in_force(set, back.and_then(|b| b.backend.timeouts.server)));
    }

    if flow.client_armed && s.client_timer.poll_expired(cx).is_ready() {
        let fault = if x.answered { Fault::DataClientTimeout } else { Fault::WaitClientTimeout };
        return Poll::Ready(Err(fault));
    }
    if flow.server_armed && s.server_timer.poll_expired(cx).is_ready() {
        let fault = if x.answered { Fault::DataServerTimeout } else { Fault::ResponseTimeout };
        return Poll::Ready(Err(fault));
    }
    Poll::Pending
}

impl Pump {
    /// Reads the rest of the body and drops it.
    fn poll_discard(
        &mut self,
        cx: &mut Context<'_>,
        src: &mut Conn,
    ) -> Poll<Result<(), PumpFault>> {
        loop {
            if self.body_received() {
                return Poll::Ready(Ok(()));
            }
            let step = src.poll_process(cx, |_, data, _| self.discard(data));
            std::task::ready!(step).map_err(PumpFault::Read)??;
        }
    }
}
