//! The only writer of the maps: a plan becomes table contents as a difference to what is there, in
//! an order in which a packet at any moment meets either the old state or the new one.
//!
//! Servers are written before rings that name them, rings before services that use them (always
//! into a ring nobody uses, then switched by index), services before addresses that lead to them;
//! removal goes the other way. Connections in `FLOWS` carry their own translation and are not
//! touched by any of it.

use std::net::SocketAddr;

use aya::maps::{Array, Map, MapData, MapError, PerCpuValues};
use proxy_common::maps::{self as names, PREFILTER_WORDS, prefilter_server, prefilter_vip};
use proxy_common::{
    Addr, Config, Live, POLICY_HASH_FLOW, POLICY_HASH_SOURCE, POLICY_LEASTCONN, POLICY_ROUNDROBIN,
    Port, REAL_DRAIN, REAL_UP, RealEntry, SERVICE_FULLNAT, SERVICE_LOG, SERVICE_UP, ServiceEntry,
    Traffic, VipEntry, VipKey,
};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::datapath::Datapath;
use crate::maps::{Adoption, Maps, Meta, Pins, map_error};
use crate::names::{Assigned, Names, Record};
use crate::net::NetFacts;
use crate::plan::{Plan, PlannedServer, PlannedService};
use crate::ring::{self, Candidate};
use crate::spec::{Mode, Policy, ServerChange, Usable};
use crate::unavailable::Unavailable;

/// Places of a ring in use by hash policies: the prime Maglev wants.
const RING_CAPACITY: usize = 65_537;

/// What [`Datapath::apply`] changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApplyReport {
    /// Services carried by the kernel now.
    pub services: usize,
    /// Services for which there is no room; userspace serves them.
    pub left_out: Vec<LeftOut>,
    /// Addresses that lead to a service now and did not before, or to another one.
    pub vips_set: usize,
    /// Addresses that lead to no service any more.
    pub vips_removed: usize,
    /// Servers written because something about them changed.
    pub servers_set: usize,
    /// Rings filled.
    pub rings_set: usize,
    /// Service entries written.
    pub services_set: usize,
    /// The programs of this handle have just taken over from those found pinned.
    pub switched: bool,
}

impl ApplyReport {
    /// Whether the tables were as wanted already.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        *self
            == Self { services: self.services, left_out: self.left_out.clone(), ..Self::default() }
    }
}

/// A service that has no room in the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// Name of the service.
    pub service: String,
    /// What is full.
    pub reason: NoRoom,
}

/// What is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoRoom {
    /// More services than the tables hold, those with lasting connections included.
    #[error("no room for more than {0} services")]
    Services(u32),
    /// More servers than the tables hold, those with lasting connections included.
    #[error("no room for more than {0} servers")]
    Servers(u32),
    /// More addresses than the table holds.
    #[error("no room for more than {0} addresses")]
    Vips(u32),
    /// Every ring is in use.
    #[error("no room for more than {0} rings")]
    Rings(u32),
}

/// A table could not be changed. The tables are consistent all the same: what was written so far
/// is in force, and applying again completes it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The kernel refused a map operation.
    #[error("map {map}: {error}")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// The cause.
        #[source]
        error: MapError,
    },
    /// No such service or server in the plan in force.
    #[error("no server {server} in service {service}")]
    Unknown {
        /// Name of the service.
        service: String,
        /// Name of the server.
        server: String,
    },
    /// Every ring is in use.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
    /// The new programs could not take over.
    #[error("switching to the new programs: {0}")]
    Switch(#[source] Box<Unavailable>),
}

fn at(map: &'static str) -> impl Fn(MapError) -> ApplyError {
    move |error| ApplyError::Map { map, error }
}

/// A service in the tables.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) plan: PlannedService,
    pub(crate) index: u32,
    /// Index of each server of the plan.
    pub(crate) servers: Vec<u32>,
    entry: ServiceEntry,
    /// What the ring in force holds.
    ring: Vec<u16>,
}

/// The maps and what is known about their contents.
pub(crate) struct Tables {
    pub(crate) maps: Maps,
    pub(crate) services: Vec<Installed>,
    pub(crate) service_names: Names,
    pub(crate) server_names: Names,
    meta: Meta,
    config: Config,
    rings_used: Vec<bool>,
}

