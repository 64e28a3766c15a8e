//! Which bytes cannot be shown as they are, by kind of field (configuration manual, 8.6).

use crate::sample::def::Out;

/// A set of bytes.
pub struct Bytes([bool; 256]);

impl Bytes {
    /// Whether the byte is one of them.
    pub const fn has(&self, b: u8) -> bool {
        self.0[b as usize]
    }

    /// Controls, and what is no ASCII, and `others`.
    const fn hidden_and(others: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut b = 0;
        while b < set.len() {
            set[b] = b < 32 || b > 126;
            b += 1;
        }
        Self(set).and(others)
    }

    const fn and(mut self, others: &[u8]) -> Self {
        let mut i = 0;
        while i < others.len() {
            self.0[others[i] as usize] = true;
            i += 1;
        }
        self
    }
}

/// Bytes outside 32-126, `"` and `#`: request lines, cookies of a line.
pub static UNSAFE_IN_URL: Bytes = Bytes::hidden_and(b"\"#");

/// [`UNSAFE_IN_URL`], and what delimits captured headers.
pub static UNSAFE_IN_CAPTURE: Bytes = Bytes::hidden_and(b"\"#{|}");

/// Controls but the tab: what a header field cannot hold.
pub static UNSAFE_IN_HTTP: Bytes = {
    let mut set = [false; 256];
    let mut b = 0;
    while b < 32 {
        set[b] = b != b'\t' as usize;
        b += 1;
    }
    Bytes(set).and(&[127])
};

/// What [RFC 3986, 2.3](https://www.rfc-editor.org/rfc/rfc3986#section-2.3) does not call unreserved.
pub static RESERVED: Bytes = {
    let mut set = [false; 256];
    let mut b = 0;
    while b < set.len() {
        set[b] =
            !((b as u8).is_ascii_alphanumeric() || matches!(b as u8, b'-' | b'.' | b'_' | b'~'));
        b += 1;
    }
    Bytes(set)
};

/// Appends `text` with the bytes of `hidden` as `mark` and two hexadecimal digits.
pub fn push(out: &mut Out<'_>, text: &[u8], mark: u8, hidden: &Bytes) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| hidden.has(*b)) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(&[mark, hex(rest[at] >> 4), hex(rest[at] & 15)]);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

/// Appends `text` with a backslash in front of `"`, `\` and `]` (RFC 5424, 6.3.3).
pub fn push_escaped(out: &mut Out<'_>, text: &[u8]) {
    for &b in text {
        if matches!(b, b'"' | b'\\' | b']') {
            out.push(b'\\');
        }
        out.push(b);
    }
}

/// The digit of a number below 16, in upper case.
pub fn hex(n: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(n & 15)]
}

/// Appends a number in hexadecimal with at least `width` digits.
pub fn push_hex(out: &mut Out<'_>, n: u64, width: u32) {
    let digits = (16 - n.leading_zeros() / 4).max(width).max(1);
    for i in (0..digits).rev() {
        out.push(hex((n >> (4 * i)) as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets() {
        let shown = |set: &Bytes| {
            let bytes: Vec<u8> = (32..127).filter(|b| set.has(*b)).collect();
            (
                String::from_utf8(bytes).unwrap(),
                (128..=255).all(|b| set.has(b)),
                set.has(127),
                set.has(9),
            )
        };
        assert_eq!(shown(&UNSAFE_IN_URL), ("\"#".into(), true, true, true));
        assert_eq!(shown(&UNSAFE_IN_CAPTURE), ("\"#{|}".into(), true, true, true));
        assert_eq!(shown(&UNSAFE_IN_HTTP), (String::new(), false, true, false));
        assert!((0..32).all(|b| UNSAFE_IN_HTTP.has(b) == (b != 9)) && !UNSAFE_IN_HTTP.has(128));
        assert_eq!(shown(&RESERVED), (" !\"#$%&'()*+,/:;<=>?@[\\]^`{|}".into(), true, true, true));
    }
}
