//! Settings of the whole data path.

use crate::{Port, cache::ticks_of};

/// The only value of the map [`CONFIG`](crate::maps::CONFIG).
///
/// All zero means "not configured": the programs then pass every packet.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Config {
    /// [`ABI_VERSION`](crate::ABI_VERSION); programs pass everything when it is another one.
    pub abi: u32,
    /// Seed of the flow and source hashes; instances behind the same ECMP group share it.
    pub hash_seed: u32,
    /// First port the balancer uses as source in full NAT, in host order here.
    pub nat_port_first: u16,
    /// Last such port, inclusive; below `nat_port_first` means that full NAT has no port.
    pub nat_port_last: u16,
    /// Sets of the flow cache per CPU minus one (sets are a power of two).
    pub cache_mask: u32,
    /// Slots of [`EMBRYONIC`](crate::maps::EMBRYONIC) per CPU minus one (a power of two).
    pub embryonic_mask: u32,
    /// Slots of [`CLOSING`](crate::maps::CLOSING) per CPU minus one (a power of two).
    pub closing_mask: u32,
    /// Lines of [`EPOCHS`](crate::maps::EPOCHS) minus one (a power of two).
    pub epoch_mask: u32,
    /// Boot flags: [`Self::CACHE`], [`Self::TTL`].
    pub flags: u32,
    /// Longest time a cached flow keeps its byte count and last-seen to itself, in nanoseconds.
    pub flush_ns: u64,
    /// Number of possible CPUs, the number of per-CPU regions in [`CACHE`](crate::maps::CACHE).
    pub cpus: u32,
    /// [`Self::flush_ns`] in [`ticks`](crate::ticks).
    pub flush_ticks: u16,
    /// Longest time a cached flow or server keeps its way out to itself, in [`ticks`](crate::ticks).
    pub route_ticks: u16,
}

impl Config {
    /// The flow cache is used. Without it each packet looks into the exact table.
    pub const CACHE: u32 = 1;
    /// Translated packets have their TTL or hop limit lowered by one, and those at one or less are
    /// left to the kernel. Forwarding loops end because of it; leave it set.
    pub const TTL: u32 = 2;
    /// Flags of an ordinary start.
    pub const DEFAULT_FLAGS: u32 = Self::CACHE | Self::TTL;
    /// One second: what idle expiry and log byte counts lag behind where timeouts are short.
    pub const LEAST_FLUSH_NS: u64 = 1_000_000_000;
    /// What they lag behind where no timeout is short.
    pub const MOST_FLUSH_NS: u64 = 8_000_000_000;
    /// One second: how long a changed route or neighbour goes unnoticed by a flow.
    pub const DEFAULT_ROUTE_NS: u64 = 1_000_000_000;

    /// Sets how long the cache keeps counts and ways out to itself, on a kernel with a jiffy of so many nanoseconds.
    pub const fn set_times(&mut self, flush_ns: u64, route_ns: u64, jiffy_ns: u64) {
        self.flush_ns = flush_ns;
        self.flush_ticks = ticks_of(flush_ns, jiffy_ns);
        self.route_ticks = ticks_of(route_ns, jiffy_ns);
    }

    /// Whether `port` lies in the range reserved for full NAT.
    #[inline(always)]
    pub fn is_nat_port(&self, port: Port) -> bool {
        let number = port.get();
        number >= self.nat_port_first && number <= self.nat_port_last
    }
}

/// Flag of [`INTERFACES`](crate::maps::INTERFACES): frames may be redirected to this interface from
/// XDP (its driver has `ndo_xdp_xmit` enabled, or the hook is generic XDP).
pub const INTERFACE_XDP_OUT: u32 = 1;

const _: () = assert!(size_of::<Config>() == 48);
