//! ICMP errors about packets that were sent on: translated to the side that can act on them.
//!
//! The error quotes the packet as it left here, so the quoted addresses and ports, turned round, are the
//! key of the opposite direction's entry, and that entry says what each of them was before (RFC 5508
//! section 4 asks for this; checksums of the quoted transport header are left alone, as they are beyond
//! what a router must quote).

use proxy_common::{Addr, Config, FlowKey, FlowState, Port, Reason, proto};

use crate::{
    cell::FlowCell,
    checksum::{apply, diff, diff4, join},
    flow,
    frame::{Frame, Hop, Path, Pseudo, Verdict},
    headers::{IPV4_L4, IPV6_L4, Icmp, Ipv4, Ipv6, Ports},
    oneway::{self, Carriage},
    process::{self, V4, V6},
    rewrite,
    tables::{Scratch, Tables},
};

/// ICMP: destination unreachable (with "fragmentation needed"), time exceeded, parameter problem.
const V4_ERRORS: [u8; 3] = [3, 11, 12];
/// ICMPv6: destination unreachable to parameter problem, "packet too big" among them.
const V6_ERRORS: core::ops::RangeInclusive<u8> = 1..=4;

/// Port unreachable: nobody listens there.
const V4_NOBODY: (u8, u8) = (3, 3);
const V6_NOBODY: (u8, u8) = (1, 4);

const V4_QUOTE: usize = IPV4_L4 + size_of::<Icmp>();
const V6_QUOTE: usize = IPV6_L4 + size_of::<Icmp>();

/// What an error is to carry after translation.
struct Translation {
    /// Addresses of the error itself.
    src: Addr,
    /// The source of the packet quoted as well: the error goes to whom has sent it.
    dst: Addr,
    /// Destination and ports of the packet quoted.
    quoted_dst: Addr,
    ports: Ports,
    ifindex: u32,
}

/// Looks up the flow of a quoted packet.
#[inline(always)]
fn look_up<'t>(
    tables: &'t impl Tables,
    key: &mut FlowKey,
    quoted: (Addr, Addr, Ports),
    proto: u8,
) -> Option<&'t FlowCell> {
    let (quoted_src, quoted_dst, ports) = quoted;
    *key = FlowKey {
        src: quoted_dst,
        dst: quoted_src,
        sport: Port { be: ports.dport },
        dport: Port { be: ports.sport },
        proto,
        hook: 0,
        reserved: 0,
    };
    tables.flow(key)
}

#[inline(always)]
fn is_ours(protocol: u8) -> bool {
    protocol == proto::TCP || protocol == proto::UDP
}

/// The server of a flow of datagrams says that nobody listens: the client's next one may go elsewhere.
#[inline(always)]
fn note_nobody(tables: &impl Tables, config: &Config, scratch: &mut Scratch, cell: &FlowCell) {
    if cell.is_forward() {
        return;
    }
    cell.write_peer_key(proto::UDP, &mut scratch.old_forward);
    if let Some(main) = tables.flow(&scratch.old_forward) {
        main.set_state(FlowState::SERVER_RST);
        // The cache would carry it on.
        flow::forget(tables, config, &scratch.old_forward);
    }
}

#[inline(always)]
fn translate(cell: &FlowCell, from: Addr, quoted_dst: Addr) -> Translation {
    Translation {
        // The far end itself is known to the other side by the address it uses; a router is not.
        src: if from == quoted_dst { cell.new_src() } else { from },
        dst: cell.new_dst(),
        quoted_dst: cell.new_src(),
        ports: Ports { sport: cell.new_dport().be, dport: cell.new_sport().be },
        ifindex: cell.ifindex(),
    }
}

