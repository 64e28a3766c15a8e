//! The ClientHello of TLS, as far as routing needs it (RFC 8446, 4.1.2; RFC 6066, 3). Bounded by the bytes given.

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hello<'a> {
    Client(ClientHello<'a>),
    /// No TLS, or not a ClientHello.
    Other,
    /// The start of one.
    Partial,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientHello<'a> {
    /// 0x0303 is TLS 1.2 (and what TLS 1.3 writes here).
    pub(super) version: u16,
    pub(super) ciphers: &'a [u8],
    /// Types and contents behind one another, each with its length in front.
    extensions: &'a [u8],
}

const SERVER_NAME: usize = 0;
const SUPPORTED_GROUPS: usize = 10;
const SIGNATURE_ALGORITHMS: usize = 13;
const ALPN: usize = 16;
const SESSION_TICKET: usize = 35;
const KEY_SHARE: usize = 51;

impl<'a> ClientHello<'a> {
    fn extension(&self, wanted: usize) -> Option<Bytes<'a>> {
        let mut extensions = Bytes(self.extensions);
        loop {
            let kind = extensions.number(2)?;
            let content = extensions.field(2)?;
            if kind == wanted {
                return Some(content);
            }
        }
    }

    /// The host that it names (RFC 6066, 3).
    pub(super) fn server_name(&self) -> Option<&'a [u8]> {
        let mut names = self.extension(SERVER_NAME)?.field(2)?;
        match names.number(1)? {
            0 => names.field(2).map(|name| name.0),
            _ => None,
        }
    }

    /// The protocol that it likes best (RFC 7301, 3.1).
    pub(super) fn alpn(&self) -> Option<&'a [u8]> {
        self.extension(ALPN)?.field(2)?.field(1).map(|name| name.0)
    }

    /// Whether it has the extension of elliptic curves (RFC 8422, 5.1).
    pub(super) fn has_curves(&self) -> bool {
        self.extension(SUPPORTED_GROUPS).is_some()
    }

    /// Groups of the key exchange, two bytes each.
    pub(super) fn groups(&self) -> Option<&'a [u8]> {
        self.extension(SUPPORTED_GROUPS)?.field(2).map(|list| list.0)
    }

    /// Signature algorithms, two bytes each.
    pub(super) fn signatures(&self) -> Option<&'a [u8]> {
        self.extension(SIGNATURE_ALGORITHMS)?.field(2).map(|list| list.0)
    }

    /// Groups that it sends a key share of (RFC 8446, 4.2.8).
    pub(super) fn key_shares(&self) -> Option<impl Iterator<Item = &'a [u8]>> {
        let mut shares = self.extension(KEY_SHARE)?.field(2)?;
        Some(std::iter::from_fn(move || {
            let group = shares.take(2)?;
            shares.field(2)?;
            Some(group)
        }))
    }

    /// 0 without the extension of session tickets, 2 with a ticket, or else 1 (RFC 5077, 3.2).
    pub(super) fn ticket(&self) -> i64 {
        self.extension(SESSION_TICKET).map_or(0, |ticket| if ticket.0.is_empty() { 1 } else { 2 })
    }
}

/// The type of the hello in the first record of `data`: 1 is a client's, 2 a server's.
pub(super) fn kind(data: &[u8]) -> Kind {
    let wrong = |at: usize, good: fn(u8) -> bool| data.get(at).is_some_and(|b| !good(*b));
    if wrong(0, |b| b == 22) || wrong(1, |b| b == 3) || wrong(5, |b| b == 1 || b == 2) {
        return Kind::Other;
    }
    let Some(&[high, low]) = data.get(3..5).and_then(|b| <&[u8; 2]>::try_from(b).ok()) else {
        return Kind::Partial;
    };
    let size = usize::from(high) << 8 | usize::from(low);
    // What a server says next may stand in the same record: its hello has to be there.
    let Some(&[kind, a, b, c]) = data.get(5..9).and_then(|b| <&[u8; 4]>::try_from(b).ok()) else {
        return Kind::Partial;
    };
    let hello = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
    match 4 + hello <= size && size <= 16_384 {
        false => Kind::Other,
        true if data.len() >= 9 + hello => Kind::Hello(kind),
        true => Kind::Partial,
    }
}

/// What [`kind`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Hello(u8),
    Other,
    Partial,
}

/// A reader that stops at the end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(head)
    }

    fn number(&mut self, len: usize) -> Option<usize> {
        Some(self.take(len)?.iter().fold(0, |n, b| n << 8 | usize::from(*b)))
    }

    /// A field with its length in `len` bytes in front.
    fn field(&mut self, len: usize) -> Option<Self> {
        let size = self.number(len)?;
        self.take(size).map(Bytes)
    }
}

