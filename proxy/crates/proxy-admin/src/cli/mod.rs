//! The commands, one file per family. Each file has its table on top.

mod counters;
mod frontend;
mod l4;
mod server;
mod session;
mod show;
mod stats;

use crate::command::{Answer, Call, Command, Reply};
use proxy_state::{Backend, Frontend, Server};
use std::sync::Arc;

/// Every table.
pub(crate) static TABLES: &[&[Command]] = &[
    counters::COMMANDS,
    frontend::COMMANDS,
    l4::COMMANDS,
    server::COMMANDS,
    session::COMMANDS,
    show::COMMANDS,
    stats::COMMANDS,
];

/// An error answer of one line.
fn refuse<T>(text: impl Into<String>) -> Result<T, Reply> {
    Err(Reply::line(text))
}

/// The server of a `backend/server` argument.
fn find_server(call: &Call<'_>, n: usize) -> Result<(Arc<Backend>, Arc<Server>), Reply> {
    let Some((backend, server)) = call.arg(n).split_once('/') else {
        return refuse("Require 'backend/server'.");
    };
    let Some(backend) = call.admin.registry.backend(backend) else {
        return refuse("No such backend.");
    };
    match backend.server(server) {
        Some(server) => Ok((backend.clone(), server)),
        None => refuse("No such server."),
    }
}

/// The frontend of an argument.
fn find_frontend(call: &Call<'_>, n: usize) -> Result<Arc<Frontend>, Reply> {
    if call.arg(n).is_empty() {
        return refuse("A frontend name is expected.");
    }
    match call.admin.registry.frontend(call.arg(n)) {
        Some(frontend) => Ok(frontend.clone()),
        None => refuse("No such frontend."),
    }
}

fn done() -> Answer {
    Ok(Reply::done())
}
