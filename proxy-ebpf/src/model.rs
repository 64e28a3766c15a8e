//! Random sequences of packets and changes, against a model that is too simple to be wrong.
//!
//! Whatever happens: a connection to a server that lives does not move; the server's packets come out as the
//! exact reverse; what is not known and not a SYN is untouched; checksums are right; and live numbers are those
//! of the connections that are not over, down to zero when all have been ended.

use std::net::IpAddr;

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};
use proxy_common::{
    ABI_VERSION, Addr, Config, EndReason, ExpireRequest, FlowKey, FlowState, HOOK_TC,
    POLICY_HASH_FLOW, POLICY_HASH_SOURCE, POLICY_LEASTCONN, POLICY_ROUNDROBIN, Port, REAL_DRAIN,
    REAL_UP, RealEntry, SERVICE_FULLNAT, SERVICE_LOG, SERVICE_UP, SWEEP_ANY_TIME, ServiceEntry,
    VipEntry, VipKey, maps, proto,
};

use crate::{
    Scratch, Tables as _, Verdict,
    checksum::apply,
    expire::expire,
    headers::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, IPV4_L4, IPV6_L4, Ipv6Fragment, Tcp},
    host::{Anywhere, HostFrame, HostTables, JIFFY_NS},
    process,
};

const SERVERS: usize = 3;
const CLIENTS: u16 = 6;

#[derive(Clone, Debug)]
enum Step {
    /// A segment of a client to the VIP.
    Client(u16, u8),
    /// A segment of the server of a client's connection, if there is one.
    Server(u16, u8),
    /// Flags of a server.
    Real(usize, u16),
    /// The ring starts elsewhere, with other weights.
    Ring(Vec<u32>),
    /// The user side ends a client's connection.
    Expire(u16),
    /// Time passes, in nanoseconds.
    Wait(u64),
    /// A datagram of a client to the VIP.
    Asks(u16),
    /// A datagram of the server of a client's flow, if there is one.
    Answers(u16),
    /// The server's host says that nobody listens there.
    Nobody(u16),
}

fn flags() -> impl Strategy<Value = u8> {
    const SYN_ACK: u8 = Tcp::SYN | Tcp::ACK;
    prop_oneof![
        4 => Just(Tcp::SYN),
        4 => Just(Tcp::ACK),
        3 => Just(SYN_ACK),
        2 => Just(Tcp::FIN | Tcp::ACK),
        1 => Just(Tcp::RST),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (0..CLIENTS, flags()).prop_map(|(client, flags)| Step::Client(client, flags)),
        8 => (0..CLIENTS, flags()).prop_map(|(client, flags)| Step::Server(client, flags)),
        2 => (0..SERVERS, prop_oneof![Just(0), Just(REAL_UP), Just(REAL_UP | REAL_DRAIN)])
            .prop_map(|(server, flags)| Step::Real(server, flags)),
        1 => prop::collection::vec(0..SERVERS as u32, 0..8).prop_map(Step::Ring),
        1 => (0..CLIENTS).prop_map(Step::Expire),
        1 => (1..3_000_000_000_u64).prop_map(Step::Wait),
        8 => (0..CLIENTS).prop_map(Step::Asks),
        6 => (0..CLIENTS).prop_map(Step::Answers),
        1 => (0..CLIENTS).prop_map(Step::Nobody),
    ]
}

/// What is known of a client's connection.
#[derive(Clone, Debug)]
struct Connection {
    server: usize,
    /// Source the server sees.
    near: (Addr, Port),
    state: u32,
}

impl Connection {
    fn is_over(&self) -> bool {
        const FINS: u32 = FlowState::CLIENT_FIN | FlowState::SERVER_FIN;
        self.state & FINS == FINS
            || self.state & (FlowState::CLIENT_RST | FlowState::SERVER_RST) != 0
    }
}

/// What is known of a client's flow of datagrams.
#[derive(Clone, Debug)]
struct Exchange {
    server: usize,
    near: (Addr, Port),
    answers: u8,
    refused: bool,
}

