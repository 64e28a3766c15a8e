//! The host's frames and tables, for tests: byte buffers and hash maps.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use proxy_common::{
    CACHE_WAYS, CacheSet, CacheWay, Config, DenyEntry, EpochLine, FlowEntry, FlowEvent, FlowKey,
    FragmentEntry, FragmentKey, HOOK_XDP, Live, Rate, RealEntry, Reason, ServerHop, ServerHops,
    ServiceEntry, Slot, SourceKey, SourceNet, SourceRuling, Traffic, VipEntry, VipKey,
    maps::PREFILTER_WORDS, ticks,
};

use crate::{
    Frame, Hop, InsertError, NoWay, Path, Tables, Verdict,
    cell::{EpochCell, FlowCell, LiveCell, RateCell},
    checksum,
    frame::Pseudo,
    headers::{ETHERNET_LEN, Header},
};

/// What the host's frames find when they ask for a way.
pub trait Routes {
    /// As [`Frame::route`].
    fn route(&self, path: &Path<'_>, hop: &mut Hop) -> Result<(), NoWay>;
}

/// Every address is reached by the fallback.
#[derive(Clone, Copy, Debug)]
pub struct Anywhere;

impl Routes for Anywhere {
    fn route(&self, path: &Path<'_>, hop: &mut Hop) -> Result<(), NoWay> {
        *hop = Hop { ifindex: path.fallback, data: path.dst.words, ..Hop::default() };
        Ok(())
    }
}

/// A frame in a buffer, at one of the hooks.
pub struct HostFrame<const HOOK: u8, R> {
    pub bytes: Vec<u8>,
    ingress: u32,
    routes: R,
}

impl<const HOOK: u8, R> HostFrame<HOOK, R> {
    /// A frame that came in by an interface.
    pub fn new(bytes: Vec<u8>, ingress: u32, routes: R) -> Self {
        Self { bytes, ingress, routes }
    }
}

impl<const HOOK: u8, R: Routes> Frame for HostFrame<HOOK, R> {
    const HOOK: u8 = HOOK;

    fn load<H: Header>(&self, offset: usize) -> Option<H> {
        let bytes = self.bytes.get(offset..offset + size_of::<H>())?;
        // SAFETY: as many bytes as the header has, any of which make one.
        Some(unsafe { bytes.as_ptr().cast::<H>().read_unaligned() })
    }

