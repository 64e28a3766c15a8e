//! What the kernel knows about the network: interfaces, own addresses, and the way to each server.
//! Read in the network namespace of the calling thread.

mod hook;
mod netlink;
mod ports;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkInfo, LinkLayerType, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use rustc_hash::FxHashMap;

pub use self::hook::{Choice, Hook};
pub(crate) use self::hook::{choose, takes_xdp_frames};
pub use self::netlink::NetlinkError;
use self::netlink::RouteSocket;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkFacts {
    /// Interface index.
    pub index: u32,
    /// Interface name.
    pub name: String,
    /// Kind of a virtual interface (`veth`, `bridge`); hardware has none.
    pub kind: Option<String>,
    /// Bus of the device behind it (`pci`, `virtio`); virtual interfaces have none.
    pub bus: Option<String>,
    /// Index of the bridge, bond or VRF it belongs to.
    pub master: Option<u32>,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// A loopback interface.
    pub loopback: bool,
    /// Frames have an Ethernet header.
    pub ethernet: bool,
    /// What the driver says it can do with XDP, `None` when the kernel does not tell.
    pub xdp_features: Option<u64>,
}

/// An address of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalAddress {
    /// The interface that has it.
    pub ifindex: u32,
    /// The address.
    pub ip: IpAddr,
}

/// The way to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// Interface it leaves by.
    pub ifindex: u32,
    /// Source address the routing table prefers.
    pub source: Option<IpAddr>,
    /// Next hop, when there is one.
    pub gateway: Option<IpAddr>,
    /// The address is this host's own.
    pub local: bool,
}

/// Everything [`plan`](crate::plan::plan) wants to know about the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetFacts {
    /// All interfaces.
    pub links: Vec<LinkFacts>,
    /// All addresses.
    pub addresses: Vec<LocalAddress>,
    /// The way to each server asked for; unreachable ones are missing.
    pub routes: FxHashMap<IpAddr, Route>,
    /// Ports that full NAT may use as source: none that the kernel gives to sockets.
    pub nat_ports: Option<RangeInclusive<u16>>,
}

impl NetFacts {
    /// Asks the kernel, with the way to each of `destinations`.
    pub fn gather(destinations: impl IntoIterator<Item = IpAddr>) -> Result<Self, NetlinkError> {
        let mut socket = RouteSocket::open()?;
        let mut routes = FxHashMap::default();
        for destination in destinations {
            if let Some(route) = route(&mut socket, destination)? {
                routes.insert(destination, route);
            }
        }
        Ok(Self {
            links: links(&mut socket)?,
            addresses: addresses(&mut socket)?,
            routes,
            nat_ports: ports::nat_ports(),
        })
    }

    /// What `link` would get when `hook` is asked for.
    #[must_use]
    pub fn choice(&self, hook: Hook, link: &LinkFacts) -> Choice {
        choose(hook, link, self.master_kind(link))
    }

    /// The kind of the interface `link` belongs to.
    #[must_use]
    pub fn master_kind(&self, link: &LinkFacts) -> Option<&str> {
        let master = link.master?;
        self.links.iter().find(|l| l.index == master).map(|l| l.kind.as_deref().unwrap_or(""))
    }
}

fn links(socket: &mut RouteSocket) -> Result<Vec<LinkFacts>, NetlinkError> {
    let features = netlink::xdp_features();
    let answers =
        socket.dump("interfaces", RouteNetlinkMessage::GetLink(LinkMessage::default()))?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewLink(message) => Some(link(message)),
            _ => None,
        })
        .map(|mut link| {
            link.xdp_features =
                features.as_ref().map(|all| all.get(&link.index).copied().unwrap_or(0));
            link
        })
        .collect())
}

fn link(message: LinkMessage) -> LinkFacts {
    let mut facts = LinkFacts {
        index: message.header.index,
        name: String::new(),
        kind: None,
        bus: None,
        master: None,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        loopback: message.header.flags.contains(LinkFlags::Loopback),
        ethernet: message.header.link_layer_type == LinkLayerType::Ether,
        xdp_features: None,
    };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => facts.name = name,
            LinkAttribute::Mtu(mtu) => facts.mtu = mtu,
            LinkAttribute::Controller(index) => facts.master = Some(index),
            LinkAttribute::ParentDevBusName(bus) => facts.bus = Some(bus),
            LinkAttribute::LinkInfo(infos) => {
                facts.kind = infos.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    facts
}

fn addresses(socket: &mut RouteSocket) -> Result<Vec<LocalAddress>, NetlinkError> {
    let answers =
        socket.dump("addresses", RouteNetlinkMessage::GetAddress(AddressMessage::default()))?;
    Ok(answers
        .into_iter()
        .filter_map(|answer| match answer {
            RouteNetlinkMessage::NewAddress(message) => Some(message),
            _ => None,
        })
        .filter_map(|message| {
            let mut local = None;
            let mut address = None;
            for attribute in message.attributes {
                match attribute {
                    // On point-to-point links `Address` is the peer's.
                    AddressAttribute::Local(ip) => local = Some(ip),
                    AddressAttribute::Address(ip) => address = Some(ip),
                    _ => {}
                }
            }
            Some(LocalAddress { ifindex: message.header.index, ip: local.or(address)? })
        })
        .collect())
}

/// The route to `destination`, `None` when there is none.
fn route(socket: &mut RouteSocket, destination: IpAddr) -> Result<Option<Route>, NetlinkError> {
    let mut message = RouteMessage::default();
    let (family, bits, address) = match destination {
        IpAddr::V4(ip) => (AddressFamily::Inet, 32, RouteAddress::Inet(ip)),
        IpAddr::V6(ip) => (AddressFamily::Inet6, 128, RouteAddress::Inet6(ip)),
    };
    message.header.address_family = family;
    message.header.destination_prefix_length = bits;
    message.attributes.push(RouteAttribute::Destination(address));
    let answer = match socket.ask("routes", RouteNetlinkMessage::GetRoute(message)) {
        Ok(RouteNetlinkMessage::NewRoute(answer)) => answer,
        Ok(_) => return Ok(None),
        Err(error) if is_unreachable(error.errno()) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut route = Route {
        ifindex: 0,
        source: None,
        gateway: None,
        local: answer.header.kind == RouteType::Local,
    };
    for attribute in answer.attributes {
        match attribute {
            RouteAttribute::Oif(index) => route.ifindex = index,
            RouteAttribute::PrefSource(source) => route.source = ip(&source),
            RouteAttribute::Gateway(gateway) => route.gateway = ip(&gateway),
            _ => {}
        }
    }
    let usable = route.local || answer.header.kind == RouteType::Unicast;
    Ok(usable.then_some(route))
}

fn is_unreachable(errno: Option<i32>) -> bool {
    matches!(
        errno,
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH | libc::EACCES | libc::EINVAL | libc::ESRCH)
    )
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}

/// Whether packets to this address can be told apart by address alone, from any interface.
pub(crate) fn is_routable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_routable_v4(ip),
        IpAddr::V6(ip) => is_routable_v6(ip),
    }
}

fn is_routable_v4(ip: Ipv4Addr) -> bool {
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || ip.is_broadcast())
}

fn is_routable_v6(ip: Ipv6Addr) -> bool {
    let other = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    !(other || ip.is_unicast_link_local() || ip.to_ipv4_mapped().is_some())
}
