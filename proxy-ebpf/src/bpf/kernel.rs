//! [`Tables`] over the kernel's maps.

use core::{arch::asm, ffi::c_void, mem};

use aya_ebpf::{
    helpers::{
        bpf_get_prandom_u32, bpf_get_smp_processor_id,
        generated::{bpf_jiffies64, bpf_ktime_get_coarse_ns, bpf_loop},
    },
    maps::lpm_trie::Key,
};
use proxy_common::{
    CacheSet, Config, DenyEntry, FlowEntry, FlowEvent, FlowKey, FragmentEntry, FragmentKey,
    HOOK_XDP, RING_SLOTS, Rate, RealEntry, Reason, ServerHop, ServiceEntry, Slot, SourceKey,
    SourceNet, SourceRuling, Traffic, VipEntry, VipKey, ticks,
};
use proxy_ebpf::{
    InsertError, Tables,
    cell::{EpochCell, FlowCell, LiveCell, RateCell},
};

use crate::maps;

/// `BPF_NOEXIST`: insert only.
const NOEXIST: u64 = 1;
/// `-EEXIST`.
const EEXIST: i32 = -17;

/// The maps of this object.
pub(crate) struct Kernel;

/// A map value, which stays valid memory until the program returns.
#[inline(always)]
fn value<T>(pointer: Option<*const T>) -> Option<&'static T> {
    // SAFETY: the kernel returned it as a pointer to a value of that size. Types that other CPUs change
    // are only read through cells; the rest is written by the user side, field by field or as a whole,
    // and any mix of old and new words is a valid value.
    pointer.map(|pointer| unsafe { &*pointer })
}

/// A value of this CPU's own copy of a map.
#[inline(always)]
fn own<T>(pointer: Option<*mut T>) -> Option<&'static mut T> {
    // SAFETY: per-CPU memory; programs on one CPU do not interrupt each other between a read and the
    // write that follows, except that a count may be lost to `sluice_expire`.
    pointer.map(|pointer| unsafe { &mut *pointer })
}