/// Datagrams of the server that end a flow, in worlds that have such an end.
const RESPONSES: u8 = 3;

struct World {
    tables: HostTables,
    exchanges: Vec<Option<Exchange>>,
    scratch: Scratch,
    v6: bool,
    fullnat: bool,
    connections: Vec<Option<Connection>>,
}

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

/// Addresses of one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Ends {
    src: (Addr, Port),
    dst: (Addr, Port),
}

fn frame(ends: Ends, flags: u8, v6: bool) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let payload = b"payload of odd length";
    let tcp_len = 20 + payload.len() as u16;
    if v6 {
        bytes.extend(ETHERTYPE_IPV6.to_ne_bytes());
        bytes.extend([0x60, 0, 0, 0]);
        bytes.extend(tcp_len.to_be_bytes());
        bytes.extend([proto::TCP, 64]);
        bytes.extend(ends.src.0.octets());
        bytes.extend(ends.dst.0.octets());
    } else {
        bytes.extend(ETHERTYPE_IPV4.to_ne_bytes());
        bytes.extend([0x45, 0]);
        bytes.extend((20 + tcp_len).to_be_bytes());
        bytes.extend([0, 1, 0x40, 0, 64, proto::TCP, 0, 0]);
        bytes.extend(&ends.src.0.octets()[12..]);
        bytes.extend(&ends.dst.0.octets()[12..]);
        let check = sum(&bytes[14..34], 0);
        bytes[24..26].copy_from_slice(&check.to_be_bytes());
    }
    let l4 = bytes.len();
    bytes.extend(ends.src.1.be.to_ne_bytes());
    bytes.extend(ends.dst.1.be.to_ne_bytes());
    bytes.extend([1, 2, 3, 4, 5, 6, 7, 8, 0x50, flags, 1, 0, 0, 0, 0, 0]);
    bytes.extend(payload);
    let check = sum(&bytes[l4..], pseudo(ends, tcp_len));
    bytes[l4 + 16..l4 + 18].copy_from_slice(&check.to_be_bytes());
    bytes
}

fn datagram(ends: Ends, v6: bool) -> Vec<u8> {
    let tcp = frame(ends, 0, v6);
    let l4 = if v6 { IPV6_L4 } else { IPV4_L4 };
    let mut bytes = tcp[..l4].to_vec();
    let payload = b"odd";
    let len = 8 + payload.len() as u16;
    if v6 {
        bytes[18..20].copy_from_slice(&len.to_be_bytes());
        bytes[20] = proto::UDP;
    } else {
        bytes[16..18].copy_from_slice(&(20 + len).to_be_bytes());
        bytes[23] = proto::UDP;
        bytes[24..26].fill(0);
        let check = sum(&bytes[14..34], 0);
        bytes[24..26].copy_from_slice(&check.to_be_bytes());
    }
    bytes.extend(&tcp[l4..l4 + 4]);
    bytes.extend(len.to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(payload);
    let check = sum(&bytes[l4..], pseudo_of(ends, len, proto::UDP));
    bytes[l4 + 6..l4 + 8].copy_from_slice(&check.to_be_bytes());
    bytes
}

/// The ends of a datagram, after its checksums have been found right.
fn read_datagram(bytes: &[u8], v6: bool) -> Ends {
    let l4 = if v6 { IPV6_L4 } else { IPV4_L4 };
    let ends = read_ends(bytes, v6);
    let udp = &bytes[l4..];
    assert_eq!(sum(udp, pseudo_of(ends, udp.len() as u16, proto::UDP)), 0, "UDP checksum");
    ends
}

/// "Port unreachable", about a whole frame.
fn nobody(from: Addr, to: Addr, quoted: &[u8], v6: bool) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let mut icmp = if v6 { vec![1, 4, 0, 0] } else { vec![3, 3, 0, 0] };
    icmp.extend([0; 4]);
    icmp.extend(&quoted[14..14 + if v6 { 48 } else { 28 }]);
    let len = icmp.len() as u16;
    if v6 {
        bytes.extend(ETHERTYPE_IPV6.to_ne_bytes());
        bytes.extend([0x60, 0, 0, 0]);
        bytes.extend(len.to_be_bytes());
        bytes.extend([proto::ICMPV6, 64]);
        bytes.extend(from.octets());
        bytes.extend(to.octets());
    } else {
        bytes.extend(ETHERTYPE_IPV4.to_ne_bytes());
        bytes.extend([0x45, 0]);
        bytes.extend((20 + len).to_be_bytes());
        bytes.extend([0, 1, 0, 0, 64, proto::ICMP, 0, 0]);
        bytes.extend(&from.octets()[12..]);
        bytes.extend(&to.octets()[12..]);
    }
    bytes.extend(icmp);
    bytes
}

