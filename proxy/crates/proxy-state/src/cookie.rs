//! The persistence cookie of a backend (configuration manual, 4.2 "cookie"): its settings, the dates in it, and the
//! values that are made of addresses.

use std::net::SocketAddr;
use std::time::Duration;

/// Who makes the cookie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CookieMode {
    /// The server; it is left as it is.
    #[default]
    Passive,
    /// The balancer.
    Insert,
    /// The server; the balancer puts its own value and `~` in front.
    Prefix,
    /// The server; the balancer replaces the value.
    Rewrite,
}

/// `cookie <name>` of a backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CookieSpec {
    pub name: String,
    pub mode: CookieMode,
    pub indirect: bool,
    pub nocache: bool,
    pub postonly: bool,
    pub preserve: bool,
    /// What follows the value in `Set-Cookie`: `; path=/` and the attributes asked for.
    pub attributes: String,
    pub maxidle: Option<Duration>,
    pub maxlife: Option<Duration>,
    /// `dynamic`: servers without a value have one that is made of their address.
    pub dynamic: bool,
    /// `dynamic-cookie-key`.
    pub key: Option<String>,
}

impl CookieSpec {
    /// The values tell when they were given.
    pub fn is_dated(&self) -> bool {
        self.maxidle.is_some() || self.maxlife.is_some()
    }
}

/// The same value as HAProxy's, so that both can stand in front of the same servers.
pub(crate) fn dynamic_value(key: &str, addr: SocketAddr) -> String {
    let mut text = key.as_bytes().to_vec();
    match addr {
        SocketAddr::V4(addr) => text.extend_from_slice(&addr.ip().octets()),
        SocketAddr::V6(addr) => text.extend_from_slice(&addr.ip().octets()),
    }
    text.extend_from_slice(&u32::from(addr.port()).to_be_bytes());
    format!("{:016x}", xxhash_rust::xxh64::xxh64(&text, 0))
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Characters of a date.
pub const DATE_LEN: usize = 5;

/// A date in seconds as five digits: 30 bits of units of four seconds.
pub fn encode_date(secs: i64) -> [u8; DATE_LEN] {
    let units = secs.saturating_add(3) >> 2;
    std::array::from_fn(|i| DIGITS[(units >> (24 - 6 * i)) as usize & 63])
}

/// The seconds of a date, if it is one.
pub fn decode_date(text: &[u8]) -> Option<i64> {
    if text.len() != DATE_LEN {
        return None;
    }
    text.iter()
        .try_fold(0i64, |units, digit| {
            Some(units << 6 | DIGITS.iter().position(|d| d == digit)? as i64)
        })
        .map(|units| units << 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        // Seen from HAProxy 2.6 at this second.
        assert_eq!(&encode_date(1_795_785_337), b"awmCf");
        assert_eq!(decode_date(b"awmCf"), Some(1_795_785_340));
        assert_eq!(decode_date(b"awmC"), None);
        assert_eq!(decode_date(b"awmC="), None);
    }

    #[test]
    fn dynamic_values() {
        // Seen from HAProxy 2.6 with `dynamic-cookie-key abc`.
        let value = |addr: &str| dynamic_value("abc", addr.parse().unwrap());
        let seen = ["97a18fe280f1160a", "d2b11b527163ef67"];
        assert!(seen.contains(&value("127.0.0.1:19099").as_str()), "{}", value("127.0.0.1:19099"));
        assert!(seen.contains(&value("[::1]:19099").as_str()), "{}", value("[::1]:19099"));
    }
}
