//! [`Frame`] over an XDP buffer: checksums by arithmetic, output by the routing table's answer.

use core::ptr;

use aya_ebpf::{
    bindings::{
        BPF_FIB_LKUP_RET_SUCCESS, bpf_fib_lookup as FibParams,
        xdp_action::{XDP_DROP, XDP_PASS, XDP_REDIRECT, XDP_TX},
        xdp_md,
    },
    helpers::generated::{
        bpf_fib_lookup, bpf_redirect, bpf_xdp_adjust_head, bpf_xdp_adjust_tail, bpf_xdp_load_bytes,
    },
    programs::XdpContext,
};
use proxy_common::{HOOK_XDP, INTERFACE_XDP_OUT, Reason};
use proxy_ebpf::{
    Frame, Hop, NoWay, Path, Verdict, checksum,
    frame::Pseudo,
    headers::{ETHERNET_LEN, Ethernet, Header},
};

use crate::{maps, tc::fib_params, trace};

pub(crate) struct XdpFrame {
    ctx: XdpContext,
    /// Output interface, known once the frame is to be sent.
    out: u32,
}

impl XdpFrame {
    pub(crate) fn new(ctx: XdpContext) -> Self {
        Self { ctx, out: 0 }
    }

    /// What XDP is told.
    #[inline(always)]
    pub(crate) fn action(&self, verdict: Verdict) -> u32 {
        match verdict {
            Verdict::Pass => XDP_PASS,
            Verdict::Drop | Verdict::Answer => XDP_DROP,
            Verdict::Transmit => XDP_TX,
            Verdict::Redirect => {
                // SAFETY: a helper that takes numbers.
                unsafe { bpf_redirect(self.out, 0) };
                XDP_REDIRECT
            }
        }
    }

    /// Address of a header within the frame.
    #[inline(always)]
    fn at<H: Header>(&self, offset: usize) -> Option<*mut H> {
        let start = self.ctx.data() + offset;
        if start + size_of::<H>() > self.ctx.data_end() {
            return None;
        }
        Some(start as *mut H)
    }
}

impl Frame for XdpFrame {
    const HOOK: u8 = HOOK_XDP;

    #[inline(always)]
    fn load<H: Header>(&self, offset: usize) -> Option<H> {
        // SAFETY: within the frame; BPF loads need no alignment, and any bytes make a header.
        self.at(offset).map(|header| unsafe { ptr::read(header) })
    }

    #[inline(always)]
    fn frame_len(&self) -> u32 {
        (self.ctx.data_end() - self.ctx.data()) as u32
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        1
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        self.ctx.ingress_ifindex() as u32
    }

