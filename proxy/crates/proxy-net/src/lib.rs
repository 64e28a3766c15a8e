//! Sockets: the only crate of the userspace path that wraps system calls.
//!
//! It knows addresses, options and bytes; what a listener is for and what a connection means is decided above it.
//!
//! | module | holds |
//! |---|---|
//! | [`accept`] | the accept loop of one thread: limits, back-pressure, pause |
//! | [`clock`] | coarse and precise monotonic milliseconds |
//! | [`connect`] | connecting within a deadline, failures by kind |
//! | [`datagram`] | log lines to syslog servers and descriptors, never waiting |
//! | [`fdpass`] | handing descriptors to another process |
//! | [`getsocks`] | the same as HAProxy does it, over a stats socket |
//! | [`listener`] | `bind` lines to listening sockets; sockets of an old process |
//! | [`local`] | which addresses are this machine's own |
//! | [`netns`] | making sockets in another network namespace |
//! | [`sockopt`] | socket options by configuration name |
//! | [`splice`] | carrying bytes between two sockets |
//! | [`stop`] | soft and hard stop of a worker, its jobs |
//! | [`udp`] | datagrams of clients, and sockets of flows towards servers |
//! | [`timer`] | per-thread deadlines that cost a store to move |
//!
//! `unsafe` is confined to `sys`.
#![deny(unsafe_code)]

pub mod accept;
mod addr;
pub mod clock;
pub mod connect;
pub mod datagram;
pub mod fdpass;
pub mod getsocks;
pub mod listener;
pub mod local;
pub mod netns;
pub mod sockopt;
pub mod splice;
pub mod stop;
mod stream;
mod sys;
pub mod timer;
pub mod udp;
mod watch;

pub use stream::{Handle, Stream};
pub use watch::Watched;
