//! Layer 4 in the kernel, between namespaces: what a client and a server see of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use proxy_datapath::plan::plan;
use proxy_datapath::{
    Answer, Datapath, EndFlows, EndReason, EndedFlow, FlowStatus, Hook, Mode, NetFacts,
    OpenOptions, Policy, Protocol, ServerChange, ServerSpec, ServiceSpec, Usable, object,
};
use tests::guardian::{Registration, Resource};
use tests::wait::PATIENCE;
use tests::{Lab, NetNs, eventually, net};

pub(crate) const PORT: u16 = 80;

/// Client, balancer and two servers (see [`Lab`] for the addresses), with the data path of the balancer's namespace.
struct World {
    lab: Lab,
    options: OpenOptions,
    _pins: Registration,
}

impl World {
    /// `None`, with the reason printed, where there can be no layer 4.
    fn new() -> Result<Option<Self>> {
        if !net::is_root() {
            eprintln!("skipped: needs root");
            return Ok(None);
        }
        if let Err(reason) = object::bytes() {
            eprintln!("skipped: {reason}");
            return Ok(None);
        }
        let lab = Lab::new(2)?;
        for (index, server) in lab.servers.iter().enumerate() {
            serve(server, index + 1)?;
        }
        let name = format!("it-{}", lab.balancer.inode()?);
        let pins = Registration::new(Resource::Dir(format!("/sys/fs/bpf/sluice/{name}")));
        let options =
            OpenOptions { instance: Some(name), connections: 2000, ..OpenOptions::default() };
        Ok(Some(Self { lab, options, _pins: pins }))
    }

    fn open(&self) -> Result<Datapath> {
        Ok(self.lab.balancer.enter(|| Datapath::open(&self.options))??.0)
    }

    fn apply(&self, datapath: &mut Datapath, services: &[ServiceSpec]) -> Result<()> {
        self.lab.balancer.enter(|| {
            let servers = services.iter().flat_map(|s| s.servers.iter().map(|s| s.addr.ip()));
            let plan = plan(services, &NetFacts::gather(servers)?);
            ensure!(plan.rejected.is_empty(), "{:?}", plan.rejected);
            let report = datapath.apply(&plan)?;
            ensure!(report.left_out.is_empty(), "{:?}", report.left_out);
            Ok(())
        })?
    }

    fn connect(&self, vip: SocketAddr) -> Result<Peer> {
        self.lab.client.enter(|| Peer::connect(vip))?
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = Datapath::detach_instance(self.options.instance.as_deref(), None);
    }
}

/// The client's end of a connection; the server has introduced itself.
pub(crate) struct Peer {
    reader: BufReader<TcpStream>,
    /// Number of the server.
    pub(crate) server: usize,
    /// Whom the server believes to talk to.
    seen_as: IpAddr,
}

impl Peer {
    /// Connects from the namespace of the calling thread.
    pub(crate) fn connect(vip: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&vip, PATIENCE).context("connect")?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        let mut hello = String::new();
        reader.read_line(&mut hello).context("server's greeting")?;
        let (server, seen_as) = hello.trim().split_once(' ').context("greeting")?;
        Ok(Self { server: server.parse()?, seen_as: seen_as.parse()?, reader })
    }

    /// Sends so many bytes and reads them back.
    pub(crate) fn echo(&mut self, length: usize) -> Result<()> {
        let sent: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
        let mut stream = self.reader.get_ref().try_clone()?;
        let copy = sent.clone();
        let writer = std::thread::spawn(move || stream.write_all(&copy));
        let mut received = vec![0; length];
        self.reader.read_exact(&mut received).context("echo")?;
        writer.join().map_err(|_| anyhow::anyhow!("writer"))??;
        ensure!(sent == received, "other bytes came back");
        Ok(())
    }
}

/// Servers that say `<number> <client address>` and echo what they get, on both families.
pub(crate) fn serve(namespace: &NetNs, number: usize) -> Result<()> {
    for any in ["0.0.0.0", "::"] {
        let any: IpAddr = any.parse()?;
        let listener = namespace.enter(|| bind(any))??;
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || greet_and_echo(stream, number));
            }
        });
    }
    Ok(())
}

