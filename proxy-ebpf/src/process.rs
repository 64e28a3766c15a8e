//! The way of a frame through the core.

use proxy_common::{ABI_VERSION, Config, FlowKey, Reason, VipKey, maps, proto};

use crate::{
    cache::{self, Seat},
    frame::{Frame, Verdict},
    headers::{ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, Ipv4, Ipv6},
    icmp,
    known::{self, Known},
    open,
    parse::{self, Parsed, Segment},
    tables::{Scratch, Tables},
};

/// Marks code compiled for one address family, so that offsets are constants.
pub trait Family {
    const V6: bool;
}

pub struct V4;
pub struct V6;

impl Family for V4 {
    const V6: bool = false;
}

impl Family for V6 {
    const V6: bool = true;
}

/// Decides about a frame and does it, except for what the verdict leaves to the hook.
#[inline(always)]
pub fn process<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ethernet) = frame.load::<Ethernet>(0) else { return Verdict::Pass };
    match ethernet.ethertype {
        ETHERTYPE_IPV4 => {
            let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Verdict::Pass };
            match ip.protocol {
                proto::TCP => tcp_v4(frame, tables, scratch),
                proto::ICMP => icmp_v4(frame, tables, scratch),
                _ => Verdict::Pass,
            }
        }
        ETHERTYPE_IPV6 => {
            let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Verdict::Pass };
            match ip.next_header {
                proto::TCP => tcp_v6(frame, tables, scratch),
                proto::ICMPV6 => icmp_v6(frame, tables, scratch),
                _ => Verdict::Pass,
            }
        }
        _ => Verdict::Pass,
    }
}

// The four kinds of packet are functions of their own, so that each has the stack to itself.

#[inline(never)]
fn tcp_v4<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Verdict::Pass };
    tcp::<F, T, V4>(frame, tables, scratch, |frame| parse::ipv4(frame, &ip))
}

#[inline(never)]
fn tcp_v6<F: Frame, T: Tables>(frame: &mut F, tables: &T, scratch: &mut Scratch) -> Verdict {
    let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Verdict::Pass };
    tcp::<F, T, V6>(frame, tables, scratch, |frame| parse::ipv6(frame, &ip))
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
fn tcp<F: Frame, T: Tables, A: Family>(
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
    let Some(vip) = tables.vip(&VipKey::from((segment.key.dst, segment.key.dport))) else {
        return Verdict::Pass;
    };
    if !segment.is_pure_syn() {
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
