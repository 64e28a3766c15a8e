//! Messages of the process on standard error, in the form that HAProxy's users and tools read:
//! `[LEVEL]    (pid) : text`.
//!
//! While a configuration is being loaded every line also goes to the startup log, an anonymous
//! file shared by the master and the worker it forked, so that `reload` and `show startup-logs`
//! can answer with it.

use std::fmt::Arguments;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

/// Severity as printed between brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Diag,
    Notice,
    Warning,
    Alert,
}

impl Level {
    fn tag(self) -> &'static str {
        match self {
            Self::Diag => "[DIAG]    ",
            Self::Notice => "[NOTICE]  ",
            Self::Warning => "[WARNING] ",
            Self::Alert => "[ALERT]   ",
        }
    }
}

struct State {
    quiet: bool,
    /// The version and path lines precede the first warning or alert of each process.
    introduced: bool,
    startup_log: Option<File>,
    recording: bool,
}

static STATE: Mutex<State> =
    Mutex::new(State { quiet: false, introduced: false, startup_log: None, recording: false });

/// Silences everything below alerts, as `-q` and `quiet` ask.
pub(crate) fn set_quiet(quiet: bool) {
    with_state(|state| state.quiet = quiet);
}

/// Directs a copy of every message to a new log.
pub(crate) fn begin_startup_log() {
    let log = new_log();
    with_state(|state| {
        state.recording = log.is_some();
        state.startup_log = log;
    });
}

/// A file without a name that is only ever appended to.
fn new_log() -> Option<File> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let fd = memfd_create(c"sluice-startup-log", MFdFlags::MFD_CLOEXEC).ok()?;
    nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_APPEND)).ok()?;
    Some(fd.into())
}

/// The start is over: the log stays as it is, to be shown.
pub(crate) fn stop_recording() {
    with_state(|state| state.recording = false);
}

/// To be called first in a forked process: it introduces itself again.
pub(crate) fn after_fork() {
    with_state(|state| state.introduced = false);
}

/// The startup log as it stands, for `reload` and `show startup-logs`.
pub(crate) fn startup_log() -> Vec<u8> {
    with_state(|state| {
        let mut text = Vec::new();
        if let Some(log) = &mut state.startup_log {
            // The descriptor is shared and opened for appending: the position is ours to move.
            if log.seek(SeekFrom::Start(0)).is_ok() {
                let _ = log.read_to_end(&mut text);
            }
        }
        text
    })
}

pub(crate) fn notice(text: Arguments<'_>) {
    emit(Level::Notice, text);
}

pub(crate) fn warning(text: Arguments<'_>) {
    emit(Level::Warning, text);
}

pub(crate) fn alert(text: Arguments<'_>) {
    emit(Level::Alert, text);
}

/// Prints one message, every line of it under the same prefix.
pub(crate) fn emit(level: Level, text: Arguments<'_>) {
    let pid = std::process::id();
    with_state(|state| {
        let mut out = String::new();
        if !state.introduced && matches!(level, Level::Warning | Level::Alert) {
            state.introduced = true;
            let tag = Level::Notice.tag();
            out.push_str(&format!(
                "{tag} ({pid}) : sluice version is {}\n",
                crate::version::VERSION
            ));
            if let Ok(path) = std::env::current_exe() {
                out.push_str(&format!(
                    "{tag} ({pid}) : path to executable is {}\n",
                    path.display()
                ));
            }
        }
        out.push_str(&format!("{} ({pid}) : {text}\n", level.tag()));
        write(state, level, &out);
    });
}

/// Prints text that is already formatted (rendered diagnostics).
pub(crate) fn raw(level: Level, text: &str) {
    with_state(|state| write(state, level, text));
}

fn write(state: &mut State, level: Level, out: &str) {
    if let Some(log) = state.startup_log.as_mut().filter(|_| state.recording) {
        let _ = log.write_all(out.as_bytes());
    }
    if !state.quiet || level == Level::Alert {
        let _ = std::io::stderr().write_all(out.as_bytes());
    }
}

fn with_state<T>(f: impl FnOnce(&mut State) -> T) -> T {
    f(&mut STATE.lock().unwrap_or_else(PoisonError::into_inner))
}
