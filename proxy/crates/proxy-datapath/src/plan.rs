//! From services and facts about the host to what the kernel should hold. Pure: no kernel is asked
//! and nothing is changed, so every rule of eligibility can be tested here.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::net::{NetFacts, is_routable};
use crate::sources::SourcePolicy;
use crate::spec::{Answer, Mode, Policy, Protocol, ServerSpec, ServiceSpec, Usable};

/// The wanted state of the data path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Services the kernel will carry.
    pub services: Vec<PlannedService>,
    /// What stays in userspace, and why.
    pub rejected: Vec<Rejected>,
    /// Source ports for full NAT.
    pub nat_ports: Option<RangeInclusive<u16>>,
}

/// A service the kernel can carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedService {
    /// Identity over reloads, from the name.
    pub id: u64,
    /// See [`ServiceSpec::name`].
    pub name: String,
    /// See [`ServiceSpec::frontend`].
    pub frontend: String,
    /// See [`ServiceSpec::backend`].
    pub backend: String,
    /// Addresses, wildcards resolved.
    pub vips: Vec<SocketAddr>,
    /// See [`ServiceSpec::protocol`].
    pub protocol: Protocol,
    /// See [`ServiceSpec::mode`].
    pub mode: Mode,
    /// See [`ServiceSpec::policy`].
    pub policy: Policy,
    /// See [`ServiceSpec::maxconn`].
    pub maxconn: u32,
    /// Flows without a packet for longer are ended; zero means never.
    pub idle: Duration,
    /// Handshakes that take longer are ended; zero means never.
    pub connect: Duration,
    /// See [`ServiceSpec::retries`].
    pub retries: u8,
    /// See [`ServiceSpec::responses`].
    pub responses: u8,
    /// See [`ServiceSpec::log`].
    pub log: bool,
    /// See [`ServiceSpec::rate`].
    pub rate: u32,
    /// See [`ServiceSpec::source_rate`].
    pub source_rate: Option<(u32, Duration)>,
    /// See [`ServiceSpec::no_server`].
    pub no_server: Answer,
    /// See [`ServiceSpec::rejects`].
    pub rejects: Answer,
    /// See [`ServiceSpec::pick_up`].
    pub pick_up: bool,
    /// See [`ServiceSpec::denies`].
    pub denies: bool,
    /// See [`ServiceSpec::sources`].
    pub sources: Option<Arc<SourcePolicy>>,
    /// See [`ServiceSpec::all_backups`].
    pub all_backups: bool,
    /// Servers in configuration order.
    pub servers: Vec<PlannedServer>,
}

/// A server of a [`PlannedService`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedServer {
    /// Identity over reloads, from service, name and address.
    pub id: u64,
    /// See [`ServerSpec::name`].
    pub name: String,
    /// See [`ServerSpec::addr`].
    pub addr: SocketAddr,
    /// See [`ServerSpec::weight`].
    pub weight: u16,
    /// See [`ServerSpec::usable`].
    pub usable: Usable,
    /// See [`ServerSpec::backup`].
    pub backup: bool,
    /// See [`ServerSpec::maxconn`].
    pub maxconn: u32,
    /// Source address of full NAT.
    pub source: Option<IpAddr>,
    /// Interface toward the server; 0 when there is no route, and then it takes no flow.
    pub ifindex: u32,
}

impl PlannedServer {
    /// Whether the server may take new flows.
    #[must_use]
    pub fn takes_flows(&self) -> bool {
        self.usable == Usable::Up && self.weight > 0 && self.ifindex != 0
    }
}

impl PlannedService {
    /// Positions of the servers that get new flows now: the ordinary ones, else the first usable
    /// backup (all of them when so configured).
    #[must_use]
    pub fn active(&self) -> Vec<usize> {
        let usable = |backup: bool| {
            self.servers
                .iter()
                .enumerate()
                .filter(move |(_, s)| s.backup == backup && s.takes_flows())
                .map(|(position, _)| position)
        };
        let ordinary: Vec<usize> = usable(false).collect();
        if !ordinary.is_empty() {
            return ordinary;
        }
        usable(true).take(if self.all_backups { usize::MAX } else { 1 }).collect()
    }
}

/// A service, or one of its addresses, that stays in userspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Name of the service.
    pub service: String,
    /// The address, when only that is meant.
    pub vip: Option<SocketAddr>,
    /// Why.
    pub reason: Ineligible,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.vip {
            Some(vip) => write!(f, "{} on {vip}: {}", self.service, self.reason),
            None => write!(f, "{}: {}", self.service, self.reason),
        }
    }
}

