//! Samples of packets that are not sent on, for operators who look.

use core::ptr::addr_of_mut;

use aya_ebpf::helpers::generated::{bpf_get_prandom_u32, bpf_ktime_get_coarse_ns};
use proxy_common::{TRACE_ANSWERED, TRACE_BYTES, TRACE_DROPPED, TRACE_PASSED, TraceRecord};
use proxy_ebpf::{Frame, Verdict};

use crate::{kernel::opaque, maps};

/// Copies the start of a packet.
pub(crate) trait Copy {
    /// Writes `len` bytes to `to`, which has room for [`TRACE_BYTES`]. `len` is not 0, and not more than that.
    fn copy(&self, to: *mut u8, len: u32) -> bool;
}

/// Writes a record, if somebody looks and a reason was counted for this packet.
#[inline(never)]
pub(crate) fn sample<F: Frame + Copy>(frame: &F, verdict: Verdict) -> u32 {
    let Some(state) = maps::CPU_STATE.get_ptr_mut(0) else { return 0 };
    // SAFETY: this CPU's own.
    let noted = unsafe { (*state).noted };
    if noted == 0 {
        return 0;
    }
    // SAFETY: as above.
    unsafe { (*state).noted = 0 };
    let Some(switch) = maps::TRACE_SWITCH.get(0) else { return 0 };
    if switch.every == 0 {
        return 0;
    }
    // SAFETY: a helper without arguments.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    // SAFETY: likewise.
    let drawn = unsafe { bpf_get_prandom_u32() }.checked_rem(switch.every) == Some(0);
    if now >= switch.until_ns || !drawn {
        return 0;
    }
    let Some(mut entry) = maps::TRACE.reserve::<TraceRecord>(0) else { return 0 };
    let record = entry.as_mut_ptr();
    let len = frame.frame_len();
    let most = TRACE_BYTES as u32;
    // From 1 to 128, as the verifier sees it; no frame is shorter than its Ethernet header.
    let one_less = (if len < most { len } else { most }).wrapping_sub(1);
    let held = (opaque(u64::from(one_less)) as u32 & (most - 1)) + 1;
    // SAFETY: the record's own memory.
    let copied = unsafe {
        (*record).time_ns = now;
        (*record).ifindex = frame.ingress();
        (*record).reason = noted - 1;
        (*record).len = len;
        (*record).hook = F::HOOK;
        (*record).verdict = match verdict {
            Verdict::Drop => TRACE_DROPPED,
            Verdict::Answer => TRACE_ANSWERED,
            _ => TRACE_PASSED,
        };
        frame.copy(addr_of_mut!((*record).bytes).cast(), held)
    };
    // SAFETY: as above.
    unsafe { (*record).held = if copied { held as u16 } else { 0 } };
    entry.submit(0);
    1
}
