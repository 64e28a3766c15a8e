//! The first SYN of a connection, and the first datagram of a flow.

use proxy_common::{
    Config, FlowEntry, FlowKey, FlowState, Port, Reason, SERVICE_DENIES, SERVICE_DIRECT,
    SERVICE_FULLNAT, SERVICE_GUARD, SERVICE_SOURCES, SERVICE_TUNNEL, SERVICE_UP, ServiceEntry,
    SourceNet, VipEntry,
};

use crate::{
    answer::{self, Answer},
    cell::LiveCell,
    deny, end,
    frame::{Frame, Path, Verdict},
    hash,
    headers::Tcp,
    hops, mss,
    oneway::{self, Carriage},
    parse::Segment,
    ports,
    process::Family,
    rate,
    rewrite::{self, Rewrite},
    select::{self, Choice},
    source,
    tables::{InsertError, Scratch, Tables},
};

/// Whether a segment of a connection that is not known begins one: it was another balancer's, whose choice of a server
/// the same hash repeats.
#[inline(always)]
pub fn picks_up(tables: &impl Tables, vip: &VipEntry, segment: &Segment) -> bool {
    segment.flags & (Tcp::SYN | Tcp::ACK | Tcp::RST) == Tcp::ACK
        && tables.service(vip.service).is_some_and(|service| service.pick_up != 0)
}

/// Chooses a server for a SYN to a VIP, enters the connection and sends the SYN on. Whatever prevents it
/// leaves the SYN to userspace, untouched, but for a rule that drops it. How many servers have refused it stands in `scratch.forward`.
#[inline(always)]
pub fn open<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    config: &Config,
    scratch: &mut Scratch,
    segment: &Segment,
    vip: &VipEntry,
) -> Verdict {
    let index = vip.service;
    let (Some(service), Some(live)) = (tables.service(index), tables.service_live(index)) else {
        return Verdict::Pass;
    };
    if service.flags & SERVICE_UP == 0 {
        return refuse(tables, index, Reason::NoServer);
    }
    // Rules are about new connections.
    let picked = !A::UDP && !segment.is_pure_syn();
    if service.flags & SERVICE_DENIES != 0 && !picked {
        scratch.source.net = SourceNet { service: index, addr: segment.key.src };
        let Scratch { source, answer, .. } = &mut *scratch;
        if let Some(verdict) = deny::refuses(tables, &source.net, answer) {
            return verdict;
        }
    }
    if service.flags & SERVICE_GUARD != 0 {
        return Verdict::Pass;
    }
    scratch.rule = 0;
    if service.flags & SERVICE_SOURCES != 0
        && !picked
        && let Some(verdict) = source::refuses(tables, service, index, &segment.key.src, scratch)
    {
        return verdict;
    }
    let now = tables.now_ns();
    if service.rate | service.source_rate != 0 && !picked {
        scratch.source.net = SourceNet { service: index, addr: segment.key.src };
        if let Some(verdict) = rate::refuses(tables, service, index, &scratch.source.net, now) {
            return verdict;
        }
    }
    if rewrite::ttl_spent(config, segment.ttl) {
        return refuse(tables, index, Reason::TtlExpired);
    }
    if !live.admit(service.max_connections) {
        return refuse(tables, index, Reason::Full);
    }
    match place::<F, T, A>(frame, tables, config, scratch, segment, index, service, live) {
        Ok(Some(carriage)) => {
            let Scratch { rewrite, hop, .. } = scratch;
            let (src, dst) = (&rewrite.src, &rewrite.dst);
            oneway::send::<F, A>(frame, tables, config, segment.ttl, carriage, src, dst, hop)
        }
        Ok(None) => {
            if !rewrite::packet::<F, A>(frame, config, segment, &scratch.rewrite)
                || !A::UDP && !picked && !mss::clamp::<F, A>(frame, segment, scratch.hop.path_mtu)
            {
                tables.count(Reason::RewriteFailed);
                return Verdict::Drop;
            }
            frame.send(&scratch.hop)
        }
        Err(Failure::Lost) => {
            live.release();
            Verdict::Drop
        }
        Err(Failure::Reason(reason)) => {
            live.release();
            if matches!(reason, Reason::Deferred) && !picked {
                // The tc program sees it as well.
                take_back(tables, service, index, scratch, now);
            }
            let verdict = refuse(tables, index, reason);
            match reason {
                Reason::NoServer if !picked => {
                    answer::of(&mut scratch.answer, service.no_server, Answer::NO_HOST)
                }
                Reason::TooBig => {
                    let tunnel = service.flags & SERVICE_TUNNEL != 0;
                    let outer = if tunnel { Carriage::Tunnel.length::<A>(1) - 1 } else { 0 };
                    scratch.answer.too_big(scratch.hop.path_mtu, outer)
                }
                _ => verdict,
            }
        }
    }
}

