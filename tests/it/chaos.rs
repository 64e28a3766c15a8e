//! Disorder under load, in the kernel path: reloads every second, master and worker killed, a server taken out and
//! put back, an interface down and up. A moment of it belongs to the ordinary run;
//! `cargo test -p tests --test it -- --ignored chaos` takes five minutes, or `SLUICE_CHAOS_SECONDS`.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::tools::iperf3_server;
use tests::wait::PATIENCE;
use tests::{Lab, Program, eventually};

use crate::datapath::{PORT, Peer};
use crate::kernel::Scene;

const LASTING: usize = 8;
/// Threads that make short connections, and how many of them each begins within a second.
const SHORT: (u32, u32) = (4, 250);
/// Where `iperf3` listens.
const BULK: u16 = 5201;

/// What went wrong, with when.
#[derive(Default)]
struct Failures(Mutex<Vec<String>>);

impl Failures {
    fn note(&self, begin: Instant, what: &str, error: &anyhow::Error) {
        if let Ok(mut all) = self.0.lock() {
            all.push(format!("{:.3} s: {what}: {error:#}", begin.elapsed().as_secs_f64()));
        }
    }
}

#[test]
fn a_moment_of_chaos() -> Result<()> {
    chaos_for(Duration::from_secs(11))
}

#[test]
#[ignore = "takes five minutes"]
fn chaos() -> Result<()> {
    let seconds = std::env::var("SLUICE_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok());
    chaos_for(Duration::from_secs(seconds.unwrap_or(300)))
}

/// Connections that last, a transfer, and short connections all the while. Nothing may fail.
fn chaos_for(duration: Duration) -> Result<()> {
    let lines = format!(
        "    balance roundrobin\n    server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n\
         listen bulk\n    bind 10.1.0.1:{BULK}\n    timeout client 1h\n    timeout server 1h\n    server s2 10.2.2.2:{BULK}\n"
    );
    let Some(mut scene) = Scene::new(&lines)? else { return Ok(()) };
    // As many connections as this within a minute need all ports, and those of closed ones again.
    scene.lab.client.set_sysctl("ipv4/ip_local_port_range", "10000 65000")?;
    scene.lab.client.set_sysctl("ipv4/tcp_tw_reuse", "1")?;
    let _server = iperf3_server(&scene.lab.servers[1], BULK)?;
    let seconds = duration.as_secs().to_string();
    let bulk = ["-c", Lab::FRONT_V4, "-t", &seconds, "-b", "50M", "-i", "1", "--forceflush"];
    let mut transfer =
        Program::start("iperf3 client", scene.lab.client.command("iperf3").args(bulk))?;
    let vip = SocketAddr::from((Lab::FRONT_V4.parse::<std::net::IpAddr>()?, PORT));
    let mut lasting = (0..LASTING).map(|_| scene.connect()).collect::<Result<Vec<_>>>()?;
    let (failures, stop, done) = (Failures::default(), AtomicBool::new(false), AtomicU64::new(0));
    let begin = Instant::now();
    let client = scene.client_path();

    let disorder = std::thread::scope(|scope| {
        for peer in &mut lasting {
            let (failures, stop) = (&failures, &stop);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Err(error) = peer.echo(10_000) {
                        return failures.note(begin, &format!("to s{}", peer.server), &error);
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            });
        }
        let (failures, stop, done) = (&failures, &stop, &done);
        for _ in 0..SHORT.0 {
            let client = &client;
            scope.spawn(move || {
                let short = || -> Result<()> {
                    nix::sched::setns(
                        std::fs::File::open(client)?,
                        nix::sched::CloneFlags::CLONE_NEWNET,
                    )?;
                    let mut next = Instant::now();
                    while !stop.load(Ordering::Relaxed) {
                        next += Duration::from_secs(1) / SHORT.1;
                        std::thread::sleep(next.saturating_duration_since(Instant::now()));
                        match Peer::connect(vip).and_then(|mut peer| peer.echo(100)) {
                            Ok(()) => _ = done.fetch_add(1, Ordering::Relaxed),
                            Err(error) => failures.note(begin, "a new one", &error),
                        }
                    }
                    Ok(())
                };
                if let Err(error) = short() {
                    failures.note(begin, "entering", &error);
                }
            });
        }
        let outcome = disturb(&mut scene, begin + duration);
        stop.store(true, Ordering::Relaxed);
        outcome
    });
    disorder?;
    let code = transfer.wait_code(PATIENCE)?;
    ensure!(code == 0, "iperf3 ended with {code}:\n{}", transfer.log());
    let failures = failures.0.into_inner().unwrap_or_default();
    let done = done.load(Ordering::Relaxed);
    let elapsed = begin.elapsed().as_secs_f64();
    eprintln!(
        "{done} short connections ({:.0}/s), {LASTING} lasting ones, {} failures",
        done as f64 / elapsed,
        failures.len()
    );
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    ensure!(done > 10, "only {done} short connections");
    Ok(())
}

fn disturb(scene: &mut Scene, end: Instant) -> Result<()> {
    let mut turn = 0_u32;
    while Instant::now() < end {
        let next = Instant::now() + Duration::from_secs(1);
        let state = if turn.is_multiple_of(2) { "maint" } else { "ready" };
        // A worker that is about to go may have taken the connection.
        eventually("an answer to the command", PATIENCE, || {
            scene.command(&format!("set server web/s2 state {state}")).is_ok()
        })?;
        match turn % 5 {
            2 => flap(scene)?,
            3 => kill_worker(scene)?,
            4 => kill_all(scene)?,
            _ => scene.sluice.reload()?,
        }
        turn += 1;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}

/// The way to a server is away for a moment.
fn flap(scene: &mut Scene) -> Result<()> {
    scene.lab.balancer.ip("link set s2 down")?;
    scene.sluice.reload()?;
    scene.lab.balancer.ip("link set s2 up")?;
    Ok(())
}

fn kill_worker(scene: &mut Scene) -> Result<()> {
    let mut worker = 0;
    eventually("the worker's id", PATIENCE, || {
        scene.sluice.worker_pid().is_ok_and(|pid| {
            worker = pid;
            true
        })
    })?;
    kill(Pid::from_raw(worker.cast_signed()), Signal::SIGKILL)?;
    eventually("another worker", PATIENCE, || {
        scene.sluice.worker_pid().is_ok_and(|pid| pid != worker)
    })
    .with_context(|| scene.sluice.program().log())
}

/// The master is killed, the worker goes with it, and a new one is started as systemd would.
fn kill_all(scene: &mut Scene) -> Result<()> {
    scene.sluice.program().signal(Signal::SIGKILL)?;
    scene.sluice.program().wait(PATIENCE)?;
    scene.start_again()
}