fn bind(ip: IpAddr) -> Result<TcpListener> {
    use nix::sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt,
        socket, sockopt,
    };
    let family = if ip.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let fd = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    if ip.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    use std::os::fd::AsRawFd;
    bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(ip, PORT)))?;
    listen(&fd, Backlog::new(128)?)?;
    Ok(fd.into())
}

fn greet_and_echo(mut stream: TcpStream, number: usize) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let client = stream.peer_addr()?.ip().to_canonical();
    stream.write_all(format!("{number} {client}\n").as_bytes())?;
    let mut reader = stream.try_clone()?;
    std::io::copy(&mut reader, &mut stream)?;
    Ok(())
}

fn vip4() -> SocketAddr {
    SocketAddr::from(([10, 1, 0, 1], PORT))
}

fn vip6() -> SocketAddr {
    SocketAddr::from(([0xfd01, 0, 0, 0, 0, 0, 0, 1], PORT))
}

fn service(name: &str, vip: SocketAddr) -> ServiceSpec {
    let servers = (1..=2_u8).map(|n| {
        let addr = if vip.is_ipv4() {
            SocketAddr::from(([10, 2, n, 2], PORT))
        } else {
            SocketAddr::from(([0xfd02, n.into(), 0, 0, 0, 0, 0, 2], PORT))
        };
        ServerSpec {
            name: format!("s{n}"),
            addr,
            weight: 1,
            usable: Usable::Up,
            backup: false,
            maxconn: 0,
            source: None,
        }
    });
    ServiceSpec {
        name: name.to_owned(),
        frontend: name.to_owned(),
        backend: name.to_owned(),
        vips: vec![vip],
        protocol: Protocol::Tcp,
        mode: Mode::FullNat,
        policy: Policy::RoundRobin,
        maxconn: 0,
        client_idle: Duration::from_secs(50),
        server_idle: Duration::from_secs(50),
        connect: Duration::from_secs(5),
        retries: 0,
        responses: 0,
        log: true,
        rate: 0,
        source_rate: None,
        no_server: Answer::Userspace,
        rejects: Answer::Userspace,
        pick_up: false,
        denies: false,
        sources: None,
        servers: servers.collect(),
        all_backups: false,
    }
}

/// Runs in every hook.
fn in_each_hook(test: impl Fn(&World) -> Result<()>) -> Result<()> {
    for hook in [Hook::Tc, Hook::XdpGeneric] {
        let Some(mut world) = World::new()? else { return Ok(()) };
        world.options.hook = hook;
        test(&world).with_context(|| format!("{hook:?}"))?;
    }
    Ok(())
}

#[test]
fn connections_reach_servers_in_turns() -> Result<()> {
    in_each_hook(|world| {
        let mut datapath = world.open()?;
        world.apply(&mut datapath, &[service("four", vip4()), service("six", vip6())])?;
        let mut connected = Vec::new();
        for vip in [vip4(), vip6()] {
            let mut peers = (0..4).map(|_| world.connect(vip)).collect::<Result<Vec<_>>>()?;
            let mut servers: Vec<usize> = peers.iter().map(|p| p.server).collect();
            servers.sort_unstable();
            ensure!(servers == [1, 1, 2, 2], "{servers:?}");
            for peer in &mut peers {
                let n = peer.server;
                let expected = match vip {
                    SocketAddr::V4(_) => format!("10.2.{n}.1"),
                    SocketAddr::V6(_) => format!("fd02:{n}::1"),
                };
                ensure!(peer.seen_as == expected.parse::<IpAddr>()?, "seen as {}", peer.seen_as);
                peer.echo(100)?;
                peer.echo(3_000_000)?;
            }
            connected.extend(peers);
        }
        let counters = datapath.counters()?;
        ensure!(counters.services.len() == 2);
        for service in &counters.services {
            ensure!(service.current == 4, "{service:?}");
            ensure!(service.traffic.flows_new == 4 && service.traffic.flows_established == 4);
            ensure!(service.traffic.bytes_in >= 12_000_400, "{service:?}");
            ensure!(service.traffic.bytes_out >= 12_000_400, "{service:?}");
            ensure!(service.servers.iter().all(|s| s.current == 2), "{service:?}");
        }
        Ok(())
    })
}

