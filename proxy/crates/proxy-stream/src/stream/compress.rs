//! `compression`: which messages are compressed, and what their heads say then (configuration manual, 4.2 and 9.2).

use proxy_http::{BodyLen, HeaderList, Version, value};
use proxy_state::options::{Compressing, Compression};

use super::Exchange;
use crate::compress::{Compressed, Compressor, coding, name};
use crate::env::Back;
use crate::mux::h1::Wire;
use crate::session::Session;

/// What was found out about one exchange.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct State {
    /// What the client accepts of that which is offered.
    accepted: Option<Compressing>,
    /// The request is compressed with.
    request: Option<Compressing>,
    /// The head of the request says so already: it is sent again.
    marked: bool,
    /// The response would be, but for the limits of the process.
    bypassed: bool,
}

/// The `compression` lines of both sides of a request.
#[derive(Clone, Copy)]
struct Sides<'a>([Option<&'a Compression>; 2]);

impl<'a> Sides<'a> {
    fn new(s: &'a Session, back: Option<&'a Back>) -> Option<Self> {
        let back = back.and_then(|back| back.backend.options.compression.as_deref());
        let front = s.front.frontend.options.compression.as_deref();
        (back.is_some() || front.is_some()).then_some(Self([back, front]))
    }

    /// The first list that is not empty, the backend's before the frontend's.
    fn list<T>(self, of: impl Fn(&'a Compression) -> &'a [T]) -> &'a [T] {
        self.0.into_iter().flatten().map(of).find(|list| !list.is_empty()).unwrap_or_default()
    }

    /// The first value that is set.
    fn value(self, of: impl Fn(&Compression) -> u64) -> u64 {
        self.0.into_iter().flatten().map(of).find(|value| *value > 0).unwrap_or(0)
    }

    fn any(self, of: impl Fn(&Compression) -> bool) -> bool {
        self.0.into_iter().flatten().any(of)
    }
}

/// Looks at the request once its rules have run: what does the client accept, is its body to be compressed.
pub(super) fn on_request(s: &Session, x: &mut Exchange, back: &Back) {
    let Some(sides) = Sides::new(s, Some(back)) else { return };
    if sides.any(|c| c.on_responses) {
        let offered = sides.list(|c| &c.response);
        let headers = x.request.headers();
        if headers.get(b"user-agent").is_none_or(understands) {
            x.compress.accepted = accepted(headers, offered);
            let coded = x.compress.accepted.is_some_and(|a| a != Compressing::Identity);
            if coded && sides.any(|c| c.offload) {
                x.request.headers_mut().remove(b"accept-encoding");
            }
        }
    }
    if sides.any(|c| c.on_requests) {
        let with = sides.0.into_iter().flatten().find_map(|c| c.request);
        let headers = x.request.headers();
        let fits = x.request.version() == Version::Http11
            && long_enough(x.request.body(), sides.value(|c| c.request_min))
            && !headers.contains(b"content-encoding")
            && !headers.has_token(b"cache-control", b"no-transform")
            && has_type(headers, sides.list(|c| &c.request_types));
        x.compress.request = with.filter(|_| fits);
    }
}

/// Old browsers that say they accept what they cannot read (configuration manual, 4.2 "compression algo").
fn understands(agent: &[u8]) -> bool {
    if !agent.starts_with(b"Mozilla/4") {
        return true;
    }
    let Some(at) = memchr::memmem::find(agent, b"MSIE ") else { return false };
    let digits = agent[at + 5..].iter().take_while(|b| b.is_ascii_digit());
    match digits.fold(0u32, |n, b| n.saturating_mul(10).saturating_add(u32::from(b - b'0'))) {
        0..=5 => false,
        6 => memchr::memmem::find(agent, b"SV1").is_some(),
        _ => true,
    }
}

