//! What goes on for days, in little: reloads under load and workers that are killed. The gate takes a few turns;
//! `SLUICE_RELOADS=10000 SLUICE_KILLS=100 cargo test --release -p tests --test it endurance` takes them all.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::client::get;
use tests::load::{Connections, Load};
use tests::net::loopback;
use tests::peer::HttpServer;
use tests::sluice::{DEFAULTS, Peer, peer};
use tests::tools::process_tree;
use tests::{PATIENCE, Sluice, eventually};

/// The most a master may take.
const MASTER_KIB: u64 = 3 * 1024;
/// What of a master's growth is noise.
const NOISE_KIB: u64 = 64;

/// How many turns: those of the variable, or a few. And whether it is the long run.
fn turns(variable: &str, few: u32) -> (u32, bool) {
    match std::env::var(variable).ok().and_then(|text| text.parse().ok()) {
        Some(turns) => (turns, true),
        None => (few, false),
    }
}

/// What leaks would show in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Resources {
    /// What is its own: the pages of the program are shared with the workers, and with the file.
    master_kib: u64,
    master_descriptors: usize,
    worker_descriptors: usize,
    listeners: usize,
    processes: usize,
}

impl Resources {
    /// As they are once the old workers have gone.
    fn settled(sluice: &mut Sluice, port: u16) -> Result<Self> {
        let master = sluice.program().pid();
        eventually("the end of the old workers", PATIENCE, || process_tree(master).len() == 2)
            .with_context(|| sluice.program().log())?;
        let worker = sluice.worker_pid()?;
        let descriptors =
            |pid: u32| -> Result<usize> { Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count()) };
        let status = fs::read_to_string(format!("/proc/{master}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
        let resident = resident.and_then(|text| text.trim().strip_suffix(" kB")?.parse().ok());
        let end = format!(":{port:04X}");
        let listens = |line: &&str| {
            let mut fields = line.split_whitespace().skip(1);
            let local = fields.next().is_some_and(|local| local.ends_with(&end));
            local && fields.nth(1) == Some("0A")
        };
        Ok(Self {
            master_kib: resident.context("RssAnon")?,
            master_descriptors: descriptors(master)?,
            worker_descriptors: descriptors(worker)?,
            listeners: fs::read_to_string("/proc/net/tcp")?.lines().filter(listens).count(),
            processes: process_tree(master).len(),
        })
    }
}

/// Short and long connections all the while: no request fails, and nothing is left behind.
#[test]
fn reloads_under_load_leave_nothing_behind() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let (turns, long) = turns("SLUICE_RELOADS", 12);
    let rate = if long { 2000 } else { 400 };
    let server = HttpServer::start("s1")?;
    let address = loopback()?;
    let config = format!(
        "
{DEFAULTS}
listen web
    bind {address}
    server s1 {}
",
        server.address()
    );
    let mut sluice = Sluice::config(config).master().start()?;
    let loads = [
        Load::paced(address, "/", Connections::PerRequest, 4, rate / 2),
        Load::paced(address, "/", Connections::KeepAlive, 4, rate / 2),
    ];
    let begin = Instant::now();
    let mut early = None;
    for turn in 0..turns {
        sluice.reload().with_context(|| format!("reload {turn}"))?;
        if turn == (turns / 10).max(1) {
            early = Some(Resources::settled(&mut sluice, address.port())?);
        }
    }
    let elapsed = begin.elapsed();
    let mut good = 0;
    for load in loads {
        let tally = load.stop();
        assert_eq!(tally.failures, Default::default(), "{} good", tally.good);
        good += tally.good;
    }
    let late = Resources::settled(&mut sluice, address.port())?;
    eprintln!("{turns} reloads, {good} requests in {elapsed:.1?}: {early:?}, then {late:?}");
    let early = early.context("too few turns")?;
    ensure!(late.master_kib <= MASTER_KIB, "{late:?}");
    ensure!(late.master_kib <= early.master_kib + NOISE_KIB, "{early:?}, then {late:?}");
    // Connections to the server and from clients have ended, or not yet.
    let near = early.worker_descriptors.abs_diff(late.worker_descriptors) <= 16;
    let rest = |all: Resources| Resources { master_kib: 0, worker_descriptors: 0, ..all };
    ensure!(near && rest(early) == rest(late), "{early:?}, then {late:?}");
    assert_eq!(get(address, "/")?.text(), "s1");
    Ok(())
}

/// The worker is killed at some moment, again and again: another one serves at once. What becomes of connections in
/// the kernel meanwhile is shown by `survival` and `chaos`.
#[test]
fn a_killed_worker_is_back_at_once() -> Result<()> {
    if peer() == Peer::Haproxy {
        return Ok(());
    }
    let (turns, long) = turns("SLUICE_KILLS", 6);
    // A worker of a debug build, beside other tests, takes its time.
    let limit = Duration::from_millis(if long { 200 } else { 3000 });
    let address = loopback()?;
    let config = format!(
        "
{DEFAULTS}
frontend web
    bind {address}
    http-request return status 200
"
    );
    let mut sluice = Sluice::config(config).master().start()?;
    let mut pauses = Vec::new();
    let mut seed = u64::from(std::process::id());
    for _ in 0..turns {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((seed >> 33) % 1500));
        let mut worker = 0;
        eventually("the worker's number", PATIENCE, || {
            sluice.worker_pid().is_ok_and(|pid| {
                worker = pid;
                true
            })
        })?;
        let killed = Instant::now();
        kill(Pid::from_raw(worker.cast_signed()), Signal::SIGKILL)?;
        // Those who connect while nobody listens are refused, and try again.
        eventually("an answer", PATIENCE, || get(address, "/").is_ok_and(|r| r.status == 200))
            .with_context(|| sluice.program().log())?;
        pauses.push(killed.elapsed());
    }
    pauses.sort();
    let (median, longest) = (pauses[pauses.len() / 2], pauses[pauses.len() - 1]);
    eprintln!("{turns} times killed: back in {median:.0?}, at most {longest:.0?}");
    ensure!(longest <= limit, "back only after {longest:?}");
    Ok(())
}
