//! What messages say about caching (RFC 9111), as far as `cache-use` and `cache-store` look at it
//! (configuration manual, 6).

use std::sync::Arc;

use proxy_http::{BodyLen, HeaderList, Method, RequestHead, ResponseHead, Version, value};
use proxy_state::Now;
use proxy_state::cache::{Asked, Cache, Entry, HintsMode, Variant};

use crate::date;
use crate::sample::context::Clock;

/// Codings that a stored response may have when it depends on Accept-Encoding (IANA's list, with aliases).
const CODINGS: [&[u8]; 13] = [
    b"aes128gcm",
    b"br",
    b"compress",
    b"dcb",
    b"dcz",
    b"deflate",
    b"exi",
    b"gzip",
    b"identity",
    b"pack200-gzip",
    b"x-compress",
    b"x-gzip",
    b"zstd",
];

/// What a cache did for one request.
#[derive(Debug)]
pub struct Turn {
    pub cache: Arc<Cache>,
    /// The response that was found.
    pub hit: Option<Arc<Entry>>,
    /// The client has it already.
    pub not_modified: bool,
    /// The response that is to be stored once its body has gone through.
    pub draft: Option<Box<Draft>>,
    key: Box<[u8]>,
    asked: Asked,
    /// The response may be stored as far as the request is concerned.
    storable: bool,
    /// The request changes what is there: a success makes stored responses obsolete.
    changes: bool,
}

/// A response whose body is still to come.
#[derive(Debug)]
pub struct Draft {
    entry: Entry,
    links: Vec<Box<[u8]>>,
}

/// What happened in caches since it was counted last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub lookups: u32,
    pub hits: u32,
    pub hints: u32,
}

/// The turn of a cache on a request; `None` when it has nothing to do with it.
pub(crate) fn begin(cache: &Arc<Cache>, head: &RequestHead) -> Option<Turn> {
    let headers = head.headers();
    let changes = match head.method() {
        Method::Get => false,
        Method::Head | Method::Options | Method::Trace | Method::Connect => return None,
        _ => true,
    };
    if head.version() != Version::Http11 || headers.contains(b"authorization") {
        return None;
    }
    let host = headers.get(b"host").unwrap_or_default();
    let key = [host, head.path_and_query()].concat().into();
    let text = |name: &[u8]| headers.get(name).map(Into::into);
    let asked = match cache.spec.vary {
        false => Asked::default(),
        true => {
            Asked { codings: codings(headers), referer: text(b"referer"), origin: text(b"origin") }
        }
    };
    Some(Turn {
        cache: cache.clone(),
        hit: None,
        not_modified: false,
        draft: None,
        key,
        asked,
        storable: !changes && !headers.has_token(b"cache-control", b"no-store"),
        changes,
    })
}

