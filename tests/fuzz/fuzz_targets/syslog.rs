//! Messages of syslog and how they are told apart on a connection: no input may panic, and what is taken is bounded.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_stream::log::syslog::Message;
use proxy_stream::log::syslog::frames::{Frame, Framing};

const MOST: usize = 4096;

fuzz_target!(|data: &[u8]| {
    let message = Message::parse(data);
    assert!(message.text.len() <= data.len() && message.severity() <= 7);
    for framing in [Framing::Either, Framing::Lines] {
        let mut rest = data;
        while let Frame::Message { start, end, used } = framing.next(rest, MOST) {
            assert!(start <= end && end <= used && end - start <= MOST);
            let _ = Message::parse(&rest[start..end]);
            rest = &rest[used..];
        }
    }
});
