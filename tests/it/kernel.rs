//! The kernel path through the program itself: what a configuration asks for is what the kernel does.

use std::io::{Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use proxy_datapath::object;
use tests::guardian::{Registration, Resource};
use tests::sluice::{Peer as Product, peer};
use tests::wait::PATIENCE;
use tests::{Lab, Sluice, eventually, net};

use crate::datapath::{PORT, Peer, serve};

/// Port of the frontend that changes lists.
const CONTROL: u16 = 8081;

/// The load balancer between a client and two servers that say who they are and echo.
pub(crate) struct Scene {
    pub(crate) sluice: Sluice,
    instance: String,
    vip: &'static str,
    config: String,
    pub(crate) lab: Lab,
    _pins: Registration,
}

impl Scene {
    /// Starts it with these lines in `listen web`, which has the VIP. `None`, with the reason printed, where
    /// there can be no layer 4.
    pub(crate) fn new(lines: &str) -> Result<Option<Self>> {
        Self::at("10.1.0.1", lines, |_| Ok(()))
    }

    /// The same with another VIP, after a change of the network.
    fn at(
        vip: &'static str,
        lines: &str,
        prepare: impl Fn(&Lab) -> Result<()>,
    ) -> Result<Option<Self>> {
        Self::with(vip, "", lines, prepare)
    }

    /// The same with lines for `global`.
    pub(crate) fn with(
        vip: &'static str,
        global: &str,
        lines: &str,
        prepare: impl Fn(&Lab) -> Result<()>,
    ) -> Result<Option<Self>> {
        if !net::is_root() || peer() != Product::Sluice {
            eprintln!("skipped: needs root, and a kernel path");
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
        prepare(&lab)?;
        let instance = format!("it-kernel-{}", lab.balancer.inode()?);
        let pins = Registration::new(Resource::Dir(format!("/sys/fs/bpf/sluice/{instance}")));
        let config = format!(
            "global\n    l4-instance {instance}\n{global}\
             defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n\
             listen web\n    bind {vip}:{PORT}\n{lines}"
        );
        let sluice = Sluice::config(config.as_str()).master().netns(&lab.balancer).start()?;
        let scene = Self { sluice, instance, vip, config, lab, _pins: pins };
        let paths = scene.command("show l4")?;
        ensure!(
            paths.lines().any(|row| row.starts_with("web") && row.contains(" l4 (")),
            "{paths}"
        );
        Ok(Some(scene))
    }

    /// Starts it once more, where the one before was killed.
    pub(crate) fn start_again(&mut self) -> Result<()> {
        let next = Sluice::config(self.config.as_str()).master().netns(&self.lab.balancer);
        self.sluice = next.start()?;
        Ok(())
    }

    pub(crate) fn command(&self, line: &str) -> Result<String> {
        self.sluice.stats().command(line)
    }

    pub(crate) fn stats(&self) -> &tests::Stats {
        self.sluice.stats()
    }

    pub(crate) fn connect(&self) -> Result<Peer> {
        let vip = SocketAddr::new(self.vip.parse()?, PORT);
        self.lab.client.enter(|| Peer::connect(vip))?
    }

    /// Sends a request to the frontend that changes lists.
    fn ask(&self, path: &str) -> Result<()> {
        let control = SocketAddr::from(([10, 1, 0, 1], CONTROL));
        self.lab.client.enter(|| {
            let mut stream = std::net::TcpStream::connect_timeout(&control, PATIENCE)?;
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            ensure!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            Ok(())
        })?
    }

    /// Whether a connection comes about within a moment.
    fn try_connect(&self) -> Result<bool> {
        let vip = SocketAddr::from(([10, 1, 0, 1], PORT));
        let moment = std::time::Duration::from_millis(200);
        self.lab.client.enter(|| std::net::TcpStream::connect_timeout(&vip, moment).is_ok())
    }

    /// The file that names the client's namespace.
    pub(crate) fn client_path(&self) -> std::path::PathBuf {
        self.lab.client.path()
    }

    fn count(&self, service: &str, column: &str) -> u64 {
        self.sluice.stats().count("web", service, column).unwrap_or(u64::MAX)
    }
}

/// `shutdown sessions server` and `on-marked-down shutdown-sessions` end what the kernel carries, too; so does
/// nothing else.
#[test]
fn sessions_of_a_server_are_shut_down_in_the_kernel() -> Result<()> {
    let lines = "    balance roundrobin\n\
         \x20   server s1 10.2.1.2:80 on-marked-down shutdown-sessions\n    server s2 10.2.2.2:80\n";
    let Some(scene) = Scene::new(lines)? else { return Ok(()) };
    let mut peers = (0..4).map(|_| scene.connect()).collect::<Result<Vec<_>>>()?;
    let flows = scene.command("show l4 flows")?;
    ensure!(flows.lines().count() == 4, "{flows}");
    ensure!(flows.lines().all(|flow| flow.starts_with("10.1.0.2:") && flow.contains(" fe=web ")));
    let on_second = scene.command("show l4 flows server web/s2")?;
    ensure!(on_second.lines().count() == 2, "{on_second}");
    scene.command("shutdown sessions server web/s2")?;
    eventually("the end of those of s2", PATIENCE, || {
        scene.command("show l4 flows server web/s2").is_ok_and(|flows| flows.trim().is_empty())
    })?;
    for peer in &mut peers {
        ensure!(peer.echo(100).is_ok() == (peer.server == 1), "on s{}", peer.server);
    }
    // A server that is set down by its checks, as an operator does it by hand.
    scene.command("set server web/s1 health down")?;
    eventually("the end of those of s1", PATIENCE, || {
        scene.command("show l4 flows").is_ok_and(|flows| flows.trim().is_empty())
    })
    .with_context(|| scene.command("show servers state").unwrap_or_default())?;
    ensure!(peers.iter_mut().all(|peer| peer.echo(100).is_err()));
    let drops = scene.command("show l4 drops")?;
    ensure!(drops.lines().any(|row| row.starts_with("- no_flow ")), "{drops}");
    Ok(())
}

/// A server without a listener refuses; the client's next SYN goes to the other server.
#[test]
fn a_refused_connection_goes_to_another_server() -> Result<()> {
    let lines = "    balance roundrobin\n    retries 2\n\
         \x20   server s1 10.2.1.2:81\n    server s2 10.2.2.2:80\n";
    let Some(scene) = Scene::new(lines)? else { return Ok(()) };
    for _ in 0..2 {
        let mut peer = scene.connect()?;
        ensure!(peer.server == 2, "served by {}", peer.server);
        peer.echo(1000)?;
    }
    let drops = scene.command("show l4 drops")?;
    ensure!(
        drops.lines().any(|row| row.starts_with("- refused ") && !row.ends_with(" 0")),
        "{drops}"
    );
    Ok(())
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A clean stop takes the pins away.
        let _ = self.sluice.stop(nix::sys::signal::Signal::SIGTERM);
    }
}

/// Two slots in the kernel; who comes third waits in userspace until one of them is free.
#[test]
fn a_server_limit_holds_over_both_paths() -> Result<()> {
    let lines = "    balance roundrobin\n    timeout queue 20s\n\
         \x20   server s1 10.2.1.2:80 maxconn 1\n    server s2 10.2.2.2:80 maxconn 1\n";
    let Some(scene) = Scene::new(lines)? else { return Ok(()) };
    let mut first = scene.connect()?;
    let mut second = scene.connect()?;
    ensure!(first.server != second.server, "both on {}", first.server);
    eventually("both in the counters", PATIENCE, || scene.count("FRONTEND", "scur") == 2)?;
    let freed = first.server;
    std::thread::scope(|scope| -> Result<()> {
        let third = scope.spawn(|| scene.connect());
        eventually("one in the queue", PATIENCE, || scene.count("BACKEND", "qcur") == 1)?;
        // The kernel leaves the slot that becomes free to whoever waits.
        first.echo(1000)?;
        drop(first);
        let mut third = third.join().map_err(|_| anyhow::anyhow!("panic"))??;
        ensure!(third.server == freed, "served by {}", third.server);
        third.echo(1000)?;
        second.echo(1000)?;
        ensure!(scene.count("s1", "scur") <= 1 && scene.count("s2", "scur") <= 1);
        Ok(())
    })?;
    drop(second);
    eventually("no connection left", PATIENCE, || scene.count("FRONTEND", "scur") == 0)?;
    // With room again, the kernel carries again.
    let before = scene.count("FRONTEND", "stot");
    scene.connect()?.echo(1000)?;
    eventually("one more", PATIENCE, || scene.count("FRONTEND", "stot") == before + 1)
        .with_context(|| scene.command("show stat").unwrap_or_default())?;
    Ok(())
}

/// Rules about clients' addresses are asked in the kernel, and follow their lists as these change at run time.
#[test]
fn rules_about_addresses_are_asked_in_the_kernel() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let (denied, map) = (dir.path().join("denied"), dir.path().join("map"));
    std::fs::write(&denied, "203.0.113.0/24\n")?;
    std::fs::write(&map, "10.1.0.2 good\n")?;
    let lines = format!(
        "    balance roundrobin\n    acl trusted src,map_ip({map}) -m str good\n\
         \x20   tcp-request connection accept if {{ src 10.1.0.9 }}\n\
         \x20   tcp-request connection silent-drop if {{ src -f {denied} }}\n\
         \x20   tcp-request connection reject unless trusted\n\
         \x20   server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n\
         frontend control\n    mode http\n    bind 10.1.0.1:{CONTROL}\n\
         \x20   http-request del-acl({denied}) %[url_param(key)] if {{ path /del }}\n\
         \x20   http-request set-map({map}) %[url_param(key)] %[url_param(value)] if {{ path /map }}\n\
         \x20   http-request return status 200\n",
        map = map.display(),
        denied = denied.display()
    );
    let Some(scene) = Scene::new(&lines)? else { return Ok(()) };
    let drops = |reason: &str| -> Result<u64> {
        let text = scene.command("show l4 drops")?;
        let row = text.lines().find(|row| row.starts_with("web ") && row.contains(reason));
        let row = row.with_context(|| format!("no {reason}: {text}"))?;
        Ok(row.rsplit(' ').next().unwrap_or_default().parse()?)
    };
    let mut kept = scene.connect()?;
    kept.echo(1000)?;
    ensure!(scene.command("show l4 flows")?.lines().count() == 1);
    ensure!(drops("silent-drop:")? == 0);

    // Dropped: the SYN is not answered, the connection that is there goes on.
    scene.command(&format!("add acl {} 10.1.0.0/24", denied.display()))?;
    let rule = || drops("silent-drop:");
    eventually("the kernel's rule", PATIENCE, || {
        let _ = scene.try_connect();
        rule().is_ok_and(|packets| packets > 0)
    })?;
    kept.echo(1000)?;
    ensure!(drops("denied")? == rule()?);
    eventually("the column of denied connections", PATIENCE, || {
        scene.count("FRONTEND", "dcon") >= 1
    })?;

    // Rejected: userspace, whose rules are the same, closes the connection.
    scene.ask("/del?key=10.1.0.0/24")?;
    scene.ask("/map?key=10.1.0.2&value=bad")?;
    eventually("the way to userspace", PATIENCE, || {
        let _ = scene.try_connect();
        drops("reject:").is_ok_and(|packets| packets > 0)
    })?;
    ensure!(scene.connect().is_err(), "let in");

    // Let in again.
    scene.ask("/map?key=10.1.0.2&value=good")?;
    eventually("the way into the kernel", PATIENCE, || {
        scene.connect().is_ok_and(|mut peer| peer.echo(100).is_ok())
            && scene.command("show l4 flows").is_ok_and(|flows| flows.contains("fe=web"))
    })?;
    kept.echo(1000)?;
    Ok(())
}

