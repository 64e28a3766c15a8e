//! The persistence cookie on its way: found in requests, and made, changed or taken out of responses (configuration manual,
//! 4.2 "cookie"; letters of the termination state: 8.5).

use proxy_http::{HeaderList, Method};
use proxy_state::Server;
use proxy_state::cookie::{CookieMode, CookieSpec, DATE_LEN, decode_date, encode_date};

use super::Exchange;
use crate::env::Back;

/// Between the parts of a value in mode insert: the server's value and two dates.
const DATES: u8 = b'|';
/// Between the server's value and the application's in mode prefix.
const PREFIX: u8 = b'~';
/// How far in the future a date may be.
const FUTURE: i64 = 24 * 3600;

/// What became of the cookie.
pub(crate) struct Seen {
    /// Third letter of the termination state.
    pub(crate) request: u8,
    /// Fourth letter of the termination state.
    pub(crate) response: u8,
    /// The request was bound by the cookie.
    direct: bool,
    /// Dates of the valid cookie, in seconds; 0 is none.
    last: i64,
    first: i64,
}

impl Default for Seen {
    fn default() -> Self {
        Self { request: b'-', response: b'-', direct: false, last: 0, first: 0 }
    }
}

/// Binds the request to the server that its cookie names, and hides from the server what it is not to see.
pub(super) fn on_request(x: &mut Exchange, back: &Back, now: i64) {
    let Some(spec) = &back.backend.cookie else { return };
    x.persist.cookie.request = b'N';
    let headers = x.request.headers();
    let mut edits: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut values: Vec<Vec<u8>> = Vec::new();
    for (index, field) in headers.iter().enumerate() {
        if !field.name.eq_ignore_ascii_case(b"cookie") || find(field.value, spec).is_none() {
            continue;
        }
        let mut kept: Vec<u8> = Vec::new();
        let mut changed = false;
        for part in pairs(field.value) {
            let mut keep = part.to_vec();
            if let Some(value) = value_of(part, spec) {
                let own = match spec.mode {
                    CookieMode::Prefix => {
                        value.iter().position(|b| *b == PREFIX).map(|at| &value[..at])
                    }
                    _ => Some(value),
                };
                match (own, spec.mode) {
                    (Some(own), CookieMode::Prefix) => {
                        // The application gets its own value back.
                        keep = [spec.name.as_bytes(), b"=", &value[own.len() + 1..]].concat();
                        changed = true;
                    }
                    (_, CookieMode::Insert) if spec.indirect => {
                        keep.clear();
                        changed = true;
                    }
                    _ => {}
                }
                values.extend(own.map(<[u8]>::to_vec));
            }
            if !keep.is_empty() {
                if !kept.is_empty() {
                    kept.extend_from_slice(b"; ");
                }
                kept.extend_from_slice(&keep);
            }
        }
        if changed {
            edits.push((index, kept));
        }
    }
    for (index, value) in &edits {
        x.request.headers_mut().replace_at(*index, value);
    }
    if edits.iter().any(|(_, value)| value.is_empty()) {
        let headers = x.request.headers_mut();
        headers.remove_if(|h| h.name.eq_ignore_ascii_case(b"cookie") && h.value.is_empty());
    }
    for value in values {
        look_up(x, back, spec, &value, now);
        if matches!(x.persist.cookie.request, b'V' | b'D' | b'U') {
            break;
        }
    }
}

fn look_up(x: &mut Exchange, back: &Back, spec: &CookieSpec, value: &[u8], now: i64) {
    let (value, last, first) = match spec.mode {
        CookieMode::Insert if spec.is_dated() => dated(value),
        // Dates of a configuration that had limits are no part of the value.
        CookieMode::Insert => (dated(value).0, 0, 0),
        _ => (value, 0, 0),
    };
    let too_old = |date: i64, limit: Option<std::time::Duration>| {
        let limit = limit.map(|limit| i64::try_from(limit.as_secs()).unwrap_or(i64::MAX));
        date != 0 && limit.is_some_and(|limit| date > now + FUTURE || date + limit < now)
    };
    let persist = &mut x.persist;
    persist.cookie.request = if persist.ignore {
        b'I'
    } else if too_old(last, spec.maxidle) {
        b'E'
    } else if too_old(first, spec.maxlife) {
        b'O'
    } else {
        match back.backend.server_by_cookie(value) {
            None => b'I',
            Some(_) if persist.pinned.is_some() => b'U',
            Some(server) if !persist.admits(back, &server) => b'D',
            Some(server) => {
                let letter = if server.is_usable() { b'V' } else { b'D' };
                (persist.cookie.last, persist.cookie.first) = (last, first);
                persist.cookie.direct = true;
                persist.pinned = Some(server);
                letter
            }
        }
    };
}

