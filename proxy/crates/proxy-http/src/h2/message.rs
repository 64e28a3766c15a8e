//! What fields say of a message (RFC 9113 section 8).

use super::Fields;
use crate::framed::{RequestLine, is_connection_field};
use crate::headers::is_token;
use crate::message::{BodyLen, Method, RequestHead, ResponseHead};
use crate::value;

/// The fields make no message: the stream is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the fields make no message")]
pub struct Malformed;

/// What was received, beside the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Received {
    /// A request that HTTP gives no meaning to, and that is answered with 400. Its head is empty.
    pub bad: bool,
    /// Bytes that the body has to have, when it was said.
    pub length: Option<u64>,
}

/// The number that all `content-length` fields agree on.
fn length(fields: &Fields) -> Result<Option<u64>, Malformed> {
    let mut length = None;
    for (_, value) in fields.iter().filter(|(name, _)| *name == b"content-length") {
        for part in value.split(|&b| b == b',') {
            let part = value::trim(part);
            let digits = !part.is_empty() && part.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(part).ok().filter(|_| digits);
            let number: u64 = number.and_then(|n| n.parse().ok()).ok_or(Malformed)?;
            if length.replace(number).is_some_and(|other| other != number) {
                return Err(Malformed);
            }
        }
    }
    Ok(length)
}

/// Whether every field may stand in a message: names in lower case, values without line ends, and nothing that
/// belongs to a connection of HTTP/1.
fn check_field(name: &[u8], value: &[u8]) -> Result<(), Malformed> {
    let named = !name.is_empty() && name.iter().all(|&b| is_token(b) && !b.is_ascii_uppercase());
    if !named || value.iter().any(|b| matches!(b, 0 | b'\r' | b'\n')) || is_connection_field(name) {
        return Err(Malformed);
    }
    Ok(())
}

/// RFC 3986 section 3.1.
fn is_scheme(scheme: &[u8]) -> bool {
    let rest = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    scheme.first().is_some_and(u8::is_ascii_alphabetic) && scheme.iter().all(rest)
}

fn is_visible(byte: &u8) -> bool {
    *byte > b' ' && *byte != 0x7f
}

/// Makes `head` that of a request; `ended` says that no body follows.
///
/// # Errors
/// The fields make no request.
pub fn take_request(
    fields: &Fields,
    ended: bool,
    head: &mut RequestHead,
) -> Result<Received, Malformed> {
    head.clear();
    let [mut method, mut scheme, mut authority, mut path, mut protocol] = [None; 5];
    let mut first = 0;
    for (at, (name, value)) in fields.iter().enumerate() {
        if name.first() != Some(&b':') {
            check_field(name, value)?;
            continue;
        }
        let place = match name {
            b":method" => &mut method,
            b":scheme" => &mut scheme,
            b":authority" => &mut authority,
            b":path" => &mut path,
            b":protocol" => &mut protocol,
            _ => return Err(Malformed),
        };
        if first != at || place.replace(value).is_some() || !value.iter().all(is_visible) {
            return Err(Malformed);
        }
        first = at + 1;
    }
    let method = method.filter(|method| !method.is_empty()).ok_or(Malformed)?;
    let connect = method == b"CONNECT";
    let plain = connect && protocol.is_none();
    if plain && (scheme.is_some() || path.is_some() || authority.is_none_or(<[u8]>::is_empty)) {
        return Err(Malformed);
    }
    if !plain {
        let path = path.ok_or(Malformed)?;
        let any = path == b"*" && method == b"OPTIONS";
        if path.first() != Some(&b'/') && !any {
            return Err(Malformed);
        }
        scheme.ok_or(Malformed)?;
        if protocol.is_some() && (!connect || authority.is_none()) {
            return Err(Malformed);
        }
    }
    let length = length(fields)?;
    if ended && length.is_some_and(|length| length > 0) {
        return Err(Malformed);
    }
    let bad = !method.iter().all(|&b| is_token(b))
        || scheme.is_some_and(|scheme| !is_scheme(scheme))
        || protocol.is_some_and(|protocol| !protocol.iter().all(|&b| is_token(b)))
        || authority.is_some_and(|authority| authority.iter().any(|b| b"/?#\\\"<>".contains(b)));
    if bad {
        return Ok(Received { bad, length });
    }
    let body = match length {
        _ if ended || connect => BodyLen::None,
        Some(length) => BodyLen::Length(length),
        None => BodyLen::Chunked,
    };
    let line = RequestLine {
        method,
        scheme: scheme.unwrap_or_default(),
        authority: authority.unwrap_or_default(),
        path: path.unwrap_or_default(),
        version: b"HTTP/2.0",
        upgrade: protocol,
    };
    head.assemble(&line, fields.iter().skip(first), body);
    clean_length(fields, length, head.headers_mut());
    Ok(Received { bad, length: length.filter(|_| !connect) })
}