/// How a connection attempt ends that does not come about.
fn failure(scene: &Scene) -> Result<std::io::ErrorKind> {
    let vip = SocketAddr::new(scene.vip.parse()?, PORT);
    let moment = std::time::Duration::from_secs(2);
    let outcome = scene.lab.client.enter(|| std::net::TcpStream::connect_timeout(&vip, moment))?;
    outcome.err().map(|error| error.kind()).context("connected")
}

/// A rejected client is told at once, as configured.
#[test]
fn rejected_clients_are_answered_by_the_kernel() -> Result<()> {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, TimedOut};
    let rows = [("", ConnectionRefused), ("unreachable", HostUnreachable), ("drop", TimedOut)];
    for (how, expected) in rows {
        let word = if how.is_empty() { String::new() } else { format!("    l4-reject {how}\n") };
        let lines = format!(
            "{word}    tcp-request connection reject if {{ src 10.1.0.2 }}\n\
             \x20   server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n"
        );
        let Some(scene) = Scene::new(&lines)? else { return Ok(()) };
        ensure!(failure(&scene)? == expected, "{how}");
        let drops = scene.command("show l4 drops")?;
        let counted =
            |row: &str| drops.lines().any(|line| line.starts_with(row) && !line.ends_with(" 0"));
        ensure!(counted("web denied ") && counted("web reject:"), "{drops}");
        eventually("the column of denied connections", PATIENCE, || {
            scene.count("FRONTEND", "dcon") >= 1
        })?;
    }
    Ok(())
}

