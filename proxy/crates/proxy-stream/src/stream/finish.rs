//! The end of a stream: connections handed back or closed, counters, record.

use std::sync::Arc;

use proxy_rules::sample::context::Socket;
use proxy_state::Server;
use proxy_state::counters::{MuxCounters, Time, Times};
use proxy_state::options::{HttpReuse, Proto};
use proxy_types::Mode;

use super::{After, Exchange, compress, observe};
use crate::backend::{Attached, Idle};
use crate::log;
use crate::session::{LastServer, Session};
use crate::term::{Blame, Fault};
use crate::traces::{self, Level, Parties, h1, stream};

/// What becomes of the client's connection.
pub(super) fn after(s: &Session, x: &Exchange, fault: Option<Fault>) -> After {
    let complete =
        x.flow.request_done || !x.flow.has_body && x.request.body() == proxy_http::BodyLen::None;
    match fault {
        _ if s.client.eof && s.client.input.is_empty() => After::Close,
        None | Some(_) if x.keep_client && complete => After::NextRequest,
        Some(_) if !x.answered => After::Close,
        None if complete && is_last(s, x) => After::Close,
        _ => After::Drain,
    }
}

/// Whether nothing stands in the way of closing at once: the client said that it sends nothing more, and sent nothing
/// more so far. A close with something unread would be a reset, which may overtake the answer.
fn is_last(s: &Session, x: &Exchange) -> bool {
    x.client_closes
        && s.client.input.is_empty()
        && s.client.io.socket().is_some_and(proxy_net::Stream::is_drained)
}

/// Keeps the server's connection for later requests, or closes it.
pub(super) fn release_server(s: &mut Session, x: &mut Exchange) {
    let Some(mut attached) = x.server.take() else { return };
    let server = attached.server.clone();
    let challenged = matches!(x.record.status, Some(401 | 407));
    if challenged || x.backend.as_ref().is_some_and(|b| b.backend.options.prefer_last_server) {
        s.last_server = Some(Box::new(LastServer { server: Arc::downgrade(&server), challenged }));
    } else {
        s.last_server = None;
    }
    x.record.server_end = Some(attached.stream());
    end_server(x, &server);
    if attached.shared.is_some() {
        drop(attached);
        s.thread.pool.borrow_mut().settle(&server);
        return;
    }
    let reuse = x.backend.as_ref().map_or(HttpReuse::Safe, |b| b.backend.options.http_reuse);
    let uses = attached.uses + 1;
    let worn = server.spec.max_reuse.is_some_and(|max| uses > max);
    if server.spec.proto == Some(Proto::Fcgi) {
        let Some(carrier) = attached.conn.io.carrier() else { return };
        attached.conn = carrier;
    }
    let keep = x.keep_server
        && x.flow.request_done
        && x.flow.response_done
        && !worn
        && !attached.conn.eof
        && !attached.conn.shut
        && attached.conn.input.is_empty()
        && attached.shutdowns == server.shutdowns()
        && !s.thread.stop.is_draining();
    if !keep {
        attached.conn.reset_on_close();
        return;
    }
    attached.proven |= attached.reused;
    attached.uses = uses;
    if reuse == HttpReuse::Never {
        s.own.get_or_insert_default().put(attached, s.front.session_connections);
        return;
    }
    let Attached { conn, addr, route, proven, in_use, .. } = attached;
    // It is idle from here on.
    drop(in_use);
    let idle = Idle { conn, addr, route, proven, uses };
    s.thread.pool.borrow_mut().put(&server, idle, s.thread.tick());
}

/// Closes the server's connection.
pub(super) fn drop_server(x: &mut Exchange) {
    if let Some(attached) = x.server.take() {
        x.record.server_end = Some(attached.stream());
        end_server(x, &attached.server);
        attached.conn.reset_on_close();
    }
}

/// Gives the server's slot back.
fn end_server(x: &Exchange, server: &Arc<Server>) {
    server.end_session();
    server.used_connections.dec();
    if let Some(mux) = server_h1(x) {
        mux.h1_stream_end.inc();
    }
}

/// Where a request that goes to its server over HTTP/1 is counted.
pub(crate) fn server_h1(x: &Exchange) -> Option<&MuxCounters> {
    let back = x.backend.as_ref().filter(|_| x.record.server_http == Some(1))?;
    (back.backend.mode == Mode::Http).then(|| back.backend.mux.local())
}

/// Counts a fault.
pub(super) fn blame(s: &Session, x: &Exchange, blame: Blame) {
    let front = s.front.frontend.counters.local();
    let back = x.record.backend.as_ref().map(|b| b.backend.counters.local());
    if let Some(server) = &x.record.server {
        observe::blamed(s, server, blame);
    }
    let server = x.record.server.as_ref().map(|s| s.counters.local());
    match blame {
        Blame::Nobody => {}
        Blame::Request => {
            let ignored = s.front.frontend.options.http_ignore_probes && x.record.bytes_in == 0;
            if !ignored {
                front.err_req.inc();
            }
        }
        Blame::Connect => {
            back.inspect(|c| c.err_conn.inc());
            server.inspect(|c| c.err_conn.inc());
        }
        // Aborts count as errors, too (management manual, 9.1 "eresp").
        Blame::Response | Blame::ResponseAbort | Blame::ServerAbort => {
            back.inspect(|c| c.err_resp.inc());
            server.inspect(|c| c.err_resp.inc());
        }
        Blame::ClientAbort => {
            front.cli_aborts.inc();
            back.inspect(|c| c.cli_aborts.inc());
            server.inspect(|c| c.cli_aborts.inc());
        }
        Blame::Internal => {
            front.internal_errors.inc();
            back.inspect(|c| c.internal_errors.inc());
            server.inspect(|c| c.internal_errors.inc());
        }
    }
    if matches!(blame, Blame::ServerAbort | Blame::ResponseAbort) {
        front.srv_aborts.inc();
        back.inspect(|c| c.srv_aborts.inc());
        server.inspect(|c| c.srv_aborts.inc());
    }
}

