//! The runtime API: what operators and their tools talk to (management manual, 9).
//!
//! | module | holds |
//! |---|---|
//! | [`words`] | a line into commands into words, payload marks |
//! | [`level`] | user, operator, admin |
//! | [`command`] | what a row of the table of commands is |
//! | [`lookup`] | the table of commands: look-up, help, suggestions |
//! | [`cli`] | the commands, one file per family |
//! | [`stats`] | columns of `show stat`, fields of `show info`, their CSV, typed and JSON forms |
//! | [`stats_file`] | counters that outlive the process |
//! | [`context`] | what commands work on, and what they ask of the worker |
//! | [`outside`] | what statistics have from outside the registry |
//! | [`metrics`] | the metrics for Prometheus |
//! | [`page`] | the statistics page over HTTP |
//! | [`session`] | one client on any byte stream |
//! | [`session_state`] | what its commands may change of that |
//!
//! Adding a command is one row and its function in a file of [`cli`]; adding a column is one row in
//! [`stats::columns`]. The worker implements [`ProcessView`] and [`L4View`]; nothing here opens a socket.
#![forbid(unsafe_code)]

mod anon;
pub mod builder;
pub mod cli;
pub mod command;
pub mod context;
pub mod level;
pub mod lookup;
pub mod metrics;
pub mod outside;
pub mod page;
pub mod session;
pub mod session_state;
pub mod stats;
pub mod stats_file;
#[cfg(test)]
mod tests;
pub mod words;

pub use context::{
    AcmeRow, Admin, CliSocket, L4Filter, L4Flow, L4Row, L4View, Later, ProcessFacts, ProcessView,
    Product, SessionInfo,
};
pub use level::Level;
pub use session::{PAYLOAD_MAX, serve};
pub use session_state::SessionOptions;