/// While no server lives new connections are told so, and those that are there go on.
#[test]
fn without_a_server_the_kernel_answers() -> Result<()> {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable};
    for (how, expected) in [("reset", ConnectionRefused), ("unreachable", HostUnreachable)] {
        let lines = format!(
            "    l4-no-server {how}\n    server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n"
        );
        let Some(scene) = Scene::new(&lines)? else { return Ok(()) };
        let mut kept = scene.connect()?;
        for server in ["s1", "s2"] {
            scene.command(&format!("set server web/{server} state maint"))?;
        }
        eventually("the kernel's answer", PATIENCE, || {
            failure(&scene).is_ok_and(|kind| kind == expected)
        })
        .with_context(|| how)?;
        kept.echo(1000)?;
        scene.command("set server web/s2 state ready")?;
        eventually("a server again", PATIENCE, || {
            scene.connect().is_ok_and(|mut next| next.server == 2 && next.echo(1000).is_ok())
        })?;
    }
    Ok(())
}

/// `l4-deny`: whom a connection rule turned away in userspace stays away from its first packet on, for a time, until
/// somebody lets it in.
#[test]
fn clients_that_were_turned_away_stay_away() -> Result<()> {
    use std::io::ErrorKind::{ConnectionRefused, TimedOut};
    // Rules that look at more than addresses keep the frontend in userspace; so does mode http.
    for (mode, rule, kind) in
        [("tcp", "silent-drop", TimedOut), ("http", "reject", ConnectionRefused)]
    {
        let lines = format!(
            "    server s1 10.2.1.2:80\n\
             frontend guarded\n    mode {mode}\n    bind 10.1.0.1:{CONTROL}\n    l4-deny 1h\n\
             \x20   tcp-request connection {rule} if {{ src_port gt 0 }} {{ src,concat(-) -m str 10.1.0.2- }} \n\
             \x20   default_backend be\nbackend be\n    mode {mode}\n    server s1 10.2.1.2:80\n"
        );
        let Some(scene) = Scene::new(&lines)? else { return Ok(()) };
        let guarded = SocketAddr::from(([10, 1, 0, 1], CONTROL));
        let attempt = |limit| -> Result<Option<std::io::ErrorKind>> {
            let outcome =
                scene.lab.client.enter(|| std::net::TcpStream::connect_timeout(&guarded, limit))?;
            Ok(outcome.err().map(|error| error.kind()))
        };
        let let_in = || -> Result<()> {
            let outcome = attempt(PATIENCE)?;
            ensure!(outcome.is_none(), "{mode}: {outcome:?}");
            Ok(())
        };
        // Userspace lets it connect first.
        let_in()?;
        eventually("the kernel's entry", PATIENCE, || {
            scene.command("show l4 denied").is_ok_and(|text| text.contains("guarded 10.1.0.2 "))
        })?;
        ensure!(attempt(std::time::Duration::from_millis(500))? == Some(kind), "{mode}");
        let drops = scene.command("show l4 drops")?;
        ensure!(
            drops.lines().any(|row| row.starts_with("guarded denied ") && !row.ends_with(" 0"))
        );
        ensure!(drops.lines().any(|row| row.starts_with("- deny_list ") && !row.ends_with(" 0")));
        let dcon = || scene.sluice.stats().count("guarded", "FRONTEND", "dcon").unwrap_or(0);
        eventually("the column of denied connections", PATIENCE, || dcon() >= 2)?;
        // Other frontends are not concerned.
        scene.connect()?.echo(10)?;
        ensure!(scene.command("clear l4 denied 10.1.0.2")?.contains("1 let in again"));
        let_in()?;
    }
    Ok(())
}

