//! Odd ways through the network: VLAN tags, clients that are servers, addresses on loopback, the host itself.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use tests::{Lab, eventually, wait::PATIENCE};

use crate::datapath::{PORT, Peer};
use crate::kernel::Scene;

/// Whether the kernel has 802.1Q.
fn has_vlans() -> bool {
    tests::NetNs::new("vlan")
        .is_ok_and(|namespace| namespace.ip("link add link lo name v1 type vlan id 1").is_ok())
}

/// Frames with tags on both sides: the programs of the VLAN interfaces carry them, whatever the parent has.
#[test]
fn tagged_frames_are_carried() -> Result<()> {
    if !has_vlans() {
        eprintln!("skipped: this kernel has no VLAN interfaces");
        return Ok(());
    }
    for hook in ["tc", "xdp-generic"] {
        let lines = "    balance roundrobin\n    l4 require\n\
             \x20   server s1 10.3.1.2:80\n    server s2 10.2.2.2:80\n";
        let prepare = |lab: &Lab| {
            for (namespace, parent, last) in [(&lab.client, "eth0", 2), (&lab.balancer, "front", 1)]
            {
                namespace.ip(&format!("link add link {parent} name v10 type vlan id 10"))?;
                namespace.add_address("v10", &format!("10.1.10.{last}/24"))?;
                namespace.ip("link set v10 up")?;
            }
            for (namespace, parent, last) in
                [(&lab.servers[0], "eth0", 2), (&lab.balancer, "s1", 1)]
            {
                namespace.ip(&format!("link add link {parent} name v20 type vlan id 20"))?;
                namespace.add_address("v20", &format!("10.3.1.{last}/24"))?;
                namespace.ip("link set v20 up")?;
            }
            Ok(())
        };
        let Some(scene) =
            Scene::with("10.1.10.1", &format!("    l4-hook {hook}\n"), lines, prepare)?
        else {
            return Ok(());
        };
        let mut peers = (0..4).map(|_| scene.connect()).collect::<Result<Vec<_>>>()?;
        for peer in &mut peers {
            peer.echo(1_000_000)?;
        }
        let mut servers: Vec<_> = peers.iter().map(|peer| peer.server).collect();
        servers.sort_unstable();
        ensure!(servers == [1, 1, 2, 2], "{hook}: {servers:?}");
        let flows = scene.command("show l4 flows")?;
        ensure!(flows.lines().count() == 4, "{hook}: {flows}");
        ensure!(flows.contains(" dst=10.3.1.2:80 "), "{hook}: {flows}");
    }
    Ok(())
}

/// A server is a client of the service that it serves: packets leave where they came from.
#[test]
fn a_server_reaches_itself_through_the_balancer() -> Result<()> {
    let lines = "    balance roundrobin\n    server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n";
    for hook in ["tc", "xdp-generic"] {
        let hook = format!("    l4-hook {hook}\n");
        let Some(scene) = Scene::with("10.1.0.1", &hook, lines, |_| Ok(()))? else { return Ok(()) };
        let vip = SocketAddr::from(([10, 1, 0, 1], PORT));
        let connect = || scene.lab.servers[0].enter(|| Peer::connect(vip))?;
        let mut peers = [connect()?, connect()?];
        ensure!(peers[0].server != peers[1].server);
        for peer in &mut peers {
            peer.echo(100_000)?;
        }
        let flows = scene.command("show l4 flows client 10.2.1.2")?;
        ensure!(flows.lines().count() == 2, "{flows}");
    }
    Ok(())
}

/// A VIP on the loopback interface is reached from outside through the kernel, and by the host itself through userspace.
#[test]
fn an_address_on_loopback_serves_all() -> Result<()> {
    let lines = "    balance roundrobin\n    server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n";
    let prepare = |lab: &Lab| lab.balancer.add_address("lo", "10.9.0.1/32");
    let Some(scene) = Scene::with("10.9.0.1", "", lines, prepare)? else { return Ok(()) };
    let mut outside = scene.connect()?;
    outside.echo(100_000)?;
    ensure!(scene.command("show l4 flows")?.lines().count() == 1);
    let vip = SocketAddr::from(([10, 9, 0, 1], PORT));
    let mut own = scene.lab.balancer.enter(|| Peer::connect(vip))??;
    own.echo(100_000)?;
    ensure!(
        scene.command("show l4 flows")?.lines().count() == 1,
        "the host's own went through the kernel"
    );
    eventually("both are counted", PATIENCE, || {
        scene.stats().count("web", "FRONTEND", "stot").is_ok_and(|count| count == 2)
    })
}
