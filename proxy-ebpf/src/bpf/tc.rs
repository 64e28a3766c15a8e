//! [`Frame`] over an `sk_buff` at tc ingress. Bytes and checksums are changed by helpers only, so that
//! GSO packets and checksums left to the hardware stay right.

use core::{mem, ptr};

use aya_ebpf::{
    bindings::{
        __sk_buff, BPF_F_ADJ_ROOM_ENCAP_L3_IPV4, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6,
        BPF_F_MARK_MANGLED_0, BPF_F_PSEUDO_HDR, BPF_FIB_LKUP_RET_BLACKHOLE,
        BPF_FIB_LKUP_RET_FRAG_NEEDED, BPF_FIB_LKUP_RET_NOT_FWDED, BPF_FIB_LKUP_RET_PROHIBIT,
        BPF_FIB_LKUP_RET_SUCCESS, BPF_FIB_LKUP_RET_UNREACHABLE, BPF_FIB_LOOKUP_SKIP_NEIGH,
        TC_ACT_REDIRECT, TC_ACT_SHOT, bpf_adj_room_mode, bpf_fib_lookup as FibParams,
        bpf_redir_neigh as NextHop,
    },
    helpers::generated::{
        bpf_fib_lookup, bpf_l3_csum_replace, bpf_l4_csum_replace, bpf_redirect, bpf_redirect_neigh,
        bpf_skb_adjust_room, bpf_skb_change_tail, bpf_skb_load_bytes, bpf_skb_pull_data,
        bpf_skb_store_bytes,
    },
    programs::TcContext,
};
use proxy_common::{Addr, HOOK_TC, Reason, proto};
use proxy_ebpf::{
    Frame, Hop, NoWay, Path, Verdict,
    frame::Pseudo,
    headers::{ETHERNET_LEN, Header, IPV6_L4, Ipv6, Tcp},
};

use crate::trace;

/// What tcx goes on with when this program leaves the packet alone (`TCX_NEXT`).
const TCX_NEXT: i32 = -1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `BPF_F_IPV6` (Linux 6.16): the pseudo-header is not balanced by an IP header checksum.
const F_IPV6: u64 = 1 << 7;
/// `BPF_F_RECOMPUTE_CSUM`: the hardware's sum of the whole packet, if there is one, follows the change.
const F_RECOMPUTE_CSUM: u64 = 1;
/// Bytes that parsing may look at: everything up to the end of the longest header it knows.
const HEADERS: u32 = (IPV6_L4 + size_of::<Tcp>()) as u32;

pub(crate) struct TcFrame {
    ctx: TcContext,
    /// What the redirecting helper returned.
    action: i32,
}

impl TcFrame {
    /// `None` when the packet belongs to a VLAN interface, whose own program will see it.
    #[inline(always)]
    pub(crate) fn new(ctx: TcContext) -> Option<Self> {
        // SAFETY: a field of the context.
        if unsafe { (*ctx.skb.skb).vlan_present } != 0 {
            return None;
        }
        let frame = Self { ctx, action: TCX_NEXT };
        // Headers may stand in fragments; the helper makes them readable.
        let missing = frame.ctx.data() + HEADERS as usize > frame.ctx.data_end();
        if missing && frame.frame_len() > (frame.ctx.data_end() - frame.ctx.data()) as u32 {
            let wanted = if frame.frame_len() < HEADERS { frame.frame_len() } else { HEADERS };
            // SAFETY: a context and a number.
            unsafe { bpf_skb_pull_data(frame.ctx.skb.skb, wanted) };
        }
        Some(frame)
    }

    /// What tcx is told.
    #[inline(always)]
    pub(crate) fn action(&self, verdict: Verdict) -> i32 {
        match verdict {
            Verdict::Pass => TCX_NEXT,
            Verdict::Drop | Verdict::Answer => TC_ACT_SHOT as i32,
            Verdict::Transmit | Verdict::Redirect => self.action,
        }
    }

    #[inline(always)]
    fn store_with<H: Header>(&mut self, offset: usize, header: &H, flags: u64) -> bool {
        // SAFETY: reads `header` in its length; the helper checks the offset.
        let result = unsafe {
            bpf_skb_store_bytes(
                self.ctx.skb.skb,
                offset as u32,
                ptr::from_ref(header).cast(),
                size_of::<H>() as u32,
                flags,
            )
        };
        result == 0
    }

    #[inline(always)]
    fn fix_with(
        &mut self,
        offset: usize,
        kind: Pseudo,
        pseudo: u32,
        plain: u32,
        flags: u64,
    ) -> bool {
        let of_addresses = BPF_F_PSEUDO_HDR as u64 | flags;
        let addresses = match kind {
            Pseudo::None => true,
            Pseudo::V4 => self.l4(offset, pseudo, of_addresses),
            Pseudo::V6 => {
                self.l4(offset, pseudo, of_addresses | F_IPV6)
                    || self.l4(offset, pseudo, of_addresses)
            }
        };
        // All ones: one's complement zero.
        addresses && (plain == u32::MAX || self.l4(offset, plain, flags))
    }

