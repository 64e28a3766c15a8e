//! Which index each service and server of a plan has.

use aya::Pod;
use aya::maps::{MapData, MapError, PerCpuArray, PerCpuValues};
use proxy_common::{
    Live, REAL_DRAIN, RULES_PER_SERVICE, RealEntry, SERVICE_UP, ServiceEntry, maps as names,
};
use rustc_hash::FxHashSet;

use super::tables::Tables;
use super::{ApplyError, NoRoom, at};
use crate::names::{Assigned, Record};
use crate::plan::{Plan, PlannedServer, PlannedService};

/// Identities in the plan, whose indices nobody else gets.
pub(super) struct Wanted {
    pub(super) services: FxHashSet<u64>,
    pub(super) servers: FxHashSet<u64>,
}

impl Wanted {
    pub(super) fn new(plan: &Plan) -> Self {
        Self {
            services: plan.services.iter().map(|s| s.id).collect(),
            servers: plan.services.iter().flat_map(|s| s.servers.iter().map(|s| s.id)).collect(),
        }
    }
}

impl Tables {
    /// Finds the indices of a service and its servers, and clears what is given anew. An index is
    /// taken from another only when that one is out of use: its address may still lead there.
    pub(super) fn place(
        &mut self,
        service: &PlannedService,
        wanted: &Wanted,
    ) -> Result<(u32, Vec<u32>), ApplyError> {
        let record = Record {
            id: service.id,
            service: service.name.as_str().into(),
            server: "".into(),
            idle: service.idle,
            connect: service.connect,
        };
        let maps = &self.maps;
        let idle = |index: u32, owner: &Record| {
            !wanted.services.contains(&owner.id)
                && maps.service_live.get(&index, 0).is_ok_and(|l| l.connections == 0)
                && maps.services.get(&index, 0).is_ok_and(|e| e.flags & SERVICE_UP == 0)
        };
        let room = self.maps.service_room();
        let known = self.service_names.find(record.id).and_then(|i| self.service_names.get(i))
            == Some(&record);
        let Some(assigned) = self.service_names.assign(record.clone(), idle) else {
            return Err(NoRoom::Services(room).into());
        };
        let index = assigned.index();
        if !known {
            let set = self.maps.service_names.set(index, record.encode(), 0);
            set.map_err(at("SVC_NAMES"))?;
        }
        if assigned == Assigned::Given(index) {
            self.forgive_all_of(index)?;
            zero(&mut self.maps.service_counters, index).map_err(at(names::SERVICE_COUNTERS))?;
            for rule in 0..RULES_PER_SERVICE {
                let place = index * RULES_PER_SERVICE + rule;
                zero(&mut self.maps.rules, place).map_err(at(names::RULES))?;
            }
            let set = self.maps.service_live.set(index, Live::default(), 0);
            set.map_err(at(names::SERVICE_LIVE))?;
            let set = self.maps.services.set(index, ServiceEntry::default(), 0);
            set.map_err(at(names::SERVICES))?;
        }
        let mut servers = Vec::with_capacity(service.servers.len());
        for server in &service.servers {
            servers.push(self.place_server(service, server, wanted)?);
        }
        Ok((index, servers))
    }

    fn place_server(
        &mut self,
        service: &PlannedService,
        server: &PlannedServer,
        wanted: &Wanted,
    ) -> Result<u32, ApplyError> {
        let record = Record {
            id: server.id,
            service: service.name.as_str().into(),
            server: server.name.as_str().into(),
            idle: service.idle,
            connect: service.connect,
        };
        let maps = &self.maps;
        let idle = |index: u32, owner: &Record| {
            !wanted.servers.contains(&owner.id)
                && maps.server_live.get(&index, 0).is_ok_and(|l| l.connections == 0)
                && maps.reals.get(&index, 0).is_ok_and(|e| e.flags == REAL_DRAIN)
        };
        let room = self.maps.server_room();
        let encoded = record.encode();
        match self.server_names.assign(record, idle) {
            None => Err(NoRoom::Servers(room).into()),
            Some(Assigned::Kept(index)) => Ok(index),
            Some(Assigned::Given(index)) => {
                self.meta.generation += 1;
                self.maps.set_meta(self.meta).map_err(at("META"))?;
                let set = self.maps.server_names.set(index, encoded, 0);
                set.map_err(at("SRV_NAMES"))?;
                zero(&mut self.maps.server_counters, index).map_err(at(names::SERVER_COUNTERS))?;
                let set = self.maps.server_live.set(index, Live::default(), 0);
                set.map_err(at(names::SERVER_LIVE))?;
                // Not up: written in full before a ring names it.
                let generation = self.meta.generation as u32;
                let entry = RealEntry { generation, ..RealEntry::default() };
                self.maps.reals.set(index, entry, 0).map_err(at(names::REALS))?;
                Ok(index)
            }
        }
    }
}

fn zero<T: Pod + Default>(
    counters: &mut PerCpuArray<MapData, T>,
    index: u32,
) -> Result<(), MapError> {
    let cpus = aya::util::nr_cpus().map_err(|(_, error)| MapError::IoError(error))?;
    let zeros = PerCpuValues::try_from(vec![T::default(); cpus])?;
    counters.set(index, zeros, 0)
}
