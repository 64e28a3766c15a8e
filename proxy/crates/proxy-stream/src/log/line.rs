//! From the record of a finished stream to a line in the log.

use std::time::Duration;

use proxy_net::clock::Tick;
use proxy_rules::action::LogLevel;
use proxy_rules::logformat::{AnsweredBy, LogFacts, Origin, Termination};
use proxy_rules::sample::connection::Tls;
use proxy_rules::sample::context::{Clock, Date, StreamView};
use smallvec::SmallVec;

use super::{Log, Record};
use crate::env::Front;
use crate::session::Session;
use crate::stream::Exchange;
use crate::thread::Thread;

/// Severity of lines of connections (configuration manual, 4.2 "log"), and with `option log-separate-errors` of those that did
/// not end well.
pub(super) const INFO: u8 = 6;
pub(super) const ERR: u8 = 3;

/// Writes the line of a finished stream, unless options or rules say that there is none.
pub(crate) fn write(s: &Session, x: &Exchange) {
    let Some(log) = s.front.log.as_ref().filter(|log| log.tells_end()) else { return };
    let record = &x.record;
    let options = &s.front.frontend.options;
    let failed = record.cause != b'-' && record.cause != b'L' || record.status >= Some(500);
    let normal = !failed && record.retries == 0 && !record.redispatched;
    if record.silent || record.logged || options.dontlog_normal && normal {
        return;
    }
    let level = if options.log_separate_errors && !normal { ERR } else { INFO };
    let is_error = failed && record.server.is_none();
    line(s, x, log, if is_error { Origin::SessError } else { Origin::TxnClose }, level);
}

/// Writes the line of a step on the way, if `log-steps` asks for it.
pub(crate) fn step(s: &Session, x: &Exchange, origin: Origin) {
    if let Some(log) = s.front.log.as_ref().filter(|log| log.tells(origin)) {
        line(s, x, log, origin, INFO);
    }
}

/// As [`step`]; with `option logasap` the line of the stream is written here, once `origin` is where nothing more
/// than sizes and times can be added to it.
pub(crate) fn last_step(s: &Session, x: &mut Exchange, origin: Origin) {
    step(s, x, origin);
    let Some(log) = s.front.log.as_ref().filter(|log| log.steps.is_none()) else { return };
    let options = &s.front.frontend.options;
    if options.logasap && !options.dontlog_normal && !x.record.silent && !x.record.logged {
        x.record.logged = true;
        line(s, x, log, origin, INFO);
    }
}

fn line(s: &Session, x: &Exchange, log: &Log, origin: Origin, level: u8) {
    let severity = match x.effects.log_level {
        Some(LogLevel::Silent) => return,
        Some(LogLevel::Level(level)) => level,
        None => level,
    };
    let record = &x.record;
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
    let (request_slots, response_slots) =
        (x.captured.request.borrow(), x.captured.response.borrow());
    let request_captures: SmallVec<[_; 8]> = request_slots.iter().map(Option::as_deref).collect();
    let response_captures: SmallVec<[_; 8]> = response_slots.iter().map(Option::as_deref).collect();
    let back = record.backend.as_ref().map(|b| &*b.backend);
    let server = record.server.as_deref();
    let view = View::new(s, record, x.number, x.unique_id.as_deref(), [0; 4]);
    let so_far = view.facts();
    let facts = LogFacts {
        termination: Termination {
            request_cookie: x.persist.cookie().0,
            response_cookie: x.persist.cookie().1,
            ..so_far.termination
        },
        request_captures: &request_captures,
        response_captures: &response_captures,
        request_cookie: x.cookies[0].as_deref(),
        response_cookie: x.cookies[1].as_deref(),
        request_line: record.request_read.then_some(&request_line[..]),
        line_number: s.thread.next_line(),
        unfinished: record.logged,
        origin,
        ..so_far
    };
    let bump = s.thread.bump.borrow();
    let end = if record.end == Tick::default() { s.thread.tick() } else { record.end };
    let clock = Clock {
        now: s.thread.now(end),
        date: s.thread.date(),
        utc_offset: s.thread.env.utc_offset,
    };
    let mut cx = s.thread.context(&bump, clock);
    cx.session = Some(&s.facts);
    cx.client_socket = Some(s);
    cx.frontend = Some(&s.front.frontend);
    cx.backend = back;
    cx.server = server;
    cx.server_connection = record.server_connection.as_deref();
    cx.server_link = record.server_link.as_deref();
    cx.server_socket = match (&x.server, &record.server_end) {
        (Some(attached), _) => Some(attached),
        (None, end) => end.as_ref().map(|end| end as _),
    };
    cx.request = record.request_read.then_some(&x.request);
    cx.response = record.response_done.map(|_| &x.response);
    cx.vars = Some(&x.vars);
    cx.captured = Some(&x.captured);
    cx.last_rule = Some(&x.last_rule);
    cx.waiting_rule = Some(&x.waiting_rule);
    cx.overrides = Some(&x.overrides);
    cx.tracked = Some(&x.tracked);
    cx.facts = Some(&facts);
    log.emit(&cx, origin, severity);
    drop(bump);
    crate::scratch::give(&mut request_line);
    s.thread.bump.borrow_mut().reset();
}

