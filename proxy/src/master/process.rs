//! The processes a master looks after.

use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use nix::unistd::Pid;

/// Where a worker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Forked, loading its configuration.
    Loading,
    /// Said READY; it is the current one.
    Serving,
    /// Asked to leave.
    Leaving,
}

/// One worker.
pub(crate) struct Worker {
    pub(crate) pid: Pid,
    /// The master's end of its message socket.
    pub(crate) control: OwnedFd,
    pub(crate) phase: Phase,
    /// How many reloads it has lived through.
    pub(crate) reloads: u32,
    /// Seconds since the epoch.
    pub(crate) started: u64,
    pub(crate) version: String,
}

/// The master's own figures.
#[derive(Clone, Debug, Default)]
pub(crate) struct Own {
    pub(crate) reloads: u32,
    /// Failed reloads since the last one that succeeded.
    pub(crate) failed: u32,
    pub(crate) started: u64,
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn uptime(started: u64) -> String {
    let s = now().saturating_sub(started);
    format!("{}d{:02}h{:02}m{:02}s", s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60)
}

/// The text of `show proc` (management manual, 9.4.1).
pub(crate) fn show(own: &Own, workers: &[Worker], debug: bool) -> String {
    use std::os::fd::AsRawFd;
    let mut out = String::new();
    let line = |out: &mut String, cells: [&str; 5], fd: Option<i32>| {
        let [a, b, c, d, e] = cells;
        let _ = write!(out, "{a:<15} {b:<15} {c:<15} {d:<15} {e:<15}");
        if let Some(fd) = fd.filter(|_| debug) {
            let _ = write!(out, " {fd:<15}");
        }
        out.push('\n');
    };
    let mut head = ["#<PID>", "<type>", "<reloads>", "<uptime>", "<version>"].map(String::from);
    if debug {
        head[4] = format!("{:<15} <ipc_fd>", "<version>");
    }
    line(&mut out, head.each_ref().map(String::as_str), None);
    let reloads = format!("{} [failed: {}]", own.reloads, own.failed);
    let pid = std::process::id().to_string();
    line(
        &mut out,
        [&pid, "master", &reloads, &uptime(own.started), crate::version::VERSION],
        Some(-1),
    );
    let mut group = |title: &str, wanted: fn(&Worker) -> bool| {
        let mut first = true;
        for worker in workers.iter().filter(|worker| wanted(worker)) {
            if first {
                let _ = writeln!(out, "{title}");
                first = false;
            }
            line(
                &mut out,
                [
                    &worker.pid.to_string(),
                    "worker",
                    &worker.reloads.to_string(),
                    &uptime(worker.started),
                    &worker.version,
                ],
                Some(worker.control.as_raw_fd()),
            );
        }
        if first && title == "# workers" {
            let _ = writeln!(out, "{title}");
        }
    };
    group("# workers", |worker| worker.reloads == 0);
    group("# old workers", |worker| worker.reloads > 0);
    out
}
