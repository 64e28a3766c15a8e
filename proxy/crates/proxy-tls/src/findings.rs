//! What the library's callbacks learn while a handshake goes on.
//!
//! They are called on the thread that drives the handshake, but are not told for which connection: whoever drives it
//! takes what was found after each step.

use std::cell::RefCell;
use std::fmt;

use rustls::KeyLog;

use crate::verify::Report;

/// What was found since the last [`take`].
#[derive(Default)]
pub struct Findings {
    /// About the peer's certificate.
    pub report: Option<Report>,
    /// Subject of the authority that the peer's chain ends at, as DER.
    pub root: Option<Box<[u8]>>,
    /// Labels and secrets, when they are logged.
    pub secrets: Vec<(Box<str>, Box<[u8]>)>,
    pub client_random: Option<Box<[u8]>>,
}

impl Findings {
    /// Adds what was found since.
    pub fn update(&mut self) {
        let new = take();
        self.report = new.report.or(self.report);
        self.root = new.root.or_else(|| self.root.take());
        self.secrets.extend(new.secrets);
        self.client_random = new.client_random.or_else(|| self.client_random.take());
    }
}

thread_local! {
    static FOUND: RefCell<Findings> = RefCell::default();
}

pub(crate) fn with(add: impl FnOnce(&mut Findings)) {
    FOUND.with_borrow_mut(add);
}

/// What this thread's last step found.
#[must_use]
pub fn take() -> Findings {
    FOUND.take()
}

/// Keeps secrets for fetches: `tune.ssl.keylog`.
pub struct SecretLog;

impl fmt::Debug for SecretLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretLog")
    }
}

impl KeyLog for SecretLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        with(|found| {
            found.secrets.push((label.into(), secret.into()));
            found.client_random = Some(client_random.into());
        });
    }
}