fn pseudo(ends: Ends, tcp_len: u16) -> u32 {
    pseudo_of(ends, tcp_len, proto::TCP)
}

fn pseudo_of(ends: Ends, len: u16, proto: u8) -> u32 {
    let words = |addr: Addr| {
        let octets = addr.octets();
        let from = if addr.is_v4() { 12 } else { 0 };
        octets[from..]
            .chunks(2)
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum::<u32>()
    };
    words(ends.src.0) + words(ends.dst.0) + u32::from(len) + u32::from(proto)
}

fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The ends of a frame, after its checksums have been found right.
fn read(bytes: &[u8], v6: bool) -> Ends {
    let l4 = if v6 { IPV6_L4 } else { IPV4_L4 };
    let ends = read_ends(bytes, v6);
    let tcp = &bytes[l4..];
    assert_eq!(sum(tcp, pseudo(ends, tcp.len() as u16)), 0, "TCP checksum");
    ends
}

fn read_ends(bytes: &[u8], v6: bool) -> Ends {
    let at = |from: usize| {
        let word = |index: usize| {
            u32::from_ne_bytes(bytes[from + 4 * index..from + 4 * index + 4].try_into().unwrap())
        };
        if v6 {
            Addr { words: [word(0), word(1), word(2), word(3)] }
        } else {
            Addr::mapped(word(0))
        }
    };
    let port = |from: usize| Port { be: u16::from_ne_bytes([bytes[from], bytes[from + 1]]) };
    let l4 = if v6 { IPV6_L4 } else { IPV4_L4 };
    if v6 {
        Ends { src: (at(22), port(l4)), dst: (at(38), port(l4 + 2)) }
    } else {
        assert_eq!(sum(&bytes[14..34], 0), 0, "IP checksum");
        Ends { src: (at(26), port(l4)), dst: (at(30), port(l4 + 2)) }
    }
}

impl World {
    fn new(v6: bool, fullnat: bool, policy: u8, slots: usize) -> Self {
        let mut config = Config {
            abi: ABI_VERSION,
            nat_port_first: 20000,
            nat_port_last: 20099,
            epoch_mask: 3,
            flags: Config::DEFAULT_FLAGS,
            cpus: 1,
            cache_mask: 1,
            ..Config::default()
        };
        config.set_times(Config::LEAST_FLUSH_NS, Config::DEFAULT_ROUTE_NS, JIFFY_NS);
        let reals = (0..SERVERS)
            .map(|server| RealEntry {
                addr: addr(&if v6 {
                    format!("fd00::{server}1")
                } else {
                    format!("10.0.0.1{server}")
                }),
                source: addr(if v6 { "fd00::ffff" } else { "10.0.0.250" }),
                port: Port::new(8080),
                flags: REAL_UP,
                ifindex: 2,
                generation: 1,
                weight: 1,
                ..RealEntry::default()
            })
            .collect();
        let mut tables = HostTables::new(config, reals, slots);
        let mode = if fullnat { SERVICE_FULLNAT } else { 0 };
        tables.services.push(ServiceEntry {
            policy,
            flags: SERVICE_UP | SERVICE_LOG | mode,
            ring_len: SERVERS as u32,
            // Worlds of one family have such an end, those of the other none.
            responses: if v6 { RESPONSES } else { 0 },
            ..ServiceEntry::default()
        });
        tables.ring = vec![0, 1, 2];
        let mut world = Self {
            tables,
            scratch: Scratch::default(),
            v6,
            fullnat,
            connections: vec![None; usize::from(CLIENTS)],
            exchanges: vec![None; usize::from(CLIENTS)],
        };
        let tcp = VipKey::from(world.vip());
        world.tables.vips.insert(tcp, VipEntry::default());
        world.tables.vips.insert(VipKey { proto: proto::UDP, ..tcp }, VipEntry::default());
        for (word, bit) in
            [maps::prefilter_vip(Port::new(80)), maps::prefilter_server(Port::new(8080))]
        {
            world.tables.prefilter[word as usize] |= bit;
        }
        world
    }

