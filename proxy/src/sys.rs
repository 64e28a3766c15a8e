//! The process calls that safe wrappers cannot offer, each behind a safe function.

use std::io;

use nix::unistd::{ForkResult, Pid};

/// Forks the process. `Ok(None)` is the child.
///
/// # Errors
/// Those of `fork(2)`; also `EDEADLK` when the process already has more than one thread, since the
/// child would inherit locks that nobody releases.
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(io::Error::from_raw_os_error(libc::EDEADLK));
    }
    // SAFETY: the process has a single thread (checked above), so the child starts with no lock
    // held by anybody else and may run any code.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Takes ownership of a descriptor whose number came from a previous image of this process.
///
/// # Errors
/// `EBADF` when no such descriptor is open.
pub(crate) fn adopt_fd(fd: i32) -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::{FromRawFd, OwnedFd};
    // SAFETY: F_GETFD only reads the descriptor table.
    if fd < 3 || unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the descriptor is open (checked above) and was left open across execve for this
    // image alone, which takes each number from the environment exactly once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an environment variable for the image that `execve` will start, or for the configuration.
pub(crate) fn set_env(name: &str, value: &str) {
    // SAFETY: called only while the process has a single thread: by the master, which never starts
    // another, and by the worker before its threads exist.
    unsafe { std::env::set_var(name, value) }
}

/// Removes an environment variable; see [`set_env`].
pub(crate) fn unset_env(name: &str) {
    // SAFETY: as for `set_env`.
    unsafe { std::env::remove_var(name) }
}

/// Gives memory that was freed back to the system, as far as the allocator keeps it: `malloc_trim(3)`. Takes milliseconds
/// where much was freed.
pub(crate) fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number, locks what it works on, and leaves memory in use alone.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The scheduling priority of the process, -20 to 19 (`getpriority(2)`).
pub(crate) fn priority() -> i32 {
    // SAFETY: takes numbers and returns one.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) }
}

/// Sets the scheduling priority of the process: of its only thread and those it will start.
///
/// # Errors
/// `EACCES` when it would be raised without the right to.
pub(crate) fn set_priority(priority: i32) -> io::Result<()> {
    // SAFETY: takes numbers and returns one.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, priority) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
