//! Algorithms that hash: `source`, `uri`, `hdr` and the others, over `hash-type map-based|consistent`.

use super::{Affinity, LbSpec, Pick, PickCtx, Slot, sequence};
use crate::server::WEIGHT_SCALE;
use crate::server::{HashKey, WEIGHT_MAX};
use crate::{Server, SockAddr};
use std::net::IpAddr;

/// `hash-type <method>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashMethod {
    /// An array of turns: smooth, but most keys move when the number of servers changes.
    #[default]
    MapBased,
    /// A ring of many points per server: only the keys of the server that comes or goes move.
    Consistent,
}

/// `hash-type <method> <function>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    #[default]
    Sdbm,
    Djb2,
    Wt6,
    Crc32,
    /// The key is a number and is used as it is.
    None,
}

/// `hash-type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashSpec {
    pub method: HashMethod,
    pub function: HashFunction,
    /// Whether the hash is mixed once more. The caller sets it for `consistent` without a function, as the manual says.
    pub avalanche: bool,
}

impl HashSpec {
    /// Hash of a key.
    pub fn hash(&self, key: &[u8]) -> u32 {
        let hash = match self.function {
            HashFunction::Sdbm => sdbm(key),
            HashFunction::Djb2 => djb2(key),
            HashFunction::Wt6 => wt6(key),
            HashFunction::Crc32 => crc32(key),
            HashFunction::None => number(key),
        };
        if self.avalanche { avalanche(hash) } else { hash }
    }
}

/// Hash of an address: the words of the address folded together, which keeps neighbours on neighbouring servers;
/// a hash function applies only when the modifier asks for mixing.
pub fn hash_addr(spec: &HashSpec, addr: IpAddr) -> u32 {
    let folded = match addr {
        IpAddr::V4(v4) => v4.to_bits(),
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            (0..4).fold(0, |fold, word| fold ^ (bits >> (32 * word)) as u32)
        }
    };
    if spec.avalanche { avalanche(folded) } else { folded }
}

fn sdbm(key: &[u8]) -> u32 {
    key.iter().fold(0_u32, |hash, &byte| {
        u32::from(byte).wrapping_add(hash << 6).wrapping_add(hash << 16).wrapping_sub(hash)
    })
}

fn djb2(key: &[u8]) -> u32 {
    key.iter().fold(5381_u32, |hash, &byte| hash.wrapping_mul(33).wrapping_add(u32::from(byte)))
}

/// Two words stirred by rotations whose widths depend on the data.
fn wt6(key: &[u8]) -> u32 {
    let (mut h0, mut h1) = (0xa53c_965a_u32, 0x5ca6_953a_u32);
    let (mut step0, mut step1) = (6_u32, 18_u32);
    for &byte in key {
        let byte = u32::from(byte);
        h0 = !(h0 ^ byte);
        h1 = !h1.wrapping_add(byte);
        let turned = h1.rotate_left(step0);
        h1 = h0.rotate_left(step1);
        h0 = turned;
        let steps = ((h0 >> 16) ^ h1) & 0xffff;
        step0 = steps & 0x1f;
        step1 = steps >> 11;
    }
    h0 ^ h1
}

/// The CRC of Ethernet, gzip and PNG, bit by bit: keys are short.
fn crc32(key: &[u8]) -> u32 {
    let crc = key.iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
        })
    });
    !crc
}

/// Leading decimal digits of the key.
fn number(key: &[u8]) -> u32 {
    key.iter()
        .take_while(|b| b.is_ascii_digit())
        .fold(0_u32, |n, b| n.wrapping_mul(10).wrapping_add(u32::from(b - b'0')))
}

/// Bob Jenkins' full-avalanche mix of 32 bits, spread further by a prime near three quarters of the space as HAProxy does.
pub fn avalanche(mut a: u32) -> u32 {
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_mul(3_221_225_473)
}

pub(super) fn build(spec: &LbSpec, slots: &[Slot]) -> Box<dyn Pick> {
    match spec.hash.method {
        HashMethod::MapBased => {
            Box::new(Map { turns: sequence::spread_slots(slots), affinity: spec.affinity })
        }
        HashMethod::Consistent => Box::new(Ring::new(spec, slots)),
    }
}

impl Affinity {
    /// Whether what is hashed to `server` goes on to the next one.
    fn gives_up(self, server: &Server) -> bool {
        match self {
            Self::Always => false,
            Self::MaxConn => server.is_full(),
            Self::MaxQueue => {
                let limit = server.spec.maxqueue;
                limit > 0 && server.is_full() && server.queued.get() >= limit
            }
        }
    }
}

/// One element per turn.
#[derive(Debug)]
struct Map {
    turns: Box<[u32]>,
    affinity: Affinity,
}

impl Pick for Map {
    fn pick(&self, ctx: &PickCtx<'_>) -> Option<usize> {
        let length = self.turns.len();
        let start = ctx.hash.unwrap_or(0) as usize;
        let after = |step: usize| self.turns[(start % length + step) % length] as usize;
        choose(length, after, |index| {
            ctx.exclude == Some(index) || self.affinity.gives_up(&ctx.slots[index].server)
        })
        // Every server gave its keys up: they wait where they belong.
        .or_else(|| (0..length).map(after).find(|&index| ctx.exclude != Some(index)))
    }
}

/// Points per unit of weight.
const POINTS: u32 = 16;