    fn vip(&self) -> (Addr, Port) {
        (addr(if self.v6 { "2001:db8::1" } else { "203.0.113.1" }), Port::new(80))
    }

    /// Two clients share an address.
    fn client(&self, client: u16) -> (Addr, Port) {
        let host = client / 2;
        let text =
            if self.v6 { format!("2001:db8:c::{host}") } else { format!("198.51.100.{host}") };
        (addr(&text), Port::new(5000 + client))
    }

    fn key(&self, client: u16) -> FlowKey {
        let (src, sport) = self.client(client);
        let (dst, dport) = self.vip();
        FlowKey { src, dst, sport, dport, proto: proto::TCP, ..FlowKey::default() }
    }

    fn run(&mut self, ends: Ends, flags: u8, ingress: u32) -> Option<Ends> {
        let before = frame(ends, flags, self.v6);
        let mut frame = HostFrame::<HOOK_TC, _>::new(before.clone(), ingress, Anywhere);
        match process(&mut frame, &self.tables, &mut self.scratch) {
            Verdict::Redirect => Some(read(&frame.bytes, self.v6)),
            Verdict::Pass => {
                assert_eq!(frame.bytes, before, "passed, but changed");
                None
            }
            other => panic!("{other:?}"),
        }
    }

    fn run_datagram(&mut self, ends: Ends, ingress: u32) -> Option<Ends> {
        let before = datagram(ends, self.v6);
        let mut frame = HostFrame::<HOOK_TC, _>::new(before.clone(), ingress, Anywhere);
        match process(&mut frame, &self.tables, &mut self.scratch) {
            Verdict::Redirect => Some(read_datagram(&frame.bytes, self.v6)),
            Verdict::Pass => {
                assert_eq!(frame.bytes, before, "passed, but changed");
                None
            }
            other => panic!("{other:?}"),
        }
    }

    fn is_answered(&self, exchange: &Exchange) -> bool {
        self.tables.services[0].responses != 0 && exchange.answers >= RESPONSES
    }

    fn client_asks(&mut self, client: u16) {
        let ends = Ends { src: self.client(client), dst: self.vip() };
        let sent = self.run_datagram(ends, 1);
        let known = self.exchanges[usize::from(client)].clone();
        let stays = known.filter(|known| {
            let down = self.tables.reals[known.server].flags & REAL_UP == 0;
            !known.refused && !down && !self.is_answered(known)
        });
        if let Some(known) = stays {
            let real = self.tables.reals[known.server];
            assert_eq!(sent, Some(Ends { src: known.near, dst: (real.addr, real.port) }), "moved");
            return;
        }
        let servable = self.tables.ring.iter().any(|server| self.takes(*server as usize));
        assert_eq!(sent.is_some(), servable);
        self.exchanges[usize::from(client)] = sent.map(|sent| {
            let server = self.tables.reals.iter().position(|real| real.addr == sent.dst.0).unwrap();
            assert!(self.takes(server), "sent to a server that is down or drained");
            Exchange { server, near: sent.src, answers: 0, refused: false }
        });
    }

