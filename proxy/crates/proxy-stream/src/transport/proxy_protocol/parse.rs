//! Headers that come.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Ends, SIGNATURE, tlv};

/// Longest line of version 1, its end included.
const V1_MAX: usize = 107;
/// Values that are kept must not be longer, so that a peer cannot fill the memory.
const VALUE_MAX: usize = 1024;
/// Values that are kept of one header.
const VALUES_MAX: usize = 64;

/// What a header says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Client and the address it connected to; `None` keeps those of the connection.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// Types and values of version 2; those within the TLS value follow it.
    pub tlvs: Vec<(u8, Box<[u8]>)>,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("received something which does not look like a PROXY protocol header")]
    NotAHeader,
    #[error("received an invalid PROXY protocol header")]
    Bad,
    #[error("received an unhandled protocol in the PROXY protocol header")]
    Protocol,
}

/// Reads the header at the start of `data`. `None` asks for more. Otherwise also tells its length.
///
/// # Errors
/// There is none, or it makes no sense.
pub fn parse(data: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let common = data.len().min(SIGNATURE.len());
    if data[..common] == SIGNATURE[..common] {
        // "\r\n" alone is the start of a signature, too.
        return if common < SIGNATURE.len() { Ok(None) } else { v2(data) };
    }
    v1(data)
}

fn v1(data: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    const WORD: &[u8] = b"PROXY ";
    let common = data.len().min(WORD.len());
    if data[..common] != WORD[..common] {
        return Err(HeaderError::NotAHeader);
    }
    let line = &data[..data.len().min(V1_MAX)];
    let Some(end) = line.windows(2).position(|pair| pair == b"\r\n") else {
        return if data.len() >= V1_MAX { Err(HeaderError::Bad) } else { Ok(None) };
    };
    let text =
        std::str::from_utf8(&line[WORD.len().min(end)..end]).map_err(|_| HeaderError::Bad)?;
    let mut words = text.split(' ');
    let protocol = words.next().unwrap_or_default();
    if protocol == "UNKNOWN" {
        return Ok(Some((Header::default(), end + 2)));
    }
    if protocol != "TCP4" && protocol != "TCP6" {
        return Err(HeaderError::Protocol);
    }
    let mut address = || {
        let ip = words.next()?.parse::<IpAddr>().ok()?;
        (ip.is_ipv4() == (protocol == "TCP4")).then_some(ip)
    };
    let ips = (address().ok_or(HeaderError::Bad)?, address().ok_or(HeaderError::Bad)?);
    let mut port = || {
        let word = words.next()?;
        let digits = word.bytes().all(|byte| byte.is_ascii_digit());
        if digits { word.parse::<u16>().ok() } else { None }
    };
    let ports = (port().ok_or(HeaderError::Bad)?, port().ok_or(HeaderError::Bad)?);
    if words.next().is_some() {
        return Err(HeaderError::Bad);
    }
    let ends = Some((SocketAddr::new(ips.0, ports.0), SocketAddr::new(ips.1, ports.1)));
    Ok(Some((Header { ends, tlvs: Vec::new() }, end + 2)))
}

fn v2(data: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let Some(&[version_command, family, high, low]) = data.get(12..).and_then(|b| b.first_chunk())
    else {
        return match data.get(12) {
            Some(byte) if byte >> 4 != 2 => Err(HeaderError::Bad),
            _ => Ok(None),
        };
    };
    if version_command >> 4 != 2 {
        return Err(HeaderError::Bad);
    }
    let length = 16 + usize::from(u16::from_be_bytes([high, low]));
    let Some(whole) = data.get(..length) else { return Ok(None) };
    let content = &whole[16..];
    let (ends, rest) = match (version_command & 15, family) {
        // LOCAL: a check of the sender's; addresses, if any, do not count. UNSPEC: it could not tell.
        (0, _) | (1, 0x00) => (None, &content[address_length(family).min(content.len())..]),
        (1, 0x11) => {
            let (block, rest) = content.split_first_chunk::<12>().ok_or(HeaderError::Bad)?;
            (Some(ipv4(block)), rest)
        }
        (1, 0x21) => {
            let (block, rest) = content.split_first_chunk::<36>().ok_or(HeaderError::Bad)?;
            (Some(ipv6(block)), rest)
        }
        // UNIX sockets have no address that could take the place of the connection's.
        (1, 0x31) => (None, content.get(216..).ok_or(HeaderError::Bad)?),
        (1, _) => return Err(HeaderError::Protocol),
        _ => return Err(HeaderError::Bad),
    };
    let mut tlvs = Vec::new();
    if !rest.is_empty() {
        // What LOCAL carries need not be well-formed to be skipped.
        match values(whole, rest, &mut tlvs) {
            Err(_) if version_command & 15 == 0 => tlvs.clear(),
            outcome => outcome?,
        }
    }
    Ok(Some((Header { ends, tlvs }, length)))
}