/// `sluice l4 trace`: who is rejected is seen, and written to a file with the reason.
#[test]
fn packets_that_are_not_sent_on_are_traced() -> Result<()> {
    let lines =
        "    tcp-request connection reject if { src 10.1.0.2 }\n    server s1 10.2.1.2:80\n";
    let Some(scene) = Scene::new(lines)? else { return Ok(()) };
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("drops.pcapng");
    let mut trace = scene.lab.balancer.command(tests::sluice::binary()?);
    trace
        .args(["l4", "trace", &scene.instance, "--max", "1", "--seconds", "20", "--pcap"])
        .arg(&file);
    let trace = tests::Program::start("sluice l4 trace", &mut trace)?;
    trace.wait_line("# time", PATIENCE)?;
    // One at a time.
    let mut second = scene.lab.balancer.command(tests::sluice::binary()?);
    let second = second.args(["l4", "trace", &scene.instance, "--seconds", "1"]).output()?;
    ensure!(!second.status.success());
    ensure!(failure(&scene)? == std::io::ErrorKind::ConnectionRefused);
    let number = trace.wait_line(" answered denied tcp 10.1.0.2:", PATIENCE)?;
    let line = trace.lines().swap_remove(number);
    ensure!(line.contains(" front tc ") && line.contains(" -> 10.1.0.1:80 len=74"), "{line}");
    eventually("the file", PATIENCE, || {
        std::fs::read(&file).is_ok_and(|text| {
            text.windows(18).any(|part| part == b"answered denied tc") && text.len() > 150
        })
    })?;
    let metrics = scene.command("show l4 drops")?;
    ensure!(metrics.lines().any(|row| row == "- reset 1"), "{metrics}");
    Ok(())
}

