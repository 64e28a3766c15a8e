//! Rules about clients' addresses, as one longest-prefix table.

use crate::Addr;

/// Key of [`SOURCES`](crate::maps::SOURCES), in the layout of a longest-prefix trie.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SourceKey {
    /// Bits that count: [`Self::WHOLE`] in a look-up.
    pub prefix_len: u32,
    pub net: SourceNet,
}

/// What the bits of a [`SourceKey`] are of.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SourceNet {
    /// Index in [`SERVICES`](crate::maps::SERVICES); always counted whole.
    pub service: u32,
    pub addr: Addr,
}

impl SourceKey {
    /// Bits of the service's index, ahead of those of the address.
    pub const SERVICE_BITS: u32 = 32;
    /// The service and a whole address.
    pub const WHOLE: u32 = Self::SERVICE_BITS + 128;
}

/// Value of [`SOURCES`](crate::maps::SOURCES). An address without one is let in.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SourceRuling {
    /// One of `SOURCE_*`; userspace decides about any other value.
    pub verdict: u32,
    /// Which of the service's counters in [`RULES`](crate::maps::RULES) is raised; none at or above
    /// [`RULES_PER_SERVICE`].
    pub rule: u32,
}

/// The kernel carries the connection.
pub const SOURCE_ACCEPT: u32 = 0;
/// The SYN is dropped.
pub const SOURCE_DROP: u32 = 1;
/// The SYN is left to userspace, whose rules are the same and more.
pub const SOURCE_USERSPACE: u32 = 2;
/// The SYN is answered as [`ServiceEntry::rejects`](crate::ServiceEntry) says.
pub const SOURCE_REJECT: u32 = 3;

/// Counters of each service in [`RULES`](crate::maps::RULES).
pub const RULES_PER_SERVICE: u32 = 32;

const _: () = assert!(size_of::<SourceKey>() == 24);
const _: () = assert!(size_of::<SourceRuling>() == 8);
