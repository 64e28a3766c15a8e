//! Any bytes as a chunked body: where it is cut does not matter, and what is sent on decodes to the same payload.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_http::h1::{ChunkDecoder, ChunkError, Keep};

fn decode(parts: [&[u8]; 2], keep: Keep) -> Result<(Vec<u8>, bool), ChunkError> {
    let mut decoder = ChunkDecoder::default();
    let mut out = Vec::new();
    for part in parts {
        let mut buf = part.to_vec();
        let step = decoder.filter(&mut buf, keep)?;
        assert!(step.produced <= step.consumed && step.consumed <= part.len());
        out.extend_from_slice(&buf[..step.produced]);
    }
    Ok((out, decoder.is_done()))
}

fuzz_target!(|input: (usize, &[u8])| {
    let (cut, text) = input;
    let (first, second) = text.split_at(cut % (text.len() + 1));
    for keep in [Keep::Chunks, Keep::Payload] {
        assert_eq!(decode([first, second], keep), decode([text, b""], keep));
    }
    if let Ok((chunks, true)) = decode([text, b""], Keep::Chunks) {
        let again = decode([&chunks, b""], Keep::Payload);
        assert_eq!(again, decode([text, b""], Keep::Payload));
    }
});
