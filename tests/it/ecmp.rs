//! Two balancers behind a route of equal cost (examples/ecmp): one dies, and connections go on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use proxy_datapath::{decap, object};
use tests::guardian::{Registration, Resource};
use tests::netns::veth;
use tests::sluice::{Peer as Product, peer};
use tests::wait::PATIENCE;
use tests::{NetNs, Program, Sluice, eventually, net};

use crate::datapath::{PORT, Peer, serve};

/// What servers see of the balancers.
const BALANCERS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 2, 0, 1)), IpAddr::V4(Ipv4Addr::new(10, 2, 0, 2))];
const VIP: [u8; 4] = [192, 0, 2, 80];

/// ```text
///                   10.1.1.0/24  balancer a   10.2.0.1
///   client - router <                        > switch - servers 10.2.0.11, 10.2.0.12
///                   10.1.2.0/24  balancer b   10.2.0.2
/// ```
/// Servers answer by the router's interface in their network, 10.2.0.254.
struct World {
    client: NetNs,
    router: NetNs,
    balancers: Vec<Balancer>,
    servers: Vec<NetNs>,
    _switch: NetNs,
    _birds: Vec<Program>,
    _dir: tempfile::TempDir,
}

struct Balancer {
    namespace: NetNs,
    sluice: Sluice,
    bird: Option<Program>,
    _pins: Registration,
}

fn example(name: &str) -> Result<String> {
    let path = tests::sluice::workspace().join("examples/ecmp").join(name);
    std::fs::read_to_string(&path).with_context(|| path.display().to_string())
}

fn bird(namespace: &NetNs, dir: &Path, name: &str, text: &str) -> Result<Program> {
    let (config, socket) = (dir.join(format!("{name}.conf")), dir.join(format!("{name}.ctl")));
    std::fs::write(&config, text)?;
    let mut command = namespace.command("bird");
    command.args(["-f", "-c"]).arg(&config).arg("-s").arg(&socket);
    Program::start(&format!("bird {name}"), &mut command)
}

