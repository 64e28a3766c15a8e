//! Any bytes as what stands before a connection's data: PROXY protocol of both versions, and NetScaler's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_stream::transport::proxy_protocol::{netscaler, parse};

fuzz_target!(|input: (u16, u32, &[u8])| {
    let (cut, magic, bytes) = input;
    let whole = parse(bytes);
    if let Ok(Some((header, used))) = &whole {
        assert!(*used <= bytes.len());
        let kept: usize = header.tlvs.iter().map(|(_, value)| value.len()).sum();
        assert!(kept <= *used);
    }
    // A part of it is no other header.
    let cut = usize::from(cut) % (bytes.len() + 1);
    if let Ok(Some((_, used))) = parse(&bytes[..cut]) {
        assert!(matches!(whole, Ok(Some((_, all))) if all == used));
    }
    if let Ok(Some((_, used))) = netscaler::parse(bytes, magic) {
        assert!(used <= bytes.len());
    }
});