/// What is known of a stream, now or at its end.
pub(crate) struct View<'a> {
    thread: &'a Thread,
    front: &'a Front,
    accepted: Date,
    tls: Option<&'a Tls>,
    handshake_ms: u32,
    record: &'a Record,
    number: u32,
    unique_id: Option<&'a [u8]>,
    first: bool,
    moved: [u64; 4],
    ended: bool,
}

impl<'a> View<'a> {
    /// A look at a stream that leaves its messages free to be changed. `moved` are the bytes that the pumps counted:
    /// from the client, to the server, from it, to the client.
    pub(crate) fn new(
        s: &'a Session,
        record: &'a Record,
        number: u32,
        unique_id: Option<&'a [u8]>,
        moved: [u64; 4],
    ) -> Self {
        let ended = record.end != Tick::default();
        Self {
            thread: &s.thread,
            front: &s.front,
            accepted: s.facts.accepted,
            tls: s.facts.connection.tls.as_deref(),
            handshake_ms: s.handshake_ms,
            record,
            number,
            unique_id,
            first: s.requests <= 1,
            // At the end the record has them.
            moved: if ended { [0; 4] } else { moved },
            ended,
        }
    }
}

impl StreamView for View<'_> {
    fn facts(&self) -> LogFacts<'_> {
        let record = self.record;
        let back = record.backend.as_ref().map(|b| &*b.backend);
        let server = record.server.as_deref();
        let tls = self.tls;
        let end = if self.ended { record.end } else { self.thread.tick() };
        let total = u32::try_from(end.since(record.start).as_millis()).unwrap_or(u32::MAX);
        let [from_client, to_server, from_server, to_client] = self.moved;
        LogFacts {
            accepted: self.accepted,
            request: before(self.thread.date(), end.since(record.first_byte)),
            handshake: Some(if self.first { self.handshake_ms } else { 0 }),
            tls: tls.is_some_and(|tls| tls.established),
            tls_version: tls.map(|tls| tls.version.as_bytes()).filter(|name| !name.is_empty()),
            tls_cipher: tls.map(|tls| tls.cipher.as_bytes()).filter(|name| !name.is_empty()),
            idle: record.idle_ms(),
            request_head: record.request_ms(),
            queue: record.queue_ms(),
            connect: record.connect_ms(),
            response_head: record.response_ms(),
            total,
            status: record.status,
            server_status: record.server_status,
            bytes_out: record.bytes_out + to_client,
            bytes_in: record.bytes_in + from_client,
            request_out: record.request_out + to_server,
            response_in: record.response_in + from_server,
            first_request: self.first,
            server_http: record.server_http,
            reused: record.reused,
            termination: Termination {
                cause: record.cause,
                phase: record.phase,
                ..Termination::NONE
            },
            process_conns: self.thread.env.registry().process.connections.get(),
            frontend_conns: self.front.frontend.sessions.get(),
            backend_conns: back.map_or(0, |b| b.sessions.get()),
            server_conns: record.server_conns,
            retries: record.retries,
            redispatched: record.redispatched,
            server_queue: record.server_queue,
            backend_queue: record.backend_queue,
            answered_by: record.service.map_or(AnsweredBy::Server, AnsweredBy::Applet),
            backend_dst: server.and_then(|s| s.addr().inet()),
            unique_id: self.unique_id,
            compressed: record.compressed,
            cache: record.cache.as_deref(),
            stream_number: self.number,
            origin: if record.server.is_some() { Origin::TxnClose } else { Origin::SessError },
            ..LogFacts::NONE
        }
    }
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