/// Why the kernel cannot carry something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ineligible {
    /// Packets to loopback and link-local addresses never meet the programs, or not alone.
    #[error("{0} is a loopback, link-local or multicast address")]
    Address(IpAddr),
    /// Another service has the same address and port.
    #[error("the address is shared with {0}")]
    SharedVip(String),
    /// Address families are not translated into each other.
    #[error("server {server} has another address family than the listener")]
    Family {
        /// The server in question.
        server: String,
    },
    /// The server runs on this host, where packets cannot be redirected to.
    #[error("server {server} is on this host")]
    LocalServer {
        /// The server in question.
        server: String,
    },
    /// The configured source address is no address of this host.
    #[error("server {server}: source {ip} is no address of this host")]
    ForeignSource {
        /// The server in question.
        server: String,
        /// The source address.
        ip: IpAddr,
    },
    /// Packets are not translated, so the server must listen where the client connects to.
    #[error(
        "server {server} has another port than the listener, which its mode does not translate"
    )]
    OtherPort {
        /// The server in question.
        server: String,
    },
    /// A router would send the packet by its address, which is the listener's.
    #[error("server {server} is behind a router, where only its address would lead to it")]
    BehindRouter {
        /// The server in question.
        server: String,
    },
    /// Every port belongs to sockets.
    #[error(
        "no ports left for full NAT: narrow net.ipv4.ip_local_port_range or reserve some in \
         net.ipv4.ip_local_reserved_ports"
    )]
    NoNatPorts,
    /// Nothing to balance to.
    #[error("no servers")]
    NoServers,
    /// A wildcard listener on a host without addresses.
    #[error("no address to listen on")]
    NoVip,
}

/// Decides what the kernel carries and how.
#[must_use]
pub fn plan(services: &[ServiceSpec], facts: &NetFacts) -> Plan {
    let mut plan = Plan { nat_ports: facts.nat_ports.clone(), ..Plan::default() };
    let owners = vip_owners(services);
    for spec in services {
        match plan_service(spec, facts, &owners) {
            Ok((service, rejected)) => {
                plan.services.push(service);
                plan.rejected.extend(rejected);
            }
            Err(reason) => {
                plan.rejected.push(Rejected { service: spec.name.clone(), vip: None, reason });
            }
        }
    }
    plan
}

type Owners<'a> = FxHashMap<(Protocol, SocketAddr), Vec<&'a str>>;

/// Who claims each address as it is written, wildcards included.
fn vip_owners(services: &[ServiceSpec]) -> Owners<'_> {
    let mut owners = Owners::default();
    for service in services {
        for vip in &service.vips {
            let list = owners.entry((service.protocol, plain(*vip))).or_default();
            if !list.contains(&service.name.as_str()) {
                list.push(&service.name);
            }
        }
    }
    owners
}