    #[inline(always)]
    fn route(&mut self, path: &Path<'_>, hop: &mut Hop) -> Result<(), NoWay> {
        // The tc program below takes what XDP cannot send, and resolves neighbours on the way.
        let deferred = NoWay { reason: Reason::Deferred, known: Verdict::Pass };
        if !find_route(self.ctx.ctx, path, hop) {
            return Err(deferred);
        }
        if hop.ifindex != self.ingress() {
            let flags = maps::INTERFACES.get(hop.ifindex).copied().unwrap_or(0);
            if flags & INTERFACE_XDP_OUT == 0 {
                return Err(deferred);
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn store<H: Header>(&mut self, offset: usize, header: &H) -> bool {
        match self.at::<H>(offset) {
            // SAFETY: within the frame; BPF stores need no alignment.
            Some(place) => unsafe { ptr::write(place, *header) },
            None => return false,
        }
        true
    }

    #[inline(always)]
    fn store_summed<H: Header>(&mut self, offset: usize, header: &H) -> bool {
        self.store(offset, header)
    }

    #[inline(always)]
    fn fix_ip(&mut self, offset: usize, diff: u32) -> bool {
        let Some(check) = self.load::<u16>(offset) else { return false };
        self.store(offset, &checksum::apply(check, diff))
    }

    #[inline(always)]
    fn fix_l4(&mut self, offset: usize, _kind: Pseudo, pseudo: u32, plain: u32) -> bool {
        self.fix_ip(offset, checksum::join(pseudo, plain))
    }

    #[inline(always)]
    fn fix_udp(&mut self, offset: usize, _kind: Pseudo, pseudo: u32, plain: u32) -> bool {
        let Some(check) = self.load::<u16>(offset) else { return false };
        self.store(offset, &checksum::apply_udp(check, checksum::join(pseudo, plain)))
    }

    #[inline(always)]
    fn push<H: Header>(&mut self, header: &H) -> bool {
        let Some(ethernet) = self.load::<Ethernet>(0) else { return false };
        // SAFETY: a context and a number; every access asks for the bounds again.
        let moved = unsafe { bpf_xdp_adjust_head(self.ctx.ctx, -(size_of::<H>() as i32)) };
        moved == 0 && self.store(0, &ethernet) && self.store(ETHERNET_LEN, header)
    }

    #[inline(always)]
    fn make_room(&mut self, len: usize) -> bool {
        // SAFETY: fields of the context. Volatile, or the compiler extends the numbers that it read before, which
        // takes the upper half of the pointers that the verifier has put in their place.
        let (start, end) = unsafe {
            let data = (&raw const (*self.ctx.ctx).data).read_volatile() as usize;
            let data_end = (&raw const (*self.ctx.ctx).data_end).read_volatile() as usize;
            (data, data_end)
        };
        if start + ETHERNET_LEN > end {
            return false;
        }
        // SAFETY: within the frame, as in `load`.
        let ethernet = unsafe { ptr::read(start as *const Ethernet) };
        // SAFETY: a context and a number; every access asks for the bounds again.
        let moved = unsafe { bpf_xdp_adjust_head(self.ctx.ctx, -(len as i32)) };
        moved == 0 && self.store(0, &ethernet)
    }

    #[inline(always)]
    fn cut(&mut self, len: u32) -> bool {
        let change = len.wrapping_sub(self.frame_len()) as i32;
        // SAFETY: a context and a number; every access asks for the bounds again.
        change <= 0 && unsafe { bpf_xdp_adjust_tail(self.ctx.ctx, change) } == 0
    }

    #[inline(always)]
    fn is_unfinished(&mut self, _offset: usize) -> bool {
        false
    }

    #[inline(always)]
    fn reply(&mut self) -> Verdict {
        Verdict::Transmit
    }

    #[inline(always)]
    fn send(&mut self, hop: &Hop) -> Verdict {
        let [a, b, c, _] = hop.data;
        if !self.store(0, &[a, b]) || !self.store(2 * 6 - 4, &c) {
            return Verdict::Drop;
        }
        if hop.ifindex == self.ingress() {
            return Verdict::Transmit;
        }
        self.out = hop.ifindex;
        Verdict::Redirect
    }
}

impl trace::Copy for XdpFrame {
    #[inline(always)]
    fn copy(&self, to: *mut u8, len: u32) -> bool {
        // SAFETY: by the trait, there is room for so many bytes.
        unsafe { bpf_xdp_load_bytes(self.ctx.ctx, 0, to.cast(), len) == 0 }
    }
}

/// Asks the routing and neighbour tables. Not inlined: its parameters would take their part of the stack at
/// each place.
#[inline(never)]
fn find_route(ctx: *mut xdp_md, path: &Path<'_>, hop: &mut Hop) -> bool {
    // SAFETY: a field of the context.
    let mut params = fib_params(path, unsafe { (*ctx).ingress_ifindex });
    params.__bindgen_anon_1.tot_len = path.len;
    // SAFETY: `params` is as long as said.
    let result =
        unsafe { bpf_fib_lookup(ctx.cast(), &raw mut params, size_of::<FibParams>() as i32, 0) };
    hop.ifindex = params.ifindex;
    // SAFETY: the kernel put the route's MTU where the length was; one that does not leaves the length, which
    // is on the safe side.
    hop.mtu = unsafe { params.__bindgen_anon_1.mtu_result };
    hop.path_mtu = hop.mtu;
    let [a, b, c, d, e, f] = params.dmac;
    let [g, h, i, j, k, l] = params.smac;
    let word = u32::from_ne_bytes;
    hop.data = [word([a, b, c, d]), word([e, f, g, h]), word([i, j, k, l]), 0];
    result == i64::from(BPF_FIB_LKUP_RET_SUCCESS)
}
