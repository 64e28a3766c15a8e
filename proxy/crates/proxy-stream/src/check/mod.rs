//! Health checks: when a server is asked, how, and what is made of the answer.
//!
//! | file | holds |
//! |---|---|
//! | [`schedule`] | pauses between checks, spread and jitter; no clock, no IO |
//! | `probe` | the connection of a check |
//! | `script` | what is said on it, by `http-check` and `tcp-check` rules |
//! | `agent` | what is said to an agent, and its answer |
//! | `run` | the task of each server, on the control thread |
//!
//! What a result means for the server is decided by `proxy_state`'s health machine.

mod agent;
mod probe;
mod run;
pub mod schedule;
mod script;

pub use run::{Checker, Report, Scripts, Told, spawn};
