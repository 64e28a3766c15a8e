//! What the caller wants carried by the kernel: services, their addresses and their servers.
//! Plain data with no reference to the configuration model or to live objects.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proxy_common::proto;

use crate::sources::SourcePolicy;

/// One load-balanced service: a frontend whose connections all go to one backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Unique name. Flows and counters follow it over reloads.
    pub name: String,
    /// Name of the frontend, for log lines and statistics.
    pub frontend: String,
    /// Name of the backend, for log lines and statistics.
    pub backend: String,
    /// Addresses clients connect to. An unspecified address stands for all local addresses of its
    /// family; a dual-stack listener is two entries.
    pub vips: Vec<SocketAddr>,
    /// What its packets are.
    pub protocol: Protocol,
    /// How packets are rewritten.
    pub mode: Mode,
    /// How a server is chosen for a new flow.
    pub policy: Policy,
    /// Most concurrent flows; 0 means no limit. Further connections are left to userspace.
    pub maxconn: u32,
    /// Flows the client has been silent on for longer are ended; zero means never.
    pub client_idle: Duration,
    /// Flows the server has been silent on for longer are ended; zero means never.
    pub server_idle: Duration,
    /// Handshakes not completed for longer are ended; zero means never. Datagrams have none.
    pub connect: Duration,
    /// How many servers may refuse a connection before the client is told: it sends its SYN again meanwhile,
    /// and another server is chosen. At most 255.
    pub retries: u8,
    /// So many datagrams of the server end a flow; 0: only silence does.
    pub responses: u8,
    /// Whether ended flows are reported as [`FlowEvent`](crate::FlowEvent)s.
    pub log: bool,
    /// Most new flows in a second; 0 means no limit. Further ones are left to userspace.
    pub rate: u32,
    /// Most new flows of one client's address in a period of at least a millisecond; further ones are dropped.
    pub source_rate: Option<(u32, Duration)>,
    /// What becomes of new flows while no server is usable.
    pub no_server: Answer,
    /// What becomes of new flows that a rule rejects ([`SourceVerdict::Reject`](crate::SourceVerdict)).
    pub rejects: Answer,
    /// Segments of connections that are not known begin one, as those of another balancer that went away. Not with
    /// [`Mode::FullNat`], and with policies of a hash only.
    pub pick_up: bool,
    /// Clients that [`Datapath::deny`](crate::Datapath::deny) names are turned away.
    pub denies: bool,
    /// Rules about clients' addresses; `None` lets all of them in.
    pub sources: Option<Arc<SourcePolicy>>,
    /// Servers in configuration order.
    pub servers: Vec<ServerSpec>,
    /// Use all backup servers at once rather than the first usable one (`option allbackups`).
    pub all_backups: bool,
}

/// One server of a [`ServiceSpec`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSpec {
    /// Unique within its service.
    pub name: String,
    /// Where the server listens; a port of 0 is the one that the client sent to.
    pub addr: SocketAddr,
    /// 0 to 256; 0 takes no new flows.
    pub weight: u16,
    /// Whether it may take new flows.
    pub usable: Usable,
    /// Takes new flows only when no other server can.
    pub backup: bool,
    /// Most concurrent flows; 0 means no limit.
    pub maxconn: u32,
    /// Source address of rewritten packets; `None` takes the one the routing table prefers.
    pub source: Option<IpAddr>,
}

/// What a service carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Protocol {
    /// Connections.
    #[default]
    Tcp,
    /// Flows of datagrams.
    Udp,
}

impl Protocol {
    /// The IANA protocol number.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => proto::TCP,
            Self::Udp => proto::UDP,
        }
    }

    /// The protocol with a number.
    pub(crate) fn of(number: u8) -> Self {
        if number == proto::UDP { Self::Udp } else { Self::Tcp }
    }

    /// As shown to people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What becomes of the first packet of a flow that is not to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answer {
    /// It is left to userspace.
    #[default]
    Userspace,
    /// It is dropped.
    Drop,
    /// TCP is answered by a reset, a datagram by ICMP "port unreachable".
    Reset,
    /// It is answered by ICMP "administratively prohibited", or "host unreachable" where no server is usable.
    Unreachable,
}

/// How packets of a service are rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// Both ends are rewritten: the server sees the balancer, as with any proxy.
    #[default]
    FullNat,
    /// The client's address is kept; the server's answers must be routed through the balancer.
    Nat,
    /// Packets go to the server's MAC address as they are, and the server answers the client by itself:
    /// it has the listener's address, too, and is in a network of the balancer's.
    Direct,
    /// The same inside of IP, so that the server may be anywhere.
    Tunnel,
    /// Nothing is carried, and there are no servers: clients of [`ServiceSpec::denies`] are turned away, and all others
    /// left to userspace.
    Guard,
}

impl Mode {
    /// Whether servers answer clients by themselves.
    #[must_use]
    pub fn is_one_way(self) -> bool {
        matches!(self, Self::Direct | Self::Tunnel)
    }

    /// Whether packets to servers have an address of the balancer as source.
    #[must_use]
    pub fn has_own_source(self) -> bool {
        matches!(self, Self::FullNat | Self::Tunnel)
    }
}

/// How a server is chosen for a new flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// By a consistent hash of client address and port.
    HashFlow,
    /// By a consistent hash of the client's address: clients stay with their server.
    HashSource,
    /// The less loaded of two servers picked at random, by tracked flows over weight.
    LeastConn,
    /// In turns, by weight.
    #[default]
    RoundRobin,
}

/// Whether a server may take flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Usable {
    /// Neither new flows nor trust in the old ones.
    Down,
    /// Keeps its flows, takes no new ones.
    Drain,
    /// Takes new flows.
    #[default]
    Up,
}

/// A change of one server's state, as health checks and operators make them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerChange {
    /// The new state.
    pub usable: Usable,
    /// The new weight, 0 to 256.
    pub weight: u16,
    /// Most concurrent flows; 0 means no limit.
    pub maxconn: u32,
}
