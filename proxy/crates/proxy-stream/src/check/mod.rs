//! Health checks: when a server is asked, how, and what is made of the answer.
//!
//! | file | holds |
//! |---|---|
//! | [`schedule`] | pauses between checks, spread and jitter; no clock, no IO |
//! | `probe` | the connection of a check |
//! | `script` | what is said on it, by `http-check` and `tcp-check` rules |
//! | `agent` | what is said to an agent, and its answer |
//! | `external` | programs that are asked instead |
//! | `warmup` | servers that came back and start slowly |
//! | `run` | the task of each server, on the control thread |
//!
//! What a result means for the server is decided by `proxy_state`'s health machine.

mod agent;
mod external;
mod probe;
mod run;
pub mod schedule;
mod script;
mod warmup;

pub use external::Program;
pub use run::{Checker, Method, Methods, Report, Told, spawn};
