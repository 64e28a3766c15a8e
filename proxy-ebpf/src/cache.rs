//! The flow cache: what packets in the middle of a connection need, without a look into the exact table.
//!
//! A way is filled by the slow path once the connection is established, and used for at most [`Config::flush_ns`]; then
//! its counts go to the exact table and the same packet fills it again. So it is when its route is older than
//! [`Config::route_ticks`], but for a server to which another client's packet knows the way. Packets with SYN, FIN or
//! RST never take it.
//!
//! # Why a hit is never wrong
//!
//! - *It is the flow of the packet.* The whole key is compared, the hook too; tags only save comparing.
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
    Addr, CACHE_TAG_EMPTY, CACHE_WAYS, CacheSet, CacheWay, Config, FlowKey, FlowState, HOOK_XDP,
    REAL_UP, Reason,
};

use crate::{
    cell::FlowCell,
    frame::{Frame, Hop, Verdict},
    hash, hops, known,
    oneway::{self, Carriage},
    parse::Segment,
    process::Family,
    rewrite::{self, Rewrite},
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

    /// Keeps it until the exact table has been looked at.
    #[inline(always)]
    pub fn keep(self, scratch: &mut Scratch) {
        scratch.hash = self.hash;
        scratch.epoch = self.epoch;
        scratch.seated = 1;
    }

    /// What was kept.
    #[inline(always)]
    pub fn kept(scratch: &Scratch) -> Option<Self> {
        (scratch.seated != 0).then_some(Self { hash: scratch.hash, epoch: scratch.epoch })
    }

    /// The way that a flow takes when it is free. It is looked at first, and most often nothing else is.
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
fn family<A: Family>() -> u8 {
    if A::V6 { CacheWay::V6 } else { 0 }
}

/// Whether a way, if it is in use at all, is that of a key at a hook.
#[inline(always)]
fn same<A: Family>(way: &CacheWay, key: &FlowKey, hook: u8) -> bool {
    let kind = way.kind & CacheWay::KEY;
    let mut differs = (way.src ^ key.src.words[3])
        | (way.dst ^ key.dst.words[3])
        | u32::from(way.sport.be ^ key.sport.be)
        | u32::from(way.dport.be ^ key.dport.be)
        | u32::from(way.proto ^ key.proto)
        | u32::from(kind ^ (hook | family::<A>()));
    if A::V6 {
        differs |= (way.src_high[0] ^ key.src.words[0])
            | (way.src_high[1] ^ key.src.words[1])
            | (way.src_high[2] ^ key.src.words[2])
            | (way.dst_high[0] ^ key.dst.words[0])
            | (way.dst_high[1] ^ key.dst.words[1])
            | (way.dst_high[2] ^ key.dst.words[2]);
    }
    differs == 0
}

/// The way of a key.
#[inline(always)]
fn find<A: Family>(set: &mut CacheSet, seat: Seat, key: &FlowKey, hook: u8) -> Option<usize> {
    if same::<A>(&set.ways[seat.preferred()], key, hook) {
        return Some(seat.preferred());
    }
    let index = tagged(set, seat)?;
    same::<A>(&set.ways[index], key, hook).then_some(index)
}

/// The way with a tag. Two flows of a set have the same one once in 2^29 pairs; then they displace each other.
#[inline(always)]
fn tagged(set: &mut CacheSet, seat: Seat) -> Option<usize> {
    let tag = seat.tag();
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

/// Puts a way out of use.
#[inline(always)]
fn empty(set: &mut CacheSet, index: usize) {
    set.tags[index] = CACHE_TAG_EMPTY;
    set.ways[index].kind = 0;
}

/// The key of a way in the exact table.
#[inline(always)]
fn key_of(way: &CacheWay) -> FlowKey {
    let v6 = way.kind & CacheWay::V6 != 0;
    let addr = |high: &[u32; 3], low| {
        if v6 { Addr { words: [high[0], high[1], high[2], low] } } else { Addr::mapped(low) }
    };
    FlowKey {
        src: addr(&way.src_high, way.src),
        dst: addr(&way.dst_high, way.dst),
        sport: way.sport,
        dport: way.dport,
        proto: way.proto,
        hook: 0,
        reserved: 0,
    }
}

/// Writes a way's counts to the exact table.
#[inline(always)]
fn flush(tables: &impl Tables, way: &mut CacheWay, key: &FlowKey) {
    if way.packets != 0
        && let Some(cell) = tables.flow(key)
        && cell.server() == u32::from(way.server)
    {
        cell.add(u64::from(way.packets), u64::from(way.bytes), tables.now_ns());
    }
    way.packets = 0;
    way.bytes = 0;
}

/// What a hit takes from its way.
struct Hit {
    carriage: Option<Carriage>,
    rewrite: Rewrite,
    hop: Hop,
}

/// Translates and sends a packet whose flow is in the cache. `None`: the slow path is to take it.
#[inline(always)]
pub fn hit<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    config: &Config,
    segment: &Segment,
    seat: Seat,
) -> Option<Verdict> {
    let key = &segment.key;
    let hit = tables
        .with_set(config, seat.hash, |set| {
            let index = find::<A>(set, seat, key, F::HOOK)?;
            let way = &mut set.ways[index];
            let now = tables.ticks();
            // A datagram moves on when its server is down; that of a connection would be answered by a reset.
            let lost = A::UDP && way.kind & CacheWay::REVERSE == 0 && !is_up(tables, way.server);
            let stale = now.wrapping_sub(way.flushed) > config.flush_ticks
                || way.bytes >= CacheWay::MOST_BYTES;
            if way.epoch != seat.epoch || stale || lost || segment.is_control() {
                return None;
            }
            if now.wrapping_sub(way.routed) > config.route_ticks {
                // All clients of a server share what is known of the way to it.
                let dst = addr::<A>(&way.new_dst_high, way.new_dst);
                let ingress = frame.ingress();
                if way.kind & CacheWay::REVERSE != 0
                    || !tables
                        .with_hop(way.server.into(), F::HOOK, |known| {
                            if !hops::leads(config, known, ingress, &dst, now) {
                                return false;
                            }
                            set_hop::<F>(way, &hops::hop(known));
                            way.routed = known.routed;
                            true
                        })
                        .unwrap_or(false)
                {
                    return None;
                }
            }
            take::<F, T, A>(frame, tables, config, segment, way)
        })
        .flatten()?;
    tables.count(Reason::CacheHit);
    if let Some(carriage) = hit.carriage {
        let (src, dst) = (&hit.rewrite.src, &hit.rewrite.dst);
        let mut hop = hit.hop;
        let ttl = segment.ttl;
        let verdict =
            oneway::send::<F, A>(frame, tables, config, ttl, carriage, src, dst, &mut hop);
        return Some(verdict);
    }
    if !rewrite::packet::<F, A>(frame, config, segment, &hit.rewrite) {
        tables.count(Reason::RewriteFailed);
        return Some(Verdict::Drop);
    }
    Some(frame.send(&hit.hop))
}

/// Counts a packet of a way, and says what is to be done with it.
#[inline(always)]
fn take<F: Frame, T: Tables, A: Family>(
    frame: &mut F,
    tables: &T,
    config: &Config,
    segment: &Segment,
    way: &mut CacheWay,
) -> Option<Hit> {
    let (service, server) = (u32::from(way.service), u32::from(way.server));
    let from_client = way.kind & CacheWay::REVERSE == 0;
    let carriage = carriage_of(way.kind);
    let len = carriage.map_or(segment.ip_len, |carriage| carriage.length::<A>(segment.ip_len));
    let rewrite = Rewrite {
        src: addr::<A>(&way.new_src_high, way.new_src),
        dst: addr::<A>(&way.new_dst_high, way.new_dst),
        sport: way.new_sport,
        dport: way.new_dport,
    };
    if rewrite::ttl_spent(config, segment.ttl) || (way.mtu != 0 && len > way.mtu) {
        return None;
    }
    let packets = frame.segments();
    way.packets = way.packets.wrapping_add(packets);
    way.bytes = way.bytes.wrapping_add(segment.payload);
    let bytes = u64::from(segment.payload);
    known::traffic(tables, service, server, from_client, u64::from(packets), bytes);
    Some(Hit { carriage, rewrite, hop: hop_of::<F>(way) })
}

#[inline(always)]
fn addr<A: Family>(high: &[u32; 3], low: u32) -> Addr {
    if A::V6 { Addr { words: [high[0], high[1], high[2], low] } } else { Addr::mapped(low) }
}

/// Puts a next hop into a way.
#[inline(always)]
fn set_hop<F: Frame>(way: &mut CacheWay, hop: &Hop) {
    way.ifindex = hop.ifindex;
    way.mtu = hop.mtu;
    way.kind &= !CacheWay::LONG_HOP;
    let [a, b, c, d] = hop.data;
    if F::HOOK == HOOK_XDP {
        way.hop = [a, b, c];
        return;
    }
    let next = Addr { words: hop.data };
    if next.is_v4() || next.is_unset() {
        way.hop = [d, 0, 0];
    } else {
        way.kind |= CacheWay::LONG_HOP;
        way.long_hop = [a, b, c, d];
    }
}

/// The next hop of a way.
#[inline(always)]
fn hop_of<F: Frame>(way: &CacheWay) -> Hop {
    let [a, b, c] = way.hop;
    let data = if F::HOOK == HOOK_XDP {
        [a, b, c, 0]
    } else if way.kind & CacheWay::LONG_HOP != 0 {
        let [a, b, c, d] = way.long_hop;
        [a, b, c, d]
    } else if a == 0 {
        [0; 4]
    } else {
        Addr::mapped(a).words
    };
    Hop { ifindex: way.ifindex, data, mtu: way.mtu, path_mtu: 0 }
}

#[inline(always)]
fn is_up(tables: &impl Tables, server: u16) -> bool {
    tables.real(server.into()).is_some_and(|real| real.flags & REAL_UP != 0)
}

#[inline(always)]
fn carriage_of(kind: u8) -> Option<Carriage> {
    if kind & CacheWay::TUNNEL != 0 {
        Some(Carriage::Tunnel)
    } else if kind & CacheWay::DIRECT != 0 {
        Some(Carriage::Direct)
    } else {
        None
    }
}

/// Puts a flow into the cache, in the place of another if need be.
#[inline(always)]
pub fn fill<F: Frame, A: Family>(
    tables: &impl Tables,
    config: &Config,
    seat: Seat,
    key: &FlowKey,
    cell: &FlowCell,
    hop: &Hop,
    old: &mut FlowKey,
) {
    let now = tables.ticks();
    tables.with_set(config, seat.hash, |set| {
        let index = match tagged(set, seat) {
            Some(index) => index,
            None => place(set, seat),
        } & (CACHE_WAYS - 1);
        let way = &mut set.ways[index];
        if set.tags[index] != CACHE_TAG_EMPTY {
            let evicted = !same::<A>(way, key, F::HOOK);
            // What a way of another epoch has counted is not this flow's.
            if evicted || way.epoch == seat.epoch {
                *old = key_of(way);
                flush(tables, way, old);
            }
            if evicted {
                tables.count(Reason::CacheEvicted);
            }
        }
        let (new_src, new_dst) = (cell.new_src(), cell.new_dst());
        way.src = key.src.words[3];
        way.dst = key.dst.words[3];
        if A::V6 {
            way.src_high = high(&key.src);
            way.dst_high = high(&key.dst);
            way.new_src_high = high(&new_src);
            way.new_dst_high = high(&new_dst);
        }
        way.sport = key.sport;
        way.dport = key.dport;
        way.proto = key.proto;
        way.kind = F::HOOK | family::<A>();
        if !cell.is_forward() {
            way.kind |= CacheWay::REVERSE;
        } else {
            way.kind |= match Carriage::of(cell.state()) {
                None => 0,
                Some(Carriage::Direct) => CacheWay::DIRECT,
                Some(Carriage::Tunnel) => CacheWay::TUNNEL,
            };
        }
        way.epoch = seat.epoch;
        way.packets = 0;
        way.bytes = 0;
        way.flushed = now;
        way.routed = now;
        way.new_src = new_src.words[3];
        way.new_dst = new_dst.words[3];
        way.new_sport = cell.new_sport();
        way.new_dport = cell.new_dport();
        way.service = cell.service() as u16;
        way.server = cell.server() as u16;
        set_hop::<F>(way, hop);
        set.tags[index] = seat.tag();
    });
}

#[inline(always)]
fn high(addr: &Addr) -> [u32; 3] {
    let [a, b, c, _] = addr.words;
    [a, b, c]
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

/// Writes what this CPU's cache has counted for a key to the exact table, and forgets the flow. Its next packet may
/// bring it back with what is new.
#[inline(always)]
pub fn settle<A: Family>(tables: &impl Tables, config: &Config, key: &FlowKey, hook: u8) {
    if !enabled(config) {
        return;
    }
    let seat = Seat::of(tables, config, key);
    tables.with_set(config, seat.hash, |set| {
        let Some(index) = tagged(set, seat) else { return };
        if !same::<A>(&set.ways[index], key, hook) {
            return;
        }
        if set.ways[index].epoch == seat.epoch {
            flush(tables, &mut set.ways[index], key);
        }
        empty(set, index);
    });
}