/// Makes several lengths, lists of them and leading zeros one number.
fn clean_length(fields: &Fields, length: Option<u64>, headers: &mut crate::HeaderList) {
    let Some(length) = length else { return };
    let mut said = fields.iter().filter(|(name, _)| *name == b"content-length");
    let (first, more) = (said.next().map_or(&b""[..], |(_, value)| value), said.next().is_some());
    let clean = first.iter().all(u8::is_ascii_digit) && (first.len() == 1 || first[0] != b'0');
    if more || !clean {
        headers.set(b"content-length", length.to_string().as_bytes());
    }
}

/// Makes `head` that of a response to a request of `method`; `ended` says that no body follows.
///
/// # Errors
/// The fields make no response.
pub fn take_response(
    fields: &Fields,
    ended: bool,
    method: Method,
    head: &mut ResponseHead,
) -> Result<Received, Malformed> {
    head.clear();
    let mut status = None;
    for (at, (name, value)) in fields.iter().enumerate() {
        if name == b":status" && at == 0 {
            status = Some(value);
        } else {
            // There is no other pseudo field, and a colon belongs to no name.
            check_field(name, value)?;
        }
    }
    let digits = |value: &&[u8]| value.len() == 3 && value.iter().all(u8::is_ascii_digit);
    let status = status.filter(digits).ok_or(Malformed)?;
    let status = status.iter().fold(0, |n, digit| n * 10 + u16::from(digit - b'0'));
    let interim = (100..200).contains(&status);
    // A switch of protocols is not said this way (RFC 9113 section 8.6).
    if status < 100 || status == 101 || interim && ended {
        return Err(Malformed);
    }
    let bodiless = interim || matches!(status, 204 | 304) || method == Method::Head;
    let length = length(fields)?;
    if ended && !bodiless && length.is_some_and(|length| length > 0) && method != Method::Connect {
        return Err(Malformed);
    }
    let body = match length {
        _ if ended || bodiless => BodyLen::None,
        Some(length) => BodyLen::Length(length),
        None => BodyLen::Chunked,
    };
    head.assemble(status, fields.iter().skip(1), body);
    clean_length(fields, length, head.headers_mut());
    Ok(Received { bad: false, length: length.filter(|_| !bodiless) })
}

