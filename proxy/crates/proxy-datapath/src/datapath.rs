//! The handle: opened once by the control thread, dropped without consequence for the kernel.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proxy_common::{ABI_VERSION, Config, INTERFACE_XDP_OUT};

use crate::apply::Tables;
use crate::attach::{AttachedHook, InterfaceReport, Links};
use crate::instance::{self, Instance};
use crate::load;
use crate::maps::{Adoption, Maps, Meta, Pins, Sizes, map_error};
use crate::net::{Hook, NetFacts, takes_xdp_frames};
use crate::programs::Programs;
use crate::sys;
use crate::unavailable::Unavailable;

/// How to open a data path. The defaults suit a balancer with one address family or two, some
/// hundred services and 64 k connections, and take about 120 MB.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Name of the pin directory; `None` names it after the network namespace.
    pub instance: Option<String>,
    /// The BPF file system; `None` finds or mounts it.
    pub bpffs: Option<PathBuf>,
    /// Which hook to use.
    pub hook: Hook,
    /// Interfaces to attach to; `None` means all that are up, except loopback.
    pub interfaces: Option<Vec<String>>,
    /// Most connections tracked at once. Maps found pinned keep their size.
    pub connections: u32,
    /// Services expected; some more fit.
    pub services: u32,
    /// Servers expected, of all services together; some more fit.
    pub servers: u32,
    /// Addresses expected, of all services together; some more fit.
    pub vips: u32,
    /// Clients whose rates are known at once, and as many that are turned away.
    pub clients: u32,
    /// Directions of connections in the flow cache of one CPU; `None` makes room for all connections.
    pub cached_flows: Option<u32>,
    /// Bytes of the buffer for ended flows.
    pub events_bytes: u32,
    /// Seed of the hashes that choose servers. Balancers behind the same ECMP group share it.
    pub hash_seed: u32,
    /// How long to wait for another process to let go of the instance.
    pub patience: Duration,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            instance: None,
            bpffs: None,
            hook: Hook::Auto,
            interfaces: None,
            connections: 65_536,
            services: 32,
            servers: 512,
            vips: 128,
            clients: 65_536,
            cached_flows: None,
            events_bytes: 1 << 20,
            hash_seed: 0,
            patience: Duration::ZERO,
        }
    }
}

/// What [`Datapath::open`] found and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// The pin directory.
    pub path: PathBuf,
    /// What was found there.
    pub adoption: Adoption,
    /// Every interface, with what it has.
    pub interfaces: Vec<InterfaceReport>,
    /// What a user should know.
    pub notes: Vec<String>,
}

/// Layer 4 in the kernel, for the network namespace it was opened in.
///
/// Dropping it leaves programs, tables and flows in the kernel at work; the next open takes them
/// over. [`Datapath::detach`] ends them. All methods must be called in the network namespace of
/// `open`; those that attach (`open`, `refresh`) need its privileges, the others only the handle.
pub struct Datapath {
    pub(crate) instance: Instance,
    pub(crate) pins: Pins,
    pub(crate) programs: Programs,
    pub(crate) links: Links,
    pub(crate) tables: Tables,
    pub(crate) hook: Hook,
    pub(crate) interfaces: Option<Vec<String>>,
    /// The attached programs are not yet those of this handle.
    pub(crate) pending: bool,
}

impl Datapath {
    /// Loads the programs, takes over what is pinned, and attaches to the interfaces.
    ///
    /// # Errors
    ///
    /// Every reason for which there can be no layer 4 in the kernel here.
    pub fn open(options: &OpenOptions) -> Result<(Self, OpenReport), Unavailable> {
        crate::object::bytes().map_err(|reason| Unavailable::NotBuiltIn(reason.0))?;
        load::probe()?;
        let name = match &options.instance {
            Some(name) => name.clone(),
            None => instance::default_name()?,
        };
        let cookie = sys::netns_cookie().unwrap_or(0);
        let sizes = sizes(options)?;
        let facts = NetFacts::gather([])?;

        let instance = Instance::open(options.bpffs.as_deref(), &name, options.patience)?;
        let pins = Pins::new(instance.path());
        let adoption = pins.prepare(&sizes, cookie)?;
        let mut programs = Programs::open(&pins, adoption, &sizes)?;
        let mut maps = Maps::open(&pins, adoption)?;
        let meta = maps.meta().unwrap_or(Meta { cookie, generation: 0 });
        maps.set_meta(meta).map_err(|e| map_error("META", &e))?;
        let config = config(&maps, &sizes, options);
        let tables = Tables::open(&pins, adoption, maps, meta, config)?;

        let pending = matches!(adoption, Adoption::Grown | Adoption::Replaced { .. });
        if !pending {
            programs.keep(&pins);
        }
        let mut notes = notes(&tables.maps, &sizes, adoption);
        let mut datapath = Self {
            links: Links::new(pins.links()),
            instance,
            pins,
            programs,
            tables,
            hook: options.hook,
            interfaces: options.interfaces.clone(),
            pending,
        };
        if !datapath.pending {
            datapath.attach(&facts, true)?;
            if datapath.hooked() == 0 {
                notes.push(format!("no interface has a hook yet: {}", datapath.why_no_hook()));
            }
        }
        let interfaces: Vec<_> = datapath.links.interfaces.values().cloned().collect();
        notes.extend(forwarding_notes(&interfaces));
        let report =
            OpenReport { path: datapath.instance.path().to_owned(), adoption, interfaces, notes };
        Ok((datapath, report))
    }

