//! Connections in the kernel: listing them, ending the idle ones, and the records of those that
//! ended.

use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aya::maps::{HashMap, MapData, MapError};
use aya::programs::{ProgramError, SchedClassifier, TestRun, TestRunOptions};
use proxy_common::{
    Addr, EXPIRE_BATCH, EXPIRE_HEADER_LEN, EndReason, ExpireRequest, FlowEntry, FlowKey, FlowState,
    FlowStatus, Port, SWEEP_ANY_TIME, expire_packet_len, proto,
};

use crate::datapath::Datapath;
use crate::names::Names;
use crate::spec::Protocol;
use crate::sys::{self, Entries};

/// A connection the kernel carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// What its packets are.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// The address it connected to.
    pub vip: SocketAddr,
    /// The source the server sees: the balancer in full NAT, else the client.
    pub source: SocketAddr,
    /// The server.
    pub server_addr: SocketAddr,
    /// Name of the service.
    pub service: Arc<str>,
    /// Name of the server.
    pub server: Arc<str>,
    /// How far the connection is.
    pub status: FlowStatus,
    /// Time since its first packet.
    pub age: Duration,
    /// Time since its last packet, as far as it is known.
    pub idle: Duration,
    /// Packets and payload bytes from the client.
    pub packets_in: u64,
    /// See `packets_in`.
    pub bytes_in: u64,
    /// Packets and payload bytes from the server.
    pub packets_out: u64,
    /// See `packets_out`.
    pub bytes_out: u64,
}

/// A connection that is over, for its log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedFlow {
    /// What its packets were.
    pub protocol: Protocol,
    /// The client.
    pub client: SocketAddr,
    /// The address it connected to.
    pub vip: SocketAddr,
    /// The source the server saw.
    pub source: SocketAddr,
    /// The server.
    pub server_addr: SocketAddr,
    /// Name of the service.
    pub service: Arc<str>,
    /// Name of the server.
    pub server: Arc<str>,
    /// When its SYN came.
    pub start: SystemTime,
    /// From the SYN to the end.
    pub duration: Duration,
    /// From the SYN to the server's answer; zero when there was none.
    pub connect: Duration,
    /// Whether the handshake was completed.
    pub established: bool,
    /// How it ended.
    pub reason: EndReason,
    /// Packets and payload bytes from the client.
    pub packets_in: u64,
    /// See `packets_in`.
    pub bytes_in: u64,
    /// Packets and payload bytes from the server.
    pub packets_out: u64,
    /// See `packets_out`.
    pub bytes_out: u64,
}

/// What [`Datapath::expire_idle`] did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExpireReport {
    /// Connections looked at.
    pub scanned: usize,
    /// Connections ended.
    pub ended: usize,
}

/// Connections could not be read or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FlowError {
    /// Reading the flow table failed.
    #[error("reading the flow table: {0}")]
    Read(#[from] MapError),
    /// The program that ends flows could not be run.
    #[error("ending flows: {0}")]
    End(#[from] ProgramError),
}

fn socket_addr(addr: Addr, port: Port) -> SocketAddr {
    SocketAddr::new(addr.into(), port.get())
}

fn names_of(services: &Names, servers: &Names, service: u32, server: u32) -> (Arc<str>, Arc<str>) {
    let service = services.get(service).map_or_else(|| "".into(), |r| Arc::clone(&r.service));
    let server = servers.get(server).map_or_else(|| "".into(), |r| Arc::clone(&r.server));
    (service, server)
}

/// Reads the flow table in batches, forward entries only.
pub(crate) struct Scan<'a>(Entries<'a, FlowKey, FlowEntry>);

