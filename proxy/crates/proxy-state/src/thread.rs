//! The index of the running thread. Worker threads take 0..n, the control thread takes n, the thread that carries logs
//! of others n + 1.
//!
//! The index selects the shard of a counter, so every thread that counts must have an index of its
//! own; threads without one (start-up, tests) share the last shard and may lose counts among each other.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    static INDEX: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Threads that count beside the workers.
const OTHERS: usize = 2;
/// Shards of every counter: one for each thread that counts.
static SHARDS: AtomicUsize = AtomicUsize::new(1 + OTHERS);

/// Says how many worker threads there will be. Call it once, before any object is built: objects
/// built earlier keep the former number of shards.
pub fn set_workers(workers: usize) {
    SHARDS.store(workers + OTHERS, Ordering::Relaxed);
}

/// Number of worker threads.
pub fn workers() -> usize {
    shards() - OTHERS
}

/// Number of shards: one per worker thread, one for the control thread and one for the thread of logs.
pub fn shards() -> usize {
    SHARDS.load(Ordering::Relaxed)
}

/// Index of the control thread.
pub fn control() -> usize {
    workers()
}

/// Index of the thread that carries logs of others.
pub fn logs() -> usize {
    workers() + 1
}

/// Gives the running thread its index.
pub fn register(index: usize) {
    INDEX.set(index);
}

/// Index of the running thread; that of the control thread when it never registered.
pub fn current() -> usize {
    let index = INDEX.get();
    if index == usize::MAX { control() } else { index }
}
