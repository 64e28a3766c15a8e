//! Frames in rotation.

use core::ptr;

use aya_ebpf::{
    bindings::xdp_action::{XDP_ABORTED, XDP_PASS},
    helpers::generated::bpf_xdp_adjust_head,
    macros::{map, xdp},
    maps::{Array, PerCpuArray, ProgramArray},
    programs::XdpContext,
};
use proxy_common::bench::{Rotation, TEMPLATE_WORDS};
use proxy_ebpf::headers::ETHERNET_LEN;

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
    let grown = (ctx.data_end() - ctx.data()) as i32 - rotation.len as i32;
    // SAFETY: a context and a number; the bounds are asked for below.
    if grown > 0 && unsafe { bpf_xdp_adjust_head(ctx.ctx, grown) } != 0 {
        return XDP_ABORTED;
    }
    let start = ctx.data();
    if start + ETHERNET_LEN + TEMPLATE_WORDS * 4 > ctx.data_end() {
        return XDP_ABORTED;
    }
    let port = u32::from((((number as u16) & 0x7fff) + 1024).to_be());
    let address = u32::from(((number >> 15) as u16).to_be()) << 16;
    // SAFETY: within the frame, as just checked; BPF stores need no alignment.
    unsafe {
        let ethernet = start as *mut u32;
        ptr::write(ethernet, rotation.ethernet[0]);
        ptr::write(ethernet.add(1), rotation.ethernet[1]);
        ptr::write(ethernet.add(2), rotation.ethernet[2]);
        ptr::write((start + 12) as *mut u16, rotation.ethertype as u16);
    }
    let headers = (start + ETHERNET_LEN) as *mut u32;
    for word in 0..TEMPLATE_WORDS {
        // SAFETY: as above.
        unsafe { ptr::write(headers.add(word), rotation.template[word]) };
    }
    let template = &rotation.template;
    // SAFETY: as above.
    unsafe {
        if rotation.v6 != 0 {
            ptr::write(headers.add(10), template[10] & 0xffff_0000 | port);
            ptr::write(headers.add(5), template[5] & 0xffff | address);
        } else {
            ptr::write(headers.add(5), template[5] & 0xffff_0000 | port);
            ptr::write(headers.add(3), template[3] & 0xffff | address);
        }
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
