//! Servers, rings and service entries.

use std::sync::Arc;

use proxy_common::{SERVICE_UP, ServiceEntry, maps as names};

use super::entries::{answer, policy, real_entry, service_flags};
use super::tables::Tables;
use super::{ApplyError, ApplyReport, NoRoom, at};
use crate::plan::{PlannedServer, PlannedService};
use crate::ring::{self, Candidate};
use crate::sources::SourcePolicy;
use crate::spec::ServerChange;

/// Places of a ring in use by hash policies: the prime Maglev wants.
const RING_CAPACITY: usize = 65_537;

/// A service in the tables.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) plan: PlannedService,
    pub(crate) index: u32,
    /// Index of each server of the plan.
    pub(crate) servers: Vec<u32>,
    pub(super) entry: ServiceEntry,
    /// What the ring in force holds.
    pub(super) ring: Vec<u16>,
}

impl Tables {
    /// What the ring of a service holds that an earlier handle left.
    pub(super) fn ring_in_force(&self, entry: &ServiceEntry) -> Result<Vec<u16>, ApplyError> {
        if entry.flags & SERVICE_UP == 0 || entry.ring_len == 0 {
            return Ok(Vec::new());
        }
        let mut slots = self.maps.ring(entry.ring).map_err(at(names::RINGS))?;
        slots.truncate(entry.ring_len as usize);
        Ok(slots)
    }

    pub(super) fn write_servers(&mut self, service: &Installed) -> Result<usize, ApplyError> {
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
    pub(super) fn write_service(
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
        let source_rate = service.plan.source_rate.unwrap_or_default();
        let mut entry = ServiceEntry {
            policy: policy(service.plan.policy),
            flags: service_flags(&service.plan),
            retries: service.plan.retries,
            responses: service.plan.responses,
            ring_len: content.len() as u32,
            max_connections: service.plan.maxconn,
            rate: service.plan.rate,
            source_rate: source_rate.0,
            source_period_ms: u32::try_from(source_rate.1.as_millis()).unwrap_or(u32::MAX).max(1),
            no_server: answer(service.plan.no_server),
            rejects: answer(service.plan.rejects),
            pick_up: u8::from(service.plan.pick_up),
            ..before
        };
        let same_ring = up && content == service.ring && before.ring_len == entry.ring_len;
        if !same_ring && !content.is_empty() {
            entry.ring = self.spare_ring(up && before.ring_len > 0)?;
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

    /// A service with its rules about clients: they are there before they are asked for, and go after.
    pub(super) fn write_ruled_service(
        &mut self,
        service: &mut Installed,
        report: &mut ApplyReport,
    ) -> Result<(), ApplyError> {
        let policy = service.plan.sources.clone();
        if policy.is_some() {
            report.sources_set += self.write_sources(service.index, policy.as_deref())?;
        }
        self.write_service(service, report)?;
        if policy.is_none() {
            report.sources_set += self.write_sources(service.index, None)?;
        }
        Ok(())
    }

    pub(super) fn set_sources(
        &mut self,
        service: &str,
        policy: Option<Arc<SourcePolicy>>,
    ) -> Result<ApplyReport, ApplyError> {
        let place = self.services.iter().position(|s| s.plan.name == service);
        let place = place.ok_or_else(|| ApplyError::UnknownService(service.to_owned()))?;
        let mut installed = self.services.swap_remove(place);
        let mut report =
            ApplyReport { services: self.services.len() + 1, ..ApplyReport::default() };
        installed.plan.sources = policy;
        let result = self.write_ruled_service(&mut installed, &mut report);
        self.services.push(installed);
        result.map(|()| report)
    }

    pub(crate) fn rings_in_use(&self) -> u32 {
        self.rings_used.iter().filter(|used| **used).count() as u32
    }

    /// A ring nobody uses. The last one is for those who give theirs back in return, so that a
    /// change of a server never fails.
    fn spare_ring(&self, in_return: bool) -> Result<u32, NoRoom> {
        let mut spare =
            (0..).zip(&self.rings_used).filter(|(_, used)| !**used).map(|(ring, _)| ring);
        let first = spare.next().filter(|_| in_return || spare.next().is_some());
        first.ok_or_else(|| NoRoom::Rings(self.rings_used.len().saturating_sub(1) as u32))
    }

    pub(super) fn use_ring(&mut self, ring: u32, used: bool) {
        if let Some(place) = self.rings_used.get_mut(ring as usize) {
            *place = used;
        }
    }

    pub(super) fn set_server(
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
        servers[place].maxconn = change.maxconn;
        let mut report =
            ApplyReport { services: self.services.len() + 1, ..ApplyReport::default() };
        report.servers_set +=
            usize::from(self.write_server(&service.plan.servers[place], service.servers[place])?);
        self.write_service(service, &mut report)?;
        Ok(report)
    }
}
