//! Builds the programs of `proxy-ebpf/src/bench`, with the tools that `proxy-datapath/build.rs` uses.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::{find, path_with_tools, root};

const TARGET: &str = "bpfel-unknown-none";
const PROFILE: &str = "bpf";
const BINARY: &str = "sluice-bench-bpf";

/// The object file.
pub(super) fn object() -> Result<Vec<u8>> {
    let linker = find("bpf-linker").context("no bpf-linker; run `cargo xtask setup`")?;
    let mut command = toolchain();
    let target = root().join("target/bench-bpf");
    let flags = [
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        "-Ctarget-cpu=v3".into(),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        format!("-Clinker={}", linker.display()),
    ];
    let output = command
        .current_dir(root())
        .args(["build", "--quiet", "--locked", "--package", "proxy-ebpf", "--bin", BINARY])
        .args(["--profile", PROFILE, "-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("PATH", path_with_tools())
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("RUSTC")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTUP_TOOLCHAIN")
        .output()
        .context("cannot run cargo for the BPF target")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let path = target.join(TARGET).join(PROFILE).join(BINARY);
    fs::read(&path).with_context(|| path.display().to_string())
}

/// The cargo that can build `core`: see `crate::setup::toolchain`.
fn toolchain() -> Command {
    if find("rustup").is_none() {
        return Command::new("cargo");
    }
    let linked = |name: &&str| {
        let mut command = Command::new("rustup");
        command.args(["run", name, "rustc", "--version"]).env_remove("RUSTUP_TOOLCHAIN");
        command.output().is_ok_and(|output| output.status.success())
    };
    let name = ["sluice-bpf", "nightly"].into_iter().find(linked).unwrap_or("nightly");
    let mut command = Command::new("rustup");
    command.args(["run", name, "cargo"]);
    command
}
