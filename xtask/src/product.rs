//! Building the program itself.

use std::path::{Path, PathBuf};

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

impl Profile {
    /// Where cargo puts what is built so.
    fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// Builds `sluice` and returns where it is.
pub(crate) fn build(profile: Profile) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "proxy", "--bin", "sluice"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    show(&mut command)?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), |path| root().join(path));
    let path = target.join(profile.folder()).join("sluice");
    path.canonicalize().with_context(|| format!("{} was not built", path.display()))
}

/// Builds `sluice` with flags of the compiler, for a target triple, in a folder of its own.
pub(crate) fn build_with(
    profile: Profile,
    target: &Path,
    triple: &str,
    flags: &str,
) -> Result<PathBuf> {
    let mut command = cargo();
    command.args(["build", "--package", "proxy", "--bin", "sluice", "--target", triple]);
    command.env("CARGO_TARGET_DIR", target).env("RUSTFLAGS", flags);
    if profile == Profile::Release {
        command.arg("--release");
    }
    show(&mut command)?;
    let path = target.join(triple).join(profile.folder()).join("sluice");
    path.canonicalize().with_context(|| format!("{} was not built", path.display()))
}
