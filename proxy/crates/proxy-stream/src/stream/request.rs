//! The request's way through the proxy: rules, backend, and the head as the server gets it.

use std::sync::Arc;

use proxy_http::h1::{request_runs, write_request};
use proxy_http::{BodyLen, Method, RequestHead, Version};
use proxy_rules::logformat::Origin;
use proxy_state::options::{AddressHeader, HttpConnection, RestrictNames};
use proxy_state::stick::data::id;

use proxy_net::clock::Tick;
use proxy_rules::action::Cause;

use super::rules::{self, Verdict};
use super::{Exchange, answer, buffer, cache, compress, fcgi, forwarded, persist, service, trace};
use crate::backend::Attached;
use crate::env::Back;
use crate::log;
use crate::mux::h1::Wire;
use crate::service::{Service, ServiceRequest};
use crate::session::Session;
use crate::term::Fault;
use crate::traces::{self, Level, Parties, h1, stream};

/// Where a request goes.
pub(super) enum Next {
    /// To a server of the chosen backend.
    Server,
    /// Nowhere: its answer is queued.
    Answered,
    /// Nowhere, and its answer is queued for later; `None` is at once.
    Tarpit(Option<Tick>),
    /// Nowhere: the connection closes without an answer.
    Closed,
    /// A cache has the answer.
    Cached,
    /// To an internal service.
    Service(Arc<dyn Service>, Box<ServiceRequest>),
}

/// Tells that a stream began.
pub(super) fn trace_begin(s: &Session, x: &Exchange) {
    if traces::STREAM.wants(stream::NEW) {
        let event = (stream::NEW, Level::State);
        traces::tell(&traces::STREAM, event, &Parties::client(s, Some(x)), "new stream");
    }
}

/// Tells which backend a stream goes to.
pub(super) fn trace_backend(s: &Session, x: &Exchange) {
    if traces::STREAM.wants(stream::BACKEND) {
        let event = (stream::BACKEND, Level::User);
        let parties = Parties::client(s, Some(x));
        traces::tell_with(&traces::STREAM, event, &parties, "backend chosen", &|t| {
            let name = x.record.backend.as_ref().map(|back| back.backend.name.clone());
            t.text.push_str(&format!(" {}", name.as_deref().unwrap_or("-")));
        });
    }
}

