//! The master: forks the worker before anything but the process keywords is read, then supervises.
//!
//! It is one thread in one loop over signals, the master CLI and one message socket per worker. It
//! never parses a proxy, loads no runtime, holds no listener of the service and no kernel program.
//! On reload it executes itself again, to pick up a new binary, keeping its pid, the workers' sockets
//! and the CLI's listeners; see [`reload`].
//!
//! ```text
//!            fork                READY                reload: new one READY
//! Loading ---------> (worker) ----------> Serving ------------------------> Leaving --> gone
//!    | exit: reload failed, the serving one stays      | crash: forked again, with backoff
//! ```

mod cli;
mod commands;

pub(crate) use commands::names as command_names;
mod listen;
mod notify;
mod pins;
mod process;
mod reload;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::args::{self, Args, StopStyle};
use crate::daemon::LauncherPipe;
use crate::discovery::Discovered;
use crate::ipc::{self, ReexecState};
use crate::{messages, sys, worker};

use cli::{CliServer, Session};
use process::{Own, Phase, Worker};

/// What a CLI command leads to.
pub(crate) enum Effect {
    /// Text, followed by the blank line that ends an answer.
    Answer(String),
    /// Nothing to say.
    Silent,
    /// A worker answers.
    Upstream,
    /// The session ends.
    Close,
    /// The session's client now waits for the outcome of a reload.
    HandedOver,
}

