//! Regular expressions of the configuration: byte-wise, and substitution with `\1`.

pub use regex::bytes::Regex;
use regex::bytes::{Captures, RegexBuilder};

/// Compiles `pattern` to match bytes.
///
/// # Errors
/// What is wrong with it. Back-references and look-around have no implementation that is safe against
/// hostile traffic, and are refused.
pub fn compile(pattern: &[u8], ignore_case: bool) -> Result<Regex, String> {
    let mut text = String::with_capacity(pattern.len());
    for &b in pattern {
        if b.is_ascii() {
            text.push(char::from(b));
        } else {
            text.push_str(&format!("\\x{b:02x}"));
        }
    }
    RegexBuilder::new(&text).unicode(false).case_insensitive(ignore_case).build().map_err(|e| {
        format!("regex '{}' is invalid: {}", String::from_utf8_lossy(pattern), reason(&e))
    })
}

/// The last line of the library's drawing is the reason.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// Appends `template` with `\0`..`\9` replaced by what the groups matched and `\xNN` by a byte; any other
/// escaped character stands for itself.
pub fn expand(template: &[u8], groups: &Captures<'_>, mut push: impl FnMut(&[u8])) {
    let mut rest = template;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        push(&rest[..at]);
        match rest[at + 1..] {
            [d @ b'0'..=b'9', ..] => {
                if let Some(group) = groups.get(usize::from(d - b'0')) {
                    push(group.as_bytes());
                }
                rest = &rest[at + 2..];
            }
            [b'x', hi, lo, ..] if hi.is_ascii_hexdigit() && lo.is_ascii_hexdigit() => {
                push(&[hex(hi) << 4 | hex(lo)]);
                rest = &rest[at + 4..];
            }
            [c, ..] => {
                push(&[c]);
                rest = &rest[at + 2..];
            }
            [] => {
                push(b"\\");
                rest = &[];
            }
        }
    }
    push(rest);
}

/// The value of a hexadecimal digit; 0 for what is none.
pub(crate) fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).map_or(0, |d| d as u8)
}

/// The bytes of an even number of hexadecimal digits.
pub(crate) fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let valid = digits.len().is_multiple_of(2) && digits.iter().all(u8::is_ascii_hexdigit);
    valid.then(|| digits.chunks_exact(2).map(|d| hex(d[0]) << 4 | hex(d[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, template: &str, expected: &str) {
        let re = compile(pattern.as_bytes(), false).unwrap();
        let groups = re.captures(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        expand(template.as_bytes(), &groups, |s| out.extend_from_slice(s));
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn substitution() {
        check("^/a/(.*)", "/a/b", r"/x/\1", "/x/b");
        check("(a)(b)?", "ac", r"\0-\1-\2-\x41\\\q", r"a-a--A\q");
    }

    #[test]
    fn refused() {
        assert!(compile(b"(?=a)", false).unwrap_err().contains("look-around"));
        assert!(compile(b"(a", false).unwrap_err().contains("unclosed group"));
        assert!(compile(b"\xe9", false).unwrap().is_match(b"\xe9"));
    }
}
