//! Sockets: the only crate of the userspace path that wraps system calls.
//!
//! It knows addresses, options and bytes; what a listener is for and what a connection means is decided above it.
//! `unsafe` is confined to `sys`.
#![deny(unsafe_code)]

pub mod clock;
pub mod stop;
pub mod timer;
