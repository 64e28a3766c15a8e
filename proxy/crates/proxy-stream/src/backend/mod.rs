//! The way to a server: queue, choice, connection, reuse.

mod connect;
mod reuse;

pub(crate) use connect::{OnEof, attach, client_left, receive};
pub(crate) use reuse::{Attached, Idle, Pool, Route, Shared};