    fn frame_len(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn segments(&self) -> u32 {
        1
    }

    fn ingress(&self) -> u32 {
        self.ingress
    }

    fn route(&mut self, path: &Path<'_>, hop: &mut Hop) -> Result<(), NoWay> {
        self.routes.route(path, hop)
    }

    fn store<H: Header>(&mut self, offset: usize, header: &H) -> bool {
        let Some(bytes) = self.bytes.get_mut(offset..offset + size_of::<H>()) else {
            return false;
        };
        // SAFETY: as many bytes as the header has.
        unsafe { bytes.as_mut_ptr().cast::<H>().write_unaligned(*header) };
        true
    }

    fn store_summed<H: Header>(&mut self, offset: usize, header: &H) -> bool {
        self.store(offset, header)
    }

    fn fix_ip(&mut self, offset: usize, diff: u32) -> bool {
        let Some(check) = self.load::<u16>(offset) else { return false };
        self.store(offset, &checksum::apply(check, diff))
    }

    fn fix_l4(&mut self, offset: usize, _kind: Pseudo, pseudo: u32, plain: u32) -> bool {
        self.fix_ip(offset, checksum::join(pseudo, plain))
    }

    fn fix_udp(&mut self, offset: usize, _kind: Pseudo, pseudo: u32, plain: u32) -> bool {
        let Some(check) = self.load::<u16>(offset) else { return false };
        self.store(offset, &checksum::apply_udp(check, checksum::join(pseudo, plain)))
    }

    fn push<H: Header>(&mut self, header: &H) -> bool {
        let room = vec![0; size_of::<H>()];
        self.bytes.splice(ETHERNET_LEN..ETHERNET_LEN, room);
        self.store(ETHERNET_LEN, header)
    }

    fn make_room(&mut self, len: usize) -> bool {
        self.bytes.splice(ETHERNET_LEN..ETHERNET_LEN, vec![0; len]);
        true
    }

    fn cut(&mut self, len: u32) -> bool {
        let fits = len <= self.frame_len();
        self.bytes.truncate(len as usize);
        fits
    }

    fn is_unfinished(&mut self, _offset: usize) -> bool {
        false
    }

    fn reply(&mut self) -> Verdict {
        if HOOK == HOOK_XDP { Verdict::Transmit } else { Verdict::Redirect }
    }

    fn send(&mut self, hop: &Hop) -> Verdict {
        if HOOK != HOOK_XDP {
            return Verdict::Redirect;
        }
        let [a, b, c, _] = hop.data;
        if !self.store(0, &[a, b]) || !self.store(8, &c) {
            return Verdict::Drop;
        }
        if hop.ifindex == self.ingress { Verdict::Transmit } else { Verdict::Redirect }
    }
}

fn empty_sets(config: &Config) -> Vec<CacheSet> {
    let set = CacheSet {
        ways: [CacheWay::default(); CACHE_WAYS],
        tags: [0; CACHE_WAYS],
        victim: 0,
        reserved: [0; 23],
    };
    vec![set; config.cache_mask as usize + 1]
}

/// Nanoseconds of a jiffy here.
pub const JIFFY_NS: u64 = 1 << 20;

/// Tables in memory. Entries of flows are leaked, so that references outlive removal as they do in the
/// kernel's maps.
pub struct HostTables {
    pub config: Config,
    pub prefilter: Vec<u64>,
    pub vips: HashMap<VipKey, VipEntry>,
    pub services: Vec<ServiceEntry>,
    pub ring: Vec<u32>,
    pub reals: Vec<RealEntry>,
    /// By the length of the prefix and its masked bits.
    pub sources: HashMap<(u32, u32, u128), SourceRuling>,
    pub rules: RefCell<HashMap<u32, u64>>,
    pub flows: RefCell<HashMap<FlowKey, &'static FlowCell>>,
    pub fragments: RefCell<HashMap<FragmentKey, FragmentEntry>>,
    pub capacity: usize,
    epochs: Vec<EpochCell>,
    cache: RefCell<Vec<CacheSet>>,
    pub service_live: LiveCell,
    service_rate: RateCell,
    answer_rate: RateCell,
    pub denied: RefCell<HashMap<SourceNet, DenyEntry>>,
    pub source_rates: RefCell<HashMap<SourceNet, &'static RateCell>>,
    hops: RefCell<Vec<ServerHops>>,
    pub server_live: Vec<LiveCell>,
    pub counters: RefCell<HashMap<Reason, u64>>,
    pub traffic: RefCell<Traffic>,
    pub server_traffic: RefCell<Vec<Traffic>>,
    embryonic: RefCell<(usize, Vec<Slot>)>,
    closing: RefCell<(usize, Vec<Slot>)>,
    pub events: RefCell<Vec<FlowEvent>>,
    pub now: Cell<u64>,
    random: Cell<u32>,
}

impl HostTables {
    /// Empty tables for some servers, with so many places for half-open and for closed flows.
    pub fn new(config: Config, reals: Vec<RealEntry>, slots: usize) -> Self {
        Self {
            config,
            prefilter: vec![0; PREFILTER_WORDS as usize],
            vips: HashMap::new(),
            services: Vec::new(),
            ring: Vec::new(),
            flows: RefCell::default(),
            fragments: RefCell::default(),
            capacity: usize::MAX,
            epochs: (0..=config.epoch_mask).map(|_| EpochCell::new(EpochLine::default())).collect(),
            cache: RefCell::new(empty_sets(&config)),
            service_live: LiveCell::new(Live::default()),
            service_rate: RateCell::new(Rate::default()),
            answer_rate: RateCell::new(Rate::default()),
            denied: RefCell::default(),
            source_rates: RefCell::default(),
            hops: RefCell::new(vec![ServerHops::default(); reals.len()]),
            server_live: reals.iter().map(|_| LiveCell::new(Live::default())).collect(),
            counters: RefCell::default(),
            traffic: RefCell::default(),
            server_traffic: RefCell::new(vec![Traffic::default(); reals.len()]),
            embryonic: RefCell::new((0, vec![Slot::default(); slots])),
            closing: RefCell::new((0, vec![Slot::default(); slots])),
            events: RefCell::default(),
            now: Cell::new(1),
            random: Cell::new(1),
            sources: HashMap::new(),
            rules: RefCell::default(),
            reals,
        }
    }

    /// Changes the settings; caches are empty afterwards when they get another size.
    pub fn set_config(&mut self, config: Config) {
        if config.epoch_mask != self.config.epoch_mask {
            let lines = 0..=config.epoch_mask;
            self.epochs = lines.map(|_| EpochCell::new(EpochLine::default())).collect();
        }
        if config.cache_mask != self.config.cache_mask {
            self.cache = RefCell::new(empty_sets(&config));
        }
        self.config = config;
    }

    /// Forward entries and their keys.
    pub fn connections(&self) -> Vec<(FlowKey, &'static FlowCell)> {
        let flows = self.flows.borrow();
        flows
            .iter()
            .filter(|(_, cell)| cell.is_forward())
            .map(|(key, cell)| (*key, *cell))
            .collect()
    }
}

fn swap(ring: &RefCell<(usize, Vec<Slot>)>, slot: &mut Slot) {
    let (head, slots) = &mut *ring.borrow_mut();
    let place = *head % slots.len();
    *head += 1;
    std::mem::swap(&mut slots[place], slot);
}

impl Tables for HostTables {
    fn config(&self) -> Option<&Config> {
        Some(&self.config)
    }

    fn prefilter(&self, word: u32) -> u64 {
        self.prefilter[word as usize]
    }

    fn vip(&self, key: &VipKey) -> Option<VipEntry> {
        self.vips.get(key).copied()
    }

    fn service(&self, index: u32) -> Option<&ServiceEntry> {
        self.services.get(index as usize)
    }

