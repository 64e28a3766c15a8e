//! The state of the data path for operators: what is attached, loaded and how full the tables are.

use std::fmt;
use std::path::PathBuf;

use proxy_common::{ABI_VERSION, FlowEntry, maps as names};

use crate::apply::ApplyError;
use crate::attach::InterfaceReport;
use crate::datapath::Datapath;
use crate::flows::Scan;

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
        let table = |name, used, size| TableStatus { name, used, size };
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
                table(names::VIPS, count(vips), maps.entries.vips),
                table(
                    names::SERVICES,
                    count(tables.service_names.iter().count()),
                    maps.service_room(),
                ),
                table(names::REALS, count(tables.server_names.iter().count()), maps.server_room()),
                table(names::RINGS, tables.rings_in_use(), maps.ring_room()),
                table(names::SOURCES, tables.source_entries(), names::default_size::SOURCES),
                table(names::FLOWS, count(flows), maps.entries.flows),
            ],
            nat_ports: nat,
        })
    }
}

/// Entries of the flow table that a connection takes, by its forward one.
pub(crate) fn entries_of(forward: &FlowEntry) -> usize {
    if forward.state().is_one_way() { 1 } else { 2 }
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
            writeln!(f, "table {}: {}/{}", table.name, table.used, table.size)?;
        }
        Ok(())
    }
}
