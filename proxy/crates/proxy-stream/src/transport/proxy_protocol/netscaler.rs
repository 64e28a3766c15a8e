//! NetScaler's client IP header: a magic number, a length, and the IP and TCP headers of the client's packet.
//!
//! ```text
//! legacy:    magic (4)  length of the headers (4)  IP header  TCP header
//! standard:  magic (4)  length of all (4)  length of the header (2)  type (2)  IP header  TCP header ...
//! ```

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Ends, Header};

/// Longest header that is waited for, in bytes.
const MAX: usize = 512;

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CipError {
    #[error("received an invalid NetScaler Client IP magic number")]
    Magic,
    #[error("received an unhandled protocol in the NetScaler Client IP header")]
    Protocol,
    #[error("truncated NetScaler Client IP header received")]
    Truncated,
}

/// Reads the header at the start of `data`. `None` asks for more. Otherwise also tells its length.
///
/// # Errors
/// It makes no sense.
pub fn parse(data: &[u8], magic: u32) -> Result<Option<(Header, usize)>, CipError> {
    let expected = magic.to_be_bytes();
    let common = data.len().min(4);
    if data[..common] != expected[..common] {
        return Err(CipError::Magic);
    }
    let Some(length) = number(data, 4, 4) else { return Ok(None) };
    // An IP header starts with its version; the type that follows in the standard form starts with zeros.
    let Some(&marker) = data.get(8) else { return Ok(None) };
    let (start, end) = match marker >> 4 {
        4 | 6 => (8, 8usize.saturating_add(length)),
        _ => (12, length),
    };
    if end > MAX || end < start + 40 {
        return Err(CipError::Truncated);
    }
    let Some(packet) = data.get(start..end) else { return Ok(None) };
    let ends = match packet[0] >> 4 {
        4 => ipv4(packet),
        6 => ipv6(packet),
        _ => return Err(CipError::Protocol),
    };
    ends.map(|ends| Some((Header { ends: Some(ends), tlvs: Vec::new() }, end)))
}

fn number(data: &[u8], at: usize, len: usize) -> Option<usize> {
    let bytes = data.get(at..at + len)?;
    Some(bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)))
}

fn ports(packet: &[u8], at: usize) -> Result<(u16, u16), CipError> {
    match packet.get(at..at + 4) {
        Some(&[a, b, c, d]) => Ok((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))),
        _ => Err(CipError::Truncated),
    }
}

fn ipv4(packet: &[u8]) -> Result<Ends, CipError> {
    const TCP: u8 = 6;
    if packet.len() < 20 {
        return Err(CipError::Truncated);
    }
    if packet[9] != TCP {
        return Err(CipError::Protocol);
    }
    let ip = |at: usize| Ipv4Addr::new(packet[at], packet[at + 1], packet[at + 2], packet[at + 3]);
    let (src, dst) = ports(packet, usize::from(packet[0] & 15) * 4)?;
    Ok(((ip(12), src).into(), (ip(16), dst).into()))
}

fn ipv6(packet: &[u8]) -> Result<Ends, CipError> {
    const TCP: u8 = 6;
    if packet.len() < 40 {
        return Err(CipError::Truncated);
    }
    if packet[6] != TCP {
        return Err(CipError::Protocol);
    }
    let ip = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&packet[at..at + 16]);
        Ipv6Addr::from(bytes)
    };
    let (src, dst) = ports(packet, 40)?;
    Ok(((ip(8), src).into(), (ip(24), dst).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: u32 = 0x5050_5050;

    fn packet() -> Vec<u8> {
        let mut packet = vec![0; 40];
        (packet[0], packet[9]) = (0x45, 6);
        packet[12..20].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]);
        packet[20..24].copy_from_slice(&[0, 9, 0, 10]);
        packet
    }

    fn header(start: &[u8], packet: &[u8]) -> Vec<u8> {
        [&MAGIC.to_be_bytes()[..], start, packet].concat()
    }

    #[test]
    fn both_forms() {
        let ends = ("1.2.3.4:9".parse().unwrap(), "5.6.7.8:10".parse().unwrap());
        let ends = Header { ends: Some(ends), tlvs: Vec::new() };
        let legacy = header(&[0, 0, 0, 40], &packet());
        assert_eq!(parse(&legacy, MAGIC), Ok(Some((ends.clone(), 48))));
        let standard = header(&[0, 0, 0, 52, 0, 52, 0, 0], &packet());
        assert_eq!(parse(&standard, MAGIC), Ok(Some((ends, 52))));
        for cut in 0..legacy.len() {
            assert_eq!(parse(&legacy[..cut], MAGIC), Ok(None), "cut at {cut}");
        }
        for cut in 0..standard.len() {
            assert_eq!(parse(&standard[..cut], MAGIC), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(parse(b"GET / HTTP", MAGIC), Err(CipError::Magic));
        let long = header(&[0, 1, 0, 0], &packet());
        assert_eq!(parse(&long, MAGIC), Err(CipError::Truncated));
        let mut udp = packet();
        udp[9] = 17;
        assert_eq!(parse(&header(&[0, 0, 0, 40], &udp), MAGIC), Err(CipError::Protocol));
        let mut options = packet();
        options[0] = 0x4f;
        assert_eq!(parse(&header(&[0, 0, 0, 40], &options), MAGIC), Err(CipError::Truncated));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged(data: Vec<u8>, length: u8) {
            let _ = parse(&header(&[0, 0, 0, length], &data), MAGIC);
        }
    }
}