impl Tables {
    /// Reads what an earlier handle left.
    pub(crate) fn open(
        pins: &Pins,
        adoption: Adoption,
        mut maps: Maps,
        meta: Meta,
        mut config: Config,
    ) -> Result<Self, Unavailable> {
        let read = |name: &'static str| move |e: MapError| map_error(name, &e);
        let service_names = maps.service_names.iter().map(|r| r.map(|r| Record::decode(&r)));
        let service_names = service_names.collect::<Result<_, _>>().map_err(read("SVC_NAMES"))?;
        let server_names = maps.server_names.iter().map(|r| r.map(|r| Record::decode(&r)));
        let server_names = server_names.collect::<Result<_, _>>().map_err(read("SRV_NAMES"))?;
        let mut tables = Self {
            rings_used: vec![false; maps.ring_room() as usize],
            services: Vec::new(),
            service_names: Names::new(service_names),
            server_names: Names::new(server_names),
            meta,
            config,
            maps,
        };
        match adoption {
            Adoption::Adopted => {
                if let Ok(before) = tables.maps.config.get(&0, 0) {
                    config.nat_port_first = before.nat_port_first;
                    config.nat_port_last = before.nat_port_last;
                }
                for (index, _) in tables.service_names.iter() {
                    let entry =
                        tables.maps.services.get(&index, 0).map_err(read(names::SERVICES))?;
                    if entry.flags & SERVICE_UP != 0
                        && let Some(used) = tables.rings_used.get_mut(entry.ring as usize)
                    {
                        *used = true;
                    }
                }
            }
            Adoption::Grown => tables.carry_over(pins)?,
            Adoption::Fresh | Adoption::Replaced { .. } => {}
        }
        maps = tables.maps;
        maps.config.set(0, config, 0).map_err(read(names::CONFIG))?;
        Ok(Self { maps, config, ..tables })
    }

    /// Copies to new tables what connections of the old ones still refer to.
    fn carry_over(&mut self, pins: &Pins) -> Result<(), Unavailable> {
        fn old<V: aya::Pod>(pins: &Pins, name: &str) -> Result<Array<MapData, V>, Unavailable> {
            MapData::from_pin(pins.maps().join(name))
                .and_then(Map::from_map_data)
                .and_then(Array::try_from)
                .map_err(|e| map_error(name, &e))
        }
        let services = old::<ServiceEntry>(pins, names::SERVICES)?;
        for (index, _) in self.service_names.iter() {
            if let Ok(mut entry) = services.get(&index, 0)
                && index < self.maps.services.len()
            {
                entry.flags &= !SERVICE_UP;
                entry.ring_len = 0;
                let set = self.maps.services.set(index, entry, 0);
                set.map_err(|e| map_error(names::SERVICES, &e))?;
            }
        }
        let reals = old::<RealEntry>(pins, names::REALS)?;
        for (index, _) in self.server_names.iter() {
            if let Ok(entry) = reals.get(&index, 0)
                && index < self.maps.reals.len()
            {
                let set = self.maps.reals.set(index, entry, 0);
                set.map_err(|e| map_error(names::REALS, &e))?;
            }
        }
        // Ports of connections whose listener may not be in the plan.
        let prefilter = old::<u64>(pins, names::PREFILTER)?;
        for word in 0..PREFILTER_WORDS.min(prefilter.len()) {
            if let Ok(bits) = prefilter.get(&word, 0)
                && bits != 0
            {
                let set = self.maps.prefilter.set(word, bits, 0);
                set.map_err(|e| map_error(names::PREFILTER, &e))?;
            }
        }
        Ok(())
    }

