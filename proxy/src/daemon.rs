//! `-D`: a launcher that waits until the service is ready, and a detached process that runs it.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use nix::sys::wait::{WaitStatus, waitpid};

use crate::{messages, sys};

/// What the daemon says when it serves.
const READY: &[u8; 6] = b"READY\n";

/// Which of the two processes the caller is after [`detach`].
pub(crate) enum Side {
    /// The process the user started: it exits with this code.
    Launcher(ExitCode),
    /// The detached process; it writes to the pipe when it serves.
    Daemon(LauncherPipe),
}

/// Tells the launcher that the service is up; dropping it unsaid tells nothing.
pub(crate) struct LauncherPipe(OwnedFd);

impl LauncherPipe {
    /// Lets the launcher exit 0, and leaves the terminal it shared.
    pub(crate) fn ready(self, quiet: bool) {
        let _ = nix::unistd::write(&self.0, READY);
        if quiet {
            leave_terminal();
        }
    }
}

/// Points the standard streams at `/dev/null`.
pub(crate) fn leave_terminal() {
    if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
        let _ = nix::unistd::dup2_stdin(&null);
        let _ = nix::unistd::dup2_stdout(&null);
        let _ = nix::unistd::dup2_stderr(&null);
    }
}

/// Forks into a launcher and a session leader.
///
/// The launcher returns only when the daemon said it is ready (exit 0) or died (its exit code).
///
/// # Errors
/// Those of `pipe2(2)`, `fork(2)` and `setsid(2)`.
pub(crate) fn detach() -> io::Result<Side> {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    match sys::fork()? {
        Some(child) => {
            drop(write);
            let mut said = [0; 6];
            if std::fs::File::from(read).read_exact(&mut said).is_ok() && said == *READY {
                return Ok(Side::Launcher(ExitCode::SUCCESS));
            }
            let code = match waitpid(child, None) {
                Ok(WaitStatus::Exited(_, code)) => u8::try_from(code).unwrap_or(1),
                Ok(WaitStatus::Signaled(_, signal, _)) => 128 + signal as i32 as u8,
                _ => 1,
            };
            messages::alert(format_args!(
                "process {child} exited with code {code} before it was ready"
            ));
            Ok(Side::Launcher(ExitCode::from(code.max(1))))
        }
        None => {
            drop(read);
            nix::unistd::setsid()?;
            messages::after_fork();
            Ok(Side::Daemon(LauncherPipe(write)))
        }
    }
}
