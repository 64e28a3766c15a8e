//! The maps with what is known about their contents, and the order of changes.

use aya::maps::{Array, Map, MapData, MapError};
use proxy_common::maps::{self as names, PREFILTER_WORDS};
use proxy_common::{Config, REAL_DRAIN, REAL_UP, RealEntry, SERVICE_UP, ServiceEntry};
use rustc_hash::{FxHashMap, FxHashSet};

use super::indices::Wanted;
use super::services::Installed;
use super::sources::{self, Sources};
use super::{ApplyError, ApplyReport, LeftOut, NoRoom, at};
use crate::maps::{Adoption, Maps, Meta, Pins, map_error};
use crate::names::{Names, Record};
use crate::plan::{Plan, PlannedService};
use crate::sys;
use crate::unavailable::Unavailable;

/// The maps and what is known about their contents.
pub(crate) struct Tables {
    pub(crate) maps: Maps,
    pub(crate) services: Vec<Installed>,
    pub(crate) service_names: Names,
    pub(crate) server_names: Names,
    pub(super) meta: Meta,
    config: Config,
    pub(super) rings_used: Vec<bool>,
    pub(super) sources: Sources,
    /// Indices of services of which clients may be in the table of those turned away.
    pub(crate) denying: FxHashSet<u32>,
}