    fn apply(&mut self, plan: &Plan) -> Result<ApplyReport, ApplyError> {
        let mut report = ApplyReport::default();
        self.set_nat_ports(plan)?;
        let wanted = Wanted::new(plan);
        let mut vips_left = self.maps.entries.vips as usize;
        let mut former: FxHashMap<u64, Installed> =
            self.services.drain(..).map(|s| (s.plan.id, s)).collect();
        for service in &plan.services {
            let placed = if service.vips.len() > vips_left {
                Err(NoRoom::Vips(self.maps.entries.vips))
            } else {
                self.place(service, &wanted)?
            };
            let left_out = |reason| LeftOut { service: service.name.clone(), reason };
            let (index, servers) = match placed {
                Ok(placed) => placed,
                Err(reason) => {
                    report.left_out.push(left_out(reason));
                    continue;
                }
            };
            let mut installed = Installed {
                plan: service.clone(),
                index,
                servers,
                entry: self.maps.services.get(&index, 0).map_err(at(names::SERVICES))?,
                ring: Vec::new(),
            };
            installed.ring = match former.remove(&service.id) {
                Some(before) => before.ring,
                None => self.ring_in_force(&installed.entry)?,
            };
            report.servers_set += self.write_servers(&installed)?;
            match self.write_service(&mut installed, &mut report) {
                Ok(()) => {}
                Err(ApplyError::NoRoom(reason)) => {
                    report.left_out.push(left_out(reason));
                    continue;
                }
                Err(error) => return Err(error),
            }
            vips_left -= installed.plan.vips.len();
            self.services.push(installed);
        }
        report.services = self.services.len();
        self.add_to_prefilter()?;
        self.write_vips(&mut report)?;
        self.retire()?;
        Ok(report)
    }

    fn set_nat_ports(&mut self, plan: &Plan) -> Result<(), ApplyError> {
        let (first, last) =
            plan.nat_ports.as_ref().map_or((1, 0), |ports| (*ports.start(), *ports.end()));
        if (self.config.nat_port_first, self.config.nat_port_last) == (first, last) {
            return Ok(());
        }
        self.config.nat_port_first = first;
        self.config.nat_port_last = last;
        self.maps.config.set(0, self.config, 0).map_err(at(names::CONFIG))
    }

    /// Finds the indices of a service and its servers, and clears what is given anew.
    fn place(
        &mut self,
        service: &PlannedService,
        wanted: &Wanted,
    ) -> Result<Result<(u32, Vec<u32>), NoRoom>, ApplyError> {
        let record = Record {
            id: service.id,
            service: service.name.as_str().into(),
            server: "".into(),
            idle: service.idle,
            connect: service.connect,
        };
        let live = &self.maps.service_live;
        let idle = |index: u32, owner: &Record| {
            !wanted.services.contains(&owner.id)
                && live.get(&index, 0).is_ok_and(|l| l.connections == 0)
        };
        let room = self.maps.service_room();
        let known = self.service_names.find(record.id).and_then(|i| self.service_names.get(i))
            == Some(&record);
        let Some(assigned) =
            self.service_names.assign(record.clone(), idle).filter(|a| a.index() < room)
        else {
            return Ok(Err(NoRoom::Services(room)));
        };
        let index = assigned.index();
        if !known {
            let set = self.maps.service_names.set(index, record.encode(), 0);
            set.map_err(at("SVC_NAMES"))?;
        }
        if assigned == Assigned::Given(index) {
            zero_traffic(&mut self.maps.service_counters, index)
                .map_err(at(names::SERVICE_COUNTERS))?;
            let set = self.maps.service_live.set(index, Live::default(), 0);
            set.map_err(at(names::SERVICE_LIVE))?;
            let set = self.maps.services.set(index, ServiceEntry::default(), 0);
            set.map_err(at(names::SERVICES))?;
        }
        let mut servers = Vec::with_capacity(service.servers.len());
        for server in &service.servers {
            match self.place_server(service, server, wanted)? {
                Ok(index) => servers.push(index),
                Err(reason) => return Ok(Err(reason)),
            }
        }
        Ok(Ok((index, servers)))
    }

    fn place_server(
        &mut self,
        service: &PlannedService,
        server: &PlannedServer,
        wanted: &Wanted,
    ) -> Result<Result<u32, NoRoom>, ApplyError> {
        let record = Record {
            id: server.id,
            service: service.name.as_str().into(),
            server: server.name.as_str().into(),
            idle: service.idle,
            connect: service.connect,
        };
        let live = &self.maps.server_live;
        let idle = |index: u32, owner: &Record| {
            !wanted.servers.contains(&owner.id)
                && live.get(&index, 0).is_ok_and(|l| l.connections == 0)
        };
        let room = self.maps.server_room();
        let encoded = record.encode();
        match self.server_names.assign(record, idle).filter(|a| a.index() < room) {
            None => Ok(Err(NoRoom::Servers(room))),
            Some(Assigned::Kept(index)) => Ok(Ok(index)),
            Some(Assigned::Given(index)) => {
                self.meta.generation += 1;
                self.maps.set_meta(self.meta).map_err(at("META"))?;
                let set = self.maps.server_names.set(index, encoded, 0);
                set.map_err(at("SRV_NAMES"))?;
                zero_traffic(&mut self.maps.server_counters, index)
                    .map_err(at(names::SERVER_COUNTERS))?;
                let set = self.maps.server_live.set(index, Live::default(), 0);
                set.map_err(at(names::SERVER_LIVE))?;
                // Not up: written in full before a ring names it.
                let generation = self.meta.generation as u32;
                let entry = RealEntry { generation, ..RealEntry::default() };
                self.maps.reals.set(index, entry, 0).map_err(at(names::REALS))?;
                Ok(Ok(index))
            }
        }
    }

