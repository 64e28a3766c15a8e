//! The flow cache: what packets in the middle of a connection need, without a look into the exact table.
//!
//! A way is filled by the slow path once the connection is established, and used for at most
//! [`Config::flush_ns`]; then its counts go to the exact table and the next packet fills it again, with the
//! route asked anew. Packets with SYN, FIN or RST never take it. A way whose epoch has changed is worthless:
//! its flow, or one of the same hash, has been removed.

use proxy_common::{
    CACHE_TAG_EMPTY, CACHE_WAYS, CacheSet, CacheWay, Config, FlowKey, FlowState, Reason,
};

use crate::{
    cell::FlowCell,
    frame::{Frame, Hop, Verdict},
    hash, known,
    parse::Segment,
    process::Family,
    rewrite,
    tables::{Scratch, Tables},
};

/// Where a packet's flow has its place, and the epoch before the exact table was looked at.
#[derive(Clone, Copy)]
pub struct Seat {
    pub hash: u64,
    epoch: u32,
}

impl Seat {
    /// The place of a key.
    #[inline(always)]
    pub fn of(tables: &impl Tables, config: &Config, key: &FlowKey) -> Self {
        let hash = hash::flow(key, config.hash_seed);
        let (line, word) = hash::epoch_place(hash, config.epoch_mask);
        let epoch = tables.epochs(line).map_or(0, |line| line.get(word));
        Self { hash, epoch }
    }

    #[inline(always)]
    fn tag(self) -> u32 {
        match (self.hash >> 32) as u32 {
            CACHE_TAG_EMPTY => 1,
            tag => tag,
        }
    }
}

/// Whether the cache is in use.
#[inline(always)]
pub fn enabled(config: &Config) -> bool {
    config.flags & Config::CACHE != 0
}

#[inline(always)]
fn same(way: &FlowKey, key: &FlowKey, hook: u8) -> bool {
    let differs = (way.src.words[0] ^ key.src.words[0])
        | (way.src.words[1] ^ key.src.words[1])
        | (way.src.words[2] ^ key.src.words[2])
        | (way.src.words[3] ^ key.src.words[3])
        | (way.dst.words[0] ^ key.dst.words[0])
        | (way.dst.words[1] ^ key.dst.words[1])
        | (way.dst.words[2] ^ key.dst.words[2])
        | (way.dst.words[3] ^ key.dst.words[3])
        | u32::from(way.sport.be ^ key.sport.be)
        | u32::from(way.dport.be ^ key.dport.be)
        | u32::from(way.proto ^ key.proto)
        | u32::from(way.hook ^ hook);
    differs == 0
}

#[inline(always)]
#[expect(
    clippy::manual_find,
    reason = "as an iterator it is not inlined, and the verifier refuses it"
)]
fn find(set: &CacheSet, tag: u32, key: &FlowKey, hook: u8) -> Option<usize> {
    for index in 0..CACHE_WAYS {
        if set.tags[index] == tag && same(&set.ways[index].key, key, hook) {
            return Some(index);
        }
    }
    None
}

/// Writes a way's counts to the exact table.
#[inline(always)]
fn flush(tables: &impl Tables, way: &mut CacheWay, key: &FlowKey, now: u64) {
    if way.packets != 0
        && let Some(cell) = tables.flow(key)
        && cell.server() == way.server & !CacheWay::REVERSE
    {
        cell.add(u64::from(way.packets), way.bytes, now);
    }
    way.packets = 0;
    way.bytes = 0;
}