    /// The pin directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.instance.path()
    }

    /// Attaches to interfaces that have come up since, and lets go of those that went away. To be
    /// called when the network's configuration changes, or now and then. Returns what changed.
    ///
    /// # Errors
    ///
    /// When the network's state cannot be read, or pins cannot be changed.
    pub fn refresh(&mut self) -> Result<Vec<InterfaceReport>, Unavailable> {
        if self.pending {
            return Ok(Vec::new());
        }
        let before = self.links.interfaces.clone();
        let facts = NetFacts::gather([])?;
        self.attach(&facts, false)?;
        let after = self.links.interfaces.values();
        Ok(after.filter(|now| before.get(&now.ifindex) != Some(now)).cloned().collect())
    }

    /// Takes everything out of the kernel: hooks, programs, tables, flows and the pin directory.
    /// Established connections end; use it for a final stop only.
    ///
    /// # Errors
    ///
    /// When a pin cannot be removed.
    pub fn detach(self) -> Result<(), Unavailable> {
        let Self { instance, programs, tables, .. } = self;
        remove(instance)?;
        drop((programs, tables));
        Ok(())
    }

    /// [`Datapath::detach`] for an instance nobody has open, without loading anything.
    ///
    /// # Errors
    ///
    /// When it is in use, or a pin cannot be removed.
    pub fn detach_instance(name: Option<&str>, bpffs: Option<&Path>) -> Result<(), Unavailable> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => instance::default_name()?,
        };
        remove(Instance::open(bpffs, &name, Duration::ZERO)?)
    }

    /// Attaches and tells the programs which interfaces XDP may send to.
    pub(crate) fn attach(&mut self, facts: &NetFacts, replace: bool) -> Result<(), Unavailable> {
        let only = self.interfaces.as_deref();
        let links = &mut self.links;
        links
            .attach_all(&mut self.programs, facts, self.hook, only, replace)
            .map_err(|e| Unavailable::from_io("attaching", e))?;
        // Attaching XDP changes what drivers offer.
        let any_xdp = links
            .interfaces
            .values()
            .any(|i| matches!(i.hook, AttachedHook::Xdp | AttachedHook::XdpGeneric));
        let again;
        let facts = if any_xdp {
            again = NetFacts::gather([])?;
            &again
        } else {
            facts
        };
        for link in &facts.links {
            let generic = links
                .interfaces
                .get(&link.index)
                .is_some_and(|i| i.hook == AttachedHook::XdpGeneric);
            let flags = if takes_xdp_frames(link, generic) { INTERFACE_XDP_OUT } else { 0 };
            if link.index < self.tables.maps.interfaces.len() {
                self.tables
                    .maps
                    .interfaces
                    .set(link.index, flags, 0)
                    .map_err(|e| map_error("INTERFACES", &e))?;
            }
        }
        Ok(())
    }

    fn hooked(&self) -> usize {
        self.links.interfaces.values().filter(|i| i.hook != AttachedHook::None).count()
    }

    fn why_no_hook(&self) -> String {
        let reasons = self
            .links
            .interfaces
            .values()
            .map(|i| format!("{}: {}", i.name, i.note.as_deref().unwrap_or("no reason known")));
        reasons.collect::<Vec<_>>().join("; ")
    }
}

fn remove(instance: Instance) -> Result<(), Unavailable> {
    let path = instance.path().to_owned();
    instance.remove().map_err(|e| Unavailable::from_io(format!("removing {}", path.display()), e))
}

