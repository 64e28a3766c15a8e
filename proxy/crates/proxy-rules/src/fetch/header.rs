//! Walking header values: one per field, or one per comma.

use proxy_http::HeaderList;

use crate::sample::{Args, Cursor, Sample};

/// How far back a negative occurrence may count.
const BACK_MAX: usize = 10;

/// What is one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// Elements between commas; empty ones count.
    Commas,
    /// The whole field.
    Full,
}

/// Values of the fields called `name`, or of all fields, in order. Resumes where a [`Cursor`] left off.
#[derive(Clone, Debug)]
pub(super) struct Values<'a, 'n> {
    headers: &'a HeaderList,
    name: Option<&'n [u8]>,
    cut: Cut,
    /// Index of the field, and offset in its value of what comes next; an offset of 0 is the start.
    at: [u32; 2],
}

impl<'a, 'n> Values<'a, 'n> {
    pub(super) fn new(headers: &'a HeaderList, name: Option<&'n [u8]>, cut: Cut) -> Self {
        Self { headers, name, cut, at: [0, 0] }
    }
}

impl<'a> Iterator for Values<'a, '_> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let header = self.headers.at(self.at[0] as usize)?;
            let ours = self.name.is_none_or(|n| {
                n.len() == header.name.len() && n.eq_ignore_ascii_case(header.name)
            });
            if !ours {
                self.at = [self.at[0] + 1, 0];
                continue;
            }
            let rest = &header.value[self.at[1] as usize..];
            let comma = if self.cut == Cut::Commas { comma(rest) } else { None };
            self.at = match comma {
                Some(at) => [self.at[0], self.at[1] + at as u32 + 1],
                None => [self.at[0] + 1, 0],
            };
            return Some(proxy_http::value::trim(&rest[..comma.unwrap_or(rest.len())]));
        }
    }
}

/// Offset of the first comma outside a quoted string.
fn comma(value: &[u8]) -> Option<usize> {
    let first = memchr::memchr2(b',', b'"', value)?;
    if value[first] == b',' {
        return Some(first);
    }
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

/// The value that `name,occurrence` arguments and the cursor ask for: the occurrence counted from 1, or from the
/// end when negative; each in turn for ACLs; the last one otherwise.
pub(super) fn pick<'a>(
    headers: &'a HeaderList,
    args: &'a Args,
    cut: Cut,
    cursor: &mut Cursor,
) -> Option<&'a [u8]> {
    let mut values = Values::new(headers, name(args), cut);
    let wanted = args.int(1).unwrap_or(0);
    if wanted > 0 {
        return values.nth(usize::try_from(wanted - 1).ok()?);
    }
    if wanted == 0 && cursor.iterate {
        values.at = cursor.at;
        let value = values.next()?;
        cursor.at = values.at;
        cursor.more = true;
        return Some(value);
    }
    let back = usize::try_from(wanted.unsigned_abs().max(1)).ok()?;
    if back == 1 {
        return values.last();
    }
    if back > BACK_MAX {
        return None;
    }
    // The last `back` values, oldest first from `next`.
    let mut last: [&[u8]; BACK_MAX] = [&[]; BACK_MAX];
    let mut seen = 0;
    for value in values {
        last[seen % back] = value;
        seen += 1;
    }
    (seen >= back).then(|| last[seen % back])
}

/// Refuses occurrences that are too far back.
pub(super) fn check_occurrence(args: &mut Args) -> Result<(), String> {
    match args.int(1) {
        Some(n) if n < -(BACK_MAX as i64) => {
            Err(format!("header occurrence must be >= -{BACK_MAX}"))
        }
        _ => Ok(()),
    }
}

pub(super) fn count(headers: &HeaderList, args: &Args, cut: Cut) -> i64 {
    Values::new(headers, name(args), cut).count() as i64
}

/// Number at the start of a value.
pub(super) fn number(value: &[u8]) -> Option<i64> {
    crate::sample::value::parse_int(value)
}

/// An address, with or without a port behind an IPv4 address or a bracketed IPv6 address.
pub(super) fn address(value: &[u8]) -> Option<Sample<'static>> {
    let text = std::str::from_utf8(value).ok()?;
    if let Ok(ip) = text.parse::<std::net::IpAddr>() {
        return Some(Sample::from(ip));
    }
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return inner.parse::<std::net::Ipv6Addr>().ok().map(Sample::Ipv6);
    }
    text.parse::<std::net::SocketAddr>().ok().map(|a| Sample::from(a.ip()))
}

fn name(args: &Args) -> Option<&[u8]> {
    args.str(0).filter(|n| !n.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_brackets_and_ports() {
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80"] {
            let ip = "2001:db8::1".parse().unwrap();
            assert_eq!(address(text.as_bytes()), Some(Sample::Ipv6(ip)), "{text}");
        }
        assert_eq!(address(b"192.0.2.1:80"), Some(Sample::Ipv4([192, 0, 2, 1].into())));
        assert_eq!((address(b"[192.0.2.1]"), address(b"host"), address(b"[]")), (None, None, None));
    }
}
