//! A namespace with two interfaces, the programs, and tables filled for a case.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, HashMap, MapData, ProgramArray};
use aya::programs::{ProgramError, ProgramFd, Xdp};
use aya::{Ebpf, EbpfLoader, Pod, TestRun as _, TestRunOptions};
use proxy_common::{
    ABI_VERSION, Addr, Config, FlowEntry, FlowKey, FlowState, INTERFACE_XDP_OUT, POLICY_ROUNDROBIN,
    Port, REAL_UP, RING_SLOTS, RealEntry, Ring, SERVICE_FULLNAT, SERVICE_TUNNEL, SERVICE_UP,
    ServiceEntry, VipEntry, VipKey, maps, proto,
};
use proxy_datapath::object;
use tests::NetNs;

use super::frame::{self, FRAME_LEN, SERVER_PORT, client, vip};

/// Servers that connections are spread over, so that full NAT does not run out of ports.
pub(super) const SERVERS: u32 = 64;

/// What is done to packets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    FullNat,
    Nat,
    Tunnel,
}

/// How large the tables are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Connections in the exact table.
    pub(super) flows: u32,
    /// Connections in the cache of one CPU.
    pub(super) cached: u32,
    /// Half-open connections per CPU.
    pub(super) half_open: u32,
}

/// The programs under test, ready to be called.
pub(super) struct Bed {
    sluice: Ebpf,
    rotate: Ebpf,
    client_if: u32,
    server_if: u32,
    v6: bool,
    mode: Mode,
}

/// Gives a namespace its interfaces and neighbours.
pub(super) fn prepare(namespace: &NetNs) -> Result<()> {
    namespace.enable_forwarding()?;
    for (name, v4, v6) in
        [("c0", "198.51.0.1/16", "2001:db8:c::1/64"), ("s0", "10.0.0.1/24", "fd00::1/64")]
    {
        namespace.ip(&format!("link add {name} type veth peer name {name}p"))?;
        namespace.ip(&format!("link set {name} up"))?;
        namespace.ip(&format!("link set {name}p up"))?;
        namespace.add_address(name, v4)?;
        namespace.add_address(name, v6)?;
    }
    for number in 0..SERVERS {
        for v6 in [false, true] {
            let server = server(number, v6).ip();
            namespace.ip(&format!("neigh add {server} lladdr 02:00:00:00:0d:09 dev s0"))?;
        }
    }
    Ok(())
}

fn server(number: u32, v6: bool) -> SocketAddr {
    let last = (9 + number % SERVERS) as u8;
    let ip: IpAddr = if v6 {
        std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last.into()).into()
    } else {
        std::net::Ipv4Addr::new(10, 0, 0, last).into()
    };
    SocketAddr::new(ip, SERVER_PORT)
}

fn source(v6: bool) -> IpAddr {
    if v6 {
        std::net::Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into()
    } else {
        std::net::Ipv4Addr::new(10, 0, 0, 1).into()
    }
}

impl Bed {
    /// Loads everything; to be called, as all else, on a thread in the namespace.
    pub(super) fn new(
        wrapper: &[u8],
        interfaces: [u32; 2],
        sizes: Sizes,
        v6: bool,
        mode: Mode,
    ) -> Result<Self> {
        let [client_if, server_if] = interfaces;
        let cpus = u32::try_from(aya::util::nr_cpus().map_err(|(_, error)| error)?)?;
        let sets = (sizes.cached / proxy_common::CACHE_WAYS as u32).next_power_of_two().max(16);
        let mut sluice = EbpfLoader::new()
            .map_max_entries(maps::FLOWS, (sizes.flows * 2).max(4096))
            .map_max_entries(maps::CACHE, cpus * sets)
            .map_max_entries(maps::EMBRYONIC, cpus * sizes.half_open)
            .map_max_entries(maps::CLOSING, cpus * 1024)
            .load(object::bytes()?)?;
        let mut rotate = EbpfLoader::new().load(wrapper)?;
        load(&mut sluice, maps::PROGRAM_XDP)?;
        load(&mut rotate, "rotate")?;
        load(&mut rotate, "empty")?;
        let mut bed = Self { sluice, rotate, client_if, server_if, v6, mode };
        let mut config = Config {
            abi: ABI_VERSION,
            nat_port_first: 1024,
            nat_port_last: u16::MAX,
            cache_mask: sets - 1,
            embryonic_mask: sizes.half_open - 1,
            closing_mask: 1023,
            epoch_mask: maps::default_size::EPOCHS - 1,
            flags: Config::DEFAULT_FLAGS,
            cpus,
            ..Config::default()
        };
        let (flush, route) = (Config::MOST_FLUSH_NS, Config::DEFAULT_ROUTE_NS);
        config.set_times(flush, route, proxy_datapath::jiffy_ns());
        bed.set(maps::CONFIG, 0, config)?;
        for interface in interfaces {
            bed.set(maps::INTERFACES, interface, INTERFACE_XDP_OUT)?;
        }
        bed.add_service()?;
        Ok(bed)
    }