/// The address without flow label and scope, which packets do not show.
fn plain(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn plan_service(
    spec: &ServiceSpec,
    facts: &NetFacts,
    owners: &Owners<'_>,
) -> Result<(PlannedService, Vec<Rejected>), Ineligible> {
    if spec.servers.is_empty() && spec.mode != Mode::Guard {
        return Err(Ineligible::NoServers);
    }
    if spec.mode == Mode::FullNat && facts.nat_ports.is_none() {
        return Err(Ineligible::NoNatPorts);
    }
    let servers = spec
        .servers
        .iter()
        .map(|server| plan_server(spec, server, facts))
        .collect::<Result<Vec<_>, _>>()?;

    let mut vips = Vec::new();
    let mut rejected = Vec::new();
    for vip in spec.vips.iter().copied().map(plain) {
        let shared =
            owners.get(&(spec.protocol, vip)).and_then(|all| all.iter().find(|o| **o != spec.name));
        let check = match shared {
            Some(other) => Err(Ineligible::SharedVip((*other).to_owned())),
            None => check_vip(vip, &spec.servers),
        };
        match check {
            Ok(()) if vip.ip().is_unspecified() => {
                vips.extend(local_vips(spec.protocol, vip, facts, owners));
            }
            Ok(()) => vips.push(vip),
            // Part of the connections in userspace would not count for the limit in the kernel.
            Err(reason) if spec.maxconn > 0 => return Err(reason),
            Err(reason) => {
                rejected.push(Rejected { service: spec.name.clone(), vip: Some(vip), reason });
            }
        }
    }
    vips.sort_unstable();
    vips.dedup();
    if vips.is_empty() {
        return Err(rejected.pop().map_or(Ineligible::NoVip, |r| r.reason));
    }
    let service = PlannedService {
        id: stable_id(&[&spec.name]),
        name: spec.name.clone(),
        frontend: spec.frontend.clone(),
        backend: spec.backend.clone(),
        vips,
        protocol: spec.protocol,
        mode: spec.mode,
        policy: spec.policy,
        maxconn: spec.maxconn,
        idle: idle_timeout(spec.client_idle, spec.server_idle),
        connect: spec.connect,
        retries: spec.retries,
        responses: spec.responses,
        log: spec.log,
        rate: spec.rate,
        source_rate: spec.source_rate,
        no_server: spec.no_server,
        rejects: spec.rejects,
        pick_up: spec.pick_up,
        denies: spec.denies,
        sources: spec.sources.clone(),
        all_backups: spec.all_backups,
        servers,
    };
    Ok((service, rejected))
}

/// Traffic in either direction keeps both sides of a connection alive, so the shorter timeout is
/// the one that can strike.
fn idle_timeout(client: Duration, server: Duration) -> Duration {
    match (client.is_zero(), server.is_zero()) {
        (true, _) => server,
        (_, true) => client,
        _ => client.min(server),
    }
}

fn check_vip(vip: SocketAddr, servers: &[ServerSpec]) -> Result<(), Ineligible> {
    if !vip.ip().is_unspecified() && !is_routable(vip.ip()) {
        return Err(Ineligible::Address(vip.ip()));
    }
    match servers.iter().find(|s| s.addr.ip().to_canonical().is_ipv4() != vip.is_ipv4()) {
        Some(server) => Err(Ineligible::Family { server: server.name.clone() }),
        None => Ok(()),
    }
}

/// The addresses a wildcard stands for, less those that another listener names.
fn local_vips<'a>(
    protocol: Protocol,
    wildcard: SocketAddr,
    facts: &'a NetFacts,
    owners: &'a Owners<'_>,
) -> impl Iterator<Item = SocketAddr> + 'a {
    facts
        .addresses
        .iter()
        .filter(move |a| a.ip.is_ipv4() == wildcard.is_ipv4() && is_routable(a.ip))
        .map(move |a| SocketAddr::new(a.ip, wildcard.port()))
        .filter(move |vip| !owners.contains_key(&(protocol, *vip)))
}

fn plan_server(
    spec: &ServiceSpec,
    server: &ServerSpec,
    facts: &NetFacts,
) -> Result<PlannedServer, Ineligible> {
    let name = || server.name.clone();
    let addr = plain(server.addr);
    let local = |ip: IpAddr| facts.addresses.iter().any(|a| a.ip == ip);
    let route = facts.routes.get(&addr.ip());
    if addr.ip().is_loopback() || local(addr.ip()) || route.is_some_and(|r| r.local) {
        return Err(Ineligible::LocalServer { server: name() });
    }
    if !is_routable(addr.ip()) {
        return Err(Ineligible::Address(addr.ip()));
    }
    let kept = |vip: &SocketAddr| addr.port() == 0 || vip.port() == addr.port();
    if spec.mode.is_one_way() && !spec.vips.iter().all(kept) {
        return Err(Ineligible::OtherPort { server: name() });
    }
    if spec.mode == Mode::Direct && route.is_some_and(|r| r.gateway.is_some()) {
        return Err(Ineligible::BehindRouter { server: name() });
    }
    let source = match (spec.mode, server.source.map(|ip| ip.to_canonical())) {
        (Mode::Nat | Mode::Direct | Mode::Guard, _) => None,
        (_, Some(ip)) if !local(ip) => {
            return Err(Ineligible::ForeignSource { server: name(), ip });
        }
        (_, Some(ip)) => Some(ip),
        (_, None) => route.and_then(|r| r.source),
    }
    .filter(|ip| ip.is_ipv4() == addr.is_ipv4());
    let reachable = !spec.mode.has_own_source() || source.is_some();
    Ok(PlannedServer {
        id: stable_id(&[&spec.name, &server.name, &addr.to_string()]),
        name: name(),
        addr,
        weight: server.weight,
        usable: server.usable,
        backup: server.backup,
        maxconn: server.maxconn,
        source,
        ifindex: route.filter(|_| reachable).map_or(0, |r| r.ifindex),
    })
}

/// FNV-1a of the parts, each ended by a zero byte. It must never change: pinned state and the
/// rings of other machines depend on it.
pub(crate) fn stable_id(parts: &[&str]) -> u64 {
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    // 0 marks a free place.
    hash.max(1)
}

#[cfg(test)]
mod tests;
