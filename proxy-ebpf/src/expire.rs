//! Ending connections for the user side.

use proxy_common::{EndReason, ExpireRequest, SWEEP_ANY_TIME};

use crate::{
    end::{self, Connection},
    flow, process,
    tables::{Scratch, Tables},
};

/// Ends and removes a connection, if it is still the one meant and was not seen since.
#[inline(always)]
pub fn expire(tables: &impl Tables, scratch: &mut Scratch, request: &ExpireRequest) -> bool {
    let Some(config) = process::config(tables) else { return false };
    let Scratch { old_forward, old_reverse, .. } = scratch;
    *old_forward = request.key;
    let Some(cell) = tables.flow(old_forward) else { return false };
    if !cell.is_forward() || cell.created_ns() != request.created_ns {
        return false;
    }
    cell.write_peer_key(old_forward.proto, old_reverse);
    let until = request.seen_until_ns;
    let seen_since = cell.seen_ns() > until
        || tables.flow(old_reverse).is_some_and(|reverse| reverse.seen_ns() > until);
    if seen_since && until != SWEEP_ANY_TIME {
        return false;
    }
    let reason = match EndReason::from_byte(request.reason as u8) {
        Some(reason) => reason,
        None => EndReason::Killed,
    };
    let connection = Connection { cell, forward: old_forward, reverse: old_reverse };
    end::finish(tables, &connection, reason, tables.now_ns());
    flow::remove(tables, config, old_forward, old_reverse);
    true
}
