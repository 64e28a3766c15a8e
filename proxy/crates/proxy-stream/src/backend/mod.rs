//! The way to a server: queue, choice, connection, reuse.

mod connect;
mod ends;
mod reuse;
mod takeover;

pub(crate) use connect::{
    Aim, OnEof, attach, client_left, count_redispatch, receive, redispatches, retries,
};
pub(crate) use ends::Ends;
pub(crate) use reuse::{Attached, Idle, Own, Pool, Route, Shared};
pub use takeover::Mailboxes;