/// Takes a value and its dates apart; a date that is none is 0.
fn dated(value: &[u8]) -> (&[u8], i64, i64) {
    let mut parts = value.split(|b| *b == DATES);
    let own = parts.next().unwrap_or_default();
    let mut date = || parts.next().and_then(decode_date).unwrap_or(0);
    (own, date(), date())
}

/// The cookies of a `Cookie` field, without blanks around them.
fn pairs(field: &[u8]) -> impl Iterator<Item = &[u8]> {
    field.split(|b| *b == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty())
}

/// The value of a cookie `name=value` if it is the one looked for.
fn value_of<'a>(pair: &'a [u8], spec: &CookieSpec) -> Option<&'a [u8]> {
    let at = memchr::memchr(b'=', pair)?;
    let value = pair[at + 1..].trim_ascii();
    let value = match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    };
    (pair[..at].trim_ascii() == spec.name.as_bytes()).then_some(value)
}

fn find<'a>(field: &'a [u8], spec: &CookieSpec) -> Option<&'a [u8]> {
    pairs(field).find_map(|pair| value_of(pair, spec))
}

/// Does to the server's cookie what the mode says, and inserts one where it is due.
pub(super) fn on_response(x: &mut Exchange, back: &Back, server: &Server, now: i64) {
    let Some(spec) = &back.backend.cookie else { return };
    let persist = &mut x.persist;
    persist.cookie.response = b'N';
    if persist.ignore {
        return;
    }
    let own = server.cookie();
    // The client's cookie brought it here, and not a redispatch.
    let direct = persist.cookie.direct
        && persist.pinned.as_ref().is_some_and(|pinned| std::ptr::eq(&**pinned, server));
    let headers = x.response.headers_mut();
    let mut provided = false;
    let mut index = 0;
    while let Some(field) = headers.at(index) {
        index += 1;
        if !field.name.eq_ignore_ascii_case(b"set-cookie") {
            continue;
        }
        let (pair, rest) = match memchr::memchr(b';', field.value) {
            Some(at) => field.value.split_at(at),
            None => (field.value, &[][..]),
        };
        let Some(value) = value_of(pair.trim_ascii(), spec) else { continue };
        provided = true;
        persist.cookie.response = b'P';
        if spec.preserve {
            continue;
        }
        if spec.mode == CookieMode::Insert || direct && spec.indirect {
            persist.cookie.response = b'D';
            let mut at = 0;
            let drop_at = index - 1;
            headers.remove_if(|_| {
                at += 1;
                at - 1 == drop_at
            });
            index -= 1;
            continue;
        }
        let Some(own) = &own else { continue };
        let value = match spec.mode {
            CookieMode::Rewrite => own.as_bytes().to_vec(),
            CookieMode::Prefix => [own.as_bytes(), &[PREFIX], value].concat(),
            CookieMode::Insert | CookieMode::Passive => continue,
        };
        let changed = [spec.name.as_bytes(), b"=", &value, rest].concat();
        headers.replace_at(index - 1, &changed);
        persist.cookie.response = b'R';
    }
    let seen = &mut persist.cookie;
    let stale = spec.maxidle.is_some() || seen.last != 0;
    let stale = stale && seen.last < now;
    let redate = stale
        || spec.maxlife.is_some() && seen.first == 0
        || spec.maxlife.is_none() && seen.first != 0;
    let due = spec.mode == CookieMode::Insert
        && !(provided && spec.preserve)
        && (!direct || redate)
        && (!spec.postonly || x.request.method() == Method::Post);
    if !due {
        return;
    }
    let Some(own) = own else {
        // A server without a value: the client is not to come back to another one by its old cookie.
        let gone = "=; Expires=Thu, 01-Jan-1970 00:00:01 GMT";
        headers.append(b"set-cookie", format!("{}{gone}{}", spec.name, spec.attributes).as_bytes());
        seen.response = b'D';
        uncacheable(headers, spec);
        return;
    };
    let mut text = format!("{}={own}", spec.name).into_bytes();
    if spec.is_dated() {
        let date = |text: &mut Vec<u8>, secs: i64| {
            text.push(DATES);
            let digits: [u8; DATE_LEN] = encode_date(secs);
            text.extend_from_slice(&digits);
        };
        match spec.maxidle {
            Some(_) => date(&mut text, now),
            None => text.push(DATES),
        }
        if spec.maxlife.is_some() {
            // Only the first visit counts: its date stays.
            date(&mut text, if direct && seen.first != 0 { seen.first } else { now });
        }
    }
    text.extend_from_slice(spec.attributes.as_bytes());
    headers.append(b"set-cookie", &text);
    seen.response = if direct { b'U' } else { b'I' };
    uncacheable(headers, spec);
}