    fn ring(&self, _ring: u32, place: u32) -> Option<u32> {
        self.ring.get(place as usize).copied()
    }

    fn real(&self, index: u32) -> Option<&RealEntry> {
        self.reals.get(index as usize)
    }

    fn source(&self, key: &SourceKey) -> Option<SourceRuling> {
        let SourceNet { service, addr } = key.net;
        let bits = u128::from_be_bytes(addr.octets());
        (0..=128_u32).rev().find_map(|len| {
            let mask = u128::MAX.checked_shl(128 - len).unwrap_or(0);
            self.sources.get(&(service, len, bits & mask)).copied()
        })
    }

    fn flow(&self, key: &FlowKey) -> Option<&FlowCell> {
        self.flows.borrow().get(key).copied()
    }

    fn insert(&self, key: &FlowKey, entry: &FlowEntry) -> Result<(), InsertError> {
        let mut flows = self.flows.borrow_mut();
        if flows.contains_key(key) {
            return Err(InsertError::Exists);
        }
        if flows.len() >= self.capacity {
            return Err(InsertError::Full);
        }
        flows.insert(*key, Box::leak(Box::new(FlowCell::new(*entry))));
        Ok(())
    }

    fn remove(&self, key: &FlowKey) -> bool {
        self.flows.borrow_mut().remove(key).is_some()
    }

    fn fragment(&self, key: &FragmentKey) -> Option<FragmentEntry> {
        self.fragments.borrow().get(key).copied()
    }

    fn set_fragment(&self, key: &FragmentKey, entry: &FragmentEntry) {
        self.fragments.borrow_mut().insert(*key, *entry);
    }

    fn remove_fragment(&self, key: &FragmentKey) {
        self.fragments.borrow_mut().remove(key);
    }

    fn epochs(&self, line: u32) -> Option<&EpochCell> {
        self.epochs.get(line as usize)
    }

    fn with_set<R>(
        &self,
        config: &Config,
        hash: u64,
        work: impl FnOnce(&mut CacheSet) -> R,
    ) -> Option<R> {
        self.cache.borrow_mut().get_mut((hash as u32 & config.cache_mask) as usize).map(work)
    }

    fn with_hop<R>(
        &self,
        server: u32,
        hook: u8,
        work: impl FnOnce(&mut ServerHop) -> R,
    ) -> Option<R> {
        let mut hops = self.hops.borrow_mut();
        hops.get_mut(server as usize)?.get_mut(usize::from(hook) - 1).map(work)
    }

    fn service_rate(&self, index: u32) -> Option<&RateCell> {
        (index == 0).then_some(&self.service_rate)
    }

    fn source_rate(&self, net: &SourceNet) -> Option<&RateCell> {
        self.source_rates.borrow().get(net).copied()
    }

    fn set_source_rate(&self, net: &SourceNet, rate: &Rate) {
        let cell = Box::leak(Box::new(RateCell::new(*rate)));
        self.source_rates.borrow_mut().insert(*net, cell);
    }

    fn denied(&self, net: &SourceNet) -> Option<DenyEntry> {
        self.denied.borrow().get(net).copied()
    }

    fn answer_rate(&self) -> Option<&RateCell> {
        Some(&self.answer_rate)
    }

    fn service_live(&self, index: u32) -> Option<&LiveCell> {
        (index == 0).then_some(&self.service_live)
    }

    fn server_live(&self, index: u32) -> Option<&LiveCell> {
        self.server_live.get(index as usize)
    }

    fn count(&self, reason: Reason) {
        *self.counters.borrow_mut().entry(reason).or_default() += 1;
    }

    fn count_service(&self, _index: u32, change: impl FnOnce(&mut Traffic)) {
        change(&mut self.traffic.borrow_mut());
    }

    fn count_server(&self, index: u32, change: impl FnOnce(&mut Traffic)) {
        change(&mut self.server_traffic.borrow_mut()[index as usize]);
    }

    fn count_rule(&self, index: u32) {
        *self.rules.borrow_mut().entry(index).or_default() += 1;
    }

    fn uncount_rule(&self, index: u32) {
        *self.rules.borrow_mut().entry(index).or_default() -= 1;
    }

    fn swap_embryonic(&self, _config: &Config, slot: &mut Slot) {
        swap(&self.embryonic, slot);
    }

    fn swap_closing(&self, _config: &Config, slot: &mut Slot) {
        swap(&self.closing, slot);
    }

    fn emit(&self, event: impl FnOnce(&mut FlowEvent)) -> bool {
        let mut one = FlowEvent::default();
        event(&mut one);
        self.events.borrow_mut().push(one);
        true
    }

    fn until(&self, times: u32, body: impl FnMut(u32) -> bool) {
        let _ = (0..times).any(body);
    }

    fn ticks(&self) -> u16 {
        ticks(self.now.get() / JIFFY_NS)
    }

    fn now_ns(&self) -> u64 {
        self.now.get()
    }

    fn random(&self) -> u32 {
        // Xorshift: any sequence will do, as long as a failure can be repeated.
        let mut word = self.random.get();
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        self.random.set(word);
        word
    }
}
