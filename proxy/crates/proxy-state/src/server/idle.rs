//! Idle connections to a server, counted by the threads that have them.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::counters::Sharded;
use crate::thread;

/// Those of one thread, which alone writes them.
#[derive(Debug, Default)]
struct Part {
    proven: AtomicU32,
    unproven: AtomicU32,
}

impl Part {
    fn sum(&self) -> u32 {
        self.proven.load(Ordering::Relaxed) + self.unproven.load(Ordering::Relaxed)
    }
}

/// How many connections to a server are idle.
#[derive(Debug, Default)]
pub struct IdleConnections(Sharded<Part>);

impl IdleConnections {
    /// Counts one of this thread, or that there is one less. Proven are those that may carry any request.
    pub fn count(&self, proven: bool, add: bool) {
        let part = self.0.local();
        let own = if proven { &part.proven } else { &part.unproven };
        let now = own.load(Ordering::Relaxed);
        own.store(if add { now + 1 } else { now.saturating_sub(1) }, Ordering::Relaxed);
    }

    /// Those that may carry any request (`safe_conn_cur`).
    pub fn safe(&self) -> u32 {
        self.0.iter().map(|part| part.proven.load(Ordering::Relaxed)).sum()
    }

    /// Those that were never reused (`idle_conn_cur`).
    pub fn unsafe_(&self) -> u32 {
        self.0.iter().map(|part| part.unproven.load(Ordering::Relaxed)).sum()
    }

    /// All of them.
    pub fn sum(&self) -> u32 {
        self.0.iter().map(Part::sum).sum()
    }

    /// Those of one thread.
    pub fn of(&self, thread: usize) -> u32 {
        self.0.of(thread).map_or(0, Part::sum)
    }

    /// Those of each worker thread (`idle_per_thr` of `show servers conn`).
    pub fn by_thread(&self) -> impl Iterator<Item = u32> {
        (0..thread::workers()).map(|thread| self.of(thread))
    }

    /// Whether another thread than this one has some.
    pub fn is_elsewhere(&self) -> bool {
        let own = thread::current();
        (0..thread::workers()).any(|thread| thread != own && self.of(thread) > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_count_apart() {
        thread::set_workers(2);
        let idle = IdleConnections::default();
        assert_eq!((idle.sum(), idle.by_thread().collect::<Vec<_>>()), (0, vec![0, 0]));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                thread::register(1);
                idle.count(true, true);
                idle.count(false, true);
                idle.count(false, true);
                idle.count(false, false);
                assert!(!idle.is_elsewhere());
            });
        });
        assert_eq!((idle.safe(), idle.unsafe_(), idle.sum()), (1, 1, 2));
        assert_eq!(idle.by_thread().collect::<Vec<_>>(), [0, 2]);
        assert!(idle.is_elsewhere());
    }
}
