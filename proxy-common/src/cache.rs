//! The flow cache: per CPU, set-associative, in one mappable array. It carries what a packet of a
//! known flow needs; [`FLOWS`](crate::maps::FLOWS) stays the truth.

use crate::Port;

/// Ways of a set: as many as leave few sets overfull when half of all ways are in use (at four, one flow in
/// seven is in such a set; at eight, one in forty).
pub const CACHE_WAYS: usize = 8;

/// Tag of an unused way. Hashes that fall on it are moved to 1.
pub const CACHE_TAG_EMPTY: u32 = 0;

/// Of ways written by the XDP program: `hop` holds two MAC addresses.
pub const HOOK_XDP: u8 = 1;
/// Of ways written by the tc program: `hop` holds the next hop's address.
pub const HOOK_TC: u8 = 2;

/// One set of [`CACHE`](crate::maps::CACHE): pairs of lines for the ways, then a line of tags. The pairs are aligned, as
/// processors like to load both lines of one.
///
/// The set of a packet is `cpu * (cache_mask + 1) + (hash & cache_mask)`.
#[repr(C, align(128))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheSet {
    pub ways: [CacheWay; CACHE_WAYS],
    /// Upper hash bits of each way's key, or [`CACHE_TAG_EMPTY`]; no two ways of a set share one.
    pub tags: [u32; CACHE_WAYS],
    /// Way to evict next.
    pub victim: u32,
    pub reserved: [u32; 23],
}

/// One cached direction of a flow. The first line is all that IPv4 needs: of addresses it has the last words, which are
/// an IPv4 address as a whole, and the rest of them is in the second.
#[repr(C, align(128))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheWay {
    pub src: u32,
    pub dst: u32,
    pub sport: Port,
    pub dport: Port,
    /// IP protocol.
    pub proto: u8,
    /// Bits of this type; 0 in an unused way.
    pub kind: u8,
    /// MTU of the way out, 0 where the kernel checks it.
    pub mtu: u16,
    /// Value of the key's word in [`EPOCHS`](crate::maps::EPOCHS) when the way was filled; another
    /// one there means that a flow of that word has gone, and the way is not to be used.
    pub epoch: u32,
    /// Packets not yet written to `FLOWS`.
    pub packets: u32,
    /// Payload bytes not yet written to `FLOWS`.
    pub bytes: u32,
    /// Time of the last write to `FLOWS`, in [`ticks`].
    pub flushed: u16,
    /// Time the routing table was asked last, in [`ticks`].
    pub routed: u16,
    pub new_src: u32,
    pub new_dst: u32,
    pub new_sport: Port,
    pub new_dport: Port,
    /// See [`FlowEntry`](crate::FlowEntry); both are indices of at most 65,535.
    pub service: u16,
    pub server: u16,
    /// Interface the packet leaves by.
    pub ifindex: u32,
    /// Next hop: destination and source MAC (XDP), or an IPv4 address and two words of zero (tc).
    pub hop: [u32; 3],
    /// The upper words of the addresses above.
    pub src_high: [u32; 3],
    pub dst_high: [u32; 3],
    pub new_src_high: [u32; 3],
    pub new_dst_high: [u32; 3],
    /// Next hop with [`Self::LONG_HOP`].
    pub long_hop: [u32; 4],
}

/// Time in units of 16 jiffies; differences are right for as long as 2^16 of them, after which an idle way looks fresh
/// for once.
#[inline(always)]
pub const fn ticks(jiffies: u64) -> u16 {
    (jiffies >> 4) as u16
}

/// Nanoseconds in [`ticks`], rounded up, for a jiffy of so many nanoseconds.
pub const fn ticks_of(ns: u64, jiffy_ns: u64) -> u16 {
    let ticks = ns.div_ceil(if jiffy_ns == 0 { 1 } else { jiffy_ns }).div_ceil(16);
    if ticks > 0x7fff { 0x7fff } else { ticks as u16 }
}

impl CacheWay {
    /// Bytes at which they are written to `FLOWS` whatever the time.
    pub const MOST_BYTES: u32 = 1 << 31;
    /// The hook, [`HOOK_XDP`] or [`HOOK_TC`].
    pub const HOOK: u8 = 3;
    /// Addresses are of IPv6.
    pub const V6: u8 = 1 << 2;
    /// Packets from the server.
    pub const REVERSE: u8 = 1 << 3;
    /// As [`FlowState::DIRECT`](crate::FlowState).
    pub const DIRECT: u8 = 1 << 4;
    /// As [`FlowState::TUNNEL`](crate::FlowState).
    pub const TUNNEL: u8 = 1 << 5;
    /// The next hop is an address of IPv6 (tc).
    pub const LONG_HOP: u8 = 1 << 6;
    /// What a packet is compared with.
    pub const KEY: u8 = Self::HOOK | Self::V6;
}

/// Value of [`EPOCHS`](crate::maps::EPOCHS): words that change when a flow of their hash is deleted
/// or replaced. Shared by all CPUs, and read far more than written.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EpochLine {
    pub words: [u32; 16],
}

const _: () = assert!(size_of::<CacheWay>() == 128);
const _: () = assert!(size_of::<CacheSet>() == CACHE_WAYS * 128 + 128);
const _: () = assert!(size_of::<EpochLine>() == 64);
