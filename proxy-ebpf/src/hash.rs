//! Hashes of flows and clients: a 64-bit multiply-and-fold, the same on every instance.

use proxy_common::{Addr, FlowKey};

/// Odd constant with well-spread bits (2^64 divided by the golden ratio).
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Odd constants with well-spread bits: the fractional parts of the roots of 2, 3, 5, 7 and 11.
const ODD: [u64; 5] = [
    0x6a09_e667_f3bc_c909,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
];

#[inline(always)]
fn mix(state: u64, word: u64) -> u64 {
    let mixed = (state ^ word).wrapping_mul(MULTIPLIER);
    mixed ^ (mixed >> 32)
}

/// Half of an address; its last word goes below, where a product spreads it over all bits.
#[inline(always)]
fn lane(low: u32, high: u32, multiplier: u64) -> u64 {
    (u64::from(low) | (u64::from(high) << 32)).wrapping_mul(multiplier)
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
    let ports = u32::from(key.sport.be) | (u32::from(key.dport.be) << 16);
    let proto = u32::from(key.proto) << 24 ^ seed;
    let ([a, b, c, d], [e, f, g, h]) = (key.src.words, key.dst.words);
    // Products that do not wait for each other; what is constant in mapped addresses is not computed at all.
    let sum = lane(b, a, ODD[0])
        .wrapping_add(lane(d, c, ODD[1]))
        .wrapping_add(lane(f, e, ODD[2]))
        .wrapping_add(lane(h, g, ODD[3]))
        .wrapping_add(lane(ports, proto, ODD[4]));
    mix(sum >> 32, sum)
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
