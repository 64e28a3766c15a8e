//! Connections in the kernel outlive every process of the load balancer: master and worker killed in the
//! middle of a transfer, through the program itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use proxy_datapath::{Datapath, object};
use tests::guardian::{Registration, Resource};
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Peer as Product, peer};
use tests::tools::iperf3_server;
use tests::wait::PATIENCE;
use tests::{Client, Lab, Program, Sluice, eventually, net};

use crate::datapath::{self, Peer, serve};

/// Where `iperf3` listens, on the servers and on the VIP.
const BULK: u16 = 5201;

/// A balancer between a client and two servers, and the load balancer in it as master and worker.
struct World {
    sluice: Sluice,
    config: String,
    bulk_servers: Vec<Program>,
    lab: Lab,
    instance: String,
    _pins: Registration,
}

impl World {
    /// `None`, with the reason printed, where there can be no layer 4.
    fn new() -> Result<Option<Self>> {
        if !net::is_root() || peer() != Product::Sluice {
            eprintln!("skipped: needs root, and a kernel path");
            return Ok(None);
        }
        if let Err(reason) = object::bytes() {
            eprintln!("skipped: {reason}");
            return Ok(None);
        }
        let lab = Lab::new(2)?;
        let mut bulk_servers = Vec::new();
        for (index, server) in lab.servers.iter().enumerate() {
            serve(server, index + 1)?;
            bulk_servers.push(iperf3_server(server, BULK)?);
        }
        let instance = format!("it-survival-{}", lab.balancer.inode()?);
        let pins = Registration::new(Resource::Dir(format!("/sys/fs/bpf/sluice/{instance}")));
        let config = config(&instance);
        let sluice = Sluice::config(config.as_str()).master().netns(&lab.balancer).start()?;
        Ok(Some(Self { sluice, config, bulk_servers, lab, instance, _pins: pins }))
    }

    fn connect(&self) -> Result<Peer> {
        let vip = SocketAddr::from(([10, 1, 0, 1], datapath::PORT));
        self.lab.client.enter(|| Peer::connect(vip))?
    }

    /// Both frontends go through the kernel.
    fn check_paths(&self) -> Result<()> {
        let paths = self.sluice.stats().command("show l4")?;
        for frontend in ["bulk", "echo"] {
            let row = paths.lines().find(|row| row.starts_with(frontend));
            ensure!(row.is_some_and(|row| row.contains(" l4 (")), "{paths}");
        }
        Ok(())
    }

    /// A slow transfer that reports ten times a second and goes on until the test has seen enough.
    fn transfer(&self) -> Result<Program> {
        Program::start(
            "iperf3 client",
            self.lab.client.command("iperf3").args([
                "-c",
                "10.1.0.1",
                "-t",
                "8",
                "-b",
                "40M",
                "-i",
                "0.1",
                "--forceflush",
                "--connect-timeout",
                "5000",
            ]),
        )
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // First whoever may still report to it.
        self.bulk_servers.clear();
        // A clean stop takes the pins away; a test that failed may have no process left to stop.
        let _ = self.sluice.stop(Signal::SIGTERM);
        let _ = Datapath::detach_instance(Some(&self.instance), None);
    }
}

fn config(instance: &str) -> String {
    let servers = |port: u16| {
        (1..=2)
            .map(|n| format!("    server s{n} {}:{port}\n", Lab::server_v4(n)))
            .collect::<String>()
    };
    format!(
        "global\n    l4-instance {instance}\n\
         defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n\
         listen bulk\n    bind 10.1.0.1:{BULK}\n    balance source\n{}\
         listen echo\n    bind 10.1.0.1:{}\n    balance roundrobin\n{}",
        servers(BULK),
        datapath::PORT,
        servers(datapath::PORT),
    )
}

/// Waits for a few reports in which bytes have moved.
fn goes_on(transfer: &Program) -> Result<()> {
    let mut from = transfer.lines().len();
    for _ in 0..5 {
        let found = transfer.wait_line_from(from, "bits/sec", PATIENCE)?;
        let line = transfer.lines()[found].clone();
        ensure!(!line.contains("0.00 Bytes"), "stalled: {line}\n{}", transfer.log());
        from = found + 1;
    }
    Ok(())
}

