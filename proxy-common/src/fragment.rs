//! Which ports the fragments of a datagram belong to.

use crate::{Addr, Port};

/// Key of [`FRAGMENTS`](crate::maps::FRAGMENTS): what all fragments of a datagram share (RFC 791 section 3.2,
/// RFC 8200 section 4.5).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct FragmentKey {
    pub src: Addr,
    pub dst: Addr,
    /// The identification as it stands in the packet.
    pub id: u32,
    /// IP protocol.
    pub proto: u8,
    pub reserved: [u8; 3],
}

/// Value of [`FRAGMENTS`](crate::maps::FRAGMENTS): what only the first fragment says.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FragmentEntry {
    /// When the first fragment came.
    pub seen_ns: u64,
    pub sport: Port,
    pub dport: Port,
    pub reserved: u32,
}

/// Thirty seconds: how long the rest of a datagram may take, as with the kernel's own reassembly.
pub const FRAGMENT_LIFE_NS: u64 = 30_000_000_000;

const _: () = assert!(size_of::<FragmentKey>() == 40);
const _: () = assert!(size_of::<FragmentEntry>() == 16);
