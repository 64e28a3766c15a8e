//! Sockets received from an old process, waiting to be claimed by address and identity.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::socket::{getsockopt, sockopt::BindToDevice};
use proxy_types::SockAddr;
use socket2::{SockRef, Type};

use super::ListenOptions;
use crate::addr::sockaddr_of;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketKind {
    Stream,
    Datagram,
}

/// What makes two listening sockets interchangeable: everything that is fixed when a socket is bound. Other
/// options are set anew on a socket that is taken over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub kind: SocketKind,
    pub addr: SockAddr,
    /// IPv6 sockets only; `None` when it does not matter.
    pub v6only: Option<bool>,
    pub interface: Option<String>,
    pub namespace: Option<String>,
    pub transparent: bool,
}

impl Identity {
    pub(super) fn of_spec(addr: &SockAddr, o: &ListenOptions) -> Self {
        let inet = addr.inet();
        Self {
            kind: if o.datagram { SocketKind::Datagram } else { SocketKind::Stream },
            addr: addr.clone(),
            v6only: o.v6only.filter(|_| inet.is_some_and(|a| a.is_ipv6())),
            interface: o.interface.clone().filter(|_| inet.is_some()),
            namespace: o.namespace.clone().filter(|_| inet.is_some()),
            transparent: o.transparent && inet.is_some(),
        }
    }

    /// Reads the identity off a socket. The namespace cannot be read: the sender has to tell it.
    pub fn of_socket(fd: &impl AsFd, namespace: Option<String>) -> io::Result<Self> {
        let s = SockRef::from(fd);
        let addr = sockaddr_of(&s.local_addr()?)?;
        let inet = addr.inet();
        let transparent = match inet {
            Some(a) if a.is_ipv4() => s.ip_transparent_v4()?,
            Some(_) => s.ip_transparent_v6()?,
            None => false,
        };
        let interface = match inet {
            Some(_) => getsockopt(fd, BindToDevice)?.into_string().ok().filter(|n| !n.is_empty()),
            None => None,
        };
        Ok(Self {
            kind: if s.r#type()? == Type::STREAM {
                SocketKind::Stream
            } else {
                SocketKind::Datagram
            },
            v6only: if inet.is_some_and(|a| a.is_ipv6()) { Some(s.only_v6()?) } else { None },
            addr,
            interface,
            namespace,
            transparent,
        })
    }

    /// Whether a socket of this identity serves for `wanted`, whose `v6only` may be open.
    pub(super) fn serves(&self, wanted: &Self) -> bool {
        self.kind == wanted.kind
            && self.addr == wanted.addr
            && self.interface == wanted.interface
            && self.namespace == wanted.namespace
            && self.transparent == wanted.transparent
            && (wanted.v6only.is_none() || self.v6only == wanted.v6only)
    }
}

/// Sockets of the old process that nobody has claimed yet. Dropping it closes them.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(Identity, OwnedFd)>,
}

impl Inherited {
    pub fn none() -> Self {
        Self::default()
    }

    pub fn add(&mut self, identity: Identity, fd: OwnedFd) {
        self.sockets.push((identity, fd));
    }

    /// Takes every socket that serves for `wanted`.
    pub fn take(&mut self, wanted: &Identity) -> Vec<OwnedFd> {
        self.sockets.extract_if(.., |(id, _)| id.serves(wanted)).map(|(_, fd)| fd).collect()
    }

    /// How many nobody has claimed.
    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    pub fn is_empty(&self) -> bool {
        self.sockets.is_empty()
    }

    /// Closes what nobody claimed and says what it was. Connections in their queues are reset.
    pub fn close_unused(&mut self) -> Vec<Identity> {
        self.sockets.drain(..).map(|(id, _)| id).collect()
    }
}
