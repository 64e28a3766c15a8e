//! Building the program itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell::{cargo, root, show};

/// How it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Profile {
    /// As tests use it: quick to build.
    Dev,
    /// As users get it.
    Release,
}

/// Builds `sluice` and returns where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |path| root().join(path));
    run(cargo(), profile, &target)
}

/// A release build with flags of the compiler, for a target triple, in a folder of its own.
pub(crate) fn build_release_with(target: &Path, triple: &str, flags: &str) -> Result<PathBuf> {
    let mut command = cargo();
    command.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", flags);
    command.env("CARGO_BUILD_TARGET", triple);
    run(command, Profile::Release, &target.join(triple))
}

/// Has cargo build `sluice`, below `folder`.
fn run(mut cargo: Command, profile: Profile, folder: &Path) -> Result<PathBuf> {
    cargo.args(["build", "--package", "proxy", "--bin", "sluice"]);
    let directory = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    show(&mut cargo)?;
    let path = folder.join(directory).join("sluice");
    path.canonicalize().with_context(|| format!("{} was not built", path.display()))
}
