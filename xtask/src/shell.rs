//! Running commands.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// The cargo that started us.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).env("PATH", path_with_tools());
    command
}

/// `PATH`, with the project's own tools first and the system directories that a plain user lacks.
pub(crate) fn path_with_tools() -> OsString {
    let current = env::var_os("PATH").unwrap_or_default();
    let mut directories = vec![root().join(".tools/bin")];
    directories.extend(env::split_paths(&current));
    for directory in ["/usr/sbin", "/sbin"].map(PathBuf::from) {
        if !directories.contains(&directory) {
            directories.push(directory);
        }
    }
    env::join_paths(directories).unwrap_or(current)
}

/// Where a program is, in [`path_with_tools`].
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&path_with_tools())
        .map(|directory| directory.join(program))
        .find(|path| path.is_file())
}

/// Runs a command with its output shown; anything but success is an error.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        let words: Vec<_> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        bail!("`{}` failed: {status}", words.join(" "));
    }
    Ok(())
}

/// Runs a command silently: its standard output when it succeeds.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command.stdin(std::process::Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What `rustc -vV` says of `name`: `host`, `LLVM version`.
pub(crate) fn rustc_fact(name: &str) -> Result<String> {
    let version = output(Command::new("rustc").arg("-vV")).context("there is no rustc")?;
    let line = version.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.map(str::to_owned).with_context(|| format!("rustc does not say its {name}"))
}

/// The target triple of this machine. With one named, flags are for what is built and not for build scripts.
pub(crate) fn host() -> Result<String> {
    rustc_fact("host")
}
