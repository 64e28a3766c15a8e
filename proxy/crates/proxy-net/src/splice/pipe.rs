//! Pipes that splice(2) moves bytes through, kept per thread.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

/// Asked for; the kernel gives less to an unprivileged process that already holds many.
const CAPACITY: i32 = 1 << 20;
/// Empty pipes kept by each thread.
const POOLED: usize = 64;

/// Most pipes in use at once over all threads (`maxpipes`).
static MAX_PIPES: AtomicUsize = AtomicUsize::new(usize::MAX);
static IN_USE: AtomicUsize = AtomicUsize::new(0);
/// Bytes asked for (`tune.pipesize`).
static SIZE: AtomicI32 = AtomicI32::new(CAPACITY);

thread_local! {
    static POOL: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
}

/// Bounds the pipes that all threads use together; beyond it bytes are copied. Each costs two descriptors.
pub fn set_max_pipes(limit: usize) {
    MAX_PIPES.store(limit, Ordering::Relaxed);
}

/// Bytes that pipes opened from now on should hold, instead of 1 MiB. The kernel rounds up to a power of two pages.
pub fn set_pipe_size(bytes: i32) {
    SIZE.store(bytes, Ordering::Relaxed);
}

/// Pipes in use now (`PipesUsed`) in all threads.
pub fn pipes_used() -> usize {
    IN_USE.load(Ordering::Relaxed)
}

#[derive(Debug)]
struct Ends {
    read: OwnedFd,
    write: OwnedFd,
}

/// A pipe taken from this thread's pool; goes back there when it is dropped empty.
#[derive(Debug)]
pub(super) struct Pipe {
    ends: Option<Ends>,
    filled: usize,
}

impl Pipe {
    /// `None` when there are too many or the system has no more descriptors.
    pub(super) fn take() -> Option<Self> {
        if IN_USE.fetch_add(1, Ordering::Relaxed) >= MAX_PIPES.load(Ordering::Relaxed) {
            IN_USE.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let ends = POOL.with_borrow_mut(Vec::pop).or_else(open);
        if ends.is_none() {
            IN_USE.fetch_sub(1, Ordering::Relaxed);
        }
        ends.map(|ends| Self { ends: Some(ends), filled: 0 })
    }

    /// Bytes inside.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Moves bytes from a socket; 0 is its end.
    pub(super) fn fill(&mut self, from: impl AsFd) -> io::Result<usize> {
        self.fill_up_to(from, CAPACITY as usize)
    }

    /// Moves up to `most` bytes from a socket; 0 is its end.
    pub(super) fn fill_up_to(&mut self, from: impl AsFd, most: usize) -> io::Result<usize> {
        let most = most.min(CAPACITY as usize);
        let n = self.call(|e| splice(from, None, &e.write, None, most, flags()))?;
        self.filled += n;
        Ok(n)
    }

    /// Moves bytes to a socket.
    pub(super) fn drain(&mut self, to: impl AsFd) -> io::Result<usize> {
        let filled = self.filled;
        let n = self.call(|e| splice(&e.read, None, to, None, filled, flags()))?;
        self.filled -= n.min(filled);
        Ok(n)
    }

    fn call(&self, f: impl FnOnce(&Ends) -> nix::Result<usize>) -> io::Result<usize> {
        match &self.ends {
            Some(ends) => f(ends).map_err(io::Error::from),
            None => Err(Errno::EBADF.into()),
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        IN_USE.fetch_sub(1, Ordering::Relaxed);
        // Bytes left inside belong to a dead connection: such a pipe is closed.
        if let Some(ends) = self.ends.take().filter(|_| self.filled == 0) {
            POOL.with_borrow_mut(|pool| {
                if pool.len() < POOLED {
                    pool.push(ends);
                }
            });
        }
    }
}

fn flags() -> SpliceFFlags {
    SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK
}

fn open() -> Option<Ends> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
    // A smaller pipe works too.
    let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(SIZE.load(Ordering::Relaxed)));
    Some(Ends { read, write })
}