/// Signals the loop reads; all are blocked otherwise, in every image of the master.
const SIGNALS: [Signal; 9] = [
    Signal::SIGCHLD,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Crashes in a row, of workers that did not settle, after which the next ones are put off.
const FORGIVEN: u32 = 8;
/// Longest pause between two attempts to bring a crashed worker back.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// The first pause.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
/// A worker that served this long is brought back at once.
const SETTLED: Duration = Duration::from_secs(1);

pub(crate) struct Master {
    args: Args,
    argv: Vec<OsString>,
    discovered: Discovered,
    workers: Vec<Worker>,
    own: Own,
    cli: CliServer,
    notify: notify::Notifier,
    launcher: Option<LauncherPipe>,
    reload_client: Option<OwnedFd>,
    pending_reload: bool,
    /// The signal that ends the service.
    stopping: Option<Signal>,
    served_once: bool,
    respawn_at: Option<Instant>,
    /// Workers that ended before they had settled, in a row.
    crashes: u32,
    ready_since: Option<Instant>,
}

/// What the forked child needs to become a worker.
struct ChildSide {
    control: OwnedFd,
    /// The message socket of the worker it replaces.
    predecessor: Option<OwnedFd>,
}

/// Runs the master until the service ends; in the forked child, runs the worker.
pub(crate) fn run(
    args: Args,
    discovered: Discovered,
    reexec: Option<ReexecState>,
    launcher: Option<LauncherPipe>,
) -> ExitCode {
    let signals = SigSet::from_iter(SIGNALS);
    let prepared = signals.thread_block().and_then(|()| {
        SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
    });
    let signal_fd = match prepared {
        Ok(fd) => fd,
        Err(error) => {
            messages::alert(format_args!("cannot watch signals: {error}"));
            return ExitCode::from(1);
        }
    };
    let mut master = match Master::new(args, discovered, reexec, launcher) {
        Ok(master) => master,
        Err(code) => return code,
    };
    if let Some(child) = master.first_load() {
        drop(signal_fd);
        return become_worker(master, child);
    }
    loop {
        match master.turn(&signal_fd) {
            Turn::Continue => {}
            Turn::Exit(code) => {
                master.remove_sockets();
                return ExitCode::from(code);
            }
            Turn::Child(child) => {
                drop(signal_fd);
                return become_worker(master, child);
            }
        }
    }
}

enum Turn {
    Continue,
    Exit(u8),
    Child(ChildSide),
}

/// What a descriptor in the poll set is.
#[derive(Clone, Copy)]
enum Source {
    Signals,
    Worker(usize),
    Listener(usize),
    Client(usize),
    Upstream(usize),
}

/// In the child: forget what is the master's, and run.
fn become_worker(mut master: Master, child: ChildSide) -> ExitCode {
    let args = std::mem::take(&mut master.args);
    // Its sockets, sessions and the launcher's pipe must not stay open in the worker.
    drop(master);
    let ready = worker::Ready::Master { control: child.control, predecessor: child.predecessor };
    ExitCode::from(worker::run(args, ready))
}

impl Master {
    fn new(
        args: Args,
        discovered: Discovered,
        reexec: Option<ReexecState>,
        launcher: Option<LauncherPipe>,
    ) -> Result<Self, ExitCode> {
        let state = reexec.unwrap_or_default();
        let mut cli = CliServer::default();
        for (index, text) in args.master_sockets.iter().enumerate() {
            let opened = listen::CliSpec::parse(text).and_then(|spec| {
                spec.open(state.cli_sockets.get(index).copied())
                    .map_err(|error| format!("cannot bind the master CLI to '{text}' : {error}"))
            });
            match opened {
                Ok(listener) => cli.listeners.push(listener),
                // A master that already has workers goes on without this socket.
                Err(why) if !state.processes.is_empty() => messages::alert(format_args!("{why}")),
                Err(why) => {
                    messages::alert(format_args!("{why}"));
                    return Err(ExitCode::from(1));
                }
            }
        }
        let mut own = Own { started: process::now(), ..Own::default() };
        let mut workers = Vec::new();
        for entry in &state.processes {
            if entry.kind == 'm' {
                own.reloads = entry.reloads;
                own.failed = entry.failed_reloads;
                own.started = entry.started;
            } else if let Ok(control) = sys::adopt_fd(entry.fd) {
                let _ = ipc::keep_on_exec(control.as_fd(), false);
                workers.push(Worker {
                    pid: Pid::from_raw(entry.pid),
                    control,
                    phase: Phase::Leaving,
                    reloads: entry.reloads,
                    started: entry.started,
                    version: entry.version.clone(),
                });
            }
        }
        if let Some(current) = workers.iter_mut().min_by_key(|worker| worker.reloads) {
            current.phase = Phase::Serving;
        }
        Ok(Self {
            argv: reload::original_argv(std::env::args_os().collect()),
            notify: notify::Notifier::new(args.systemd),
            served_once: !workers.is_empty(),
            reload_client: state.reload_client.and_then(|fd| sys::adopt_fd(fd).ok()),
            args,
            discovered,
            workers,
            own,
            cli,
            launcher,
            pending_reload: false,
            stopping: None,
            respawn_at: None,
            crashes: 0,
            ready_since: None,
        })
    }

    /// Forks the worker of a start or of a reload. `Some` in the child.
    fn first_load(&mut self) -> Option<ChildSide> {
        if self.discovered.failed {
            self.own.failed += 1;
            self.notify.discovery_failed();
            messages::warning(format_args!("Loading failure! The running worker keeps serving."));
            self.answer_reload(false);
            return None;
        }
        match self.spawn() {
            Ok(child) => child,
            Err(error) => {
                messages::alert(format_args!("cannot fork a worker: {error}"));
                self.load_failed(1);
                None
            }
        }
    }

    /// Forks a worker. `Ok(Some)` in the child.
    fn spawn(&mut self) -> io::Result<Option<ChildSide>> {
        messages::begin_startup_log();
        let (mine, theirs) = ipc::message_pair()?;
        match sys::fork()? {
            Some(pid) => {
                drop(theirs);
                self.workers.push(Worker {
                    pid,
                    control: mine,
                    phase: Phase::Loading,
                    reloads: 0,
                    started: process::now(),
                    version: crate::version::VERSION.to_owned(),
                });
                messages::notice(format_args!("New worker ({pid}) forked"));
                Ok(None)
            }
            None => {
                drop(mine);
                messages::after_fork();
                let predecessor = self
                    .workers
                    .drain(..)
                    .filter(|worker| worker.phase == Phase::Serving)
                    .map(|worker| worker.control)
                    .next_back();
                Ok(Some(ChildSide { control: theirs, predecessor }))
            }
        }
    }

    /// One turn of the loop.
    fn turn(&mut self, signal_fd: &SignalFd) -> Turn {
        let ready = match self.wait(signal_fd) {
            Ok(ready) => ready,
            Err(Errno::EINTR) => return Turn::Continue,
            Err(error) => {
                messages::alert(format_args!("poll: {error}"));
                return Turn::Exit(1);
            }
        };
        let mut sessions = std::mem::take(&mut self.cli.sessions);
        for (source, flags) in &ready {
            match *source {
                Source::Worker(index) => self.worker_speaks(index),
                Source::Client(index) => {
                    if flags.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR)
                    {
                        sessions[index].read_client();
                    }
                    if flags.contains(PollFlags::POLLOUT) {
                        sessions[index].write_client();
                    }
                }
                Source::Upstream(index) => sessions[index].drive_upstream(*flags),
                Source::Listener(_) | Source::Signals => {}
            }
        }
        let mut kept = Vec::with_capacity(sessions.len());
        for mut session in sessions {
            if cli::process(self, &mut session) && !session.finished() {
                kept.push(session);
            }
        }
        // Sessions that answers to a reload opened meanwhile come after those that were there.
        kept.append(&mut self.cli.sessions);
        self.cli.sessions = kept;
        for (source, _) in &ready {
            match *source {
                Source::Listener(index) => self.cli.accept(index),
                Source::Signals => {
                    if let Some(code) = self.signals(signal_fd) {
                        return Turn::Exit(code);
                    }
                }
                _ => {}
            }
        }
        if self.pending_reload && !self.is_loading() && self.stopping.is_none() {
            self.pending_reload = false;
            self.reload(None, StopStyle::Finish);
        }
        if self.respawn_at.is_some_and(|at| at <= Instant::now()) && self.stopping.is_none() {
            self.respawn_at = None;
            match self.spawn() {
                Ok(Some(child)) => return Turn::Child(child),
                Ok(None) => {}
                Err(error) => {
                    messages::alert(format_args!("cannot fork a worker: {error}"));
                    self.schedule_respawn();
                }
            }
        }
        Turn::Continue
    }

    fn wait(&self, signal_fd: &SignalFd) -> nix::Result<Vec<(Source, PollFlags)>> {
        let mut sources = vec![Source::Signals];
        let mut fds = vec![PollFd::new(signal_fd.as_fd(), PollFlags::POLLIN)];
        let mut add = |source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::new(fd, flags));
        };
        for (index, worker) in self.workers.iter().enumerate() {
            add(Source::Worker(index), worker.control.as_fd(), PollFlags::POLLIN);
        }
        if self.cli.accepting() {
            for (index, listener) in self.cli.listeners.iter().enumerate() {
                add(Source::Listener(index), listener.socket.as_fd(), PollFlags::POLLIN);
            }
        }
        for (index, session) in self.cli.sessions.iter().enumerate() {
            add(Source::Client(index), session.client.as_fd(), session.client_interest());
            if let Some((fd, flags)) = session.upstream_fd() {
                add(Source::Upstream(index), fd, flags);
            }
        }
        let timeout = self.respawn_at.map_or(PollTimeout::NONE, |at| {
            let left = at.saturating_duration_since(Instant::now()).as_millis() + 1;
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        });
        poll(&mut fds, timeout)?;
        Ok(sources
            .into_iter()
            .zip(&fds)
            .filter_map(|(source, fd)| Some((source, fd.revents()?)))
            .filter(|(_, flags)| !flags.is_empty())
            .collect())
    }

    /// Reads what a worker says.
    fn worker_speaks(&mut self, index: usize) {
        let Some(worker) = self.workers.get(index) else { return };
        loop {
            match ipc::receive(worker.control.as_fd()) {
                Ok(Some((text, _))) => match text.split_once(' ') {
                    Some(("READY", _)) => {
                        self.worker_ready(index);
                        return;
                    }
                    Some(("unpin", directory)) => pins::remove(Path::new(directory)),
                    _ => {}
                },
                // The end comes with SIGCHLD too, and with a reason there.
                Ok(None) | Err(_) => return,
            }
        }
    }

    fn worker_ready(&mut self, index: usize) {
        if self.workers[index].phase != Phase::Loading {
            return;
        }
        let stop = match self.args.stop_style {
            StopStyle::Finish => Signal::SIGUSR1,
            StopStyle::Terminate => Signal::SIGTERM,
        };
        for (other, worker) in self.workers.iter_mut().enumerate() {
            if other == index {
                worker.phase = Phase::Serving;
                continue;
            }
            let exhausted = worker.reloads > self.discovered.max_reloads;
            if exhausted {
                let _ = kill(worker.pid, Signal::SIGTERM);
            } else if worker.phase == Phase::Serving {
                let _ = kill(worker.pid, stop);
            }
            worker.phase = Phase::Leaving;
        }
        for pid in self.args.old_pids.drain(..).map(Pid::from_raw) {
            if self.workers.iter().all(|worker| worker.pid != pid) {
                let _ = kill(pid, stop);
            }
        }
        // A worker that is started again has nobody to inherit from.
        self.args.listeners_from.take_if(|from| from != args::NO_LISTENERS);
        self.served_once = true;
        self.own.failed = 0;
        self.ready_since = Some(Instant::now());
        self.write_pidfile();
        messages::notice(format_args!("Loading success."));
        messages::stop_recording();
        if let Some(launcher) = self.launcher.take() {
            launcher.ready(!self.args.verbose);
        }
        self.notify.ready();
        self.answer_reload(true);
    }

    fn write_pidfile(&self) {
        let Some(path) = self.args.pidfile.as_ref().or(self.discovered.pidfile.as_ref()) else {
            return;
        };
        if let Err(error) = std::fs::write(path, format!("{}\n", std::process::id())) {
            messages::warning(format_args!(
                "cannot write the pid file {}: {error}",
                path.display()
            ));
        }
    }

    /// Reads the signals that came. `Some` ends the master with this code.
    fn signals(&mut self, signal_fd: &SignalFd) -> Option<u8> {
        while let Ok(Some(info)) = signal_fd.read_signal() {
            let Ok(signal) = Signal::try_from(info.ssi_signo as i32) else { continue };
            match signal {
                Signal::SIGCHLD => {
                    if let Some(code) = self.reap() {
                        return Some(code);
                    }
                }
                Signal::SIGUSR2 | Signal::SIGHUP => self.pending_reload = true,
                Signal::SIGUSR1 | Signal::SIGTERM | Signal::SIGINT => {
                    messages::warning(format_args!("Exiting Master process..."));
                    self.notify.stopping();
                    self.stopping = Some(signal);
                    self.respawn_at = None;
                    self.relay(signal);
                    if self.workers.is_empty() {
                        return Some(self.exit_code());
                    }
                }
                Signal::SIGTTIN | Signal::SIGTTOU => self.relay(signal),
                _ => {}
            }
        }
        None
    }

    fn relay(&self, signal: Signal) {
        for worker in &self.workers {
            let _ = kill(worker.pid, signal);
        }
    }

    fn exit_code(&self) -> u8 {
        if self.stopping == Some(Signal::SIGINT) { 130 } else { 0 }
    }

    /// Collects workers that ended. `Some` ends the master with this code.
    fn reap(&mut self) -> Option<u8> {
        loop {
            let (pid, code, how) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => {
                    (pid, u8::try_from(code).unwrap_or(1), "Exit".to_owned())
                }
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid, 128 + signal as i32 as u8, signal.as_str().to_owned())
                }
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return None,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return None,
            };
            let Some(index) = self.workers.iter().position(|worker| worker.pid == pid) else {
                continue;
            };
            // What it said before it ended counts: READY may still be unread.
            self.worker_speaks(index);
            let worker = self.workers.remove(index);
            if let Some(end) = self.worker_ended(&worker, code, &how) {
                return Some(end);
            }
        }
    }

    fn worker_ended(&mut self, worker: &Worker, code: u8, how: &str) -> Option<u8> {
        let pid = worker.pid;
        if let Some(signal) = self.stopping {
            if worker.phase == Phase::Serving {
                messages::warning(format_args!(
                    "Current worker ({pid}) exited with code {code} ({how})"
                ));
            }
            if self.workers.is_empty() {
                let exit = self.exit_code();
                messages::warning(format_args!(
                    "All workers exited. Exiting... ({exit}) after {}",
                    signal.as_str()
                ));
                return Some(exit);
            }
            return None;
        }
        match worker.phase {
            Phase::Leaving => {
                messages::notice(format_args!(
                    "Former worker ({pid}) exited with code {code} ({how})"
                ));
                None
            }
            Phase::Loading => {
                messages::alert(format_args!(
                    "Failed to load worker ({pid}) exited with code {code} ({how})"
                ));
                self.load_failed(code)
            }
            Phase::Serving if matches!(code, 0 | 143) => {
                messages::warning(format_args!(
                    "Current worker ({pid}) exited with code {code} ({how})"
                ));
                if self.workers.iter().any(|worker| worker.phase == Phase::Loading) {
                    return None;
                }
                messages::warning(format_args!("All workers exited. Exiting... (0)"));
                self.notify.stopping();
                self.relay(Signal::SIGTERM);
                Some(0)
            }
            Phase::Serving => {
                messages::alert(format_args!(
                    "Current worker ({pid}) exited with code {code} ({how})"
                ));
                if self.discovered.exit_on_failure {
                    messages::alert(format_args!(
                        "exit-on-failure: killing every processes with SIGTERM"
                    ));
                    self.relay(Signal::SIGTERM);
                    return Some(code.max(1));
                }
                let settled = self.ready_since.is_some_and(|since| since.elapsed() >= SETTLED);
                if settled {
                    self.crashes = 0;
                }
                self.schedule_respawn();
                None
            }
        }
    }

    /// A worker did not come up. `Some` ends the master: there was never one that served.
    fn load_failed(&mut self, code: u8) -> Option<u8> {
        messages::stop_recording();
        if !self.served_once {
            return Some(code.max(1));
        }
        self.own.failed += 1;
        self.notify.reload_failed();
        self.answer_reload(false);
        if self.workers.iter().any(|worker| worker.phase == Phase::Serving) {
            messages::warning(format_args!("Loading failure! The running worker keeps serving."));
        } else {
            self.schedule_respawn();
        }
        None
    }

    fn schedule_respawn(&mut self) {
        if self.is_loading() {
            return;
        }
        self.crashes = self.crashes.saturating_add(1);
        let pause = backoff(self.crashes);
        messages::warning(format_args!("Starting a worker again in {pause:?}"));
        self.respawn_at = Some(Instant::now() + pause);
    }

    fn is_loading(&self) -> bool {
        self.workers.iter().any(|worker| worker.phase == Phase::Loading)
    }

    fn last_reload_failed(&self) -> bool {
        self.own.failed > 0
    }

    /// The worker that `@1` means: the one with the fewest reloads.
    fn current_worker(&self) -> Option<Pid> {
        self.workers
            .iter()
            .filter(|worker| worker.phase != Phase::Loading)
            .min_by_key(|worker| worker.reloads)
            .map(|worker| worker.pid)
    }

    fn show_proc(&self, debug: bool) -> String {
        process::show(&self.own, &self.workers, debug)
    }

    fn uptime_prefix(&self) -> String {
        let s = process::now().saturating_sub(self.own.started);
        format!("[{}:{:02}:{:02}:{:02}] ", s / 86_400, s / 3600 % 24, s / 60 % 60, s % 60)
    }

    fn answer_reload(&mut self, success: bool) {
        let Some(client) = self.reload_client.take() else { return };
        let mut answer = format!("Success={}\n--\n", u8::from(success)).into_bytes();
        answer.extend_from_slice(&messages::startup_log());
        answer.push(b'\n');
        self.cli.sessions.push(Session::answered(client, answer));
    }

    fn remove_sockets(&self) {
        for path in self.cli.listeners.iter().filter_map(|listener| listener.path.as_ref()) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// The pause before the worker that follows this many crashes.
fn backoff(crashes: u32) -> Duration {
    match crashes.saturating_sub(FORGIVEN) {
        0 => Duration::ZERO,
        more => FIRST_BACKOFF.saturating_mul(1 << (more - 1).min(16)).min(MAX_BACKOFF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_crashes_on_and_on_is_put_off() {
        let pauses = [1, FORGIVEN, FORGIVEN + 1, FORGIVEN + 2, 100, u32::MAX].map(backoff);
        let ms = pauses.map(|pause| pause.as_millis());
        assert_eq!(ms, [0, 0, 100, 200, 30_000, 30_000]);
    }
}