fn sizes(options: &OpenOptions) -> Result<Sizes, Unavailable> {
    let cpus = aya::util::nr_cpus()
        .map_err(|(path, e)| Unavailable::from_io(format!("counting CPUs in {path}"), e))?;
    let cpus = u32::try_from(cpus).unwrap_or(1).max(1);
    // At two million new flows a second and a fourth of all connections, there are some ten milliseconds left for
    // an answer: datagrams of a resolver wait for longer than a handshake does.
    let half_open = (options.connections / 4 / cpus).clamp(1024, 1 << 16).next_power_of_two();
    let closing_and_half_open = cpus.saturating_mul(2 * half_open);
    let some_more = |n: u32| n.saturating_add((n / 4).max(8));
    Ok(Sizes {
        vips: some_more(options.vips.max(120)),
        services: some_more(options.services.max(1000)),
        // One of each service and some spare ones: a change is written to a spare one.
        rings: some_more(options.services),
        servers: some_more(options.servers.max(4000)).min(u32::from(u16::MAX)),
        flows: options.connections.max(64).saturating_add(closing_and_half_open).saturating_mul(2),
        interfaces: 4096,
        events_bytes: options.events_bytes.max(4096).next_power_of_two(),
        clients: options.clients.clamp(64, 1 << 24),
        cpus,
        cache_sets: cache_sets(options, cpus),
        half_open,
    })
}

/// Sets per CPU. Both directions of a connection take a way, on whichever CPUs they come; half of the ways
/// stay free, so that few flows displace each other.
fn cache_sets(options: &OpenOptions, cpus: u32) -> u32 {
    let ways = options
        .cached_flows
        .unwrap_or_else(|| (options.connections.saturating_mul(4) / cpus).clamp(4096, 1 << 21));
    (ways / proxy_common::CACHE_WAYS as u32).clamp(16, 1 << 18).next_power_of_two()
}

/// Settings of the programs, from the sizes the maps really have.
fn config(maps: &Maps, sizes: &Sizes, options: &OpenOptions) -> Config {
    let mask = |entries: u32| {
        let per_cpu = (entries / sizes.cpus).max(1);
        (1 << per_cpu.ilog2()) - 1
    };
    let mut config = Config {
        abi: ABI_VERSION,
        hash_seed: options.hash_seed,
        // Set by the plan.
        nat_port_first: 1,
        nat_port_last: 0,
        cache_mask: mask(maps.entries.cache),
        embryonic_mask: mask(maps.entries.embryonic),
        closing_mask: mask(maps.entries.closing),
        epoch_mask: (1 << maps.entries.epochs.max(1).ilog2()) - 1,
        flags: Config::DEFAULT_FLAGS,
        cpus: sizes.cpus,
        ..Config::default()
    };
    config.set_times(Config::LEAST_FLUSH_NS, Config::DEFAULT_ROUTE_NS, sys::jiffy_ns());
    config
}

fn notes(maps: &Maps, sizes: &Sizes, adoption: Adoption) -> Vec<String> {
    let mut notes = Vec::new();
    if maps.entries.flows < sizes.flows {
        notes.push(format!(
            "the flow table found keeps its size of {} connections; a stop without connections \
             and a detach make a larger one",
            maps.entries.flows / 2
        ));
    }
    let clients = maps.entries.source_rates.min(maps.entries.denied);
    if clients < sizes.clients {
        notes.push(format!(
            "the tables of clients found keep their size of {clients}; a stop and a detach make larger ones"
        ));
    }
    match adoption {
        Adoption::Grown => notes.push(
            "tables are made again with more room; the old ones serve until they are filled"
                .to_owned(),
        ),
        Adoption::Replaced { version } => notes.push(format!(
            "programs of version {version} are replaced by version {ABI_VERSION} when the tables \
             are filled; connections they carry will end"
        )),
        Adoption::Adopted | Adoption::Fresh => {}
    }
    notes
}

/// XDP sends packets on only as far as the host forwards.
fn forwarding_notes(interfaces: &[InterfaceReport]) -> Vec<String> {
    let xdp = |hook| matches!(hook, AttachedHook::Xdp | AttachedHook::XdpGeneric);
    if !interfaces.iter().any(|interface| xdp(interface.hook)) {
        return Vec::new();
    }
    let (v4, v6) = load::forwarding();
    [("net.ipv4.ip_forward", v4), ("net.ipv6.conf.all.forwarding", v6)]
        .into_iter()
        .filter(|(_, on)| !on)
        .map(|(name, _)| format!("{name} is 0: XDP leaves that family's packets to tcx"))
        .collect()
}
