//! Connections that are over: accounted once, reported, and put out of the table in their turn.

use proxy_common::{
    Config, EndReason, FlowEvent, FlowKey, FlowState, Reason, SERVICE_LOG, Slot, proto,
};

use crate::{cell::FlowCell, flow, tables::Tables};

/// A connection named by its forward entry.
pub struct Connection<'a> {
    /// The forward entry.
    pub cell: &'a FlowCell,
    pub forward: &'a FlowKey,
    pub reverse: &'a FlowKey,
}

/// Gives the connection back to the live counts and reports it, unless that has been done.
///
/// Returns whether it was done now.
#[inline(always)]
pub fn finish(
    tables: &impl Tables,
    connection: &Connection<'_>,
    reason: EndReason,
    now: u64,
) -> bool {
    let cell = connection.cell;
    let before = cell.set_state(FlowState::ENDED);
    if before.is_ended() {
        return false;
    }
    let (service, server) = (cell.service(), cell.server());
    // A datagram that nobody answers may be all there is to say.
    let unfinished = before.0 & FlowState::ESTABLISHED == 0;
    let failed = u64::from(unfinished && connection.forward.proto == proto::TCP);
    if let Some(live) = tables.service_live(service) {
        live.release();
    }
    tables.count_service(service, |traffic| {
        traffic.flows_ended += 1;
        traffic.flows_failed += failed;
    });
    // The index may belong to another server by now, whose numbers start at zero.
    let same = tables.real(server).is_some_and(|real| real.generation == cell.server_generation());
    if same {
        if let Some(live) = tables.server_live(server) {
            live.release();
        }
        tables.count_server(server, |traffic| {
            traffic.flows_ended += 1;
            traffic.flows_failed += failed;
        });
    }
    if tables.service(service).is_some_and(|service| service.flags & SERVICE_LOG != 0) {
        report(tables, connection, before.0 | FlowState::ENDED, reason, now);
    }
    true
}

#[inline(always)]
fn report(
    tables: &impl Tables,
    connection: &Connection<'_>,
    state: u32,
    reason: EndReason,
    now: u64,
) {
    let cell = connection.cell;
    let (packets_in, bytes_in) = cell.traffic();
    let (packets_out, bytes_out) = match tables.flow(connection.reverse) {
        Some(reverse) => reverse.traffic(),
        None => (0, 0),
    };
    let written = tables.emit(|event: &mut FlowEvent| {
        event.forward = *connection.forward;
        event.reverse = *connection.reverse;
        event.created_ns = cell.created_ns();
        event.ended_ns = now;
        event.packets_in = packets_in;
        event.bytes_in = bytes_in;
        event.packets_out = packets_out;
        event.bytes_out = bytes_out;
        event.service = cell.service();
        event.server = cell.server();
        event.server_generation = cell.server_generation();
        event.state = state;
        event.connect_ms = cell.connect_ms();
        event.reason = reason as u8;
        event.reserved = [0; 3];
    });
    if !written {
        tables.count(Reason::EventLost);
    }
}

/// Gives an ended connection its place in `CLOSING`, and removes the one that stood there.
#[inline(always)]
pub fn queue(
    tables: &impl Tables,
    config: &Config,
    connection: &Connection<'_>,
    slot: &mut Slot,
    old_reverse: &mut FlowKey,
) {
    if connection.cell.set_state(FlowState::CLOSING).0 & FlowState::CLOSING != 0 {
        return;
    }
    slot.key = *connection.forward;
    slot.created_ns = connection.cell.created_ns();
    tables.swap_closing(config, slot);
    if slot.created_ns == 0 {
        return;
    }
    let Some(old) = tables.flow(&slot.key) else { return };
    if old.created_ns() != slot.created_ns || !old.state().is_ended() {
        return;
    }
    old.write_peer_key(slot.key.proto, old_reverse);
    flow::remove(tables, config, &slot.key, old_reverse);
    tables.count(Reason::ClosingRecycled);
}

/// Gives a new connection its place in `EMBRYONIC`, and ends the one that stood there if it is still
/// half-open.
#[inline(always)]
pub fn displace(
    tables: &impl Tables,
    config: &Config,
    slot: &mut Slot,
    old_reverse: &mut FlowKey,
    now: u64,
) {
    tables.swap_embryonic(config, slot);
    if slot.created_ns == 0 {
        return;
    }
    let Some(old) = tables.flow(&slot.key) else { return };
    if old.created_ns() != slot.created_ns || !old.state().is_embryonic() {
        return;
    }
    old.write_peer_key(slot.key.proto, old_reverse);
    let connection = Connection { cell: old, forward: &slot.key, reverse: old_reverse };
    if finish(tables, &connection, EndReason::Embryonic, now) {
        flow::remove(tables, config, &slot.key, old_reverse);
        tables.count(Reason::EmbryonicEvicted);
    }
}
