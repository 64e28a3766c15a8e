//! `cargo xtask demo`: the main job on real traffic, between network namespaces of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::sys::signal::Signal;
use tests::guardian::{Registration, Resource};
use tests::lab::Lab;
use tests::load::{Connections, Load, Tally};
use tests::net::is_root;
use tests::netns::list;
use tests::peer::HttpServer;
use tests::sluice::Files;
use tests::tools::{cpu_seconds, process_tree};
use tests::{PATIENCE, Program, Stats, eventually};

use crate::product::{self, Profile};
use crate::setup::{self, Scope};
use crate::topology::{self, PREFIX};

const SERVERS: usize = 3;
const SERVER_PORT: u16 = 8000;

/// How to show it.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Leave everything running at the end, to play with, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Use a development build (quicker to build, slower to run)
    #[arg(long)]
    dev: bool,
    /// Connections per path in the comparison of costs
    #[arg(long, default_value_t = 2000)]
    connections: u64,
}

/// What runs; dropping it ends everything, in this order.
struct Stage {
    sluice: Option<Program>,
    servers: Vec<Option<HttpServer>>,
    stats: Stats,
    config: PathBuf,
    binary: PathBuf,
    lab: Lab,
    pins: PathBuf,
    _pins_guard: Registration,
    _files: Files,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    if !is_root() {
        bail!(
            "the demo makes network namespaces and needs root; without it, try\n       \
               cargo run -- -f examples/quickstart.cfg"
        );
    }
    setup::prepare(Scope::Demo)?;
    let profile = if arguments.dev { Profile::Dev } else { Profile::Release };
    let binary = product::build(profile)?;
    if !list(PREFIX).is_empty() {
        println!("(removing what `cargo xtask netns make` or a killed demo left)");
        topology::clean();
    }
    let mut stage = Stage::set(binary)?;
    stage.show_topology();
    stage.show_explain()?;
    stage.show_balance()?;
    stage.show_costs(arguments.connections)?;
    stage.show_dead_server()?;
    stage.show_reload()?;
    stage.show_crash()?;
    if arguments.keep {
        stage.keep();
    }
    title("Cleaning up");
    drop(stage);
    println!("  namespaces, processes and BPF pins are gone");
    Ok(())
}

impl Stage {
    fn set(binary: PathBuf) -> Result<Self> {
        let lab = Lab::named(PREFIX, SERVERS)?;
        let pins = Path::new("/sys/fs/bpf/sluice").join(format!("netns-{}", lab.balancer.inode()?));
        let pins_guard = Registration::new(Resource::Dir(pins.display().to_string()));
        let files = Files::new()?;
        let stats = Stats::new(&files.path("stats.sock"));
        let config = files.write("sluice.cfg", &config(&files.path("stats.sock")))?;
        let servers = (1..=SERVERS).map(|n| server(&lab, n).map(Some)).collect::<Result<_>>()?;
        let mut stage = Self {
            sluice: None,
            servers,
            stats,
            config,
            binary,
            lab,
            pins,
            _pins_guard: pins_guard,
            _files: files,
        };
        stage.start()?;
        Ok(stage)
    }

    fn start(&mut self) -> Result<()> {
        let mut command = self.lab.balancer.command(&self.binary);
        command.arg("-W").arg("-f").arg(&self.config);
        let sluice = Program::start("sluice", &mut command)?;
        sluice.wait_line("Loading success", PATIENCE)?;
        let stats = &self.stats;
        eventually("the stats socket's answer", PATIENCE, || stats.info("Pid").is_ok())
            .with_context(|| sluice.log())?;
        self.sluice = Some(sluice);
        Ok(())
    }

    /// Master and workers.
    fn processes(&self) -> Vec<u32> {
        self.sluice.as_ref().map(|sluice| process_tree(sluice.pid())).unwrap_or_default()
    }

    fn load(&self, address: &str, connections: Connections, threads: usize) -> Result<Load> {
        let address: SocketAddr = address.parse().context(address.to_owned())?;
        self.lab.client.enter(|| Load::start(address, "/", connections, threads))
    }

    /// Sends `count` requests, a connection each.
    fn send(&self, address: &str, count: u64) -> Result<Tally> {
        let load = self.load(address, Connections::PerRequest, 4)?;
        eventually("the requests", Duration::from_secs(120), || load.done() >= count)?;
        Ok(load.stop())
    }

