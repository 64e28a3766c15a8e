//! Reading what is pinned without taking it over: for operators, beside a process that serves or after
//! one that died. Every map is opened read-only, and nothing is locked.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use aya::Pod;
use aya::maps::{Array, HashMap, IterableMap as _, Map, MapData, MapError, PerCpuArray};
use proxy_common::{
    ABI_VERSION, Config, DenyEntry, FlowEntry, FlowKey, Live, RULES_PER_SERVICE, Rate, RealEntry,
    Reason, SERVICE_UP, ServiceEntry, Traffic, VipEntry, VipKey, maps as names,
};

use crate::attach::{AttachedHook, InterfaceReport, Links};
use crate::counters::{Counters, ServerCounters, ServiceCounters, traffic};
use crate::flows::{Flow, FlowError, Scan, flow};
use crate::instance;
use crate::maps::{Pins, SERVER_NAMES, SERVICE_NAMES, map_error};
use crate::names::{Names, RECORD_LEN, Record};
use crate::status::{InterfaceStatus, Status, TableStatus, entries_in, entries_of};
use crate::sys;
use crate::unavailable::Unavailable;

/// An instance in the kernel, read only.
pub struct View {
    path: PathBuf,
    pins: Pins,
    service_names: Names,
    server_names: Names,
    flows: HashMap<MapData, FlowKey, FlowEntry>,
}

impl View {
    /// Opens an instance; `None` for that of the present network namespace.
    ///
    /// # Errors
    ///
    /// When there is none, it is of another version, or may not be read.
    pub fn open(name: Option<&str>, bpffs: Option<&Path>) -> Result<Self, Unavailable> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => instance::default_name()?,
        };
        let path = instance::existing(bpffs, &name)?;
        let pins = Pins::new(&path);
        let version = version(&pins)?;
        if version != ABI_VERSION {
            return Err(Unavailable::OtherVersion { path, version });
        }
        Ok(Self {
            service_names: owners(&pins, SERVICE_NAMES)?,
            server_names: owners(&pins, SERVER_NAMES)?,
            flows: typed(&pins, names::FLOWS)?,
            path,
            pins,
        })
    }

    /// The pin directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What [`Datapath::status`](crate::Datapath::status) tells, as far as the pins do.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn status(&self) -> Result<Status, Unavailable> {
        let config: Array<_, Config> = typed(&self.pins, names::CONFIG)?;
        let config = config.get(&0, 0).map_err(|e| map_error(names::CONFIG, &e))?;
        let links = Links::new(self.pins.links());
        let interfaces = links.attached().into_iter().map(|ifindex| {
            let programs = links.programs(ifindex);
            let has = |kind: &str| programs.iter().any(|(name, _)| *name == kind);
            let hook = match (has("xdp"), has("xdp-generic"), programs.is_empty()) {
                (true, ..) => AttachedHook::Xdp,
                (_, true, _) => AttachedHook::XdpGeneric,
                (.., false) => AttachedHook::Tc,
                (.., true) => AttachedHook::None,
            };
            let name = nix::net::if_::if_indextoname(ifindex);
            let name = name.map_or_else(|_| "?".to_owned(), |n| n.to_string_lossy().into_owned());
            let report = InterfaceReport { ifindex, name, hook, note: None };
            InterfaceStatus { report, programs }
        });
        let vips: HashMap<_, VipKey, VipEntry> = typed(&self.pins, names::VIPS)?;
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut scan = Scan::new(self.flows.map().fd().as_fd());
        let flows = scan.try_fold(0, |sum, flow| flow.map(|flow| sum + entries_of(&flow.1)));
        let flows = count(flows.map_err(|error| map_error(names::FLOWS, &error))?);
        let in_use = |name: &'static str, entries: std::io::Result<u32>| {
            entries.map_err(|error| map_error(name, &MapError::IoError(error)))
        };
        let (rates, listed) =
            (data(&self.pins, names::SOURCE_RATES)?, data(&self.pins, names::DENIED)?);
        let clients = in_use(names::SOURCE_RATES, entries_in::<Rate>(&rates))?;
        let denied = in_use(names::DENIED, entries_in::<DenyEntry>(&listed))?;
        let table = |name: &'static str, used| {
            let map = data(&self.pins, name)?;
            let size = map.info().map(|info| info.max_entries());
            let size = size.map_err(|e| map_error(name, &e))?;
            Ok(TableStatus { name, used, size, bytes: sys::memory_of(map.fd().as_fd()) })
        };
        Ok(Status {
            path: self.path.clone(),
            version: config.abi,
            pending: self.path.join("next").read_dir().is_ok_and(|mut next| next.next().is_some()),
            interfaces: interfaces.collect(),
            tables: [
                table(names::VIPS, count(vips.keys().count())),
                table(names::SERVICES, count(self.service_names.iter().count())),
                table(names::REALS, count(self.server_names.iter().count())),
                table(names::FLOWS, flows),
                table(names::SOURCE_RATES, clients),
                table(names::DENIED, denied),
            ]
            .into_iter()
            .collect::<Result<_, Unavailable>>()?,
            memory: names::ALL
                .iter()
                .filter_map(|name| data(&self.pins, name).ok())
                .map(|map| sys::memory_of(map.fd().as_fd()))
                .sum(),
            nat_ports: (config.nat_port_first <= config.nat_port_last)
                .then_some((config.nat_port_first, config.nat_port_last)),
        })
    }

    /// The connections, in no order.
    pub fn flows(&self) -> impl Iterator<Item = Result<Flow, FlowError>> + '_ {
        let now = sys::coarse_monotonic_ns();
        let names = (&self.service_names, &self.server_names);
        Scan::new(self.flows.map().fd().as_fd()).map(move |entry| {
            let (key, entry) = entry?;
            Ok(flow(&self.flows, names, key, &entry, now))
        })
    }

    /// Everything counted. Backends have no name here, and rules about clients are known by their
    /// position only.
    ///
    /// # Errors
    ///
    /// When a map cannot be read.
    pub fn counters(&self) -> Result<Counters, Unavailable> {
        let at = |name: &'static str| move |error: MapError| map_error(name, &error);
        let by_reason: PerCpuArray<_, u64> = typed(&self.pins, names::COUNTERS)?;
        let by_rule: PerCpuArray<_, u64> = typed(&self.pins, names::RULES)?;
        let entries: Array<_, ServiceEntry> = typed(&self.pins, names::SERVICES)?;
        let reals: Array<_, RealEntry> = typed(&self.pins, names::REALS)?;
        let service_live: Array<_, Live> = typed(&self.pins, names::SERVICE_LIVE)?;
        let server_live: Array<_, Live> = typed(&self.pins, names::SERVER_LIVE)?;
        let of_services: PerCpuArray<_, Traffic> = typed(&self.pins, names::SERVICE_COUNTERS)?;
        let of_servers: PerCpuArray<_, Traffic> = typed(&self.pins, names::SERVER_COUNTERS)?;
        let sum = |map: &PerCpuArray<MapData, u64>, index, name| {
            let values = map.get(&index, 0).map_err(at(name))?;
            Ok::<u64, Unavailable>(values.iter().sum())
        };
        let mut counters = Counters::default();
        for (reason, name) in Reason::ALL {
            counters.reasons.push((name, sum(&by_reason, reason as u32, names::COUNTERS)?));
        }
        for (index, owner) in self.service_names.iter() {
            let live = service_live.get(&index, 0).map_err(at(names::SERVICE_LIVE))?;
            let entry = entries.get(&index, 0).map_err(at(names::SERVICES))?;
            // Retired, and nothing of it is left.
            if entry.flags & SERVICE_UP == 0 && live.connections == 0 {
                continue;
            }
            let mut rules = Vec::new();
            for rule in 0..RULES_PER_SERVICE {
                let place = index.saturating_mul(RULES_PER_SERVICE).saturating_add(rule);
                let packets = sum(&by_rule, place, names::RULES)?;
                if packets > 0 {
                    rules.push((format!("rule-{}", rule + 1), packets));
                }
            }
            let mut servers = Vec::new();
            for (place, server) in self.server_names.iter() {
                let live = server_live.get(&place, 0).map_err(at(names::SERVER_LIVE))?;
                let real = reals.get(&place, 0).map_err(at(names::REALS))?;
                let retired = real.flags == proxy_common::REAL_DRAIN && live.connections == 0;
                if server.service == owner.service && !retired {
                    servers.push(ServerCounters {
                        name: server.server.to_string(),
                        current: live.connections,
                        peak: live.peak,
                        traffic: traffic(&of_servers, place).map_err(at(names::SERVER_COUNTERS))?,
                    });
                }
            }
            counters.services.push(ServiceCounters {
                name: owner.service.to_string(),
                frontend: owner.service.to_string(),
                backend: String::new(),
                current: live.connections,
                peak: live.peak,
                traffic: traffic(&of_services, index).map_err(at(names::SERVICE_COUNTERS))?,
                rules,
                servers,
            });
        }
        counters.services.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(counters)
    }
}

