//! Changing a segment's addresses, ports and TTL, with its checksums.

use proxy_common::{Addr, Config, Port};

use crate::{
    checksum::{diff, diff4},
    frame::{Frame, Pseudo},
    headers::{IPV4_L4, IPV6_L4, Ipv4, Ipv6, Ports, Tcp},
    parse::Segment,
    process::Family,
};

/// What a segment is to carry.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Rewrite {
    pub src: Addr,
    pub dst: Addr,
    pub sport: Port,
    pub dport: Port,
}

/// Whether a packet with this TTL may not be sent on.
#[inline(always)]
pub fn ttl_spent(config: &Config, ttl: u8) -> bool {
    config.flags & Config::TTL != 0 && ttl <= 1
}

/// The TTL it is sent on with.
#[inline(always)]
pub fn next_ttl(config: &Config, ttl: u8) -> u8 {
    if config.flags & Config::TTL != 0 { ttl.wrapping_sub(1) } else { ttl }
}

/// Rewrites a TCP segment. False: the kernel refused half-way.
#[inline(always)]
pub fn tcp<F: Frame, A: Family>(
    frame: &mut F,
    config: &Config,
    segment: &Segment,
    rewrite: &Rewrite,
) -> bool {
    let key = &segment.key;
    let old = Ports { sport: key.sport.be, dport: key.dport.be };
    let new = Ports { sport: rewrite.sport.be, dport: rewrite.dport.be };
    let ports = diff(old.word(), new.word());
    let ttl = next_ttl(config, segment.ttl);
    if A::V6 {
        ipv6(frame, segment, rewrite, ttl, ports) && frame.store(IPV6_L4, &new)
    } else {
        ipv4(frame, segment, rewrite, ttl, ports) && frame.store(IPV4_L4, &new)
    }
}

#[inline(always)]
fn ipv4<F: Frame>(frame: &mut F, segment: &Segment, to: &Rewrite, ttl: u8, ports: u32) -> bool {
    let key = &segment.key;
    let addrs = crate::checksum::join(
        diff(key.src.words[3], to.src.words[3]),
        diff(key.dst.words[3], to.dst.words[3]),
    );
    let hop = diff(
        u32::from(u16::from_ne_bytes([segment.ttl, 0])),
        u32::from(u16::from_ne_bytes([ttl, 0])),
    );
    frame.fix_ip(Ipv4::CHECK_OFFSET, crate::checksum::join(addrs, hop))
        && frame.fix_l4(IPV4_L4 + Tcp::CHECK, Pseudo::V4, addrs, ports)
        && frame.store(Ipv4::TTL_OFFSET, &ttl)
        && frame.store(Ipv4::SRC_OFFSET, &[to.src.words[3], to.dst.words[3]])
}

#[inline(always)]
fn ipv6<F: Frame>(frame: &mut F, segment: &Segment, to: &Rewrite, ttl: u8, ports: u32) -> bool {
    let key = &segment.key;
    let addrs = crate::checksum::join(
        diff4(&key.src.words, &to.src.words),
        diff4(&key.dst.words, &to.dst.words),
    );
    let [a, b, c, d] = to.src.words;
    let [e, f, g, h] = to.dst.words;
    frame.fix_l4(IPV6_L4 + Tcp::CHECK, Pseudo::V6, addrs, ports)
        && frame.store_hop_limit(Ipv6::HOP_LIMIT_OFFSET, ttl)
        && frame.store(Ipv6::SRC_OFFSET, &[a, b, c, d, e, f, g, h])
}