/// `nocache`: what carries a client's cookie is for that client only.
fn uncacheable(headers: &mut HeaderList, spec: &CookieSpec) {
    let private = |value: &[u8]| {
        [&b"private"[..], b"no-store"].iter().any(|word| value.eq_ignore_ascii_case(word))
    };
    if spec.nocache && !headers.values(b"cache-control").any(private) {
        headers.append(b"cache-control", b"private");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proxy_http::h1::{Limits, parse_request, parse_response};
    use proxy_state::registry::RegistrySpec;
    use proxy_state::{BackendSpec, Registry, ServerSpec};
    use proxy_types::{ProxyId, ServerId};
    use std::time::Duration;

    const NOW: i64 = 1_795_785_337;

    fn back(cookie: CookieSpec) -> Back {
        let server = |id: u32, cookie: Option<&str>| {
            let addr = std::net::SocketAddr::from(([127, 0, 0, 1], 80)).into();
            let spec = ServerSpec::new(format!("s{id}"), ServerId(id), addr);
            ServerSpec { cookie: cookie.map(str::to_owned), disabled: id == 3, ..spec }
        };
        let backend = BackendSpec {
            name: "be".to_owned(),
            id: ProxyId(3),
            cookie: Some(cookie),
            servers: vec![
                server(1, Some("a")),
                server(2, Some("b")),
                server(3, Some("c")),
                server(4, None),
            ],
            ..BackendSpec::default()
        };
        let spec = RegistrySpec { backends: vec![backend], ..RegistrySpec::default() };
        Back::new(Registry::new(spec).unwrap().backends()[0].clone())
    }

    fn spec(mode: CookieMode) -> CookieSpec {
        let attributes = "; path=/".to_owned();
        CookieSpec { name: "SRV".to_owned(), mode, attributes, ..CookieSpec::default() }
    }

    struct Case {
        spec: CookieSpec,
        cookies: &'static str,
        set: &'static [&'static str],
        server: &'static str,
    }

    /// Letters, the `Cookie` the server gets and the `Set-Cookie`s the client gets.
    #[track_caller]
    fn check(case: Case, letters: &str, forwarded: &str, set: &[&str]) {
        let back = back(case.spec);
        let mut x = Exchange::default();
        let cookie = match case.cookies {
            "" => String::new(),
            cookies => format!("Cookie: {cookies}\r\n"),
        };
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{cookie}\r\n");
        parse_request(text.as_bytes(), &Limits::default(), &mut x.request).unwrap();
        on_request(&mut x, &back, NOW);
        let text: String = case.set.iter().map(|set| format!("Set-Cookie: {set}\r\n")).collect();
        let text = format!("HTTP/1.1 200 OK\r\n{text}Content-Length: 0\r\n\r\n");
        parse_response(text.as_bytes(), &Limits::default(), Method::Get, &mut x.response).unwrap();
        let server = back.backend.server(case.server).unwrap();
        on_response(&mut x, &back, &server, NOW);
        let seen = &x.persist.cookie;
        assert_eq!(String::from_utf8_lossy(&[seen.request, seen.response]), letters);
        let got =
            x.request.headers().get(b"cookie").map_or_else(|| "".into(), String::from_utf8_lossy);
        assert_eq!(got, forwarded);
        let headers = x.response.headers();
        let got: Vec<_> = headers.get_all(b"set-cookie").map(String::from_utf8_lossy).collect();
        assert_eq!(got, set);
        if let Some(pinned) = &x.persist.pinned {
            assert_ne!(&*pinned.name, "s3", "it is down");
        }
    }

    #[test]
    fn insert() {
        let insert = || spec(CookieMode::Insert);
        let case = |spec, cookies, server| Case { spec, cookies, set: &["SRV=old", "x=y"], server };
        check(case(insert(), "", "s1"), "NI", "", &["x=y", "SRV=a; path=/"]);
        check(case(insert(), "z=1; SRV=a", "s1"), "VD", "z=1; SRV=a", &["x=y"]);
        check(case(insert(), "SRV=a", "s2"), "VI", "SRV=a", &["x=y", "SRV=b; path=/"]);
        check(case(insert(), "SRV=?", "s2"), "II", "SRV=?", &["x=y", "SRV=b; path=/"]);
        check(case(insert(), "SRV=c", "s2"), "DI", "SRV=c", &["x=y", "SRV=b; path=/"]);
        let gone = "SRV=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/";
        check(case(insert(), "SRV=a", "s4"), "VD", "SRV=a", &["x=y", gone]);
        let indirect = || CookieSpec { indirect: true, ..insert() };
        check(case(indirect(), "z=1;SRV=a ;y=2", "s1"), "VD", "z=1; y=2", &["x=y"]);
        check(case(indirect(), "SRV=a", "s1"), "VD", "", &["x=y"]);
        let preserve = CookieSpec { preserve: true, ..indirect() };
        check(case(preserve, "SRV=a", "s1"), "VP", "", &["SRV=old", "x=y"]);
        let postonly = CookieSpec { postonly: true, ..insert() };
        check(case(postonly, "", "s1"), "ND", "", &["x=y"]);
    }

    #[test]
    fn rewrite_and_prefix() {
        let case = |mode, cookies| Case {
            spec: spec(mode),
            cookies,
            set: &["SRV=old; path=/x"],
            server: "s1",
        };
        check(case(CookieMode::Rewrite, "SRV=b"), "VR", "SRV=b", &["SRV=a; path=/x"]);
        check(case(CookieMode::Passive, "SRV=b"), "VP", "SRV=b", &["SRV=old; path=/x"]);
        check(
            case(CookieMode::Prefix, "SRV=b~own; q=1"),
            "VR",
            "SRV=own; q=1",
            &["SRV=a~old; path=/x"],
        );
        check(case(CookieMode::Prefix, "SRV=own"), "NR", "SRV=own", &["SRV=a~old; path=/x"]);
    }

    #[test]
    fn dates() {
        let hour = Some(Duration::from_secs(3600));
        let both = || CookieSpec { maxidle: hour, maxlife: hour, ..spec(CookieMode::Insert) };
        let case = |spec, cookies| Case { spec, cookies, set: &[], server: "s1" };
        check(case(both(), ""), "NI", "", &["SRV=a|awmCf|awmCf; path=/"]);
        check(case(both(), "SRV=a"), "VU", "SRV=a", &["SRV=a|awmCf|awmCf; path=/"]);
        // 400 seconds earlier: refreshed, with the first date kept.
        check(
            case(both(), "SRV=a|awmA7|awmA7"),
            "VU",
            "SRV=a|awmA7|awmA7",
            &["SRV=a|awmCf|awmA7; path=/"],
        );
        check(case(both(), "SRV=a|awmCf|awmCf"), "VN", "SRV=a|awmCf|awmCf", &[]);
        let old = "SRV=a|awlAA|awmCf";
        check(case(both(), old), "EI", old, &["SRV=a|awmCf|awmCf; path=/"]);
        let old = "SRV=a|awmCf|awlAA";
        check(case(both(), old), "OI", old, &["SRV=a|awmCf|awmCf; path=/"]);
        let life = CookieSpec { maxlife: hour, ..spec(CookieMode::Insert) };
        check(case(life, ""), "NI", "", &["SRV=a||awmCf; path=/"]);
    }
}
