//! The worker: the configuration becomes live objects, and they serve.
//!
//! [`check`] and [`explain`] stop after assembly and bind nothing.

mod acme;
mod admin;
pub(crate) mod check;
mod checks;
mod control;
mod cpus;
pub(crate) mod desk;
mod farms;
mod flowlog;
mod handover;
mod l4;
mod link;
mod listen;
mod logs;
pub(crate) mod mail;
mod message;
mod names;
mod ocsp;
mod peers;
pub(crate) mod serve;
mod show;
mod signals;
mod sources;
mod start;
mod threads;

use std::os::fd::OwnedFd;
use std::process::ExitCode;

use proxy_config::cond::{self, Facts};
use proxy_config::{Environment, Program};

use crate::args::Args;
use crate::daemon::LauncherPipe;
use crate::{assemble, loading, messages, paths};

pub(crate) use start::run;

/// Whom the worker tells that it serves.
pub(crate) enum Ready {
    /// Started without a master: the launcher of `-D`.
    Standalone { launcher: Option<LauncherPipe> },
    /// The master, and the worker to take over from.
    Master { control: OwnedFd, predecessor: Option<OwnedFd> },
}

/// `sluice explain`: the path of each frontend here, and why.
pub(crate) fn explain(args: &Args, json: bool) -> ExitCode {
    loading::set_environment(args);
    let Ok(loaded) = loading::load(args) else { return ExitCode::from(1) };
    let Ok(assembled) = assemble::assemble(args, &loaded) else { return ExitCode::from(1) };
    let outlook = show::Outlook::of_this_host(&loaded.config, &assembled.decisions);
    let rows =
        show::rows(&assembled.decisions, &loaded, &|name| outlook.obstacle(name), &outlook.hooks);
    if json {
        print!("{}", paths::json(&rows));
    } else {
        print!("{}", paths::table(&rows));
        for note in &outlook.notes {
            println!("\n{note}");
        }
    }
    ExitCode::SUCCESS
}

/// `-cc`: 0 true, 1 false, 2 not understood.
pub(crate) fn condition(text: &str) -> ExitCode {
    let env = Environment::from_process();
    let program: Program = loading::program();
    match cond::evaluate_line(text, &Facts { env: &env, program: &program }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            messages::alert(format_args!("{error} of '{text}'"));
            ExitCode::from(2)
        }
    }
}