fn data(pins: &Pins, name: &'static str) -> Result<MapData, Unavailable> {
    let fd = sys::open_read_only(&pins.maps().join(name))
        .map_err(|error| Unavailable::Map { map: name.to_owned(), reason: error.to_string() })?;
    MapData::from_fd(fd).map_err(|error| map_error(name, &error))
}

fn typed<V>(pins: &Pins, name: &'static str) -> Result<V, Unavailable>
where
    V: TryFrom<Map, Error = MapError>,
{
    let map = Map::from_map_data(data(pins, name)?);
    map.and_then(V::try_from).map_err(|error| map_error(name, &error))
}

/// The version is the first word of every version of the settings.
fn version(pins: &Pins) -> Result<u32, Unavailable> {
    let map = data(pins, names::CONFIG)?;
    let info = map.info().map_err(|e| map_error(names::CONFIG, &e))?;
    if info.value_size() as usize != size_of::<Config>() {
        return Ok(0);
    }
    let config: Array<_, Config> = typed(pins, names::CONFIG)?;
    config.get(&0, 0).map(|c| c.abi).map_err(|e| map_error(names::CONFIG, &e))
}

fn owners(pins: &Pins, name: &'static str) -> Result<Names, Unavailable> {
    fn read<V: Pod>(pins: &Pins, name: &'static str) -> Result<Array<MapData, V>, Unavailable> {
        typed(pins, name)
    }
    let map = read::<[u8; RECORD_LEN]>(pins, name)?;
    let records = map.iter().map(|record| record.map(|record| Record::decode(&record)));
    let records: Result<_, MapError> = records.collect();
    records.map(Names::new).map_err(|error| map_error(name, &error))
}
