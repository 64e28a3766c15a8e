//! A network namespace with a client's and a server's interface, and the programs loaded beside it.

use std::{
    cell::RefCell,
    fs,
    net::{IpAddr, SocketAddr},
    process::Command,
};

use aya::{
    Ebpf, EbpfLoader, Pod, TestRun as _, TestRunOptions,
    maps::{
        Array, HashMap, MapData, PerCpuArray, RingBuf,
        lpm_trie::{Key, LpmTrie},
    },
    programs::{ProgramError, SchedClassifier, Xdp},
};
use proxy_common::{
    ABI_VERSION, Addr, Config, DenyEntry, ExpireRequest, FlowEntry, FlowEvent, FlowKey,
    INTERFACE_XDP_OUT, Live, REAL_UP, RealEntry, Reason, Ring, SERVICE_UP, SWEEP_ANY_TIME,
    ServiceEntry, SourceKey, SourceNet, SourceRuling, Traffic, VipEntry, VipKey, expire_packet_len,
    maps, proto,
};
use proxy_datapath::object;

use crate::{
    frame::Mac,
    twin::{Network, Twin},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hook {
    Xdp,
    Tc,
    /// The server's end of a tunnel.
    Decap,
}

/// What the kernel was told about a frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Pass,
    Drop,
    /// Sent back where it came from.
    Transmit(Vec<u8>),
    Redirect(Vec<u8>),
}

pub(crate) struct Bed {
    ebpf: Ebpf,
    twin: RefCell<Twin>,
    pub(crate) client_if: u32,
    pub(crate) server_if: u32,
    pub(crate) client_mac: Mac,
    pub(crate) server_mac: Mac,
}

/// Neighbours in the test network.
pub(crate) const CLIENT_NEIGHBOUR: Mac = [2, 0, 0, 0, 0xc, 9];
pub(crate) const SERVER_NEIGHBOUR: Mac = [2, 0, 0, 0, 0xd, 9];

/// First and last port of full NAT, unless a test sets its own.
pub(crate) const NAT_PORT: u16 = 40000;

pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn interface(name: &str) -> (u32, Mac) {
    let output = Command::new("ip").args(["-o", "link", "show", name]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let index = text.split(':').next().unwrap().parse().unwrap();
    let mac = text.split("link/ether ").nth(1).unwrap().split(' ').next().unwrap();
    let mac: Vec<u8> = mac.split(':').map(|hex| u8::from_str_radix(hex, 16).unwrap()).collect();
    (index, mac.try_into().unwrap())
}

/// Loads a program, again when the verifier was interrupted by a signal (`EAGAIN`), such as the end of an `ip`
/// of another test.
fn load(mut load: impl FnMut() -> Result<(), ProgramError>) {
    for _ in 0..50 {
        match load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == std::io::ErrorKind::WouldBlock => {}
            result => return result.unwrap(),
        }
    }
    panic!("interrupted each time");
}

impl Bed {
    /// `None`, with the reason on standard error, where it cannot run.
    pub(crate) fn new() -> Option<Self> {
        let object = match object::bytes() {
            Ok(object) => object,
            Err(reason) => {
                eprintln!("skipped: {reason}");
                return None;
            }
        };
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: loading needs root");
            return None;
        }
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        ip("link set lo up");
        for (name, v4, v6) in [("c0", "198.51.100", "2001:db8:c"), ("s0", "10.0.0", "fd00")] {
            let neighbour = if name == "c0" { "02:00:00:00:0c:09" } else { "02:00:00:00:0d:09" };
            ip(&format!("link add {name} type veth peer name {name}p"));
            ip(&format!("link set {name} up"));
            ip(&format!("link set {name}p up"));
            ip(&format!("addr add {v4}.1/24 dev {name}"));
            ip(&format!("addr add {v6}::1/64 dev {name} nodad"));
            for host in 9..13 {
                ip(&format!("neigh add {v4}.{host} lladdr {neighbour} dev {name}"));
                ip(&format!("neigh add {v6}::{host} lladdr {neighbour} dev {name}"));
            }
        }
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        let (client_if, client_mac) = interface("c0");
        let (server_if, server_mac) = interface("s0");