/// Takes back what was counted of a SYN that another hook sees too.
#[inline(always)]
fn take_back(
    tables: &impl Tables,
    entry: &ServiceEntry,
    service: u32,
    scratch: &Scratch,
    now: u64,
) {
    if scratch.rule != 0 {
        tables.uncount_rule(scratch.rule - 1);
    }
    if entry.rate | entry.source_rate != 0 {
        rate::take_back(tables, entry, service, &scratch.source.net, now);
    }
}

/// Why a connection was not entered.
enum Failure {
    /// Left to userspace.
    Reason(Reason),
    /// Another CPU has entered the same connection at this moment; userspace must not answer it too.
    Lost,
}

#[inline(always)]
fn refuse(tables: &impl Tables, service: u32, reason: Reason) -> Verdict {
    tables.count(reason);
    tables.count_service(service, |traffic| match reason {
        Reason::NoServer => traffic.passed_no_server += 1,
        Reason::Full => traffic.passed_full += 1,
        Reason::NoPort | Reason::NoRoom => traffic.passed_no_room += 1,
        _ => {}
    });
    Verdict::Pass
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would live on the BPF stack")]
fn place<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    config: &Config,
    scratch: &mut Scratch,
    segment: &Segment,
    index: u32,
    service: &ServiceEntry,
    live: &LiveCell,
) -> Result<Option<Carriage>, Failure> {
    let choice = select::select(
        tables,
        service,
        live,
        &segment.key,
        config.hash_seed,
        scratch.forward.refused,
        &mut scratch.search,
    )
    .map_err(Failure::Reason)?;
    let placed =
        enter::<F, T, A>(frame, tables, config, scratch, segment, index, &choice, service.flags);
    if let Err(failure) = &placed {
        if let Some(server_live) = tables.server_live(choice.index) {
            server_live.release();
        }
        // What XDP leaves to tc must find the same server there, which has the neighbour resolved.
        if matches!(failure, Failure::Reason(Reason::Deferred)) {
            live.rewind();
        }
    }
    placed
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would live on the BPF stack")]
fn enter<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    config: &Config,
    scratch: &mut Scratch,
    segment: &Segment,
    service: u32,
    choice: &Choice<'_>,
    flags: u8,
) -> Result<Option<Carriage>, Failure> {
    let key = &segment.key;
    let real = choice.real;
    let fullnat = flags & SERVICE_FULLNAT != 0;
    let carriage = if flags & SERVICE_TUNNEL != 0 {
        Some(Carriage::Tunnel)
    } else if flags & SERVICE_DIRECT != 0 {
        Some(Carriage::Direct)
    } else {
        None
    };
    let own_source = fullnat || carriage == Some(Carriage::Tunnel);
    if own_source && real.source.is_unset() {
        return Err(Failure::Reason(Reason::NoRoute));
    }
    let Scratch { peer, forward, reverse, slot, old_reverse, rewrite, hop, search, .. } = scratch;
    rewrite.src = if own_source { real.source } else { key.src };
    rewrite.dst = real.addr;
    rewrite.dport = if real.port.be == 0 { key.dport } else { real.port };
    let len = carriage.map_or(segment.ip_len, |carriage| carriage.length::<A>(segment.ip_len));
    let path = Path { src: &rewrite.src, dst: &rewrite.dst, len, fallback: real.ifindex };
    hops::to_server(frame, tables, config, choice.index, &path, hop)
        .map_err(|no_way| Failure::Reason(no_way.reason))?;

    let now = tables.now_ns();
    fill_reverse(reverse, key, service, choice, now, frame.ingress());
    fill_key(peer, rewrite, key);
    if carriage.is_none() {
        ports::claim(tables, config, search, peer, reverse, hash::flow(key, now as u32), fullnat)
            .map_err(Failure::Reason)?;
    }

    let refused = forward.refused;
    *forward = *reverse;
    forward.refused = refused;
    rewrite.sport = peer.dport;
    match carriage {
        None => {}
        // No packet has the key that zero ports make.
        Some(carriage) => {
            rewrite.sport = Port::default();
            rewrite.dport = Port::default();
            forward.state = match carriage {
                Carriage::Direct => FlowState::DIRECT,
                Carriage::Tunnel => FlowState::TUNNEL,
            };
        }
    }
    forward.new_src = rewrite.src;
    forward.new_dst = rewrite.dst;
    forward.new_sport = rewrite.sport;
    forward.new_dport = rewrite.dport;
    forward.ifindex = real.ifindex;
    forward.direction = FlowEntry::FORWARD;
    forward.mtu = hop.path_mtu;
    forward.packets = 1;
    let picked = !A::UDP && !segment.is_pure_syn();
    if picked {
        forward.state |= FlowState::SYN_ACK | FlowState::ESTABLISHED;
        tables.count(Reason::PickedUp);
    }
    let established = u64::from(picked);
    forward.bytes = u64::from(segment.payload);
    if let Err(error) = tables.insert(key, forward) {
        if carriage.is_none() {
            tables.remove(peer);
        }
        return Err(match error {
            InsertError::Exists => Failure::Lost,
            InsertError::Full => Failure::Reason(Reason::NoRoom),
        });
    }
    let bytes = u64::from(segment.payload);
    tables.count_service(service, |traffic| {
        traffic.flows_new += 1;
        traffic.flows_established += established;
        traffic.packets_in += 1;
        traffic.bytes_in += bytes;
    });
    tables.count_server(choice.index, |traffic| {
        traffic.flows_new += 1;
        traffic.flows_established += established;
        traffic.packets_in += 1;
        traffic.bytes_in += bytes;
    });
    slot.key = *key;
    slot.created_ns = now;
    end::displace(tables, config, slot, old_reverse, now);
    Ok(carriage)
}

/// The entry of the server's packets: back to the client, from the VIP.
#[inline(always)]
fn fill_reverse(
    entry: &mut FlowEntry,
    key: &FlowKey,
    service: u32,
    choice: &Choice<'_>,
    now: u64,
    ingress: u32,
) {
    entry.created_ns = now;
    entry.seen_ns = now;
    entry.packets = 0;
    entry.bytes = 0;
    entry.new_src = key.dst;
    entry.new_dst = key.src;
    entry.new_sport = key.dport;
    entry.new_dport = key.sport;
    entry.service = service;
    entry.server = choice.index;
    entry.server_generation = choice.real.generation;
    entry.state = 0;
    entry.ifindex = ingress;
    entry.connect_ms = 0;
    entry.direction = FlowEntry::REVERSE;
    entry.refused = 0;
    entry.mtu = 0;
}

/// The key of the server's packets.
#[inline(always)]
fn fill_key(peer: &mut FlowKey, rewrite: &Rewrite, key: &FlowKey) {
    peer.src = rewrite.dst;
    peer.dst = rewrite.src;
    peer.sport = rewrite.dport;
    peer.dport = key.sport;
    peer.proto = key.proto;
    peer.hook = 0;
    peer.reserved = 0;
}