    fn show_topology(&self) {
        title("The network");
        println!(
            "  client ------------------ balancer ------------------ s1   10.2.1.2  fd02:1::2\n  \
             10.1.0.2        10.1.0.1  (sluice -W)  \\------------- s2   10.2.2.2  fd02:2::2\n  \
             fd01::2         fd01::1                 \\------------ s3   10.2.3.2  fd02:3::2\n\n  \
             Five network namespaces joined by veth pairs; each server answers HTTP on port {SERVER_PORT}."
        );
    }

    fn show_explain(&self) -> Result<()> {
        title("One configuration, and the path each listener takes");
        let mut command = self.lab.balancer.command(&self.binary);
        command.arg("explain").arg("-f").arg(&self.config);
        let table = tests::netns::run(&mut command)?;
        for line in table.lines() {
            println!("  {line}");
        }
        Ok(())
    }

    fn show_balance(&self) -> Result<()> {
        title("Requests per server (a burst of some hundred connections on each listener)");
        for (name, address) in LISTENERS {
            let tally = self.send(address, 300)?;
            println!("  {name:<22} {}", shares(&tally.by_server, tally.failed()));
        }
        Ok(())
    }

    fn show_costs(&self, count: u64) -> Result<()> {
        title(&format!(
            "CPU time of Sluice per connection ({count} connections, one request each)"
        ));
        for (name, address) in LISTENERS {
            let before = cpu_seconds(&self.processes());
            let start = Instant::now();
            let tally = self.send(address, count)?;
            let elapsed = start.elapsed().as_secs_f64();
            let cpu = cpu_seconds(&self.processes()) - before;
            let done = tally.good + tally.failed();
            println!(
                "  {name:<22} {:>7.1} us   ({:.2} s of CPU, {:.0} connections/s, {} failed)",
                cpu * 1e6 / done as f64,
                cpu,
                done as f64 / elapsed,
                tally.failed()
            );
        }
        println!(
            "  (the clock ticks every 10 ms; what the kernel does for packets is in neither figure)"
        );
        Ok(())
    }

    fn show_dead_server(&mut self) -> Result<()> {
        title("A server dies under load");
        let (name, address) = LISTENERS[2];
        let load = self.load(address, Connections::PerRequest, 4)?;
        load.wait_more(200)?;
        let healthy = load.take();
        let start = Instant::now();
        // Its listener and its connections go, as when a process is killed.
        self.servers[SERVERS - 1] = None;
        let stats = &self.stats;
        let is_down =
            || stats.stat("web", "s3", "status").is_ok_and(|text| text.starts_with("DOWN"));
        let found = eventually("the check to notice", Duration::from_secs(10), is_down);
        let noticed = start.elapsed();
        let between = load.take();
        if found.is_ok() {
            // Exchanges that had begun when the check failed are over after these.
            load.wait_more(500)?;
            let _ = load.take();
            load.wait_more(500)?;
        }
        let after = load.stop();
        println!("  on {name}: s3 is killed; health check every 200 ms, two failures take it out");
        println!("  before                      {}", outcome(&healthy));
        match found {
            Ok(()) => {
                println!(
                    "  until noticed ({:>4} ms)     {}",
                    noticed.as_millis(),
                    outcome(&between)
                );
                println!("  after                       {}", outcome(&after));
            }
            Err(_) => {
                println!("  in the next 10 s            {}", outcome(&between));
                println!("  (no health check has noticed it)");
            }
        }
        self.servers[SERVERS - 1] = Some(server(&self.lab, SERVERS)?);
        if found.is_ok() {
            let is_up =
                || stats.stat("web", "s3", "status").is_ok_and(|text| text.starts_with("UP"));
            eventually("s3 to come back", PATIENCE, is_up)?;
            println!("  s3 is started again and back in service");
        }
        Ok(())
    }

