//! Messages that break the rules of HTTP/1 are kept for operators (`show errors`).

use proxy_http::h1::ParseError;
use proxy_net::clock;
use proxy_state::Backend;
use proxy_state::invalid::Invalid;

use crate::env::date;
use crate::session::Session;
use crate::stream::Exchange;

/// Local time in seconds since 1970.
#[must_use]
pub fn local(secs: i64) -> i64 {
    secs + i64::from(clock::utc_offset(secs))
}

/// Keeps a request.
pub(crate) fn request(s: &Session, error: &ParseError) {
    keep(s, None, None, s.client.input.data(), error);
}

/// Keeps a response, as far as it came.
pub(crate) fn response(s: &Session, x: &Exchange, bytes: &[u8], error: &ParseError) {
    let Some(back) = &x.backend else { return };
    keep(s, Some(&back.backend), Some(x), bytes, error);
}

fn keep(
    s: &Session,
    back: Option<&Backend>,
    x: Option<&Exchange>,
    bytes: &[u8],
    error: &ParseError,
) {
    let room = s.thread.env.shared.bufsize;
    let front = (s.front.frontend.id, s.front.frontend.name.clone());
    let now = date();
    let server = x.and_then(|x| x.record.server.as_ref());
    s.thread.env.registry().process.invalid.keep(|event| Invalid {
        event,
        date: (local(now.secs), now.usec),
        is_request: back.is_none(),
        proxy: back.map_or_else(|| front.clone(), |back| (back.id, back.name.clone())),
        other: back.is_some().then_some(front),
        server: server.map(|server| (server.id, (*server.name).into())),
        client: s.facts.src,
        bytes: bytes[..bytes.len().min(room)].into(),
        at: error.offset,
        reason: error.reason.to_string(),
        room,
    });
}
