//! The response head's way through the proxy: what the client gets to see of it.

use std::sync::Arc;

use aws_lc_rs::digest;
use proxy_http::h1::{response_runs, write_response};
use proxy_http::{BodyLen, Method, Version};
use proxy_rules::logformat::Origin;

use proxy_state::Now;
use proxy_state::stick::data::id;

use proxy_rules::action::Cause;

use super::hold::{Held, Paused, Resumed};
use super::rules::{self, Verdict};
use super::{Exchange, cache, compress, cookie, request, retry, trace};
use crate::env::Back;
use crate::log;
use crate::mux::h1::Wire;
use crate::session::Session;
use crate::term::Fault;
use crate::traces::{self, Level, Parties, h1};

/// What a response head is.
pub(super) enum Kind {
    /// 1xx: another one follows.
    Interim,
    /// The last one of this exchange.
    Final,
    /// The last one, which rules hold back ([`super::hold`]).
    Held,
}

/// Takes the head that was just parsed and queues it for the client.
/// `from` says how the server sent it.
pub(super) fn received(s: &mut Session, x: &mut Exchange, from: Wire) -> Result<Kind, Fault> {
    match x.response.status() {
        101 if !x.request.flags().upgrade => Err(Fault::BadResponse),
        101 if from == Wire::Http11 && !accepts_websocket(x, s.client.framed) => {
            Err(Fault::BadResponse)
        }
        101 => {
            x.tunnel = true;
            forward(s, x, from)
        }
        100..=199 if s.client.framed => {
            s.client.framed()?.send_response(&x.response, false)?;
            Ok(Kind::Interim)
        }
        100..=199 => {
            // A client that speaks HTTP/1.0 does not know interim responses.
            if x.request.version() == Version::Http11 {
                let response = &x.response;
                x.to_client.queue(|out| write_response(response, out));
            }
            Ok(Kind::Interim)
        }
        200..=299 if x.request.method() == Method::Connect => {
            x.tunnel = true;
            forward(s, x, from)
        }
        _ => forward(s, x, from),
    }
}

/// Rules that see every response, those of the proxy itself included. They end nothing.
pub(super) fn after_rules(s: &Session, x: &mut Exchange) {
    let of_back = x.record.backend.as_ref().is_some_and(|b| !b.http_after_response.is_empty());
    if !of_back && s.front.http_after_response.is_empty() {
        return;
    }
    let back = x.record.backend.clone();
    if let Some(back) = &back {
        rules::on_response(s, x, Some(back), &back.http_after_response);
    }
    rules::on_response(s, x, back.as_deref(), &s.front.http_after_response);
}

/// The response rules from where they are to go on; an answer of theirs takes the response's place.
fn response_rules(s: &Session, x: &mut Exchange, from: &Resumed) -> Result<(), Paused> {
    let front = &s.front;
    let back = x.backend.clone();
    let sets = [
        back.as_ref().map(|b| rules::tcp_response(front, b).0),
        back.as_ref().map(|b| &b.http_response),
        Some(&front.http_response),
    ];
    for (set, rules) in sets.into_iter().enumerate().skip(from.set) {
        let Some(rules) = rules.filter(|rules| !rules.is_empty()) else { continue };
        let mut at = if set == from.set { from.at } else { 0 };
        match rules::on_response_from(s, x, back.as_deref(), rules, &mut at, from.data.as_deref()) {
            Verdict::Go | Verdict::Handshake | Verdict::Resolve(_) | Verdict::Service(_) => {}
            Verdict::Pause(delay) => return Err(Paused::Held(Held::new(delay, None, set, at))),
            Verdict::Body { limit, at_least } => {
                return Err(Paused::Held(Held::new(limit, Some(at_least), set, at)));
            }
            Verdict::Close(close) => {
                super::close_connection(s, close);
                return Err(Paused::Fault(Fault::ResponseDenied));
            }
            Verdict::Answer(reply, cause) => {
                let denied = cause == Cause::Deny;
                if denied {
                    s.front.frontend.counters.local().denied_resp.inc();
                    back.as_ref().inspect(|b| b.backend.counters.local().denied_resp.inc());
                }
                x.replacement = Some(reply);
                let fault = if denied { Fault::ResponseDenied } else { Fault::ResponseReplaced };
                return Err(Paused::Fault(fault));
            }
        }
    }
    Ok(())
}

