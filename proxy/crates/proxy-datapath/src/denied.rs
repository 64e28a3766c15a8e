//! Clients that userspace has turned away, and that the kernel turns away from their first packet on for a while.

use std::net::IpAddr;
use std::os::fd::AsFd as _;
use std::time::Duration;

use aya::maps::{IterableMap as _, MapError};
use proxy_common::{Addr, DenyEntry, SourceNet, maps as names};

use crate::apply::ApplyError;
use crate::apply::answer;
use crate::datapath::Datapath;
use crate::spec::Answer;
use crate::sys::{self, Entries};

/// A client that is turned away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Name of the service.
    pub service: String,
    /// Its address.
    pub client: IpAddr,
    /// For how long.
    pub left: Duration,
}

fn at(error: MapError) -> ApplyError {
    ApplyError::Map { map: names::DENIED, error }
}

impl Datapath {
    /// Turns a client away from a service that [denies](crate::ServiceSpec::denies) for a time. The table is bounded:
    /// those not heard of for longest are forgotten.
    ///
    /// # Errors
    ///
    /// When the plan in force has no such service, or the kernel refuses the change.
    pub fn deny(
        &mut self,
        service: &str,
        client: IpAddr,
        how: Answer,
        time: Duration,
    ) -> Result<(), ApplyError> {
        let tables = &mut self.tables;
        let installed = tables.services.iter().find(|s| s.plan.name == service && s.plan.denies);
        let installed = installed.ok_or_else(|| ApplyError::UnknownService(service.to_owned()))?;
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let entry = DenyEntry {
            until_ns: sys::coarse_monotonic_ns().saturating_add(time),
            how: answer(how).into(),
            reserved: 0,
        };
        let net = SourceNet { service: installed.index, addr: Addr::from(client.to_canonical()) };
        tables.maps.denied.insert(net, entry, 0).map_err(at)?;
        tables.denying.insert(installed.index);
        Ok(())
    }

    /// The clients that are turned away now, by service and address.
    ///
    /// # Errors
    ///
    /// When the map cannot be read.
    pub fn denied(&self) -> Result<Vec<Denied>, ApplyError> {
        let now = sys::coarse_monotonic_ns();
        let mut all = Vec::new();
        for (net, entry) in self.tables.denials()? {
            let Some(owner) = self.tables.service_names.get(net.service) else { continue };
            if entry.until_ns > now {
                all.push(Denied {
                    service: owner.service.to_string(),
                    client: IpAddr::from(net.addr),
                    left: Duration::from_nanos(entry.until_ns - now),
                });
            }
        }
        all.sort_unstable_by(|a, b| (&a.service, a.client).cmp(&(&b.service, b.client)));
        Ok(all)
    }

    /// Lets clients in again: one, or all of them. Returns how many there were.
    ///
    /// # Errors
    ///
    /// When the map cannot be read or changed.
    pub fn forgive(&mut self, client: Option<IpAddr>) -> Result<usize, ApplyError> {
        let client = client.map(|ip| Addr::from(ip.to_canonical()));
        self.tables.forgive(|net| client.is_none_or(|addr| addr == net.addr))
    }
}

impl crate::apply::Tables {
    fn denials(&self) -> Result<Vec<(SourceNet, DenyEntry)>, ApplyError> {
        let entries = Entries::new(self.maps.denied.map().fd().as_fd());
        entries.collect::<Result<_, _>>().map_err(|error| at(MapError::IoError(error)))
    }

    fn forgive(&mut self, which: impl Fn(&SourceNet) -> bool) -> Result<usize, ApplyError> {
        let mut forgiven = 0;
        for (net, _) in self.denials()?.into_iter().filter(|(net, _)| which(net)) {
            match self.maps.denied.remove(&net) {
                Ok(()) => forgiven += 1,
                // Displaced in between.
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(at(error)),
            }
        }
        Ok(forgiven)
    }

    /// An index goes to another service: what was said of its clients does not.
    pub(crate) fn forgive_all_of(&mut self, service: u32) -> Result<(), ApplyError> {
        if self.denying.remove(&service) {
            self.forgive(|net| net.service == service)?;
        }
        Ok(())
    }

    /// Which services have anybody in the table.
    pub(crate) fn read_denying(&mut self) -> Result<(), MapError> {
        let entries = Entries::<SourceNet, DenyEntry>::new(self.maps.denied.map().fd().as_fd());
        let services = entries.map(|entry| entry.map(|(net, _)| net.service));
        self.denying = services.collect::<Result<_, _>>().map_err(MapError::IoError)?;
        Ok(())
    }
}