#[test]
fn connections_outlive_the_process_that_made_them() -> Result<()> {
    in_each_hook(|world| {
        let services = [service("four", vip4()), service("six", vip6())];
        let mut datapath = world.open()?;
        world.apply(&mut datapath, &services)?;
        let mut peers = vec![world.connect(vip4())?, world.connect(vip6())?];
        drop(datapath);
        peers.iter_mut().try_for_each(|p| p.echo(100_000))?;
        // New ones too.
        peers.push(world.connect(vip4())?);
        peers.push(world.connect(vip6())?);

        let mut datapath = world.open()?;
        peers.iter_mut().try_for_each(|p| p.echo(100_000))?;
        world.apply(&mut datapath, &services)?;
        peers.iter_mut().try_for_each(|p| p.echo(100_000))?;
        let current: Vec<u32> = datapath.counters()?.services.iter().map(|s| s.current).collect();
        ensure!(current == [2, 2], "{current:?}");
        Ok(())
    })
}

#[test]
fn a_server_going_down_or_away_leaves_other_connections_alone() -> Result<()> {
    in_each_hook(|world| {
        let mut datapath = world.open()?;
        world.apply(&mut datapath, &[service("web", vip4())])?;
        let mut peers = (0..4).map(|_| world.connect(vip4())).collect::<Result<Vec<_>>>()?;
        let down = ServerChange { usable: Usable::Down, weight: 1, maxconn: 0 };
        datapath.set_server("web", "s1", down)?;
        for _ in 0..4 {
            ensure!(world.connect(vip4())?.server == 2);
        }
        peers.iter_mut().filter(|p| p.server == 2).try_for_each(|p| p.echo(10_000))?;

        let mut without = service("web", vip4());
        without.servers.remove(0);
        world.apply(&mut datapath, &[without])?;
        // The server still lives: its connections go on.
        peers.iter_mut().try_for_each(|p| p.echo(10_000))?;
        ensure!(world.connect(vip4())?.server == 2);

        let report = datapath.end_flows(EndFlows::Server("web", "s1"))?;
        ensure!(report.ended == 2, "{report:?}");
        for peer in &mut peers {
            ensure!(peer.echo(100).is_ok() == (peer.server == 2));
        }
        Ok(())
    })
}

#[test]
fn nat_shows_the_client_to_the_server() -> Result<()> {
    in_each_hook(|world| {
        let mut datapath = world.open()?;
        let services = [vip4(), vip6()].map(|vip| {
            let mut service = service(&vip.to_string(), vip);
            service.mode = Mode::Nat;
            service
        });
        world.apply(&mut datapath, &services)?;
        for (vip, client) in [(vip4(), "10.1.0.2"), (vip6(), "fd01::2")] {
            let mut peer = world.connect(vip)?;
            ensure!(peer.seen_as == client.parse::<IpAddr>()?, "seen as {}", peer.seen_as);
            peer.echo(1_000_000)?;
        }
        Ok(())
    })
}

#[test]
fn ended_connections_are_reported_and_no_longer_counted() -> Result<()> {
    in_each_hook(|world| {
        let mut datapath = world.open()?;
        world.apply(&mut datapath, &[service("web", vip4())])?;
        let mut peer = world.connect(vip4())?;
        peer.echo(5000)?;
        let flows = datapath.flows().collect::<Result<Vec<_>, _>>()?;
        ensure!(flows.len() == 1, "{flows:?}");
        ensure!(flows[0].vip == vip4() && *flows[0].service == *"web", "{flows:?}");
        ensure!(flows[0].status == FlowStatus::Established, "{flows:?}");
        ensure!(*flows[0].server == *format!("s{}", peer.server), "{flows:?}");
        let client = peer.reader.get_ref().local_addr()?;
        drop(peer);

        let mut ended: Vec<EndedFlow> = Vec::new();
        eventually("the end is reported", PATIENCE, || {
            datapath.drain_events(|event| ended.push(event));
            !ended.is_empty()
        })?;
        ensure!(ended.len() == 1, "{ended:?}");
        let event = &ended[0];
        ensure!(event.client == client && event.vip == vip4(), "{event:?}");
        ensure!(event.reason == EndReason::ClientFin && event.established, "{event:?}");
        ensure!(*event.service == *"web", "{event:?}");
        ensure!(event.bytes_in <= 5000, "{event:?}");
        let counters = datapath.counters()?;
        ensure!(counters.services[0].current == 0, "{counters:?}");
        ensure!(counters.services[0].traffic.flows_ended == 1, "{counters:?}");
        Ok(())
    })
}