/// `option checkcache`: a cookie on a response that caches may keep blocks it.
fn check_cache(s: &Session, x: &mut Exchange) -> Result<(), Fault> {
    const CACHEABLE: [u16; 11] = [200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501];
    let checks = |back: &&Arc<Back>| back.backend.options.checkcache;
    let Some(back) = x.backend.as_ref().filter(checks).cloned() else { return Ok(()) };
    let headers = x.response.headers();
    let control = |token: &[u8]| headers.has_token(b"cache-control", token);
    let forbids = [&b"private"[..], b"no-store", b"max-age=0", b"s-maxage=0", b"no-cache"];
    let safe_method =
        matches!(x.request.method(), Method::Get | Method::Head | Method::Options | Method::Trace);
    let cacheable = control(b"public") || CACHEABLE.contains(&x.response.status()) && safe_method;
    let excepts = |token: &[u8]| {
        let (name, sign) = (b"no-cache=\"set-cookie", token.get(21));
        token.len() > 21
            && token[..21].eq_ignore_ascii_case(name)
            && matches!(sign, Some(b'"' | b','))
    };
    let cookie_excepted = headers.values(b"cache-control").any(excepts);
    if !headers.contains(b"set-cookie")
        || !cacheable
        || headers.has_token(b"pragma", b"no-cache")
        || forbids.into_iter().any(control)
        || cookie_excepted
    {
        return Ok(());
    }
    s.front.frontend.counters.local().denied_resp.inc();
    back.backend.counters.local().denied_resp.inc();
    x.replacement = Some(rules::error_page(s, x, Some(&back), 502));
    Err(Fault::ResponseDenied)
}

/// What a server answers to the key of a WebSocket (RFC 6455 section 4.2.2).
fn websocket_accept(key: &[u8]) -> Vec<u8> {
    const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let mut digest = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    digest.update(key);
    digest.update(GUID);
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, digest.finish()).into_bytes()
}

/// Whether a switch to WebSocket comes with the answer to the key, which is `ours` where the client has none
/// (RFC 8441 section 5).
fn accepts_websocket(x: &Exchange, ours: bool) -> bool {
    if !x.request.headers().has_token(b"upgrade", b"websocket") {
        return true;
    }
    let Some(accept) = x.response.headers().get(b"sec-websocket-accept") else { return false };
    // A client that has its own key looks at the answer to it itself.
    match ours {
        true => x
            .request
            .headers()
            .get(b"sec-websocket-key")
            .is_some_and(|key| accept == websocket_accept(key)),
        false => !accept.is_empty(),
    }
}

/// Sends the response head, or queues it, once the body behind it is known.
pub(super) fn send_head(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    if s.front.frontend.options.h1_case_adjust_client && !s.client.framed {
        let spellings = &s.thread.env.spellings;
        x.response.headers_mut().respell(|name| spellings.get(name).map(|name| &**name));
    }
    let response = &x.response;
    if !s.client.framed {
        x.to_client.queue(|out| write_response(response, out));
        if traces::H1.wants(h1::TX_HEADERS) {
            let (event, about) = ((h1::TX_HEADERS, Level::User), traces::response(response));
            let parties = Parties::client(s, Some(x));
            traces::tell_with(&traces::H1, event, &parties, "sent H1 response", &about);
        }
        return Ok(());
    }
    let end = x.to_client.ends_with_head() && !x.tunnel;
    let sent = s.client.framed().and_then(|client| client.send_response(response, end));
    sent.map_err(|_| Fault::DataClientAbort)?;
    x.to_client.forwarded += response_runs(response).map(|run| run.len() as u64).sum::<u64>();
    Ok(())
}

/// Makes the success of an extended CONNECT (RFC 8441) the answer to the upgrade that was asked for.
pub(super) fn as_upgrade(x: &mut Exchange) {
    x.response.set_status(101, None);
    let protocol = x.request.headers().get(b"upgrade").unwrap_or_default();
    let headers = x.response.headers_mut();
    headers.append(b"connection", b"upgrade");
    headers.append(b"upgrade", protocol);
    // What the server does not say on a stream, the client's side of the upgrade needs.
    if let Some(key) = x.request.headers().get(b"sec-websocket-key") {
        headers.append(b"sec-websocket-accept", &websocket_accept(key));
    }
}

