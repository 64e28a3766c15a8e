//! The text of a word, which may hold bytes that are no UTF-8.

use std::borrow::{Borrow, Cow};
use std::fmt::{self, Write};
use std::ops::Deref;

use compact_str::CompactString;

/// What a word says once its quotes, escapes and variables are resolved.
///
/// `\xNN` and configurations in Latin-1 make any bytes but NUL. Rules, patterns and formats get them as they are
/// ([`Text::as_bytes`]); keywords, names, files and messages are about text: they see such bytes written as `\xNN`,
/// and what must be text is refused where [`Text::is_utf8`] is false.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text {
    /// Most words are short enough to need no memory of their own.
    text: CompactString,
    /// The bytes, where they are no UTF-8.
    raw: Option<Box<[u8]>>,
}

impl Text {
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => text.into(),
            Err(_) => Self { text: escaped(bytes), raw: Some(bytes.into()) },
        }
    }

    /// As messages show it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// As it was written.
    pub fn as_bytes(&self) -> &[u8] {
        self.raw.as_deref().unwrap_or(self.text.as_bytes())
    }

    pub fn is_utf8(&self) -> bool {
        self.raw.is_none()
    }

    /// Appends a text.
    pub fn push_str(&mut self, text: &str) {
        self.text.push_str(text);
        if let Some(raw) = self.raw.take() {
            self.raw = Some([&raw, text.as_bytes()].concat().into_boxed_slice());
        }
    }

    /// Appends another word's text.
    pub fn push(&mut self, other: &Self) {
        if self.is_utf8() && other.is_utf8() {
            self.text.push_str(&other.text);
        } else {
            *self = Self::from_bytes(&[self.as_bytes(), other.as_bytes()].concat());
        }
    }
}

fn escaped(bytes: &[u8]) -> CompactString {
    let mut out = CompactString::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02X}");
        }
    }
    out
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        &self.text
    }
}

impl AsRef<[u8]> for Text {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text: text.into(), raw: None }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self { text: text.into(), raw: None }
    }
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Self { text: text.into(), raw: None }
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.is_utf8() && self.text == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        *self == **other
    }
}

impl PartialEq<Text> for &str {
    fn eq(&self, other: &Text) -> bool {
        other == self
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_and_shown() {
        let mut text = Text::from_bytes(b"caf\xe9 \xc3\xa9");
        assert_eq!((text.as_str(), text.is_utf8()), ("caf\\xE9 \u{e9}", false));
        assert_eq!(text.as_bytes(), b"caf\xe9 \xc3\xa9");
        assert_ne!(text, "caf\\xE9 \u{e9}");
        text.push_str("!");
        assert_eq!(text.as_bytes(), b"caf\xe9 \xc3\xa9!");
        // Halves of a character are one again.
        let mut half = Text::from_bytes(b"\xc3");
        half.push(&Text::from_bytes(b"\xa9"));
        assert_eq!(half, "\u{e9}");
        assert_eq!(Text::from("a").as_bytes(), b"a");
    }
}
