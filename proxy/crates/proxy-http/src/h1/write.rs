//! Heads to bytes. Fields that follow each other untouched come out as one slice.

use crate::headers::Span;
use crate::message::{RequestHead, ResponseHead};

/// The slices that make up a request head on the wire, in order.
pub fn request_runs(head: &RequestHead) -> impl Iterator<Item = &[u8]> {
    let list = &head.headers;
    runs(head.line, list.fields.iter().map(|f| f.line), head.end).map(move |s| s.of(&list.buf))
}

/// The slices that make up a response head on the wire, in order.
pub fn response_runs(head: &ResponseHead) -> impl Iterator<Item = &[u8]> {
    let list = &head.headers;
    runs(head.line, list.fields.iter().map(|f| f.line), head.end).map(move |s| s.of(&list.buf))
}

/// Appends a request head, blank line included.
pub fn write_request(head: &RequestHead, out: &mut Vec<u8>) {
    request_runs(head).for_each(|run| out.extend_from_slice(run));
}

/// Appends a response head, blank line included.
pub fn write_response(head: &ResponseHead, out: &mut Vec<u8>) {
    response_runs(head).for_each(|run| out.extend_from_slice(run));
}

/// Joins adjacent ranges.
fn runs(line: Span, fields: impl Iterator<Item = Span>, end: Span) -> impl Iterator<Item = Span> {
    let mut pending = line;
    let mut rest = fields.chain(std::iter::once(end));
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        for next in rest.by_ref() {
            if next.start == pending.end {
                pending.end = next.end;
            } else {
                return Some(std::mem::replace(&mut pending, next));
            }
        }
        done = true;
        Some(pending)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{Limits, parse_request};

    fn runs_of(text: &str, edit: impl Fn(&mut RequestHead)) -> Vec<String> {
        let mut head = RequestHead::default();
        parse_request(text.as_bytes(), &Limits::default(), &mut head).unwrap();
        edit(&mut head);
        request_runs(&head).map(|r| String::from_utf8_lossy(r).into_owned()).collect()
    }

    #[test]
    fn untouched_head_is_one_slice() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX:b\r\n\r\n";
        assert_eq!(runs_of(text, |_| ()), [text]);
    }

    #[test]
    fn edits_split_the_slices() {
        let text = "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\nY: c\r\n\r\n";
        let got = runs_of(text, |h| {
            h.headers_mut().remove(b"x");
            h.headers_mut().append(b"Z", b"d");
            h.set_path(b"/n");
        });
        assert_eq!(got, ["GET /n HTTP/1.1\r\n", "Host: a\r\n", "Y: c\r\n", "Z: d\r\n", "\r\n"]);
    }

    #[test]
    fn odd_lines_come_out_strict() {
        let text = "GET \t/\tHTTP/1.7\nHost: a\r\nX:   b \t\r\nF: a\r\n  b\r\nE:\n\n";
        let got = runs_of(text, |_| ()).concat();
        assert_eq!(got, "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\nF: a    b\r\nE: \r\n\r\n");
    }
}
