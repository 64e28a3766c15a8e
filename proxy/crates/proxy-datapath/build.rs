//! Builds the kernel programs and hands their object file to `src/object.rs`.
//!
//! The programs need a toolchain that can build `core` for the BPF target, and bpf-linker. Without them
//! the build still succeeds, with an object that is empty and a reason that says what to run; with them,
//! programs that do not compile fail the build.
//!
//! - `SLUICE_EBPF_OBJECT=<file>` takes that object instead of building one.
//! - `SLUICE_EBPF_SKIP=1` builds none.

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

/// Package and binary of the kernel programs.
const PACKAGE: &str = "proxy-ebpf";
const BINARY: &str = "sluice-bpf";
/// Name under which `cargo xtask setup` links a toolchain that carries the source of `core`.
const LINKED_TOOLCHAIN: &str = "sluice-bpf";
/// Profile of the workspace made for the BPF target.
const PROFILE: &str = "bpf";

fn main() -> ExitCode {
    let manifest_dir = PathBuf::from(var("CARGO_MANIFEST_DIR"));
    let root = manifest_dir.join("../../..");
    let root = root.canonicalize().unwrap_or(root);
    let out_dir = PathBuf::from(var("OUT_DIR"));

    for name in ["SLUICE_EBPF_OBJECT", "SLUICE_EBPF_SKIP", "PATH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    for path in ["build.rs", "../../../proxy-ebpf", "../../../proxy-common", "../../../Cargo.toml"]
    {
        println!("cargo::rerun-if-changed={path}");
    }

    match object(&root, &out_dir) {
        Ok(Outcome::Built(bytes)) => finish(&out_dir, &bytes, ""),
        Ok(Outcome::Without(reason)) => {
            println!("cargo::warning=layer 4 in the kernel is left out of this build: {reason}");
            // A file that never exists makes cargo ask again at each build, so that what
            // `cargo xtask setup` brings is noticed.
            println!("cargo::rerun-if-changed={}", out_dir.join("ask-again").display());
            finish(&out_dir, &[], &reason)
        }
        Err(message) => {
            for line in message.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// What a build can end with short of an error.
enum Outcome {
    Built(Vec<u8>),
    /// No object, and why.
    Without(String),
}

fn finish(out_dir: &Path, object: &[u8], reason: &str) -> ExitCode {
    let written = fs::write(out_dir.join("sluice.bpf.o"), object)
        .and_then(|()| fs::write(out_dir.join("sluice.bpf.reason"), reason));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error=cannot write to {}: {error}", out_dir.display());
            ExitCode::FAILURE
        }
    }
}

fn object(root: &Path, out_dir: &Path) -> Result<Outcome, String> {
    if let Some(path) = env::var_os("SLUICE_EBPF_OBJECT").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        println!("cargo::rerun-if-changed={}", path.display());
        return fs::read(&path)
            .map(Outcome::Built)
            .map_err(|error| format!("SLUICE_EBPF_OBJECT={}: {error}", path.display()));
    }
    if env::var_os("SLUICE_EBPF_SKIP").is_some_and(|skip| !skip.is_empty() && skip != "0") {
        return Ok(Outcome::Without("SLUICE_EBPF_SKIP is set".into()));
    }
    let target = match var("CARGO_CFG_TARGET_ENDIAN").to_str() {
        Some("big") => "bpfeb-unknown-none",
        _ => "bpfel-unknown-none",
    };
    if var("CARGO_CFG_TARGET_OS") != "linux" {
        return Ok(Outcome::Without("it needs Linux".into()));
    }
    let Some(linker) = find_linker(root) else {
        return Ok(Outcome::Without(
            "bpf-linker is neither in PATH nor in .tools/bin; run `cargo xtask setup`".into(),
        ));
    };
    let Some(toolchain) = find_toolchain() else {
        return Ok(Outcome::Without(format!(
            "no Rust toolchain with the source of `core`: neither a rustup toolchain `nightly` with \
             the component rust-src, nor one linked as `{LINKED_TOOLCHAIN}`; run `cargo xtask setup`"
        )));
    };
    build(root, out_dir, target, &linker, &toolchain).map(Outcome::Built)
}

fn build(
    root: &Path,
    out_dir: &Path,
    target: &str,
    linker: &Path,
    toolchain: &Toolchain,
) -> Result<Vec<u8>, String> {
    // A target directory of its own: cargo holds a lock on the one this script runs under.
    let target_dir = out_dir.join("bpf");
    let rustflags = [
        // Read by aya-ebpf to choose register layouts.
        format!("--cfg=bpf_target_arch=\"{}\"", var("CARGO_CFG_TARGET_ARCH").to_string_lossy()),
        // Atomics that return the old value need the third instruction set (Linux 5.12).
        "-Ctarget-cpu=v3".into(),
        "-Cdebuginfo=2".into(),
        "-Clink-arg=--btf".into(),
        // With that option on, which is bpf-linker's default, small memset and memmove become calls of
        // loops over single bytes.
        "-Clink-arg=--disable-expand-memcpy-in-order".into(),
        format!("-Clinker={}", linker.display()),
    ];
    let mut command = toolchain.command("cargo");
    command
        .current_dir(root)
        .args(["build", "--quiet", "--locked", "--color=never"])
        .args(["--package", PACKAGE, "--bin", BINARY, "--profile", PROFILE])
        .args(["-Z", "build-std=core", "--target", target])
        .arg("--target-dir")
        .arg(&target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags.join("\x1f"))
        // `-Z build-std` on a toolchain that is not a nightly.
        .env("RUSTC_BOOTSTRAP", "1")
        // Set by the cargo that runs this script, and meant for the host's compiler.
        .env_remove("RUSTC")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTUP_TOOLCHAIN")
        .stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "the kernel programs do not build ({}):\n{}\nwith {command:?}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    for line in String::from_utf8_lossy(&output.stderr).lines().filter(|line| !line.is_empty()) {
        println!("cargo::warning={line}");
    }
    let object = target_dir.join(target).join(PROFILE).join(BINARY);
    fs::read(&object).map_err(|error| format!("{}: {error}", object.display()))
}

/// How to call the tools of the toolchain that builds for BPF.
enum Toolchain {
    /// By name, through rustup.
    Rustup(&'static str),
    /// Those in PATH; there is no rustup.
    Plain,
}

impl Toolchain {
    fn command(&self, tool: &str) -> Command {
        match self {
            Self::Rustup(name) => {
                let mut command = Command::new("rustup");
                command.args(["run", name, tool]);
                command
            }
            Self::Plain => Command::new(tool),
        }
    }

    /// Whether the source of `core` is there.
    fn can_build_core(&self) -> bool {
        let mut command = self.command("rustc");
        command.args(["--print", "sysroot"]).env_remove("RUSTUP_TOOLCHAIN");
        let Ok(output) = command.stderr(Stdio::null()).output() else { return false };
        let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
        output.status.success()
            && sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file()
    }
}

fn find_toolchain() -> Option<Toolchain> {
    let candidates = if in_path("rustup").is_some() {
        vec![Toolchain::Rustup(LINKED_TOOLCHAIN), Toolchain::Rustup("nightly")]
    } else {
        vec![Toolchain::Plain]
    };
    candidates.into_iter().find(Toolchain::can_build_core)
}

fn find_linker(root: &Path) -> Option<PathBuf> {
    let local = root.join(".tools/bin/bpf-linker");
    if local.is_file() { Some(local) } else { in_path("bpf-linker") }
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// A variable that cargo sets for every build script.
fn var(name: &str) -> OsString {
    env::var_os(name).unwrap_or_default()
}
