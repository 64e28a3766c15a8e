//! A minute of disorder under load. Not part of the ordinary run:
//! `cargo test -p tests --test it -- --ignored chaos`; `SLUICE_CHAOS_SECONDS` makes it longer or shorter.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::wait::PATIENCE;
use tests::{Lab, eventually};

use crate::datapath::{PORT, Peer};
use crate::kernel::Scene;

const LASTING: usize = 8;

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

/// Connections that last, and short ones all the while: reloads every second, workers killed, a server taken
/// out and put back. Nothing may fail.
#[test]
#[ignore = "takes a minute"]
fn chaos() -> Result<()> {
    let seconds = std::env::var("SLUICE_CHAOS_SECONDS").ok().and_then(|text| text.parse().ok());
    let duration = Duration::from_secs(seconds.unwrap_or(60));
    let lines = "    balance roundrobin\n\
         \x20   server s1 10.2.1.2:80\n    server s2 10.2.2.2:80\n";
    let Some(mut scene) = Scene::new(lines)? else { return Ok(()) };
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
        scope.spawn(move || {
            let short = || -> Result<()> {
                nix::sched::setns(
                    std::fs::File::open(&client)?,
                    nix::sched::CloneFlags::CLONE_NEWNET,
                )?;
                while !stop.load(Ordering::Relaxed) {
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
        let outcome = disturb(&mut scene, begin + duration);
        stop.store(true, Ordering::Relaxed);
        outcome
    });
    disorder?;
    let failures = failures.0.into_inner().unwrap_or_default();
    let done = done.load(Ordering::Relaxed);
    eprintln!("{done} short connections, {LASTING} lasting ones, {} failures", failures.len());
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
        if turn % 5 == 4 {
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
            .with_context(|| scene.sluice.program().log())?;
        } else {
            scene.sluice.reload()?;
        }
        turn += 1;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
