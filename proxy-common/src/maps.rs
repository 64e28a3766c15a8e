//! Names and default sizes of programs and maps. Names are those of the object file and of the pins,
//! at most 15 bytes (the kernel keeps 16 with the final zero).
//!
//! | map | type | value |
//! |---|---|---|
//! | `CONFIG` | array of 1 | [`Config`](crate::Config) |
//! | `PREFILTER` | array of [`PREFILTER_WORDS`] | `u64` bitmap words |
//! | `VIPS` | hash by [`VipKey`](crate::VipKey) | [`VipEntry`](crate::VipEntry) |
//! | `SERVICES` | array | [`ServiceEntry`](crate::ServiceEntry) |
//! | `RINGS` | array | [`Ring`](crate::Ring) |
//! | `REALS` | array | [`RealEntry`](crate::RealEntry) |
//! | `SOURCES` | longest-prefix trie by [`SourceKey`](crate::SourceKey) | [`SourceRuling`](crate::SourceRuling) |
//! | `FLOWS` | hash by [`FlowKey`](crate::FlowKey), preallocated | [`FlowEntry`](crate::FlowEntry) |
//! | `FRAGMENTS` | least-recently-used hash by [`FragmentKey`](crate::FragmentKey) | [`FragmentEntry`](crate::FragmentEntry) |
//! | `CACHE` | array, mmapable | [`CacheSet`](crate::CacheSet) |
//! | `EPOCHS` | array | [`EpochLine`](crate::EpochLine) |
//! | `EMBRYONIC`, `CLOSING` | array | [`Slot`](crate::Slot) |
//! | `CPU_STATE` | per-CPU array of 1 | [`CpuState`](crate::CpuState) |
//! | `INTERFACES` | array by ifindex | `u32` bits of `INTERFACE_*` |
//! | `COUNTERS` | per-CPU array of [`Reason::COUNT`](crate::Reason) | `u64` |
//! | `SVC_COUNTERS`, `SRV_COUNTERS` | per-CPU array | [`Traffic`](crate::Traffic) |
//! | `SVC_LIVE`, `SRV_LIVE` | array | [`Live`](crate::Live) |
//! | `RULES` | per-CPU array, [`RULES_PER_SERVICE`](crate::RULES_PER_SERVICE) for each service | `u64` |
//! | `SVC_RATES` | array | [`Rate`](crate::Rate) |
//! | `SRC_RATES` | least-recently-used hash by [`SourceNet`](crate::SourceNet) | [`Rate`](crate::Rate) |
//! | `DENIED` | least-recently-used hash by [`SourceNet`](crate::SourceNet) | [`DenyEntry`](crate::DenyEntry) |
//! | `ANSWER_RATE` | array of 1 | [`Rate`](crate::Rate) |
//! | `TRACE_SWITCH` | array of 1 | [`TraceSwitch`](crate::TraceSwitch) |
//! | `TRACE` | ring buffer | [`TraceRecord`](crate::TraceRecord) |
//! | `HOPS` | per-CPU array, as `REALS` | [`ServerHops`](crate::ServerHops) |
//! | `EVENTS` | ring buffer | [`FlowEvent`](crate::FlowEvent) |

use crate::Port;

/// XDP program.
pub const PROGRAM_XDP: &str = "sluice_xdp";
/// tcx ingress program. It must be attached under the XDP program too, on every interface: what XDP
/// cannot send by itself it passes untouched, and this program translates it.
pub const PROGRAM_TC: &str = "sluice_tc";
/// Ends flows for the user side, see [`ExpireRequest`](crate::ExpireRequest).
pub const PROGRAM_EXPIRE: &str = "sluice_expire";

/// For servers: takes off what balancers put around packets ([`SERVICE_TUNNEL`](crate::SERVICE_TUNNEL)).
pub const PROGRAM_DECAP: &str = "sluice_decap";
/// Hash by [`Addr`](crate::Addr) of the balancers that `sluice_decap` believes; not one of [`ALL`].
pub const BALANCERS: &str = "BALANCERS";
/// Most of them.
pub const BALANCERS_SIZE: u32 = 256;

