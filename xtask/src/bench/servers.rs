//! `cargo xtask bench servers`: a process with very many servers: how long a reload takes, and what the worker
//! weighs.

use std::fmt::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use ::tests::net::free_port;
use ::tests::sluice::Files;
use ::tests::{Program, Stats, eventually};
use anyhow::{Context, Result};
use clap::Args;
use nix::sys::signal::Signal;

use super::comparison::Comparison;
use super::peer::{Language, Peer};
use super::process::own_memory;
use super::report::Scenario;

/// How to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    compare: Comparison,
    /// Servers of all backends together
    #[arg(long, default_value_t = 20_000)]
    servers: u32,
    /// Servers in a backend
    #[arg(long, default_value_t = 100)]
    per_backend: u32,
}

/// Longest time for a start or a reload.
const LIMIT: Duration = Duration::from_secs(120);

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let compare = &arguments.compare;
    let mut peers = compare.begin()?;
    peers.retain(|peer| peer.language == Language::Haproxy);
    let mut scenarios = Vec::new();
    for (name, check) in [("without checks", ""), ("with checks", " check inter 600s")] {
        let mut scenario = Scenario::new(&format!("{} servers, {name}", arguments.servers));
        if !compare.wants(&scenario.name) {
            continue;
        }
        for peer in &peers {
            measure(arguments, peer, check, &mut scenario).with_context(|| peer.name.clone())?;
        }
        scenario.print();
        scenarios.push(scenario);
    }
    compare.write(&peers, &scenarios)
}

fn measure(arguments: &Arguments, peer: &Peer, check: &str, scenario: &mut Scenario) -> Result<()> {
    let files = Files::new()?;
    let directory = files.path("").display().to_string();
    let config = files.write("large.cfg", &text(arguments, check, &directory)?)?;
    let mut command = Command::new(&peer.path);
    command.args(["-W", "-S", &format!("{directory}/master.sock"), "-f"]).arg(&config);
    let mut program = Program::start(&peer.name, &mut command)?;
    let stats = Stats::new(&files.path("stats.sock"));
    let worker = || stats.info("Pid").ok().and_then(|pid| pid.parse::<u32>().ok());
    let mut pid = 0;
    let mut changed = |program: &mut Program, what: &str| -> Result<()> {
        eventually(what, LIMIT, || {
            worker().is_some_and(|new| std::mem::replace(&mut pid, new) != new)
                || !program.is_running()
        })
        .with_context(|| program.log())
    };
    changed(&mut program, "the first worker")?;
    for _ in 0..arguments.compare.rounds {
        // HAProxy's master executes itself once more when a worker is ready.
        let master = Stats::new(&files.path("master.sock"));
        eventually("one worker", LIMIT, || {
            master.command("show proc").is_ok_and(|text| {
                text.matches("worker").count()
                    == 1 + text.matches("# workers").count() + text.matches("# old workers").count()
            })
        })?;
        let started = Instant::now();
        program.signal(Signal::SIGUSR2)?;
        changed(&mut program, "a new worker")?;
        scenario.add(
            "ms until the new worker answers",
            &peer.name,
            started.elapsed().as_secs_f64() * 1e3,
        );
    }
    let pid = worker().context("the worker is gone")?;
    scenario.add("MB of the worker", &peer.name, own_memory(pid) as f64 / 1e6);
    program.signal(Signal::SIGTERM)?;
    program.wait(LIMIT).map(drop)
}

/// One frontend, and backends of servers on addresses of this host.
fn text(arguments: &Arguments, check: &str, directory: &str) -> Result<String> {
    let mut out = format!(
        "global\n    maxconn 2000\n    no strict-limits\n    stats socket {directory}/stats.sock mode 600 level admin\n\
         defaults\n    mode http\n    timeout client 30s\n    timeout server 30s\n    timeout connect 5s\n\
         frontend web\n    bind 127.0.0.1:{}\n    default_backend be0\n",
        free_port()?
    );
    let per_backend = arguments.per_backend.max(1);
    for server in 0..arguments.servers {
        if server % per_backend == 0 {
            let _ = write!(
                out,
                "backend be{}\n    balance roundrobin\n    option httpchk GET /health\n",
                server / per_backend
            );
        }
        let _ = writeln!(
            out,
            "    server s{server} 127.{}.{}.{}:1 weight 10 maxconn 100{check}",
            1 + (server >> 16),
            (server >> 8) & 255,
            server & 255
        );
    }
    Ok(out)
}
