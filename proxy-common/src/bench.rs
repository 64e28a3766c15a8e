//! What `cargo xtask bench l4` tells its programs.

/// Four-byte words behind the Ethernet header that are written anew each time: IPv6 and TCP headers. Headers keep to
/// this grid, so that what reads a field finds it in one store, as it would in memory.
pub const TEMPLATE_WORDS: usize = 15;

/// A frame, and how it differs from one flow to the next.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// Flows minus one; their number is a power of two.
    pub mask: u64,
    /// Length of the frame, to which it is cut when a program has put something before it.
    pub len: u32,
    /// Whether the frame is of IPv6. Flows differ in the client's port, which is 1024 plus the lower 15 bits of a
    /// flow's number, and in the last two bytes of the client's address, which are the upper bits.
    pub v6: u32,
    /// The Ethernet header: its first twelve bytes, and its type.
    pub ethernet: [u32; 3],
    pub ethertype: u32,
    /// The headers behind it, in memory order.
    pub template: [u32; TEMPLATE_WORDS],
    pub reserved: u32,
}

const _: () = assert!(size_of::<Rotation>() == 8 + 4 * 6 + 60 + 4);
