//! Address families: which one is preferred, which ones are taken at all.

use std::cell::Cell;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

/// An address family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    V4,
    /// HAProxy's default of `resolve-prefer`.
    #[default]
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }
}

/// `dns-accept-family` (configuration manual, 3.1): the families that are asked for and taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// IPv4, and IPv6 while the system has a route to the world in it.
    #[default]
    Auto,
    Both,
    Only(Family),
}

/// How long an answer of the system is good for.
const KNOWN_FOR: Duration = Duration::from_secs(30);

/// [`Accept`] with what the system says.
#[derive(Debug, Default)]
pub(crate) struct Families {
    accept: Accept,
    asked: Cell<Option<(Instant, bool)>>,
}

impl Families {
    pub(crate) fn new(accept: Accept) -> Self {
        Self { accept, asked: Cell::new(None) }
    }

    /// The families to ask for, best first.
    pub(crate) fn in_order(&self, prefer: Family) -> impl Iterator<Item = Family> + use<> {
        let both = match self.accept {
            Accept::Both => true,
            Accept::Auto => self.has_ipv6(),
            Accept::Only(_) => false,
        };
        let (first, second) = match self.accept {
            Accept::Only(family) => (family, None),
            _ if both => (prefer, Some(prefer.other())),
            _ => (Family::V4, None),
        };
        std::iter::once(first).chain(second)
    }

    fn has_ipv6(&self) -> bool {
        if let Some((at, found)) = self.asked.get()
            && at.elapsed() < KNOWN_FOR
        {
            return found;
        }
        let found = is_routed(SocketAddr::from((Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 1), 53)));
        self.asked.set(Some((Instant::now(), found)));
        found
    }
}

/// Connecting a datagram socket sends nothing: it only looks for a route.
fn is_routed(to: SocketAddr) -> bool {
    use socket2::{Domain, Socket, Type};
    Socket::new(Domain::for_address(to), Type::DGRAM, None)
        .and_then(|socket| socket.connect(&to.into()))
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_in_order() {
        let order = |accept, prefer| Families::new(accept).in_order(prefer).collect::<Vec<_>>();
        assert_eq!(order(Accept::Both, Family::V6), [Family::V6, Family::V4]);
        assert_eq!(order(Accept::Both, Family::V4), [Family::V4, Family::V6]);
        assert_eq!(order(Accept::Only(Family::V4), Family::V6), [Family::V4]);
        assert_eq!(order(Accept::Only(Family::V6), Family::V4), [Family::V6]);
    }
}
