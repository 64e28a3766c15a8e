//! A Rust toolchain that can build `core` for the BPF target.
//!
//! Any with the library's source will do. In order: one already linked as `sluice-bpf`, a rustup
//! `nightly` with the component rust-src, and Debian's rustc-web with rust-web-src, which this links
//! into rustup under that name. Without rustup, the `rustc` in PATH is taken.
//! `proxy-datapath/build.rs` looks in the same places.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::debian;
use super::report::Report;
use crate::shell::{find, output, root};

/// The name that the kernel programs' build script asks rustup for.
const NAME: &str = "sluice-bpf";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
/// What bpf-linker can be built with.
const LLVM: std::ops::RangeInclusive<u32> = 21..=23;
const CONSEQUENCE: &str = "Sluice builds without layer 4 in the kernel";

/// A compiler that would do.
struct Compiler {
    version: String,
    llvm: u32,
}

/// Finds or makes the toolchain; returns the major version of its LLVM.
pub(super) fn look(report: &mut Report) -> Option<u32> {
    let with_rustup = find("rustup").is_some();
    if with_rustup {
        for name in [NAME, "nightly"] {
            if let Some(compiler) = compiler(&["rustup", "run", name, "rustc"]) {
                return Some(found(report, &compiler, &format!("rustup toolchain `{name}`")));
            }
        }
    } else if let Some(compiler) = compiler(&["rustc"]) {
        return Some(found(report, &compiler, "`rustc` in PATH"));
    }
    if compiler(&[DEBIAN_RUSTC]).is_none()
        && !debian::install(report, &DEBIAN_PACKAGES, CONSEQUENCE)
    {
        println!("           or: rustup toolchain install nightly --component rust-src");
        return None;
    }
    let Some(debian) = compiler(&[DEBIAN_RUSTC]) else {
        report.missing("a Rust compiler with library sources", CONSEQUENCE, "see README.md");
        return None;
    };
    if with_rustup {
        if !report.install {
            report.missing(&format!("rustup toolchain `{NAME}`"), CONSEQUENCE, "cargo xtask setup");
            return None;
        }
        report.doing(&format!("Debian's {} as rustup toolchain `{NAME}`", debian.version));
        if let Err(error) = link() {
            report.missing(
                &format!("rustup toolchain `{NAME}`"),
                CONSEQUENCE,
                &format!("{error:#}"),
            );
            return None;
        }
    }
    Some(debian.llvm)
}

fn found(report: &Report, compiler: &Compiler, which: &str) -> u32 {
    report.ok(&format!(
        "{} with LLVM {} and library sources for the kernel programs ({which})",
        compiler.version, compiler.llvm
    ));
    compiler.llvm
}

/// The compiler that `rustc` runs, when it has the library's source and a known LLVM.
fn compiler(rustc: &[&str]) -> Option<Compiler> {
    let ask = |questions: &[&str]| {
        let mut command = Command::new(rustc.first()?);
        output(command.args(&rustc[1..]).args(questions).env_remove("RUSTUP_TOOLCHAIN"))
    };
    let sysroot = ask(&["--print", "sysroot"])?;
    if !Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml").is_file() {
        return None;
    }
    let text = ask(&["--verbose", "--version"])?;
    let version = text.lines().find(|line| line.starts_with("rustc "))?;
    let llvm: u32 = text
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))
        .and_then(|version| version.split('.').next()?.parse().ok())?;
    LLVM.contains(&llvm).then(|| Compiler {
        version: version.split(' ').take(2).collect::<Vec<_>>().join(" "),
        llvm,
    })
}

/// Makes a directory that looks like a toolchain, with links to Debian's, and gives it to rustup.
fn link() -> Result<()> {
    let tools = root().join(".tools");
    fs::create_dir_all(&tools)?;
    let directory = tools.canonicalize()?.join(NAME);
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir_all(directory.join("bin"))?;
    fs::create_dir_all(directory.join("lib"))?;
    for program in ["cargo", "rustc", "rustdoc"] {
        let source = PathBuf::from("/usr/bin").join(program);
        if source.exists() {
            symlink(source, directory.join("bin").join(program))?;
        }
    }
    symlink("/usr/lib/rustlib", directory.join("lib/rustlib"))?;
    let mut rustup = Command::new("rustup");
    output(rustup.args(["toolchain", "link", NAME]).arg(&directory))
        .with_context(|| format!("rustup toolchain link {NAME} {}", directory.display()))?;
    Ok(())
}
