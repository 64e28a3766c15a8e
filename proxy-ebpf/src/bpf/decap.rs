//! The server's side of tunnels: a packet that a balancer has put into another one goes up the stack without it.

use aya_ebpf::{
    bindings::bpf_adj_room_mode,
    helpers::generated::bpf_skb_adjust_room,
    macros::{classifier, map},
    maps::HashMap,
    programs::TcContext,
};
use proxy_common::{Addr, maps::BALANCERS_SIZE};
use proxy_ebpf::{
    Frame,
    headers::{ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, Ipv4, Ipv6},
};

use crate::tc::TcFrame;

/// What tcx goes on with when this program leaves the packet alone (`TCX_NEXT`).
const TCX_NEXT: i32 = -1;
const IPV4_INSIDE: u8 = 4;
const IPV6_INSIDE: u8 = 41;

/// Who may send packets inside of packets: anybody else could use any address inside.
#[map]
static BALANCERS: HashMap<Addr, u32> = HashMap::with_max_entries(BALANCERS_SIZE, 0);

/// Length of the outer header of a packet that a balancer sent.
#[inline(always)]
fn outer(frame: &TcFrame) -> Option<usize> {
    let ethernet = frame.load::<Ethernet>(0)?;
    let (source, len) = match ethernet.ethertype {
        ETHERTYPE_IPV4 => {
            let ip = frame.load::<Ipv4>(ETHERNET_LEN)?;
            let inner = frame.load::<u8>(ETHERNET_LEN + size_of::<Ipv4>())?;
            let plain = ip.version_ihl == Ipv4::PLAIN && ip.fragment & Ipv4::FRAGMENT_MASK == 0;
            if !plain || ip.protocol != IPV4_INSIDE || inner >> 4 != 4 {
                return None;
            }
            (Addr::mapped(ip.src), size_of::<Ipv4>())
        }
        ETHERTYPE_IPV6 => {
            let ip = frame.load::<Ipv6>(ETHERNET_LEN)?;
            let inner = frame.load::<u8>(ETHERNET_LEN + size_of::<Ipv6>())?;
            if ip.next_header != IPV6_INSIDE || inner >> 4 != 6 {
                return None;
            }
            (Addr { words: ip.src }, size_of::<Ipv6>())
        }
        _ => return None,
    };
    BALANCERS.get_ptr(source).map(|_| len)
}

#[classifier]
pub(crate) fn sluice_decap(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    let Some(frame) = TcFrame::new(ctx) else { return TCX_NEXT };
    if let Some(len) = outer(&frame) {
        // SAFETY: a context and numbers. When it fails, the packet goes on as it came.
        unsafe {
            bpf_skb_adjust_room(skb, -(len as i32), bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, 0);
        }
    }
    TCX_NEXT
}