    fn show_reload(&mut self) -> Result<()> {
        title("Three reloads under load (SIGUSR2)");
        let loads = LISTENERS
            .iter()
            .map(|(_, address)| self.load(address, Connections::PerRequest, 1))
            .collect::<Result<Vec<_>>>()?;
        let pid = || self.stats.info("Pid");
        let first = pid()?;
        let mut workers = vec![first];
        for _ in 0..3 {
            loads.iter().try_for_each(|load| load.wait_more(100))?;
            let old = pid()?;
            if let Some(sluice) = &self.sluice {
                sluice.signal(Signal::SIGUSR2)?;
            }
            let mut new = old.clone();
            eventually("a new worker", PATIENCE, || {
                pid().is_ok_and(|pid| {
                    new = pid;
                    new != old
                })
            })?;
            workers.push(new);
        }
        loads.iter().try_for_each(|load| load.wait_more(100))?;
        println!("  workers {}", workers.join(" -> "));
        for ((name, _), load) in LISTENERS.iter().zip(loads) {
            println!("  {name:<22} {}", outcome(&load.stop()));
        }
        Ok(())
    }

    fn show_crash(&mut self) -> Result<()> {
        title("kill -9 of master and workers");
        let load = self.load(LISTENERS[0].1, Connections::PerRequest, 2)?;
        load.wait_more(100)?;
        // Dropping the guard kills the whole process group.
        self.sluice = None;
        let _ = load.take();
        let carried = load.wait_more(300);
        let tally = load.stop();
        match carried {
            Ok(()) => println!(
                "  {:<22} {}   (no process of Sluice is alive)",
                LISTENERS[0].0,
                outcome(&tally)
            ),
            Err(_) => {
                println!("  {:<22} did not go on: it was not carried by the kernel", LISTENERS[0].0)
            }
        }
        self.start()?;
        println!("  Sluice is started again");
        Ok(())
    }

    fn keep(&self) {
        title("Yours, until Ctrl-C");
        println!(
            "  cargo xtask netns exec client curl -i http://10.1.0.1/\n  \
             cargo xtask netns exec client curl -i http://10.1.0.1:7000/\n  \
             cargo xtask netns exec balancer {} explain -f {}\n  \
             echo 'show stat' | socat - {}\n  \
             kill -USR2 {}      # after a change of the configuration",
            self.binary.display(),
            self.config.display(),
            self.config.with_file_name("stats.sock").display(),
            self.sluice.as_ref().map_or(0, Program::pid),
        );
        let mut signals = nix::sys::signal::SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        if signals.thread_block().is_ok() {
            let _ = signals.wait();
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.sluice = None;
        let _ = std::fs::remove_dir_all(&self.pins);
    }
}

/// What the client connects to.
const LISTENERS: [(&str, &str); 3] = [
    ("mode tcp, IPv4", "10.1.0.1:7000"),
    ("mode tcp, IPv6", "[fd01::1]:7000"),
    ("mode http", "10.1.0.1:80"),
];

fn server(lab: &Lab, n: usize) -> Result<HttpServer> {
    lab.servers[n - 1].enter(|| HttpServer::bind(&format!("s{n}"), ("::", SERVER_PORT)))?
}

fn config(socket: &Path) -> String {
    let servers = |address: fn(usize) -> String| -> String {
        (1..=SERVERS)
            .map(|n| format!("    server s{n} {}:{SERVER_PORT} check\n", address(n)))
            .collect()
    };
    format!(
        "global
    stats socket {} mode 600 level admin

defaults
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    balance roundrobin
    default-server inter 200ms fall 2 rise 1

listen tcp4
    mode tcp
    bind 10.1.0.1:7000
{}
listen tcp6
    mode tcp
    bind fd01::1:7000
{}
listen web
    mode http
    bind 10.1.0.1:80
    bind fd01::1:80
{}",
        socket.display(),
        servers(Lab::server_v4),
        servers(Lab::server_v6),
        servers(Lab::server_v4),
    )
}

fn title(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.len()));
}

fn shares(by_server: &BTreeMap<String, u64>, failed: u64) -> String {
    let mut text: Vec<String> =
        by_server.iter().map(|(server, count)| format!("{server} {count:>4}")).collect();
    if failed > 0 {
        text.push(format!("failed {failed}"));
    }
    text.join("   ")
}

fn outcome(tally: &Tally) -> String {
    let mut text =
        format!("{:>6} requests, {} failed", tally.good + tally.failed(), tally.failed());
    if let Some((reason, count)) = tally.failures.iter().max_by_key(|(_, count)| **count) {
        text.push_str(&format!("  (mostly: {reason}, {count})"));
    }
    text
}