fn address_length(family: u8) -> usize {
    match family >> 4 {
        1 => 12,
        2 => 36,
        3 => 216,
        _ => 0,
    }
}

fn ipv4(block: &[u8; 12]) -> Ends {
    let ip = |at: usize| Ipv4Addr::new(block[at], block[at + 1], block[at + 2], block[at + 3]);
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    ((ip(0), port(8)).into(), (ip(4), port(10)).into())
}

fn ipv6(block: &[u8; 36]) -> Ends {
    let ip = |at: usize| {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&block[at..at + 16]);
        Ipv6Addr::from(bytes)
    };
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    ((ip(0), port(32)).into(), (ip(16), port(34)).into())
}

fn values(
    whole: &[u8],
    mut rest: &[u8],
    tlvs: &mut Vec<(u8, Box<[u8]>)>,
) -> Result<(), HeaderError> {
    while let Some((kind, value)) = one(&mut rest)? {
        if kind == tlv::CRC32C {
            check(whole, value)?;
        }
        keep(tlvs, kind, value);
        if kind == tlv::SSL
            && let Some(mut inner) = value.get(5..)
        {
            while let Some((kind, value)) = one(&mut inner)? {
                keep(tlvs, kind, value);
            }
        }
    }
    Ok(())
}

fn keep(tlvs: &mut Vec<(u8, Box<[u8]>)>, kind: u8, value: &[u8]) {
    if value.len() <= VALUE_MAX && tlvs.len() < VALUES_MAX {
        tlvs.push((kind, value.into()));
    }
}

/// Takes the first value off `data`.
fn one<'a>(data: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>, HeaderError> {
    if data.is_empty() {
        return Ok(None);
    }
    let (&[kind, high, low], rest) = data.split_first_chunk::<3>().ok_or(HeaderError::Bad)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (value, rest) = rest.split_at_checked(length).ok_or(HeaderError::Bad)?;
    *data = rest;
    Ok(Some((kind, value)))
}