    fn server_answers(&mut self, client: u16) {
        let Some(known) = self.exchanges[usize::from(client)].clone() else { return };
        let real = self.tables.reals[known.server];
        let sent = self.run_datagram(Ends { src: (real.addr, real.port), dst: known.near }, 2);
        assert_eq!(sent, Some(Ends { src: self.vip(), dst: self.client(client) }));
        if let Some(known) = &mut self.exchanges[usize::from(client)] {
            known.answers = known.answers.saturating_add(1);
        }
    }

    fn nobody_listens(&mut self, client: u16) {
        let Some(known) = &self.exchanges[usize::from(client)] else { return };
        let real = self.tables.reals[known.server];
        let quoted = datagram(Ends { src: known.near, dst: (real.addr, real.port) }, self.v6);
        let error = nobody(real.addr, known.near.0, &quoted, self.v6);
        let mut frame = HostFrame::<HOOK_TC, _>::new(error, 2, Anywhere);
        let verdict = process(&mut frame, &self.tables, &mut self.scratch);
        assert_eq!(verdict, Verdict::Redirect);
        let over = self.is_answered(&self.exchanges[usize::from(client)].clone().unwrap());
        if let Some(known) = &mut self.exchanges[usize::from(client)] {
            known.refused |= !over;
        }
    }

    fn takes(&self, server: usize) -> bool {
        self.tables.reals[server].flags & (REAL_UP | REAL_DRAIN) == REAL_UP
    }

    fn client_sends(&mut self, client: u16, flags: u8) {
        let ends = Ends { src: self.client(client), dst: self.vip() };
        let sent = self.run(ends, flags, 1);
        let known = self.connections[usize::from(client)].clone();
        let stays = known.filter(|known| {
            let unanswered = known.state & FlowState::SYN_ACK == 0;
            let down = self.tables.reals[known.server].flags & REAL_UP == 0;
            flags != Tcp::SYN || !(known.is_over() || unanswered && down)
        });
        if let Some(mut known) = stays {
            let real = self.tables.reals[known.server];
            assert_eq!(sent, Some(Ends { src: known.near, dst: (real.addr, real.port) }));
            note(&mut known.state, true, flags);
            self.connections[usize::from(client)] = Some(known);
            return;
        }
        // Not known, or a SYN that may begin anew.
        let servable = self.tables.ring.iter().any(|server| self.takes(*server as usize));
        let Some(sent) = sent else {
            assert!(flags != Tcp::SYN || !servable, "SYN passed though a server was usable");
            if flags == Tcp::SYN {
                self.connections[usize::from(client)] = None;
            }
            return;
        };
        assert_eq!(flags, Tcp::SYN);
        let server = self.tables.reals.iter().position(|real| real.addr == sent.dst.0).unwrap();
        assert!(self.takes(server), "sent to a server that is down or drained");
        if self.fullnat {
            assert_eq!(sent.src.0, self.tables.reals[server].source);
            assert!(self.tables.config.is_nat_port(sent.src.1));
        } else {
            assert_eq!(sent.src, self.client(client));
        }
        self.connections[usize::from(client)] =
            Some(Connection { server, near: sent.src, state: 0 });
    }

    fn server_sends(&mut self, client: u16, flags: u8) {
        let Some(mut known) = self.connections[usize::from(client)].clone() else { return };
        let real = self.tables.reals[known.server];
        let sent = self.run(Ends { src: (real.addr, real.port), dst: known.near }, flags, 2);
        assert_eq!(sent, Some(Ends { src: self.vip(), dst: self.client(client) }));
        note(&mut known.state, false, flags);
        self.connections[usize::from(client)] = Some(known);
    }

