//! Heads of CGI responses (RFC 3875, 6): fields, of which `Status` is the status and no field.

use crate::framed::is_connection_field;
use crate::headers::is_token;
use crate::message::{BodyLen, Method, ResponseHead};
use crate::value;

/// What an application said makes no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the application's answer is no response of CGI")]
pub struct Malformed;

/// The length of the head at the start of `data`, its empty line included, once it is whole.
#[must_use]
pub fn head_length(data: &[u8]) -> Option<usize> {
    let mut start = 0;
    for at in memchr::memchr_iter(b'\n', data) {
        if matches!(&data[start..at], b"" | b"\r") {
            return Some(at + 1);
        }
        start = at + 1;
    }
    None
}

/// Makes `head` that of the response that `data` says, and gives the bytes that its body has to have when that was
/// said, or when all of it is there: `whole` bytes.
///
/// # Errors
/// It says none.
pub fn take(
    data: &[u8],
    method: Method,
    whole: Option<u64>,
    head: &mut ResponseHead,
) -> Result<Option<u64>, Malformed> {
    head.clear();
    let (mut status, mut located, mut length) = (None, false, None);
    for field in fields(data) {
        let (name, value) = field?;
        if name.eq_ignore_ascii_case(b"status") {
            status = Some(value);
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let number = std::str::from_utf8(value)
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
            let number: u64 = number.and_then(|text| text.parse().ok()).ok_or(Malformed)?;
            if length.replace(number).is_some_and(|other| other != number) {
                return Err(Malformed);
            }
        } else {
            located |= name.eq_ignore_ascii_case(b"location");
        }
    }
    let (code, reason) = match status {
        Some(status) => {
            let (digits, reason) = status.split_at_checked(3).ok_or(Malformed)?;
            if !digits.iter().all(u8::is_ascii_digit) || !matches!(reason, [] | [b' ', ..]) {
                return Err(Malformed);
            }
            let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
            (code, Some(value::trim(reason)).filter(|reason| !reason.is_empty()))
        }
        None if located => (302, None),
        None => (200, None),
    };
    if code < 200 {
        return Err(Malformed);
    }
    let bodiless = matches!(code, 204 | 304) || method == Method::Head;
    let length = length.or_else(|| whole.filter(|_| !bodiless));
    let body = match length {
        _ if bodiless => BodyLen::None,
        Some(length) => BodyLen::Length(length),
        None => BodyLen::Chunked,
    };
    let kept = fields(data).flatten().filter(|(name, _)| {
        !name.eq_ignore_ascii_case(b"status")
            && !name.eq_ignore_ascii_case(b"content-length")
            && !is_connection_field(&name.to_ascii_lowercase())
    });
    head.assemble(code, kept, body);
    head.set_status(code, reason);
    if let Some(length) = length {
        head.headers_mut().append(b"Content-Length", length.to_string().as_bytes());
    }
    Ok(length.filter(|_| !bodiless))
}

/// The lines of a head as fields.
fn fields(data: &[u8]) -> impl Iterator<Item = Result<(&[u8], &[u8]), Malformed>> {
    let lines = data.split(|&b| b == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.take_while(|line| !line.is_empty()).map(|line| {
        let colon = memchr::memchr(b':', line).ok_or(Malformed)?;
        let (name, value) = (&line[..colon], value::trim(&line[colon + 1..]));
        let named = !name.is_empty() && name.iter().all(|&b| is_token(b));
        if !named || value.iter().any(|b| matches!(b, 0 | b'\r')) {
            return Err(Malformed);
        }
        Ok((name, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&str, Malformed>) {
        assert_eq!(head_length(text.as_bytes()), Some(text.len()));
        let mut head = ResponseHead::default();
        let taken = take(text.as_bytes(), Method::Get, None, &mut head).map(|_| {
            let mut out = Vec::new();
            h1::write_response(&head, &mut out);
            String::from_utf8(out).unwrap()
        });
        assert_eq!(taken, expected.map(str::to_owned));
    }

    #[test]
    fn heads() {
        check(
            "Content-Type: text/html\r\n\r\n",
            Ok("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\ntransfer-encoding: chunked\r\n\r\n"),
        );
        check(
            "Status: 404 Not here\nContent-Length: 3\nConnection: close\n\n",
            Ok("HTTP/1.1 404 Not here\r\nContent-Length: 3\r\n\r\n"),
        );
        check(
            "Location: /x\n\n",
            Ok("HTTP/1.1 302 Found\r\nLocation: /x\r\ntransfer-encoding: chunked\r\n\r\n"),
        );
        check("status: 204\n\n", Ok("HTTP/1.1 204 No Content\r\n\r\n"));
        for wrong in [
            "Status: 20\n\n",
            "Status: 2000\n\n",
            "Status: 101 x\n\n",
            "no colon\n\n",
            " folded: x\n\n",
            "a: b\0\n\n",
            "Content-Length: 1\nContent-Length: 2\n\n",
            "Content-Length: -1\n\n",
        ] {
            check(wrong, Err(Malformed));
        }
        assert_eq!(head_length(b"a: b\r\n"), None);
        assert_eq!(head_length(b"\r\nbody"), Some(2));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut head = ResponseHead::default();
            let length = head_length(&bytes).unwrap_or(bytes.len());
            let _ = take(&bytes[..length], Method::Get, None, &mut head);
        }
    }
}
