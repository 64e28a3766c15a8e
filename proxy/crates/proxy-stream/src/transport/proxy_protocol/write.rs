//! Headers that are sent.

use std::net::{IpAddr, SocketAddr};

use super::{Ends, SIGNATURE, tlv};

/// What a header of version 2 tells of the client.
#[derive(Debug, Default)]
pub(crate) struct Content<'a> {
    pub(crate) alpn: Option<&'a [u8]>,
    pub(crate) authority: Option<&'a [u8]>,
    pub(crate) crc32c: bool,
    pub(crate) unique_id: Option<&'a [u8]>,
    pub(crate) ssl: Option<Ssl<'a>>,
    /// `set-proxy-v2-tlv-fmt`.
    pub(crate) others: Vec<(u8, Vec<u8>)>,
}

/// What is told of the client's TLS.
#[derive(Debug, Default)]
pub(crate) struct Ssl<'a> {
    pub(crate) over_tls: bool,
    /// The client showed a certificate, in this connection or in the one whose session it resumed.
    pub(crate) certificate: bool,
    pub(crate) resumed: bool,
    /// Number of the error found in it; 0 is none.
    pub(crate) verify: u32,
    pub(crate) version: Option<&'a [u8]>,
    pub(crate) cn: Option<&'a [u8]>,
    pub(crate) cipher: Option<&'a [u8]>,
    pub(crate) sig_alg: Option<&'a [u8]>,
    pub(crate) key_alg: Option<&'a [u8]>,
}

/// Both addresses in one family.
fn alike((src, dst): Ends) -> Ends {
    let v6 = |addr: SocketAddr| match addr.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), addr.port()),
        IpAddr::V6(_) => addr,
    };
    if src.is_ipv4() == dst.is_ipv4() { (src, dst) } else { (v6(src), v6(dst)) }
}

/// A header of version 1. `None` is a connection without IP addresses.
pub(crate) fn v1(ends: Option<Ends>) -> Vec<u8> {
    let Some((src, dst)) = ends.map(alike) else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if src.is_ipv4() { 4 } else { 6 };
    let (src_ip, dst_ip) = (src.ip(), dst.ip());
    format!("PROXY TCP{family} {src_ip} {dst_ip} {} {}\r\n", src.port(), dst.port()).into_bytes()
}

/// A header of version 2. Without IP addresses it says LOCAL, as HAProxy's does, and tells nothing else.
pub(crate) fn v2(ends: Option<Ends>, content: &Content<'_>) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    let Some((src, dst)) = ends.map(alike) else {
        out.extend_from_slice(&[0x20, 0, 0, 0]);
        return out;
    };
    out.extend_from_slice(&[0x21, if src.is_ipv4() { 0x11 } else { 0x21 }, 0, 0]);
    for addr in [src, dst] {
        match addr.ip() {
            IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
        }
    }
    out.extend_from_slice(&src.port().to_be_bytes());
    out.extend_from_slice(&dst.port().to_be_bytes());
    let mut sum_at = None;
    if content.crc32c {
        put(&mut out, tlv::CRC32C, &[0; 4]);
        sum_at = Some(out.len() - 4);
    }
    let mut optional = |kind, value: Option<&[u8]>| {
        if let Some(value) = value {
            put(&mut out, kind, value);
        }
    };
    optional(tlv::ALPN, content.alpn);
    optional(tlv::AUTHORITY, content.authority);
    optional(tlv::UNIQUE_ID, content.unique_id);
    if let Some(ssl) = &content.ssl {
        put(&mut out, tlv::SSL, &inner(ssl));
    }
    for (kind, value) in &content.others {
        put(&mut out, *kind, value);
    }
    let length = u16::try_from(out.len() - 16).unwrap_or(u16::MAX);
    out[14..16].copy_from_slice(&length.to_be_bytes());
    if let Some(at) = sum_at {
        let sum = crc32c::crc32c(&out);
        out[at..at + 4].copy_from_slice(&sum.to_be_bytes());
    }
    out
}

/// Makes a header of version 2 that says LOCAL say PROXY.
pub(crate) fn say_proxy(header: &mut [u8]) {
    if let Some(command) = header.get_mut(SIGNATURE.len()) {
        *command = 0x21;
    }
}