fn trace_end(s: &Session, x: &Exchange) {
    let parties = || Parties::client(s, Some(x));
    if !s.client.framed && s.front.frontend.mode == Mode::Http && traces::H1.wants(h1::STREAM_END) {
        let event = (h1::STREAM_END, Level::State);
        traces::tell(&traces::H1, event, &parties(), "H1 stream terminated");
    }
    if traces::STREAM.wants(stream::END) {
        let event = (stream::END, Level::State);
        traces::tell_with(&traces::STREAM, event, &parties(), "stream terminated", &|t| {
            let state = [x.record.cause, x.record.phase];
            t.text.push_str(&format!(" state={}", state.escape_ascii()));
            if let Some(status) = x.record.status {
                t.text.push_str(&format!(" status={status}"));
            }
        });
    }
}

/// Tells that a stream met a fault.
pub(super) fn trace_fault(s: &Session, x: &Exchange, fault: Fault) {
    if traces::STREAM.wants(stream::ERR) {
        let event = (stream::ERR, Level::Error);
        let parties = Parties::client(s, Some(x));
        traces::tell_with(&traces::STREAM, event, &parties, "stream failed", &|t| {
            t.text.push_str(&format!(": {fault:?}"));
        });
    }
}

/// Adds up what the stream did and hands its record to the log.
pub(super) fn finish(s: &mut Session, x: &mut Exchange) {
    drop_server(x);
    super::trace::end(s, x);
    trace_end(s, x);
    let tick = s.thread.tick();
    let now = s.thread.now(tick);
    let record = &mut x.record;
    record.end = tick;
    record.server_conns = record.server.as_ref().map_or(0, |server| server.sessions.get());
    record.bytes_in += x.to_server.received;
    record.request_out = x.to_server.forwarded;
    record.bytes_out = x.to_client.forwarded;
    record.response_in += x.to_client.received;
    // What the server said unasked does not count.
    record.silent |= s.front.frontend.options.dontlognull && record.bytes_in == 0;

    for tracked in [&s.facts.tracked, &x.tracked] {
        tracked.count_bytes(record.bytes_in, record.bytes_out, now);
    }
    x.tracked.finish(now);
    let front = s.front.frontend.counters.local();
    front.bytes_in.add(record.bytes_in);
    front.bytes_out.add(record.bytes_out);
    front.req_bytes_out.add(record.request_out);
    front.res_bytes_in.add(record.response_in);
    let listener = s.facts.listener.counters.local();
    listener.bytes_in.add(record.bytes_in);
    listener.bytes_out.add(record.bytes_out);
    listener.req_bytes_out.add(record.request_out);
    listener.res_bytes_in.add(record.response_in);
    if let Some(mux) = server_h1(x) {
        mux.h1_in.add(x.record.response_in);
        mux.h1_out.add(x.record.request_out);
    }
    let record = &mut x.record;
    let (spliced_up, spliced_down) = (x.to_server.piped.bytes, x.to_client.piped.bytes);
    if spliced_up + spliced_down > 0 {
        front.spliced_in.add(spliced_up);
        front.spliced_out.add(spliced_down);
        if let Some(back) = &record.backend {
            back.backend.counters.local().spliced_in.add(spliced_down);
            back.backend.counters.local().spliced_out.add(spliced_up);
        }
        let process = &s.thread.env.registry().process;
        process.counters.local().spliced_bytes_out.add(spliced_up + spliced_down);
    }
    s.thread.env.registry().process.count_out(now, record.bytes_out + record.request_out);
    if let Some(status) = record.status {
        front.count_status(status);
    }
    if let Some(back) = &record.backend {
        let counters = back.backend.counters.local();
        counters.bytes_in.add(record.bytes_in);
        counters.bytes_out.add(record.bytes_out);
        counters.req_bytes_out.add(record.request_out);
        counters.res_bytes_in.add(record.response_in);
        if let Some(status) = record.status {
            counters.count_status(status);
        }
        back.backend.sessions.dec();
        add_times(&back.backend.times, record);
    }
    if let Some(server) = &record.server {
        let counters = server.counters.local();
        counters.bytes_in.add(record.bytes_in);
        counters.bytes_out.add(record.bytes_out);
        counters.req_bytes_out.add(record.request_out);
        counters.res_bytes_in.add(record.response_in);
        if let Some(status) = record.status.filter(|_| record.connected.is_some()) {
            counters.count_status(status);
        }
        add_times(&server.times, record);
    }
    compress::finish(s, x);
    observe::end(s, x);
    log::write(s, x);
}

fn add_times(times: &Times, record: &log::Record) {
    let ms = |value: Option<u32>| u64::from(value.unwrap_or(0));
    times.add([
        (Time::Queue, ms(record.queue_ms())),
        (Time::Connect, ms(record.connect_ms())),
        (Time::Response, ms(record.response_ms())),
        (Time::Total, u64::from(record.active_ms())),
    ]);
}
