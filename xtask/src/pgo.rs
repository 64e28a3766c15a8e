//! A release build that is guided by a profile of the work it is for.
//!
//! The compiler learns which ways through the code are taken: the first build counts them under load, the second is made
//! from the counts.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result};

use crate::bench;
use crate::product;
use crate::shell::{find, host, output, root, rustc_fact, show};

/// Builds, trains and builds again; where the result is.
pub(crate) fn build() -> Result<PathBuf> {
    let tool = profdata().context(
        "llvm-profdata of the compiler's LLVM is missing: `rustup component add llvm-tools`, or Debian's llvm package \
         of that version",
    )?;
    let folder = root().join("target/pgo");
    let raw = folder.join("raw");
    if raw.exists() {
        fs::remove_dir_all(&raw).with_context(|| format!("cannot empty {}", raw.display()))?;
    }
    fs::create_dir_all(&raw).with_context(|| format!("cannot make {}", raw.display()))?;
    let host = host()?;
    println!("==> a build that counts");
    let counting = product::build_release_with(
        &folder.join("counting"),
        &host,
        &format!("-Cprofile-generate={}", raw.display()),
    )?;
    println!("==> training");
    bench::train(counting)?;
    let profile = folder.join("sluice.profdata");
    show(Command::new(tool).args(["merge", "-o"]).args([&profile, &raw]))?;
    println!("==> the build that is used");
    product::build_release_with(
        &folder.join("guided"),
        &host,
        &format!("-Cprofile-use={}", profile.display()),
    )
}

/// The tool that belongs to the compiler: rustup's component, or Debian's of the same major version.
fn profdata() -> Option<PathBuf> {
    let llvm = rustc_fact("LLVM version").ok()?;
    let major = llvm.split('.').next()?;
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    let own = Path::new(sysroot.trim()).join("lib/rustlib").join(host().ok()?);
    [
        Some(own.join("bin/llvm-profdata")),
        Some(PathBuf::from(format!("/usr/lib/llvm-{major}/bin/llvm-profdata"))),
        find(&format!("llvm-profdata-{major}")),
        env::var_os("LLVM_PROFDATA").map(PathBuf::from),
    ]
    .into_iter()
    .flatten()
    .find(|path| path.is_file())
}
