//! Any bytes as a head: what is accepted is sent on in a form that parses to the same message again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_http::h1::{
    Limits, Progress, parse_request, parse_response, write_request, write_response,
};
use proxy_http::{Method, RequestHead, ResponseHead};

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, text) = input;
    let limits = Limits::default();
    let mut head = RequestHead::default();
    let whole = parse_request(text, &limits, &mut head);
    if let Ok(Progress::Complete { consumed }) = whole {
        assert!(consumed <= text.len());
        let mut sent = Vec::new();
        write_request(&head, &mut sent);
        let mut again = RequestHead::default();
        let progress = parse_request(&sent, &limits, &mut again);
        assert_eq!(progress, Ok(Progress::Complete { consumed: sent.len() }));
        assert_eq!(again.body(), head.body());
    }
    // A part of it says nothing else than the whole.
    let mut part = RequestHead::default();
    let cut = cut % (text.len() + 1);
    match parse_request(&text[..cut], &limits, &mut part) {
        Ok(Progress::Incomplete) => {}
        decided => assert_eq!(decided, whole),
    }
    let mut head = ResponseHead::default();
    let parsed = parse_response(text, &limits, Method::Get, &mut head);
    if let Ok(Progress::Complete { .. }) = parsed {
        let mut sent = Vec::new();
        write_response(&head, &mut sent);
        let mut again = ResponseHead::default();
        let progress = parse_response(&sent, &limits, Method::Get, &mut again);
        assert_eq!(progress, Ok(Progress::Complete { consumed: sent.len() }));
        assert_eq!(again.body(), head.body());
    }
});
