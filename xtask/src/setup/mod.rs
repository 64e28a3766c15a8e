//! `cargo xtask setup`: finds what building and testing need, installs what is missing.
//!
//! When nothing is missing it touches neither the network nor the disk. What it installs: Debian
//! packages (as root), bpf-linker into `.tools/`, and a rustup toolchain link. It says what stays
//! unavailable where it cannot install.

mod debian;
mod kernel;
mod linker;
mod report;
mod toolchain;

use anyhow::{Result, bail};
use clap::Args;

use report::Report;
pub(crate) use report::Scope;

/// What to look for.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Only say what is there and what is missing
    #[arg(long)]
    check: bool,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let mut report = Report { install: !arguments.check, terse: false, missing: Vec::new() };
    look(&mut report, Scope::Test);
    if !report.missing.is_empty() {
        bail!("missing: {}", report.missing.join(", "));
    }
    println!("Everything is here.");
    Ok(())
}

/// The same for another command: silent when all is in order, and never the end of it, because
/// Sluice also builds and runs without its kernel programs.
pub(crate) fn prepare(scope: Scope) -> Result<()> {
    let mut report = Report { install: true, terse: true, missing: Vec::new() };
    look(&mut report, scope);
    if !report.missing.is_empty() {
        println!("Going on without: {}", report.missing.join(", "));
    }
    Ok(())
}

fn look(report: &mut Report, scope: Scope) {
    kernel::look(report);
    debian::look(report, scope);
    let Some(llvm) = toolchain::look(report) else { return };
    linker::look(report, llvm);
}
