//! Resolved addresses of sockets: what is left of an [`Address`](crate::addr::Address) once names are resolved and
//! ranges expanded.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where a socket is bound or connects to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SockAddr {
    Inet(SocketAddr),
    /// A unix socket with a path; empty for an unnamed peer.
    Unix(PathBuf),
    /// A unix socket in the abstract namespace: all of its name after the leading NUL.
    Abstract(Vec<u8>),
}

/// `sun_path` after the leading NUL.
const ABSTRACT_LEN: usize = 107;

impl SockAddr {
    /// `abns@name`: filled up with NULs, as HAProxy addresses them.
    pub fn abstract_padded(name: &[u8]) -> Self {
        let mut all = name.to_vec();
        all.resize(ABSTRACT_LEN, 0);
        Self::Abstract(all)
    }

    /// `abnsz@name`: exactly the name, as most other programs address them.
    pub fn abstract_exact(name: &[u8]) -> Self {
        Self::Abstract(name.to_vec())
    }

    pub fn ip(&self) -> Option<IpAddr> {
        self.inet().map(|a| a.ip())
    }

    pub fn port(&self) -> Option<u16> {
        self.inet().map(|a| a.port())
    }

    pub fn inet(&self) -> Option<SocketAddr> {
        match self {
            Self::Inet(addr) => Some(*addr),
            Self::Unix(_) | Self::Abstract(_) => None,
        }
    }

    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Inet(_) | Self::Abstract(_) => None,
        }
    }

    /// The form of messages about binding and connecting: `127.0.0.1:80`, `::1:80`, `/run/x.sock`, `abns@x`.
    pub fn for_messages(&self) -> impl fmt::Display + '_ {
        ForMessages(self)
    }
}

impl From<SocketAddr> for SockAddr {
    fn from(addr: SocketAddr) -> Self {
        Self::Inet(addr)
    }
}

/// The form of the statistics: `1.2.3.4:80`, `[::1]:80`, `unix`.
impl fmt::Display for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(addr) => addr.fmt(f),
            Self::Unix(_) | Self::Abstract(_) => f.write_str("unix"),
        }
    }
}

struct ForMessages<'a>(&'a SockAddr);

impl fmt::Display for ForMessages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            SockAddr::Inet(a) => write!(f, "{}:{}", a.ip(), a.port()),
            SockAddr::Unix(path) => write!(f, "{}", path.display()),
            SockAddr::Abstract(name) => {
                let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
                write!(f, "abns@{}", String::from_utf8_lossy(&name[..end]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_forms() {
        let show = |a: SockAddr| a.for_messages().to_string();
        assert_eq!(show(SocketAddr::from(([127, 0, 0, 1], 80)).into()), "127.0.0.1:80");
        assert_eq!(show("[::1]:80".parse::<SocketAddr>().unwrap().into()), "::1:80");
        assert_eq!(show(SockAddr::Unix("/run/x".into())), "/run/x");
        assert_eq!(show(SockAddr::abstract_padded(b"x")), "abns@x");
        assert_eq!(show(SockAddr::abstract_exact(b"x")), "abns@x");
        assert_ne!(SockAddr::abstract_padded(b"x"), SockAddr::abstract_exact(b"x"));
    }
}