    fn ring_in_force(&self, entry: &ServiceEntry) -> Result<Vec<u16>, ApplyError> {
        if entry.flags & SERVICE_UP == 0 || entry.ring_len == 0 {
            return Ok(Vec::new());
        }
        let mut slots = self.maps.ring(entry.ring).map_err(at(names::RINGS))?;
        slots.truncate(entry.ring_len as usize);
        Ok(slots)
    }

    fn write_servers(&mut self, service: &Installed) -> Result<usize, ApplyError> {
        let mut changed = 0;
        for (server, &index) in service.plan.servers.iter().zip(&service.servers) {
            changed += usize::from(self.write_server(server, index)?);
        }
        Ok(changed)
    }

    fn write_server(&mut self, server: &PlannedServer, index: u32) -> Result<bool, ApplyError> {
        let before = self.maps.reals.get(&index, 0).map_err(at(names::REALS))?;
        let entry = real_entry(server, before.generation);
        if entry != before {
            self.maps.reals.set(index, entry, 0).map_err(at(names::REALS))?;
        }
        Ok(entry != before)
    }

    /// Brings ring and entry of a service to what its plan says.
    fn write_service(
        &mut self,
        service: &mut Installed,
        report: &mut ApplyReport,
    ) -> Result<(), ApplyError> {
        let candidates: Vec<Candidate> = service
            .plan
            .active()
            .into_iter()
            .map(|position| Candidate {
                index: service.servers[position] as u16,
                id: service.plan.servers[position].id,
                weight: service.plan.servers[position].weight,
            })
            .collect();
        let content = ring::build(service.plan.policy, &candidates, RING_CAPACITY);
        let before = service.entry;
        let up = before.flags & SERVICE_UP != 0;
        let mut entry = ServiceEntry {
            policy: policy(service.plan.policy),
            flags: service_flags(&service.plan),
            ring_len: content.len() as u32,
            max_connections: service.plan.maxconn,
            ..before
        };
        let same_ring = up && content == service.ring && before.ring_len == entry.ring_len;
        if !same_ring && !content.is_empty() {
            entry.ring = self.spare_ring()?;
            self.maps.set_ring(entry.ring, &content).map_err(at(names::RINGS))?;
            report.rings_set += 1;
        }
        if entry != before {
            entry.generation = entry.generation.wrapping_add(1);
            self.maps.services.set(service.index, entry, 0).map_err(at(names::SERVICES))?;
            report.services_set += 1;
        }
        if up && before.ring_len > 0 && (entry.ring != before.ring || content.is_empty()) {
            self.use_ring(before.ring, false);
        }
        if !content.is_empty() {
            self.use_ring(entry.ring, true);
        }
        service.entry = entry;
        service.ring = content;
        Ok(())
    }

    pub(crate) fn rings_in_use(&self) -> u32 {
        self.rings_used.iter().filter(|used| **used).count() as u32
    }

    pub(crate) fn nat_ports(&self) -> Option<(u16, u16)> {
        let ports = (self.config.nat_port_first, self.config.nat_port_last);
        (ports.0 <= ports.1).then_some(ports)
    }

    fn spare_ring(&self) -> Result<u32, NoRoom> {
        let spare = self.rings_used.iter().position(|used| !used);
        spare.map(|ring| ring as u32).ok_or(NoRoom::Rings(self.rings_used.len() as u32))
    }

    fn use_ring(&mut self, ring: u32, used: bool) {
        if let Some(place) = self.rings_used.get_mut(ring as usize) {
            *place = used;
        }
    }

    /// Sets the bits that let packets past the first look.
    fn add_to_prefilter(&mut self) -> Result<(), ApplyError> {
        for (word, bits) in self.prefilter_bits() {
            let before = self.maps.prefilter.get(&word, 0).map_err(at(names::PREFILTER))?;
            if before & bits != bits {
                let set = self.maps.prefilter.set(word, before | bits, 0);
                set.map_err(at(names::PREFILTER))?;
            }
        }
        Ok(())
    }

