//! Frames in rotation.

use core::ptr;

use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_PASS},
    macros::{map, xdp},
    maps::{Array, PerCpuArray, ProgramArray},
    programs::XdpContext,
};
use proxy_common::bench::{Rotation, TEMPLATE_WORDS};

#[map]
static JUMP: ProgramArray = ProgramArray::with_max_entries(1, 0);
#[map]
static ROTATION: Array<Rotation> = Array::with_max_entries(1, 0);
#[map]
static CURSOR: PerCpuArray<u64> = PerCpuArray::with_max_entries(1, 0);

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Calls what stands in `JUMP` on the next frame.
#[xdp]
fn rotate(ctx: XdpContext) -> u32 {
    let (Some(rotation), Some(cursor)) = (ROTATION.get(0), CURSOR.get_ptr_mut(0)) else {
        return XDP_ABORTED;
    };
    // SAFETY: this CPU's own copy.
    let number = unsafe {
        let number = *cursor;
        *cursor = number + 1;
        number & rotation.mask
    };
    let start = ctx.data();
    let length = TEMPLATE_WORDS * 2;
    if start + length > ctx.data_end() {
        return XDP_ABORTED;
    }
    for word in 0..TEMPLATE_WORDS {
        // SAFETY: within the frame, as just checked; BPF stores need no alignment.
        unsafe { ptr::write((start + word * 2) as *mut u16, rotation.template[word]) };
    }
    let low = (number as u16) & 0x7fff;
    let high = (number >> 15) as u16;
    let port = start + (rotation.port_offset & 0x3f) as usize;
    let address = start + (rotation.address_offset & 0x3f) as usize;
    if port + 2 > ctx.data_end() || address + 2 > ctx.data_end() {
        return XDP_ABORTED;
    }
    // SAFETY: within the frame.
    unsafe {
        ptr::write(port as *mut u16, (low + 1024).to_be());
        ptr::write(address as *mut u16, high.to_be());
    }
    // SAFETY: returns only when there is no program.
    unsafe { JUMP.tail_call(&ctx, 0) };
    XDP_ABORTED
}

/// The floor: what a packet costs that nothing is done with.
#[xdp]
fn empty(_ctx: XdpContext) -> u32 {
    XDP_PASS
}