/// Everything before a server is chosen.
pub(super) async fn begin(s: &mut Session, x: &mut Exchange) -> Result<Next, Fault> {
    let tick = s.thread.tick();
    let now = s.thread.now(tick);
    x.record.head_done = Some(tick);
    x.record.request_read = true;
    x.number = s.thread.next_stream();
    log::step(s, x, Origin::TxnAccept);
    s.front.frontend.count_request(now, s.client.framed);
    s.thread.begin_stream(s.key, x.number, s.front.frontend.id, s.facts.src);
    trace_begin(s, x);
    s.facts.tracked.count(id::HTTP_REQ_CNT, id::HTTP_REQ_RATE, 1, now);
    s.thread.env.registry().process.counters.local().req_tot.inc();
    x.client_closes = !persists(s, x);
    x.keep_client = !x.client_closes && keeps_client(s);
    x.flow.has_body = x.request.body() != BodyLen::None;
    let front = s.front.clone();

    if let Some(uri) = &front.monitor_uri
        && x.request.target() == &uri[..]
    {
        front.frontend.counters.local().intercepted.inc();
        let fails = rules::holds(s, x, &front.monitor_fail);
        let page = rules::error_page(s, x, None, if fails { 503 } else { 200 });
        answer::queue(s, x, &page);
        (x.record.cause, x.record.phase, x.record.silent) = (b'L', b'R', true);
        return Ok(Next::Answered);
    }
    if x.flow.has_body && front.frontend.options.http_buffer_request {
        Box::pin(buffer::wait(s, x)).await?;
    }
    rules::capture(&x.captured.request, &front.request_captures, x.request.headers());
    let cookie = front.capture_cookie.as_ref();
    x.cookies[0] = rules::capture_cookie(cookie, b"cookie", x.request.headers());
    rules::unique_id(s, x);
    log::step(s, x, Origin::TxnRequest);
    trace::attach(s, x, &front.tracers, &front.frontend.name);
    let content = (!x.inspected).then_some(&front.tcp_content);
    let sets = [content, Some(&front.http_request)];
    let verdict = rules::first_verdict(s, x, None, sets).await?;
    cache::count(s, x, None);
    early_hints(s, x)?;
    if let Some(next) = apply(s, x, None, verdict) {
        return Ok(next);
    }
    if let Some(next) = service::intercept(s, x, None, front.stats.as_ref()) {
        return Ok(next);
    }
    let verdict = rules::on_request(s, x, None, &front.redirects);
    if let Some(next) = apply(s, x, None, verdict) {
        return Ok(next);
    }
    if let Some(next) = restrict_names(s, x, None) {
        return Ok(next);
    }

    let back = rules::choose_backend(s, x).ok_or(Fault::NoServer)?;
    if back.backend.name != front.frontend.name {
        // What rules set for the backend side was meant for a backend of the same section.
        x.overrides.leave_section();
    }
    back.backend.begin_session(now);
    back.backend.counters.local().req_tot.inc();
    x.record.backend = Some(back.clone());
    trace::attach(s, x, &back.tracers, &back.backend.name);
    s.thread.note(s.key, |row| row.backend = Some(back.backend.id));
    trace_backend(s, x);
    if x.flow.has_body && back.backend.options.http_buffer_request {
        Box::pin(buffer::wait(s, x)).await?;
    }
    let sets = [Some(&back.tcp_content), Some(&back.http_request)];
    let verdict = rules::first_verdict(s, x, Some(&back), sets).await?;
    cache::count(s, x, Some(&back));
    early_hints(s, x)?;
    if let Some(next) = apply(s, x, Some(&back), verdict) {
        return Ok(next);
    }
    if let Some(next) = service::intercept(s, x, Some(&back), back.stats.as_ref()) {
        return Ok(next);
    }
    let verdict = rules::on_request(s, x, Some(&back), &back.redirects);
    if let Some(next) = apply(s, x, Some(&back), verdict) {
        return Ok(next);
    }
    if let Some(next) = restrict_names(s, x, Some(&back)) {
        return Ok(next);
    }
    compress::on_request(s, x, &back);
    if cache::answers(x) && !x.flow.has_body {
        x.backend = Some(back);
        return Ok(Next::Cached);
    }
    persist::bind(s, x, &back);
    prepare(s, x, &back);
    if let Some(app) = back.fcgi.clone() {
        if x.request.body() == BodyLen::Chunked {
            Box::pin(buffer::wait(s, x)).await?;
        }
        if let Err(status) = fcgi::prepare(s, x, &back, &app) {
            let page = rules::error_page(s, x, Some(&back), status);
            if let Some(next) = apply(s, x, Some(&back), Verdict::Answer(page, Cause::Bad)) {
                return Ok(next);
            }
        }
    }
    x.backend = Some(back);
    Ok(Next::Server)
}

/// Sends ahead what `early-hint` rules gathered (RFC 8297).
fn early_hints(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    let hints = std::mem::take(&mut x.effects.early_hints);
    // A client that speaks HTTP/1.0 does not know interim responses.
    if hints.is_empty() || x.request.version() == Version::Http10 {
        return Ok(());
    }
    x.response.start(103, BodyLen::None);
    for (name, value) in &hints {
        x.response.headers_mut().append(name, value);
    }
    if s.client.framed {
        let sent = s.client.framed().and_then(|c| c.send_response(&x.response, false));
        return sent.map_err(|_| Fault::RequestAbort);
    }
    let response = &x.response;
    x.to_client.queue(|out| proxy_http::h1::write_response(response, out));
    Ok(())
}

/// Acts on what rules decided; `None` goes on.
pub(super) fn apply(
    s: &mut Session,
    x: &mut Exchange,
    back: Option<&Back>,
    verdict: Verdict,
) -> Option<Next> {
    match verdict {
        Verdict::Go => None,
        verdict => decided(s, x, back, verdict),
    }
}

