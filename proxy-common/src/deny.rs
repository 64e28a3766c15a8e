//! Clients that userspace has turned away, and that are turned away from their first packet on for a while.

/// Value of [`DENIED`](crate::maps::DENIED), by [`SourceNet`](crate::SourceNet).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DenyEntry {
    /// Until when, in nanoseconds of the coarse monotonic clock; later the entry says nothing.
    pub until_ns: u64,
    /// One of `ANSWER_*`.
    pub how: u32,
    pub reserved: u32,
}

const _: () = assert!(size_of::<DenyEntry>() == 16);