        let cpus = aya::util::nr_cpus().unwrap() as u32;
        let mut ebpf = EbpfLoader::new()
            .map_max_entries(maps::EMBRYONIC, cpus * 4)
            .map_max_entries(maps::CLOSING, cpus * 4)
            .map_max_entries(maps::CACHE, cpus * 64)
            .load(object)
            .unwrap();
        let xdp: &mut Xdp = ebpf.program_mut(maps::PROGRAM_XDP).unwrap().try_into().unwrap();
        load(|| xdp.load());
        for name in [maps::PROGRAM_TC, maps::PROGRAM_EXPIRE, maps::PROGRAM_DECAP] {
            let tc: &mut SchedClassifier = ebpf.program_mut(name).unwrap().try_into().unwrap();
            load(|| tc.load());
        }
        let twin =
            RefCell::new(Twin::new(Network { client_if, server_if, client_mac, server_mac }));
        let mut bed = Self { ebpf, twin, client_if, server_if, client_mac, server_mac };
        bed.configure(|_| {});
        for interface in [client_if, server_if] {
            bed.set(maps::INTERFACES, interface, INTERFACE_XDP_OUT);
        }
        Some(bed)
    }

    /// Writes the configuration, after a change to the tests' usual one.
    pub(crate) fn configure(&mut self, change: impl FnOnce(&mut Config)) {
        let mut config = Config {
            abi: ABI_VERSION,
            nat_port_first: NAT_PORT,
            nat_port_last: NAT_PORT,
            cache_mask: 63,
            embryonic_mask: 3,
            closing_mask: 3,
            epoch_mask: maps::default_size::EPOCHS - 1,
            flags: Config::DEFAULT_FLAGS,
            cpus: aya::util::nr_cpus().unwrap() as u32,
            ..Config::default()
        };
        let (flush, route) = (Config::LEAST_FLUSH_NS, Config::DEFAULT_ROUTE_NS);
        config.set_times(flush, route, proxy_datapath::jiffy_ns());
        change(&mut config);
        self.set(maps::CONFIG, 0, config);
    }

    pub(crate) fn set<T: Pod>(&mut self, map: &str, index: u32, value: T) {
        let mut array: Array<&mut MapData, T> = self.ebpf.map_mut(map).unwrap().try_into().unwrap();
        array.set(index, value, 0).unwrap();
        // SAFETY: `Pod`: every byte is initialised; the slice has its size and borrows it.
        let bytes = unsafe {
            std::slice::from_raw_parts(std::ptr::from_ref(&value).cast(), size_of::<T>())
        };
        self.twin.borrow_mut().set(map, index, bytes);
    }

    pub(crate) fn get<T: Pod>(&self, map: &str, index: u32) -> T {
        let array: Array<&MapData, T> = self.ebpf.map(map).unwrap().try_into().unwrap();
        array.get(&index, 0).unwrap()
    }

    /// Service 0 with one VIP, whose ring names servers 0, 1, ... once each.
    pub(crate) fn service(
        &mut self,
        vip: SocketAddr,
        policy: u8,
        flags: u8,
        servers: &[SocketAddr],
    ) {
        self.service_of(VipKey::from(vip), vip, policy, flags, servers, 0);
    }

    /// The same for datagrams, of which so many of a server end a flow.
    pub(crate) fn datagrams(
        &mut self,
        vip: SocketAddr,
        policy: u8,
        flags: u8,
        servers: &[SocketAddr],
        responses: u8,
    ) {
        self.service_of(VipKey::of(vip, proto::UDP), vip, policy, flags, servers, responses);
    }

    fn service_of(
        &mut self,
        key: VipKey,
        vip: SocketAddr,
        policy: u8,
        flags: u8,
        servers: &[SocketAddr],
        responses: u8,
    ) {
        let mut slots = [0; proxy_common::RING_SLOTS];
        for (index, server) in servers.iter().enumerate() {
            slots[index] = index as u16;
            let source = match server.ip() {
                IpAddr::V4(_) => "10.0.0.1".parse::<IpAddr>().unwrap(),
                IpAddr::V6(_) => "fd00::1".parse().unwrap(),
            };
            let real = RealEntry {
                addr: Addr::from(server.ip()),
                source: source.into(),
                port: server.port().into(),
                flags: REAL_UP,
                ifindex: self.server_if,
                generation: 1,
                weight: 1,
                ..RealEntry::default()
            };
            self.set(maps::REALS, index as u32, real);
            let port = if server.port() == 0 { vip.port() } else { server.port() };
            let (word, bit) = maps::prefilter_server(port.into());
            let word_now: u64 = self.get(maps::PREFILTER, word);
            self.set(maps::PREFILTER, word, word_now | bit);
        }
        self.set(maps::RINGS, 0, Ring { slots });
        let service = ServiceEntry {
            policy,
            flags: flags | SERVICE_UP,
            ring_len: servers.len() as u32,
            responses,
            ..ServiceEntry::default()
        };
        self.set(maps::SERVICES, 0, service);
        let mut vips: HashMap<&mut MapData, VipKey, VipEntry> =
            self.ebpf.map_mut(maps::VIPS).unwrap().try_into().unwrap();
        vips.insert(key, VipEntry::default(), 0).unwrap();
        self.twin.borrow_mut().vip(key);
        let (word, bit) = maps::prefilter_vip(vip.port().into());
        let word_now: u64 = self.get(maps::PREFILTER, word);
        self.set(maps::PREFILTER, word, word_now | bit);
    }

    /// What a service says of a network, with IPv4 mapped: `10.0.0.0/8`.
    pub(crate) fn source(&mut self, service: u32, net: &str, ruling: SourceRuling) {
        let (addr, len) = net.split_once('/').unwrap();
        let addr: IpAddr = addr.parse().unwrap();
        let len = len.parse::<u32>().unwrap() + if addr.is_ipv4() { 96 } else { 0 };
        let key = Key::new(SourceKey::SERVICE_BITS + len, SourceNet { service, addr: addr.into() });
        let mut sources: LpmTrie<&mut MapData, SourceNet, SourceRuling> =
            self.ebpf.map_mut(maps::SOURCES).unwrap().try_into().unwrap();
        sources.insert(&key, ruling, 0).unwrap();
        let net = SourceNet { service, addr: addr.into() };
        let key = SourceKey { prefix_len: SourceKey::SERVICE_BITS + len, net };
        self.twin.borrow_mut().source(key, ruling);
    }

    /// Has a client turned away by service 0 until a moment on the monotonic clock.
    pub(crate) fn deny(&mut self, client: IpAddr, how: u8, until_ns: u64) {
        let net = SourceNet { service: 0, addr: client.into() };
        let entry = DenyEntry { until_ns, how: how.into(), reserved: 0 };
        let mut denied: HashMap<&mut MapData, SourceNet, DenyEntry> =
            self.ebpf.map_mut(maps::DENIED).unwrap().try_into().unwrap();
        denied.insert(net, entry, 0).unwrap();
        self.twin.borrow_mut().deny(net, entry);
    }

    /// Has the server's end of tunnels believe a balancer.
    pub(crate) fn balancer(&mut self, ip: IpAddr) {
        let mut map: HashMap<&mut MapData, Addr, u32> =
            self.ebpf.map_mut(maps::BALANCERS).unwrap().try_into().unwrap();
        map.insert(Addr::from(ip), 1, 0).unwrap();
    }

    /// SYNs that a rule of a service decided about.
    pub(crate) fn rule(&self, service: u32, rule: u32) -> u64 {
        let counters: PerCpuArray<&MapData, u64> =
            self.ebpf.map(maps::RULES).unwrap().try_into().unwrap();
        let place = service * proxy_common::RULES_PER_SERVICE + rule;
        counters.get(&place, 0).unwrap().iter().sum()
    }

    /// Runs a hook's program on a frame that came in by an interface.
    pub(crate) fn run(&self, hook: Hook, interface: u32, frame: &[u8]) -> Outcome {
        let outcome = self.run_in_kernel(hook, interface, frame);
        // The host has no server's end.
        if hook != Hook::Decap {
            self.twin.borrow_mut().run(hook, interface, frame, &outcome);
        }
        outcome
    }

    fn run_in_kernel(&self, hook: Hook, interface: u32, frame: &[u8]) -> Outcome {
        let mut out = vec![0; frame.len() + 256];
        match hook {
            Hook::Xdp => {
                let program: &Xdp =
                    self.ebpf.program(maps::PROGRAM_XDP).unwrap().try_into().unwrap();
                // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress.
                let context = [0, frame.len() as u32, 0, interface, 0, 0];
                let context: Vec<u8> = context.iter().flat_map(|word| word.to_ne_bytes()).collect();
                let result = program
                    .test_run(TestRunOptions {
                        data_in: Some(frame),
                        data_out: Some(&mut out),
                        ctx_in: Some(&context),
                        ..TestRunOptions::default()
                    })
                    .unwrap();
                out.truncate(result.data_size_out as usize);
                match result.return_value {
                    1 => Outcome::Drop,
                    2 => untouched(frame, &out, Outcome::Pass),
                    3 => Outcome::Transmit(out),
                    4 => Outcome::Redirect(out),
                    other => panic!("XDP action {other}"),
                }
            }
            Hook::Tc | Hook::Decap => {
                let name = if hook == Hook::Tc { maps::PROGRAM_TC } else { maps::PROGRAM_DECAP };
                let program: &SchedClassifier =
                    self.ebpf.program(name).unwrap().try_into().unwrap();
                // `struct __sk_buff`, in which `ifindex` is the eleventh word.
                let mut context = [0_u8; 192];
                context[40..44].copy_from_slice(&interface.to_ne_bytes());
                let result = program
                    .test_run(TestRunOptions {
                        data_in: Some(frame),
                        data_out: Some(&mut out),
                        ctx_in: Some(&context),
                        ..TestRunOptions::default()
                    })
                    .unwrap();
                out.truncate(result.data_size_out as usize);
                match result.return_value as i32 {
                    -1 if hook == Hook::Decap => Outcome::Redirect(out),
                    -1 => untouched(frame, &out, Outcome::Pass),
                    2 => Outcome::Drop,
                    7 => Outcome::Redirect(out),
                    other => panic!("tc action {other}"),
                }
            }
        }
    }

    /// Asks the expiring program; returns how many connections it ended.
    pub(crate) fn expire(&self, requests: &[ExpireRequest]) -> u32 {
        let mut packet = vec![0; expire_packet_len(0)];
        for request in requests {
            for word in request.key.src.words.iter().chain(&request.key.dst.words) {
                packet.extend(word.to_ne_bytes());
            }
            packet.extend(request.key.sport.be.to_ne_bytes());
            packet.extend(request.key.dport.be.to_ne_bytes());
            packet.extend([request.key.proto, 0, 0, 0]);
            packet.extend(request.created_ns.to_ne_bytes());
            packet.extend(request.seen_until_ns.to_ne_bytes());
            packet.extend(request.reason.to_ne_bytes());
            packet.extend([0; 4]);
        }
        assert_eq!(packet.len(), expire_packet_len(requests.len()));
        let program: &SchedClassifier =
            self.ebpf.program(maps::PROGRAM_EXPIRE).unwrap().try_into().unwrap();
        let options = TestRunOptions { data_in: Some(&packet), ..TestRunOptions::default() };
        let ended = program.test_run(options).unwrap().return_value;
        self.twin.borrow_mut().expire(requests, ended);
        ended
    }

    /// Ends every connection.
    pub(crate) fn clear(&mut self) {
        for (key, flow) in self.flows() {
            if flow.direction == FlowEntry::FORWARD {
                let request = ExpireRequest {
                    key,
                    created_ns: flow.created_ns,
                    seen_until_ns: SWEEP_ANY_TIME,
                    reason: 0,
                    reserved: 0,
                };
                self.expire(&[request]);
            }
        }
        assert!(self.flows().is_empty());
    }

    /// The host's core has counted what the kernel has.
    pub(crate) fn agree(&self) {
        self.twin.borrow().compare(self.flows().len(), |reason| self.counter(reason));
    }

    pub(crate) fn flows(&self) -> Vec<(FlowKey, FlowEntry)> {
        let flows: HashMap<&MapData, FlowKey, FlowEntry> =
            self.ebpf.map(maps::FLOWS).unwrap().try_into().unwrap();
        flows.iter().map(Result::unwrap).collect()
    }

    pub(crate) fn live(&self) -> (u32, [u32; 2]) {
        let connections = |map, index| self.get::<Live>(map, index).connections;
        (
            connections(maps::SERVICE_LIVE, 0),
            [connections(maps::SERVER_LIVE, 0), connections(maps::SERVER_LIVE, 1)],
        )
    }

    pub(crate) fn counter(&self, reason: Reason) -> u64 {
        let counters: PerCpuArray<&MapData, u64> =
            self.ebpf.map(maps::COUNTERS).unwrap().try_into().unwrap();
        counters.get(&(reason as u32), 0).unwrap().iter().sum()
    }

    /// Traffic of service 0, summed.
    pub(crate) fn traffic(&self) -> Traffic {
        let counters: PerCpuArray<&MapData, Traffic> =
            self.ebpf.map(maps::SERVICE_COUNTERS).unwrap().try_into().unwrap();
        let mut sum = Traffic::default();
        for one in counters.get(&0, 0).unwrap().iter() {
            sum.flows_new += one.flows_new;
            sum.flows_ended += one.flows_ended;
            sum.flows_failed += one.flows_failed;
            sum.flows_established += one.flows_established;
            sum.packets_in += one.packets_in;
            sum.bytes_in += one.bytes_in;
            sum.packets_out += one.packets_out;
            sum.bytes_out += one.bytes_out;
            sum.passed_full += one.passed_full;
            sum.passed_no_server += one.passed_no_server;
            sum.passed_no_room += one.passed_no_room;
            sum.denied += one.denied;
        }
        sum
    }

    pub(crate) fn event(&mut self) -> Option<FlowEvent> {
        let mut events: RingBuf<&mut MapData> =
            self.ebpf.map_mut(maps::EVENTS).unwrap().try_into().unwrap();
        let item = events.next()?;
        assert_eq!(item.len(), size_of::<FlowEvent>());
        Some(parse_event(&item))
    }
}

/// Reads the fields that tests look at.
fn parse_event(bytes: &[u8]) -> FlowEvent {
    let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
    FlowEvent {
        created_ns: long(80),
        ended_ns: long(88),
        packets_in: long(96),
        bytes_in: long(104),
        packets_out: long(112),
        bytes_out: long(120),
        reason: bytes[148],
        ..FlowEvent::default()
    }
}

/// A frame that goes on must be as it came.
fn untouched(frame: &[u8], out: &[u8], outcome: Outcome) -> Outcome {
    assert_eq!(frame, out, "passed, but changed");
    outcome
}