impl Tables {
    /// Reads what an earlier handle left.
    pub(crate) fn open(
        pins: &Pins,
        adoption: Adoption,
        maps: Maps,
        meta: Meta,
        mut config: Config,
    ) -> Result<Self, Unavailable> {
        let read = |name: &'static str| move |e: MapError| map_error(name, &e);
        let names = |map: &Array<_, _>, room: u32| -> Result<Names, MapError> {
            let records = map.iter().take(room as usize).map(|r| r.map(|r| Record::decode(&r)));
            records.collect::<Result<_, _>>().map(Names::new)
        };
        let service_names = names(&maps.service_names, maps.service_room());
        let server_names = names(&maps.server_names, maps.server_room());
        let mut tables = Self {
            rings_used: vec![false; maps.ring_room() as usize],
            services: Vec::new(),
            sources: sources::read(&maps.sources).map_err(read(names::SOURCES))?,
            service_names: service_names.map_err(read("SVC_NAMES"))?,
            server_names: server_names.map_err(read("SRV_NAMES"))?,
            denying: FxHashSet::default(),
            meta,
            config,
            maps,
        };
        tables.read_denying().map_err(read(names::DENIED))?;
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
            Adoption::Grown => {
                let before = tables.carry_over(pins)?;
                config.nat_port_first = before.nat_port_first;
                config.nat_port_last = before.nat_port_last;
            }
            Adoption::Fresh | Adoption::Replaced { .. } => {}
        }
        tables.config = config;
        tables.maps.config.set(0, config, 0).map_err(read(names::CONFIG))?;
        Ok(tables)
    }

    /// Copies to new tables what connections of the old ones still refer to; returns the settings.
    fn carry_over(&mut self, pins: &Pins) -> Result<Config, Unavailable> {
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
        let config = old::<Config>(pins, names::CONFIG)?;
        config.get(&0, 0).map_err(|e| map_error(names::CONFIG, &e))
    }

    /// Brings everything to what `plan` says. What has no room at first may have some when the
    /// plan's predecessor has made way.
    pub(super) fn apply(&mut self, plan: &Plan) -> Result<ApplyReport, ApplyError> {
        let first = self.apply_once(plan)?;
        if first.left_out.is_empty() {
            return Ok(first);
        }
        let second = self.apply_once(plan)?;
        Ok(ApplyReport {
            vips_set: first.vips_set + second.vips_set,
            vips_removed: first.vips_removed + second.vips_removed,
            servers_set: first.servers_set + second.servers_set,
            sources_set: first.sources_set + second.sources_set,
            rings_set: first.rings_set + second.rings_set,
            services_set: first.services_set + second.services_set,
            ..second
        })
    }

    fn apply_once(&mut self, plan: &Plan) -> Result<ApplyReport, ApplyError> {
        self.set_flush(plan)?;
        let nat_ports_kept = !self.set_nat_ports(plan)?;
        let mut report = ApplyReport { nat_ports_kept, ..ApplyReport::default() };
        let former = self.services.drain(..).map(|s| (s.plan.id, s)).collect();
        let mut former: FxHashMap<u64, Installed> = former;
        let installed = self.install_all(plan, &mut former, &mut report);
        if installed.is_err() {
            // Not reached by the change, so still as they were.
            self.services.extend(former.into_values());
        }
        installed?;
        report.services = self.services.len();
        self.add_to_prefilter()?;
        self.write_vips(&mut report)?;
        self.retire()?;
        Ok(report)
    }

    fn install_all(
        &mut self,
        plan: &Plan,
        former: &mut FxHashMap<u64, Installed>,
        report: &mut ApplyReport,
    ) -> Result<(), ApplyError> {
        let wanted = Wanted::new(plan);
        let mut vips_left = self.maps.entries.vips as usize;
        for service in &plan.services {
            let room = if service.vips.len() > vips_left {
                Err(ApplyError::NoRoom(NoRoom::Vips(self.maps.entries.vips)))
            } else {
                self.install(service, &wanted, former, report)
            };
            match room {
                Ok(()) => vips_left -= service.vips.len(),
                Err(ApplyError::NoRoom(reason)) => {
                    report.left_out.push(LeftOut { service: service.name.clone(), reason });
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn install(
        &mut self,
        service: &PlannedService,
        wanted: &Wanted,
        former: &mut FxHashMap<u64, Installed>,
        report: &mut ApplyReport,
    ) -> Result<(), ApplyError> {
        let (index, servers) = self.place(service, wanted)?;
        let entry = self.maps.services.get(&index, 0).map_err(at(names::SERVICES))?;
        let ring = match former.remove(&service.id) {
            Some(before) => before.ring,
            None => self.ring_in_force(&entry)?,
        };
        let mut installed = Installed { plan: service.clone(), index, servers, entry, ring };
        report.servers_set += self.write_servers(&installed)?;
        self.write_ruled_service(&mut installed, report)?;
        self.services.push(installed);
        Ok(())
    }

    /// Sets the source ports of full NAT. The programs know answers of servers by that range, so
    /// it stays while connections use it; `false` says that it did.
    fn set_nat_ports(&mut self, plan: &Plan) -> Result<bool, ApplyError> {
        let (first, last) =
            plan.nat_ports.as_ref().map_or((1, 0), |ports| (*ports.start(), *ports.end()));
        if (self.config.nat_port_first, self.config.nat_port_last) == (first, last) {
            return Ok(true);
        }
        if self.nat_ports().is_some() {
            for live in self.maps.service_live.iter() {
                if live.map_err(at(names::SERVICE_LIVE))?.connections > 0 {
                    return Ok(false);
                }
            }
        }
        self.config.nat_port_first = first;
        self.config.nat_port_last = last;
        self.maps.config.set(0, self.config, 0).map_err(at(names::CONFIG))?;
        Ok(true)
    }

    /// Lets cached flows keep their counts to themselves for a quarter of the shortest idle timeout.
    fn set_flush(&mut self, plan: &Plan) -> Result<(), ApplyError> {
        let idle = plan.services.iter().map(|s| s.idle).filter(|idle| !idle.is_zero()).min();
        let flush = idle.map_or(Config::MOST_FLUSH_NS, |idle| {
            let quarter = u64::try_from(idle.as_nanos() / 4).unwrap_or(u64::MAX);
            quarter.clamp(Config::LEAST_FLUSH_NS, Config::MOST_FLUSH_NS)
        });
        if self.config.flush_ns != flush {
            self.config.set_times(flush, Config::DEFAULT_ROUTE_NS, sys::jiffy_ns());
            self.maps.config.set(0, self.config, 0).map_err(at(names::CONFIG))?;
        }
        Ok(())
    }

    /// How long the flow table may lag behind what passes through the cache.
    pub(crate) fn flush_ns(&self) -> u64 {
        self.config.flush_ns
    }

    /// Entries of the table of clients' addresses.
    pub(crate) fn source_entries(&self) -> u32 {
        u32::try_from(self.sources.values().map(|s| s.len()).sum::<usize>()).unwrap_or(u32::MAX)
    }

    pub(crate) fn nat_ports(&self) -> Option<(u16, u16)> {
        let ports = (self.config.nat_port_first, self.config.nat_port_last);
        (ports.0 <= ports.1).then_some(ports)
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
            self.write_sources(index, None)?;
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
}
