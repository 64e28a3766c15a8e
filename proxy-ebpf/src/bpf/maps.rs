//! The maps, with the sizes of the object file.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf},
};
use proxy_common::{
    CacheSet, Config, CpuState, DenyEntry, EpochLine, FlowEntry, FlowKey, FragmentEntry,
    FragmentKey, Live, RULES_PER_SERVICE, Rate, RealEntry, Reason, Ring, ServerHops, ServiceEntry,
    Slot, SourceNet, SourceRuling, TraceSwitch, Traffic, VipEntry, VipKey,
    maps::{PREFILTER_WORDS, default_size},
};
use proxy_ebpf::Scratch;

#[map]
pub(crate) static CONFIG: Array<Config> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static PREFILTER: Array<u64> = Array::with_max_entries(PREFILTER_WORDS, 0);
#[map]
pub(crate) static VIPS: HashMap<VipKey, VipEntry> =
    HashMap::with_max_entries(default_size::VIPS, 0);
#[map]
pub(crate) static SERVICES: Array<ServiceEntry> =
    Array::with_max_entries(default_size::SERVICES, 0);
#[map]
pub(crate) static RINGS: Array<Ring> = Array::with_max_entries(default_size::RINGS, 0);
#[map]
pub(crate) static REALS: Array<RealEntry> = Array::with_max_entries(default_size::REALS, 0);
#[map]
pub(crate) static SOURCES: LpmTrie<SourceNet, SourceRuling> =
    LpmTrie::with_max_entries(default_size::SOURCES, 0);
#[map]
pub(crate) static FLOWS: HashMap<FlowKey, FlowEntry> =
    HashMap::with_max_entries(default_size::FLOWS, 0);
#[map]
pub(crate) static FRAGMENTS: LruHashMap<FragmentKey, FragmentEntry> =
    LruHashMap::with_max_entries(default_size::FRAGMENTS, 0);
#[map]
pub(crate) static CACHE: Array<CacheSet> =
    Array::with_max_entries(default_size::CACHE, BPF_F_MMAPABLE);
#[map]
pub(crate) static EPOCHS: Array<EpochLine> = Array::with_max_entries(default_size::EPOCHS, 0);
#[map]
pub(crate) static EMBRYONIC: Array<Slot> = Array::with_max_entries(default_size::EMBRYONIC, 0);
#[map]
pub(crate) static CLOSING: Array<Slot> = Array::with_max_entries(default_size::CLOSING, 0);
#[map]
pub(crate) static CPU_STATE: PerCpuArray<CpuState> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub(crate) static INTERFACES: Array<u32> = Array::with_max_entries(default_size::INTERFACES, 0);
#[map]
pub(crate) static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT, 0);
#[map]
pub(crate) static SVC_COUNTERS: PerCpuArray<Traffic> =
    PerCpuArray::with_max_entries(default_size::SERVICES, 0);
#[map]
pub(crate) static SRV_COUNTERS: PerCpuArray<Traffic> =
    PerCpuArray::with_max_entries(default_size::REALS, 0);
#[map]
pub(crate) static RULES: PerCpuArray<u64> =
    PerCpuArray::with_max_entries(default_size::SERVICES * RULES_PER_SERVICE, 0);
#[map]
pub(crate) static SVC_LIVE: Array<Live> = Array::with_max_entries(default_size::SERVICES, 0);
#[map]
pub(crate) static SRV_LIVE: Array<Live> = Array::with_max_entries(default_size::REALS, 0);
#[map]
pub(crate) static SVC_RATES: Array<Rate> = Array::with_max_entries(default_size::SERVICES, 0);
#[map]
pub(crate) static SRC_RATES: LruHashMap<SourceNet, Rate> =
    LruHashMap::with_max_entries(default_size::SOURCE_RATES, 0);
#[map]
pub(crate) static DENIED: LruHashMap<SourceNet, DenyEntry> =
    LruHashMap::with_max_entries(default_size::DENIED, 0);
#[map]
pub(crate) static ANSWER_RATE: Array<Rate> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static TRACE_SWITCH: Array<TraceSwitch> = Array::with_max_entries(1, 0);
#[map]
pub(crate) static TRACE: RingBuf = RingBuf::with_byte_size(default_size::TRACE, 0);
#[map]
pub(crate) static HOPS: PerCpuArray<ServerHops> =
    PerCpuArray::with_max_entries(default_size::REALS, 0);
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(default_size::EVENTS, 0);

/// Working memory per CPU, one for packets and one for [`sluice_expire`](crate::entry::sluice_expire),
/// which may be interrupted by packets. Not pinned: nothing in it outlives a run.
#[map]
pub(crate) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(2, 0);
pub(crate) const SCRATCH_PACKET: u32 = 0;
pub(crate) const SCRATCH_EXPIRE: u32 = 1;