#[test]
fn silent_connections_are_ended() -> Result<()> {
    in_each_hook(|world| {
        let mut datapath = world.open()?;
        let mut short = service("short", vip4());
        short.client_idle = Duration::from_secs(1);
        let long = service("long", vip6());
        world.apply(&mut datapath, &[short, long])?;
        let mut silent = world.connect(vip4())?;
        let mut patient = world.connect(vip6())?;
        silent.echo(100)?;
        patient.echo(100)?;
        let mut ended = 0;
        eventually("idle expiry", PATIENCE, || {
            ended += datapath.expire_idle().map_or(0, |r| r.ended);
            ended > 0
        })?;
        ensure!(ended == 1);
        let mut events = Vec::new();
        datapath.drain_events(|event| events.push(event));
        ensure!(events.len() == 1 && events[0].reason == EndReason::Idle, "{events:?}");
        let counters = datapath.counters()?;
        let current: Vec<_> =
            counters.services.iter().map(|s| (s.name.as_str(), s.current)).collect();
        ensure!(current == [("long", 1), ("short", 0)], "{current:?}");
        patient.echo(100)?;
        ensure!(silent.echo(100).is_err());
        Ok(())
    })
}

/// What the kernel does not take is left to the host: here nobody listens, so it refuses.
#[test]
fn what_is_not_carried_reaches_the_host() -> Result<()> {
    in_each_hook(|world| {
        let mut datapath = world.open()?;
        let mut limited = service("limited", vip4());
        limited.maxconn = 1;
        world.apply(&mut datapath, &[limited])?;
        let mut first = world.connect(vip4())?;
        ensure!(world.connect(vip4()).is_err());
        first.echo(100)?;
        drop(first);
        eventually("room for another", PATIENCE, || world.connect(vip4()).is_ok())?;

        let current = || datapath.counters().map_or(9, |c| c.services[0].current);
        eventually("the end of that", PATIENCE, || current() == 0)?;

        let down = ServerChange { usable: Usable::Down, weight: 1, maxconn: 0 };
        datapath.set_server("limited", "s1", down)?;
        datapath.set_server("limited", "s2", down)?;
        ensure!(world.connect(vip4()).is_err());
        let passed = datapath.counters()?.services[0].traffic;
        ensure!(passed.passed_full >= 1 && passed.passed_no_server >= 1, "{passed:?}");
        Ok(())
    })
}

/// A connection userspace already carries is not torn by a service that comes up under it.
#[test]
fn connections_of_userspace_go_on_when_the_kernel_takes_over() -> Result<()> {
    in_each_hook(|world| {
        serve(&world.lab.balancer, 9)?;
        let mut earlier = world.connect(vip4())?;
        ensure!(earlier.server == 9);
        let mut datapath = world.open()?;
        world.apply(&mut datapath, &[service("web", vip4())])?;
        earlier.echo(100_000)?;
        ensure!(world.connect(vip4())?.server != 9);
        datapath.detach()?;
        ensure!(world.connect(vip4())?.server == 9);
        earlier.echo(100_000)
    })
}

/// Addresses that clients connect to and servers have, but the balancer has not.
fn shared_vips() -> [SocketAddr; 2] {
    [
        SocketAddr::from(([10, 9, 0, 1], PORT)),
        SocketAddr::from(([0xfd09, 0, 0, 0, 0, 0, 0, 1], PORT)),
    ]
}