/// Accept-Encoding, taken apart.
fn codings(headers: &HeaderList) -> Vec<(Box<[u8]>, bool)> {
    let coding = |element: &[u8]| {
        let mut parts = element.split(|b| *b == b';').map(value::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let refused = |part: &[u8]| {
            let weight = part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q="));
            weight.is_some_and(|w| w.starts_with(b"0") && w.iter().all(|b| b"0.".contains(b)))
        };
        (name.into(), !parts.any(refused))
    };
    headers.values(b"accept-encoding").map(coding).collect()
}

impl Turn {
    /// Looks for a stored response.
    pub(crate) fn look_up(&mut self, head: &RequestHead, now: Now, counts: &mut Counts) {
        let headers = head.headers();
        let control = |token: &[u8]| headers.has_token(b"cache-control", token);
        let fresh_wanted = control(b"no-cache")
            || control(b"max-age=0")
            || !headers.contains(b"cache-control") && headers.has_token(b"pragma", b"no-cache");
        if self.changes || fresh_wanted {
            return;
        }
        counts.lookups += 1;
        self.hit = self.cache.find(&self.key, &self.asked, now);
        if let Some(entry) = &self.hit {
            counts.hits += 1;
            self.not_modified = is_known(headers, entry);
        }
    }

    /// The Link values to be sent ahead while the server makes the response.
    pub(crate) fn hints(&self, counts: &mut Counts) -> Option<Arc<[Box<[u8]>]>> {
        let wanted = self.hit.is_none() && !self.changes;
        let links = self.cache.hints(&self.key).filter(|_| wanted)?;
        counts.hints += 1;
        Some(links)
    }

    /// Looks at the response of the server: it is to be stored, or it makes obsolete what is there.
    pub(crate) fn see_response(&mut self, head: &ResponseHead, clock: Clock) {
        if self.hit.is_some() {
            return;
        }
        if self.changes {
            if matches!(head.status(), 200..=399) {
                self.cache.invalidate(&self.key);
            }
            return;
        }
        let draft = self.draft(head, clock).filter(|_| self.storable);
        match (draft, self.cache.spec.hints) {
            (Some(draft), HintsMode::Only) => self.cache.insert_hints(&self.key, draft.links),
            (draft, _) => self.draft = draft.map(Box::new),
        }
    }

    fn draft(&self, head: &ResponseHead, clock: Clock) -> Option<Draft> {
        let headers = head.headers();
        if head.status() != 200 || head.version() != Version::Http11 || !may_be_stored(headers) {
            return None;
        }
        let now = clock.date.secs;
        let (lifetime, age) = lifetime(headers, now, self.cache.spec.max_age)?;
        let variant = variant(headers, &self.asked, self.cache.spec.vary)?;
        let mut text = b"HTTP/1.1 200 ".to_vec();
        text.extend_from_slice(head.reason());
        text.extend_from_slice(b"\r\n");
        for field in headers.iter().filter(|field| !is_of_the_hop(headers, field.name)) {
            for part in [field.name, b": ", field.value, b"\r\n"] {
                text.extend_from_slice(part);
            }
        }
        let announced = match head.body() {
            BodyLen::Length(n) => n,
            BodyLen::None | BodyLen::Chunked => 0,
            BodyLen::UntilClose => return None,
        };
        let only_hints = self.cache.spec.hints == HintsMode::Only;
        if !only_hints && text.len() as u64 + announced > self.cache.spec.max_object {
            return None;
        }
        let time = |name: &[u8]| headers.get(name).and_then(parse_time);
        let entry = Entry {
            key: self.key.clone(),
            variant,
            head: text,
            etag: headers.get(b"etag").map(Into::into),
            modified: time(b"last-modified").or_else(|| time(b"date")).unwrap_or(now),
            age,
            stored: clock.now,
            expires: Now(clock.now.0.saturating_add(lifetime.saturating_mul(1000))),
            ..Entry::default()
        };
        Some(Draft { entry, links: links(headers) })
    }

    /// The response that is to be stored, if it is.
    pub fn storing(&mut self) -> Option<Storing> {
        let draft = self.draft.take()?;
        Some(Storing { cache: self.cache.clone(), draft })
    }
}

/// A response on its way into its cache.
#[derive(Debug)]
pub struct Storing {
    cache: Arc<Cache>,
    draft: Box<Draft>,
}

impl Storing {
    /// How many bytes the body may have.
    pub fn room(&self) -> usize {
        let head = self.draft.entry.head.len() as u64;
        usize::try_from(self.cache.spec.max_object.saturating_sub(head)).unwrap_or(usize::MAX)
    }

    /// Stores it with its body.
    pub fn store(self, body: Vec<u8>, now: Now) {
        let Draft { mut entry, links } = *self.draft;
        let length = format!("content-length: {}\r\n\r\n", body.len());
        entry.head.extend_from_slice(length.as_bytes());
        entry.body = body;
        let key = entry.key.clone();
        if entry.size() <= self.cache.spec.max_object && self.cache.insert(entry, now) {
            self.cache.insert_hints(&key, links);
        }
    }
}

/// What the head of a delivered entry is made of: the fields as they were stored, for the status given.
pub fn head_of(entry: &Entry, not_modified: bool) -> Vec<u8> {
    if !not_modified {
        return entry.head.clone();
    }
    let line = memchr::memchr(b'\n', &entry.head).map_or(0, |at| at + 1);
    [b"HTTP/1.1 304 Not Modified\r\n", &entry.head[line..]].concat()
}

fn parse_time(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok().and_then(date::parse_http)
}

/// Whether the client has the entry already (RFC 9110 sections 13.1.2 and 13.1.3).
fn is_known(headers: &HeaderList, entry: &Entry) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    if headers.contains(b"if-none-match") {
        let own = entry.etag.as_deref().map(opaque);
        return headers
            .values(b"if-none-match")
            .any(|tag| tag == b"*" || own.as_ref().is_some_and(|own| *own == opaque(tag)));
    }
    let since = headers.get(b"if-modified-since").and_then(parse_time);
    since.is_some_and(|since| entry.modified <= since)
}

