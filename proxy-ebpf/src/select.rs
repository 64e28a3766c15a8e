//! Which server a new connection goes to.

use proxy_common::{
    FlowKey, POLICY_HASH_FLOW, POLICY_HASH_SOURCE, POLICY_LEASTCONN, POLICY_ROUNDROBIN, REAL_DRAIN,
    REAL_UP, RING_SLOTS, RealEntry, Reason, ServiceEntry,
};

use crate::{
    cell::LiveCell,
    hash,
    tables::{Search, Tables},
};

/// Places of the ring looked at when servers are down or full. The user side takes servers that go down
/// out of the ring within milliseconds, so this bridges that time, and connection limits.
const TRIES: u32 = 16;

/// Bits of a search.
const FAMILY_V4: u32 = 1;
const BY_HASH: u32 = 2;
/// Its outcomes.
const NONE: u32 = 0;
const FOUND: u32 = 1;
const FULL: u32 = 2;

/// A server that was asked for, and has counted the connection.
pub struct Choice<'a> {
    pub index: u32,
    pub real: &'a RealEntry,
}

/// Chooses a server of the key's family and counts the connection on it.
#[inline(always)]
pub fn select<'a>(
    tables: &'a impl Tables,
    service: &ServiceEntry,
    live: &LiveCell,
    key: &FlowKey,
    seed: u32,
    refused: u8,
    search: &mut Search,
) -> Result<Choice<'a>, Reason> {
    let len = service.ring_len;
    if len == 0 || len > RING_SLOTS as u32 {
        return Err(Reason::NoServer);
    }
    let v4 = key.src.is_v4();
    let first = match service.policy {
        POLICY_ROUNDROBIN => live.advance() % len,
        POLICY_HASH_SOURCE => hash::scale(hash::source(&key.src, seed), len),
        POLICY_LEASTCONN => less_loaded(tables, service.ring, len, v4),
        _ => hash::scale(hash::flow(key, seed), len),
    };
    // Turns go on by themselves; what else led to a server that refuses would lead there again.
    let step = match service.policy {
        POLICY_ROUNDROBIN => 0,
        POLICY_LEASTCONN => 1,
        _ => len / 3 + 1,
    };
    search.start = first.wrapping_add(u32::from(refused) * step);
    search.stride = 1;
    search.len = len;
    search.of = service.ring;
    search.flags = if v4 { FAMILY_V4 } else { 0 };
    if by_hash(service.policy) {
        search.flags |= BY_HASH;
    }
    search.outcome = NONE;
    tables.until(TRIES, |turn| {
        let Some(index) = tables.ring(search.of, search.place(turn)) else { return false };
        let v4 = search.flags & FAMILY_V4 != 0;
        let Some(real) = usable(tables, index, v4) else { return false };
        let Some(live) = tables.server_live(index) else { return false };
        search.found = index;
        if live.admit(real.max_connections) {
            search.outcome = FOUND;
            return true;
        }
        // Whom a hash sends to a full server waits for it; whom turns or load do goes to another one.
        search.outcome = FULL;
        search.flags & BY_HASH != 0
    });
    match search.outcome {
        FOUND => {}
        FULL => return Err(Reason::Full),
        _ => return Err(Reason::NoServer),
    }
    let index = search.found;
    // There a moment ago, and servers do not leave their place.
    let real = tables.real(index).ok_or(Reason::NoServer)?;
    Ok(Choice { index, real })
}

#[inline(always)]
fn by_hash(policy: u8) -> bool {
    policy == POLICY_HASH_SOURCE || policy == POLICY_HASH_FLOW
}

#[inline(always)]
fn usable(tables: &impl Tables, index: u32, v4: bool) -> Option<&RealEntry> {
    let real = tables.real(index)?;
    let takes = real.flags & (REAL_UP | REAL_DRAIN) == REAL_UP;
    (takes && real.addr.is_v4() == v4).then_some(real)
}

/// Power of two choices: of two random places, the one whose server has fewer connections for its weight.
#[inline(always)]
fn less_loaded(tables: &impl Tables, ring: u32, len: u32, v4: bool) -> u32 {
    let random = tables.random();
    let first = hash::scale(u64::from(random), len);
    let second = hash::scale(u64::from(random.rotate_left(16).wrapping_mul(0x9e37_79b1)), len);
    let load = |place| {
        let index = tables.ring(ring, place)?;
        let real = usable(tables, index, v4)?;
        let connections = tables.server_live(index)?.connections();
        Some((u64::from(connections), u64::from(real.weight)))
    };
    match (load(first), load(second)) {
        (Some((a, a_weight)), Some((b, b_weight))) if b * a_weight < a * b_weight => second,
        (None, Some(_)) => second,
        _ => first,
    }
}
