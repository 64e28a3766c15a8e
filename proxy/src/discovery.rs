//! What the process must know before it forks: the process-wide keywords of `global` alone.

use std::path::PathBuf;

use proxy_config::model::Global;
use proxy_config::{Environment, Options};

use crate::args::Args;
use crate::loading;

/// The keywords that a master (or a daemon) acts on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Discovered {
    pub(crate) daemon: bool,
    pub(crate) quiet: bool,
    /// `master-worker exit-on-failure`: a crashed worker ends the service.
    pub(crate) exit_on_failure: bool,
    /// `mworker-max-reloads`: a worker that lived through more is terminated.
    pub(crate) max_reloads: u32,
    pub(crate) pidfile: Option<PathBuf>,
    /// The configuration could not be read.
    pub(crate) failed: bool,
}

/// Default of `mworker-max-reloads` (configuration manual, 3.1).
const MAX_RELOADS: u32 = 50;

impl Discovered {
    /// What a reloading master goes on with when the new configuration cannot be read.
    pub(crate) fn failed() -> Self {
        Self { failed: true, max_reloads: MAX_RELOADS, ..Self::default() }
    }

    fn from(global: &Global) -> Self {
        Self {
            daemon: global.daemon.is_some(),
            quiet: global.quiet.is_some(),
            exit_on_failure: global.master_worker.is_some_and(|m| m.value.exit_on_failure),
            max_reloads: global.mworker_max_reloads.map_or(MAX_RELOADS, |limit| limit.value),
            pidfile: global.pidfile.as_ref().map(|path| path.value.clone().into()),
            failed: false,
        }
    }
}

/// Reads the process keywords of all configuration files, and reports what is wrong with them.
///
/// # Errors
/// A file cannot be opened, or a process keyword has a bad value; it has been printed.
pub(crate) fn run(args: &Args) -> Result<Discovered, ()> {
    let sources = loading::sources(args)?;
    let options = Options { program: loading::program(), ..Options::default() };
    let (found, diagnostics) =
        proxy_config::discovery::discover(&sources, &Environment::from_process(), &options);
    if diagnostics.has_alert() {
        loading::say(args, &diagnostics, &sources);
        return Err(());
    }
    Ok(Discovered::from(&found.global))
}