/// Servers answer clients by themselves, from the address that the clients know.
fn servers_answer_by_themselves(mode: Mode) -> Result<()> {
    in_each_hook(|world| {
        for server in &world.lab.servers {
            server.add_address("lo", "10.9.0.1/32")?;
            server.add_address("lo", "fd09::1/128")?;
        }
        let servers = world.lab.servers.iter().zip(1..);
        let _ends = match mode {
            Mode::Tunnel => servers
                .map(|(server, n)| TunnelEnd::new(&world.lab.balancer, server, n))
                .collect::<Result<Vec<_>>>()?,
            _ => Vec::new(),
        };
        let mut datapath = world.open()?;
        let services = shared_vips().map(|vip| {
            let mut service = service(&vip.to_string(), vip);
            service.mode = mode;
            service
        });
        world.apply(&mut datapath, &services)?;
        for (vip, client) in shared_vips().into_iter().zip(["10.1.0.2", "fd01::2"]) {
            let mut peers = (0..4).map(|_| world.connect(vip)).collect::<Result<Vec<_>>>()?;
            for peer in &mut peers {
                ensure!(peer.seen_as == client.parse::<IpAddr>()?, "seen as {}", peer.seen_as);
                peer.echo(1_000_000)?;
            }
            let on_first = peers.iter().filter(|peer| peer.server == 1).count();
            ensure!(on_first == 2, "{on_first} of 4 on the first server");
        }
        let flows = datapath.flows().collect::<Result<Vec<_>, _>>()?;
        ensure!(flows.is_empty() || flows.len() == 8, "{flows:?}");
        for flow in &flows {
            ensure!(flow.source == flow.client && flow.server_addr.port() == PORT, "{flow:?}");
            ensure!(flow.bytes_out == 0, "{flow:?}");
            ensure!(flow.status == FlowStatus::HalfClosed, "{flow:?}");
        }
        // A drained server keeps what it has; it gets nothing new.
        let vip = shared_vips()[0];
        let mut kept = world.connect(vip)?;
        let name = format!("s{}", kept.server);
        let drain = ServerChange { usable: Usable::Drain, weight: 1, maxconn: 0 };
        datapath.set_server(&vip.to_string(), &name, drain)?;
        for _ in 0..3 {
            ensure!(world.connect(vip)?.server != kept.server);
        }
        kept.echo(10_000)
    })
}

#[test]
fn direct_servers_answer_by_themselves() -> Result<()> {
    servers_answer_by_themselves(Mode::Direct)
}

#[test]
fn tunnelled_servers_answer_by_themselves() -> Result<()> {
    servers_answer_by_themselves(Mode::Tunnel)
}

/// A server that takes off what the balancer puts around packets, which the way between them has room for.
struct TunnelEnd<'a> {
    server: &'a NetNs,
    _pins: Registration,
}

impl<'a> TunnelEnd<'a> {
    fn new(balancer: &NetNs, server: &'a NetNs, number: usize) -> Result<Self> {
        let pins = format!("/sys/fs/bpf/sluice/decap-netns-{}", server.inode()?);
        let end = Self { server, _pins: Registration::new(Resource::Dir(pins)) };
        server.ip("link set eth0 mtu 1600")?;
        balancer.ip(&format!("link set s{number} mtu 1600"))?;
        let balancers = [format!("10.2.{number}.1").parse()?, format!("fd02:{number}::1").parse()?];
        server.enter(|| {
            use proxy_datapath::decap::attach;
            attach("eth0", &balancers, None)?;
            // Attached twice is attached once.
            attach("eth0", &balancers, None)
        })??;
        Ok(end)
    }
}

impl Drop for TunnelEnd<'_> {
    fn drop(&mut self) {
        let _ = self.server.enter(|| proxy_datapath::decap::detach("eth0", None));
    }
}

/// What the verifier has looked at once is taken over as it is: a reload does not wait for it.
#[test]
fn programs_are_taken_over() -> Result<()> {
    let Some(world) = World::new()? else { return Ok(()) };
    let attached = || -> Result<Vec<(String, u32)>> {
        let datapath = world.open()?;
        let interfaces = datapath.status()?.interfaces;
        let programs = interfaces.into_iter().flat_map(|interface| interface.programs);
        Ok(programs.map(|(name, id)| (name.to_string(), id)).collect())
    };
    let begin = std::time::Instant::now();
    let first = attached()?;
    let loading = begin.elapsed();
    let begin = std::time::Instant::now();
    ensure!(!first.is_empty() && attached()? == first, "{first:?}");
    eprintln!("loaded in {loading:.0?}, taken over in {:.0?}", begin.elapsed());
    Ok(())
}