/// The number that a server's points are counted from.
fn first_point(server: &Server) -> u32 {
    let id = (server.id.0 & 0x0fff_ffff).wrapping_mul(POINTS * WEIGHT_MAX);
    let of_address = |with_port: bool| match &**server.addr() {
        SockAddr::Inet(inet) if !inet.ip().is_unspecified() => {
            let mut key = match inet.ip() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            };
            if with_port {
                key.extend(inet.port().to_be_bytes());
            }
            crc32(&key)
        }
        SockAddr::Inet(_) | SockAddr::Unix(_) | SockAddr::Abstract(_) => id,
    };
    match server.spec.hash_key {
        HashKey::Id => id,
        HashKey::Id32 => server.id.0,
        HashKey::Addr => of_address(false),
        HashKey::AddrPort => of_address(true),
    }
}

/// The first position, in the order of `after`, that is not passed over.
fn choose(
    length: usize,
    after: impl Fn(usize) -> usize,
    passed_over: impl Fn(usize) -> bool,
) -> Option<usize> {
    (0..length).map(after).find(|&index| !passed_over(index))
}

/// Points of all servers around the circle of hashes, sorted.
#[derive(Debug)]
struct Ring {
    points: Box<[(u32, u32)]>,
    affinity: Affinity,
    /// See [`LbSpec::balance_factor`].
    factor: u32,
    /// Sum of all weights.
    weight: u32,
}

impl Ring {
    fn new(spec: &LbSpec, slots: &[Slot]) -> Self {
        let mut points: Vec<(u32, u32)> = Vec::new();
        for (index, slot) in (0..).zip(slots) {
            // Points depend on this key alone, so that every balancer with the same keys has the same ring.
            let base = first_point(&slot.server);
            points.extend(
                (0..slot.weight * POINTS / WEIGHT_SCALE)
                    .map(|k| (avalanche(base.wrapping_add(k)), index)),
            );
        }
        points.sort_unstable();
        Self {
            points: points.into(),
            affinity: spec.affinity,
            factor: spec.balance_factor,
            weight: slots.iter().map(|slot| slot.weight).sum(),
        }
    }

    /// Bounded loads: whether one more session would bring the server above the factor's share.
    fn is_loaded(&self, slot: &Slot, sessions: u64) -> bool {
        if self.factor == 0 {
            return false;
        }
        let own = u64::from(slot.server.sessions.get()) + u64::from(slot.server.queued.get());
        // The share is rounded up, so that a lone session finds a server.
        let share = ((sessions + 1) * u64::from(self.factor) * u64::from(slot.weight))
            .div_ceil(100 * u64::from(self.weight.max(1)));
        own + 1 > share
    }
}

impl Pick for Ring {
    fn pick(&self, ctx: &PickCtx<'_>) -> Option<usize> {
        let points = &self.points;
        let hash = ctx.hash.unwrap_or(0);
        let length = points.len();
        if length == 0 {
            return None;
        }
        let after = points.partition_point(|&(point, _)| point < hash) % length;
        let before = (after + length - 1) % length;
        let nearer_before =
            hash.wrapping_sub(points[before].0) < points[after].0.wrapping_sub(hash);
        let start = if nearer_before { before } else { after };
        let after = |step: usize| points[(start + step) % length].1 as usize;
        let sessions = match self.factor {
            0 => 0,
            _ => ctx
                .slots
                .iter()
                .map(|s| u64::from(s.server.sessions.get()) + u64::from(s.server.queued.get()))
                .sum(),
        };
        choose(length, after, |index| {
            let slot = &ctx.slots[index];
            ctx.exclude == Some(index)
                || self.is_loaded(slot, sessions)
                || self.affinity.gives_up(&slot.server)
        })
        .or_else(|| (0..length).map(after).find(|&index| ctx.exclude != Some(index)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows asked of HAProxy's converters `sdbm`, `djb2`, `wt6`, `crc32`, plain and with avalanche.
    #[test]
    fn functions_give_what_haproxy_gives() {
        let functions =
            [HashFunction::Sdbm, HashFunction::Djb2, HashFunction::Wt6, HashFunction::Crc32];
        let rows: [(&[u8], [u32; 8]); 5] = [
            (
                b"a",
                [
                    97, 177670, 1900802597, 3904355907, 1830748055, 3548763807, 1986649387,
                    1288200982,
                ],
            ),
            (
                b"foo",
                [
                    849955110, 193491849, 3349746274, 2356372769, 2735148936, 1117544652,
                    1053410400, 889128046,
                ],
            ),
            (
                b"123456789",
                [
                    1755344949, 902675330, 2225171485, 3421780262, 3400502718, 2717138294,
                    4053691039, 1130417534,
                ],
            ),
            (
                b"hello-world",
                [
                    971994359, 1403312366, 2238057508, 2983461467, 758954906, 2633604929,
                    1142189580, 2033588571,
                ],
            ),
            (
                b"/index.html",
                [
                    858007926, 3776231887, 822151038, 3928116034, 4217574924, 1889807916,
                    2986733765, 571229468,
                ],
            ),
        ];
        for (key, expected) in rows {
            for (n, value) in expected.into_iter().enumerate() {
                let spec = HashSpec {
                    function: functions[n % 4],
                    avalanche: n >= 4,
                    ..HashSpec::default()
                };
                assert_eq!(spec.hash(key), value, "{:?} of {}", spec, key.escape_ascii());
            }
        }
        assert_eq!(number(b"42abc"), 42);
    }
}
