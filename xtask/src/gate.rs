//! `cargo xtask test`: the definition of "works". `.ci/run` and the hosted workflow call it.

use std::time::Instant;

use anyhow::Result;
use clap::Args;

use crate::product::{self, Profile};
use crate::setup::{self, Scope};
use crate::shell::{cargo, path_with_tools, show};

/// What to run.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Leave out what cannot fail by a change of Rust code alone: look for no tools, install none
    #[arg(long)]
    offline: bool,
    /// Passed to the test programs: a part of a test's name, `--nocapture` ...
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filter: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let start = Instant::now();
    if !arguments.offline {
        setup::prepare(Scope::Test)?;
    }
    step("format", || show(cargo().args(["fmt", "--all", "--check"])))?;
    step("lints", || {
        show(
            cargo()
                .args(["clippy", "--workspace", "--all-targets", "--quiet", "--"])
                .args(["-D", "warnings"]),
        )
    })?;
    let binary = step("sluice, with its kernel programs", || product::build(Profile::Dev))?;
    println!("==> tests");
    let mut tests = cargo();
    tests.args(["test", "--workspace"]).arg("--").args(&arguments.filter);
    tests.env("SLUICE_BIN", binary).env("PATH", path_with_tools()).env_remove("SLUICE_PEER");
    show(&mut tests)?;
    eprintln!("all passed in {} s", start.elapsed().as_secs());
    Ok(())
}

fn step<T>(name: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    println!("==> {name}");
    run()
}