#[inline(always)]
pub fn ipv4<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    scratch: &mut Scratch,
    ip: &Ipv4,
) -> Verdict {
    let Some(icmp) = frame.load::<Icmp>(IPV4_L4) else { return Verdict::Pass };
    if !V4_ERRORS.contains(&icmp.kind)
        || ip.version_ihl != Ipv4::PLAIN
        || ip.fragment & Ipv4::FRAGMENT_MASK != 0
    {
        return Verdict::Pass;
    }
    let Some(config) = process::config(tables) else { return Verdict::Pass };
    let Some(quoted) = frame.load::<Ipv4>(V4_QUOTE) else { return Verdict::Pass };
    let Some(ports) = frame.load::<Ports>(V4_QUOTE + size_of::<Ipv4>()) else {
        return Verdict::Pass;
    };
    if quoted.version_ihl != Ipv4::PLAIN
        || !is_ours(quoted.protocol)
        || quoted.fragment & Ipv4::OFFSET_MASK != 0
    {
        return Verdict::Pass;
    }
    let addrs = (Addr::mapped(quoted.src), Addr::mapped(quoted.dst), ports);
    let Some(cell) = look_up(tables, &mut scratch.peer, addrs, quoted.protocol) else {
        return Verdict::Pass;
    };
    if quoted.protocol == proto::UDP && (icmp.kind, icmp.code) == V4_NOBODY {
        note_nobody(tables, config, scratch, cell);
    }
    let len = u16::from_be(ip.total_len);
    if let Some(carriage) = Carriage::of(cell.state()) {
        return oneway::error::<F, V4>(frame, tables, config, cell, carriage, ip.ttl, len);
    }
    let to = translate(cell, Addr::mapped(ip.src), addrs.1);
    send(frame, tables, config, ip.ttl, len, &to, |frame, ttl| {
        let outer = join(diff(ip.src, to.src.words[3]), diff(ip.dst, to.dst.words[3]));
        let hop = rewrite::ttl_diff(ip.ttl, ttl);
        let inner =
            join(diff(quoted.src, to.dst.words[3]), diff(quoted.dst, to.quoted_dst.words[3]));
        let quoted_check = apply(quoted.check, inner);
        let inner = join(inner, diff(u32::from(quoted.check), u32::from(quoted_check)));
        let plain = join(inner, diff(ports.word(), to.ports.word()));
        frame.fix_ip(Ipv4::CHECK_OFFSET, join(outer, hop))
            && frame.fix_l4(IPV4_L4 + Icmp::CHECK, Pseudo::None, 0, plain)
            && frame.store(Ipv4::TTL_OFFSET, &ttl)
            && frame.store(Ipv4::SRC_OFFSET, &[to.src.words[3], to.dst.words[3]])
            && frame.store(V4_QUOTE + 10, &quoted_check)
            && frame.store(V4_QUOTE + 12, &[to.dst.words[3], to.quoted_dst.words[3]])
            && frame.store(V4_QUOTE + size_of::<Ipv4>(), &to.ports)
    })
}

#[inline(always)]
pub fn ipv6<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    scratch: &mut Scratch,
    ip: &Ipv6,
) -> Verdict {
    let Some(icmp) = frame.load::<Icmp>(IPV6_L4) else { return Verdict::Pass };
    if !V6_ERRORS.contains(&icmp.kind) {
        return Verdict::Pass;
    }
    let Some(config) = process::config(tables) else { return Verdict::Pass };
    let Some(quoted) = frame.load::<Ipv6>(V6_QUOTE) else { return Verdict::Pass };
    let Some(ports) = frame.load::<Ports>(V6_QUOTE + size_of::<Ipv6>()) else {
        return Verdict::Pass;
    };
    if !is_ours(quoted.next_header) {
        return Verdict::Pass;
    }
    let addrs = (Addr { words: quoted.src }, Addr { words: quoted.dst }, ports);
    let Some(cell) = look_up(tables, &mut scratch.peer, addrs, quoted.next_header) else {
        return Verdict::Pass;
    };
    if quoted.next_header == proto::UDP && (icmp.kind, icmp.code) == V6_NOBODY {
        note_nobody(tables, config, scratch, cell);
    }
    let len = u16::from_be(ip.payload_len).saturating_add(size_of::<Ipv6>() as u16);
    if let Some(carriage) = Carriage::of(cell.state()) {
        return oneway::error::<F, V6>(frame, tables, config, cell, carriage, ip.hop_limit, len);
    }
    let to = translate(cell, Addr { words: ip.src }, addrs.1);
    send(frame, tables, config, ip.hop_limit, len, &to, |frame, ttl| {
        let outer = join(diff4(&ip.src, &to.src.words), diff4(&ip.dst, &to.dst.words));
        let inner =
            join(diff4(&quoted.src, &to.dst.words), diff4(&quoted.dst, &to.quoted_dst.words));
        let plain = join(inner, diff(ports.word(), to.ports.word()));
        frame.fix_l4(IPV6_L4 + Icmp::CHECK, Pseudo::V6, outer, plain)
            && frame.store_summed(Ipv6::HOP_LIMIT_OFFSET, &ttl)
            && frame.store(Ipv6::SRC_OFFSET, &pair(&to.src, &to.dst))
            && frame.store(V6_QUOTE + 8, &pair(&to.dst, &to.quoted_dst))
            && frame.store(V6_QUOTE + size_of::<Ipv6>(), &to.ports)
    })
}

#[inline(always)]
fn pair(a: &Addr, b: &Addr) -> [u32; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (a.words, b.words);
    [a, b, c, d, e, f, g, h]
}

/// Finds the way out, then changes the packet and sends it.
#[inline(always)]
fn send<F: Frame, T: Tables>(
    frame: &mut F,
    tables: &T,
    config: &Config,
    ttl: u8,
    len: u16,
    to: &Translation,
    change: impl FnOnce(&mut F, u8) -> bool,
) -> Verdict {
    if rewrite::ttl_spent(config, ttl) {
        tables.count(Reason::TtlExpired);
        return Verdict::Drop;
    }
    let path = Path { src: &to.src, dst: &to.dst, len, fallback: to.ifindex };
    let mut hop = Hop::default();
    if let Err(no_way) = frame.route(&path, &mut hop) {
        tables.count(no_way.reason);
        return no_way.known;
    }
    if !change(frame, rewrite::next_ttl(config, ttl)) {
        tables.count(Reason::RewriteFailed);
        return Verdict::Drop;
    }
    tables.count(Reason::IcmpTranslated);
    frame.send(&hop)
}