    #[inline(always)]
    fn l4(&mut self, offset: usize, diff: u32, flags: u64) -> bool {
        // SAFETY: a context and numbers.
        let result = unsafe {
            bpf_l4_csum_replace(self.ctx.skb.skb, offset as u32, 0, u64::from(diff), flags)
        };
        result == 0
    }
}

impl Frame for TcFrame {
    const HOOK: u8 = HOOK_TC;

    #[inline(always)]
    fn load<H: Header>(&self, offset: usize) -> Option<H> {
        let start = self.ctx.data() + offset;
        if start + size_of::<H>() > self.ctx.data_end() {
            return None;
        }
        // SAFETY: within the linear part; BPF loads need no alignment, and any bytes make a header.
        Some(unsafe { ptr::read(start as *const H) })
    }

    #[inline(always)]
    fn frame_len(&self) -> u32 {
        self.ctx.len()
    }

    #[inline(always)]
    fn segments(&self) -> u32 {
        // SAFETY: a field of the context.
        let segments = unsafe { (*self.ctx.skb.skb).gso_segs };
        if segments == 0 { 1 } else { segments }
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: a field of the context.
        unsafe { (*self.ctx.skb.skb).ifindex }
    }

    #[inline(always)]
    fn route(&mut self, path: &Path<'_>, hop: &mut Hop) -> Result<(), NoWay> {
        match find_route(self.ctx.skb.skb, path, hop) {
            Route::Found => Ok(()),
            Route::TooLong => Err(NoWay { reason: Reason::TooBig, known: Verdict::Drop }),
            Route::No => Err(NoWay { reason: Reason::NoRoute, known: Verdict::Drop }),
        }
    }

    #[inline(always)]
    fn store<H: Header>(&mut self, offset: usize, header: &H) -> bool {
        self.store_with(offset, header, 0)
    }

    #[inline(always)]
    fn store_summed<H: Header>(&mut self, offset: usize, header: &H) -> bool {
        self.store_with(offset, header, F_RECOMPUTE_CSUM)
    }

    #[inline(always)]
    fn fix_ip(&mut self, offset: usize, diff: u32) -> bool {
        // SAFETY: a context and numbers.
        let result =
            unsafe { bpf_l3_csum_replace(self.ctx.skb.skb, offset as u32, 0, u64::from(diff), 0) };
        result == 0
    }

    #[inline(always)]
    fn fix_l4(&mut self, offset: usize, kind: Pseudo, pseudo: u32, plain: u32) -> bool {
        self.fix_with(offset, kind, pseudo, plain, 0)
    }

    #[inline(always)]
    fn fix_udp(&mut self, offset: usize, kind: Pseudo, pseudo: u32, plain: u32) -> bool {
        self.fix_with(offset, kind, pseudo, plain, BPF_F_MARK_MANGLED_0.into())
    }

    #[inline(always)]
    fn push<H: Header>(&mut self, header: &H) -> bool {
        let len = size_of::<H>();
        let family = if len == size_of::<Ipv6>() {
            BPF_F_ADJ_ROOM_ENCAP_L3_IPV6
        } else {
            BPF_F_ADJ_ROOM_ENCAP_L3_IPV4
        };
        // SAFETY: a context and numbers; packet pointers are asked for anew at each access.
        let moved = unsafe {
            bpf_skb_adjust_room(
                self.ctx.skb.skb,
                len as i32,
                bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
                u64::from(family),
            )
        };
        moved == 0 && self.store(ETHERNET_LEN, header)
    }

    #[inline(always)]
    fn make_room(&mut self, len: usize) -> bool {
        // SAFETY: a context and numbers; packet pointers are asked for anew at each access.
        let moved = unsafe {
            bpf_skb_adjust_room(
                self.ctx.skb.skb,
                len as i32,
                bpf_adj_room_mode::BPF_ADJ_ROOM_MAC,
                0,
            )
        };
        moved == 0
    }

    #[inline(always)]
    fn cut(&mut self, len: u32) -> bool {
        // SAFETY: a context and numbers; packet pointers are asked for anew at each access.
        len <= self.frame_len() && unsafe { bpf_skb_change_tail(self.ctx.skb.skb, len, 0) } == 0
    }

    #[inline(always)]
    fn is_unfinished(&mut self, offset: usize) -> bool {
        // The helper leaves such a sum alone when no address changes.
        let Some(before) = self.load::<u16>(offset) else { return false };
        if !self.l4(offset, 1, 0) {
            return false;
        }
        let unchanged = self.load::<u16>(offset) == Some(before);
        self.store(offset, &before) && unchanged
    }

    #[inline(always)]
    fn reply(&mut self) -> Verdict {
        // SAFETY: a helper that takes numbers.
        self.action = unsafe { bpf_redirect(self.ingress(), 0) } as i32;
        if self.action == TC_ACT_REDIRECT as i32 { Verdict::Redirect } else { Verdict::Drop }
    }

