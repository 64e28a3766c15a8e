//! What the figures were measured on.

use std::fs;
use std::path::Path;
use std::process::Command;

/// One line: processor, cores, kernel.
pub(super) fn describe() -> String {
    let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{model}, {} cores, Linux {}", cores(), kernel.trim())
}

/// Cores this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The first line a program says of its version; `-v` is what the proxies here know.
pub(super) fn version(program: &Path) -> String {
    let Ok(output) = Command::new(program).arg("-v").output() else { return "?".into() };
    // nginx writes it to standard error.
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or("?").trim().to_owned()
}

/// A command that runs on one core only, so that the proxy has one for itself.
pub(super) fn pinned(core: usize, program: impl AsRef<std::ffi::OsStr>) -> Command {
    if cores() < 2 {
        return Command::new(program);
    }
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &core.to_string()]).arg(program);
    command
}
