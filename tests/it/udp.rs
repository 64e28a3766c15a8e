//! Mode udp: the same flows of datagrams through the kernel and through userspace.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use proxy_datapath::{Datapath, object};
use tests::guardian::{Registration, Resource};
use tests::netns::run;
use tests::sluice::{Peer as Product, peer};
use tests::tools::{iperf3, iperf3_server};
use tests::wait::PATIENCE;
use tests::{Lab, NetNs, Program, Sluice, eventually, net};

/// A server that answers `<name>:<datagram>` as long as it is there.
struct Echo {
    addr: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Echo {
    fn start(socket: UdpSocket, name: &str) -> Result<Self> {
        Self::repeating(socket, name, 1)
    }

    /// Answers so many times.
    fn repeating(socket: UdpSocket, name: &str, times: usize) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let (addr, ends, name) = (socket.local_addr()?, over.clone(), name.to_owned());
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let thread = std::thread::spawn(move || {
            let mut data = vec![0; 65536];
            while !ends.load(Ordering::Relaxed) {
                let Ok((len, client)) = socket.recv_from(&mut data) else { continue };
                let answer = [name.as_bytes(), b":", &data[..len]].concat();
                for _ in 0..times {
                    let _ = socket.send_to(&answer, client);
                }
            }
        });
        Ok(Self { addr, over, thread: Some(thread) })
    }

