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
    pub(super) server_name: Option<&'a [u8]>,
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
    hello.field(2)?;
    hello.field(1)?;
    let server_name = hello.field(2).and_then(server_name);
    Some(ClientHello { version, server_name })
}

fn server_name(mut extensions: Bytes<'_>) -> Option<&[u8]> {
    loop {
        let kind = extensions.number(2)?;
        let mut content = extensions.field(2)?;
        if kind == 0 {
            let mut names = content.field(2)?;
            return match names.number(1)? {
                0 => names.field(2).map(|name| name.0),
                _ => None,
            };
        }
    }
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
        let expected = ClientHello { version: 0x303, server_name: Some(b"www.example.com") };
        assert_eq!(parse(&data), Hello::Client(expected));
        for len in 0..data.len() {
            assert_eq!(parse(&data[..len]), Hello::Partial, "{len}");
        }
        assert_eq!(parse(b"GET / HTTP/1.1"), Hello::Other);
        let mut server = data.clone();
        server[5] = 2;
        assert_eq!(parse(&server), Hello::Other);
        // No length inside can lead outside.
        for at in 0..data.len() {
            for value in [0, 1, 127, 255] {
                let mut broken = data.clone();
                broken[at] = value;
                let _ = parse(&broken);
            }
        }
    }
}
