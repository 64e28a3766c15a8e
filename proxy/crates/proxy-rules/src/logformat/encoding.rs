//! Values of items in JSON (RFC 8259) and CBOR (RFC 8949).

use super::{Encoding, ItemType, encode};
use crate::sample::def::Out;

/// A value to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'v> {
    Bool(bool),
    Int(i64),
    Null,
    Text(&'v [u8]),
}

impl<'v> Value<'v> {
    /// The value as the type that the format asks for.
    pub(super) fn typed(self, ty: Option<ItemType>, buffer: &'v mut itoa::Buffer) -> Self {
        let number = |text: &[u8]| crate::sample::value::parse_int(text).unwrap_or(0);
        match (ty, self) {
            (None, value) | (_, value @ Self::Null) => value,
            (Some(ItemType::Bool), Self::Int(n)) => Self::Bool(n != 0),
            (Some(ItemType::Bool), Self::Text(text)) => Self::Bool(number(text) != 0),
            (Some(ItemType::Sint), Self::Bool(b)) => Self::Int(i64::from(b)),
            (Some(ItemType::Sint), Self::Text(text)) => Self::Int(number(text)),
            (Some(ItemType::Str), Self::Bool(b)) => Self::Text(if b { b"true" } else { b"false" }),
            (Some(ItemType::Str), Self::Int(n)) => Self::Text(buffer.format(n).as_bytes()),
            (Some(_), value) => value,
        }
    }

    pub(super) fn push(self, out: &mut Out<'_>, encoding: Encoding, binary: bool) {
        match encoding {
            Encoding::Json => self.push_json(out),
            Encoding::Cbor => self.push_cbor(&mut |bytes| push_bytes(out, bytes, binary)),
            Encoding::None => {}
        }
    }

    fn push_json(self, out: &mut Out<'_>) {
        match self {
            Self::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
            Self::Int(n) => out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes()),
            Self::Null => out.extend_from_slice(b"null"),
            Self::Text(text) => {
                out.push(b'"');
                push_json_text(out, text);
                out.push(b'"');
            }
        }
    }

    fn push_cbor(self, push: &mut impl FnMut(&[u8])) {
        match self {
            Self::Bool(b) => push(&[if b { 0xf5 } else { 0xf4 }]),
            Self::Int(n) if n < 0 => push_head(push, 1, !n as u64),
            Self::Int(n) => push_head(push, 0, n as u64),
            Self::Null => push(&[0xf6]),
            Self::Text(text) => {
                push_head(
                    push,
                    if std::str::from_utf8(text).is_ok() { 3 } else { 2 },
                    text.len() as u64,
                );
                push(text);
            }
        }
    }
}

/// Bytes of CBOR: in hexadecimal unless the line may be binary.
pub(super) fn push_bytes(out: &mut Out<'_>, bytes: &[u8], binary: bool) {
    if binary {
        out.extend_from_slice(bytes);
        return;
    }
    for b in bytes {
        out.extend_from_slice(&[encode::hex(b >> 4), encode::hex(b & 15)]);
    }
}

/// Major type and argument, in the shortest form.
fn push_head(push: &mut impl FnMut(&[u8]), major: u8, n: u64) {
    let major = major << 5;
    match n {
        0..=23 => push(&[major | n as u8]),
        24..=0xff => push(&[major | 24, n as u8]),
        0x100..=0xffff => {
            push(&[major | 25]);
            push(&(n as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            push(&[major | 26]);
            push(&(n as u32).to_be_bytes());
        }
        _ => {
            push(&[major | 27]);
            push(&n.to_be_bytes());
        }
    }
}

/// Controls are escaped; bytes that are no UTF-8 stand for the character of their number.
fn push_json_text(out: &mut Out<'_>, text: &[u8]) {
    let escaped = |out: &mut Out<'_>, b: u8| {
        let digit = |n: u8| b"0123456789abcdef"[usize::from(n & 15)];
        out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(b >> 4), digit(b)]);
    };
    for chunk in text.utf8_chunks() {
        for b in chunk.valid().bytes() {
            match b {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', b]),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                0..=31 | 127 => escaped(out, b),
                _ => out.push(b),
            }
        }
        chunk.invalid().iter().for_each(|b| escaped(out, *b));
    }
}
