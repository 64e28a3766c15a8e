//! The way of a frame through the core.

use proxy_common::{ABI_VERSION, Addr, Config, FlowKey, FragmentKey, Reason, VipKey, maps, proto};

use crate::{
    answer,
    cache::{self, Seat},
    fragment,
    frame::{Frame, Verdict},
    headers::{
        ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, IPV6_L4, Ipv4, Ipv6, Ipv6Fragment,
        Ports,
    },
    icmp,
    known::{self, Known},
    open,
    parse::{self, Parsed, Segment},
    tables::{Scratch, Tables},
};

/// Marks code compiled for one address family and transport, so that offsets are constants.
pub trait Family {
    const V6: bool;
    const UDP: bool;
}

/// TCP over IPv4.
pub struct V4;
/// TCP over IPv6.
pub struct V6;
/// UDP over IPv4.
pub struct UdpV4;
/// UDP over IPv6.
pub struct UdpV6;

macro_rules! families {
    ($($name:ident: $v6:literal $udp:literal,)*) => {
        $(
            impl Family for $name {
                const V6: bool = $v6;
                const UDP: bool = $udp;
            }
        )*
    };
}

families! {
    V4: false false,
    V6: true false,
    UdpV4: false true,
    UdpV6: true true,
}

/// Decides about a frame and does it, except for what the verdict leaves to the hook.
#[inline(always)]
pub fn process<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    match carry(frame, tables, scratch) {
        Verdict::Answer => answer::give(frame, tables, &scratch.answer),
        verdict => verdict,
    }
}

/// Decides about a frame and does it, but for an answer.
#[inline(always)]
pub fn carry<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ethernet) = frame.load::<Ethernet>(0) else { return Verdict::Pass };
    match ethernet.ethertype {
        ETHERTYPE_IPV4 => {
            let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Verdict::Pass };
            match ip.protocol {
                proto::TCP => tcp_v4(frame, tables, scratch),
                proto::UDP => udp_v4(frame, tables, scratch),
                proto::ICMP => icmp_v4(frame, tables, scratch),
                _ => Verdict::Pass,
            }
        }
        ETHERTYPE_IPV6 => {
            let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Verdict::Pass };
            match ip.next_header {
                proto::TCP => tcp_v6(frame, tables, scratch),
                proto::UDP | Ipv6Fragment::NUMBER => udp_v6(frame, tables, scratch),
                proto::ICMPV6 => icmp_v6(frame, tables, scratch),
                _ => Verdict::Pass,
            }
        }
        _ => Verdict::Pass,
    }
}

// The six kinds of packet are functions of their own, so that each has the stack to itself.

#[inline(never)]
fn tcp_v4<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Verdict::Pass };
    transport::<F, T, V4>(frame, tables, scratch, |frame| parse::ipv4(frame, &ip))
}

#[inline(never)]
fn tcp_v6<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Verdict::Pass };
    transport::<F, T, V6>(frame, tables, scratch, |frame| parse::ipv6(frame, &ip))
}

#[inline(never)]
fn udp_v4<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Verdict::Pass };
    scratch.fragmented = u32::from(ip.fragment & Ipv4::FRAGMENT_MASK);
    if scratch.fragmented != 0 {
        scratch.fragment = FragmentKey {
            src: Addr::mapped(ip.src),
            dst: Addr::mapped(ip.dst),
            id: u32::from(ip.id),
            proto: proto::UDP,
            reserved: [0; 3],
        };
        if ip.fragment & Ipv4::OFFSET_MASK != 0 {
            let len = u16::from_be(ip.total_len);
            let plain = ip.version_ihl == Ipv4::PLAIN;
            return fragment::later::<F, T, UdpV4>(frame, tables, scratch, plain, ip.ttl, len);
        }
    }
    let verdict =
        transport::<F, T, UdpV4>(frame, tables, scratch, |frame| parse::datagram_v4(frame, &ip));
    if scratch.fragmented != 0 {
        fragment::note(tables, scratch, verdict);
    }
    verdict
}

