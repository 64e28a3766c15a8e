//! The only writer of the maps: a plan becomes table contents as a difference to what is there, in
//! an order in which a packet at any moment meets either the old state or the new one.
//!
//! Servers are written before rings that name them, rings before services that use them (always
//! into a ring nobody uses, then switched by index), services before addresses that lead to them;
//! removal goes the other way. Connections in `FLOWS` carry their own translation and are not
//! touched by any of it.

mod addresses;
mod entries;
mod indices;
mod services;
mod sources;
mod tables;

use std::sync::Arc;

use aya::maps::MapError;

pub(crate) use self::entries::answer;
pub(crate) use self::tables::Tables;
use crate::datapath::Datapath;
use crate::net::NetFacts;
use crate::plan::Plan;
use crate::sources::SourcePolicy;
use crate::spec::ServerChange;
use crate::unavailable::Unavailable;

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
    /// Entries of the table of clients' addresses written or removed.
    pub sources_set: usize,
    /// Rings filled.
    pub rings_set: usize,
    /// Service entries written.
    pub services_set: usize,
    /// The plan has other source ports for full NAT than the connections there use; it gets its
    /// own when they are over and it is applied again.
    pub nat_ports_kept: bool,
    /// The programs of this handle have just taken over from those found pinned.
    pub switched: bool,
}

impl ApplyReport {
    /// Whether the tables were as wanted already.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        *self
            == Self {
                services: self.services,
                left_out: self.left_out.clone(),
                nat_ports_kept: self.nat_ports_kept,
                ..Self::default()
            }
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
    /// Every ring is in use but the one that changes need.
    #[error("no room for more than {0} rings")]
    Rings(u32),
    /// More networks in rules about clients than the table holds.
    #[error("no room for more than {0} networks of clients")]
    Sources(u32),
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
    /// No such service in the plan in force.
    #[error("no service {0}")]
    UnknownService(String),
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

    /// Changes the rules about clients of one service.
    ///
    /// # Errors
    ///
    /// When the plan in force has no such service, or the kernel refuses the change.
    pub fn set_sources(
        &mut self,
        service: &str,
        policy: Option<Arc<SourcePolicy>>,
    ) -> Result<ApplyReport, ApplyError> {
        self.tables.set_sources(service, policy)
    }

    fn switch(&mut self) -> Result<(), Unavailable> {
        let facts = NetFacts::gather([])?;
        self.attach(&facts, true)?;
        self.pins.promote().map_err(|e| Unavailable::from_io("putting new maps in place", e))?;
        self.pending = false;
        self.programs.keep(&self.pins);
        Ok(())
    }
}
