//! Ways to servers.

use crate::Addr;

/// One place of [`HOPS`](crate::maps::HOPS): how this CPU's packets reach a server, by hook (XDP first).
pub type ServerHops = [ServerHop; 2];

/// What the routing table has said of the way to a server. It is asked for the server, not for each of its clients, so
/// rules that route by a client's address do not count.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServerHop {
    /// Interface the packet came in by; 0 when nothing is known.
    pub ingress: u32,
    /// Interface the packet leaves by.
    pub ifindex: u32,
    /// Longest IP packet that fits, 0 where the kernel sees to that (tc).
    pub mtu: u16,
    /// MTU of the route, 0 when it is not known.
    pub path_mtu: u16,
    /// tc: the next hop's address, unset to let the kernel look for the route when it sends.
    /// XDP: destination and source MAC.
    pub data: [u32; 4],
    /// The address asked for: the index may have been given to another server since.
    pub dst: Addr,
    /// When it was asked, in [`ticks`](crate::ticks).
    pub routed: u16,
    pub reserved: [u16; 9],
}

const _: () = assert!(size_of::<ServerHop>() == 64);