#[inline(never)]
fn udp_v6<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Verdict::Pass };
    let mut l4 = IPV6_L4;
    scratch.fragmented = 0;
    if ip.next_header == Ipv6Fragment::NUMBER {
        let Some(header) = frame.load::<Ipv6Fragment>(IPV6_L4) else { return Verdict::Pass };
        if header.next_header != proto::UDP {
            return Verdict::Pass;
        }
        scratch.fragment = FragmentKey {
            src: Addr { words: ip.src },
            dst: Addr { words: ip.dst },
            id: header.id,
            proto: proto::UDP,
            reserved: [0; 3],
        };
        if header.offset & Ipv6Fragment::OFFSET_MASK != 0 {
            let len = u16::from_be(ip.payload_len).saturating_add(size_of::<Ipv6>() as u16);
            return fragment::later::<F, T, UdpV6>(frame, tables, scratch, true, ip.hop_limit, len);
        }
        scratch.fragmented = 1;
        l4 = IPV6_L4 + size_of::<Ipv6Fragment>();
    }
    let verdict = transport::<F, T, UdpV6>(frame, tables, scratch, |frame| {
        parse::datagram_v6(frame, &ip, l4)
    });
    if scratch.fragmented != 0 {
        fragment::note(tables, scratch, verdict);
    }
    verdict
}

#[inline(never)]
fn icmp_v4<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Verdict::Pass };
    icmp::ipv4(frame, tables, scratch, &ip)
}

#[inline(never)]
fn icmp_v6<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Verdict::Pass };
    icmp::ipv6(frame, tables, scratch, &ip)
}

/// The configuration, when these programs understand it.
#[inline(always)]
pub fn config(tables: &impl Tables) -> Option<&Config> {
    tables.config().filter(|config| config.abi == ABI_VERSION)
}

#[inline(always)]
fn transport<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    scratch: &mut Scratch,
    parse: impl FnOnce(&F) -> Parsed,
) -> Verdict {
    let Some(config) = config(tables) else { return Verdict::Pass };
    let segment = match parse(frame) {
        Parsed::Segment(segment) => segment,
        Parsed::Other(reason) => {
            if let Some(reason) = reason {
                tables.count(reason);
            }
            return Verdict::Pass;
        }
    };
    let key = &segment.key;
    if A::UDP {
        scratch.ports = Ports { sport: key.sport.be, dport: key.dport.be };
    }
    let vip_port = is_vip_port(tables, key);
    if !vip_port && !config.is_nat_port(key.dport) && !is_server_port(tables, key) {
        return Verdict::Pass;
    }
    let seat = cache::enabled(config).then(|| Seat::of(tables, config, key));
    if let Some(seat) = seat
        && let Some(verdict) = cache::hit::<F, T, A>(frame, tables, config, scratch, &segment, seat)
    {
        return verdict;
    }
    let mut tried = 0;
    if let Some(cell) = tables.flow(key) {
        match known::known::<F, T, A>(frame, tables, config, scratch, &segment, cell, seat) {
            Known::Done(verdict) => return verdict,
            Known::Reopen { refused } => tried = refused,
        }
    }
    if !vip_port {
        return Verdict::Pass;
    }
    unknown::<F, T, A>(frame, tables, config, scratch, &segment, tried)
}

/// A segment of no known flow, to a port that some VIP has.
#[inline(always)]
fn unknown<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    config: &Config,
    scratch: &mut Scratch,
    segment: &Segment,
    refused: u8,
) -> Verdict {
    let key = &segment.key;
    let vip = VipKey { addr: key.dst, port: key.dport, proto: key.proto, reserved: 0 };
    let Some(vip) = tables.vip(&vip) else { return Verdict::Pass };
    if !A::UDP && !segment.is_pure_syn() && !open::picks_up(tables, &vip, segment) {
        tables.count(Reason::NoFlow);
        return Verdict::Pass;
    }
    scratch.forward.refused = refused;
    open::open::<F, T, A>(frame, tables, config, scratch, segment, &vip)
}

#[inline(always)]
fn is_vip_port(tables: &impl Tables, key: &FlowKey) -> bool {
    let (word, bit) = maps::prefilter_vip(key.dport);
    tables.prefilter(word) & bit != 0
}

#[inline(always)]
fn is_server_port(tables: &impl Tables, key: &FlowKey) -> bool {
    let (word, bit) = maps::prefilter_server(key.sport);
    tables.prefilter(word) & bit != 0
}
