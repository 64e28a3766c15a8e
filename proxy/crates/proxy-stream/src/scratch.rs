//! Buffers of the running thread: one large scratch buffer for bytes that pass through, and a pool of
//! small ones for what has to wait.
//!
//! The scratch buffer is only reachable inside a closure, so no task can hold it across an await.

use std::cell::RefCell;

/// Bytes read at most in one system call.
pub const SCRATCH: usize = 128 * 1024;
/// Buffers kept per thread, and the largest one worth keeping.
const POOLED: usize = 256;
const POOLED_CAPACITY: usize = 32 * 1024;

thread_local! {
    static SCRATCH_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Lends the thread's scratch buffer of [`SCRATCH`] bytes. Its content is whatever was there.
///
/// # Panics
/// When called from inside `f`.
pub fn with<R>(f: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH_BUFFER.with_borrow_mut(|buf| {
        if buf.is_empty() {
            buf.resize(SCRATCH, 0);
        }
        f(buf)
    })
}

/// An empty buffer, with capacity if one is left over.
#[must_use]
pub fn take() -> Vec<u8> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Hands a buffer back for [`take`]. `buf` stays usable, without memory.
pub fn give(buf: &mut Vec<u8>) {
    let mut buf = std::mem::take(buf);
    if buf.capacity() == 0 || buf.capacity() > POOLED_CAPACITY {
        return;
    }
    buf.clear();
    POOL.with_borrow_mut(|pool| {
        if pool.len() < POOLED {
            pool.push(buf);
        }
    });
}
