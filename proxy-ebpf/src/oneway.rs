//! Packets to servers that answer clients by themselves (direct server return): nothing of the packet is translated,
//! it is only brought to the server, by its MAC address or inside of another IP header.
//!
//! The balancer sees one direction. A connection counts as established with the client's first answer, and as over
//! with a reset, or when it has been silent; a FIN of the client says that the silence need not be long.

use proxy_common::{Addr, Config, FlowState, HOOK_TC, Reason};

use crate::{
    cell::FlowCell,
    checksum::{apply, whole},
    frame::{Frame, Hop, Path, Verdict},
    headers::{ETHERNET_LEN, Ipv4, Ipv6},
    process::Family,
    rewrite,
    tables::Tables,
};

/// How packets are brought to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carriage {
    Direct,
    Tunnel,
}

impl Carriage {
    /// That of a connection, `None` when it is translated.
    #[inline(always)]
    pub fn of(state: FlowState) -> Option<Self> {
        if state.0 & FlowState::TUNNEL != 0 {
            Some(Self::Tunnel)
        } else if state.0 & FlowState::DIRECT != 0 {
            Some(Self::Direct)
        } else {
            None
        }
    }

    /// IP length of a packet once it is on its way; 0 stays 0, unknown.
    #[inline(always)]
    pub fn length<A: Family>(self, ip_len: u16) -> u16 {
        match self {
            Self::Tunnel if ip_len != 0 => ip_len.saturating_add(outer_len::<A>()),
            _ => ip_len,
        }
    }
}

#[inline(always)]
fn outer_len<A: Family>() -> u16 {
    if A::V6 { size_of::<Ipv6>() as u16 } else { size_of::<Ipv4>() as u16 }
}

/// Time to live of outer headers.
const OUTER_TTL: u8 = 64;
/// "Don't fragment".
const DF: u16 = 0x4000_u16.to_be();
/// IPv4 and IPv6 inside of IP (IANA protocol numbers).
const IPV4_INSIDE: u8 = 4;
const IPV6_INSIDE: u8 = 41;

/// Sends a packet whose way is known to the server at `dst`; `src` is the balancer's address outside of a tunnel.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would live on the BPF stack")]
pub fn send<F: Frame, A: Family>(
    frame: &mut F,
    tables: &impl Tables,
    config: &Config,
    ttl: u8,
    carriage: Carriage,
    src: &Addr,
    dst: &Addr,
    hop: &mut Hop,
) -> Verdict {
    let lowered = rewrite::next_ttl(config, ttl);
    let mut sent = if A::V6 {
        frame.store_summed(Ipv6::HOP_LIMIT_OFFSET, &lowered)
    } else {
        lower::<F>(frame, ttl, lowered)
    };
    if sent && carriage == Carriage::Tunnel {
        sent = wrap::<F, A>(frame, src, dst);
    }
    if !sent {
        tables.count(Reason::RewriteFailed);
        return Verdict::Drop;
    }
    if F::HOOK == HOOK_TC && carriage == Carriage::Direct {
        // The packet's own destination would lead elsewhere.
        hop.data = dst.words;
    }
    frame.send(hop)
}

/// Lowers the TTL of IPv4.
#[inline(always)]
fn lower<F: Frame>(frame: &mut F, ttl: u8, lowered: u8) -> bool {
    let Some([_, protocol, a, b]) = frame.load::<[u8; 4]>(Ipv4::TTL_OFFSET) else { return false };
    let check = apply(u16::from_ne_bytes([a, b]), rewrite::ttl_diff(ttl, lowered));
    let [a, b] = check.to_ne_bytes();
    frame.store(Ipv4::TTL_OFFSET, &[lowered, protocol, a, b])
}

/// Puts an IP header around the packet.
#[inline(always)]
fn wrap<F: Frame, A: Family>(frame: &mut F, src: &Addr, dst: &Addr) -> bool {
    if A::V6 {
        let Some(inner) = frame.load::<Ipv6>(ETHERNET_LEN) else { return false };
        let len = u32::from(u16::from_be(inner.payload_len)) + size_of::<Ipv6>() as u32;
        if inner.payload_len == 0 || len > 0xffff {
            return false;
        }
        frame.push(&Ipv6 {
            version_class_flow: inner.version_class_flow,
            payload_len: (len as u16).to_be(),
            next_header: IPV6_INSIDE,
            hop_limit: OUTER_TTL,
            src: src.words,
            dst: dst.words,
        })
    } else {
        let Some(inner) = frame.load::<Ipv4>(ETHERNET_LEN) else { return false };
        let len = u32::from(u16::from_be(inner.total_len)) + size_of::<Ipv4>() as u32;
        if inner.total_len == 0 || len > 0xffff {
            return false;
        }
        let mut outer = Ipv4 {
            version_ihl: Ipv4::PLAIN,
            tos: inner.tos,
            total_len: (len as u16).to_be(),
            id: 0,
            fragment: DF,
            ttl: OUTER_TTL,
            protocol: IPV4_INSIDE,
            check: 0,
            src: src.words[3],
            dst: dst.words[3],
        };
        outer.check = whole(&[
            u32::from_ne_bytes([outer.version_ihl, outer.tos, 0, 0]),
            u32::from(outer.total_len),
            u32::from(outer.fragment),
            u32::from_ne_bytes([outer.ttl, outer.protocol, 0, 0]),
            outer.src,
            outer.dst,
        ]);
        frame.push(&outer)
    }
}

/// An ICMP error about what a server has sent: the server is to see it.
#[inline(always)]
pub fn error<F: Frame, A: Family>(
    frame: &mut F,
    tables: &impl Tables,
    config: &Config,
    cell: &FlowCell,
    carriage: Carriage,
    ttl: u8,
    len: u16,
) -> Verdict {
    if rewrite::ttl_spent(config, ttl) {
        tables.count(Reason::TtlExpired);
        return Verdict::Drop;
    }
    let (src, dst) = (cell.new_src(), cell.new_dst());
    let len = carriage.length::<A>(len);
    let path = Path { src: &src, dst: &dst, len, fallback: cell.ifindex() };
    let mut hop = Hop::default();
    if let Err(no_way) = frame.route(&path, &mut hop) {
        tables.count(no_way.reason);
        return no_way.known;
    }
    tables.count(Reason::IcmpTranslated);
    send::<F, A>(frame, tables, config, ttl, carriage, &src, &dst, &mut hop)
}