fn decided(
    s: &mut Session,
    x: &mut Exchange,
    back: Option<&Back>,
    verdict: Verdict,
) -> Option<Next> {
    let count_denied = |s: &Session| {
        match back {
            Some(back) => back.backend.counters.local().denied_req.inc(),
            None => s.front.frontend.counters.local().denied_req.inc(),
        }
        s.facts.listener.counters.local().denied_req.inc();
    };
    match verdict {
        Verdict::Go
        | Verdict::Pause(_)
        | Verdict::Body { .. }
        | Verdict::Handshake
        | Verdict::Resolve(_) => None,
        Verdict::Close(close) => {
            count_denied(s);
            super::close_connection(s, close);
            (x.record.cause, x.record.phase) = (b'P', b'R');
            x.keep_client = false;
            Some(Next::Closed)
        }
        Verdict::Service(def) => Some(service::called(s, x, def)),
        Verdict::Answer(reply, cause) => {
            answer::queue(s, x, &reply);
            let letters = match cause {
                Cause::Auth | Cause::Bad | Cause::Deny => b"PR",
                Cause::Tarpit => b"PT",
                Cause::Redirect | Cause::Return => b"LR",
            };
            (x.record.cause, x.record.phase) = (letters[0], letters[1]);
            match cause {
                Cause::Deny | Cause::Tarpit => {
                    count_denied(s);
                    let now = s.thread.now(s.thread.tick());
                    for tracked in [&s.facts.tracked, &x.tracked] {
                        tracked.count(id::HTTP_ERR_CNT, id::HTTP_ERR_RATE, 1, now);
                    }
                }
                Cause::Bad => s.front.frontend.counters.local().err_req.inc(),
                Cause::Auth | Cause::Redirect | Cause::Return => {
                    s.front.frontend.counters.local().intercepted.inc();
                }
            }
            Some(match cause {
                Cause::Tarpit => Next::Tarpit(rules::tarpit_end(s, x, back, s.thread.tick())),
                _ => Next::Answered,
            })
        }
    }
}

/// `option http-restrict-req-hdr-names` of the frontend or of the backend.
fn restrict_names(s: &mut Session, x: &mut Exchange, back: Option<&Back>) -> Option<Next> {
    let options = back.map_or(&s.front.frontend.options, |back| &back.backend.options);
    let what = options.restrict_req_hdr_names?;
    let odd = |name: &[u8]| !name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-');
    match what {
        RestrictNames::Delete => {
            x.request.headers_mut().remove_if(|field| odd(field.name));
            None
        }
        RestrictNames::Reject if x.request.headers().iter().any(|field| odd(field.name)) => {
            let page = rules::error_page(s, x, back, 403);
            apply(s, x, back, Verdict::Answer(page, Cause::Deny))
        }
        RestrictNames::Reject => None,
    }
}

/// How connections are treated: the frontend's and the backend's options, the stricter one first.
pub(super) fn connection_mode(s: &Session, back: Option<&Back>) -> HttpConnection {
    let front = s.front.frontend.options.http_connection;
    let back = back.and_then(|b| b.backend.options.http_connection);
    match (front, back) {
        (Some(HttpConnection::Close), _) | (_, Some(HttpConnection::Close)) => {
            HttpConnection::Close
        }
        (Some(HttpConnection::ServerClose), _) | (_, Some(HttpConnection::ServerClose)) => {
            HttpConnection::ServerClose
        }
        _ => HttpConnection::KeepAlive,
    }
}

/// Whether the client wants its connection kept. With `option http-use-proxy-header`, requests in the form for
/// proxies say so in `Proxy-Connection`.
fn persists(s: &Session, x: &mut Exchange) -> bool {
    let for_proxy = s.front.frontend.options.http_use_proxy_header
        && !matches!(x.request.target(), [b'/', ..] | b"*")
        && x.request.headers().contains(b"proxy-connection");
    if !for_proxy {
        return x.request.is_persistent();
    }
    let headers = x.request.headers();
    let keep = match x.request.version() {
        Version::Http11 => !headers.has_token(b"proxy-connection", b"close"),
        Version::Http10 => headers.has_token(b"proxy-connection", b"keep-alive"),
    };
    x.request.headers_mut().remove(b"proxy-connection");
    keep
}

/// Whether connections of clients may be kept.
fn keeps_client(s: &Session) -> bool {
    s.front.frontend.options.http_connection != Some(HttpConnection::Close)
        && !s.thread.env.glitches[0].worn(s.facts.link.glitches())
        && !s.leaves()
}

/// Turns the received head into the one the server gets.
fn prepare(s: &Session, x: &mut Exchange, back: &Back) {
    let mode = connection_mode(s, Some(back));
    x.keep_client &= mode != HttpConnection::Close;
    x.keep_server = mode == HttpConnection::KeepAlive;
    let src = x.overrides.src.get().or(s.facts.src).map(|a| a.ip());
    let forwardfor = (&s.front.frontend.options.forwardfor, &back.backend.options.forwardfor);
    match forwardfor {
        (Some(front), Some(back)) => {
            // The backend's field counts, and the field is optional only where both say so.
            let mut rule = back.clone();
            rule.if_none &= front.if_none;
            let excepted = |(net, len)| src.is_some_and(|src| within(src, net, len));
            if !front.except.is_some_and(excepted) {
                add_address(&mut x.request, &rule, src);
            }
        }
        (Some(rule), None) | (None, Some(rule)) => add_address(&mut x.request, rule, src),
        (None, None) => {}
    }
    for options in [&s.front.frontend.options, &back.backend.options] {
        if let Some(rule) = &options.originalto {
            add_address(&mut x.request, rule, s.facts.dst.map(|a| a.ip()));
            break;
        }
    }
    forwarded::add(s, x, back);
    // The server may want to wait for a request that cannot be a copy of another (RFC 8470, 5.1).
    if s.facts.connection.is_early() && !x.request.headers().contains(b"early-data") {
        x.request.headers_mut().append(b"early-data", b"1");
    }
    x.keep_server &= !x.request.flags().close_after;
    if x.request.flags().te {
        restrict_te(&mut x.request);
    }
    let pretend = back.backend.options.http_pretend_keepalive;
    set_connection(&mut x.request, x.keep_server || pretend);
}

