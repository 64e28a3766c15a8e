//! What the configuration says: virtual addresses, services, rings and servers.

use core::net::SocketAddr;

use crate::{Addr, Port};

/// Key of [`VIPS`](crate::maps::VIPS).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct VipKey {
    pub addr: Addr,
    pub port: Port,
    /// IP protocol: TCP or UDP.
    pub proto: u8,
    pub reserved: u8,
}

/// Value of [`VIPS`](crate::maps::VIPS).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VipEntry {
    /// Index in [`SERVICES`](crate::maps::SERVICES).
    pub service: u32,
    pub flags: u32,
}

/// The ring is walked in order by a cursor all CPUs share.
pub const POLICY_ROUNDROBIN: u8 = 0;
/// The ring is a Maglev table indexed by a hash of addresses and ports.
pub const POLICY_HASH_FLOW: u8 = 1;
/// The ring is a Maglev table indexed by a hash of the client's address.
pub const POLICY_HASH_SOURCE: u8 = 2;
/// Of two random places of the ring, the server with fewer live connections for its weight.
pub const POLICY_LEASTCONN: u8 = 3;

/// The service takes connections. Clear it first when an index is given up.
pub const SERVICE_UP: u8 = 1;
/// Full NAT: the server sees the balancer's address. Otherwise the client's is kept.
pub const SERVICE_FULLNAT: u8 = 2;
/// Ended and failed connections are reported in [`EVENTS`](crate::maps::EVENTS).
pub const SERVICE_LOG: u8 = 4;
/// Rules about clients' addresses are asked first, see [`SOURCES`](crate::maps::SOURCES).
pub const SERVICE_SOURCES: u8 = 8;

/// Servers answer clients by themselves: packets go to the server's MAC address as they are.
pub const SERVICE_DIRECT: u8 = 16;
/// Servers answer clients by themselves: packets go to them inside of IP (RFC 2003, RFC 2473).
pub const SERVICE_TUNNEL: u8 = 32;
/// Clients in [`DENIED`](crate::maps::DENIED) are turned away first.
pub const SERVICE_DENIES: u8 = 64;
/// Nothing is carried: whoever is not turned away is left to userspace.
pub const SERVICE_GUARD: u8 = 128;

/// What becomes of a first packet that no server gets: left to userspace.
pub const ANSWER_USERSPACE: u8 = 0;
/// Dropped.
pub const ANSWER_DROP: u8 = 1;
/// Answered by a reset; a datagram by ICMP "port unreachable".
pub const ANSWER_RESET: u8 = 2;
/// Answered by ICMP: "administratively prohibited" by a rule, "host unreachable" where there is no server.
pub const ANSWER_UNREACHABLE: u8 = 3;

/// Value of [`SERVICES`](crate::maps::SERVICES).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServiceEntry {
    /// One of `POLICY_*`.
    pub policy: u8,
    /// Bits of `SERVICE_*`.
    pub flags: u8,
    /// How many servers may refuse a client's SYN before the client is told.
    pub retries: u8,
    /// UDP: so many datagrams of the server end a flow; 0: only silence does.
    pub responses: u8,
    /// Index in [`RINGS`](crate::maps::RINGS) of the ring in force.
    pub ring: u32,
    /// Places of that ring in use, from the start; 0 when no server is usable, at most
    /// [`RING_SLOTS`].
    pub ring_len: u32,
    /// Most live connections, beyond which SYNs are left to the userspace listener; 0: no limit.
    pub max_connections: u32,
    /// Counts the changes of this entry, for the reader.
    pub generation: u32,
    /// Most new connections in a second, beyond which SYNs are left to the userspace listener; 0: no limit.
    pub rate: u32,
    /// Most new connections of one client in [`Self::source_period_ms`], beyond which its SYNs are dropped; 0: no limit.
    pub source_rate: u32,
    pub source_period_ms: u32,
    /// One of `ANSWER_*`: no server is usable.
    pub no_server: u8,
    /// One of `ANSWER_*`: a rule says [`SOURCE_REJECT`](crate::SOURCE_REJECT).
    pub rejects: u8,
    /// Not 0: segments of connections that are not known begin one, as those of another balancer that went away. The
    /// policy must be one of a hash, and the mode another one than full NAT.
    pub pick_up: u8,
    pub reserved: u8,
}

/// Places of a ring: the prime that Maglev tables use (65537), rounded up so that the map's value
/// is a multiple of eight bytes.
pub const RING_SLOTS: usize = 65540;

/// Value of [`RINGS`](crate::maps::RINGS): server indices, repeated according to weight.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ring {
    /// Indices in [`REALS`](crate::maps::REALS).
    pub slots: [u16; RING_SLOTS],
}

/// The server takes new connections.
pub const REAL_UP: u16 = 1;
/// The server keeps its connections and takes no new one (also when `REAL_UP` is set).
pub const REAL_DRAIN: u16 = 2;

/// Value of [`REALS`](crate::maps::REALS): one cache line per server.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RealEntry {
    pub addr: Addr,
    /// Source address of full NAT and of tunnels, of the same family; unset forbids both.
    pub source: Addr,
    /// 0: the port that the client sent to.
    pub port: Port,
    /// Bits of `REAL_*`.
    pub flags: u16,
    /// Interface toward the server, used where the programs may not ask the routing table.
    pub ifindex: u32,
    /// Changes each time the index is given to another server.
    pub generation: u32,
    /// Weight, at least 1; divides live connections for [`POLICY_LEASTCONN`].
    pub weight: u32,
    /// Most live connections on this server; 0: no limit.
    pub max_connections: u32,
    pub reserved: [u32; 3],
}

impl VipKey {
    /// The key of a listening address of a protocol.
    pub fn of(addr: SocketAddr, proto: u8) -> Self {
        Self { proto, ..addr.into() }
    }
}

impl From<(Addr, Port)> for VipKey {
    /// The TCP key of an address and port.
    fn from((addr, port): (Addr, Port)) -> Self {
        Self { addr, port, proto: crate::proto::TCP, reserved: 0 }
    }
}

impl From<SocketAddr> for VipKey {
    /// The TCP key of a listening address.
    fn from(addr: SocketAddr) -> Self {
        (Addr::from(addr.ip()), Port::new(addr.port())).into()
    }
}

const _: () = assert!(size_of::<VipKey>() == 20);
const _: () = assert!(size_of::<VipEntry>() == 8);
const _: () = assert!(size_of::<ServiceEntry>() == 36);
const _: () = assert!(size_of::<Ring>() == 131_080 && size_of::<Ring>().is_multiple_of(8));
const _: () = assert!(size_of::<RealEntry>() == 64);
