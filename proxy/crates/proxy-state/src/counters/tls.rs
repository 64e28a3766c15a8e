//! What is counted of TLS handshakes: rare and long enough for all threads to share the counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Handshakes of one object.
#[derive(Debug, Default)]
pub struct TlsCounts {
    done: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
}

impl TlsCounts {
    /// A handshake was completed.
    pub fn complete(&self, resumed: bool) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.resumed.fetch_add(u64::from(resumed), Ordering::Relaxed);
    }

    /// A handshake failed.
    pub fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Handshakes that were completed, those of them that resumed a session, and those that failed.
    pub fn get(&self) -> [u64; 3] {
        [&self.done, &self.resumed, &self.failed].map(|count| count.load(Ordering::Relaxed))
    }

    /// Begins anew.
    pub fn clear(&self) {
        for count in [&self.done, &self.resumed, &self.failed] {
            count.store(0, Ordering::Relaxed);
        }
    }
}
