//! The flow cache: per CPU, set-associative, in one mappable array. It carries what a packet of a
//! known flow needs; [`FLOWS`](crate::maps::FLOWS) stays the truth.

use crate::{Addr, FlowKey, Port};

/// Ways of a set: as many as leave few sets overfull when half of all ways are in use (at four, one flow in
/// seven is in such a set; at eight, one in forty).
pub const CACHE_WAYS: usize = 8;

/// Tag of an unused way. Hashes that fall on it are moved to 1.
pub const CACHE_TAG_EMPTY: u32 = 0;

/// [`FlowKey::hook`] of ways written by the XDP program: `hop` holds two MAC addresses.
pub const HOOK_XDP: u8 = 1;
/// [`FlowKey::hook`] of ways written by the tc program: `hop` holds the next hop's address.
pub const HOOK_TC: u8 = 2;

/// One set of [`CACHE`](crate::maps::CACHE): a line of tags, then two lines per way.
///
/// The set of a packet is `cpu * (cache_mask + 1) + (hash & cache_mask)`.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CacheSet {
    /// Upper hash bits of each way's key, or [`CACHE_TAG_EMPTY`]; no two ways of a set share one.
    pub tags: [u32; CACHE_WAYS],
    /// Way to evict next.
    pub victim: u32,
    pub reserved: [u32; 7],
    pub ways: [CacheWay; CACHE_WAYS],
}

/// One cached direction of a flow.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CacheWay {
    /// Key as in [`FLOWS`](crate::maps::FLOWS), plus the hook.
    pub key: FlowKey,
    /// Value of the key's word in [`EPOCHS`](crate::maps::EPOCHS) when the way was filled; another
    /// one there means that a flow of that word has gone, and the way is not to be used.
    pub epoch: u32,
    /// Packets not yet written to `FLOWS`.
    pub packets: u32,
    /// Payload bytes not yet written to `FLOWS`.
    pub bytes: u64,
    /// Time of the last write to `FLOWS`, in [`ticks`].
    pub flushed: u32,
    /// Time the routing table was asked last, in [`ticks`].
    pub routed: u32,
    pub new_src: Addr,
    pub new_dst: Addr,
    pub new_sport: Port,
    pub new_dport: Port,
    /// Interface the packet leaves by.
    pub ifindex: u32,
    /// Next hop: an address (tc), or destination and source MAC (XDP).
    pub hop: [u32; 4],
    /// See [`FlowEntry`](crate::FlowEntry).
    pub service: u32,
    /// Index of the server, with [`Self::REVERSE`] set in packets from the server, and [`Self::DIRECT`] or
    /// [`Self::TUNNEL`] in those that go one way.
    pub server: u32,
}

/// Time in units of 2^24 ns (17 ms); differences are right for two years.
#[inline(always)]
pub const fn ticks(ns: u64) -> u32 {
    (ns >> 24) as u32
}

impl CacheWay {
    /// Set in [`Self::server`] for packets from the server.
    pub const REVERSE: u32 = 1 << 31;
    /// Set in [`Self::server`] as [`FlowState::DIRECT`](crate::FlowState) is.
    pub const DIRECT: u32 = 1 << 30;
    /// Set in [`Self::server`] as [`FlowState::TUNNEL`](crate::FlowState) is.
    pub const TUNNEL: u32 = 1 << 29;
    /// The index in [`Self::server`].
    pub const INDEX: u32 = 0xffff;
}

/// Value of [`EPOCHS`](crate::maps::EPOCHS): words that change when a flow of their hash is deleted
/// or replaced. Shared by all CPUs, and read far more than written.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EpochLine {
    pub words: [u32; 16],
}

const _: () = assert!(size_of::<CacheWay>() == 128);
const _: () = assert!(size_of::<CacheSet>() == 64 + CACHE_WAYS * 128);
const _: () = assert!(size_of::<EpochLine>() == 64);
