//! What the tasks of the thread that carries log messages share.

use std::cell::Cell;
use std::sync::Arc;

use proxy_net::stop::Stop;
use tokio::sync::Notify;

use crate::env::Env;

/// What its tasks share.
pub(super) struct Setup {
    pub(super) env: Arc<Env>,
    pub(super) stop: Stop,
    /// Everything else of the worker has ended: nothing more will be logged.
    leaving: Cell<bool>,
    changed: Notify,
}

impl Setup {
    pub(super) fn new(env: Arc<Env>, stop: Stop) -> Self {
        Self { env, stop, leaving: Cell::new(false), changed: Notify::new() }
    }

    /// Everything else has ended.
    pub(super) fn leave(&self) {
        self.leaving.set(true);
        self.changed.notify_waiters();
    }

    /// Whether it has.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.get()
    }

    /// Waits until everything else has ended.
    pub(super) async fn left(&self) {
        while !self.leaving.get() {
            self.changed.notified().await;
        }
    }
}