/// The sum is that of the header with zeros in the sum's place.
fn check(whole: &[u8], value: &[u8]) -> Result<(), HeaderError> {
    let sum: [u8; 4] = value.try_into().map_err(|_| HeaderError::Bad)?;
    let at = value.as_ptr() as usize - whole.as_ptr() as usize;
    let mut computed = crc32c::crc32c(&whole[..at]);
    computed = crc32c::crc32c_append(computed, &[0; 4]);
    computed = crc32c::crc32c_append(computed, &whole[at + 4..]);
    if computed == u32::from_be_bytes(sum) { Ok(()) } else { Err(HeaderError::Bad) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_v1(text: &str, expected: Result<Option<(&str, usize)>, HeaderError>) {
        let got = parse(text.as_bytes()).map(|found| {
            found.map(|(header, length)| {
                let ends = header.ends.map(|(src, dst)| format!("{src} {dst}"));
                (ends.unwrap_or_default(), length)
            })
        });
        let expected = expected.map(|found| found.map(|(ends, length)| (ends.to_owned(), length)));
        assert_eq!(got, expected, "{text:?}");
    }

    #[test]
    fn version_1() {
        use HeaderError::{Bad, NotAHeader, Protocol};
        check_v1("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r\nrest", Ok(Some(("1.2.3.4:9 5.6.7.8:10", 33))));
        check_v1("PROXY TCP6 ::1 ::2 9 10\r\n", Ok(Some(("[::1]:9 [::2]:10", 25))));
        check_v1("PROXY UNKNOWN\r\n", Ok(Some(("", 15))));
        check_v1("PROXY UNKNOWN ::1 anything\r\n", Ok(Some(("", 28))));
        check_v1("PROXY TCP4 1.2.3.4 5.6.7.8 9 10\r", Ok(None));
        check_v1("PRO", Ok(None));
        check_v1("", Ok(None));
        check_v1("GET / HTTP/1.1\r\n", Err(NotAHeader));
        check_v1("\r\n\r\nGET", Err(NotAHeader));
        check_v1("PROXY TCP5 1.2.3.4 5.6.7.8 9 10\r\n", Err(Protocol));
        check_v1("PROXY TCP4 ::1 ::2 9 10\r\n", Err(Bad));
        check_v1("PROXY TCP4 1.2.3.4 5.6.7.8 9\r\n", Err(Bad));
        check_v1("PROXY TCP4 1.2.3.4 5.6.7.8 9 70000\r\n", Err(Bad));
        check_v1("PROXY TCP4 1.2.3.4 5.6.7.8 +9 10\r\n", Err(Bad));
        check_v1("PROXY TCP4 1.2.3.4 5.6.7.8 9 10 11\r\n", Err(Bad));
        check_v1(&"PROXY TCP4 ".repeat(10), Err(Bad));
    }

    fn v2_of(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
        let mut data = SIGNATURE.to_vec();
        data.extend([0x20 | command, family]);
        data.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        data.extend(content);
        data
    }

    #[test]
    fn version_2() {
        let ends = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10];
        let whole = v2_of(1, 0x11, &ends);
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), Ok(None), "cut at {cut}");
        }
        let (header, length) = parse(&whole).unwrap().unwrap();
        assert_eq!(length, whole.len());
        assert_eq!(
            header.ends,
            Some(("1.2.3.4:9".parse().unwrap(), "5.6.7.8:10".parse().unwrap()))
        );

        let local = v2_of(0, 0, &[]);
        assert_eq!(parse(&local), Ok(Some((Header::default(), 16))));
        assert_eq!(parse(&v2_of(1, 0x11, &ends[..11])), Err(HeaderError::Bad));
        assert_eq!(parse(&v2_of(1, 0x12, &ends)), Err(HeaderError::Protocol));
        assert_eq!(parse(&v2_of(2, 0x11, &ends)), Err(HeaderError::Bad));
    }

    #[test]
    fn values_of_version_2() {
        let ends = [1, 2, 3, 4, 5, 6, 7, 8, 0, 9, 0, 10];
        let with = |tlvs: &[u8]| parse(&v2_of(1, 0x11, &[&ends, tlvs].concat()));
        let tlvs = with(b"\x01\0\x02h2\x20\0\x0b\x01\0\0\0\0\x21\0\x03TLS\xe0\0\0")
            .unwrap()
            .unwrap()
            .0
            .tlvs;
        let kinds: Vec<u8> = tlvs.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [1, 0x20, 0x21, 0xe0]);
        assert_eq!(&*tlvs[2].1, b"TLS");
        assert_eq!(with(b"\x01\0\x03h2"), Err(HeaderError::Bad));
        assert_eq!(with(b"\x03\0\x04\0\0\0\0"), Err(HeaderError::Bad));
        assert_eq!(with(b"\x03\0\x01\0"), Err(HeaderError::Bad));
        // As HAProxy 2.6 sent it.
        let sent = b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x1e\x7f\0\0\x01\x7f\0\0\x01\xad\xdaF\xa2\x03\0\x04B\x8cB\x86\x05\0\0 \0\x05\0\0\0\0\0";
        assert!(parse(sent).unwrap().is_some());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_judged(data: Vec<u8>) {
            let _ = parse(&data);
            let _ = parse(&[&SIGNATURE[..], &data].concat());
            let _ = parse(&v2_of(1, 0x21, &[&[0; 36][..], &data].concat()));
        }
    }
}
