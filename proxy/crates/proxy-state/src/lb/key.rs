//! Hash keys that are parts of a request.

/// The part of a request target that `balance uri` hashes: up to the question mark unless `whole`, starting
/// at the path when `path_only`, cut after `len` bytes and after `depth` directory levels (one per slash).
pub fn uri(
    target: &[u8],
    len: Option<usize>,
    depth: Option<usize>,
    whole: bool,
    path_only: bool,
) -> &[u8] {
    let mut key = target;
    if path_only {
        key = path(key);
    }
    if let Some(len) = len {
        key = &key[..key.len().min(len)];
    }
    let mut slashes = 0;
    let end = key.iter().position(|&byte| match byte {
        b'/' => {
            slashes += 1;
            depth.is_some_and(|depth| slashes > depth)
        }
        b'?' => !whole,
        _ => false,
    });
    &key[..end.unwrap_or(key.len())]
}

/// The path and what follows, of an origin-form or absolute-form target.
fn path(target: &[u8]) -> &[u8] {
    if target.first() == Some(&b'/') {
        return target;
    }
    let authority = target.windows(3).position(|w| w == b"://").map_or(0, |at| at + 3);
    match target[authority..].iter().position(|&b| b == b'/') {
        Some(slash) => &target[authority + slash..],
        None => &[],
    }
}

/// `use_domain_only`: the label in front of the last one of a host name, port and trailing dot aside.
pub fn main_domain(host: &[u8]) -> &[u8] {
    let end = host.iter().position(|&b| b == b':').unwrap_or(host.len());
    let host = host[..end].strip_suffix(b".").unwrap_or(&host[..end]);
    let Some(last_dot) = host.iter().rposition(|&b| b == b'.') else { return host };
    let start = host[..last_dot].iter().rposition(|&b| b == b'.').map_or(0, |at| at + 1);
    &host[start..last_dot]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &[u8], expected: &str) {
        assert_eq!(std::str::from_utf8(key).unwrap(), expected);
    }

    #[test]
    fn uri_is_cut_as_asked() {
        check(uri(b"/a/b/c?x=1", None, None, false, false), "/a/b/c");
        check(uri(b"/a/b/c?x=1", None, None, true, false), "/a/b/c?x=1");
        check(uri(b"/a/b/c?x=1", Some(4), None, false, false), "/a/b");
        check(uri(b"/a/b/c?x=1", None, Some(2), false, false), "/a/b");
        check(uri(b"/a/b/c", None, Some(9), false, false), "/a/b/c");
        check(uri(b"http://h/a?b", None, None, false, true), "/a");
        check(uri(b"http://h/a?b", None, None, false, false), "http://h/a");
        check(uri(b"http://h", None, None, false, true), "");
        check(uri(b"", Some(3), Some(3), false, false), "");
    }

    #[test]
    fn the_main_domain_is_found() {
        check(main_domain(b"haproxy.1wt.eu"), "1wt");
        check(main_domain(b"1wt.eu:8080"), "1wt");
        check(main_domain(b"a.b.example.com."), "example");
        check(main_domain(b"localhost"), "localhost");
        check(main_domain(b""), "");
    }
}
