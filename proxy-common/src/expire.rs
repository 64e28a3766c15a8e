//! How the user side ends flows.
//!
//! Deleting an entry of `FLOWS` from userspace could race with a packet that ends the same
//! connection, and it would be taken off the live counts twice. So the program
//! [`sluice_expire`](crate::maps::PROGRAM_EXPIRE) deletes them: a classifier that is never attached, and is
//! run through `BPF_PROG_TEST_RUN` on a "packet" of requests. Its return value is the
//! number of connections ended.

use crate::FlowKey;

/// Bytes before the first request: the kernel wants an Ethernet header there. Its content
/// does not matter.
pub const EXPIRE_HEADER_LEN: usize = 14;

/// Most requests of one run.
pub const EXPIRE_BATCH: usize = 24;

/// Value of [`ExpireRequest::seen_until_ns`] that ends a connection however recently it was seen.
pub const SWEEP_ANY_TIME: u64 = u64::MAX;

/// One connection to end.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExpireRequest {
    /// Key of the forward entry.
    pub key: FlowKey,
    /// Identity of the connection, [`FlowEntry::created_ns`](crate::FlowEntry).
    pub created_ns: u64,
    /// The connection is ended only if neither direction was seen after this time.
    pub seen_until_ns: u64,
    /// [`EndReason`](crate::EndReason) as its number.
    pub reason: u32,
    pub reserved: u32,
}

/// Length of the packet for so many requests.
pub const fn expire_packet_len(requests: usize) -> usize {
    EXPIRE_HEADER_LEN + requests * size_of::<ExpireRequest>()
}

const _: () = assert!(size_of::<ExpireRequest>() == 64);