#[test]
fn flows_outlive_master_and_worker_and_the_next_start_adopts_them() -> Result<()> {
    let Some(mut world) = World::new()? else { return Ok(()) };
    world.check_paths()?;
    let mut old = world.connect()?;
    let mut transfer = world.transfer()?;
    goes_on(&transfer)?;

    let worker = world.sluice.worker_pid()?;
    world.sluice.program().signal(Signal::SIGKILL)?;
    kill(Pid::from_raw(worker.cast_signed()), Signal::SIGKILL)?;
    world.sluice.program().wait(PATIENCE)?;
    eventually("the worker's end", PATIENCE, || !is_running(worker))?;

    goes_on(&transfer).context("the transfer, without any process")?;
    old.echo(100_000).context("an old connection, without any process")?;
    let mut orphan = world.connect().context("a new connection, without any process")?;
    orphan.echo(100_000)?;

    let next = Sluice::config(world.config.as_str()).master().netns(&world.lab.balancer).start()?;
    world.sluice = next;
    world.check_paths()?;
    for peer in [&mut old, &mut orphan] {
        peer.echo(100_000).context("a connection adopted")?;
    }
    // The transfer's two connections and the two of this test.
    eventually("the adopted flows in the counters", PATIENCE, || {
        let current = |proxy| world.sluice.stats().count(proxy, "FRONTEND", "scur").unwrap_or(0);
        current("bulk") == 2 && current("echo") == 2
    })
    .with_context(|| world.sluice.stats().command("show stat").unwrap_or_default())?;
    goes_on(&transfer).context("the transfer, adopted")?;
    let code = transfer.wait_code(PATIENCE)?;
    ensure!(code == 0, "iperf3 ended with {code}:\n{}", transfer.log());

    ensure!(world.connect()?.echo(1000).is_ok());
    Ok(())
}

#[test]
fn flows_outlive_a_worker_that_the_master_replaces() -> Result<()> {
    let Some(mut world) = World::new()? else { return Ok(()) };
    let mut old = world.connect()?;
    for _ in 0..2 {
        let worker = world.sluice.worker_pid()?;
        kill(Pid::from_raw(worker.cast_signed()), Signal::SIGKILL)?;
        old.echo(100_000)?;
        world.connect().context("a new connection, between two workers")?.echo(100_000)?;
        eventually("another worker", PATIENCE, || {
            world.sluice.worker_pid().is_ok_and(|pid| pid != worker)
        })
        .with_context(|| world.sluice.program().log())?;
        world.check_paths()?;
        old.echo(100_000)?;
    }
    // A clean stop takes it all away.
    let code = world.sluice.stop(Signal::SIGTERM)?;
    ensure!(code == 143 || code == 0, "ended with {code}:\n{}", world.sluice.program().log());
    ensure!(world.connect().is_err());
    Ok(())
}

/// The worker is killed again and again: connections in the kernel do not notice, and a request is answered soon.
/// `SLUICE_KILLS` says how often (100), `SLUICE_BACK_MS` how soon (not asked otherwise: a busy machine takes what it takes).
#[test]
#[ignore = "takes minutes"]
fn a_hundred_kills() -> Result<()> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
    let (kills, limit) = (number("SLUICE_KILLS").unwrap_or(100), number("SLUICE_BACK_MS"));
    let Some(mut world) = World::new()? else { return Ok(()) };
    let web = HttpServer::start("web")?;
    // The service over HTTP is on this host's loopback, its worker another instance.
    let address = net::loopback()?;
    let text =
        format!("{DEFAULTS}\nlisten web\n    bind {address}\n    server s1 {}\n", web.address());
    let http = Sluice::config(text).master().start()?;
    let mut old = world.connect()?;
    let mut back = Vec::new();
    for turn in 0..kills {
        let workers = [world.sluice.worker_pid()?, http.worker_pid()?];
        let begin = Instant::now();
        for worker in workers {
            kill(Pid::from_raw(worker.cast_signed()), Signal::SIGKILL)?;
        }
        old.echo(10_000).with_context(|| format!("an old connection, kill {turn}"))?;
        world.connect().and_then(|mut peer| peer.echo(1000)).context("between two workers")?;
        eventually("an answer", PATIENCE, || {
            // A connection that waited in the queue of a socket that is gone is another attempt's.
            Client::connect(address).and_then(|mut c| c.get("/")).is_ok_and(|r| r.status == 200)
        })?;
        back.push(begin.elapsed());
        eventually("other workers", PATIENCE, || {
            let now = [world.sluice.worker_pid(), http.worker_pid()];
            now.into_iter().zip(workers).all(|(now, old)| now.is_ok_and(|pid| pid != old))
        })?;
        // A worker that lived for a second counts as settled: the next one is not put off.
        std::thread::sleep(Duration::from_millis(1100));
        world.check_paths()?;
    }
    old.echo(100_000)?;
    back.sort_unstable();
    let (median, most) = (back[back.len() / 2], back[back.len() - 1]);
    eprintln!("{kills} kills: back after {median:.0?} (median), {most:.0?} at most");
    if let Some(limit) = limit {
        ensure!(most <= Duration::from_millis(limit.into()), "{back:.0?}");
    }
    drop(http);
    world.sluice.stop(Signal::SIGTERM)?;
    Ok(())
}

fn is_running(pid: u32) -> bool {
    // A zombie has no executable.
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}