/// Reads the ClientHello in the first record of `data`.
pub(super) fn parse(data: &[u8]) -> Hello<'_> {
    // Record: type 22, version 3.x, length; then handshake type 1.
    let wrong = |at: usize, good: fn(u8) -> bool| data.get(at).is_some_and(|b| !good(*b));
    if wrong(0, |b| b == 22) || wrong(1, |b| b == 3) || wrong(5, |b| b == 1) {
        return Hello::Other;
    }
    let Some(&[high, low]) = data.get(3..5).and_then(|b| <&[u8; 2]>::try_from(b).ok()) else {
        return Hello::Partial;
    };
    let size = usize::from(high) << 8 | usize::from(low);
    if !(43..=16_384).contains(&size) {
        return Hello::Other;
    }
    match data.get(5..5 + size) {
        None => Hello::Partial,
        Some(record) => body(record).map_or(Hello::Other, Hello::Client),
    }
}

fn body(record: &[u8]) -> Option<ClientHello<'_>> {
    let mut record = Bytes(record);
    record.take(1)?;
    let mut hello = record.field(3)?;
    let version = hello.number(2)? as u16;
    hello.take(32)?;
    hello.field(1)?;
    let ciphers = hello.field(2)?.0;
    hello.field(1)?;
    let extensions = hello.field(2).map_or(&[][..], |all| all.0);
    Some(ClientHello { version, ciphers, extensions })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ClientHello of TLS 1.2 that names `name`.
    fn hello(name: &[u8]) -> Vec<u8> {
        let mut sni = vec![0, 0];
        sni.extend((name.len() as u16 + 5).to_be_bytes());
        sni.extend((name.len() as u16 + 3).to_be_bytes());
        sni.push(0);
        sni.extend((name.len() as u16).to_be_bytes());
        sni.extend(name);
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend((sni.len() as u16 + 4).to_be_bytes());
        body.extend([0, 10, 0, 0]);
        body.extend(sni);
        let mut record = vec![22, 3, 1];
        record.extend((body.len() as u16 + 4).to_be_bytes());
        record.extend([1, 0]);
        record.extend((body.len() as u16).to_be_bytes());
        record.extend(body);
        record
    }

    #[test]
    fn names_and_partial_ones() {
        let data = hello(b"www.example.com");
        let Hello::Client(client) = parse(&data) else { panic!() };
        assert_eq!((client.version, client.ciphers), (0x303, &[0x13, 1][..]));
        assert_eq!(client.server_name(), Some(&b"www.example.com"[..]));
        assert!(client.has_curves() && client.groups().is_none() && client.alpn().is_none());
        assert_eq!(kind(&data), Kind::Hello(1));
        for len in 0..data.len() {
            assert_eq!(parse(&data[..len]), Hello::Partial, "{len}");
            assert_eq!(kind(&data[..len]), Kind::Partial, "{len}");
        }
        assert_eq!(parse(b"GET / HTTP/1.1"), Hello::Other);
        let mut server = data.clone();
        server[5] = 2;
        assert_eq!(parse(&server), Hello::Other);
        assert_eq!(kind(&server), Kind::Hello(2));
        // No length inside can lead outside.
        for at in 0..data.len() {
            for value in [0, 1, 127, 255] {
                let mut broken = data.clone();
                broken[at] = value;
                if let Hello::Client(hello) = parse(&broken) {
                    let _ = (hello.server_name(), hello.alpn(), hello.groups(), hello.ticket());
                    let _ = (hello.signatures(), hello.key_shares().map(Iterator::count));
                }
                let _ = kind(&broken);
            }
        }
    }

    #[test]
    fn extensions_of_a_hello() {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 4, 0x13, 1, 0x13, 2, 1, 0]);
        let extensions = [
            &[0, 10, 0, 6, 0, 4, 0, 29, 0, 23][..],
            &[0, 13, 0, 4, 0, 2, 4, 3],
            &[
                0, 16, 0, 14, 0, 12, 2, b'h', b'2', 8, b'h', b't', b't', b'p', b'/', b'1', b'.',
                b'1',
            ],
            &[0, 35, 0, 1, 9],
            &[0, 51, 0, 12, 0, 10, 0, 29, 0, 1, 5, 0, 23, 0, 1, 6],
        ]
        .concat();
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let mut record = vec![22, 3, 1];
        record.extend((body.len() as u16 + 4).to_be_bytes());
        record.extend([1, 0]);
        record.extend((body.len() as u16).to_be_bytes());
        record.extend(body);
        let Hello::Client(hello) = parse(&record) else { panic!() };
        assert_eq!(hello.ciphers, [0x13, 1, 0x13, 2]);
        assert_eq!(hello.groups(), Some(&[0, 29, 0, 23][..]));
        assert_eq!(hello.signatures(), Some(&[4, 3][..]));
        assert_eq!(hello.alpn(), Some(&b"h2"[..]));
        assert_eq!(hello.ticket(), 2);
        let shares: Vec<_> = hello.key_shares().unwrap().collect();
        assert_eq!(shares, [&[0, 29][..], &[0, 23]]);
        assert_eq!(hello.server_name(), None);
    }
}
