//! Wrappers of the real programs that tests use.

use std::process::Command;

use anyhow::{Context, Result};

use crate::netns::{NetNs, run};
use crate::program::Program;
use crate::wait::PATIENCE;

/// A command in a namespace, or here.
pub fn command(netns: Option<&NetNs>, program: &str) -> Command {
    match netns {
        Some(netns) => netns.command(program),
        None => Command::new(program),
    }
}

/// `curl -sS` with these arguments (split at blanks): what it wrote.
pub fn curl(netns: Option<&NetNs>, arguments: &str) -> Result<String> {
    let mut curl = command(netns, "curl");
    curl.args(["-sS", "--max-time", "20"]).args(arguments.split_whitespace());
    run(&mut curl)
}

/// An `iperf3` server that is ready to be connected to.
pub fn iperf3_server(netns: &NetNs, port: u16) -> Result<Program> {
    let server = Program::start(
        "iperf3 server",
        netns.command("iperf3").args(["-s", "--forceflush", "-p", &port.to_string()]),
    )?;
    server.wait_line("Server listening", PATIENCE)?;
    Ok(server)
}

/// Runs an `iperf3` client to its end; bytes per second as received by the server.
pub fn iperf3(netns: &NetNs, arguments: &str) -> Result<f64> {
    let mut client = netns.command("iperf3");
    client.arg("--json").args(arguments.split_whitespace());
    let report = run(&mut client)?;
    // "sum_received": { ... "bits_per_second": N ... }
    let (_, received) = report.split_once("\"sum_received\"").context("no sum_received")?;
    let (_, rate) = received.split_once("\"bits_per_second\":").context("no bits_per_second")?;
    let digits = rate.split([',', '\n', '}']).next().unwrap_or_default().trim();
    Ok(digits.parse::<f64>().with_context(|| format!("bits_per_second {digits:?}"))? / 8.0)
}

/// CPU time (user and system, in seconds) that processes have used, children not included.
pub fn cpu_seconds(pids: &[u32]) -> f64 {
    let ticks: u64 = pids.iter().filter_map(|pid| cpu_ticks(*pid)).sum();
    // USER_HZ is 100 on every Linux that Rust runs on.
    ticks as f64 / 100.0
}

fn cpu_ticks(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name is in parentheses and may contain anything.
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    Some(fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?)
}

/// A process and all its descendants.
pub fn process_tree(root: u32) -> Vec<u32> {
    let mut tree = vec![root];
    let mut next = 0;
    while next < tree.len() {
        let pid = tree[next];
        let path = format!("/proc/{pid}/task/{pid}/children");
        let children = std::fs::read_to_string(path).unwrap_or_default();
        tree.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        next += 1;
    }
    tree
}
