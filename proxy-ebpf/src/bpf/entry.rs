//! The three programs.

use aya_ebpf::{
    bindings::xdp_action::XDP_PASS,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};

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

#[xdp]
pub(crate) fn sluice_xdp(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

#[classifier]
pub(crate) fn sluice_tc(_ctx: TcContext) -> i32 {
    TCX_NEXT
}

#[classifier]
pub(crate) fn sluice_expire(_ctx: TcContext) -> i32 {
    0
}