/// Counts errors and failures that a server answers with in what is tracked (configuration manual, 3.2 "http-err-codes").
fn count_status(s: &Session, x: &Exchange, now: Now) {
    let counters = [(id::HTTP_ERR_CNT, id::HTTP_ERR_RATE), (id::HTTP_FAIL_CNT, id::HTTP_FAIL_RATE)];
    for (codes, (counter, rate)) in s.thread.env.codes.iter().zip(counters) {
        if codes.contains(x.response.status()) {
            s.facts.tracked.count(counter, rate, 1, now);
            x.tracked.count(counter, rate, 1, now);
        }
    }
}

/// Runs what looks at responses and sends the head, or queues it.
pub(super) fn forward(s: &mut Session, x: &mut Exchange, from: Wire) -> Result<Kind, Fault> {
    if retry::wants_other(x, x.response.status()) {
        return Err(Fault::RetriedStatus);
    }
    let tick = s.thread.tick();
    x.record.response_done = Some(tick);
    count_status(s, x, s.thread.now(tick));
    x.record.status = Some(x.response.status());
    x.record.server_status = x.record.status;
    let cookie = s.front.capture_cookie.as_ref();
    x.cookies[1] = rules::capture_cookie(cookie, b"set-cookie", x.response.headers());
    rules::capture(&x.captured.response, &s.front.response_captures, x.response.headers());
    trace::response(s, x);
    go_on(s, x, from, &Resumed::default())
}

/// Runs the response rules, the rest of them where they held the head back, and sends it, or queues it.
pub(super) fn go_on(
    s: &mut Session,
    x: &mut Exchange,
    from: Wire,
    rules: &Resumed,
) -> Result<Kind, Fault> {
    match response_rules(s, x, rules) {
        Ok(()) => {}
        Err(Paused::Fault(fault)) => return Err(fault),
        Err(Paused::Held(mut held)) => {
            held.from = from;
            x.held = Some(held);
            return Ok(Kind::Held);
        }
    }
    check_cache(s, x)?;
    let with_cookie = |back: &&Arc<Back>| back.backend.cookie.is_some();
    let back = x.backend.as_ref().filter(with_cookie).cloned();
    if let Some((back, server)) = back.zip(x.record.server.clone()) {
        cookie::on_response(x, &back, &server, s.thread.date().secs);
    }
    super::store_server(s, x, true);
    after_rules(s, x);
    x.record.status = Some(x.response.status());
    log::last_step(s, x, Origin::TxnResponse);
    let old_client = x.request.version() == Version::Http10;
    let body = x.response.body();
    x.keep_server &= x.response.is_persistent();
    x.keep_client &= (body != BodyLen::UntilClose) && !s.leaves();
    // What the head says in HTTP/1.0 holds for the connection to the client, too.
    let old_response = x.response.version() == Version::Http10;
    x.keep_client &= !(old_response && body == BodyLen::Chunked);

    let headers = x.response.headers_mut();
    if body == BodyLen::Chunked && old_client {
        // Chunks mean nothing to this client: it gets the payload, ended by the close.
        headers.remove(b"transfer-encoding");
        x.keep_client = false;
    }
    if x.record.status == Some(204) {
        headers.remove(b"content-length");
        headers.remove(b"transfer-encoding");
    }
    if x.tunnel {
        x.keep_server = false;
        x.keep_client = false;
        headers.remove(b"content-length");
        headers.remove(b"transfer-encoding");
    } else {
        request::strip_connection(headers);
        match x.keep_client {
            true if old_client || old_response => headers.append(b"connection", b"keep-alive"),
            false if !old_response => headers.append(b"connection", b"close"),
            _ => {}
        }
    }
    let body = if x.tunnel { BodyLen::None } else { body };
    if s.front.frontend.options.drop_response_trailers {
        x.to_client.drop_trailers();
    }
    let to = x.client_wire(&s.client);
    x.to_client.set_message(body, from, to);
    x.to_client.piped.when = super::splicing(s, x, |o| o.splice_response);
    cache::keep(s, x, to);
    compress::on_response(s, x, to);
    send_head(s, x)?;
    Ok(Kind::Final)
}
