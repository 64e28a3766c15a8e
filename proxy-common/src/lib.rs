//! Layouts shared by the kernel programs and the user side: `repr(C)`, no padding, sizes asserted at
//! compile time. Addresses and ports are kept in network byte order, as they stand in a packet;
//! everything else is in host byte order.
//!
//! A change to any layout, map name or meaning raises [`ABI_VERSION`]: pinned maps of another
//! version are not adopted.
#![cfg_attr(not(test), no_std)]

mod addr;
pub mod bench;
mod cache;
mod config;
mod counters;
mod deny;
mod event;
mod expire;
mod flow;
mod fragment;
mod hop;
pub mod maps;
#[cfg(feature = "user")]
mod pod;
mod rate;
mod service;
mod source;
mod trace;

pub use addr::{Addr, Port};
pub use cache::{
    CACHE_TAG_EMPTY, CACHE_WAYS, CacheSet, CacheWay, EpochLine, HOOK_TC, HOOK_XDP, ticks, ticks_of,
};
pub use config::{Config, INTERFACE_XDP_OUT};
pub use counters::{Live, Reason, Traffic};
pub use deny::DenyEntry;
pub use event::{EndReason, FlowEvent};
pub use expire::{
    EXPIRE_BATCH, EXPIRE_HEADER_LEN, ExpireRequest, SWEEP_ANY_TIME, expire_packet_len,
};
pub use flow::{CpuState, Direction, FlowEntry, FlowKey, FlowState, FlowStatus, Slot};
pub use fragment::{FRAGMENT_LIFE_NS, FragmentEntry, FragmentKey};
pub use hop::{ServerHop, ServerHops};
pub use rate::Rate;
pub use service::{
    ANSWER_DROP, ANSWER_RESET, ANSWER_UNREACHABLE, ANSWER_USERSPACE, POLICY_HASH_FLOW,
    POLICY_HASH_SOURCE, POLICY_LEASTCONN, POLICY_ROUNDROBIN, REAL_DRAIN, REAL_UP, RING_SLOTS,
    RealEntry, Ring, SERVICE_DENIES, SERVICE_DIRECT, SERVICE_FULLNAT, SERVICE_GUARD, SERVICE_LOG,
    SERVICE_SOURCES, SERVICE_TUNNEL, SERVICE_UP, ServiceEntry, VipEntry, VipKey,
};
pub use source::{
    RULES_PER_SERVICE, SOURCE_ACCEPT, SOURCE_DROP, SOURCE_REJECT, SOURCE_USERSPACE, SourceKey,
    SourceNet, SourceRuling,
};

pub use trace::{
    TRACE_ANSWERED, TRACE_BYTES, TRACE_DROPPED, TRACE_PASSED, TraceRecord, TraceSwitch,
};

/// Version of every layout and meaning in this crate; the first word of [`Config`].
pub const ABI_VERSION: u32 = 10;

/// IP protocol numbers the data path knows (IANA protocol numbers).
pub mod proto {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const ICMPV6: u8 = 58;
}
