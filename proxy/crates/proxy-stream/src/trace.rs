//! `filter trace` (configuration manual, 9.1): tells on standard error what goes through a stream, and may let payload
//! through in parts of random size. For finding out what other filters do.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A filter of the configuration.
#[derive(Debug, Default)]
pub struct Tracer {
    pub name: Box<str>,
    pub quiet: bool,
    /// Parts have a random size.
    pub random: bool,
    /// Bytes of a part at most; 0 is no limit.
    pub most: u32,
    /// Shows payload.
    pub hexdump: bool,
    pub dice: AtomicU64,
}

impl Tracer {
    /// Tells one thing.
    pub(crate) fn tell(&self, stream: u32, what: &str) {
        if !self.quiet {
            let line = format!("[TRACE] {} stream={stream} {what}\n", self.name);
            // Nobody else could be told.
            let _ = std::io::stderr().lock().write_all(line.as_bytes());
        }
    }

    /// How much of `length` bytes goes through at a time: at least one.
    fn part(&self, length: usize) -> usize {
        let most = if self.most == 0 { length } else { length.min(self.most as usize) };
        if !self.random || most <= 1 {
            return most;
        }
        // splitmix64
        let mut n = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        1 + (n % most as u64) as usize
    }
}

/// The filters of one direction of a stream.
#[derive(Default)]
pub(crate) struct Traced {
    filters: Vec<(Arc<Tracer>, u32)>,
    to_client: bool,
}

impl Traced {
    pub(crate) fn add(&mut self, tracer: &Arc<Tracer>, stream: u32, to_client: bool) {
        self.to_client = to_client;
        self.filters.push((tracer.clone(), stream));
    }

    /// How much of `data` goes on now; tells of it.
    pub(crate) fn part(&self, data: &[u8]) -> usize {
        let mut length = data.len();
        for (tracer, stream) in &self.filters {
            let (there, way) = (length, if self.to_client { "response" } else { "request" });
            length = tracer.part(there);
            if tracer.quiet {
                continue;
            }
            let mut text = format!("{way} payload: {length} of {there} bytes");
            if tracer.hexdump {
                dump(&data[..length], &mut text);
            }
            tracer.tell(*stream, &text);
        }
        length
    }
}

/// Lines of sixteen bytes.
fn dump(data: &[u8], out: &mut String) {
    for (row, bytes) in data.chunks(16).enumerate() {
        // Writing to memory does not fail.
        let _ = write!(out, "\n  {:06x}", row * 16);
        bytes.iter().for_each(|byte| {
            let _ = write!(out, " {byte:02x}");
        });
        out.extend(std::iter::repeat_n("   ", 16 - bytes.len()).chain(["  "]));
        out.extend(
            bytes.iter().map(|b| if (0x20..0x7f).contains(b) { char::from(*b) } else { '.' }),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_never_empty_or_too_long() {
        let random = Tracer { random: true, most: 100, quiet: true, ..Tracer::default() };
        for length in 1..500 {
            assert!((1..=length.min(100)).contains(&random.part(length)), "{length}");
        }
        let whole = Tracer { quiet: true, ..Tracer::default() };
        assert_eq!(whole.part(500), 500);
        assert_eq!(Tracer { most: 7, ..whole }.part(500), 7);
    }

    #[test]
    fn a_dump() {
        let mut text = String::new();
        dump(b"GET / HTTP/1.1\r\nx", &mut text);
        let first = "\n  000000 47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..";
        let second = format!("\n  000010 78{}  x", " ".repeat(45));
        assert_eq!(text, format!("{first}{second}"));
    }
}
