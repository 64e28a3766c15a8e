//! Packets of connections in the table.

use proxy_common::{Config, EndReason, FlowKey, FlowState, REAL_UP, Reason};

use crate::{
    cache::{self, Seat},
    cell::FlowCell,
    end::{self, Connection},
    flow,
    frame::{Frame, Path, Verdict},
    headers::Tcp,
    hops, mss,
    oneway::{self, Carriage},
    parse::Segment,
    process::Family,
    rewrite,
    tables::{Scratch, Tables},
};

/// What came of a packet whose key is in the table.
pub enum Known {
    Done(Verdict),
    /// The connection was over, or its server has gone before answering; its entries have been
    /// removed, and the SYN may begin another. So many servers have refused this SYN.
    Reopen {
        refused: u8,
    },
}

/// Translates and sends a packet, and notes what it says about its connection.
#[inline(always)]
pub fn known<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    config: &Config,
    scratch: &mut Scratch,
    segment: &Segment,
    cell: &FlowCell,
) -> Known {
    let key = &segment.key;
    let from_client = cell.is_forward();
    cell.write_peer_key(key.proto, &mut scratch.peer);
    let main = if from_client {
        cell
    } else {
        match tables.flow(&scratch.peer) {
            Some(main) => main,
            None => {
                tables.count(Reason::NoFlow);
                return Known::Done(Verdict::Pass);
            }
        }
    };
    let (forward, reverse) = if from_client { (key, &scratch.peer) } else { (&scratch.peer, key) };
    let connection = Connection { cell: main, forward, reverse };
    let now = tables.now_ns();

    if from_client && (A::UDP || segment.is_pure_syn()) && gives_way::<A>(tables, &connection, now)
    {
        let refused = refusals(main);
        flow::remove(tables, config, forward, reverse);
        tables.count(Reason::Reopened);
        return Known::Reopen { refused };
    }
    if rewrite::ttl_spent(config, segment.ttl) {
        tables.count(Reason::TtlExpired);
        return Known::Done(Verdict::Drop);
    }
    let Scratch { rewrite, hop, answer, .. } = scratch;
    rewrite.src = cell.new_src();
    rewrite.dst = cell.new_dst();
    rewrite.sport = cell.new_sport();
    rewrite.dport = cell.new_dport();
    // Known from the start of a connection, and never changed.
    let carriage = if from_client { Carriage::of(cell.state()) } else { None };
    let path = Path {
        src: &rewrite.src,
        dst: &rewrite.dst,
        len: carriage.map_or(segment.ip_len, |carriage| carriage.length::<A>(segment.ip_len)),
        fallback: cell.ifindex(),
    };
    let asked = if from_client {
        hops::to_server(frame, tables, config, cell.server(), &path, hop)
    } else {
        frame.route(&path, hop)
    };
    if let Err(no_way) = asked {
        tables.count(no_way.reason);
        if matches!(no_way.reason, Reason::TooBig) {
            let outer = carriage.map_or(0, |carriage| carriage.length::<A>(1) - 1);
            return Known::Done(answer.too_big(hop.path_mtu, outer));
        }
        return Known::Done(no_way.known);
    }

    let refuses = !A::UDP
        && !from_client
        && segment.flags & Tcp::RST != 0
        && main.state().0 & FlowState::SYN_ACK == 0;
    count(frame, tables, cell, from_client, segment, now);
    let responses = if A::UDP { responses(tables, cell) } else { 0 };
    let ending = if A::UDP {
        observe_datagram(tables, main, from_client, now);
        let answered = !from_client
            && responses != 0
            && cell.traffic().0 >= u64::from(responses)
            && !main.state().is_ended();
        if answered { Some(EndReason::Answered) } else { None }
    } else if observe(tables, main, from_client, segment.flags, now) {
        flow::ending(main.state().0)
    } else {
        None
    };
    if let Some(reason) = ending {
        cache::settle::<A>(tables, config, &scratch.peer, F::HOOK);
        finish(tables, config, main, key, from_client, scratch, reason, now);
    }
    if refuses && is_tried_again(tables, main) {
        tables.count(Reason::Refused);
        return Known::Done(Verdict::Drop);
    }
    if let Some(seat) = Seat::kept(scratch)
        && !segment.is_control()
        && cache::takes(main.state())
        && responses == 0
    {
        let Scratch { hop, old_forward, .. } = scratch;
        cache::fill::<F, A>(tables, config, seat, key, cell, hop, old_forward);
        tables.count(Reason::CacheMiss);
    }
    if let Some(carriage) = carriage {
        let Scratch { rewrite, hop, .. } = scratch;
        let (src, dst) = (&rewrite.src, &rewrite.dst);
        let verdict =
            oneway::send::<F, A>(frame, tables, config, segment.ttl, carriage, src, dst, hop);
        return Known::Done(verdict);
    }
    let mut sent = rewrite::packet::<F, A>(frame, config, segment, &scratch.rewrite);
    if !A::UDP && sent && segment.flags & Tcp::SYN != 0 {
        sent = mss::clamp::<F, A>(frame, segment, mss::smaller(scratch.hop.path_mtu, main.mtu()));
    }
    if !sent {
        tables.count(Reason::RewriteFailed);
        return Known::Done(Verdict::Drop);
    }
    Known::Done(frame.send(&scratch.hop))
}

