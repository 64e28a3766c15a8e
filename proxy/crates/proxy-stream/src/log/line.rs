//! From the record of a finished stream to a line in the log.

use std::time::Duration;

use proxy_net::clock::Tick;
use proxy_rules::action::LogLevel;
use proxy_rules::logformat::{AnsweredBy, LogFacts, Origin, Termination};
use proxy_rules::sample::context::{Clock, Date};

use crate::env;
use crate::session::Session;
use crate::stream::Exchange;

const INFO: u8 = 6;
const ERR: u8 = 3;

/// Writes the line of a finished stream, unless options or rules say that there is none.
pub(crate) fn write(s: &Session, x: &Exchange) {
    let Some(log) = &s.front.log else { return };
    let record = &x.record;
    let options = &s.front.frontend.options;
    let failed = record.cause != b'-' && record.cause != b'L' || record.status >= Some(500);
    let normal = !failed && record.retries == 0 && !record.redispatched;
    let severity = match x.effects.log_level {
        Some(LogLevel::Silent) => return,
        Some(LogLevel::Level(level)) => level,
        None if options.log_separate_errors && failed => ERR,
        None => INFO,
    };
    if record.silent || options.dontlog_normal && normal {
        return;
    }

    let now = env::date();
    let at = |tick: Tick| before(now, record.end.since(tick));
    let mut request_line = crate::scratch::take();
    if record.request_read {
        let (method, target, version) = x.request.received();
        request_line.extend_from_slice(method);
        request_line.push(b' ');
        request_line.extend_from_slice(target);
        request_line.push(b' ');
        request_line.extend_from_slice(version);
        request_line.truncate(s.thread.env.log_uri_len);
    }
    let request_captures: Vec<_> = x.captured.request.iter().map(Option::as_deref).collect();
    let response_captures: Vec<_> = x.captured.response.iter().map(Option::as_deref).collect();
    let back = record.backend.as_ref().map(|b| &*b.backend);
    let server = record.server.as_deref();
    let tls = s.facts.connection.tls.as_deref();
    let facts = LogFacts {
        accepted: s.facts.accepted,
        request: at(record.first_byte),
        handshake: Some(if s.requests <= 1 { s.handshake_ms } else { 0 }),
        tls: tls.is_some_and(|tls| tls.established),
        tls_version: tls.map(|tls| tls.version.as_bytes()).filter(|name| !name.is_empty()),
        tls_cipher: tls.map(|tls| tls.cipher.as_bytes()).filter(|name| !name.is_empty()),
        idle: record.idle_ms(),
        request_head: record.request_ms(),
        queue: record.queue_ms(),
        connect: record.connect_ms(),
        response_head: record.response_ms(),
        total: record.total_ms(),
        status: record.status,
        bytes_out: record.bytes_out,
        bytes_in: record.bytes_in,
        termination: Termination { cause: record.cause, phase: record.phase, ..Termination::NONE },
        process_conns: s.thread.env.registry().process.connections.get(),
        frontend_conns: s.front.frontend.sessions.get(),
        backend_conns: back.map_or(0, |b| b.sessions.get()),
        server_conns: record.server_conns,
        retries: record.retries,
        redispatched: record.redispatched,
        server_queue: record.server_queue,
        backend_queue: record.backend_queue,
        answered_by: record.service.map_or(AnsweredBy::Server, AnsweredBy::Applet),
        backend_dst: server.and_then(|s| s.addr().inet()),
        request_captures: &request_captures,
        response_captures: &response_captures,
        request_line: record.request_read.then_some(&request_line[..]),
        unique_id: x.unique_id.as_deref(),
        stream_number: x.number,
        line_number: s.thread.next_line(),
        origin: if record.server.is_some() { Origin::TxnClose } else { Origin::SessError },
        ..LogFacts::NONE
    };
    let format = match &log.error_format {
        Some(format) if failed && record.server.is_none() => format,
        _ => &log.format,
    };
    let bump = s.thread.bump.borrow();
    let clock =
        Clock { now: s.thread.now(record.end), date: now, utc_offset: s.thread.env.utc_offset };
    let mut cx = s.thread.context(&bump, clock);
    cx.session = Some(&s.facts);
    cx.frontend = Some(&s.front.frontend);
    cx.backend = back;
    cx.server = server;
    cx.server_connection = record.server_connection.as_deref();
    cx.request = record.request_read.then_some(&x.request);
    cx.response = record.response_done.map(|_| &x.response);
    cx.vars = Some(&x.vars);
    cx.facts = Some(&facts);
    log.sink.line(severity, format.render(&cx));
    drop(bump);
    crate::scratch::give(&mut request_line);
    s.thread.bump.borrow_mut().reset();
}

/// The calendar time `ago` before `now`.
fn before(now: Date, ago: Duration) -> Date {
    let usec = i64::from(now.usec) - i64::from(ago.subsec_micros());
    let borrow = i64::from(usec < 0);
    let secs = i64::try_from(ago.as_secs()).unwrap_or(i64::MAX);
    Date {
        secs: now.secs.saturating_sub(secs) - borrow,
        usec: u32::try_from(usec + borrow * 1_000_000).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_now() {
        let now = Date { secs: 100, usec: 200 };
        assert_eq!(before(now, Duration::ZERO), now);
        assert_eq!(before(now, Duration::from_micros(200)), Date { secs: 100, usec: 0 });
        assert_eq!(before(now, Duration::from_micros(201)), Date { secs: 99, usec: 999_999 });
        assert_eq!(before(now, Duration::from_millis(2500)), Date { secs: 97, usec: 500_200 });
    }
}