    fn set<T: Pod>(&mut self, map: &str, index: u32, value: T) -> Result<()> {
        let map = self.sluice.map_mut(map).context("a map is missing")?;
        let mut array: Array<&mut MapData, T> = map.try_into()?;
        Ok(array.set(index, value, 0)?)
    }

    fn add_service(&mut self) -> Result<()> {
        let mut slots = [0; RING_SLOTS];
        for number in 0..SERVERS {
            slots[number as usize] = number as u16;
            let server = server(number, self.v6);
            let real = RealEntry {
                addr: Addr::from(server.ip()),
                source: Addr::from(source(self.v6)),
                port: server.port().into(),
                flags: REAL_UP,
                ifindex: self.server_if,
                generation: 1,
                weight: 1,
                ..RealEntry::default()
            };
            self.set(maps::REALS, number, real)?;
        }
        self.set(maps::RINGS, 0, Ring { slots })?;
        let mode = match self.mode {
            Mode::FullNat => SERVICE_FULLNAT,
            Mode::Nat => 0,
            Mode::Tunnel => SERVICE_TUNNEL,
        };
        let service = ServiceEntry {
            policy: POLICY_ROUNDROBIN,
            flags: SERVICE_UP | mode,
            ring_len: SERVERS,
            ..ServiceEntry::default()
        };
        self.set(maps::SERVICES, 0, service)?;
        let map = self.sluice.map_mut(maps::VIPS).context("VIPS")?;
        let mut vips: HashMap<&mut MapData, VipKey, VipEntry> = map.try_into()?;
        vips.insert(VipKey::from(vip(self.v6)), VipEntry::default(), 0)?;
        let (word, bit) = maps::prefilter_vip(vip(self.v6).port().into());
        self.set(maps::PREFILTER, word, bit)
    }

    /// Puts established connections into the exact table.
    pub(super) fn establish(&mut self, flows: u32) -> Result<()> {
        let (v6, server_if, client_if) = (self.v6, self.server_if, self.client_if);
        let mode = self.mode;
        let map = self.sluice.map_mut(maps::FLOWS).context("FLOWS")?;
        let mut table: HashMap<&mut MapData, FlowKey, FlowEntry> = map.try_into()?;
        for number in 0..flows {
            let (client, vip, server) = (client(number, v6), vip(v6), server(number >> 15, v6));
            let near = match mode {
                Mode::FullNat => SocketAddr::new(source(v6), client.port()),
                Mode::Nat => client,
                Mode::Tunnel => SocketAddr::new(source(v6), 0),
            };
            let forward = FlowEntry {
                created_ns: 1,
                new_src: near.ip().into(),
                new_dst: server.ip().into(),
                new_sport: near.port().into(),
                new_dport: server.port().into(),
                server: number >> 15,
                server_generation: 1,
                state: FlowState::SYN_ACK | FlowState::ESTABLISHED,
                ifindex: server_if,
                direction: FlowEntry::FORWARD,
                ..FlowEntry::default()
            };
            let reverse = FlowEntry {
                new_src: vip.ip().into(),
                new_dst: client.ip().into(),
                new_sport: vip.port().into(),
                new_dport: client.port().into(),
                ifindex: client_if,
                direction: FlowEntry::REVERSE,
                ..forward
            };
            if mode == Mode::Tunnel {
                let state = FlowState::TUNNEL | FlowState::ESTABLISHED;
                let forward = FlowEntry { new_dport: Port::default(), state, ..forward };
                table.insert(key(client, vip), forward, 0)?;
                continue;
            }
            table.insert(key(client, vip), forward, 0)?;
            table.insert(key(server, near), reverse, 0)?;
        }
        Ok(())
    }

