//! Waiting for a condition that has no event of its own.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long an operation on an idle machine may take before a test calls it stuck. Generous,
/// because tests share two cores with compilers; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Polls `condition` every few milliseconds until it holds or `deadline` has passed.
pub fn eventually(
    what: &str,
    deadline: Duration,
    mut condition: impl FnMut() -> bool,
) -> Result<()> {
    let end = Instant::now() + deadline;
    let mut pause = Duration::from_millis(1);
    loop {
        if condition() {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!("{what}: not within {deadline:?}");
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(25));
    }
}