impl Tables for Kernel {
    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        value(maps::CONFIG.get_ptr(0))
    }

    #[inline(always)]
    fn prefilter(&self, word: u32) -> u64 {
        maps::PREFILTER.get(word).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn vip(&self, key: &VipKey) -> Option<VipEntry> {
        value(maps::VIPS.get_ptr(key)).copied()
    }

    #[inline(always)]
    fn service(&self, index: u32) -> Option<&ServiceEntry> {
        value(maps::SERVICES.get_ptr(index))
    }

    #[inline(always)]
    fn ring(&self, ring: u32, place: u32) -> Option<u32> {
        let ring = value(maps::RINGS.get_ptr(ring))?;
        let place = opaque(u64::from(place)) as usize;
        if place >= RING_SLOTS {
            return None;
        }
        Some(u32::from(ring.slots[place]))
    }

    #[inline(always)]
    fn real(&self, index: u32) -> Option<&RealEntry> {
        value(maps::REALS.get_ptr(index))
    }

    #[inline(always)]
    fn source(&self, key: &SourceKey) -> Option<SourceRuling> {
        // SAFETY: the length of the prefix and the bits, both without padding.
        let key = unsafe { &*core::ptr::from_ref(key).cast::<Key<SourceNet>>() };
        maps::SOURCES.get(key).copied()
    }

    #[inline(always)]
    fn flow(&self, key: &FlowKey) -> Option<&FlowCell> {
        value(maps::FLOWS.get_ptr(key).map(<*const FlowEntry>::cast))
    }

    #[inline(always)]
    fn insert(&self, key: &FlowKey, entry: &FlowEntry) -> Result<(), InsertError> {
        maps::FLOWS.insert(key, entry, NOEXIST).map_err(|error| match error {
            EEXIST => InsertError::Exists,
            _ => InsertError::Full,
        })
    }

    #[inline(always)]
    fn remove(&self, key: &FlowKey) -> bool {
        maps::FLOWS.remove(key).is_ok()
    }

    #[inline(always)]
    fn fragment(&self, key: &FragmentKey) -> Option<FragmentEntry> {
        value(maps::FRAGMENTS.get_ptr(key)).copied()
    }

    #[inline(always)]
    fn set_fragment(&self, key: &FragmentKey, entry: &FragmentEntry) {
        // Without room the rest of the datagram is lost, which is no more than a lost fragment.
        let _ = maps::FRAGMENTS.insert(key, entry, 0);
    }

    #[inline(always)]
    fn remove_fragment(&self, key: &FragmentKey) {
        let _ = maps::FRAGMENTS.remove(key);
    }

    #[inline(always)]
    fn epochs(&self, line: u32) -> Option<&EpochCell> {
        value(maps::EPOCHS.get_ptr(line).map(<*const _>::cast))
    }

    #[inline(always)]
    fn with_set<R>(
        &self,
        config: &Config,
        hash: u64,
        work: impl FnOnce(&mut CacheSet) -> R,
    ) -> Option<R> {
        // SAFETY: a helper without arguments.
        let cpu = unsafe { bpf_get_smp_processor_id() };
        let set = region(cpu, config.cache_mask).wrapping_add(hash as u32 & config.cache_mask);
        own(maps::CACHE.get_ptr_mut(set)).map(work)
    }

    #[inline(always)]
    fn with_hop<R>(
        &self,
        server: u32,
        hook: u8,
        work: impl FnOnce(&mut ServerHop) -> R,
    ) -> Option<R> {
        let hops = own(maps::HOPS.get_ptr_mut(server))?;
        Some(work(if hook == HOOK_XDP { &mut hops[0] } else { &mut hops[1] }))
    }

    #[inline(always)]
    fn service_rate(&self, index: u32) -> Option<&RateCell> {
        value(maps::SVC_RATES.get_ptr(index).map(<*const _>::cast))
    }

    #[inline(always)]
    fn source_rate(&self, net: &SourceNet) -> Option<&RateCell> {
        value(maps::SRC_RATES.get_ptr(net).map(<*const _>::cast))
    }

    #[inline(always)]
    fn set_source_rate(&self, net: &SourceNet, rate: &Rate) {
        // Without room the client is not limited.
        let _ = maps::SRC_RATES.insert(net, rate, 0);
    }

    #[inline(always)]
    fn denied(&self, net: &SourceNet) -> Option<DenyEntry> {
        value(maps::DENIED.get_ptr(net)).copied()
    }

    #[inline(always)]
    fn answer_rate(&self) -> Option<&RateCell> {
        value(maps::ANSWER_RATE.get_ptr(0).map(<*const _>::cast))
    }

    #[inline(always)]
    fn service_live(&self, index: u32) -> Option<&LiveCell> {
        value(maps::SVC_LIVE.get_ptr(index).map(<*const _>::cast))
    }

    #[inline(always)]
    fn server_live(&self, index: u32) -> Option<&LiveCell> {
        value(maps::SRV_LIVE.get_ptr(index).map(<*const _>::cast))
    }

    #[inline(always)]
    fn count(&self, reason: Reason) {
        if let Some(counter) = own(maps::COUNTERS.get_ptr_mut(reason as u32)) {
            *counter += 1;
        }
        // Known where this is compiled: nothing of it is on the way of a hit.
        if !matches!(reason, Reason::CacheHit | Reason::CacheMiss | Reason::CacheEvicted)
            && let Some(state) = own(maps::CPU_STATE.get_ptr_mut(0))
        {
            state.noted = reason as u32 + 1;
        }
    }

    #[inline(always)]
    fn count_service(&self, index: u32, change: impl FnOnce(&mut Traffic)) {
        if let Some(traffic) = own(maps::SVC_COUNTERS.get_ptr_mut(index)) {
            change(traffic);
        }
    }

    #[inline(always)]
    fn count_server(&self, index: u32, change: impl FnOnce(&mut Traffic)) {
        if let Some(traffic) = own(maps::SRV_COUNTERS.get_ptr_mut(index)) {
            change(traffic);
        }
    }

    #[inline(always)]
    fn count_rule(&self, index: u32) {
        if let Some(counter) = own(maps::RULES.get_ptr_mut(index)) {
            *counter += 1;
        }
    }

    #[inline(always)]
    fn uncount_rule(&self, index: u32) {
        if let Some(counter) = own(maps::RULES.get_ptr_mut(index)) {
            *counter = counter.wrapping_sub(1);
        }
    }

    #[inline(always)]
    fn swap_embryonic(&self, config: &Config, slot: &mut Slot) {
        let mask = config.embryonic_mask;
        let Some(state) = own(maps::CPU_STATE.get_ptr_mut(0)) else { return };
        let head = state.embryonic_head;
        state.embryonic_head = head.wrapping_add(1);
        swap(own(maps::EMBRYONIC.get_ptr_mut(place(head, mask))), slot);
    }

    #[inline(always)]
    fn swap_closing(&self, config: &Config, slot: &mut Slot) {
        let mask = config.closing_mask;
        let Some(state) = own(maps::CPU_STATE.get_ptr_mut(0)) else { return };
        let head = state.closing_head;
        state.closing_head = head.wrapping_add(1);
        swap(own(maps::CLOSING.get_ptr_mut(place(head, mask))), slot);
    }

    #[inline(always)]
    fn emit(&self, event: impl FnOnce(&mut FlowEvent)) -> bool {
        let Some(mut entry) = maps::EVENTS.reserve::<FlowEvent>(0) else { return false };
        // SAFETY: integers only; `event` writes all of them.
        event(unsafe { &mut *entry.as_mut_ptr() });
        entry.submit(0);
        true
    }

    #[inline(always)]
    fn until(&self, times: u32, mut body: impl FnMut(u32) -> bool) {
        repeat(times, &mut body);
    }

    #[inline(always)]
    fn ticks(&self) -> u16 {
        // SAFETY: a helper without arguments, of which the kernel makes one load.
        ticks(unsafe { bpf_jiffies64() })
    }

    #[inline(always)]
    fn now_ns(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn random(&self) -> u32 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_get_prandom_u32() }
    }
}

