//! The way of a frame through the core.

use proxy_common::{ABI_VERSION, Addr, Config, FragmentKey, Port, Reason, VipKey, maps, proto};

use crate::{
    answer,
    cache::{self, Seat},
    fragment::{self, Fragment},
    frame::{Frame, Verdict},
    headers::{
        ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, IPV4_L4, IPV6_L4, Ipv4, Ipv6,
        Ipv6Fragment, Ports,
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
                proto::TCP | proto::UDP if foreign_v4(frame, tables, &ip) => Verdict::Pass,
                proto::TCP => match quick_v4(frame, tables) {
                    Some(verdict) => verdict,
                    None => tcp_v4(frame, tables, scratch),
                },
                proto::UDP if ip.fragment & Ipv4::OFFSET_MASK != 0 => {
                    later_v4(frame, tables, scratch)
                }
                proto::UDP => match quick_udp_v4(frame, tables) {
                    Some(verdict) => verdict,
                    None => udp_v4(frame, tables, scratch),
                },
                proto::ICMP => icmp_v4(frame, tables, scratch),
                _ => Verdict::Pass,
            }
        }
        ETHERTYPE_IPV6 => {
            let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Verdict::Pass };
            match ip.next_header {
                proto::TCP | proto::UDP if foreign(frame, tables, IPV6_L4) => Verdict::Pass,
                proto::TCP => match quick_v6(frame, tables) {
                    Some(verdict) => verdict,
                    None => tcp_v6(frame, tables, scratch),
                },
                proto::UDP => match quick_udp_v6(frame, tables) {
                    Some(verdict) => verdict,
                    None => udp_v6(frame, tables, scratch),
                },
                Ipv6Fragment::NUMBER => match frame.load::<Ipv6Fragment>(IPV6_L4) {
                    Some(header) if header.next_header != proto::UDP => Verdict::Pass,
                    Some(header) if header.offset & Ipv6Fragment::OFFSET_MASK != 0 => {
                        later_v6(frame, tables, scratch)
                    }
                    Some(_) => udp_v6(frame, tables, scratch),
                    None => Verdict::Pass,
                },
                proto::ICMPV6 => icmp_v6(frame, tables, scratch),
                _ => Verdict::Pass,
            }
        }
        _ => Verdict::Pass,
    }
}

// The kinds of packet are functions of their own, so that each has the stack to itself.

#[inline(never)]
fn quick_v4<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Option<Verdict> {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Some(Verdict::Pass) };
    quick::<F, T, V4>(frame, tables, |frame| parse::ipv4(frame, &ip))
}

#[inline(never)]
fn tcp_v4<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Verdict::Pass };
    slow::<F, T, V4>(frame, tables, scratch, |frame| parse::ipv4(frame, &ip))
}

#[inline(never)]
fn quick_v6<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Option<Verdict> {
    let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Some(Verdict::Pass) };
    quick::<F, T, V6>(frame, tables, |frame| parse::ipv6(frame, &ip))
}

#[inline(never)]
fn tcp_v6<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Verdict::Pass };
    slow::<F, T, V6>(frame, tables, scratch, |frame| parse::ipv6(frame, &ip))
}

#[inline(never)]
fn quick_udp_v4<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Option<Verdict> {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Some(Verdict::Pass) };
    if ip.fragment & Ipv4::FRAGMENT_MASK != 0 {
        return None;
    }
    quick::<F, T, UdpV4>(frame, tables, |frame| parse::datagram_v4(frame, &ip))
}

#[inline(never)]
fn quick_udp_v6<F: Frame, T: Tables>(frame: &mut F, tables: &T) -> Option<Verdict> {
    let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Some(Verdict::Pass) };
    quick::<F, T, UdpV6>(frame, tables, |frame| parse::datagram_v6(frame, &ip, IPV6_L4))
}

/// A fragment that is not the first one of its datagram.
#[inline(never)]
fn later_v4<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Verdict::Pass };
    scratch.fragment = datagram_of_v4(&ip);
    fragment::later::<F, T, UdpV4>(
        frame,
        tables,
        scratch,
        &Fragment {
            plain: ip.version_ihl == Ipv4::PLAIN,
            ttl: ip.ttl,
            check: ip.check,
            len: u16::from_be(ip.total_len),
        },
    )
}

#[inline(never)]
fn later_v6<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Verdict::Pass };
    let Some(header) = frame.load::<Ipv6Fragment>(IPV6_L4) else { return Verdict::Pass };
    scratch.fragment = datagram_of_v6(&ip, &header);
    fragment::later::<F, T, UdpV6>(
        frame,
        tables,
        scratch,
        &Fragment {
            plain: true,
            ttl: ip.hop_limit,
            check: 0,
            len: u16::from_be(ip.payload_len).saturating_add(size_of::<Ipv6>() as u16),
        },
    )
}