    fn expire(&mut self, client: u16) {
        let ended = self.expire_key(self.key(client));
        let known = self.connections[usize::from(client)].take();
        assert_eq!(ended, known.is_some());
    }

    fn expire_key(&mut self, key: FlowKey) -> bool {
        let created_ns = self.tables.flow(&key).map_or(0, |cell| cell.created_ns());
        let request = ExpireRequest {
            key,
            created_ns,
            seen_until_ns: SWEEP_ANY_TIME,
            reason: EndReason::Killed as u32,
            reserved: 0,
        };
        expire(&self.tables, &mut self.scratch, &request)
    }

    fn step(&mut self, step: Step) {
        self.tables.now.set(self.tables.now.get() + 1000);
        match step {
            Step::Client(client, flags) => self.client_sends(client, flags),
            Step::Server(client, flags) => self.server_sends(client, flags),
            Step::Real(server, flags) => self.tables.reals[server].flags = flags,
            Step::Ring(ring) => {
                self.tables.services[0].ring_len = ring.len() as u32;
                self.tables.ring = ring;
            }
            Step::Expire(client) => self.expire(client),
            Step::Asks(client) => self.client_asks(client),
            Step::Answers(client) => self.server_answers(client),
            Step::Nobody(client) => self.nobody_listens(client),
            Step::Wait(time) => self.tables.now.set(self.tables.now.get() + time),
        }
        self.balance();
    }

    /// Live numbers are those of the table's connections that are not over.
    fn balance(&self) {
        let mut live = [0; SERVERS];
        let connections = self.tables.connections();
        assert_eq!(self.tables.flows.borrow().len(), 2 * connections.len(), "entries go in pairs");
        for (_, cell) in &connections {
            live[cell.server() as usize] += u32::from(!cell.state().is_ended());
        }
        for (server, live) in live.iter().enumerate() {
            assert_eq!(self.tables.server_live[server].connections(), *live);
        }
        assert_eq!(self.tables.service_live.connections(), live.iter().sum::<u32>());
        let traffic = self.tables.traffic.borrow();
        assert_eq!(traffic.flows_new - traffic.flows_ended, u64::from(live.iter().sum::<u32>()));
        assert_eq!(self.tables.events.borrow().len() as u64, traffic.flows_ended);
    }

    fn against_model(&self) {
        let open = self.connections.iter().flatten().filter(|known| !known.is_over()).count();
        // One that was refused is counted until its client is heard of again.
        let flows =
            self.exchanges.iter().flatten().filter(|known| !self.is_answered(known)).count();
        let open = open + flows;
        assert_eq!(self.tables.service_live.connections() as usize, open);
    }
}

/// The model's idea of what a segment says.
fn note(state: &mut u32, from_client: bool, flags: u8) {
    if flags & Tcp::RST != 0 {
        *state |= if from_client { FlowState::CLIENT_RST } else { FlowState::SERVER_RST };
        return;
    }
    if !from_client && flags == Tcp::SYN | Tcp::ACK {
        *state |= FlowState::SYN_ACK;
    }
    if flags & Tcp::FIN != 0 {
        *state |= if from_client { FlowState::CLIENT_FIN } else { FlowState::SERVER_FIN };
    }
}

fn policy() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(POLICY_ROUNDROBIN),
        Just(POLICY_HASH_FLOW),
        Just(POLICY_HASH_SOURCE),
        Just(POLICY_LEASTCONN),
    ]
}

/// One long life of each kind of service: no connection to a living server moves in a million steps.
#[test]
#[ignore = "a minute of one core without optimisation; cargo test -p proxy-ebpf --lib -- --ignored"]
fn connections_follow_the_model_for_a_million_steps() {
    const STEPS: usize = 1_000_000;
    let policies = [POLICY_ROUNDROBIN, POLICY_HASH_FLOW, POLICY_HASH_SOURCE, POLICY_LEASTCONN];
    let kinds: Vec<_> = policies
        .into_iter()
        .flat_map(|policy| {
            [(false, false), (false, true), (true, false), (true, true)]
                .map(|(v6, fullnat)| (policy, v6, fullnat))
        })
        .collect();
    let steps = step();
    let mut runner = TestRunner::deterministic();
    for (policy, v6, fullnat) in &kinds {
        let mut world = World::new(*v6, *fullnat, *policy, 1024);
        for _ in 0..STEPS / kinds.len() {
            world.step(steps.new_tree(&mut runner).unwrap().current());
            world.against_model();
        }
    }
}

