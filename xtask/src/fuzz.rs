//! `cargo xtask fuzz`: the fuzz targets, guided by coverage, with the compiler that is there.
//!
//! cargo-fuzz wants a nightly compiler; the same passes are in a stable one behind `RUSTC_BOOTSTRAP`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::shell::{cargo, host, root, show};

/// Where edges are counted, and what comparisons looked for.
const COVERAGE: [&str; 4] = [
    "-sanitizer-coverage-level=4",
    "-sanitizer-coverage-inline-8bit-counters",
    "-sanitizer-coverage-pc-table",
    "-sanitizer-coverage-trace-compares",
];

/// What to fuzz.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Seconds for each target
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Megabytes a target may use
    #[arg(long, default_value_t = 1024)]
    memory: u64,
    /// Bytes of the longest input
    #[arg(long, default_value_t = 8192)]
    longest: u64,
    /// Targets, by the names of files in tests/fuzz/fuzz_targets; all without
    targets: Vec<String>,
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    let folder = root().join("tests/fuzz");
    let known = names(&folder.join("fuzz_targets"))?;
    if let Some(unknown) = arguments.targets.iter().find(|name| !known.contains(name)) {
        bail!("no target {unknown}; there are {}", known.join(", "));
    }
    let targets = if arguments.targets.is_empty() { &known } else { &arguments.targets };
    let programs = build(&folder, targets)?;
    let mut found = Vec::new();
    for target in targets {
        let seconds = arguments.seconds;
        println!("==> {target}, {seconds} s");
        let corpus = folder.join("corpus").join(target);
        let artifacts = folder.join("artifacts").join(target);
        for made in [&corpus, &artifacts] {
            fs::create_dir_all(made).with_context(|| format!("cannot make {}", made.display()))?;
        }
        seed(target, &corpus)?;
        let mut run = Command::new(programs.join(target));
        run.arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={}", arguments.memory))
            .arg(format!("-max_len={}", arguments.longest))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-timeout=20", "-print_final_stats=1", "-verbosity=0"])
            .arg(&corpus);
        if show(&mut run).is_err() {
            found.push(target.as_str());
        }
    }
    if !found.is_empty() {
        bail!("findings of {}; see tests/fuzz/artifacts", found.join(", "));
    }
    println!("no finding of {} targets", targets.len());
    Ok(())
}

/// Builds the targets and says where they are.
fn build(folder: &Path, targets: &[String]) -> Result<PathBuf> {
    let host = host()?;
    let target = folder.join("target");
    let mut flags = vec!["--cfg fuzzing -Cpasses=sancov-module".to_owned()];
    flags.extend(COVERAGE.iter().map(|pass| format!("-Cllvm-args={pass}")));
    flags.push("-Cdebug-assertions=yes".to_owned());
    let mut command = cargo();
    command
        .current_dir(folder)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", flags.join(" "))
        .env("CARGO_TARGET_DIR", &target)
        .args(["build", "--release", "--target", &host]);
    for name in targets {
        command.args(["--bin", name]);
    }
    show(&mut command)?;
    Ok(target.join(host).join("release"))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.path().file_stem()?.to_str().map(str::to_owned))
        .collect();
    names.sort();
    Ok(names)
}

/// Gives a target the configurations of the other tests to begin with.
fn seed(target: &str, corpus: &Path) -> Result<()> {
    let folders: &[&str] = match target {
        "config" | "lexer" => &["tests/config", "tests/corpus", "examples"],
        _ => return Ok(()),
    };
    for folder in folders.iter().map(|folder| root().join(folder)) {
        for entry in fs::read_dir(&folder)?.flatten().map(|entry| entry.path()) {
            if let (Some("cfg"), Some(name)) =
                (entry.extension().and_then(|e| e.to_str()), entry.file_name())
            {
                fs::copy(&entry, corpus.join(name))?;
            }
        }
    }
    Ok(())
}