/// What a soft stop refuses stays refused when the network changes.
#[test]
fn a_soft_stop_lets_nobody_in_again() -> Result<()> {
    let lines = "    server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n";
    let Some(scene) = Scene::new(lines)? else { return Ok(()) };
    let mut kept = scene.connect()?;
    let worker = nix::unistd::Pid::from_raw(scene.sluice.worker_pid()?.try_into()?);
    nix::sys::signal::kill(worker, nix::sys::signal::Signal::SIGUSR1)?;
    eventually("no new connections", PATIENCE, || scene.try_connect().is_ok_and(|came| !came))?;
    // Another address and another interface, which the worker sees within some seconds.
    scene.lab.balancer.add_address("front", "10.1.0.77/24")?;
    scene.lab.balancer.ip("link add late type veth peer name late-peer")?;
    scene.lab.balancer.ip("link set late up")?;
    let instance = scene.instance.clone();
    eventually("the new interface", PATIENCE, || {
        // In the namespace where the interfaces have their names.
        let mut status = scene.lab.balancer.command(tests::sluice::binary().unwrap_or_default());
        let status = status.args(["l4", "status", &instance]).output();
        status.is_ok_and(|out| String::from_utf8_lossy(&out.stdout).contains("interface late "))
    })?;
    for _ in 0..5 {
        ensure!(!scene.try_connect()?, "let in after the soft stop");
    }
    kept.echo(1000)?;
    Ok(())
}

