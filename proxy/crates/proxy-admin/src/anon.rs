//! Names and addresses that are not to be told: hashes of 24 bits that are the same for the same name and key, as `-dC`
//! with a key writes them (management manual, 9.3 "set anon").

use std::borrow::Cow;
use std::net::SocketAddr;

use xxhash_rust::xxh32::xxh32;

/// The key of a session in anonymized mode; `None` tells everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anon(pub Option<u32>);

impl Anon {
    /// A name.
    pub fn name(self, text: &str) -> Cow<'_, str> {
        match self.0 {
            // What stands for nothing tells nothing.
            Some(key) if !matches!(text, "" | "-" | "<NONE>" | "<none>") => {
                Cow::Owned(format!("{:06x}", xxh32(text.as_bytes(), key) & 0xff_ffff))
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// An address, whose port is told.
    pub fn address(self, text: &str) -> Cow<'_, str> {
        match (self.0, text.parse::<SocketAddr>()) {
            (Some(_), Ok(address)) => {
                let ip = address.ip().to_string();
                Cow::Owned(format!("{}:{}", self.name(&ip), address.port()))
            }
            _ => self.name(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hashed_and_ports_are_not() {
        let (open, closed, other) = (Anon(None), Anon(Some(7)), Anon(Some(8)));
        assert_eq!(open.name("web"), "web");
        assert_eq!(closed.name("web").len(), 6);
        assert_eq!(closed.name("web"), closed.name("web"));
        assert_ne!(closed.name("web"), other.name("web"));
        assert_eq!(closed.name("-"), "-");
        let hidden = closed.address("192.0.2.1:80").into_owned();
        assert_eq!(hidden, format!("{}:80", closed.name("192.0.2.1")));
    }
}
