//! What every comparison of proxies under load does alike: its flags, its peers, its report.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;

use super::machine;
use super::peer::Peer;
use super::report::Scenario;
use crate::product::{self, Profile};

/// How to measure.
#[derive(Args)]
pub(super) struct Comparison {
    /// Another program that reads haproxy.cfg, measured in the same run (repeatable)
    #[arg(long, value_name = "NAME=PATH", value_parser = Peer::parse)]
    peer: Vec<Peer>,
    /// Measure this build of Sluice instead of making a release build
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Rounds of each scenario; medians are shown
    #[arg(long, default_value_t = 5)]
    pub(super) rounds: u32,
    /// Seconds under load per round and proxy
    #[arg(long, default_value_t = 3)]
    pub(super) seconds: u32,
    /// Only scenarios whose name contains this
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Write all samples to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Comparison {
    /// The proxies to compare, Sluice first, once their versions were shown.
    pub(super) fn begin(&self) -> Result<Vec<Peer>> {
        ensure!(self.rounds > 0 && self.seconds > 0, "rounds and seconds start at 1");
        let binary = match &self.binary {
            Some(binary) => binary.clone(),
            None => product::build(Profile::Release)?,
        };
        let mut peers = vec![Peer::haproxy_like("sluice", binary)];
        peers.extend(self.peer.iter().cloned());
        peers.extend(Peer::installed());
        println!("{}", machine::describe());
        for peer in &peers {
            println!("  {:<12} {}", peer.name, peer.version());
        }
        println!(
            "  {} rounds of {} s each, alternated; medians (lowest to highest)",
            self.rounds, self.seconds
        );
        Ok(peers)
    }

    /// Whether this scenario is asked for.
    pub(super) fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|part| name.contains(part))
    }

    /// Writes all samples where they are wanted.
    pub(super) fn write(&self, peers: &[Peer], scenarios: &[Scenario]) -> Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        let versions: Vec<_> = peers
            .iter()
            .map(|peer| json!({ "name": peer.name, "version": peer.version() }))
            .collect();
        let scenarios: Vec<_> = scenarios.iter().map(Scenario::json).collect();
        let report =
            json!({ "machine": machine::describe(), "peers": versions, "scenarios": scenarios });
        std::fs::write(path, format!("{report:#}\n"))
            .with_context(|| format!("write {}", path.display()))
    }
}
