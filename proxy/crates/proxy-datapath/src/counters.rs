//! Numbers of services and servers, summed over CPUs.

use aya::maps::{MapData, MapError, PerCpuArray};
use proxy_common::{RULES_PER_SERVICE, Reason, Traffic, maps as names};

use crate::apply::ApplyError;
use crate::datapath::Datapath;
use crate::sources::SourcePolicy;

/// Everything counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counters {
    /// By service of the plan in force.
    pub services: Vec<ServiceCounters>,
    /// Packets by what became of them, all services together.
    pub reasons: Vec<(&'static str, u64)>,
}

/// Numbers of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceCounters {
    /// Name of the service.
    pub name: String,
    /// Its frontend.
    pub frontend: String,
    /// Its backend.
    pub backend: String,
    /// Connections not over yet.
    pub current: u32,
    /// Most connections at once.
    pub peak: u32,
    /// What went through.
    pub traffic: Traffic,
    /// By rule about clients' addresses: its name and the SYNs it decided about.
    pub rules: Vec<(String, u64)>,
    /// By server.
    pub servers: Vec<ServerCounters>,
}

/// Numbers of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerCounters {
    /// Name of the server.
    pub name: String,
    /// Connections not over yet.
    pub current: u32,
    /// Most connections at once.
    pub peak: u32,
    /// What went through.
    pub traffic: Traffic,
}

impl Datapath {
    /// Reads all counters. They go on over reloads and restarts.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn counters(&self) -> Result<Counters, ApplyError> {
        let tables = &self.tables;
        let maps = &tables.maps;
        let at = |map| move |error| ApplyError::Map { map, error };
        let mut counters = Counters { reasons: self.reasons()?, ..Counters::default() };
        for service in &tables.services {
            let live = maps.service_live.get(&service.index, 0).map_err(at(names::SERVICE_LIVE))?;
            let mut numbers = ServiceCounters {
                name: service.plan.name.clone(),
                frontend: service.plan.frontend.clone(),
                backend: service.plan.backend.clone(),
                current: live.connections,
                peak: live.peak,
                traffic: traffic(&maps.service_counters, service.index)
                    .map_err(at(names::SERVICE_COUNTERS))?,
                rules: self.rules(service.index, service.plan.sources.as_deref())?,
                servers: Vec::with_capacity(service.servers.len()),
            };
            for (server, &index) in service.plan.servers.iter().zip(&service.servers) {
                let live = maps.server_live.get(&index, 0).map_err(at(names::SERVER_LIVE))?;
                numbers.servers.push(ServerCounters {
                    name: server.name.clone(),
                    current: live.connections,
                    peak: live.peak,
                    traffic: traffic(&maps.server_counters, index)
                        .map_err(at(names::SERVER_COUNTERS))?,
                });
            }
            counters.services.push(numbers);
        }
        counters.services.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(counters)
    }

    /// Connections of one server of a service that are not over yet.
    ///
    /// # Errors
    ///
    /// When there is no such server, or the map cannot be read.
    pub fn server_flows(&self, service: &str, server: &str) -> Result<u32, ApplyError> {
        let installed = self.tables.services.iter().find(|s| s.plan.name == service);
        let index = installed.and_then(|installed| {
            let place = installed.plan.servers.iter().position(|s| s.name == server)?;
            installed.servers.get(place)
        });
        let index = index.ok_or_else(|| ApplyError::Unknown {
            service: service.to_owned(),
            server: server.to_owned(),
        })?;
        let live = self.tables.maps.server_live.get(index, 0);
        let live = live.map_err(|error| ApplyError::Map { map: names::SERVER_LIVE, error })?;
        Ok(live.connections)
    }

    fn rules(
        &self,
        service: u32,
        policy: Option<&SourcePolicy>,
    ) -> Result<Vec<(String, u64)>, ApplyError> {
        let rules = policy.map_or(&[][..], |policy| &policy.rules);
        let counted = (0..RULES_PER_SERVICE).zip(rules).map(|(rule, name)| {
            let values = self.tables.maps.rules.get(&(service * RULES_PER_SERVICE + rule), 0);
            let values = values.map_err(|error| ApplyError::Map { map: names::RULES, error })?;
            Ok((name.clone(), values.iter().sum()))
        });
        counted.collect()
    }

    fn reasons(&self) -> Result<Vec<(&'static str, u64)>, ApplyError> {
        Reason::ALL
            .iter()
            .map(|(reason, name)| {
                let values = self.tables.maps.counters.get(&(*reason as u32), 0);
                let values =
                    values.map_err(|error| ApplyError::Map { map: names::COUNTERS, error })?;
                Ok((*name, values.iter().sum()))
            })
            .collect()
    }
}

pub(crate) fn traffic(
    map: &PerCpuArray<MapData, Traffic>,
    index: u32,
) -> Result<Traffic, MapError> {
    let values = map.get(&index, 0)?;
    Ok(values.iter().fold(Traffic::default(), |sum, cpu| Traffic {
        flows_new: sum.flows_new + cpu.flows_new,
        flows_ended: sum.flows_ended + cpu.flows_ended,
        flows_failed: sum.flows_failed + cpu.flows_failed,
        flows_established: sum.flows_established + cpu.flows_established,
        packets_in: sum.packets_in + cpu.packets_in,
        bytes_in: sum.bytes_in + cpu.bytes_in,
        packets_out: sum.packets_out + cpu.packets_out,
        bytes_out: sum.bytes_out + cpu.bytes_out,
        passed_full: sum.passed_full + cpu.passed_full,
        passed_no_server: sum.passed_no_server + cpu.passed_no_server,
        passed_no_room: sum.passed_no_room + cpu.passed_no_room,
        denied: sum.denied + cpu.denied,
    }))
}
