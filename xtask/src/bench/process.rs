//! What a process and its children have used so far.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tests::tools::process_tree;
use tests::{PATIENCE, Program};

/// CPU time of all threads, in nanoseconds, as the scheduler counts it (proc(5), schedstat); the
/// clock of `/proc/<pid>/stat` only ticks every 10 ms.
pub(super) fn cpu_time(root: u32) -> Duration {
    let of_thread = |path: std::path::PathBuf| -> Option<u64> {
        fs::read_to_string(path.join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    let nanoseconds = process_tree(root)
        .into_iter()
        .filter_map(|pid| fs::read_dir(format!("/proc/{pid}/task")).ok())
        .flat_map(|threads| threads.filter_map(Result::ok))
        .filter_map(|thread| of_thread(thread.path()))
        .sum();
    Duration::from_nanos(nanoseconds)
}

/// Resident memory that is a process's own, in bytes (proc(5), smaps_rollup).
pub(super) fn own_memory(root: u32) -> u64 {
    let of_process = |pid: u32| -> u64 {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        rollup
            .lines()
            .filter(|line| line.starts_with("Private_Clean:") || line.starts_with("Private_Dirty:"))
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum::<u64>()
            * 1024
    };
    process_tree(root).into_iter().map(of_process).sum()
}

/// Counts system calls of a process while `work` runs; `None` without `strace`.
pub(super) fn system_calls<T>(
    root: u32,
    work: impl FnOnce() -> Result<T>,
) -> Result<Option<(u64, T)>> {
    if crate::shell::find("strace").is_none() {
        return Ok(None);
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-c", "-U", "name,calls"]);
    for pid in process_tree(root) {
        command.args(["-p", &pid.to_string()]);
    }
    let strace = Program::start("strace", command.stdin(Stdio::null()))?;
    strace.wait_line("attached", PATIENCE)?;
    let value = work()?;
    strace.signal(Signal::SIGINT)?;
    strace.wait_line("total", PATIENCE)?;
    let log = strace.log();
    let total = log
        .lines()
        .find_map(|line| line.trim().strip_prefix("total"))
        .and_then(|rest| rest.trim().parse().ok())
        .with_context(|| format!("no total in what strace said:\n{log}"))?;
    Ok(Some((total, value)))
}