/// `bpf_loop` (Linux 5.17).
#[inline(always)]
fn repeat<B: FnMut(u32) -> bool>(times: u32, body: &mut B) {
    extern "C" fn turn<B: FnMut(u32) -> bool>(index: u64, body: *mut c_void) -> i64 {
        // SAFETY: `repeat` borrows the body for as long as the helper runs.
        let body = unsafe { &mut *body.cast::<B>() };
        i64::from(body(index as u32))
    }
    let turn: extern "C" fn(u64, *mut c_void) -> i64 = turn::<B>;
    // SAFETY: a function of the kind that the helper calls, with what it is to be given.
    unsafe {
        bpf_loop(times, turn as *mut c_void, core::ptr::from_mut(body).cast(), 0);
    }
}

/// A number the compiler knows nothing about, so that it keeps the check that the verifier needs.
#[inline(always)]
pub(crate) fn opaque(mut number: u64) -> u64 {
    // SAFETY: an instruction that changes nothing.
    unsafe { asm!("{0} = {0}", inout(reg) number, options(pure, nomem, nostack, preserves_flags)) };
    number
}

/// Index of a place in this CPU's region of a ring of slots.
#[inline(always)]
fn place(head: u32, mask: u32) -> u32 {
    // SAFETY: a helper without arguments.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    region(cpu, mask).wrapping_add(head & mask)
}

/// Where a CPU's region begins in a map of regions of `mask + 1` entries.
#[inline(always)]
fn region(cpu: u32, mask: u32) -> u32 {
    cpu.wrapping_mul(mask.wrapping_add(1))
}

/// Exchanges a slot with the one in the map. Without a place, which would be a map made too small, the
/// new flow simply has none, and the user side's expiry ends it.
#[inline(always)]
fn swap(place: Option<&mut Slot>, slot: &mut Slot) {
    match place {
        Some(place) => mem::swap(place, slot),
        None => slot.created_ns = 0,
    }
}
