//! Any bytes as what a FastCGI application says: no record is longer than it can be, heads are whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_http::fcgi::record::Reader;
use proxy_http::fcgi::{params, reply};
use proxy_http::{Method, ResponseHead};

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    let mut reader = Reader::default();
    let mut content = Vec::new();
    for mut piece in bytes.chunks(usize::from(size).max(1)) {
        loop {
            let Ok((used, part)) = reader.next(piece) else { return };
            assert!(used <= piece.len());
            piece = &piece[used..];
            let Some(part) = part else { break };
            content.extend_from_slice(part.content);
        }
        assert!(piece.is_empty());
    }
    assert!(content.len() <= bytes.len());
    assert!(params::read(&content).count() <= content.len());
    if let Some(length) = reply::head_length(&content) {
        let mut head = ResponseHead::default();
        if reply::take(&content[..length], Method::Get, None, &mut head).is_ok() {
            assert!(head.status() >= 200);
        }
    }
});
