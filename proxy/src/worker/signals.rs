//! The signals that a worker obeys.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits of signals. Those that could not be set up are never heard.
pub(crate) struct Signals {
    pub(crate) usr1: Option<Signal>,
    pub(crate) term: Option<Signal>,
    pub(crate) int: Option<Signal>,
    pub(crate) hup: Option<Signal>,
    pub(crate) ttou: Option<Signal>,
    pub(crate) ttin: Option<Signal>,
    /// SIGUSR2 and SIGQUIT, which do nothing.
    pub(crate) quiet: [Option<Signal>; 2],
}

impl Signals {
    /// Starts to listen, within a runtime. Before the first connection is taken: a signal that comes earlier has the
    /// effect that it was started with, and a shell's background jobs ignore SIGINT.
    pub(crate) fn listen() -> Self {
        let open = |kind| signal(kind).ok();
        Self {
            usr1: open(SignalKind::user_defined1()),
            term: open(SignalKind::terminate()),
            int: open(SignalKind::interrupt()),
            hup: open(SignalKind::hangup()),
            ttou: open(SignalKind::from_raw(libc::SIGTTOU)),
            ttin: open(SignalKind::from_raw(libc::SIGTTIN)),
            quiet: [open(SignalKind::user_defined2()), open(SignalKind::quit())],
        }
    }
}

/// Resolves when the signal comes; never, when it could not be registered.
pub(crate) async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            if signal.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}
