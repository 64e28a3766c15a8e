//! Packets in a file that Wireshark and tcpdump read: pcapng (draft-ietf-opsawg-pcapng), with the reason as a comment.

use std::io::{Result, Write};
use std::time::SystemTime;

use proxy_datapath::Sample;

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
/// `LINKTYPE_ETHERNET`.
const ETHERNET: u16 = 1;

const END: u16 = 0;
const COMMENT: u16 = 1;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;

/// Writes packets as they come.
pub(super) struct Pcap<W> {
    out: W,
    /// Interfaces that were named, in the order of their numbers in the file.
    interfaces: Vec<u32>,
}

impl<W: Write> Pcap<W> {
    pub(super) fn new(mut out: W) -> Result<Self> {
        let mut body = Vec::new();
        body.extend(BYTE_ORDER.to_ne_bytes());
        body.extend(1_u16.to_ne_bytes());
        body.extend(0_u16.to_ne_bytes());
        // The section's length is not known.
        body.extend(u64::MAX.to_ne_bytes());
        block(&mut out, SECTION, &body)?;
        Ok(Self { out, interfaces: Vec::new() })
    }

    pub(super) fn write(&mut self, sample: &Sample, interface: &str) -> Result<()> {
        let known = self.interfaces.iter().position(|index| *index == sample.ifindex);
        let number = match known {
            Some(number) => number,
            None => {
                self.interfaces.push(sample.ifindex);
                let mut body = Vec::new();
                body.extend(ETHERNET.to_ne_bytes());
                body.extend([0; 6]);
                option(&mut body, NAME, interface.as_bytes());
                // Nanoseconds.
                option(&mut body, RESOLUTION, &[9]);
                option(&mut body, END, &[]);
                block(&mut self.out, INTERFACE, &body)?;
                self.interfaces.len() - 1
            }
        };
        let since = sample.time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let time = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        let held = u32::try_from(sample.bytes.len()).unwrap_or(u32::MAX);
        let mut body = Vec::new();
        body.extend(u32::try_from(number).unwrap_or(u32::MAX).to_ne_bytes());
        body.extend(((time >> 32) as u32).to_ne_bytes());
        body.extend((time as u32).to_ne_bytes());
        body.extend(held.to_ne_bytes());
        body.extend(sample.len.max(held).to_ne_bytes());
        body.extend(&sample.bytes);
        pad(&mut body);
        let comment = format!("{} {} {}", sample.verdict, sample.reason, sample.hook);
        option(&mut body, COMMENT, comment.as_bytes());
        option(&mut body, END, &[]);
        block(&mut self.out, PACKET, &body)?;
        self.out.flush()
    }
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_ne_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_ne_bytes());
    body.extend(value);
    pad(body);
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> Result<()> {
    let length = u32::try_from(body.len() + 12).unwrap_or(u32::MAX).to_ne_bytes();
    out.write_all(&kind.to_ne_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kinds and bodies, read as the format says.
    fn blocks(mut file: &[u8]) -> Vec<(u32, Vec<u8>)> {
        let mut blocks = Vec::new();
        let word = |bytes: &[u8]| u32::from_ne_bytes(bytes[..4].try_into().unwrap());
        while !file.is_empty() {
            let length = word(&file[4..]) as usize;
            assert!(length.is_multiple_of(4) && word(&file[length - 4..]) as usize == length);
            blocks.push((word(file), file[8..length - 4].to_vec()));
            file = &file[length..];
        }
        blocks
    }

    #[test]
    fn an_interface_is_named_once_and_a_reason_each_time() {
        let mut file = Vec::new();
        let mut pcap = Pcap::new(&mut file).unwrap();
        let sample = |ifindex, bytes: &[u8]| Sample {
            time: SystemTime::UNIX_EPOCH + std::time::Duration::from_nanos(0x1_0000_0002),
            ifindex,
            verdict: "dropped",
            reason: "denied",
            hook: "tc",
            len: 1500,
            bytes: bytes.to_vec(),
        };
        for (ifindex, bytes) in [(7, &b"abcde"[..]), (7, b""), (9, b"x")] {
            pcap.write(&sample(ifindex, bytes), "front").unwrap();
        }
        let blocks = blocks(&file);
        let kinds: Vec<_> = blocks.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [SECTION, INTERFACE, PACKET, PACKET, INTERFACE, PACKET]);
        let body = &blocks[2].1;
        let words: Vec<u32> =
            body.chunks(4).take(5).map(|w| u32::from_ne_bytes(w.try_into().unwrap())).collect();
        assert_eq!(words, [0, 1, 2, 5, 1500]);
        assert_eq!(&body[20..28], b"abcde\0\0\0");
        assert!(body.windows(17).any(|part| part == b"dropped denied tc"));
        assert_eq!(blocks[5].1[0], 1);
    }
}