/// A whole datagram, or the first fragment of one.
#[inline(never)]
fn udp_v4<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Verdict::Pass };
    scratch.fragmented = u32::from(ip.fragment & Ipv4::FRAGMENT_MASK);
    if scratch.fragmented != 0 {
        scratch.fragment = datagram_of_v4(&ip);
    }
    let verdict =
        slow::<F, T, UdpV4>(frame, tables, scratch, |frame| parse::datagram_v4(frame, &ip));
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
        scratch.fragment = datagram_of_v6(&ip, &header);
        scratch.fragmented = 1;
        l4 = IPV6_L4 + size_of::<Ipv6Fragment>();
    }
    let verdict =
        slow::<F, T, UdpV6>(frame, tables, scratch, |frame| parse::datagram_v6(frame, &ip, l4));
    if scratch.fragmented != 0 {
        fragment::note(tables, scratch, verdict);
    }
    verdict
}

#[inline(always)]
fn datagram_of_v4(ip: &Ipv4) -> FragmentKey {
    FragmentKey {
        src: Addr::mapped(ip.src),
        dst: Addr::mapped(ip.dst),
        id: u32::from(ip.id),
        proto: proto::UDP,
        reserved: [0; 3],
    }
}

#[inline(always)]
fn datagram_of_v6(ip: &Ipv6, header: &Ipv6Fragment) -> FragmentKey {
    FragmentKey {
        src: Addr { words: ip.src },
        dst: Addr { words: ip.dst },
        id: header.id,
        proto: proto::UDP,
        reserved: [0; 3],
    }
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

/// What a packet may be to the balancer.
struct Ours<'t> {
    config: &'t Config,
    segment: Segment,
    /// Some VIP has its destination port.
    vip_port: bool,
}

/// Reads a packet and looks whether it can be one of a connection. `None`: it cannot.
#[inline(always)]
fn ours<'t, F: Frame, T: Tables>(
    frame: &F,
    tables: &'t T,
    parse: impl FnOnce(&F) -> Parsed,
) -> Option<Ours<'t>> {
    let config = config(tables)?;
    let segment = match parse(frame) {
        Parsed::Segment(segment) => segment,
        Parsed::Other(reason) => {
            if let Some(reason) = reason {
                tables.count(reason);
            }
            return None;
        }
    };
    let (sport, dport) = (segment.key.sport, segment.key.dport);
    let vip_port = is_vip_port(tables, dport);
    let ours = vip_port || is_answer(tables, config, sport, dport);
    ours.then_some(Ours { config, segment, vip_port })
}

/// Whether the ports of a packet, whose header is known to stand there if it is whole, are those of no connection.
#[inline(always)]
fn foreign(frame: &impl Frame, tables: &impl Tables, l4: usize) -> bool {
    let Some(config) = config(tables) else { return true };
    let Some(ports) = frame.load::<Ports>(l4) else { return false };
    let (sport, dport) = (Port { be: ports.sport }, Port { be: ports.dport });
    !is_vip_port(tables, dport) && !is_answer(tables, config, sport, dport)
}

/// The same for a packet of IPv4; what has no ports at their place is not judged.
#[inline(always)]
fn foreign_v4(frame: &impl Frame, tables: &impl Tables, ip: &Ipv4) -> bool {
    ip.version_ihl == Ipv4::PLAIN
        && ip.fragment & Ipv4::FRAGMENT_MASK == 0
        && foreign(frame, tables, IPV4_L4)
}

/// Packets that are not ours, and those in the middle of a connection that the cache knows. `None`: any other.
#[inline(always)]
fn quick<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    parse: impl FnOnce(&F) -> Parsed,
) -> Option<Verdict> {
    let Some(Ours { config, segment, .. }) = ours(frame, tables, parse) else {
        return Some(Verdict::Pass);
    };
    // No connection is established by its first packet.
    if !cache::enabled(config) || segment.is_pure_syn() {
        return None;
    }
    let seat = Seat::of(tables, config, &segment.key);
    cache::hit::<F, T, A>(frame, tables, config, &segment, seat)
}

/// Packets that the cache does not know.
#[inline(always)]
fn slow<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    scratch: &mut Scratch,
    parse: impl FnOnce(&F) -> Parsed,
) -> Verdict {
    let Some(Ours { config, segment, vip_port }) = ours(frame, tables, parse) else {
        return Verdict::Pass;
    };
    let key = &segment.key;
    if A::UDP {
        scratch.ports = Ports { sport: key.sport.be, dport: key.dport.be };
    }
    scratch.seated = 0;
    if cache::enabled(config) && !segment.is_pure_syn() {
        Seat::of(tables, config, key).keep(scratch);
        if segment.is_control() {
            // What ends a connection finds all of its packets counted.
            cache::settle::<A>(tables, config, key, F::HOOK);
        }
    }
    let mut tried = 0;
    if let Some(cell) = tables.flow(key) {
        match known::known::<F, T, A>(frame, tables, config, scratch, &segment, cell) {
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
fn is_vip_port(tables: &impl Tables, dport: Port) -> bool {
    let (word, bit) = maps::prefilter_vip(dport);
    tables.prefilter(word) & bit != 0
}

/// Whether a packet with these ports may be one of a server's.
#[inline(always)]
fn is_answer(tables: &impl Tables, config: &Config, sport: Port, dport: Port) -> bool {
    let (word, bit) = maps::prefilter_server(sport);
    config.is_nat_port(dport) || tables.prefilter(word) & bit != 0
}
