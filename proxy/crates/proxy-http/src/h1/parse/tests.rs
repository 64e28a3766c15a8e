//! Rows taken from what HAProxy does with the same bytes, and properties of the parser.

use proptest::prelude::*;

use super::*;
use crate::h1::{write_request, write_response};

fn request_of(text: &[u8]) -> Result<(Progress, RequestHead), ParseError> {
    let mut head = RequestHead::default();
    let progress = parse_request(text, &Limits::default(), &mut head)?;
    Ok((progress, head))
}

/// `text` is a complete head that is forwarded as `expected`.
#[track_caller]
fn forward(text: &str, body: BodyLen, expected: &str) {
    let (progress, head) = request_of(text.as_bytes()).unwrap();
    assert_eq!(progress, Progress::Complete { consumed: text.len() });
    assert_eq!(head.body(), body);
    let mut out = Vec::new();
    write_request(&head, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[track_caller]
fn same(text: &str) {
    forward(text, BodyLen::None, text);
}

#[track_caller]
fn refuse(text: &[u8], expected: Reject) {
    let error = request_of(text).expect_err("refused");
    assert_eq!(error.reason, expected);
    assert_eq!(error.status, if expected == Reject::UnsupportedCoding { 422 } else { 400 });
    assert!(error.offset <= text.len());
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn accepted_heads() {
    same("GET / HTTP/1.1\r\n\r\n");
    same(&get("X: y\r\nx: z\r\n"));
    same(&get("X:y\r\nZ:\r\n"));
    same(&get("X: \u{e9}\x7f\x01\r\n"));
    same("get / HTTP/1.1\r\nHost: a\r\n\r\n");
    same("GET /\"<>^`{|}\\ HTTP/1.0\r\n\r\n");
    same("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    same("GET http://a:80/x HTTP/1.1\r\nHost: a\r\n\r\n");
    same("GET http://b/x HTTP/1.1\r\n\r\n");
    same("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n");
    same("CONNECT [::1]:443 HTTP/1.1\r\n\r\n");
    forward("\r\n\nGET / HTTP/1.1\r\n\r\n", BodyLen::None, "GET / HTTP/1.1\r\n\r\n");
    forward("GET / HTTP/1.3\n\n", BodyLen::None, "GET / HTTP/1.1\r\n\r\n");
    forward("GET   /  HTTP/1.1\r\n\r\n", BodyLen::None, "GET / HTTP/1.1\r\n\r\n");
    let host = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    forward("GET / HTTP/1.1\nHost: a\n\n", BodyLen::None, host);
    forward("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", BodyLen::None, host);
    forward("GET / HTTP/1.1\r\na:\r\n \n\n", BodyLen::None, "GET / HTTP/1.1\r\na: \r\n\r\n");
    let folded = "GET / HTTP/1.1\r\nHost: a\r\nX: a   b\r\n\r\n";
    forward(&get("X: a\r\n b\r\n"), BodyLen::None, folded);
}

#[test]
fn body_lengths() {
    let with = |fields: &str| get(fields);
    let one = with("Content-Length: 2\r\n");
    forward(&one, BodyLen::Length(2), &one);
    forward(&with("Content-Length: 2\r\nContent-Length: 2\r\n"), BodyLen::Length(2), &one);
    forward(&with("Content-Length: 2, 2\r\n"), BodyLen::Length(2), &one);
    forward(&with("Content-Length: 0002\r\n"), BodyLen::Length(2), &one);
    let zero = with("Content-Length: 0\r\n");
    forward(&zero, BodyLen::None, &zero);
    let chunked = with("Transfer-Encoding: chunked\r\n");
    forward(&chunked, BodyLen::Chunked, &chunked);
    let both = with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n");
    forward(&both, BodyLen::Chunked, &chunked);
    assert!(!request_of(both.as_bytes()).unwrap().1.is_persistent());
}

#[test]
fn refused_heads() {
    refuse(b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", Reject::BareCr);
    refuse(b"\rGET / HTTP/1.1\r\n\r\n", Reject::BareCr);
    refuse(b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n", Reject::NulInValue);
    refuse(b"GET / HTTP/1.1\r\nX : a\r\n\r\n", Reject::BadName);
    refuse(b"GET / HTTP/1.1\r\nX(y): a\r\n\r\n", Reject::BadName);
    refuse(b"GET / HTTP/1.1\r\n: a\r\n\r\n", Reject::BadName);
    refuse(b"GET / HTTP/1.1\r\nabc\r\n\r\n", Reject::BadName);
    refuse(b"GET / HTTP/1.1\r\n X: folded without a field\r\n\r\n", Reject::BadName);
    refuse(b"GET /\r\n\r\n", Reject::BadVersion);
    refuse(b"GET / HTTP/2.0\r\n\r\n", Reject::BadVersion);
    refuse(b"GET / HTTP/1.11\r\n\r\n", Reject::BadVersion);
    refuse(b"GET / http/1.1\r\n\r\n", Reject::BadVersion);
    refuse(b"GET / RTSP/1.0\r\n\r\n", Reject::BadVersion);
    refuse(b"GET / HTTP/1.1 \r\n\r\n", Reject::BadVersion);
    refuse(b" GET / HTTP/1.1\r\n\r\n", Reject::BadMethod);
    refuse(b"G(T / HTTP/1.1\r\n\r\n", Reject::BadMethod);
    refuse(b"GET\r\n\r\n", Reject::BadMethod);
    refuse(b"GET  \r\n\r\n", Reject::BadTarget);
    refuse(b"GET /\x01 HTTP/1.1\r\n\r\n", Reject::BadTarget);
    refuse(b"GET /\xe9 HTTP/1.1\r\n\r\n", Reject::BadTarget);
    refuse(b"GET /#a HTTP/1.1\r\n\r\n", Reject::BadTarget);
    refuse(b"GET foo HTTP/1.1\r\n\r\n", Reject::BadTargetForm);
    refuse(b"CONNECT / HTTP/1.1\r\n\r\n", Reject::BadTargetForm);
    refuse(b"CONNECT a HTTP/1.1\r\n\r\n", Reject::BadTargetForm);
    refuse(b"CONNECT http://a:80 HTTP/1.1\r\n\r\n", Reject::BadTargetForm);
    refuse(b"CONNECT a:80 HTTP/1.1\r\nHost: b\r\n\r\n", Reject::HostMismatch);
    refuse(b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", Reject::HostMismatch);
    refuse(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Reject::ConflictingHost);
    refuse(b"\x16\x03\x01\x02", Reject::BadMethod);
}

#[test]
fn refused_framing() {
    let mut rows: Vec<(&str, Reject)> = Vec::new();
    let bad_length = ["+2", "-2", "", "2x", "0x2", "2 2", ",", "99999999999999999999", "2\r\n 2"];
    let bad_lengths: Vec<_> = bad_length.map(|v| format!("Content-Length: {v}\r\n")).into();
    rows.extend(bad_lengths.iter().map(|f| (f.as_str(), Reject::BadContentLength)));
    rows.extend([
        ("Content-Length: 2\r\nContent-Length: 3\r\n", Reject::ConflictingContentLength),
        ("Content-Length: 2, 3\r\n", Reject::ConflictingContentLength),
        ("Transfer-Encoding: foo\r\n", Reject::BadTransferEncoding),
        ("Transfer-Encoding: identity\r\n", Reject::BadTransferEncoding),
        ("Transfer-Encoding:\r\n", Reject::BadTransferEncoding),
        ("Transfer-Encoding: chunked, gzip\r\n", Reject::BadTransferEncoding),
        ("Transfer-Encoding: chunked, chunked\r\n", Reject::BadTransferEncoding),
        ("Transfer-Encoding: \x0bchunked\r\n", Reject::BadTransferEncoding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Reject::BadTransferEncoding,
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", Reject::UnsupportedCoding),
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", Reject::NoWebsocketKey),
        ("Connection: upgrade\r\nUpgrade: a, WebSocket\r\nUpgrade: b\r\n", Reject::NoWebsocketKey),
    ]);
    for (fields, expected) in rows {
        refuse(get(fields).as_bytes(), expected);
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut head = RequestHead::default();
    parse_request(old, &Limits::default(), &mut head).unwrap();
    assert!(head.flags().close_after && !head.is_persistent());
}

#[test]
fn bounds() {
    let fields = |n: usize| get(&"X: y\r\n".repeat(n));
    same(&fields(99));
    refuse(fields(100).as_bytes(), Reject::TooManyHeaders);
    let long = |n: usize| format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "y".repeat(n));
    same(&long(15360 - 23));
    refuse(long(15360 - 22).as_bytes(), Reject::TooLarge);
    refuse(&long(15400).as_bytes()[..15360], Reject::TooLarge);
}

#[test]
fn flags() {
    let head = request_of(get("Connection: Keep-Alive, CLOSE\r\n").as_bytes()).unwrap().1;
    assert!(head.flags().close && head.flags().keep_alive && !head.is_persistent());
    let expect = get("Expect: 100-Continue\r\nConnection: upgrade\r\nUpgrade: h2c\r\n");
    let head = request_of(expect.as_bytes()).unwrap().1;
    assert!(head.flags().expect_continue && head.flags().upgrade && head.is_persistent());
    let old = |fields: &str| format!("GET / HTTP/1.0\r\n{fields}\r\n");
    assert!(!request_of(old("").as_bytes()).unwrap().1.is_persistent());
    assert!(request_of(old("Connection: keep-alive\r\n").as_bytes()).unwrap().1.is_persistent());
}

#[test]
fn relaxed_requests() {
    let limits = Limits { relaxed: true, ..Limits::default() };
    for text in [
        &b"GET /\xe9#x HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        let mut head = RequestHead::default();
        let progress = parse_request(text, &limits, &mut head);
        assert_eq!(progress, Ok(Progress::Complete { consumed: text.len() }));
    }
}

#[track_caller]
fn response(text: &str, method: Method, body: BodyLen, persistent: bool, expected: &str) {
    let mut head = ResponseHead::default();
    let progress = parse_response(text.as_bytes(), &Limits::default(), method, &mut head);
    assert_eq!(progress, Ok(Progress::Complete { consumed: text.len() }));
    assert_eq!((head.body(), head.is_persistent()), (body, persistent));
    let mut out = Vec::new();
    write_response(&head, &mut out);
    assert_eq!(String::from_utf8_lossy(&out), expected);
}

#[test]
fn responses() {
    let ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    response(ok, Method::Get, BodyLen::Length(2), true, ok);
    response(ok, Method::Head, BodyLen::None, true, ok);
    let bare = "HTTP/1.1 200 OK\r\n\r\n";
    response(bare, Method::Get, BodyLen::UntilClose, false, bare);
    let not_modified = "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n";
    response(not_modified, Method::Get, BodyLen::None, true, not_modified);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    response(chunked, Method::Get, BodyLen::Chunked, true, chunked);
    let both = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n";
    response(both, Method::Get, BodyLen::Chunked, false, chunked);
    response("HTTP/1.1 204\r\n\r\n", Method::Get, BodyLen::None, true, "HTTP/1.1 204 \r\n\r\n");
    // Clients see which version the server speaks.
    let old_bare = "HTTP/1.0 200 OK\r\n\r\n";
    response("HTTP/1.0 200 OK\n\n", Method::Get, BodyLen::UntilClose, false, old_bare);
    let old = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n";
    response(old, Method::Get, BodyLen::Length(1), true, old);
}

#[test]
fn refused_responses() {
    for (text, expected) in [
        (&b"HTTP/2 200 OK\r\n\r\n"[..], Reject::BadVersion),
        (b"GET / HTTP/1.1\r\n\r\n", Reject::BadVersion),
        (b"HTTP/1.1  200 OK\r\n\r\n", Reject::BadStatus),
        (b"HTTP/1.1 20 OK\r\n\r\n", Reject::BadStatus),
        (b"HTTP/1.1 099 OK\r\n\r\n", Reject::BadStatus),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Reject::BadStatus),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", Reject::BadStatus),
        (b"HTTP/1.1 200 OK\r\nX y: z\r\n\r\n", Reject::BadName),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", Reject::BadContentLength),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Reject::BadTransferEncoding),
    ] {
        let mut head = ResponseHead::default();
        let error = parse_response(text, &Limits::default(), Method::Get, &mut head);
        assert_eq!(error.map_err(|e| (e.status, e.reason)), Err((502, expected)));
    }
}

proptest! {
    /// Whatever a prefix says, it does not contradict the whole: an incomplete head may turn out
    /// either way, an error stays, a complete head keeps its length.
    #[test]
    fn prefixes_agree(text in "(GET|P\\(T) (/|\\*|http://a/)[a-z ]{0,3} HTTP/1.[01]\r?\n([A-Za-z -]{0,5}:[ -~\t]{0,8}\r?\n){0,4}(content-length: [0-9,]{0,3}\r\n)?\r?\n", cut in 0usize..120) {
        let text = text.as_bytes();
        let cut = cut.min(text.len());
        let (part, whole) = (request_of(&text[..cut]), request_of(text));
        match (part, whole) {
            (Ok((Progress::Incomplete, _)), _) => {}
            (Ok((a, _)), Ok((b, _))) => prop_assert_eq!(a, b),
            (Err(a), Err(b)) => prop_assert_eq!(a, b),
            (a, b) => prop_assert!(false, "{a:?} then {b:?}"),
        }
    }

    /// What is sent on parses again, to the same body length and without further rewriting.
    #[test]
    fn written_heads_are_strict(text in "GET  ?/[a-z]{0,3} HTTP/1.[0-9]\r?\n([A-Za-z-]{1,5}:[ \t]{0,3}[ -~]{0,6}(\r\n [a-z]{0,3})?\r?\n){0,4}(Content-Length: 0?[0-9](, ?[0-9])?\r\n)?\r?\n") {
        if let Ok((Progress::Complete { .. }, head)) = request_of(text.as_bytes()) {
            let mut first = Vec::new();
            write_request(&head, &mut first);
            let (progress, again) = request_of(&first).expect("own output parses");
            prop_assert_eq!(progress, Progress::Complete { consumed: first.len() });
            prop_assert_eq!(head.body(), again.body());
            let mut second = Vec::new();
            write_request(&again, &mut second);
            prop_assert_eq!(first, second);
        }
    }

    #[test]
    fn never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = request_of(&bytes);
        let mut head = ResponseHead::default();
        let _ = parse_response(&bytes, &Limits::default(), Method::Get, &mut head);
        let mut text = b"HTTP/1.1 200 OK\r\n".to_vec();
        text.extend_from_slice(&bytes);
        let _ = parse_response(&text, &Limits::default(), Method::Get, &mut head);
    }
}

#[test]
fn tokens_end_at_the_first_other_byte() {
    for byte in 0..=u8::MAX {
        let plain = byte.is_ascii_alphanumeric() || byte == b'-';
        for place in 0..8 {
            let mut eight = *b"aZ09-xYz";
            eight[place] = byte;
            let expected = if plain { 8 } else { place };
            assert_eq!(plain_run(u64::from_le_bytes(eight)), expected, "{byte} at {place}");
        }
        for (before, after) in [("", ""), ("a", "b"), ("sec-ch-ua", "-platform-version: x")] {
            let text = [before.as_bytes(), &[byte], after.as_bytes()].concat();
            assert_eq!(token_end(&text, 0), scan(&text, 0, is_token), "{byte} behind {before}");
        }
    }
}
