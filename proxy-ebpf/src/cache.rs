//! The flow cache: what packets in the middle of a connection need, without a look into the exact table.
//!
//! A way is filled by the slow path once the connection is established, and used for at most
//! [`Config::flush_ns`]; then its counts go to the exact table and the next packet fills it again. Its route
//! is asked anew every [`Config::route_ns`]. Packets with SYN, FIN or RST never take it.
//!
//! # Why a hit is never wrong
//!
//! - *It is the flow of the packet.* The whole key is compared, the hook too; the tag only saves comparing.
//! - *It is still that flow.* Whoever removes a pair from the exact table changes the epoch words of both keys
//!   after removing them ([`flow::remove`](crate::flow::remove)), and a way whose epoch differs is not used. A
//!   packet reads its epoch word ([`Seat::of`]) before it looks into the exact table, and a way is filled with
//!   the word read then. So a removal that the look-up did not see bumps the word after it was read, and the
//!   way is born stale; one that it did see leaves nothing to fill from. An epoch word is shared by many keys,
//!   which costs hits, not correctness; it repeats after 2^32 removals, of which a way would have to sleep
//!   through exactly that many within [`Config::flush_ns`].
//! - *Its translation is right.* The fields a way copies do not change while an entry is in the table
//!   ([`FlowCell`]), so a copy is as good as the entry.
//! - *Its state is right.* Only established connections are cached, and what could end them takes the slow
//!   path: FIN and RST by their flags, expiry and reopening by the epoch. So the exact table knows the state
//!   at all times; it is counts and the time of the last packet that a way keeps to itself, for
//!   [`Config::flush_ns`] at most while packets come, and until it is displaced or settled once they stop.
//!   Expiry therefore allows for that time.
//! - *No other CPU touches it.* Regions are per CPU, and programs of one CPU do not interrupt each other: XDP
//!   and tc both run in softirq. `sluice_expire` runs in a task that softirq may interrupt, and leaves the
//!   cache alone; it invalidates by epoch.

use proxy_common::{
    CACHE_TAG_EMPTY, CACHE_WAYS, CacheSet, CacheWay, Config, FlowKey, FlowState, REAL_UP, Reason,
    ticks,
};