    #[inline(always)]
    fn send(&mut self, hop: &Hop) -> Verdict {
        self.action = redirect(hop);
        if self.action == TC_ACT_REDIRECT as i32 { Verdict::Redirect } else { Verdict::Drop }
    }
}

impl trace::Copy for TcFrame {
    #[inline(always)]
    fn copy(&self, to: *mut u8, len: u32) -> bool {
        // SAFETY: by the trait, there is room for so many bytes.
        unsafe { bpf_skb_load_bytes(self.ctx.skb.skb.cast(), 0, to.cast(), len) == 0 }
    }
}

/// What the routing table says.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Found,
    /// There is a way, which the packet does not fit.
    TooLong,
    No,
}

/// Asks the routing table. Not inlined: its parameters would take their part of the stack at each place.
#[inline(never)]
fn find_route(skb: *mut __sk_buff, path: &Path<'_>, hop: &mut Hop) -> Route {
    const SUCCESS: i64 = BPF_FIB_LKUP_RET_SUCCESS as i64;
    const UNROUTED: [i64; 4] = [
        BPF_FIB_LKUP_RET_BLACKHOLE as i64,
        BPF_FIB_LKUP_RET_UNREACHABLE as i64,
        BPF_FIB_LKUP_RET_PROHIBIT as i64,
        BPF_FIB_LKUP_RET_NOT_FWDED as i64,
    ];
    // SAFETY: a field of the context.
    let mut params = fib_params(path, unsafe { (*skb).ifindex });
    params.__bindgen_anon_1.tot_len = path.len;
    // SAFETY: `params` is as long as said.
    let result = unsafe {
        bpf_fib_lookup(
            skb.cast(),
            &raw mut params,
            size_of::<FibParams>() as i32,
            BPF_FIB_LOOKUP_SKIP_NEIGH,
        )
    };
    hop.mtu = 0;
    hop.path_mtu = 0;
    if result == SUCCESS {
        // SAFETY: as for XDP: the route's MTU in the place of a length.
        hop.path_mtu = unsafe { params.__bindgen_anon_1.mtu_result };
        // Of a packet that will be cut before it is sent, nobody knows the length.
        hop.mtu = if path.len == 0 { 0 } else { hop.path_mtu };
        hop.ifindex = params.ifindex;
        // SAFETY: the kernel filled the member of the family it names.
        hop.data = unsafe {
            if params.family == AF_INET {
                Addr::mapped(params.__bindgen_anon_4.ipv4_dst).words
            } else {
                params.__bindgen_anon_4.ipv6_dst
            }
        };
        return Route::Found;
    }
    if result == BPF_FIB_LKUP_RET_FRAG_NEEDED as i64 {
        // SAFETY: as above; older kernels than Linux 5.12 say nothing, and the length is left.
        let mtu = unsafe { params.__bindgen_anon_1.mtu_result };
        hop.path_mtu = if mtu < path.len { mtu } else { 0 };
        return Route::TooLong;
    }
    // Forwarding is off on this interface, or the kernel is older than the flag (Linux 6.3): the balancer
    // need not be a router, so the interface it was told about will do.
    hop.ifindex = path.fallback;
    hop.data = [0; 4];
    if path.fallback != 0 && !UNROUTED.contains(&result) { Route::Found } else { Route::No }
}

/// Leaves by the neighbour layer. Not inlined, as [`find_route`].
#[inline(never)]
fn redirect(hop: &Hop) -> i32 {
    let gateway = Addr { words: hop.data };
    if gateway.is_unset() {
        // SAFETY: no parameters: the helper looks for the route.
        return unsafe { bpf_redirect_neigh(hop.ifindex, ptr::null_mut(), 0, 0) } as i32;
    }
    // SAFETY: integers.
    let mut next: NextHop = unsafe { mem::zeroed() };
    if gateway.is_v4() {
        next.nh_family = u32::from(AF_INET);
        next.__bindgen_anon_1.ipv4_nh = gateway.words[3];
    } else {
        next.nh_family = u32::from(AF_INET6);
        next.__bindgen_anon_1.ipv6_nh = gateway.words;
    }
    // SAFETY: `next` is as long as said.
    let result =
        unsafe { bpf_redirect_neigh(hop.ifindex, &raw mut next, size_of::<NextHop>() as i32, 0) };
    result as i32
}

/// Parameters of a route lookup between two addresses of one family.
#[inline(always)]
pub(crate) fn fib_params(path: &Path<'_>, ingress: u32) -> FibParams {
    // SAFETY: integers.
    let mut params: FibParams = unsafe { mem::zeroed() };
    params.l4_protocol = proto::TCP;
    params.ifindex = ingress;
    if path.dst.is_v4() {
        params.family = AF_INET;
        params.__bindgen_anon_3.ipv4_src = path.src.words[3];
        params.__bindgen_anon_4.ipv4_dst = path.dst.words[3];
    } else {
        params.family = AF_INET6;
        params.__bindgen_anon_3.ipv6_src = path.src.words;
        params.__bindgen_anon_4.ipv6_dst = path.dst.words;
    }
    params
}