fn inner(ssl: &Ssl<'_>) -> Vec<u8> {
    const OVER_TLS: u8 = 1;
    const CERTIFICATE_OF_CONNECTION: u8 = 2;
    const CERTIFICATE_OF_SESSION: u8 = 4;
    let mut client = 0;
    if ssl.over_tls {
        client |= OVER_TLS;
    }
    if ssl.certificate {
        client |= CERTIFICATE_OF_SESSION;
        if !ssl.resumed {
            client |= CERTIFICATE_OF_CONNECTION;
        }
    }
    let mut out = vec![client];
    out.extend_from_slice(&ssl.verify.to_be_bytes());
    let values = [
        (tlv::SSL_VERSION, ssl.version),
        (tlv::SSL_CN, ssl.cn),
        (tlv::SSL_KEY_ALG, ssl.key_alg),
        (tlv::SSL_SIG_ALG, ssl.sig_alg),
        (tlv::SSL_CIPHER, ssl.cipher),
    ];
    for (kind, value) in values {
        if let Some(value) = value {
            put(&mut out, kind, value);
        }
    }
    out
}

/// Leaves out what does not fit any more: a header is 65551 bytes long at most.
fn put(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let room = usize::from(u16::MAX).saturating_sub(out.len() + 3);
    if let Ok(length) = u16::try_from(value.len())
        && value.len() <= room
    {
        out.push(kind);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(value);
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn ends(src: &str, dst: &str) -> Option<Ends> {
        Some((src.parse().unwrap(), dst.parse().unwrap()))
    }

    #[test]
    fn lines_of_version_1() {
        let check =
            |ends, expected: &str| assert_eq!(String::from_utf8(v1(ends)).unwrap(), expected);
        check(None, "PROXY UNKNOWN\r\n");
        check(ends("1.2.3.4:5", "6.7.8.9:10"), "PROXY TCP4 1.2.3.4 6.7.8.9 5 10\r\n");
        check(ends("[::1]:5", "[::2]:10"), "PROXY TCP6 ::1 ::2 5 10\r\n");
        check(ends("1.2.3.4:5", "[::2]:10"), "PROXY TCP6 ::ffff:1.2.3.4 ::2 5 10\r\n");
    }

    #[test]
    fn as_haproxy_sends_it() {
        let ssl = Some(Ssl::default());
        let content = Content { crc32c: true, unique_id: Some(b""), ssl, ..Content::default() };
        let sent = v2(ends("127.0.0.1:44506", "127.0.0.1:18082"), &content);
        assert_eq!(sent, b"\r\n\r\n\0\r\nQUIT\n!\x11\0\x1e\x7f\0\0\x01\x7f\0\0\x01\xad\xdaF\xa2\x03\0\x04B\x8cB\x86\x05\0\0 \0\x05\0\0\0\0\0");
        let mut local = v2(None, &content);
        assert_eq!(local, b"\r\n\r\n\0\r\nQUIT\n \0\0\0");
        say_proxy(&mut local);
        assert_eq!(local, b"\r\n\r\n\0\r\nQUIT\n!\0\0\0");
    }

    proptest::proptest! {
        #[test]
        fn what_is_sent_can_be_read(
            src: (u32, u16), dst: (u128, u16), crc32c: bool, same: bool,
            alpn: Option<Vec<u8>>, others: Vec<(u8, Vec<u8>)>,
        ) {
            let src = SocketAddr::new(std::net::Ipv4Addr::from(src.0).into(), src.1);
            let dst = if same { src } else {
                SocketAddr::new(std::net::Ipv6Addr::from(dst.0).into(), dst.1)
            };
            let others: Vec<_> = others.into_iter().map(|(kind, value)| (kind | 0x80, value)).collect();
            let content = Content { crc32c, alpn: alpn.as_deref(), others: others.clone(), ..Content::default() };
            let bytes = v2(Some((src, dst)), &content);
            let (header, length) = parse(&bytes).unwrap().unwrap();
            proptest::prop_assert_eq!(length, bytes.len());
            proptest::prop_assert_eq!(header.ends, Some(alike((src, dst))));
            let count = usize::from(crc32c) + usize::from(alpn.is_some()) + others.len();
            proptest::prop_assert_eq!(header.tlvs.len(), count.min(64));
            let bytes = v1(Some((src, dst)));
            let (header, length) = parse(&bytes).unwrap().unwrap();
            proptest::prop_assert_eq!(length, bytes.len());
            proptest::prop_assert_eq!(header.ends, Some(alike((src, dst))));
        }
    }
}
