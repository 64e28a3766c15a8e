//! Any bytes as the cookies of a request and of a response: what asks for them finds parts of them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_http::{Method, RequestHead, ResponseHead, h1};
use proxy_rules::sample::example::Traffic;
use proxy_state::cookie;

const ASKED: [&str; 9] = [
    "req.cook(sid)",
    "req.cook()",
    "req.cook_cnt(sid)",
    "req.cook_val(sid)",
    "req.cook_names",
    "res.cook(sid)",
    "res.cook_cnt()",
    "res.cook_val(sid)",
    "res.cook_names",
];

fuzz_target!(|value: &[u8]| {
    let limits = h1::Limits::default();
    let (mut request, mut response) = (RequestHead::default(), ResponseHead::default());
    let text = [b"GET / HTTP/1.1\r\nHost: a\r\nCookie: ", value, b"\r\n\r\n"].concat();
    let asked = h1::parse_request(&text, &limits, &mut request);
    let text = [b"HTTP/1.1 200 OK\r\nSet-Cookie: ", value, b"\r\n\r\n"].concat();
    let answered = h1::parse_response(&text, &limits, Method::Get, &mut response);
    if asked.is_err() || answered.is_err() {
        return;
    }
    let mut traffic = Traffic::new();
    (traffic.request, traffic.response) = (request, response);
    for asked in ASKED {
        let found = traffic.eval(asked);
        let found = found.unwrap_or_else(|e| panic!("{asked}: {e}"));
        assert!(found.is_none_or(|text| text.len() <= 3 * value.len().max(20)));
    }
    if let Some(date) = cookie::decode_date(value) {
        assert_eq!(cookie::decode_date(&cookie::encode_date(date)), Some(date));
    }
});
