//! Which bytes cannot be shown as they are, by kind of field (configuration manual, 8.6).

use crate::sample::def::Out;

/// Bytes outside 32-126, `"` and `#`: request lines, cookies of a line.
pub fn is_unsafe_in_url(b: u8) -> bool {
    !(32..=126).contains(&b) || matches!(b, b'"' | b'#')
}

/// [`is_unsafe_in_url`], and what delimits captured headers.
pub fn is_unsafe_in_capture(b: u8) -> bool {
    is_unsafe_in_url(b) || matches!(b, b'{' | b'|' | b'}')
}

/// Controls but the tab: what a header field cannot hold.
pub fn is_unsafe_in_http(b: u8) -> bool {
    (b < 32 && b != b'\t') || b == 127
}

/// Appends `text` with the bytes that `is_unsafe` names as `mark` and two hexadecimal digits.
pub fn push(out: &mut Out<'_>, text: &[u8], mark: u8, is_unsafe: fn(u8) -> bool) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| is_unsafe(*b)) {
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