impl World {
    fn new(mode: &str) -> Result<Option<Self>> {
        if !net::is_root() || peer() != Product::Sluice {
            eprintln!("skipped: needs root, and a kernel path");
            return Ok(None);
        }
        if let Err(reason) = object::bytes() {
            eprintln!("skipped: {reason}");
            return Ok(None);
        }
        if std::process::Command::new("bird").arg("--version").output().is_err() {
            eprintln!("skipped: BIRD is not installed");
            return Ok(None);
        }
        let dir = tempfile::tempdir()?;
        let (client, router, switch) =
            (NetNs::new("client")?, NetNs::new("router")?, NetNs::new("switch")?);
        router.enable_forwarding()?;
        router.set_sysctl("ipv4/fib_multipath_hash_policy", "1")?;
        veth(&client, "eth0", &router, "client")?;
        client.add_address("eth0", "10.0.0.2/24")?;
        router.add_address("client", "10.0.0.1/24")?;
        client.add_default_route("10.0.0.1")?;
        switch.ip("link add br0 type bridge")?;
        switch.ip("link set br0 up")?;
        let plug = |namespace: &NetNs, port: &str, address: &str| -> Result<()> {
            veth(namespace, "back", &switch, port)?;
            switch.ip(&format!("link set {port} master br0"))?;
            namespace.add_address("back", address)
        };
        plug(&router, "router", "10.2.0.254/24")?;
        let mut servers = Vec::new();
        for number in 1..=2 {
            let server = NetNs::new(&format!("s{number}"))?;
            plug(&server, &format!("s{number}"), &format!("10.2.0.1{number}/24"))?;
            server.add_default_route("10.2.0.254")?;
            server.set_sysctl("ipv4/conf/all/arp_ignore", "1")?;
            server.set_sysctl("ipv4/conf/all/arp_announce", "2")?;
            server.add_address("lo", "192.0.2.80/32")?;
            if mode == "l4-mode ipip" {
                // Room for what balancers put around packets.
                switch.ip(&format!("link set s{number} mtu 1600"))?;
                server.ip("link set back mtu 1600")?;
                server.enter(|| decap::attach("back", &BALANCERS, None))??;
            }
            serve(&server, number)?;
            servers.push(server);
        }
        let mut config = example("sluice.cfg")?.replace("l4-mode dsr", mode);
        if mode == "l4-mode fullnat" {
            config = config.replace("    l4-pick-up on\n", "");
        }
        let mut balancers = Vec::new();
        for (number, name) in [(1, "bal-a"), (2, "bal-b")] {
            let namespace = NetNs::new(name)?;
            namespace.enable_forwarding()?;
            veth(&namespace, "front", &router, name)?;
            namespace.add_address("front", &format!("10.1.{number}.1/24"))?;
            router.add_address(name, &format!("10.1.{number}.254/24"))?;
            namespace.add_default_route(&format!("10.1.{number}.254"))?;
            plug(&namespace, name, &format!("10.2.0.{number}/24"))?;
            namespace.add_address("lo", "192.0.2.80/32")?;
            if mode == "l4-mode ipip" {
                switch.ip(&format!("link set {name} mtu 1600"))?;
                namespace.ip("link set back mtu 1600")?;
            }
            let instance = format!("it-ecmp-{}", namespace.inode()?);
            let pins = Registration::new(Resource::Dir(format!("/sys/fs/bpf/sluice/{instance}")));
            let text =
                config.replacen("global\n", &format!("global\n    l4-instance {instance}\n"), 1);
            let sluice = Sluice::config(text).master().netns(&namespace).start()?;
            let text = example("balancer.conf")?.replace("10.1.1.", &format!("10.1.{number}."));
            let bird = Some(bird(&namespace, dir.path(), name, &text)?);
            balancers.push(Balancer { namespace, sluice, bird, _pins: pins });
        }
        let birds = vec![bird(&router, dir.path(), "router", &example("router.conf")?)?];
        let world =
            Self { client, router, balancers, servers, _switch: switch, _birds: birds, _dir: dir };
        eventually("both routes", PATIENCE, || world.ways().is_ok_and(|ways| ways == 2))
            .with_context(|| world.told())?;
        Ok(Some(world))
    }

    /// What BIRD has to say, for messages.
    fn told(&self) -> String {
        let ask = |name: &str, what: &str| {
            let mut birdc = std::process::Command::new("birdc");
            birdc.arg("-s").arg(self._dir.path().join(format!("{name}.ctl"))).args(what.split(' '));
            birdc
                .output()
                .map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stdout).into_owned())
        };
        let names = ["router", "bal-a", "bal-b"];
        names.map(|name| ask(name, "show protocols all") + &ask(name, "show route all")).join("\n")
    }

    /// Starts the balancer's BIRD, or ends it.
    fn announce(&mut self, number: usize, on: bool) -> Result<()> {
        let balancer = &mut self.balancers[number];
        balancer.bird = None;
        if on {
            let neighbour = format!("10.1.{}.", number + 1);
            let text = example("balancer.conf")?.replace("10.1.1.", &neighbour);
            let name = ["bal-a", "bal-b"][number];
            balancer.bird = Some(bird(&balancer.namespace, self._dir.path(), name, &text)?);
        }
        Ok(())
    }

    /// Servers answer by a balancer, as `l4-mode nat` needs it.
    fn answer_by(&self, number: usize) -> Result<()> {
        let gateway = BALANCERS[number];
        self.servers
            .iter()
            .try_for_each(|s| s.ip(&format!("route replace default via {gateway}")).map(drop))
    }

    /// Routes that the router has to the service.
    fn ways(&self) -> Result<usize> {
        Ok(self.router.ip("route show 192.0.2.80")?.matches("via ").count())
    }

    fn connect(&self) -> Result<Peer> {
        self.client.enter(|| Peer::connect(SocketAddr::from((VIP, PORT))))?
    }

    fn flows(&self, balancer: usize) -> Result<String> {
        self.balancers[balancer].sluice.stats().command("show l4 flows")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for balancer in &mut self.balancers {
            let _ = balancer.sluice.stop(Signal::SIGTERM);
        }
        for server in &self.servers {
            let _ = server.enter(|| decap::detach("back", None));
        }
    }
}