impl<'a> Scan<'a> {
    pub(crate) fn new(table: BorrowedFd<'a>) -> Self {
        Self(Entries::new(table))
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(FlowKey, FlowEntry), MapError>;

    fn next(&mut self) -> Option<Self::Item> {
        let forward = |entry: &std::io::Result<(FlowKey, FlowEntry)>| match entry {
            Ok((_, entry)) => entry.direction == FlowEntry::FORWARD,
            Err(_) => true,
        };
        Some(self.0.find(forward)?.map_err(MapError::IoError))
    }
}

/// A connection by its forward entry.
pub(crate) fn flow(
    table: &HashMap<MapData, FlowKey, FlowEntry>,
    (services, servers): (&Names, &Names),
    key: FlowKey,
    entry: &FlowEntry,
    now: u64,
) -> Flow {
    // It may have ended since; then only its own half is known.
    let reverse = table.get(&entry.peer_key(key.proto), 0).unwrap_or_default();
    let (service, server) = names_of(services, servers, entry.service, entry.server);
    let since = |then: u64| Duration::from_nanos(now.saturating_sub(then));
    let (client, vip) = (socket_addr(key.src, key.sport), socket_addr(key.dst, key.dport));
    let (source, server_addr) = if entry.state().is_one_way() {
        // Not translated, whatever stands around the packet.
        (client, socket_addr(entry.new_dst, key.dport))
    } else {
        let source = socket_addr(entry.new_src, entry.new_sport);
        (source, socket_addr(entry.new_dst, entry.new_dport))
    };
    Flow {
        protocol: Protocol::of(key.proto),
        client,
        vip,
        source,
        server_addr,
        service,
        server,
        status: entry.state().status(),
        age: since(entry.created_ns),
        idle: since(entry.seen_ns.max(reverse.seen_ns)),
        packets_in: entry.packets,
        bytes_in: entry.bytes,
        packets_out: reverse.packets,
        bytes_out: reverse.bytes,
    }
}

/// How long a connection may be silent after the client's FIN when the server's is not seen.
const LINGER: Duration = Duration::from_secs(60);

/// The shorter timeout; zero is none.
fn shorter(idle: Duration, other: Duration) -> Duration {
    if idle.is_zero() { other } else { idle.min(other) }
}

/// Which connections to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndFlows<'a> {
    /// All of them.
    All,
    /// Those of a service.
    Service(&'a str),
    /// Those of one server of a service.
    Server(&'a str, &'a str),
    /// Those of one client address and port.
    Client(SocketAddr),
}

impl Datapath {
    /// The connections in the kernel, in no order. Reading them disturbs no packet; what changes
    /// meanwhile may or may not be seen.
    pub fn flows(&self) -> impl Iterator<Item = Result<Flow, FlowError>> + '_ {
        let now = sys::coarse_monotonic_ns();
        Scan::new(self.tables.maps.flows_fd()).map(move |entry| {
            let (key, entry) = entry?;
            let tables = &self.tables;
            let names = (&tables.service_names, &tables.server_names);
            Ok(flow(&tables.maps.flows, names, key, &entry, now))
        })
    }

    /// Ends connections that have been silent for longer than their service allows, and those
    /// whose handshake takes too long. To be called about once a second.
    ///
    /// # Errors
    ///
    /// When the flow table cannot be read or changed.
    pub fn expire_idle(&mut self) -> Result<ExpireReport, FlowError> {
        let now = sys::coarse_monotonic_ns();
        let mut scanned = 0;
        let mut requests = Vec::new();
        for entry in Scan::new(self.tables.maps.flows_fd()) {
            let (key, entry) = entry?;
            scanned += 1;
            let Some(service) = self.tables.service_names.get(entry.service) else { continue };
            let state = entry.state();
            let (timeout, reason) = match state.status() {
                FlowStatus::SynSent if key.proto == proto::UDP => (service.idle, EndReason::Idle),
                FlowStatus::SynSent | FlowStatus::SynReceived => {
                    (service.connect, EndReason::Embryonic)
                }
                // Their entries stay for late packets until the programs need the place.
                FlowStatus::Closed => continue,
                FlowStatus::HalfClosed if state.is_one_way() => {
                    (shorter(service.idle, LINGER), EndReason::Idle)
                }
                FlowStatus::Established | FlowStatus::HalfClosed => (service.idle, EndReason::Idle),
            };
            // What passed through the flow cache since is not noted yet.
            let lag = if reason == EndReason::Idle { self.tables.flush_ns() } else { 0 };
            let until = now.saturating_sub(timeout.as_nanos() as u64).saturating_sub(lag);
            if !timeout.is_zero() && entry.seen_ns < until {
                requests.push(request(key, &entry, until, reason));
            }
        }
        Ok(ExpireReport { scanned, ended: self.end(&requests)? })
    }

