//! Project automation. `cargo xtask` lists the commands.

#![forbid(unsafe_code)]

mod bench;
mod demo;
mod fuzz;
mod gate;
mod pgo;
mod product;
mod setup;
mod shell;
mod topology;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Everything that is done to this project is done by one of these.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Find what building and testing need, and install what is missing
    Setup(setup::Arguments),
    /// Build Sluice for use (release profile), kernel programs included
    Build {
        /// Build, take a profile under load, and build again guided by it: three times as long, fewer cycles per request
        #[arg(long)]
        pgo: bool,
    },
    /// Format check, lints and every test: what continuous integration runs
    Test(gate::Arguments),
    /// Show the main job on real traffic, between network namespaces, and clean up
    Demo(demo::Arguments),
    /// The parsers of what comes from outside, on inputs that lead to new code
    Fuzz(fuzz::Arguments),
    /// What Sluice costs, beside its peers in the same run
    #[command(subcommand)]
    Bench(bench::Command),
    /// The demo's network, to play with: namespaces of a client, a balancer and servers
    #[command(subcommand)]
    Netns(topology::Command),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Setup(arguments) => setup::main(&arguments),
        Command::Build { pgo } => build(pgo),
        Command::Test(arguments) => gate::main(&arguments),
        Command::Demo(arguments) => demo::main(&arguments),
        Command::Fuzz(arguments) => fuzz::main(&arguments),
        Command::Bench(command) => bench::main(&command),
        Command::Netns(command) => topology::main(&command),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build(pgo: bool) -> Result<()> {
    setup::prepare(if pgo { setup::Scope::Bench } else { setup::Scope::Build })?;
    let path = if pgo { pgo::build()? } else { product::build(product::Profile::Release)? };
    println!("{}", path.display());
    Ok(())
}