/// A WebSocket asked for by an extended CONNECT has no key, but HTTP/1 servers want one (RFC 6455 section 4.1).
fn complete_upgrade(head: &mut RequestHead, random: impl Fn() -> u32) {
    let headers = head.headers_mut();
    let websocket = headers.get(b"upgrade").is_some_and(|v| v.eq_ignore_ascii_case(b"websocket"));
    if !websocket || headers.contains(b"sec-websocket-key") {
        return;
    }
    let mut key = [0; 16];
    for part in key.chunks_exact_mut(4) {
        part.copy_from_slice(&random().to_ne_bytes());
    }
    let key = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, key);
    headers.append(b"sec-websocket-key", key.as_bytes());
}

/// RFC 9110 section 10.1.4: of the codings of `TE`, `trailers` alone concerns the next hop.
fn restrict_te(head: &mut RequestHead) {
    let trailers = head.headers().has_token(b"te", b"trailers");
    let headers = head.headers_mut();
    headers.remove(b"te");
    if trailers {
        headers.append(b"te", b"trailers");
    }
}

/// `option forwardfor` and `option originalto`.
fn add_address(head: &mut RequestHead, rule: &AddressHeader, addr: Option<std::net::IpAddr>) {
    let Some(addr) = addr.map(|a| a.to_canonical()) else { return };
    let name = rule.header.as_bytes();
    let excepted = rule.except.is_some_and(|(net, len)| within(addr, net, len));
    if excepted || rule.if_none && head.headers().contains(name) {
        return;
    }
    let mut room = [0; 46];
    head.headers_mut().append(name, proxy_rules::address::text(addr, &mut room));
}

/// Whether `addr` belongs to the network `net/len`.
fn within(addr: std::net::IpAddr, net: std::net::IpAddr, len: u8) -> bool {
    use std::net::IpAddr::{V4, V6};
    let (addr, net, width) = match (addr, net) {
        (V4(a), V4(n)) => (u128::from(a.to_bits()), u128::from(n.to_bits()), 32),
        (V6(a), V6(n)) => (a.to_bits(), n.to_bits(), 128),
        _ => return false,
    };
    let host_bits = 128u32.min(width - u32::from(len).min(width));
    host_bits == 128 || addr >> host_bits == net >> host_bits
}

/// Replaces what the client said about its connection by what we say about ours.
fn set_connection(head: &mut RequestHead, keep: bool) {
    if head.flags().has_connection {
        strip_connection(head.headers_mut());
    }
    match (keep, head.version()) {
        (true, Version::Http11) => {}
        (true, Version::Http10) => head.headers_mut().append(b"connection", b"keep-alive"),
        (false, _) => head.headers_mut().append(b"connection", b"close"),
    }
}

/// Removes `close` and `keep-alive` from `Connection` and keeps other options.
pub(super) fn strip_connection(headers: &mut proxy_http::HeaderList) {
    let ours = |token: &[u8]| {
        token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive")
    };
    let mut fields = headers.get_all(b"connection");
    let Some(first) = fields.next() else { return };
    if fields.next().is_none() && ours(first) {
        // Most say nothing else.
        drop(fields);
        headers.remove(b"connection");
        return;
    }
    drop(fields);
    if !headers.values(b"connection").any(ours) {
        return;
    }
    let mut left = Vec::new();
    for token in headers.values(b"connection").filter(|t| !ours(t)) {
        if !left.is_empty() {
            left.extend_from_slice(b", ");
        }
        left.extend_from_slice(token);
    }
    headers.remove(b"connection");
    if !left.is_empty() {
        headers.append(b"connection", &left);
    }
}

