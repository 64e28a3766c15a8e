//! Building the program itself.

use std::path::PathBuf;

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
    let mut command = cargo();
    command.args(["build", "--package", "proxy", "--bin", "sluice"]);
    let directory = match profile {
        Profile::Dev => "debug",
        Profile::Release => {
            command.arg("--release");
            "release"
        }
    };
    show(&mut command)?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |path| root().join(path));
    let path = target.join(directory).join("sluice");
    path.canonicalize().with_context(|| format!("{} was not built", path.display()))
}