/// Appends trailers as lines.
///
/// # Errors
/// The fields are no trailers.
pub fn take_trailers(fields: &Fields, lines: &mut Vec<u8>) -> Result<(), Malformed> {
    for (name, value) in fields.iter() {
        check_field(name, value)?;
        for part in [name, b": ", value, b"\r\n"] {
            lines.extend_from_slice(part);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::hpack::{Bounds, Decoder, write_field};
    use super::*;
    use crate::h1;

    fn fields(rows: &[(&str, &str)]) -> Fields {
        let mut section = Vec::new();
        for (name, value) in rows {
            write_field(&mut section, name.as_bytes(), value.as_bytes());
        }
        let mut out = Fields::default();
        let bounds = Bounds { bytes: usize::MAX, fields: usize::MAX };
        assert_eq!(Decoder::new(0).decode(&section, bounds, &mut out), Ok(true));
        out
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];

    /// `head` is what an HTTP/1 server gets; `-` for 400, nothing for a reset.
    #[track_caller]
    fn request(change: &[(&str, &str)], ended: bool, head: &str) {
        let mut rows: Vec<_> = GET.to_vec();
        for (name, value) in change {
            rows.retain(|(known, _)| known != name || !name.starts_with(':'));
            if *value != "-" {
                let at = if name.starts_with(':') { 0 } else { rows.len() };
                rows.insert(at, (name, value));
            }
        }
        let mut got = RequestHead::default();
        let text = match take_request(&fields(&rows), ended, &mut got) {
            Err(Malformed) => String::new(),
            Ok(Received { bad: true, .. }) => "-".to_owned(),
            Ok(_) => {
                let mut out = Vec::new();
                h1::write_request(&got, &mut out);
                String::from_utf8(out).unwrap().replace("\r\n", "|")
            }
        };
        assert_eq!(text, head, "{change:?}");
    }

    #[test]
    fn requests() {
        let line = "GET / HTTP/1.1|host: a|";
        request(&[], true, &format!("{line}|"));
        request(&[("x", "y")], true, &format!("{line}x: y||"));
        request(&[("content-length", "000, 00")], true, &format!("{line}content-length: 0||"));
        request(&[("content-length", "2")], false, &format!("{line}content-length: 2||"));
        for length in ["", "0,", "2, 3", "+1", "1"] {
            request(&[("content-length", length)], true, "");
        }
        request(&[("te", "trailers")], true, &format!("{line}te: trailers||"));
        for (name, value) in [
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("x", "a\nb"),
            ("x y", ""),
            (":path", "p"),
            (":path", "-"),
            (":path", "/a b"),
            (":scheme", "-"),
            (":method", "-"),
            (":other", "x"),
            (":method", "CONNECT"),
            (":protocol", "websocket"),
        ] {
            request(&[(name, value)], true, "");
        }
        for (name, value) in [(":method", "GET?"), (":scheme", "http://a/?"), (":authority", "a/b")]
        {
            request(&[(name, value)], true, "-");
        }
        let socket = [(":method", "CONNECT"), (":protocol", "websocket")];
        request(&socket, false, &format!("{line}connection: upgrade|upgrade: websocket||"));
        let tunnel = [(":method", "CONNECT"), (":scheme", "-"), (":path", "-")];
        request(&tunnel, false, "CONNECT a HTTP/1.1|host: a||");
        request(&[(":method", "OPTIONS"), (":path", "*")], true, "OPTIONS * HTTP/1.1|host: a||");
    }

    #[test]
    fn pseudo_fields_come_first_and_once() {
        for rows in
            [&[GET[0], GET[1], GET[2], GET[3], GET[0]][..], &[GET[0], GET[1], ("x", "y"), GET[3]]]
        {
            assert!(take_request(&fields(rows), true, &mut RequestHead::default()).is_err());
        }
    }

    #[test]
    fn responses() {
        for (rows, ended, method, expected) in [
            (&[(":status", "200")][..], true, Method::Get, Some(BodyLen::None)),
            (&[(":status", "200")], false, Method::Get, Some(BodyLen::Chunked)),
            (
                &[(":status", "200"), ("content-length", "3")],
                false,
                Method::Get,
                Some(BodyLen::Length(3)),
            ),
            (&[(":status", "200"), ("content-length", "3")], true, Method::Get, None),
            (
                &[(":status", "200"), ("content-length", "3")],
                true,
                Method::Head,
                Some(BodyLen::None),
            ),
            (
                &[(":status", "304"), ("content-length", "3")],
                true,
                Method::Get,
                Some(BodyLen::None),
            ),
            (&[(":status", "103")], false, Method::Get, Some(BodyLen::None)),
            (&[(":status", "103")], true, Method::Get, None),
            (&[(":status", "101")], false, Method::Get, None),
            (&[(":status", "20")], true, Method::Get, None),
            (&[("x", "y"), (":status", "200")], true, Method::Get, None),
            (&[("x", "y")], true, Method::Get, None),
        ] {
            let mut head = ResponseHead::default();
            let got = take_response(&fields(rows), ended, method, &mut head);
            assert_eq!(got.ok().map(|_| head.body()), expected, "{rows:?}");
        }
    }

    #[test]
    fn trailers() {
        let mut lines = Vec::new();
        assert!(take_trailers(&fields(&[("a", "b"), ("c", "")]), &mut lines).is_ok());
        assert_eq!(lines, b"a: b\r\nc: \r\n");
        assert!(take_trailers(&fields(&[(":status", "200")]), &mut lines).is_err());
    }
}
