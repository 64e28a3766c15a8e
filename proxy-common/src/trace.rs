//! Packets shown to an operator as they come: some of those that were dropped, answered or let be.

/// The only value of [`TRACE_SWITCH`](crate::maps::TRACE_SWITCH).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceSwitch {
    /// Until when, in nanoseconds of the coarse monotonic clock: whoever traces sets it again and again, so that
    /// nothing is left on behind one that was killed.
    pub until_ns: u64,
    /// One of so many packets, drawn at random; 0: none.
    pub every: u32,
    pub reserved: u32,
}

/// Bytes of a packet in a record.
pub const TRACE_BYTES: usize = 128;

/// Record of [`TRACE`](crate::maps::TRACE).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceRecord {
    /// On the coarse monotonic clock.
    pub time_ns: u64,
    /// Where the packet came in.
    pub ifindex: u32,
    /// [`Reason`](crate::Reason) that was counted last, as its number.
    pub reason: u32,
    /// Length of the frame, with all segments of a GSO packet.
    pub len: u32,
    /// How many of `bytes` are the packet's; the rest is anything.
    pub held: u16,
    /// One of `TRACE_*`.
    pub verdict: u8,
    /// [`HOOK_XDP`](crate::HOOK_XDP) or [`HOOK_TC`](crate::HOOK_TC).
    pub hook: u8,
    /// Its start, as it came.
    pub bytes: [u8; TRACE_BYTES],
}

/// Goes on as if there were no balancer.
pub const TRACE_PASSED: u8 = 0;
/// Is thrown away.
pub const TRACE_DROPPED: u8 = 1;
/// Is answered by a reset or ICMP.
pub const TRACE_ANSWERED: u8 = 2;

const _: () = assert!(size_of::<TraceSwitch>() == 16);
const _: () = assert!(size_of::<TraceRecord>() == 24 + TRACE_BYTES);
