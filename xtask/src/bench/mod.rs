//! `cargo xtask bench`: what Sluice costs, beside its peers in the same run.
//!
//! Figures are CPU time, not wall time, and only their ratios carry over to another machine.

mod comparison;
mod config;
mod http;
mod l4;
mod machine;
mod origin;
mod peer;
mod process;
mod report;
mod returning;
mod servers;
mod stick;
mod tls;
mod training;
mod wrk;

use anyhow::Result;
use clap::Subcommand;

pub(crate) use training::run as train;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// A check of a large configuration
    Config(config::Arguments),
    /// The HTTP engine: CPU, system calls and memory per request and connection
    Http(http::Arguments),
    /// The kernel path: nanoseconds per packet, beside an empty program
    L4(l4::Arguments),
    /// Very many servers: time of a reload, memory of the worker
    Servers(servers::Arguments),
    /// A stick table with very many keys: updates per second, bytes per entry
    Stick(stick::Arguments),
    /// TLS: CPU per handshake, per byte and per request of HTTP/2
    Tls(tls::Arguments),
}

pub(crate) fn main(command: &Command) -> Result<()> {
    match command {
        Command::Config(arguments) => config::main(arguments),
        Command::Http(arguments) => http::main(arguments),
        Command::L4(arguments) => l4::main(arguments),
        Command::Servers(arguments) => servers::main(arguments),
        Command::Stick(arguments) => stick::main(arguments),
        Command::Tls(arguments) => tls::main(arguments),
    }
}
