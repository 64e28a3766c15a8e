//! Regular expressions of the configuration: byte-wise, and substitution with `\1`.

pub use regex::bytes::Regex;
use regex::bytes::{Captures, RegexBuilder};

/// Compiles `pattern` to match bytes.
///
/// # Errors
/// What is wrong with it. Back-references and look-around have no implementation that is safe against
/// hostile traffic, and are refused.
pub fn compile(pattern: &[u8], ignore_case: bool) -> Result<Regex, String> {
    let text = perl(pattern);
    RegexBuilder::new(&text).unicode(false).case_insensitive(ignore_case).build().map_err(|e| {
        format!("regex '{}' is invalid: {}", String::from_utf8_lossy(pattern), reason(&e))
    })
}

/// The pattern in the library's dialect: what PCRE takes for itself and the library for an operator is escaped, and
/// classes and anchors that only PCRE has a letter for are spelled out.
fn perl(pattern: &[u8]) -> String {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    // Inside of `[...]`, and whether a `]` would be its first member.
    let (mut class, mut first) = (false, false);
    while let [b, tail @ ..] = rest {
        rest = tail;
        let was_first = std::mem::take(&mut first);
        match *b {
            b'\\' => {
                let Some((&escaped, tail)) = rest.split_first() else {
                    text.push('\\');
                    break;
                };
                rest = tail;
                match (escaped, class) {
                    (b'Q', _) => {
                        let end = memchr::memmem::find(rest, b"\\E");
                        let quoted = &rest[..end.unwrap_or(rest.len())];
                        quoted.iter().for_each(|b| text.push_str(&format!("\\x{b:02x}")));
                        rest = end.map_or(&[], |end| &rest[end + 2..]);
                    }
                    (b'E', _) => {}
                    (b'e', _) => text.push_str("\\x1b"),
                    (b'h', true) => text.push_str("\\x20\\t"),
                    (b'h', false) => text.push_str("[\\x20\\t]"),
                    (b'H', false) => text.push_str("[^\\x20\\t]"),
                    (b'N', false) => text.push_str("[^\\n]"),
                    (b'R', false) => text.push_str("(?:\\r\\n|[\\n\\x0b\\f\\r])"),
                    (b'Z', false) => text.push_str("(?:\\n?\\z)"),
                    (b'<' | b'>', _) => text.push(char::from(escaped)),
                    (128.., _) => text.push_str(&format!("\\x{escaped:02x}")),
                    _ => text.extend(['\\', char::from(escaped)]),
                }
                // What braces mean behind these is theirs.
                if matches!(escaped, b'x' | b'p' | b'P') && rest.first() == Some(&b'{') {
                    text.push('{');
                    rest = &rest[1..];
                }
            }
            b'[' if class => match posix_class(rest) {
                Some(name) => {
                    text.push('[');
                    text.extend(name.iter().copied().map(char::from));
                    rest = &rest[name.len()..];
                }
                None => text.push_str("\\["),
            },
            b'[' => {
                text.push('[');
                (class, first) = (true, true);
                if let [b'^', tail @ ..] = rest {
                    text.push('^');
                    rest = tail;
                }
            }
            b']' if was_first => text.push_str("\\]"),
            b']' => {
                text.push(']');
                class = false;
            }
            b @ (b'&' | b'~') if class => text.extend(['\\', char::from(b)]),
            // Two of them are a difference of classes to the library; a range ends in an escaped one as well.
            b'-' if class && text.ends_with('-') => text.push_str("\\-"),
            b'{' if !class && !is_repetition(rest) => text.push_str("\\{"),
            b if b.is_ascii() => text.push(char::from(b)),
            b => text.push_str(&format!("\\x{b:02x}")),
        }
    }
    text
}

/// `:name:]` at the beginning of what follows a `[` in a class.
fn posix_class(rest: &[u8]) -> Option<&[u8]> {
    let end = memchr::memmem::find(rest, b":]")?;
    let name = rest.strip_prefix(b":")?.get(..end.checked_sub(1)?)?;
    let name = name.strip_prefix(b"^").unwrap_or(name);
    (!name.is_empty() && name.iter().all(u8::is_ascii_lowercase)).then(|| &rest[..end + 2])
}

/// Whether `{` and this are `{n}`, `{n,}` or `{n,m}`.
fn is_repetition(rest: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'}', rest) else { return false };
    let mut bounds = rest[..end].splitn(2, |b| *b == b',');
    let least = bounds.next().unwrap_or_default();
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    !least.is_empty() && digits(least) && bounds.next().is_none_or(digits)
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

    #[track_caller]
    fn matches(pattern: &str, yes: &[&str], no: &[&str]) {
        let re = compile(pattern.as_bytes(), false).unwrap();
        for text in yes {
            assert!(re.is_match(text.as_bytes()), "{pattern} must match {text}");
        }
        for text in no {
            assert!(!re.is_match(text.as_bytes()), "{pattern} must not match {text}");
        }
    }

    #[test]
    fn braces_that_repeat_nothing_are_themselves() {
        matches(r#"^{"a":{"b":".*",$"#, &[r#"{"a":{"b":"x","#], &[r#"a{"b":"x","#]);
        matches("^a{$", &["a{"], &["a"]);
        matches("^a{,2}$", &["a{,2}"], &["aa"]);
        matches("^a{x}b{2}c{1,}d{0,1}$", &["a{x}bbc", "a{x}bbccd"], &["a{x}bc"]);
        matches(r"^\x{41}\x42$", &["AB"], &["x{41}B"]);
    }

    #[test]
    fn classes_are_perls() {
        matches("^[[a]$", &["[", "a"], &["b", "[a"]);
        matches("^[a&&b]$", &["a", "&", "b"], &["c"]);
        matches("^[a~~+--z]+$", &["a~,-z"], &["b"]);
        matches("^[[:alpha:]_]+$", &["ab_"], &["a1", ":"]);
        matches("^[[:^digit:]]$", &["a"], &["1"]);
        matches("^[]a]$", &["]", "a"], &["b"]);
        matches("^[^]a]$", &["b"], &["]", "a"]);
        matches(r"^[\w.+-]+@[\w-]+$", &["a.b+c@d-e"], &["a b@c"]);
        matches("^[^{}]*$", &["ab"], &["{"]);
    }

    #[test]
    fn letters_of_perl() {
        matches(r"^a\hb\Hc$", &["a b.c", "a\tb.c"], &["a\nb.c", "a b c"]);
        matches(r"\<b\>\Z", &["a<b>", "<b>\n"], &["b", "<b>x"]);
        matches(r"^\Qa.b[\E$", &["a.b["], &["acb["]);
        matches(r"^a\/b\-c\.d$", &["a/b-c.d"], &["a/b-cxd"]);
        matches(r"^a\Rb\N$", &["a\r\nbc", "a\nbc"], &["a\nb\n"]);
    }

    #[test]
    fn refused() {
        assert!(compile(b"(?=a)", false).unwrap_err().contains("look-around"));
        assert!(compile(b"(a", false).unwrap_err().contains("unclosed group"));
        assert!(compile(b"\xe9", false).unwrap().is_match(b"\xe9"));
    }
}
