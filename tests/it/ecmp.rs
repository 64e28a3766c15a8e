//! Two balancers behind a route of equal cost (examples/ecmp): one dies, and connections go on.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use proxy_datapath::object;
use tests::guardian::{Registration, Resource};
use tests::netns::veth;
use tests::sluice::{Peer as Product, peer};
use tests::wait::PATIENCE;
use tests::{NetNs, Program, Sluice, eventually, net};

use crate::datapath::{PORT, Peer, serve};

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
    _servers: Vec<NetNs>,
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
            serve(&server, number)?;
            servers.push(server);
        }
        let config = example("sluice.cfg")?.replace("l4-mode dsr", mode);
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
        let world = Self {
            client,
            router,
            balancers,
            _servers: servers,
            _switch: switch,
            _birds: birds,
            _dir: dir,
        };
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