/// How many servers have refused the client's SYN, after this connection.
#[inline(always)]
fn refusals(main: &FlowCell) -> u8 {
    let state = main.state().0;
    if state & FlowState::SERVER_RST != 0 && state & FlowState::SYN_ACK == 0 {
        main.refused().saturating_add(1)
    } else {
        0
    }
}

/// Whether the client is not told of a refusal, so that it sends its SYN again and another server may take it.
#[inline(always)]
fn is_tried_again(tables: &impl Tables, main: &FlowCell) -> bool {
    tables.service(main.service()).is_some_and(|service| main.refused() < service.retries)
}

/// Whether a SYN on this connection's key may begin another one: it is over, or the server it was sent to
/// went down before it answered. An established connection answers by itself (RFC 5961 section 4).
///
/// A datagram has no such bond: it moves when its server is down, or said that nobody listens there.
#[inline(always)]
fn gives_way<A: Family>(tables: &impl Tables, connection: &Connection<'_>, now: u64) -> bool {
    let cell = connection.cell;
    let state = cell.state();
    if state.is_ended() {
        return true;
    }
    if A::UDP {
        if state.0 & FlowState::SERVER_RST != 0 {
            return end::finish(tables, connection, EndReason::ServerReset, now);
        }
        return !lives(tables, cell) && end::finish(tables, connection, EndReason::Replaced, now);
    }
    if state.is_one_way() && state.0 & FlowState::CLIENT_FIN != 0 {
        // The server's FIN is not seen, but a client that begins anew has.
        return end::finish(tables, connection, EndReason::ClientFin, now);
    }
    if state.0 & (FlowState::SYN_ACK | FlowState::ESTABLISHED) != 0 {
        return false;
    }
    !lives(tables, cell) && end::finish(tables, connection, EndReason::Replaced, now)
}

/// Whether the server of a connection is there and not down.
#[inline(always)]
pub fn lives(tables: &impl Tables, cell: &FlowCell) -> bool {
    tables.real(cell.server()).is_some_and(|real| {
        real.flags & REAL_UP != 0 && real.generation == cell.server_generation()
    })
}

/// How many datagrams of the server end a flow, 0 for none.
#[inline(always)]
fn responses(tables: &impl Tables, cell: &FlowCell) -> u8 {
    tables.service(cell.service()).map_or(0, |service| service.responses)
}

/// Notes what a datagram says by being there.
#[inline(always)]
fn observe_datagram(tables: &impl Tables, main: &FlowCell, from_client: bool, now: u64) {
    let age = now.saturating_sub(main.created_ns());
    let bits = flow::observe_datagram(main.state(), from_client, age);
    if bits == 0 {
        return;
    }
    note(tables, main, bits, now);
}

/// Sets bits of a flow's state, and counts what is new by them.
#[inline(always)]
fn note(tables: &impl Tables, main: &FlowCell, bits: u32, now: u64) {
    let news = bits & !main.set_state(bits).0;
    if news & FlowState::SYN_ACK != 0 {
        let elapsed = now.saturating_sub(main.created_ns()) / 1_000_000;
        main.set_connect_ms(elapsed as u32);
    }
    if news & FlowState::ESTABLISHED != 0 {
        tables.count_service(main.service(), |traffic| traffic.flows_established += 1);
        tables.count_server(main.server(), |traffic| traffic.flows_established += 1);
    }
}

/// Counts the packet in its entry, its service and its server.
#[inline(always)]
fn count(
    frame: &impl Frame,
    tables: &impl Tables,
    cell: &FlowCell,
    from_client: bool,
    segment: &Segment,
    now: u64,
) {
    let packets = u64::from(frame.segments());
    let bytes = u64::from(segment.payload);
    cell.add(packets, bytes, now);
    traffic(tables, cell.service(), cell.server(), from_client, packets, bytes);
}

/// Counts packets and bytes in a service and a server.
#[inline(always)]
pub fn traffic(
    tables: &impl Tables,
    service: u32,
    server: u32,
    from_client: bool,
    packets: u64,
    bytes: u64,
) {
    if from_client {
        tables.count_service(service, |traffic| {
            traffic.packets_in += packets;
            traffic.bytes_in += bytes;
        });
        tables.count_server(server, |traffic| {
            traffic.packets_in += packets;
            traffic.bytes_in += bytes;
        });
    } else {
        tables.count_service(service, |traffic| {
            traffic.packets_out += packets;
            traffic.bytes_out += bytes;
        });
        tables.count_server(server, |traffic| {
            traffic.packets_out += packets;
            traffic.bytes_out += bytes;
        });
    }
}

/// Notes what the flags say. Returns whether the connection may be over because of it.
#[inline(always)]
fn observe(tables: &impl Tables, main: &FlowCell, from_client: bool, flags: u8, now: u64) -> bool {
    let bits = flow::observe(main.state(), from_client, flags);
    if bits == 0 {
        return false;
    }
    note(tables, main, bits, now);
    flags & (Tcp::RST | Tcp::FIN) != 0
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would live on the BPF stack")]
fn finish(
    tables: &impl Tables,
    config: &Config,
    main: &FlowCell,
    key: &FlowKey,
    from_client: bool,
    scratch: &mut Scratch,
    reason: EndReason,
    now: u64,
) {
    let Scratch { peer, slot, old_reverse, .. } = scratch;
    let (forward, reverse) = if from_client { (key, &*peer) } else { (&*peer, key) };
    let connection = Connection { cell: main, forward, reverse };
    if end::finish(tables, &connection, reason, now) {
        end::queue(tables, config, &connection, slot, old_reverse);
    }
}
