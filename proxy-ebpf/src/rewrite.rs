//! Changing a packet's addresses, ports and TTL, with its checksums.

use proxy_common::{Addr, Config, FlowKey, Port};

use crate::{
    checksum::{apply, diff, diff4, join},
    frame::{Frame, Pseudo},
    headers::{IPV4_L4, IPV6_L4, Ipv4, Ipv4Change, Ipv4Tail, Ipv6, Ports, Tcp, Udp},
    parse::Segment,
    process::Family,
};

/// What a packet is to carry.
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

/// Rewrites a segment or a datagram. False: the kernel refused half-way.
#[inline(always)]
pub fn packet<F: Frame, A: Family>(
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
        // Only datagrams may have a fragment header before them.
        let l4 = if A::UDP { segment.l4 } else { IPV6_L4 };
        return ipv6::<F, A>(frame, segment, rewrite, ttl, ports, l4) && frame.store(l4, &new);
    }
    let addrs = ipv4_diff(key, rewrite);
    let change = Ipv4Change {
        ttl,
        protocol: key.proto,
        check: apply(segment.check, join(addrs, ttl_diff(segment.ttl, ttl))),
        src: rewrite.src.words[3],
        dst: rewrite.dst.words[3],
        ports: new,
    };
    fix::<F, A>(frame, IPV4_L4, Pseudo::V4, addrs, ports) && frame.store(Ipv4::TTL_OFFSET, &change)
}

/// Rewrites the addresses of a packet without a transport header; `check` is the header checksum of IPv4.
#[inline(always)]
pub fn addresses<F: Frame, A: Family>(
    frame: &mut F,
    config: &Config,
    key: &FlowKey,
    ttl: u8,
    check: u16,
    to: &Rewrite,
) -> bool {
    let next = next_ttl(config, ttl);
    if A::V6 {
        let [a, b, c, d] = to.src.words;
        let [e, f, g, h] = to.dst.words;
        return frame.store_summed(Ipv6::HOP_LIMIT_OFFSET, &next)
            && frame.store_summed(Ipv6::SRC_OFFSET, &[a, b, c, d, e, f, g, h]);
    }
    let change = Ipv4Tail {
        ttl: next,
        protocol: key.proto,
        check: apply(check, join(ipv4_diff(key, to), ttl_diff(ttl, next))),
        src: to.src.words[3],
        dst: to.dst.words[3],
    };
    frame.store(Ipv4::TTL_OFFSET, &change)
}

#[inline(always)]
fn ipv4_diff(key: &FlowKey, to: &Rewrite) -> u32 {
    join(diff(key.src.words[3], to.src.words[3]), diff(key.dst.words[3], to.dst.words[3]))
}

#[inline(always)]
pub fn ttl_diff(old: u8, new: u8) -> u32 {
    let word = |ttl| u32::from(u16::from_ne_bytes([ttl, 0]));
    diff(word(old), word(new))
}

/// Applies differences to the transport checksum.
#[inline(always)]
fn fix<F: Frame, A: Family>(
    frame: &mut F,
    l4: usize,
    kind: Pseudo,
    addrs: u32,
    plain: u32,
) -> bool {
    if A::UDP {
        frame.fix_udp(l4 + Udp::CHECK, kind, addrs, plain)
    } else {
        frame.fix_l4(l4 + Tcp::CHECK, kind, addrs, plain)
    }
}

#[inline(always)]
fn ipv6<F: Frame, A: Family>(
    frame: &mut F,
    segment: &Segment,
    to: &Rewrite,
    ttl: u8,
    ports: u32,
    l4: usize,
) -> bool {
    let key = &segment.key;
    let addrs = join(diff4(&key.src.words, &to.src.words), diff4(&key.dst.words, &to.dst.words));
    let [a, b, c, d] = to.src.words;
    let [e, f, g, h] = to.dst.words;
    fix::<F, A>(frame, l4, Pseudo::V6, addrs, ports)
        && frame.store_summed(Ipv6::HOP_LIMIT_OFFSET, &ttl)
        && frame.store(Ipv6::SRC_OFFSET, &[a, b, c, d, e, f, g, h])
}
