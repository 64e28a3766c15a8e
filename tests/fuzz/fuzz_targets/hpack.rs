#![no_main]
//! Field sections of HTTP/2, several on one connection, and what requests and responses are made of them.

use libfuzzer_sys::fuzz_target;
use proxy_http::h2::hpack::{Bounds, Decoder};
use proxy_http::h2::{Fields, take_request, take_response};
use proxy_http::{Method, RequestHead, ResponseHead};

fuzz_target!(|data: &[u8]| {
    let mut decoder = Decoder::new(1024);
    let bounds = Bounds { bytes: 8192, fields: 100 };
    for section in data.split(|b| *b == 0xa5) {
        let mut fields = Fields::default();
        if decoder.decode(section, bounds, &mut fields).is_err() {
            return;
        }
        assert!(fields.bytes() <= bounds.bytes && fields.len() <= bounds.fields);
        let _ = take_request(&fields, true, &mut RequestHead::default());
        let _ = take_response(&fields, false, Method::Get, &mut ResponseHead::default());
    }
});