/// Translates and sends a packet whose flow is in the cache. `None`: the slow path is to take it.
#[inline(always)]
pub fn hit<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    config: &Config,
    scratch: &mut Scratch,
    segment: &Segment,
    seat: Seat,
) -> Option<Verdict> {
    let key = &segment.key;
    let Scratch { rewrite, hop, .. } = scratch;
    let found = tables.with_set(config, seat.hash, |set| {
        let Some(index) = find(set, seat.tag(), key, F::HOOK) else { return false };
        let index = index & (CACHE_WAYS - 1);
        let way = &mut set.ways[index];
        let now = tables.now_ns();
        let fresh = now.wrapping_sub(way.flushed_ns) <= config.flush_ns;
        if way.epoch != seat.epoch || !fresh || segment.is_control() {
            if way.epoch == seat.epoch {
                flush(tables, way, key, now);
            }
            set.tags[index] = CACHE_TAG_EMPTY;
            return false;
        }
        let mtu = way.key.reserved;
        if rewrite::ttl_spent(config, segment.ttl) || (mtu != 0 && segment.ip_len > mtu) {
            return false;
        }
        let packets = frame.segments();
        way.packets = way.packets.wrapping_add(packets);
        way.bytes = way.bytes.wrapping_add(u64::from(segment.payload));
        let server = way.server & !CacheWay::REVERSE;
        let from_client = way.server & CacheWay::REVERSE == 0;
        let (packets, bytes) = (u64::from(packets), u64::from(segment.payload));
        known::traffic(tables, way.service, server, from_client, packets, bytes);
        rewrite.src = way.new_src;
        rewrite.dst = way.new_dst;
        rewrite.sport = way.new_sport;
        rewrite.dport = way.new_dport;
        hop.ifindex = way.ifindex;
        hop.data = way.hop;
        true
    });
    if found != Some(true) {
        return None;
    }
    tables.count(Reason::CacheHit);
    if !rewrite::tcp::<F, A>(frame, config, segment, rewrite) {
        tables.count(Reason::RewriteFailed);
        return Some(Verdict::Drop);
    }
    Some(frame.send(hop))
}

/// Puts a flow into the cache, in the place of another if need be.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "a struct of them would live on the BPF stack")]
pub fn fill(
    tables: &impl Tables,
    config: &Config,
    seat: Seat,
    key: &FlowKey,
    hook: u8,
    cell: &FlowCell,
    hop: &Hop,
    now: u64,
    old: &mut FlowKey,
) {
    tables.with_set(config, seat.hash, |set| {
        let index = match find(set, seat.tag(), key, hook) {
            Some(index) => index,
            None => place(set),
        } & (CACHE_WAYS - 1);
        let way = &mut set.ways[index];
        if set.tags[index] != CACHE_TAG_EMPTY {
            *old = way.key;
            old.hook = 0;
            old.reserved = 0;
            flush(tables, way, old, now);
            tables.count(Reason::CacheEvicted);
        }
        way.key = *key;
        way.key.hook = hook;
        way.key.reserved = hop.mtu;
        way.epoch = seat.epoch;
        way.packets = 0;
        way.bytes = 0;
        way.flushed_ns = now;
        way.new_src = cell.new_src();
        way.new_dst = cell.new_dst();
        way.new_sport = cell.new_sport();
        way.new_dport = cell.new_dport();
        way.ifindex = hop.ifindex;
        way.hop = hop.data;
        way.service = cell.service();
        way.server = cell.server() | if cell.is_forward() { 0 } else { CacheWay::REVERSE };
        set.tags[index] = seat.tag();
    });
}

/// An unused way, or the next to be evicted.
#[inline(always)]
fn place(set: &mut CacheSet) -> usize {
    for index in 0..CACHE_WAYS {
        if set.tags[index] == CACHE_TAG_EMPTY {
            return index;
        }
    }
    let victim = set.victim;
    set.victim = victim.wrapping_add(1);
    victim as usize
}

/// Whether a connection in this state is worth a way: it will not end without a packet that takes the slow
/// path.
#[inline(always)]
pub fn takes(state: FlowState) -> bool {
    state.0 & (FlowState::ESTABLISHED | FlowState::ENDED) == FlowState::ESTABLISHED
}

/// Writes what this CPU's cache has counted for a key to the exact table, and forgets the flow.
#[inline(always)]
pub fn settle(tables: &impl Tables, config: &Config, key: &FlowKey, hook: u8, now: u64) {
    if !enabled(config) {
        return;
    }
    let seat = Seat::of(tables, config, key);
    tables.with_set(config, seat.hash, |set| {
        let Some(index) = find(set, seat.tag(), key, hook) else { return };
        let index = index & (CACHE_WAYS - 1);
        if set.ways[index].epoch == seat.epoch {
            flush(tables, &mut set.ways[index], key, now);
        }
        set.tags[index] = CACHE_TAG_EMPTY;
    });
}