/// Connections of both balancers; the first one is cut off, and all go on by the other.
fn one_dies(mode: &str) -> Result<()> {
    let Some(mut world) = World::new(mode)? else { return Ok(()) };
    let mut peers = Vec::new();
    eventually("connections on both", PATIENCE, || {
        let Ok(peer) = world.connect() else { return false };
        peers.push(peer);
        (0..2).all(|b| world.flows(b).is_ok_and(|flows| flows.lines().count() >= 2))
    })?;
    for peer in &mut peers {
        peer.echo(10_000)?;
    }
    // Machine and route at once, as when the power goes.
    let dead = &mut world.balancers[0];
    dead.namespace.ip("link set front down")?;
    dead.bird = None;
    eventually("one route", PATIENCE, || world.ways().is_ok_and(|ways| ways == 1))?;
    for peer in &mut peers {
        peer.echo(10_000)?;
    }
    let flows = world.flows(1)?;
    ensure!(
        flows.lines().count() == peers.len(),
        "{} of {}: {flows}",
        flows.lines().count(),
        peers.len()
    );
    let drops = world.balancers[1].sluice.stats().command("show l4 drops")?;
    let picked = drops.lines().find_map(|row| row.strip_prefix("- picked_up "));
    ensure!(picked.is_some_and(|count| count != "0"), "{drops}");
    Ok(())
}

#[test]
fn connections_go_on_when_a_balancer_dies() -> Result<()> {
    one_dies("l4-mode dsr")
}

#[test]
fn tunnelled_connections_go_on_when_a_balancer_dies() -> Result<()> {
    one_dies("l4-mode ipip")
}

/// A pair of which one is active: with its route goes the one of the servers to clients.
#[test]
fn translated_connections_go_on_when_the_active_balancer_dies() -> Result<()> {
    let Some(mut world) = World::new("l4-mode nat")? else { return Ok(()) };
    world.announce(1, false)?;
    world.answer_by(0)?;
    eventually("one route", PATIENCE, || world.ways().is_ok_and(|ways| ways == 1))?;
    let mut peers = (0..6).map(|_| world.connect()).collect::<Result<Vec<_>>>()?;
    for peer in &mut peers {
        peer.echo(10_000)?;
    }
    ensure!(world.flows(0)?.lines().count() == peers.len() && world.flows(1)?.trim().is_empty());
    world.balancers[0].namespace.ip("link set front down")?;
    world.announce(0, false)?;
    world.announce(1, true)?;
    world.answer_by(1)?;
    let via_second =
        || world.router.ip("route show 192.0.2.80").is_ok_and(|r| r.contains("10.1.2.1"));
    eventually("the other route", PATIENCE, via_second)?;
    for peer in &mut peers {
        peer.echo(10_000)?;
    }
    ensure!(world.flows(1)?.lines().count() == peers.len(), "{}", world.flows(1)?);
    world.connect()?.echo(10_000)
}

/// The source ports of full NAT are each balancer's own: connections of the dead one are lost, those of the other are
/// not touched, and new ones come about.
#[test]
fn connections_of_the_living_balancer_go_on_in_full_nat() -> Result<()> {
    let Some(mut world) = World::new("l4-mode fullnat")? else { return Ok(()) };
    let mut peers = Vec::new();
    eventually("connections on both", PATIENCE, || {
        let before = world.flows(1).map_or(0, |flows| flows.lines().count());
        let Ok(peer) = world.connect() else { return false };
        let second = world.flows(1).is_ok_and(|flows| flows.lines().count() > before);
        peers.push((second, peer));
        [false, true].iter().all(|b| peers.iter().any(|(second, _)| second == b))
    })?;
    world.balancers[0].namespace.ip("link set front down")?;
    world.announce(0, false)?;
    eventually("one route", PATIENCE, || world.ways().is_ok_and(|ways| ways == 1))?;
    for (_, peer) in peers.iter_mut().filter(|(second, _)| *second) {
        peer.echo(10_000)?;
    }
    world.connect()?.echo(10_000)
}