/// The best of what the client accepts and is offered: the highest weight, and the first of those that share it.
fn accepted(headers: &HeaderList, offered: &[Compressing]) -> Option<Compressing> {
    let mut best = (0, None);
    for element in headers.values(b"accept-encoding") {
        let mut parts = element.split(|b| *b == b';').map(value::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(weight).unwrap_or(1000);
        if weight <= best.0 {
            continue;
        }
        let fits = |offer: &&Compressing| {
            name == b"*" || name.eq_ignore_ascii_case(coding(**offer).as_bytes())
        };
        if let Some(offer) = offered.iter().find(fits) {
            best = (weight, Some(*offer));
        }
    }
    // It needs nobody's consent.
    best.1.or_else(|| offered.contains(&Compressing::Identity).then_some(Compressing::Identity))
}

/// `q=0.750` in thousandths (RFC 9110 section 12.4.2); what cannot be read weighs nothing.
fn weight(parameter: &[u8]) -> Option<u32> {
    let [b'q' | b'Q', b'=', text @ ..] = parameter else { return None };
    let (whole, part) = match text.iter().position(|b| *b == b'.') {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    if part.len() > 3 || !part.iter().all(u8::is_ascii_digit) {
        return Some(0);
    }
    let digits = part.iter().chain([&b'0'; 3]).take(3);
    let part = digits.fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    match whole {
        b"0" => Some(part),
        b"1" => Some(1000),
        _ => Some(0),
    }
}

/// A body of unknown length counts as long enough.
fn long_enough(body: BodyLen, min: u64) -> bool {
    match body {
        BodyLen::None | BodyLen::Length(0) | BodyLen::UntilClose => false,
        BodyLen::Length(n) => n >= min,
        BodyLen::Chunked => true,
    }
}

fn has_type(headers: &HeaderList, types: &[Box<[u8]>]) -> bool {
    let Some(said) = headers.get(b"content-type") else { return types.is_empty() };
    types.is_empty() || types.iter().any(|wanted| begins_with(said, wanted))
}

fn begins_with(text: &[u8], start: &[u8]) -> bool {
    text.len() >= start.len() && text[..start.len()].eq_ignore_ascii_case(start)
}

/// Compresses the request's body when that was found to be wanted: the head changes, and the pump gets the compressor.
pub(super) fn send_request(s: &Session, x: &mut Exchange, to: Wire) {
    let marked = x.compress.marked;
    let Some(with) = x.compress.request.filter(|_| marked || !is_limited(s)) else { return };
    let Some(compressor) = Compressor::new(&s.thread.env, with, marked) else { return };
    if !std::mem::replace(&mut x.compress.marked, true) {
        let chunked = x.request.body() == BodyLen::Chunked;
        mark(x.request.headers_mut(), with, chunked);
    }
    x.to_server.set_transform(Box::new(compressor), to);
}

/// Compresses the response when client, response and limits let it: as [`send_request`]. The pump knows the message.
pub(super) fn on_response(s: &Session, x: &mut Exchange, to: Wire) {
    let Some(with) = x.compress.accepted else { return };
    let Some(sides) = Sides::new(s, x.backend.as_deref()) else { return };
    let headers = x.response.headers();
    let fits = !x.tunnel
        && x.request.version() == Version::Http11
        && x.response.version() == Version::Http11
        && matches!(x.response.status(), 200..=203)
        && long_enough(x.response.body(), sides.value(|c| c.response_min))
        && !headers.contains(b"content-encoding")
        && !headers.has_token(b"cache-control", b"no-transform")
        && has_type(headers, sides.list(|c| &c.response_types))
        && !headers.get(b"content-type").is_some_and(|said| begins_with(said, b"multipart"));
    if !fits {
        return;
    }
    let Ok(tag) = weakened(headers) else { return };
    let compressor =
        (!is_limited(s)).then(|| Compressor::new(&s.thread.env, with, false)).flatten();
    let Some(compressor) = compressor else {
        x.compress.bypassed = true;
        return;
    };
    let chunked = x.response.body() == BodyLen::Chunked;
    let headers = x.response.headers_mut();
    if let Some(tag) = tag {
        headers.set(b"etag", &tag);
    }
    mark(headers, with, chunked);
    headers.append(b"vary", b"Accept-Encoding");
    x.record.compressed = Some(name(with));
    x.to_client.set_transform(Box::new(compressor), to);
}

/// Says how the body comes.
fn mark(headers: &mut HeaderList, with: Compressing, chunked: bool) {
    headers.remove(b"content-length");
    if !chunked {
        headers.append(b"transfer-encoding", b"chunked");
    }
    if with != Compressing::Identity {
        headers.append(b"content-encoding", coding(with).as_bytes());
    }
}

/// More than one entity tag, or one that is none.
struct OddTag;

/// The weak form of a strong entity tag: what is compressed is not the same byte by byte (RFC 9110 section 8.8.3).
fn weakened(headers: &HeaderList) -> Result<Option<Vec<u8>>, OddTag> {
    let mut tags = headers.get_all(b"etag");
    let Some(tag) = tags.next() else { return Ok(None) };
    let quoted = |text: &[u8]| text.len() > 1 && text.starts_with(b"\"") && text.ends_with(b"\"");
    match tag.strip_prefix(b"W/") {
        _ if tags.next().is_some() => Err(OddTag),
        Some(rest) if quoted(rest) => Ok(None),
        None if quoted(tag) => Ok(Some([b"W/", tag].concat())),
        _ => Err(OddTag),
    }
}

/// `maxcomprate` and `maxcompcpuusage`.
fn is_limited(s: &Session) -> bool {
    let env = &s.thread.env;
    let now = s.thread.now(s.thread.tick());
    env.registry().process.compresses_too_much(now)
        || s.thread.busy_percent() > u32::from(env.compression.max_cpu)
}

/// Counts what was compressed, or was to be.
pub(super) fn finish(s: &Session, x: &Exchange) {
    let Compressed { taken, given } = x.to_client.transformed();
    let compressed = x.record.compressed.is_some();
    if !compressed && !x.compress.bypassed {
        return;
    }
    let front = s.front.frontend.counters.local();
    let back = x.record.backend.as_ref().map(|back| back.backend.counters.local());
    if !compressed {
        front.comp_byp.add(x.to_client.received);
        back.inspect(|c| c.comp_byp.add(x.to_client.received));
        return;
    }
    front.comp_in.add(taken);
    front.comp_out.add(given);
    front.comp_rsp.inc();
    back.inspect(|c| {
        c.comp_in.add(taken);
        c.comp_out.add(given);
        c.comp_rsp.inc();
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use Compressing::{Deflate, Gzip, Identity, RawDeflate};

    fn headers(name: &[u8], values: &[&str]) -> HeaderList {
        let mut headers = HeaderList::default();
        for value in values {
            headers.append(name, value.as_bytes());
        }
        headers
    }

    #[test]
    fn choice_of_an_algorithm() {
        for (values, offered, expected) in [
            (&["gzip"][..], &[Gzip, Deflate][..], Some(Gzip)),
            (&["deflate"], &[Gzip, Deflate], Some(Deflate)),
            (&["deflate"], &[Gzip, RawDeflate], Some(RawDeflate)),
            (&["deflate, gzip"], &[Gzip, Deflate], Some(Deflate)),
            (&["*;q=0, gzip;q=0.750, deflate;q=0.500"], &[Gzip, Deflate], Some(Gzip)),
            (&["*;q=0, gzip;q=0.5, deflate;q=0.75"], &[Gzip, Deflate], Some(Deflate)),
            (&["*"], &[Deflate, Gzip], Some(Deflate)),
            (&["br", "GZip"], &[Gzip], Some(Gzip)),
            (&["x-gzip"], &[Gzip], None),
            (&["gzip;q=0"], &[Gzip], None),
            (&["gzip;q=0.0, *;q=0.1"], &[Gzip], Some(Gzip)),
            (&["gzip ; Q=0.001"], &[Gzip], Some(Gzip)),
            (&["gzip;q=x"], &[Gzip], None),
            (&["br"], &[Identity, Gzip], Some(Identity)),
            (&["gzip;q=0.5, identity"], &[Identity, Gzip], Some(Identity)),
            (&[], &[Identity], Some(Identity)),
            (&[], &[Gzip], None),
            (&["gzip"], &[], None),
        ] {
            let headers = headers(b"accept-encoding", values);
            assert_eq!(accepted(&headers, offered), expected, "{values:?} {offered:?}");
        }
    }

    #[test]
    fn browsers() {
        let msie = |rest: &str| format!("Mozilla/4.0 (compatible; MSIE {rest})");
        for (agent, expected) in [
            ("curl/7.88.1".to_owned(), true),
            ("Mozilla/5.0 (X11; Linux x86_64)".to_owned(), true),
            ("Mozilla/4".to_owned(), false),
            ("Mozilla/40".to_owned(), false),
            (msie("5.5; Windows NT 5.1"), false),
            (msie("6.0; Windows NT 5.1"), false),
            (msie("6.0; Windows NT 5.1; SV1"), true),
            (msie("7.0; Windows NT 5.1"), true),
            (msie("10.0; Windows NT 6.1"), true),
        ] {
            assert_eq!(understands(agent.as_bytes()), expected, "{agent}");
        }
    }

    #[test]
    fn entity_tags() {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["\"a\""], Ok(Some("W/\"a\""))),
            (&["\"\""], Ok(Some("W/\"\""))),
            (&["\"W/a\""], Ok(Some("W/\"W/a\""))),
            (&["W/\"a\""], Ok(None)),
            (&["a"], Err(())),
            (&["\"a"], Err(())),
            (&["\""], Err(())),
            (&["W/a\""], Err(())),
            (&["\"a\"", "\"b\""], Err(())),
        ] {
            let made = weakened(&headers(b"etag", values)).map_err(|OddTag| ());
            let made = made.map(|tag| tag.map(|tag| String::from_utf8(tag).unwrap()));
            assert_eq!(made, expected.map(|tag| tag.map(str::to_owned)), "{values:?}");
        }
    }
}
