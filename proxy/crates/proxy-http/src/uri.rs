//! Parts of a request target (RFC 9112 section 3.2).

/// A request target cut into its parts, each possibly empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts<'a> {
    /// Scheme of an absolute target, without `://`.
    pub scheme: &'a [u8],
    /// Authority of an absolute target, or all of a CONNECT one.
    pub authority: &'a [u8],
    /// Path, from its slash on; `*` of an asterisk target.
    pub path: &'a [u8],
    /// What follows the first question mark.
    pub query: &'a [u8],
    /// Whether there is a question mark.
    pub has_query: bool,
}

/// Cuts `target`. A target that has neither a slash nor a scheme is an authority, except `*`.
#[must_use]
pub fn split(target: &[u8]) -> Parts<'_> {
    let mut parts = Parts::default();
    let rest = match target.first() {
        Some(b'/') => target,
        Some(b'*') if target.len() == 1 => {
            parts.path = target;
            return parts;
        }
        _ => match scheme_end(target) {
            Some(end) => {
                parts.scheme = &target[..end];
                let rest = &target[end + 3..];
                let cut = memchr::memchr3(b'/', b'?', b'#', rest).unwrap_or(rest.len());
                parts.authority = &rest[..cut];
                &rest[cut..]
            }
            None => {
                parts.authority = target;
                return parts;
            }
        },
    };
    let cut = memchr::memchr(b'?', rest);
    parts.path = &rest[..cut.unwrap_or(rest.len())];
    if let Some(cut) = cut {
        parts.has_query = true;
        parts.query = &rest[cut + 1..];
    }
    parts
}

/// Length of the scheme when `target` starts with `scheme://`.
fn scheme_end(target: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b':', target)?;
    let valid = target[..end].iter().enumerate().all(|(i, b)| {
        b.is_ascii_alphabetic() || i > 0 && (b.is_ascii_digit() || b"+-.".contains(b))
    });
    (end > 0 && valid && target[end..].starts_with(b"://")).then_some(end)
}

/// Host and port of an authority, without user information; the port is empty when absent.
#[must_use]
pub fn host_port(authority: &[u8]) -> (&[u8], &[u8]) {
    let rest = memchr::memrchr(b'@', authority).map_or(authority, |at| &authority[at + 1..]);
    if rest.first() == Some(&b'[') {
        let Some(end) = memchr::memchr(b']', rest) else { return (rest, b"") };
        let (host, tail) = rest.split_at(end + 1);
        return (host, tail.strip_prefix(b":").unwrap_or(b""));
    }
    match memchr::memrchr(b':', rest) {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, b""),
    }
}

/// True when two authorities name the same host and port, an absent port being `default_port`.
#[must_use]
pub fn same_authority(a: &[u8], b: &[u8], default_port: &[u8]) -> bool {
    let (host_a, port_a) = host_port(a);
    let (host_b, port_b) = host_port(b);
    let or_default =
        |port: &[u8]| if port.is_empty() { default_port.to_vec() } else { port.to_vec() };
    host_a.eq_ignore_ascii_case(host_b)
        && (port_a == port_b || or_default(port_a) == or_default(port_b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(target: &str, expected: [&str; 4]) {
        let p = split(target.as_bytes());
        let got = [p.scheme, p.authority, p.path, p.query].map(|b| String::from_utf8_lossy(b));
        assert_eq!(got, expected);
    }

    #[test]
    fn targets() {
        check("/", ["", "", "/", ""]);
        check("/a/b?c=d?e", ["", "", "/a/b", "c=d?e"]);
        check("*", ["", "", "*", ""]);
        check("http://h:80/x?y", ["http", "h:80", "/x", "y"]);
        check("http://h?y", ["http", "h", "", "y"]);
        check("h:443", ["", "h:443", "", ""]);
        check("://x", ["", "://x", "", ""]);
        check("1http://x", ["", "1http://x", "", ""]);
    }

    #[test]
    fn authorities() {
        assert_eq!(host_port(b"u:p@h:1"), (&b"h"[..], &b"1"[..]));
        assert_eq!(host_port(b"[::1]:8"), (&b"[::1]"[..], &b"8"[..]));
        assert_eq!(host_port(b"[::1"), (&b"[::1"[..], &b""[..]));
        assert!(same_authority(b"A:80", b"a", b"80"));
        assert!(same_authority(b"a", b"a", b""));
        assert!(!same_authority(b"a:81", b"a", b"80"));
        assert!(!same_authority(b"b", b"a", b"80"));
    }
}