    /// Ends connections at an operator's wish or because their server went down. Neither side is
    /// told; further packets are answered by the host, which knows no such connection.
    ///
    /// # Errors
    ///
    /// When the flow table cannot be read or changed.
    pub fn end_flows(&mut self, which: EndFlows<'_>) -> Result<ExpireReport, FlowError> {
        let mut scanned = 0;
        let mut requests = Vec::new();
        for entry in Scan::new(self.tables.maps.flows_fd()) {
            let (key, entry) = entry?;
            scanned += 1;
            let names = |wanted_service: &str, wanted_server: Option<&str>| {
                let tables = &self.tables;
                let (service, server) = names_of(
                    &tables.service_names,
                    &tables.server_names,
                    entry.service,
                    entry.server,
                );
                *service == *wanted_service && wanted_server.is_none_or(|wanted| *server == *wanted)
            };
            let chosen = !entry.state().is_ended()
                && match which {
                    EndFlows::All => true,
                    EndFlows::Service(service) => names(service, None),
                    EndFlows::Server(service, server) => names(service, Some(server)),
                    EndFlows::Client(client) => socket_addr(key.src, key.sport) == client,
                };
            if chosen {
                requests.push(request(key, &entry, SWEEP_ANY_TIME, EndReason::Killed));
            }
        }
        Ok(ExpireReport { scanned, ended: self.end(&requests)? })
    }

    /// Has the program end these connections; returns how many it did.
    fn end(&mut self, requests: &[ExpireRequest]) -> Result<usize, FlowError> {
        if requests.is_empty() {
            return Ok(0);
        }
        let program: &SchedClassifier = self.programs.expire()?;
        let mut ended = 0;
        for batch in requests.chunks(EXPIRE_BATCH) {
            let mut packet = vec![0; EXPIRE_HEADER_LEN];
            packet.reserve(expire_packet_len(batch.len()));
            batch.iter().for_each(|request| packet.extend_from_slice(sys::bytes_of(request)));
            let options = TestRunOptions { data_in: Some(&packet), ..TestRunOptions::new() };
            ended += program.test_run(options)?.return_value as usize;
        }
        Ok(ended)
    }

    /// The descriptor that becomes readable when connections have ended, for services that log.
    #[must_use]
    pub fn events_fd(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.tables.maps.events.as_fd()
    }

    /// Hands over the connections that have ended since the last call, oldest first.
    pub fn drain_events(&mut self, mut each: impl FnMut(EndedFlow)) -> usize {
        let now = (SystemTime::now(), sys::coarse_monotonic_ns());
        let mut count = 0;
        let tables = &mut self.tables;
        while let Some(item) = tables.maps.events.next() {
            let Some(event) = sys::read_event(&item) else { continue };
            let (service, server) =
                names_of(&tables.service_names, &tables.server_names, event.service, event.server);
            each(ended_flow(&event, service, server, now));
            count += 1;
        }
        count
    }
}

fn request(key: FlowKey, entry: &FlowEntry, until: u64, reason: EndReason) -> ExpireRequest {
    ExpireRequest {
        key,
        created_ns: entry.created_ns,
        seen_until_ns: until,
        reason: reason as u32,
        reserved: 0,
    }
}

fn ended_flow(
    event: &proxy_common::FlowEvent,
    service: Arc<str>,
    server: Arc<str>,
    (wall, monotonic): (SystemTime, u64),
) -> EndedFlow {
    let ago = Duration::from_nanos(monotonic.saturating_sub(event.created_ns));
    let one_way = FlowState(event.state).is_one_way();
    EndedFlow {
        protocol: Protocol::of(event.forward.proto),
        client: socket_addr(event.forward.src, event.forward.sport),
        vip: socket_addr(event.forward.dst, event.forward.dport),
        source: if one_way {
            socket_addr(event.forward.src, event.forward.sport)
        } else {
            socket_addr(event.reverse.dst, event.reverse.dport)
        },
        server_addr: socket_addr(
            event.reverse.src,
            if one_way { event.forward.dport } else { event.reverse.sport },
        ),
        service,
        server,
        start: wall.checked_sub(ago).unwrap_or(wall),
        duration: Duration::from_nanos(event.ended_ns.saturating_sub(event.created_ns)),
        connect: Duration::from_millis(event.connect_ms.into()),
        established: event.state & FlowState::ESTABLISHED != 0,
        reason: EndReason::from_byte(event.reason).unwrap_or(EndReason::Killed),
        packets_in: event.packets_in,
        bytes_in: event.bytes_in,
        packets_out: event.packets_out,
        bytes_out: event.bytes_out,
    }
}