/// What Cache-Control and Pragma say.
fn may_be_stored(headers: &HeaderList) -> bool {
    for directive in headers.values(b"cache-control") {
        let directive = directive.to_ascii_lowercase();
        let forbids = [&b"private"[..], b"no-store", b"no-cache"];
        let excepts_cookies = directive.starts_with(b"no-cache=\"set-cookie");
        if !excepts_cookies && forbids.iter().any(|word| directive.starts_with(word)) {
            return false;
        }
    }
    !headers.has_token(b"pragma", b"no-cache")
}

/// For how many seconds the response may be used, and how old it is; `None` when it is not worth storing.
fn lifetime(headers: &HeaderList, now: i64, most: u64) -> Option<(u64, u64)> {
    let directive = |name: &[u8]| {
        headers.values(b"cache-control").find_map(|directive| {
            let at = directive.iter().position(|b| *b == b'=')?;
            let (key, value) = (&directive[..at], &directive[at + 1..]);
            let value =
                value.strip_prefix(b"\"").map_or(value, |v| v.strip_suffix(b"\"").unwrap_or(v));
            key.eq_ignore_ascii_case(name).then(|| number(value).unwrap_or(0))
        })
    };
    let said = directive(b"s-maxage").or_else(|| directive(b"max-age"));
    let expires = headers.get(b"expires").map(|value| {
        let at = parse_time(value).unwrap_or(i64::MIN);
        u64::try_from(at.saturating_sub(now)).unwrap_or(0)
    });
    let validated = headers.contains(b"etag") || headers.contains(b"last-modified");
    let own = said.or(expires);
    if own.is_none() && !validated {
        return None;
    }
    let age = match headers.get(b"age") {
        Some(age) => number(age)?,
        None => 0,
    };
    let lifetime = own.unwrap_or(most);
    if age > lifetime {
        return None;
    }
    Some((lifetime.min(most), age)).filter(|(lifetime, _)| *lifetime > 0)
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// What the response depends on; `None` when that is more than a cache looks at.
fn variant(headers: &HeaderList, asked: &Asked, vary: bool) -> Option<Variant> {
    let mut variant = Variant::default();
    for name in headers.values(b"vary") {
        match name.to_ascii_lowercase().as_slice() {
            _ if !vary => return None,
            b"accept-encoding" => {
                let mut list: Vec<Box<[u8]>> = headers
                    .values(b"content-encoding")
                    .map(|coding| coding.to_ascii_lowercase().into())
                    .collect();
                if !list.iter().all(|coding| CODINGS.contains(&&**coding)) {
                    return None;
                }
                if list.is_empty() {
                    list.push(b"identity"[..].into());
                }
                variant.codings = Some(list);
            }
            b"referer" => variant.referer = Some(asked.referer.clone()),
            b"origin" => variant.origin = Some(asked.origin.clone()),
            _ => return None,
        }
    }
    Some(variant)
}

/// Fields that are not stored: those of one connection, and those that are made anew.
fn is_of_the_hop(headers: &HeaderList, name: &[u8]) -> bool {
    const NAMES: [&[u8]; 8] = [
        b"age",
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"trailer",
        b"upgrade",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
        || headers.contains(b"connection") && headers.has_token(b"connection", name)
}

/// Link values that a client can begin with (RFC 8297).
fn links(headers: &HeaderList) -> Vec<Box<[u8]>> {
    const RELATIONS: [&[u8]; 5] =
        [b"preload", b"preconnect", b"dns-prefetch", b"modulepreload", b"prefetch"];
    let relevant = |link: &&[u8]| {
        link.split(|b| *b == b';').map(value::trim).any(|parameter| {
            let Some(at) = parameter.iter().position(|b| *b == b'=') else { return false };
            let (name, relations) =
                (value::trim(&parameter[..at]), value::trim(&parameter[at + 1..]));
            let relations = relations.strip_prefix(b"\"").unwrap_or(relations);
            let relations = relations.strip_suffix(b"\"").unwrap_or(relations);
            name.eq_ignore_ascii_case(b"rel")
                && relations.split(|b| *b == b' ').any(|relation| {
                    RELATIONS.iter().any(|known| relation.eq_ignore_ascii_case(known))
                })
        })
    };
    headers.values(b"link").filter(relevant).map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_http::h1::{Limits, parse_response};

    fn response(fields: &str) -> ResponseHead {
        let mut head = ResponseHead::default();
        let text = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        parse_response(text.as_bytes(), &Limits::default(), Method::Get, &mut head).unwrap();
        head
    }

    #[test]
    fn lifetimes() {
        const NOW: i64 = 1_795_341_600;
        for (fields, expected) in [
            ("Cache-Control: max-age=5\r\n", Some((5, 0))),
            ("Cache-Control: max-age=500\r\n", Some((60, 0))),
            ("Cache-Control: max-age=1, s-maxage=5\r\n", Some((5, 0))),
            ("Cache-Control: max-age=0, s-maxage=\"5\"\r\n", Some((5, 0))),
            ("Cache-Control: max-age=0\r\n", None),
            ("Cache-Control: max-age=x\r\n", None),
            ("ETag: \"a\"\r\n", Some((60, 0))),
            ("Last-Modified: Thu, 22 Oct 2020 16:51:12 GMT\r\n", Some((60, 0))),
            ("", None),
            ("Expires: Sun, 22 Nov 2026 10:00:07 GMT\r\n", Some((7, 0))),
            ("Expires: 0\r\n", None),
            ("Cache-Control: max-age=500\r\nAge: 100\r\n", Some((60, 100))),
            ("Cache-Control: max-age=5\r\nAge: 10\r\n", None),
            ("Cache-Control: max-age=5\r\nAge: abc\r\n", None),
        ] {
            assert_eq!(lifetime(response(fields).headers(), NOW, 60), expected, "{fields}");
        }
    }

    #[test]
    fn what_forbids_storing() {
        for (fields, expected) in [
            ("", true),
            ("Cache-Control: public\r\n", true),
            ("Cache-Control: private\r\n", false),
            ("Cache-Control: max-age=5, No-Store\r\n", false),
            ("Cache-Control: no-cache\r\n", false),
            ("Pragma: no-cache\r\n", false),
            ("Set-Cookie: a=b\r\nCache-Control: no-cache=\"set-cookie\"\r\n", true),
        ] {
            assert_eq!(may_be_stored(response(fields).headers()), expected, "{fields}");
        }
    }

    #[test]
    fn conditions_of_clients() {
        let entry =
            Entry { etag: Some(b"\"a\""[..].into()), modified: 1_795_341_600, ..Entry::default() };
        for (name, value, expected) in [
            ("if-none-match", "*", true),
            ("if-none-match", "\"b\", W/\"a\"", true),
            ("if-none-match", "\"b\"", false),
            ("if-modified-since", "Sun, 22 Nov 2026 10:00:00 GMT", true),
            ("if-modified-since", "Sun, 22 Nov 2026 09:59:59 GMT", false),
            ("if-modified-since", "yesterday", false),
        ] {
            let mut headers = HeaderList::default();
            headers.append(name.as_bytes(), value.as_bytes());
            assert_eq!(is_known(&headers, &entry), expected, "{name}: {value}");
        }
    }

    #[test]
    fn links_worth_a_hint() {
        let head = response(
            "Link: <a>; rel=preload; as=style, <b>; rel=next\r\nLink: <c>; REL=\"x Preconnect\"\r\n",
        );
        let found: Vec<_> =
            links(head.headers()).iter().map(|l| String::from_utf8_lossy(l).into_owned()).collect();
        assert_eq!(found, ["<a>; rel=preload; as=style", "<c>; REL=\"x Preconnect\""]);
    }
}