    /// Makes the rotation call the programs under test, or the empty one.
    pub(super) fn aim(&mut self, target: Target<'_>) -> Result<()> {
        let ours = |program: &Xdp| -> Result<ProgramFd> { Ok(program.fd()?.try_clone()?) };
        let fd = match target {
            Target::Floor => ours(self.rotate.program("empty").context("empty")?.try_into()?)?,
            Target::Sluice => {
                ours(self.sluice.program(maps::PROGRAM_XDP).context("sluice_xdp")?.try_into()?)?
            }
            Target::Peer(fd) => fd.try_clone()?,
        };
        let map = self.rotate.map_mut("JUMP").context("JUMP")?;
        let mut jump: ProgramArray<&mut MapData> = map.try_into()?;
        Ok(jump.set(0, &fd, 0)?)
    }

    /// Chooses the frames.
    pub(super) fn rotate_over(&mut self, flows: u64, flags: u8, port: u16) -> Result<()> {
        let rotation = frame::rotation(flows, self.v6, flags, port);
        let map = self.rotate.map_mut("ROTATION").context("ROTATION")?;
        let mut array: Array<&mut MapData, _> = map.try_into()?;
        Ok(array.set(0, rotation, 0)?)
    }

    /// Sends so many frames; nanoseconds for each, and what the last one was answered with.
    pub(super) fn run(&self, packets: u32) -> Result<(f64, u32)> {
        let program: &Xdp = self.rotate.program("rotate").context("rotate")?.try_into()?;
        let frame = [0_u8; FRAME_LEN];
        let mut out = [0_u8; FRAME_LEN + 256];
        // `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress.
        let context = [0, FRAME_LEN as u32, 0, self.client_if, 0, 0];
        let context: Vec<u8> = context.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect();
        let result = program.test_run(TestRunOptions {
            data_in: Some(&frame),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            repeat: packets,
            ..TestRunOptions::default()
        })?;
        ensure!(result.return_value != 0, "the rotating program found nothing to call");
        Ok((result.duration.as_nanos() as f64, result.return_value))
    }

    /// A counter of the programs, summed over CPUs.
    pub(super) fn counter(&self, reason: proxy_common::Reason) -> Result<u64> {
        let map = self.sluice.map(maps::COUNTERS).context("COUNTERS")?;
        let counters: aya::maps::PerCpuArray<&MapData, u64> = map.try_into()?;
        Ok(counters.get(&(reason as u32), 0)?.iter().sum())
    }
}

/// What the rotation calls.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    Floor,
    Sluice,
    Peer(&'a ProgramFd),
}

fn key(src: SocketAddr, dst: SocketAddr) -> FlowKey {
    FlowKey {
        src: src.ip().into(),
        dst: dst.ip().into(),
        sport: Port::new(src.port()),
        dport: Port::new(dst.port()),
        proto: proto::TCP,
        hook: 0,
        reserved: 0,
    }
}

/// Loads an XDP program, again when a signal interrupted the verifier.
pub(super) fn load(ebpf: &mut Ebpf, name: &str) -> Result<()> {
    let program = ebpf.program_mut(name).with_context(|| format!("no program {name}"))?;
    let xdp: &mut Xdp = program.try_into().with_context(|| format!("{name} is not for XDP"))?;
    for _ in 0..5 {
        match xdp.load() {
            Err(ProgramError::LoadError { io_error, .. })
                if io_error.kind() == std::io::ErrorKind::WouldBlock => {}
            result => return result.with_context(|| format!("loading {name}")),
        }
    }
    anyhow::bail!("loading {name} was interrupted each time")
}