/// Sends the head to the server that was attached, or queues it, and the body behind it.
pub(super) fn send_head(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    s.server_timer.disarm();
    s.client_timer.disarm();
    let from = x.client_wire(&s.client);
    let options = x.backend.as_ref().map(|back| &back.backend.options);
    let Some(Attached { server, conn, .. }) = &mut x.server else { return Err(Fault::Internal) };
    server.counters.local().req_tot.inc();
    if let Some(options) = options {
        if let Some(name) = &options.send_name_header {
            x.request.headers_mut().set(name.as_bytes(), server.name.as_bytes());
        }
        if options.h1_case_adjust_server && !conn.framed {
            let spellings = &s.thread.env.spellings;
            x.request.headers_mut().respell(|name| spellings.get(name).map(|name| &**name));
        }
        if options.drop_request_trailers {
            x.to_server.drop_trailers();
        }
    }
    if !conn.framed && from == Wire::Framed && x.request.flags().upgrade {
        complete_upgrade(&mut x.request, || s.thread.random());
    }
    let to = super::server_wire(conn);
    x.to_server.set_message(x.request.body(), from, to);
    if x.flow.has_body {
        x.to_server.piped.when = super::splicing(s, x, |o| o.splice_request);
    }
    compress::send_request(s, x, to);
    let Some(Attached { conn, .. }) = &mut x.server else { return Err(Fault::Internal) };
    let request = &x.request;
    if !conn.framed {
        x.to_server.queue(|out| write_request(request, out));
        if traces::H1.wants(h1::TX_HEADERS) {
            let (event, about) = ((h1::TX_HEADERS, Level::User), traces::request(request));
            let parties = Parties::server(s, x);
            traces::tell_with(&traces::H1, event, &parties, "sent H1 request", &about);
        }
        return Ok(());
    }
    let tunnel = request.method() == Method::Connect || request.flags().upgrade;
    let end = x.to_server.ends_with_head() && !(tunnel && conn.framed()?.carries_tunnels());
    conn.framed()?.send_request(request, end)?;
    x.to_server.forwarded += request_runs(request).map(|run| run.len() as u64).sum::<u64>();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_http::h1::{Limits, parse_request};

    fn head(fields: &str, version: &str) -> RequestHead {
        let mut head = RequestHead::default();
        let text = format!("GET / {version}\r\n{fields}\r\n");
        parse_request(text.as_bytes(), &Limits::default(), &mut head).unwrap();
        head
    }

    #[track_caller]
    fn check(head: &RequestHead, expected: &str) {
        let mut out = Vec::new();
        write_request(head, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.split_once("\r\n").unwrap().1, format!("{expected}\r\n"));
    }

    #[test]
    fn connection_field() {
        for (version, keep, before, after) in [
            ("HTTP/1.1", true, "", ""),
            ("HTTP/1.1", false, "", "connection: close\r\n"),
            ("HTTP/1.0", true, "", "connection: keep-alive\r\n"),
            ("HTTP/1.1", true, "Connection: close\r\nA: b\r\n", "A: b\r\n"),
            ("HTTP/1.1", true, "Connection: Keep-Alive, x, CLOSE\r\n", "connection: x\r\n"),
            ("HTTP/1.1", true, "Connection: Upgrade\r\n", "Connection: Upgrade\r\n"),
        ] {
            let mut head = head(before, version);
            set_connection(&mut head, keep);
            check(&head, after);
        }
    }

    #[test]
    fn forwarded_addresses() {
        let rule = |except: Option<(&str, u8)>, if_none| AddressHeader {
            header: "X-Forwarded-For".into(),
            except: except.map(|(ip, len)| (ip.parse().unwrap(), len)),
            if_none,
        };
        for (rule, addr, before, after) in [
            (rule(None, false), "10.0.0.1", "", "X-Forwarded-For: 10.0.0.1\r\n"),
            (rule(None, false), "::ffff:10.0.0.1", "", "X-Forwarded-For: 10.0.0.1\r\n"),
            (rule(None, false), "2001:db8::1", "", "X-Forwarded-For: 2001:db8::1\r\n"),
            (rule(Some(("10.0.0.0", 8)), false), "10.9.9.9", "", ""),
            (rule(Some(("10.0.0.0", 8)), false), "11.9.9.9", "", "X-Forwarded-For: 11.9.9.9\r\n"),
            (rule(Some(("0.0.0.0", 0)), false), "11.9.9.9", "", ""),
            (rule(Some(("::", 0)), false), "11.9.9.9", "", "X-Forwarded-For: 11.9.9.9\r\n"),
            (rule(None, true), "10.0.0.1", "x-forwarded-for: 1\r\n", "x-forwarded-for: 1\r\n"),
        ] {
            let mut head = head(before, "HTTP/1.1");
            add_address(&mut head, &rule, Some(addr.parse().unwrap()));
            check(&head, after);
        }
    }
}
