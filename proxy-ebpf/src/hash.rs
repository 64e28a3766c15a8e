//! Hashes of flows and clients: a 64-bit multiply-and-fold, the same on every instance.

use proxy_common::{Addr, FlowKey};

/// Odd constant with well-spread bits (2^64 divided by the golden ratio).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn mix(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(MULTIPLIER);
    mixed ^ (mixed >> 32)
}

#[inline(always)]
fn mix_addr(state: u64, addr: &Addr) -> u64 {
    let [a, b, c, d] = addr.words;
    let state = mix(state, u64::from(a) | (u64::from(b) << 32));
    mix(state, u64::from(c) | (u64::from(d) << 32))
}

/// Hash of one direction's five-tuple.
#[inline(always)]
pub fn flow(key: &FlowKey, seed: u32) -> u64 {
    let ports = u64::from(key.sport.be) | (u64::from(key.dport.be) << 16);
    let state = mix_addr(u64::from(seed), &key.src);
    let state = mix_addr(state, &key.dst);
    let state = mix(state, ports | (u64::from(key.proto) << 32));
    mix(state, MULTIPLIER)
}

/// Hash of a client's address.
#[inline(always)]
pub fn source(addr: &Addr, seed: u32) -> u64 {
    mix(mix_addr(u64::from(seed), addr), MULTIPLIER)
}

/// Maps a hash evenly to `0..len`.
#[inline(always)]
pub fn scale(hash: u64, len: u32) -> u32 {
    (((hash & 0xffff_ffff) * u64::from(len)) >> 32) as u32
}

/// Line and word of the epochs that a flow's hash belongs to.
#[inline(always)]
pub fn epoch_place(hash: u64, mask: u32) -> (u32, usize) {
    let hash = (hash >> 20) as u32;
    ((hash >> 4) & mask, (hash & 15) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_spread_evenly() {
        let mut places = [0_u32; 8];
        for client in 0..8000_u32 {
            let addr = Addr::mapped((0x0a00_0000 + client).to_be());
            places[scale(source(&addr, 7), 8) as usize] += 1;
        }
        for count in places {
            assert!((850..1150).contains(&count), "{places:?}");
        }
    }

    #[test]
    fn low_and_high_halves_are_independent_of_neighbours() {
        let key = |port: u16| FlowKey { sport: port.into(), proto: 6, ..FlowKey::default() };
        let mut seen = [0_u32; 16];
        for port in 1..=1600 {
            seen[(flow(&key(port), 0) >> 60) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (50..160).contains(count)), "{seen:?}");
    }
}
