//! Which server a new connection goes to.

use proxy_common::{
    FlowKey, POLICY_HASH_FLOW, POLICY_HASH_SOURCE, POLICY_LEASTCONN, POLICY_ROUNDROBIN, REAL_DRAIN,
    REAL_UP, RING_SLOTS, RealEntry, Reason, ServiceEntry,
};

use crate::{cell::LiveCell, hash, tables::Tables};

/// Places of the ring looked at when servers are down or full. The user side takes servers that go down
/// out of the ring within milliseconds, so this bridges that time, and connection limits.
const TRIES: u32 = 16;

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
) -> Result<Choice<'a>, Reason> {
    let len = service.ring_len;
    if len == 0 || len > RING_SLOTS as u32 {
        return Err(Reason::NoServer);
    }
    let v4 = key.src.is_v4();
    let start = match service.policy {
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
    let start = start.wrapping_add(u32::from(refused) * step);
    let mut reason = Reason::NoServer;
    for step in 0..TRIES {
        // By division, which leaves the verifier no value to tell one turn of the loop from another by.
        let place = (start + step) % len;
        if let Some(index) = tables.ring(service.ring, place)
            && let Some(real) = usable(tables, index, v4)
        {
            match tables.server_live(index) {
                Some(live) if live.admit(real.max_connections) => {
                    return Ok(Choice { index, real });
                }
                // Whom a hash sends to a full server waits for it; whom turns or load do goes to another one.
                _ if by_hash(service.policy) => return Err(Reason::Full),
                _ => reason = Reason::Full,
            }
        }
    }
    Err(reason)
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