use crate::{
    cell::FlowCell,
    frame::{Frame, Hop, Path, Verdict},
    hash, known,
    oneway::{self, Carriage},
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

    /// The way that a flow takes when it is free. Looked at first, it lets the processor guess where the flow is
    /// and load it while the tags are still on their way from memory.
    #[inline(always)]
    fn preferred(self) -> usize {
        (self.hash >> 29) as usize & (CACHE_WAYS - 1)
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

/// The way with this tag. Its key is another one when two flows of a set have the same tag, which happens
/// once in 2^29 pairs; then they displace each other.
#[inline(always)]
fn find(set: &mut CacheSet, seat: Seat) -> Option<usize> {
    let tag = seat.tag();
    if set.tags[seat.preferred()] == tag {
        return Some(seat.preferred());
    }
    for index in 0..CACHE_WAYS {
        if set.tags[index] == tag {
            return Some(forgotten(set, index));
        }
    }
    None
}

/// The same number, of which the verifier knows no more than its range: else it would follow what is done with a way
/// once for each of them.
#[inline(always)]
fn forgotten(set: &mut CacheSet, index: usize) -> usize {
    let place = core::ptr::from_mut(&mut set.reserved[0]);
    // SAFETY: a word of the set, which nobody else touches.
    unsafe {
        place.write_volatile(index as u32);
        place.read_volatile() as usize & (CACHE_WAYS - 1)
    }
}

/// Writes a way's counts to the exact table.
#[inline(always)]
fn flush(tables: &impl Tables, way: &mut CacheWay, key: &FlowKey, now: u64) {
    if way.packets != 0
        && let Some(cell) = tables.flow(key)
        && cell.server() == way.server & CacheWay::INDEX
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
    let mut carriage = None;
    let found = tables.with_set(config, seat.hash, |set| {
        let Some(index) = find(set, seat) else { return false };
        let way = &mut set.ways[index];
        if !same(&way.key, key, F::HOOK) {
            return false;
        }
        let now = tables.now_ns();
        let stale = ticks(now).wrapping_sub(way.flushed) > ticks(config.flush_ns);
        // A datagram moves on when its server is down; that of a connection would be answered by a reset.
        let lost = A::UDP && way.server & CacheWay::REVERSE == 0 && !is_up(tables, way.server);
        if way.epoch != seat.epoch || stale || lost || segment.is_control() {
            if way.epoch == seat.epoch {
                flush(tables, way, key, now);
            }
            set.tags[index] = CACHE_TAG_EMPTY;
            return false;
        }
        rewrite.src = way.new_src;
        rewrite.dst = way.new_dst;
        rewrite.sport = way.new_sport;
        rewrite.dport = way.new_dport;
        carriage = carriage_of(way.server);
        let len = carriage.map_or(segment.ip_len, |carriage| carriage.length::<A>(segment.ip_len));
        if ticks(now).wrapping_sub(way.routed) > ticks(config.route_ns) {
            let (src, dst) = (&rewrite.src, &rewrite.dst);
            let path = Path { src, dst, len, fallback: way.ifindex };
            if frame.route(&path, hop).is_err() {
                return false;
            }
            way.ifindex = hop.ifindex;
            way.hop = hop.data;
            way.key.reserved = hop.mtu;
            way.routed = ticks(now);
        }
        let mtu = way.key.reserved;
        if rewrite::ttl_spent(config, segment.ttl) || (mtu != 0 && len > mtu) {
            return false;
        }
        let packets = frame.segments();
        way.packets = way.packets.wrapping_add(packets);
        way.bytes = way.bytes.wrapping_add(u64::from(segment.payload));
        let server = way.server & CacheWay::INDEX;
        let from_client = way.server & CacheWay::REVERSE == 0;
        let (packets, bytes) = (u64::from(packets), u64::from(segment.payload));
        known::traffic(tables, way.service, server, from_client, packets, bytes);
        hop.ifindex = way.ifindex;
        hop.data = way.hop;
        true
    });
    if found != Some(true) {
        return None;
    }
    tables.count(Reason::CacheHit);
    if let Some(carriage) = carriage {
        let (src, dst) = (&rewrite.src, &rewrite.dst);
        let verdict =
            oneway::send::<F, A>(frame, tables, config, segment.ttl, carriage, src, dst, hop);
        return Some(verdict);
    }
    if !rewrite::packet::<F, A>(frame, config, segment, rewrite) {
        tables.count(Reason::RewriteFailed);
        return Some(Verdict::Drop);
    }
    Some(frame.send(hop))
}

#[inline(always)]
fn is_up(tables: &impl Tables, server: u32) -> bool {
    tables.real(server & CacheWay::INDEX).is_some_and(|real| real.flags & REAL_UP != 0)
}

#[inline(always)]
fn carriage_of(server: u32) -> Option<Carriage> {
    if server & CacheWay::TUNNEL != 0 {
        Some(Carriage::Tunnel)
    } else if server & CacheWay::DIRECT != 0 {
        Some(Carriage::Direct)
    } else {
        None
    }
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
        let index = match find(set, seat) {
            Some(index) => index,
            None => place(set, seat),
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
        way.flushed = ticks(now);
        way.routed = ticks(now);
        way.new_src = cell.new_src();
        way.new_dst = cell.new_dst();
        way.new_sport = cell.new_sport();
        way.new_dport = cell.new_dport();
        way.ifindex = hop.ifindex;
        way.hop = hop.data;
        way.service = cell.service();
        way.server = cell.server() | if cell.is_forward() { 0 } else { CacheWay::REVERSE };
        if cell.is_forward() {
            way.server |= match Carriage::of(cell.state()) {
                None => 0,
                Some(Carriage::Direct) => CacheWay::DIRECT,
                Some(Carriage::Tunnel) => CacheWay::TUNNEL,
            };
        }
        set.tags[index] = seat.tag();
    });
}

/// An unused way, the preferred one first, or the next to be evicted.
#[inline(always)]
fn place(set: &mut CacheSet, seat: Seat) -> usize {
    if set.tags[seat.preferred()] == CACHE_TAG_EMPTY {
        return seat.preferred();
    }
    for index in 0..CACHE_WAYS {
        if set.tags[index] == CACHE_TAG_EMPTY {
            return forgotten(set, index);
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
        let Some(index) = find(set, seat) else { return };
        if !same(&set.ways[index].key, key, hook) {
            return;
        }
        if set.ways[index].epoch == seat.epoch {
            flush(tables, &mut set.ways[index], key, now);
        }
        set.tags[index] = CACHE_TAG_EMPTY;
    });
}
