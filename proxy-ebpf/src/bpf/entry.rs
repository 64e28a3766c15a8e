//! The three programs.

use core::ptr;

use aya_ebpf::{
    bindings::xdp_action::XDP_PASS,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use proxy_common::{EXPIRE_BATCH, EXPIRE_HEADER_LEN, ExpireRequest};
use proxy_ebpf::{Frame, Scratch, Verdict, answer, expire, process::carry};

use crate::{kernel::Kernel, maps, tc::TcFrame, trace, xdp::XdpFrame};

/// What tcx goes on with when this program leaves the packet alone (`TCX_NEXT`).
const TCX_NEXT: i32 = -1;

/// Licence of the object: several helpers are for GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier refuses any program in which this could be reached.
    loop {}
}

#[inline(always)]
fn scratch(index: u32) -> Option<&'static mut Scratch> {
    // SAFETY: this CPU's own copy; each user has an index of its own.
    maps::SCRATCH.get_ptr_mut(index).map(|scratch| unsafe { &mut *scratch })
}

#[xdp]
pub(crate) fn sluice_xdp(ctx: XdpContext) -> u32 {
    let Some(scratch) = scratch(maps::SCRATCH_PACKET) else { return XDP_PASS };
    let mut frame = XdpFrame::new(ctx);
    let verdict = way(&mut frame, scratch);
    frame.action(verdict)
}

/// What becomes of a frame; what is not sent on may be shown to whoever looks.
#[inline(always)]
fn way<F: Frame + trace::Copy>(frame: &mut F, scratch: &mut Scratch) -> Verdict {
    let verdict = carry(frame, &Kernel, scratch);
    if matches!(verdict, Verdict::Transmit | Verdict::Redirect) {
        return verdict;
    }
    trace::sample(frame, verdict);
    match verdict {
        Verdict::Answer => answer::give(frame, &Kernel, &scratch.answer),
        _ => verdict,
    }
}

#[classifier]
pub(crate) fn sluice_tc(ctx: TcContext) -> i32 {
    let Some(scratch) = scratch(maps::SCRATCH_PACKET) else { return TCX_NEXT };
    let Some(mut frame) = TcFrame::new(ctx) else { return TCX_NEXT };
    let verdict = way(&mut frame, scratch);
    frame.action(verdict)
}

#[classifier]
pub(crate) fn sluice_expire(ctx: TcContext) -> i32 {
    let Some(scratch) = scratch(maps::SCRATCH_EXPIRE) else { return 0 };
    let mut ended = 0;
    for index in 0..EXPIRE_BATCH {
        let start = ctx.data() + EXPIRE_HEADER_LEN + index * size_of::<ExpireRequest>();
        if start + size_of::<ExpireRequest>() > ctx.data_end() {
            break;
        }
        // SAFETY: within the packet; BPF loads need no alignment, and integers take any bytes.
        let request = unsafe { ptr::read(start as *const ExpireRequest) };
        if expire::expire(&Kernel, scratch, &request) {
            ended += 1;
        }
    }
    ended
}
