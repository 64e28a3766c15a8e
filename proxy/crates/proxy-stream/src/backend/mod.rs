//! The way to a server: queue, choice, connection, reuse.

mod connect;
mod reuse;

pub(crate) use connect::{attach, client_left};
pub(crate) use reuse::{Attached, Idle, Pool};
