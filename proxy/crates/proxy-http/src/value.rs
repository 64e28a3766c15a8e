//! Comma-separated header values (RFC 9110 section 5.6.1).

/// Splits `value` at commas outside quoted strings, trims blanks, and keeps empty elements out.
pub fn split(value: &[u8]) -> Split<'_> {
    Split { rest: Some(value) }
}

/// Iterator of [`split`].
#[derive(Debug, Clone)]
pub struct Split<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.rest?;
            let cut = comma(rest);
            self.rest = cut.map(|at| &rest[at + 1..]);
            let part = trim(&rest[..cut.unwrap_or(rest.len())]);
            if !part.is_empty() {
                return Some(part);
            }
        }
    }
}

/// Offset of the first comma outside a quoted string.
fn comma(value: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// `value` without blanks (space, tab) at both ends.
#[must_use]
pub fn trim(value: &[u8]) -> &[u8] {
    let start = value.iter().position(|&b| b != b' ' && b != b'\t').unwrap_or(value.len());
    let end = value.iter().rposition(|&b| b != b' ' && b != b'\t').map_or(start, |at| at + 1);
    &value[start..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: &[&str]) {
        let got: Vec<_> = split(value.as_bytes()).map(|v| String::from_utf8_lossy(v)).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn splits() {
        check("", &[]);
        check("a", &["a"]);
        check(" a , b,c\t", &["a", "b", "c"]);
        check(",,a,", &["a"]);
        check(r#""a,b", "c\",d",e"#, &[r#""a,b""#, r#""c\",d""#, "e"]);
    }
}
