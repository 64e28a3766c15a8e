//! What `cargo xtask bench l4` tells its programs.

/// Two-byte words of a frame that are written anew each time: Ethernet, IPv6 and TCP headers.
pub const TEMPLATE_WORDS: usize = 37;

/// A frame, and how it differs from one flow to the next.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rotation {
    /// Flows minus one; their number is a power of two.
    pub mask: u64,
    /// Where the port stands that flows differ in: 1024 plus the lower 15 bits of a flow's number.
    pub port_offset: u32,
    /// Where two bytes of an address stand that take the upper bits.
    pub address_offset: u32,
    /// The frame, in memory order.
    pub template: [u16; TEMPLATE_WORDS],
    pub reserved: [u16; 3],
}

const _: () = assert!(size_of::<Rotation>() == 16 + 80);