    fn prefilter_bits(&self) -> FxHashMap<u32, u64> {
        let mut words = FxHashMap::default();
        let mut add = |(word, bit): (u32, u64)| *words.entry(word).or_insert(0) |= bit;
        for service in &self.services {
            service.plan.vips.iter().for_each(|vip| add(prefilter_vip(Port::new(vip.port()))));
            if service.plan.mode == Mode::Nat {
                let servers = service.plan.servers.iter();
                servers.for_each(|server| add(prefilter_server(Port::new(server.addr.port()))));
            }
        }
        words
    }

    fn write_vips(&mut self, report: &mut ApplyReport) -> Result<(), ApplyError> {
        let mut wanted: FxHashMap<VipKey, VipEntry> = FxHashMap::default();
        for service in &self.services {
            let entry = VipEntry { service: service.index, flags: 0 };
            wanted.extend(service.plan.vips.iter().map(|vip| (VipKey::from(*vip), entry)));
        }
        let present = self.maps.vips.iter().collect::<Result<FxHashMap<_, _>, _>>();
        let present = present.map_err(at(names::VIPS))?;
        // First what goes, in case the table is full.
        for key in present.keys().filter(|key| !wanted.contains_key(key)) {
            self.maps.vips.remove(key).map_err(at(names::VIPS))?;
            report.vips_removed += 1;
        }
        for (key, entry) in wanted {
            if present.get(&key) != Some(&entry) {
                self.maps.vips.insert(key, entry, 0).map_err(at(names::VIPS))?;
                report.vips_set += 1;
            }
        }
        Ok(())
    }

    /// Puts what the plan no longer has out of use. Its connections go on.
    fn retire(&mut self) -> Result<(), ApplyError> {
        let services: FxHashSet<u32> = self.services.iter().map(|s| s.index).collect();
        let servers: FxHashSet<u32> =
            self.services.iter().flat_map(|s| s.servers.iter().copied()).collect();
        let mut connections = 0;
        let gone: Vec<u32> =
            self.service_names.iter().map(|(i, _)| i).filter(|i| !services.contains(i)).collect();
        for index in gone {
            let mut entry = self.maps.services.get(&index, 0).map_err(at(names::SERVICES))?;
            if entry.flags & SERVICE_UP != 0 {
                entry.flags &= !SERVICE_UP;
                entry.generation = entry.generation.wrapping_add(1);
                self.maps.services.set(index, entry, 0).map_err(at(names::SERVICES))?;
                self.use_ring(entry.ring, false);
            }
            let live = self.maps.service_live.get(&index, 0).map_err(at(names::SERVICE_LIVE))?;
            connections += live.connections;
        }
        let gone: Vec<u32> =
            self.server_names.iter().map(|(i, _)| i).filter(|i| !servers.contains(i)).collect();
        for index in gone {
            let mut entry = self.maps.reals.get(&index, 0).map_err(at(names::REALS))?;
            if entry.flags & (REAL_UP | REAL_DRAIN) != REAL_DRAIN {
                entry.flags = REAL_DRAIN;
                self.maps.reals.set(index, entry, 0).map_err(at(names::REALS))?;
            }
            let live = self.maps.server_live.get(&index, 0).map_err(at(names::SERVER_LIVE))?;
            connections += live.connections;
        }
        // Lasting connections of removed services still need their ports let through.
        if connections == 0 { self.trim_prefilter() } else { Ok(()) }
    }

    fn trim_prefilter(&mut self) -> Result<(), ApplyError> {
        let wanted = self.prefilter_bits();
        for word in 0..PREFILTER_WORDS {
            let before = self.maps.prefilter.get(&word, 0).map_err(at(names::PREFILTER))?;
            let bits = wanted.get(&word).copied().unwrap_or(0);
            if before != bits {
                let set = self.maps.prefilter.set(word, bits, 0);
                set.map_err(at(names::PREFILTER))?;
            }
        }
        Ok(())
    }

