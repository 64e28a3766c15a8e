//! The state of the data path for operators: what is attached, loaded and how full the tables are.

use std::fmt;
use std::os::fd::AsFd as _;
use std::path::PathBuf;

use aya::maps::{IterableMap as _, MapData, MapError};
use proxy_common::{ABI_VERSION, DenyEntry, FlowEntry, Rate, SourceNet, maps as names};

use crate::apply::ApplyError;
use crate::attach::InterfaceReport;
use crate::datapath::Datapath;
use crate::flows::Scan;
use crate::sys;

/// What [`Datapath::status`] reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The pin directory.
    pub path: PathBuf,
    /// Version of programs and tables.
    pub version: u32,
    /// Older programs or smaller tables are in force until a plan is applied.
    pub pending: bool,
    /// Every interface.
    pub interfaces: Vec<InterfaceStatus>,
    /// Tables with their use.
    pub tables: Vec<TableStatus>,
    /// Memory of all tables, in bytes, as it was allocated at the start; 0 when the kernel does not tell.
    pub memory: u64,
    /// First and last source port of full NAT.
    pub nat_ports: Option<(u16, u16)>,
}

/// An interface and the programs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceStatus {
    /// What was attached, and what to know about it.
    pub report: InterfaceReport,
    /// Ids of the programs attached, as `bpftool prog` shows them, by hook.
    pub programs: Vec<(&'static str, u32)>,
}

/// How full a table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableStatus {
    /// Name of the map.
    pub name: &'static str,
    /// Entries in use.
    pub used: u32,
    /// Entries there are.
    pub size: u32,
    /// Memory it takes, in bytes; 0 when the kernel does not tell.
    pub bytes: u64,
}

impl Datapath {
    /// Reads the state.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn status(&self) -> Result<Status, ApplyError> {
        let tables = &self.tables;
        let maps = &tables.maps;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let vips = maps.vips.keys().count();
        let mut flows = 0;
        for flow in Scan::new(maps.flows_fd()) {
            let flow = flow.map_err(|error| ApplyError::Map { map: names::FLOWS, error })?;
            flows += entries_of(&flow.1);
        }
        let table = |name, used, size, map: &MapData| TableStatus {
            name,
            used,
            size,
            bytes: sys::memory_of(map.fd().as_fd()),
        };
        let at = |map| move |error| ApplyError::Map { map, error: MapError::IoError(error) };
        let clients =
            entries_in::<Rate>(maps.source_rates.map()).map_err(at(names::SOURCE_RATES))?;
        let denied = entries_in::<DenyEntry>(maps.denied.map()).map_err(at(names::DENIED))?;
        let nat = tables.nat_ports();
        Ok(Status {
            path: self.path().to_owned(),
            version: ABI_VERSION,
            pending: self.pending,
            interfaces: self
                .links
                .interfaces
                .values()
                .map(|report| InterfaceStatus {
                    programs: self.links.programs(report.ifindex),
                    report: report.clone(),
                })
                .collect(),
            tables: vec![
                table(names::VIPS, count(vips), maps.entries.vips, maps.vips.map()),
                table(
                    names::SERVICES,
                    count(tables.service_names.iter().count()),
                    maps.service_room(),
                    maps.services.map(),
                ),
                table(
                    names::REALS,
                    count(tables.server_names.iter().count()),
                    maps.server_room(),
                    maps.reals.map(),
                ),
                table(names::RINGS, tables.rings_in_use(), maps.ring_room(), maps.rings()),
                table(
                    names::SOURCES,
                    tables.source_entries(),
                    names::default_size::SOURCES,
                    maps.sources.map(),
                ),
                table(names::FLOWS, count(flows), maps.entries.flows, maps.flows.map()),
                table(
                    names::SOURCE_RATES,
                    clients,
                    maps.entries.source_rates,
                    maps.source_rates.map(),
                ),
                table(names::DENIED, denied, maps.entries.denied, maps.denied.map()),
            ],
            memory: maps.entries.memory,
            nat_ports: nat,
        })
    }
}

/// How many clients a table has.
pub(crate) fn entries_in<V: aya::Pod>(map: &MapData) -> std::io::Result<u32> {
    let entries = sys::Entries::<SourceNet, V>::new(map.fd().as_fd());
    entries.map(|entry| entry.map(|_| 1)).sum()
}

/// Entries of the flow table that a connection takes, by its forward one.
pub(crate) fn entries_of(forward: &FlowEntry) -> usize {
    if forward.state().is_one_way() { 1 } else { 2 }
}

impl fmt::Display for TableStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "table {}: {}/{}", self.name, self.used, self.size)?;
        if self.bytes > 0 { write!(f, ", {} KB", self.bytes.div_ceil(1024)) } else { Ok(()) }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.pending { ", switching at the next apply" } else { "" };
        writeln!(f, "instance: {} (version {}{state})", self.path.display(), self.version)?;
        if let Some((first, last)) = self.nat_ports {
            writeln!(f, "nat ports: {first}-{last}")?;
        }
        for interface in &self.interfaces {
            let report = &interface.report;
            write!(f, "interface {} ({}): {}", report.name, report.ifindex, report.hook.name())?;
            for (hook, id) in &interface.programs {
                write!(f, " {hook}=prog:{id}")?;
            }
            match &report.note {
                Some(note) => writeln!(f, " ({note})")?,
                None => writeln!(f)?,
            }
        }
        for table in &self.tables {
            writeln!(f, "{table}")?;
        }
        if self.memory > 0 {
            writeln!(f, "memory: {} KB", self.memory.div_ceil(1024))?;
        }
        Ok(())
    }
}