proptest! {
    #[test]
    fn connections_follow_the_model(
        v6: bool,
        fullnat: bool,
        policy in policy(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(v6, fullnat, policy, 1024);
        for step in steps {
            world.step(step);
            world.against_model();
        }
        for client in 0..CLIENTS {
            world.expire(client);
        }
        for (key, _) in world.tables.connections() {
            world.expire_key(key);
        }
        world.balance();
        prop_assert!(world.tables.flows.borrow().is_empty());
        prop_assert_eq!(world.tables.service_live.connections(), 0);
    }

    /// With two places for half-open and closed flows, connections vanish that the model would know; the
    /// numbers stay right.
    #[test]
    fn numbers_balance_when_flows_displace_each_other(
        v6: bool,
        steps in prop::collection::vec((0..CLIENTS, flags(), any::<bool>()), 1..200),
    ) {
        let mut world = World::new(v6, true, POLICY_ROUNDROBIN, 2);
        for (client, flags, from_client) in steps {
            world.tables.now.set(world.tables.now.get() + 1000);
            if from_client {
                let ends = Ends { src: world.client(client), dst: world.vip() };
                world.run(ends, flags, 1);
            } else if let Some(cell) = world.tables.flow(&world.key(client)) {
                let ends = Ends {
                    src: (cell.new_dst(), cell.new_dport()),
                    dst: (cell.new_src(), cell.new_sport()),
                };
                world.run(ends, flags, 2);
            }
            world.balance();
        }
    }

    /// Frames of random bytes neither panic nor change unless they are sent.
    #[test]
    fn any_bytes_are_survived(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        kind in 0..8_u8,
    ) {
        let world = &mut World::new(false, true, POLICY_ROUNDROBIN, 8);
        if bytes.len() > 60 && kind > 0 {
            let (ethertype, proto_at, proto) = match kind {
                1 => (ETHERTYPE_IPV4, 23, proto::TCP),
                2 => (ETHERTYPE_IPV4, 23, proto::ICMP),
                3 => (ETHERTYPE_IPV4, 23, proto::UDP),
                4 => (ETHERTYPE_IPV6, 20, proto::TCP),
                5 => (ETHERTYPE_IPV6, 20, proto::UDP),
                6 => (ETHERTYPE_IPV6, 20, Ipv6Fragment::NUMBER),
                _ => (ETHERTYPE_IPV6, 20, proto::ICMPV6),
            };
            bytes[12..14].copy_from_slice(&ethertype.to_ne_bytes());
            bytes[14] = if kind < 4 { 0x45 } else { 0x60 };
            bytes[proto_at] = proto;
        }
        let mut frame = HostFrame::<HOOK_TC, _>::new(bytes.clone(), 1, Anywhere);
        prop_assert_eq!(process(&mut frame, &world.tables, &mut world.scratch), Verdict::Pass);
        prop_assert_eq!(frame.bytes, bytes);
    }

    #[test]
    fn checksum_follows_any_change(words: [u32; 4], change: u32, at in 0..4_usize) {
        let full = |words: &[u32; 4]| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            u16::from_ne_bytes(sum(&bytes, 0).to_be_bytes())
        };
        let mut changed = words;
        changed[at] = change;
        let incremental = apply(full(&words), crate::checksum::diff(words[at], change));
        // Zero and its complement mean the same in one's complement; an all-zero packet has only the latter.
        prop_assert!(incremental == full(&changed) || changed == [0; 4]);
    }
}