/// `sluice l4` reads the pins beside the process, and after it was killed.
#[test]
fn the_kernel_is_read_without_the_process() -> Result<()> {
    let lines = "    balance roundrobin\n\
         \x20   server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n";
    let Some(mut scene) = Scene::new(lines)? else { return Ok(()) };
    let mut first = scene.connect()?;
    let mut second = scene.connect()?;
    first.echo(1000)?;
    second.echo(2000)?;
    let instance = scene.instance.clone();
    let read = |words: &[&str]| -> Result<String> {
        let (verb, rest) = words.split_first().context("a verb")?;
        let output = std::process::Command::new(tests::sluice::binary()?)
            .args(["l4", verb, &instance])
            .args(rest)
            .output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{words:?}: {error}");
        Ok(String::from_utf8(output.stdout)?)
    };
    let flows =
        |words: &[&str]| -> Result<serde_json::Value> { Ok(serde_json::from_str(&read(words)?)?) };
    for killed in [false, true] {
        if killed {
            scene.sluice.stop(nix::sys::signal::Signal::SIGKILL)?;
            first.echo(10)?;
        }
        let all = flows(&["flows", "--json"])?;
        let all = all.as_array().context("an array")?;
        ensure!(all.len() == 2 && all.iter().all(|flow| flow["state"] == "established"), "{all:?}");
        ensure!(
            all.iter().all(|flow| flow["listener"] == "10.1.0.1:80" && flow["frontend"] == "web")
        );
        let one = read(&["flows", "--server", "s2", "--client", "10.1.0.2"])?;
        ensure!(one.lines().count() == 1 && one.contains(" dst=10.2.2.2:80 "), "{one}");
        ensure!(read(&["flows", "--client", "10.1.0.3"])?.is_empty());
        ensure!(read(&["flows", "--max", "1"])?.lines().count() == 1);
        let status = read(&["status"])?;
        let row = |server: &str| {
            let mut rows = status.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            rows.find(|row| row.first() == Some(&"web") && row.get(1) == Some(&server))
                .map(|row| (row[2].to_owned(), row[4].to_owned()))
        };
        let two = Some(("2".to_owned(), "2".to_owned()));
        let single = Some(("1".to_owned(), "1".to_owned()));
        ensure!(row("-") == two && row("s1") == single && row("s2") == single, "{status}");
        let json: serde_json::Value = serde_json::from_str(&read(&["status", "--json"])?)?;
        ensure!(json["frontends"][0]["servers"][1]["name"] == "s2", "{json}");
        ensure!(json["tables"].as_array().is_some_and(|t| t.iter().any(|t| t["name"] == "FLOWS")));
        ensure!(read(&["drops"])?.lines().any(|row| row.starts_with("- no_flow ")));
    }
    let output = std::process::Command::new(tests::sluice::binary()?)
        .args(["l4", "status", "no-such-instance"])
        .output()?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && error.contains("there is no instance"), "{error}");
    ensure!(error.contains(&instance), "{error}");
    // Nobody is left to take the kernel path away.
    read(&["detach"])?;
    ensure!(read(&["status"]).is_err(), "the instance is still there");
    Ok(())
}

/// `l4-mode dsr`: what a client sends goes through the balancer, what it is answered does not.
#[test]
fn servers_answer_by_themselves_as_configured() -> Result<()> {
    let lines = "    balance roundrobin\n    l4-mode dsr\n    l4 require\n\
         \x20   server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n";
    let scene = Scene::at("10.9.0.1", lines, |lab| {
        // The address is the servers'; the balancer only listens for it.
        lab.balancer.set_sysctl("ipv4/ip_nonlocal_bind", "1")?;
        lab.servers.iter().try_for_each(|server| server.add_address("lo", "10.9.0.1/32"))
    })?;
    let Some(scene) = scene else { return Ok(()) };
    let mut peers = [scene.connect()?, scene.connect()?];
    for peer in &mut peers {
        peer.echo(100_000)?;
    }
    ensure!(peers[0].server != peers[1].server, "both on s{}", peers[0].server);
    let flows = scene.command("show l4 flows")?;
    for flow in flows.lines() {
        ensure!(flow.contains(" src=10.1.0.2:") && flow.contains(" state=established "), "{flow}");
        ensure!(flow.contains(":80 state=") && flow.ends_with(" out=0"), "{flow}");
    }
    ensure!(flows.lines().count() == 2, "{flows}");
    let tables = scene.command("show l4")?;
    ensure!(tables.contains("table FLOWS: 2/"), "{tables}");
    eventually("the sessions are counted", PATIENCE, || scene.count("FRONTEND", "stot") == 2)?;
    ensure!(scene.count("FRONTEND", "bout") == 0);
    Ok(())
}
