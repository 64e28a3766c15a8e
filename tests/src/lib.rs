//! Test harness: namespaces, processes, peers. Everything it makes is removed on drop, and by a
//! guardian process when this one dies without dropping (Ctrl-C, abort, `kill -9`).
//!
//! Nothing here sleeps for a fixed time: a test waits for a line, a reply or a state
//! ([`eventually`]), and no port is fixed (namespaces, or [`net::free_port`]).

#![forbid(unsafe_code)]

pub mod certificates;
pub mod client;
pub mod guardian;
pub mod h2;
pub mod lab;
pub mod load;
pub mod net;
pub mod netns;
pub mod peer;
pub mod pins;
pub mod program;
pub mod sluice;
pub mod stats;
pub mod tools;
pub mod trusting;
pub mod wait;

pub use client::Client;
pub use lab::Lab;
pub use netns::NetNs;
pub use program::Program;
pub use sluice::Sluice;
pub use stats::Stats;
pub use wait::{PATIENCE, eventually};