pub const CONFIG: &str = "CONFIG";
pub const PREFILTER: &str = "PREFILTER";
pub const VIPS: &str = "VIPS";
pub const SERVICES: &str = "SERVICES";
pub const RINGS: &str = "RINGS";
pub const REALS: &str = "REALS";
pub const SOURCES: &str = "SOURCES";
pub const FLOWS: &str = "FLOWS";
pub const FRAGMENTS: &str = "FRAGMENTS";
pub const CACHE: &str = "CACHE";
pub const EPOCHS: &str = "EPOCHS";
pub const EMBRYONIC: &str = "EMBRYONIC";
pub const CLOSING: &str = "CLOSING";
pub const CPU_STATE: &str = "CPU_STATE";
pub const INTERFACES: &str = "INTERFACES";
pub const COUNTERS: &str = "COUNTERS";
pub const SERVICE_COUNTERS: &str = "SVC_COUNTERS";
pub const SERVER_COUNTERS: &str = "SRV_COUNTERS";
pub const RULES: &str = "RULES";
pub const SERVICE_LIVE: &str = "SVC_LIVE";
pub const SERVER_LIVE: &str = "SRV_LIVE";
pub const SERVICE_RATES: &str = "SVC_RATES";
pub const SOURCE_RATES: &str = "SRC_RATES";
pub const DENIED: &str = "DENIED";
/// ICMP answers of all services.
pub const ANSWER_RATE: &str = "ANSWER_RATE";
pub const TRACE_SWITCH: &str = "TRACE_SWITCH";
pub const TRACE: &str = "TRACE";
pub const HOPS: &str = "HOPS";
pub const EVENTS: &str = "EVENTS";

/// Every map of the object.
pub const ALL: [&str; 29] = [
    CONFIG,
    PREFILTER,
    VIPS,
    SERVICES,
    RINGS,
    REALS,
    SOURCES,
    FLOWS,
    FRAGMENTS,
    CACHE,
    EPOCHS,
    EMBRYONIC,
    CLOSING,
    CPU_STATE,
    INTERFACES,
    COUNTERS,
    SERVICE_COUNTERS,
    SERVER_COUNTERS,
    RULES,
    SERVICE_LIVE,
    SERVER_LIVE,
    SERVICE_RATES,
    SOURCE_RATES,
    DENIED,
    ANSWER_RATE,
    TRACE_SWITCH,
    TRACE,
    HOPS,
    EVENTS,
];

/// Words of [`PREFILTER`]: a bitmap of destination ports of VIPs, then one of source ports of servers
/// of services in NAT mode. Ports of full NAT are known from [`Config`](crate::Config) instead.
pub const PREFILTER_WORDS: u32 = 2 * PREFILTER_HALF;
/// Words of one bitmap.
pub const PREFILTER_HALF: u32 = 65536 / 64;

/// Word and bit of [`PREFILTER`] that says: some VIP has this port.
#[inline(always)]
pub const fn prefilter_vip(port: Port) -> (u32, u64) {
    let number = port.get();
    ((number >> 6) as u32, 1 << (number & 63))
}

/// Word and bit of [`PREFILTER`] that says: some server in NAT mode has this port.
#[inline(always)]
pub const fn prefilter_server(port: Port) -> (u32, u64) {
    let (word, bit) = prefilter_vip(port);
    (word + PREFILTER_HALF, bit)
}

/// Entries of each map in the object file; the user side sets its own at load. `FLOWS` must hold two
/// entries per connection, including those in `EMBRYONIC` and `CLOSING` of all CPUs.
pub mod default_size {
    pub const VIPS: u32 = 256;
    pub const SERVICES: u32 = 64;
    pub const RINGS: u32 = 4;
    pub const REALS: u32 = 256;
    /// Allocated as they are used.
    pub const SOURCES: u32 = 1 << 22;
    pub const FLOWS: u32 = 16384;
    /// Datagrams of which not all fragments have come.
    pub const FRAGMENTS: u32 = 8192;
    /// CPUs times sets; with [`CACHE_MASK`](self::CACHE_MASK) there is room for two CPUs.
    pub const CACHE: u32 = 2 * (CACHE_MASK + 1);
    pub const CACHE_MASK: u32 = 255;
    pub const EPOCHS: u32 = 256;
    /// CPUs times slots.
    pub const EMBRYONIC: u32 = 2048;
    /// CPUs times slots.
    pub const CLOSING: u32 = 2048;
    /// Interfaces with a higher index are never redirected to from XDP.
    pub const INTERFACES: u32 = 1024;
    /// Clients whose rate is known; those not heard of for longest are forgotten.
    pub const SOURCE_RATES: u32 = 1 << 16;
    /// Clients that are turned away; those not heard of for longest are forgotten.
    pub const DENIED: u32 = 1 << 16;
    /// Bytes; a power of two and a multiple of the page size.
    pub const EVENTS: u32 = 256 * 1024;
    /// Likewise.
    pub const TRACE: u32 = 256 * 1024;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel_and_differ() {
        for (index, name) in ALL.iter().enumerate() {
            assert!(name.len() <= 15, "{name}");
            assert!(!ALL[..index].contains(name), "{name}");
        }
    }

    #[test]
    fn prefilter_halves_do_not_meet() {
        assert_eq!(prefilter_vip(Port::new(65535)), (1023, 1 << 63));
        assert_eq!(prefilter_server(Port::new(64)), (1025, 1));
    }
}