    fn set_server(
        &mut self,
        service: &str,
        server: &str,
        change: ServerChange,
    ) -> Result<ApplyReport, ApplyError> {
        let unknown =
            || ApplyError::Unknown { service: service.to_owned(), server: server.to_owned() };
        let place =
            self.services.iter().position(|s| s.plan.name == service).ok_or_else(unknown)?;
        let mut installed = self.services.swap_remove(place);
        let result = self.set_server_of(&mut installed, server, change, unknown);
        self.services.push(installed);
        result
    }

    fn set_server_of(
        &mut self,
        service: &mut Installed,
        server: &str,
        change: ServerChange,
        unknown: impl Fn() -> ApplyError,
    ) -> Result<ApplyReport, ApplyError> {
        let servers = &mut service.plan.servers;
        let place = servers.iter().position(|s| s.name == server).ok_or_else(unknown)?;
        servers[place].usable = change.usable;
        servers[place].weight = change.weight;
        let mut report =
            ApplyReport { services: self.services.len() + 1, ..ApplyReport::default() };
        report.servers_set +=
            usize::from(self.write_server(&service.plan.servers[place], service.servers[place])?);
        self.write_service(service, &mut report)?;
        Ok(report)
    }
}

/// Identities in the plan, whose indices nobody else gets.
struct Wanted {
    services: FxHashSet<u64>,
    servers: FxHashSet<u64>,
}

impl Wanted {
    fn new(plan: &Plan) -> Self {
        Self {
            services: plan.services.iter().map(|s| s.id).collect(),
            servers: plan.services.iter().flat_map(|s| s.servers.iter().map(|s| s.id)).collect(),
        }
    }
}

fn policy(policy: Policy) -> u8 {
    match policy {
        Policy::HashFlow => POLICY_HASH_FLOW,
        Policy::HashSource => POLICY_HASH_SOURCE,
        Policy::LeastConn => POLICY_LEASTCONN,
        Policy::RoundRobin => POLICY_ROUNDROBIN,
    }
}

fn service_flags(service: &PlannedService) -> u8 {
    let fullnat = if service.mode == Mode::FullNat { SERVICE_FULLNAT } else { 0 };
    let log = if service.log { SERVICE_LOG } else { 0 };
    SERVICE_UP | fullnat | log
}

fn real_entry(server: &PlannedServer, generation: u32) -> RealEntry {
    let addr = |a: SocketAddr| (Addr::from(a.ip()), Port::new(a.port()));
    let (address, port) = addr(server.addr);
    let flags = match server.usable {
        _ if server.ifindex == 0 => REAL_DRAIN,
        Usable::Up => REAL_UP,
        Usable::Drain => REAL_UP | REAL_DRAIN,
        Usable::Down => 0,
    };
    RealEntry {
        addr: address,
        source: server.source.map(Addr::from).unwrap_or_default(),
        port,
        flags,
        ifindex: server.ifindex,
        generation,
        weight: u32::from(server.weight).max(1),
        max_connections: server.maxconn,
        reserved: [0; 3],
    }
}

fn zero_traffic(
    counters: &mut aya::maps::PerCpuArray<MapData, Traffic>,
    index: u32,
) -> Result<(), MapError> {
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| MapError::IoError(error))?;
    let zeros = PerCpuValues::try_from(vec![Traffic::default(); cpus])?;
    counters.set(index, zeros, 0)
}

impl Datapath {
    /// Makes the kernel hold `plan`. The first call after an open that found older programs or
    /// smaller tables also switches to the new ones, which are complete by then.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a change; the tables stay consistent and calling again continues.
    pub fn apply(&mut self, plan: &Plan) -> Result<ApplyReport, ApplyError> {
        let mut report = self.tables.apply(plan)?;
        if self.pending {
            self.switch().map_err(|error| ApplyError::Switch(Box::new(error)))?;
            report.switched = true;
        }
        Ok(report)
    }

    /// Changes the state or weight of one server, and the ring of its service only.
    ///
    /// # Errors
    ///
    /// When the plan in force has no such server, or the kernel refuses the change.
    pub fn set_server(
        &mut self,
        service: &str,
        server: &str,
        change: ServerChange,
    ) -> Result<ApplyReport, ApplyError> {
        self.tables.set_server(service, server, change)
    }

    fn switch(&mut self) -> Result<(), Unavailable> {
        let facts = NetFacts::gather([])?;
        self.attach(&facts, true)?;
        self.pins.promote().map_err(|e| Unavailable::from_io("putting new maps in place", e))?;
        self.pending = false;
        Ok(())
    }
}
