//! `cargo xtask bench stick`: a stick table with very many keys, updated from all threads.
//!
//! Requests carry a key each; a rule tracks it, which updates three data types of its entry. What the update costs
//! is the difference to the same requests without the rule.

use std::fmt::Write;
use std::time::Duration;

use ::tests::netns::run as run_command;
use ::tests::{PATIENCE, Stats, eventually};
use anyhow::{Context, Result, ensure};
use clap::Args;

use super::comparison::Comparison;
use super::machine::cores;
use super::peer::{Language, Peer, Running};
use super::process::{cpu_time, own_memory};
use super::report::Scenario;
use super::wrk::Outcome;
use crate::setup::{self, Scope};

/// How to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    compare: Comparison,
    /// Keys in the table
    #[arg(long, default_value_t = 1_000_000)]
    keys: u32,
}

/// Requests written at once on a connection: the cost of a system call is shared, as the table's is not.
const PIPELINE: u32 = 16;

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    setup::prepare(Scope::Bench)?;
    ensure!(arguments.keys > 0, "keys start at 1");
    let compare = &arguments.compare;
    let mut peers = compare.begin()?;
    peers.retain(|peer| peer.language == Language::Haproxy);
    let mut scenario = Scenario::new(&format!("{} keys, {} threads", arguments.keys, cores()));
    for peer in &peers {
        measure(arguments, peer, &mut scenario).with_context(|| peer.name.clone())?;
    }
    scenario.print();
    compare.write(&peers, &[scenario])
}

fn measure(arguments: &Arguments, peer: &Peer, scenario: &mut Scenario) -> Result<()> {
    let keys = arguments.keys;
    let proxy = peer.start_wide(&config(keys), &[])?;
    // With `first` 0 each of the two threads of wrk takes every second key from `from` on, else any at random.
    let script = |path: &str, first: u32, from: u64| {
        format!(
            "local threads = 0\n\
             function setup(thread) thread:set('id', threads); threads = threads + 1 end\n\
             function init() math.randomseed({first} + id); next = {from} + id end\n\
             function request()\n\
             local out = {{}}\n\
             for n = 1, {PIPELINE} do\n\
             local key\n\
             if {first} == 0 then key = next % {keys}; next = next + 2 else key = math.random(0, {keys} - 1) end\n\
             out[n] = 'GET {path}?k=' .. key .. ' HTTP/1.1\\r\\nhost: a\\r\\n\\r\\n'\n\
             end\n\
             return table.concat(out)\n\
             end\n"
        )
    };
    let stats = Stats::new(&proxy.path("stats.sock"));
    let entries = || -> Result<u64> {
        let answer = stats.command("show table t")?;
        let (_, used) = answer.split_once("used:").context("used")?;
        used.split_whitespace().next().unwrap_or_default().parse().context("used")
    };
    load(&proxy, &script("/plain", 1, 0), 1)?;
    let empty = own_memory(proxy.pid());
    eventually("all keys", Duration::from_secs(300).max(PATIENCE), || {
        load(&proxy, &script("/track", 0, entries().unwrap_or(0)), 5).is_ok()
            && entries().is_ok_and(|used| used >= u64::from(keys) * 99 / 100)
    })?;
    let bytes = own_memory(proxy.pid()).saturating_sub(empty) as f64 / entries()? as f64;
    scenario.add("bytes per entry", &peer.name, bytes);
    for round in 1..=arguments.compare.rounds {
        let cost = |path: &str| -> Result<(f64, f64)> {
            let before = cpu_time(proxy.pid());
            let outcome = load(&proxy, &script(path, round, 0), arguments.compare.seconds)?;
            let used = cpu_time(proxy.pid()).saturating_sub(before).as_secs_f64();
            Ok((used * 1e6 / outcome.requests as f64, outcome.per_second))
        };
        let (plain, _) = cost("/plain")?;
        let (tracked, per_second) = cost("/track")?;
        scenario.add("updates per second", &peer.name, per_second);
        scenario.add("CPU us per request", &peer.name, tracked);
        scenario.add("of which for the update", &peer.name, tracked - plain);
    }
    Ok(())
}

fn load(proxy: &Running, script: &str, seconds: u32) -> Result<Outcome> {
    let file = proxy.path("load.lua");
    std::fs::write(&file, script)?;
    let mut command = std::process::Command::new("wrk");
    command.args(["--threads", "2", "--connections", "32"]);
    command.args(["--duration", &format!("{seconds}s"), "--script"]).arg(&file);
    command.arg(format!("http://{}/", proxy.address));
    super::wrk::parse(&run_command(&mut command)?)
}

fn config(keys: u32) -> String {
    let mut out = String::from(
        "global\n    stats socket @DIR@/stats.sock mode 600 level admin\n    maxconn 1000\n",
    );
    let _ = write!(
        out,
        "    nbthread {}\n\
         defaults\n    mode http\n    timeout client 60s\n    timeout server 60s\n    timeout connect 5s\n\
         backend t\n    stick-table type integer size {size} expire 1h store gpc0,http_req_cnt,http_req_rate(10s)\n\
         frontend web\n    bind @LISTEN@\n    \
         http-request track-sc0 url_param(k) table t if {{ path /track }}\n    \
         http-request return status 200\n",
        cores(),
        size = keys.saturating_add(keys / 8),
    );
    out
}
