//! Sockets: the only crate of the userspace path that wraps system calls.
