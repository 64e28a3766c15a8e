//! Resolved addresses of listeners and servers.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where a socket is bound or connects to, after names have been resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SockAddr {
    Inet(SocketAddr),
    /// A unix socket with a path.
    Unix(PathBuf),
    /// A unix socket in the abstract namespace, without the leading NUL.
    Abstract(Vec<u8>),
}

impl SockAddr {
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Inet(addr) => Some(addr.ip()),
            Self::Unix(_) | Self::Abstract(_) => None,
        }
    }

    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Inet(addr) => Some(addr.port()),
            Self::Unix(_) | Self::Abstract(_) => None,
        }
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