    fn local(name: &str) -> Result<Self> {
        Self::start(UdpSocket::bind("127.0.0.1:0")?, name)
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn client(to: SocketAddr) -> Result<UdpSocket> {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    Ok(socket)
}

/// Asks until there is an answer, as clients of datagrams do.
fn ask(socket: &UdpSocket, question: &str) -> Result<String> {
    let mut data = vec![0; 65536];
    let mut answer = None;
    eventually("an answer", PATIENCE, || {
        let _ = socket.send(question.as_bytes());
        // Answers to what was asked again may be late.
        while let Ok(len) = socket.recv(&mut data) {
            let text = String::from_utf8_lossy(&data[..len]).into_owned();
            if text.split_once(':').is_some_and(|(_, echoed)| echoed == question) {
                answer = Some(text);
                return true;
            }
        }
        false
    })?;
    answer.context("no answer")
}

/// Whether one question has an answer within a moment.
fn answers(socket: &UdpSocket) -> bool {
    let mut data = [0; 512];
    socket.send(b"?").is_ok() && socket.recv(&mut data).is_ok()
}

fn not_sluice() -> bool {
    let other = peer() != Product::Sluice;
    if other {
        eprintln!("skipped: mode udp is Sluice's own");
    }
    other
}

fn listen(port: u16, lines: &str, servers: &[(&str, SocketAddr)]) -> String {
    let servers: String =
        servers.iter().map(|(name, addr)| format!("    server {name} {addr}\n")).collect();
    format!(
        "defaults\n    timeout client 30s\n    timeout server 30s\n\
         listen dns\n    mode udp\n    bind udp4@127.0.0.1:{port}\n{lines}{servers}"
    )
}

#[test]
fn flows_stay_with_their_server_and_are_counted() -> Result<()> {
    if not_sluice() {
        return Ok(());
    }
    let (a, b) = (Echo::local("a")?, Echo::local("b")?);
    let port = net::free_port()?;
    let config = listen(port, "    balance roundrobin\n", &[("a", a.addr), ("b", b.addr)]);
    let sluice = Sluice::config(config).start()?;
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let clients = (0..4).map(|_| client(to)).collect::<Result<Vec<_>>>()?;
    let mut homes = Vec::new();
    for client in &clients {
        homes.push(ask(client, "x")?);
    }
    homes.sort();
    ensure!(homes == ["a:x", "a:x", "b:x", "b:x"], "{homes:?}");
    for client in &clients {
        let first = ask(client, "again")?;
        ensure!(ask(client, "again")? == first);
    }
    let long = "l".repeat(9000);
    ensure!(ask(&clients[0], &long)?.ends_with(&long));
    let stats = sluice.stats();
    ensure!(stats.count("dns", "FRONTEND", "stot")? == 4);
    ensure!(stats.count("dns", "FRONTEND", "scur")? == 4);
    ensure!(stats.count("dns", "a", "scur")? + stats.count("dns", "b", "scur")? == 4);
    let sessions = stats.command("show sess")?;
    ensure!(sessions.lines().filter(|line| line.contains("fe=dns")).count() == 4, "{sessions}");
    // A drained server keeps its flows, one in maintenance does not.
    stats.command("set server dns/a state drain")?;
    let at_a: Vec<_> = clients.iter().filter(|c| ask(c, "y").is_ok_and(|t| t == "a:y")).collect();
    ensure!(at_a.len() == 2, "{} left a draining server", 2 - at_a.len());
    stats.command("set server dns/a state maint")?;
    for client in &clients {
        ensure!(ask(client, "z")? == "b:z");
    }
    ensure!(stats.count("dns", "a", "scur")? == 0);
    stats.command("shutdown sessions server dns/b")?;
    stats.command("set server dns/a state ready")?;
    let again = clients.iter().map(|c| ask(c, "w")).collect::<Result<Vec<_>>>()?;
    ensure!(again.iter().any(|t| t == "a:w"), "{again:?}");
    Ok(())
}

#[test]
fn limits_and_ends_of_flows() -> Result<()> {
    if not_sluice() {
        return Ok(());
    }
    let echo = Echo::local("a")?;
    let (port, once) = (net::free_port()?, net::free_port()?);
    let config = format!(
        "{}listen once\n    mode udp\n    bind udp4@127.0.0.1:{once}\n    udp-responses 1\n    server a {}\n",
        listen(
            port,
            "    maxconn 2\n    tcp-request connection reject if { src 127.0.0.9 }\n",
            &[("a", echo.addr)]
        ),
        echo.addr
    );
    let sluice = Sluice::config(config).start()?;
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let (first, second, third) = (client(to)?, client(to)?, client(to)?);
    ask(&first, "x")?;
    ask(&second, "x")?;
    // Both have been answered, so nobody makes room for another one.
    ensure!(!answers(&third), "beyond maxconn");
    ensure!(answers(&first) && answers(&second));
    let refused = UdpSocket::bind("127.0.0.9:0")?;
    refused.connect(to)?;
    refused.set_read_timeout(Some(Duration::from_millis(200)))?;
    ensure!(!answers(&refused), "reject");
    let stats = sluice.stats();
    ensure!(stats.count("dns", "FRONTEND", "dcon")? == 1);
    // One answer ends a flow.
    let asker = client(SocketAddr::from(([127, 0, 0, 1], once)))?;
    ask(&asker, "x")?;
    eventually("the end of the flow", PATIENCE, || {
        stats.count("once", "FRONTEND", "scur").is_ok_and(|n| n == 0)
    })?;
    ask(&asker, "x")?;
    ensure!(stats.count("once", "FRONTEND", "stot")? >= 2);
    Ok(())
}

/// A server whose host says that nobody listens there is left for another one.
#[test]
fn nobody_there_means_elsewhere() -> Result<()> {
    if not_sluice() {
        return Ok(());
    }
    let echo = Echo::local("a")?;
    let port = net::free_port()?;
    let dead = UdpSocket::bind("127.0.0.1:0")?.local_addr()?;
    let config = listen(port, "    balance roundrobin\n", &[("dead", dead), ("a", echo.addr)]);
    let sluice = Sluice::config(config).start()?;
    for _ in 0..4 {
        let client = client(SocketAddr::from(([127, 0, 0, 1], port)))?;
        ensure!(ask(&client, "x")? == "a:x");
    }
    ensure!(sluice.stats().count("dns", "dead", "econ")? >= 2);
    Ok(())
}

/// The soft stop and a reload: new datagrams are the new worker's.
#[test]
fn a_reload_goes_unnoticed() -> Result<()> {
    if not_sluice() {
        return Ok(());
    }
    let echo = Echo::local("a")?;
    let port = net::free_port()?;
    let config = listen(port, "    balance source\n", &[("a", echo.addr)]);
    let mut sluice = Sluice::config(config).master().start()?;
    let to = SocketAddr::from(([127, 0, 0, 1], port));
    let client = client(to)?;
    ensure!(ask(&client, "before")? == "a:before");
    for _ in 0..2 {
        sluice.reload()?;
        ensure!(ask(&client, "after")? == "a:after");
    }
    Ok(())
}

#[test]
fn what_mode_udp_cannot_have_is_said() -> Result<()> {
    if not_sluice() {
        return Ok(());
    }
    let check = |lines: &str, part: &str| -> Result<()> {
        let config = format!(
            "defaults\n    timeout client 1s\n    timeout server 1s\n    timeout connect 1s\n{lines}"
        );
        let output = Sluice::config(config).arg("-c").run()?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(!output.status.success() && text.contains(part), "{lines}: {text}");
        Ok(())
    };
    let udp = |lines: &str| {
        format!(
            "listen x\n    mode udp\n    bind udp@127.0.0.1:5300\n    server a 127.0.0.1:53\n{lines}"
        )
    };
    check(
        "listen x\n    bind udp@127.0.0.1:5300\n    server a 127.0.0.1:53\n",
        "'mode udp' take them",
    )?;
    check("listen x\n    mode udp\n    bind 127.0.0.1:5300\n    server a 127.0.0.1:53\n", "udp4@")?;
    check(
        "listen x\n    bind 127.0.0.1:5300\n    server a udp@127.0.0.1:53\n",
        "datagram address",
    )?;
    check(&udp("    tcp-request content accept\n"), "tcp-request content")?;
    check(
        &udp("    tcp-request connection reject if { src_port 53 }\n"),
        "more than the client's address",
    )?;
    check(&udp("    use_backend x if TRUE\n"), "use_backend")?;
    check(&udp("    server b 127.0.0.1:54 ssl verify none\n"), "ssl")?;
    check(
        "frontend f\n    mode udp\n    bind udp@127.0.0.1:5300\n    default_backend b\nbackend b\n    server a 127.0.0.1:53\n",
        "incompatible",
    )?;
    Ok(())
}

/// A balancer between a client and two servers, through the kernel.
struct Scene {
    sluice: Sluice,
    lab: Lab,
    instance: String,
    _pins: Registration,
}

const VIP: &str = "10.1.0.1";

impl Scene {
    fn new(
        sections: impl Fn(&Lab) -> String,
        prepare: impl Fn(&Lab) -> Result<()>,
    ) -> Result<Option<Self>> {
        if !net::is_root() || not_sluice() {
            eprintln!("skipped: needs root");
            return Ok(None);
        }
        if let Err(reason) = object::bytes() {
            eprintln!("skipped: {reason}");
            return Ok(None);
        }
        let lab = Lab::new(2)?;
        prepare(&lab)?;
        let instance = format!("it-udp-{}", lab.balancer.inode()?);
        let pins = Registration::new(Resource::Dir(format!("/sys/fs/bpf/sluice/{instance}")));
        let config = format!(
            "global\n    l4-instance {instance}\n\
             defaults\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n{}",
            sections(&lab)
        );
        let sluice = Sluice::config(config).master().netns(&lab.balancer).start()?;
        let scene = Self { sluice, lab, instance, _pins: pins };
        let paths = scene.sluice.stats().command("show l4")?;
        let rows = paths
            .lines()
            .filter(|row| ["10.1.0.1", "10.9.0.1", "fd01::1"].iter().any(|vip| row.contains(vip)));
        let (l4, others): (Vec<_>, Vec<_>) = rows.partition(|row| row.contains(" l4 ("));
        ensure!(!l4.is_empty() && others.is_empty(), "{paths}");
        Ok(Some(scene))
    }

    fn flows(&self) -> Result<Vec<String>> {
        let flows = self.sluice.stats().command("show l4 flows")?;
        Ok(flows.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.sluice.stop(Signal::SIGTERM);
        let _ = Datapath::detach_instance(Some(&self.instance), None);
    }
}

fn servers(port: &str) -> String {
    (1..=2).map(|n| format!("    server s{n} {}{port}\n", Lab::server_v4(n))).collect()
}

fn echoes(lab: &Lab, at: &dyn Fn(usize) -> String) -> Result<Vec<Echo>> {
    let started = lab.servers.iter().zip(1..).map(|(server, n)| {
        let at = at(n);
        let socket = server.enter(|| UdpSocket::bind(at.as_str()))??;
        Echo::start(socket, &format!("s{n}"))
    });
    started.collect()
}

/// In every mode: answers come from the address that was asked, flows stay, and large datagrams travel in pieces.
#[test]
fn every_mode_carries_datagrams() -> Result<()> {
    for mode in ["fullnat", "nat", "dsr", "ipip"] {
        let one_way = mode == "dsr" || mode == "ipip";
        let vip = if one_way { "10.9.0.1" } else { VIP };
        let listens = |n: usize| match one_way {
            true => format!("{vip}:5300"),
            false => format!("{}:5300", Lab::server_v4(n)),
        };
        let prepare = |lab: &Lab| {
            if !one_way {
                return Ok(());
            }
            // The address is the servers'; the balancer only listens for it.
            lab.balancer.set_sysctl("ipv4/ip_nonlocal_bind", "1")?;
            for (server, n) in lab.servers.iter().zip(1..) {
                server.add_address("lo", &format!("{vip}/32"))?;
                if mode == "ipip" {
                    // Room for what is put around the packets.
                    server.ip("link set eth0 mtu 1600")?;
                    lab.balancer.ip(&format!("link set s{n} mtu 1600"))?;
                    let balancer = format!("10.2.{n}.1").parse()?;
                    server.enter(|| proxy_datapath::decap::attach("eth0", &[balancer], None))??;
                }
            }
            Ok(())
        };
        let section = |_: &Lab| {
            format!(
                "listen echo\n    mode udp\n    bind udp4@{vip}:5300\n    l4-mode {mode}\n    balance roundrobin\n{}",
                servers(":5300")
            )
        };
        let Some(scene) = Scene::new(section, prepare)? else { return Ok(()) };
        let _echoes = echoes(&scene.lab, &listens)?;
        let to: SocketAddr = format!("{vip}:5300").parse()?;
        let sockets =
            scene.lab.client.enter(|| (0..2).map(|_| client(to)).collect::<Result<Vec<_>>>())??;
        let mut homes = Vec::new();
        for socket in &sockets {
            homes.push(ask(socket, "x").with_context(|| mode.to_owned())?);
        }
        homes.sort();
        ensure!(homes == ["s1:x", "s2:x"], "{mode}: {homes:?}");
        let long = "l".repeat(4000);
        for socket in &sockets {
            let first = ask(socket, "again")?;
            ensure!(ask(socket, "again")? == first, "{mode}: moved");
            let answer = ask(socket, &long).with_context(|| format!("{mode}: in pieces"))?;
            ensure!(answer.ends_with(&long), "{mode}");
        }
        let flows = scene.flows()?;
        ensure!(
            flows.len() == 2 && flows.iter().all(|f| f.contains("fe=echo")),
            "{mode}: {flows:?}"
        );
        let stats = scene.sluice.stats();
        let what = format!("{mode}: the kernel's numbers");
        eventually(&what, PATIENCE, || {
            let count = |who| stats.count("echo", who, "stot").unwrap_or_default();
            (count("FRONTEND"), count("s1")) == (2, 1)
        })?;
        if !one_way {
            // A server that leaves takes its flows along, one that drains keeps them.
            stats.command("set server echo/s1 state drain")?;
            let homes = sockets.iter().map(|s| ask(s, "y")).collect::<Result<Vec<_>>>()?;
            ensure!(homes.iter().any(|home| home == "s1:y"), "{mode}: drain: {homes:?}");
            stats.command("set server echo/s1 state maint")?;
            for socket in &sockets {
                let what = format!("{mode}: flows leave a server in maintenance");
                eventually(&what, PATIENCE, || ask(socket, "z").is_ok_and(|home| home == "s2:z"))?;
            }
        }
        if mode == "ipip" {
            for server in &scene.lab.servers {
                server.enter(|| proxy_datapath::decap::detach("eth0", None))??;
            }
        }
    }
    Ok(())
}

/// Names and their addresses from real servers, over both families, and bulk datagrams without loss.
#[test]
fn dns_and_bulk_through_the_kernel() -> Result<()> {
    let section = |_: &Lab| {
        let v6: String =
            (1..=2).map(|n| format!("    server s{n} [{}]:53\n", Lab::server_v6(n))).collect();
        format!(
            "listen dns\n    mode udp\n    bind udp4@{VIP}:53\n    udp-responses 1\n{}\
             listen dns6\n    mode udp\n    bind udp6@fd01::1:53\n{v6}\
             listen dns-tcp\n    mode tcp\n    bind {VIP}:53\n{}\
             listen bulk\n    mode tcp\n    bind {VIP}:5201\n    balance source\n{}\
             listen bulk-udp\n    mode udp\n    bind udp4@{VIP}:5201\n    balance source\n{}",
            servers(":53"),
            servers(":53"),
            servers(":5201"),
            servers("")
        )
    };
    let Some(scene) = Scene::new(section, |_| Ok(()))? else { return Ok(()) };
    let lab = &scene.lab;
    let mut running: Vec<Program> = Vec::new();
    for (server, n) in lab.servers.iter().zip(1..) {
        let records: String =
            (0..60).map(|i| format!("--host-record=many.test,192.0.2.{i} ")).collect();
        let mut dnsmasq = server.command("dnsmasq");
        dnsmasq.args([
            "--keep-in-foreground",
            "--no-resolv",
            "--no-hosts",
            "--conf-file=/dev/null",
            "--log-facility=-",
        ]);
        dnsmasq.args(["--user=root", "--pid-file", "--edns-packet-max=4096"]);
        dnsmasq.arg(format!("--address=/who.test/192.0.2.{n}")).args(records.split_whitespace());
        let dnsmasq = Program::start("dnsmasq", &mut dnsmasq)?;
        dnsmasq.wait_line("started", PATIENCE)?;
        running.push(dnsmasq);
        running.push(iperf3_server(server, 5201)?);
    }
    let dig = |arguments: &str| dig(&lab.client, arguments);
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..16 {
        seen.push(dig(&format!("@{VIP} who.test A"))?);
    }
    seen.sort();
    seen.dedup();
    ensure!(seen == ["192.0.2.1", "192.0.2.2"], "{seen:?}");
    ensure!(dig("@fd01::1 who.test A")?.starts_with("192.0.2."));
    ensure!(dig(&format!("@{VIP} +tcp who.test A"))?.starts_with("192.0.2."));
    ensure!(dig(&format!("@{VIP} +bufsize=4096 +ignore many.test A"))?.lines().count() > 1);
    let stats = scene.sluice.stats();
    eventually("the kernel's numbers", PATIENCE, || {
        stats.count("dns", "FRONTEND", "stot").is_ok_and(|n| n >= 17)
    })?;
    // Each answer ended its flow.
    eventually("the end of flows", PATIENCE, || {
        stats.count("dns", "FRONTEND", "scur").is_ok_and(|n| n == 0)
    })?;
    let metrics = stats.command("show l4 drops")?;
    ensure!(!metrics.contains("rewrite_failed 1"), "{metrics}");
    for arguments in
        ["-u -b 20M -t 2 -l 1200", "-u -b 20M -t 2 -l 4000", "-u -b 20M -t 2 -R -l 1200"]
    {
        let rate = iperf3(&lab.client, &format!("-c {VIP} {arguments}"))?;
        ensure!(rate > 1.5e6, "{arguments}: {rate} bytes/s");
    }
    eventually("bulk is counted", PATIENCE, || {
        let count = |column| stats.count("bulk-udp", "FRONTEND", column).unwrap_or_default();
        count("bin") > 5_000_000 && count("bout") > 3_000_000
    })?;
    Ok(())
}

fn dig(client: &NetNs, arguments: &str) -> Result<String> {
    let mut command = client.command("dig");
    command.args(["+short", "+time=2", "+tries=5"]).args(arguments.split_whitespace());
    Ok(run(&mut command)?.trim().to_owned())
}
