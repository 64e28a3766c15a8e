//! The commands, one file per family. Each file ends in a table of its rows.

mod cache;
mod counters;
mod frontend;
mod l4;
mod limits;
mod pattern;
mod peers;
mod resolvers;
mod server;
mod session;
mod show_info;
mod show_process;
mod show_servers;
mod show_sess;
mod show_stat;
mod ssl;
mod table;
mod var;

use crate::command::{Call, Command, Reply};
use proxy_state::{Backend, Frontend, Server};
use proxy_types::ProxyId;
use std::sync::Arc;

/// Every table.
pub static TABLES: &[&[Command]] = &[
    cache::COMMANDS,
    counters::COMMANDS,
    frontend::COMMANDS,
    l4::COMMANDS,
    limits::COMMANDS,
    pattern::COMMANDS,
    resolvers::COMMANDS,
    peers::COMMANDS,
    server::COMMANDS,
    session::COMMANDS,
    show_info::COMMANDS,
    show_process::COMMANDS,
    show_servers::COMMANDS,
    show_sess::COMMANDS,
    show_stat::COMMANDS,
    table::COMMANDS,
    var::COMMANDS,
    ssl::COMMANDS,
    ssl::REVOKED,
    ssl::OCSP,
    ssl::TICKETS,
];

/// The frontend an argument names.
fn frontend<'a>(call: &Call<'a>, name: &str) -> Result<&'a Arc<Frontend>, Reply> {
    if name.is_empty() {
        return Err(Reply::line("A frontend name is expected."));
    }
    call.admin.registry.frontend(name).ok_or_else(|| Reply::line("No such frontend."))
}

/// The backend an argument names or numbers.
fn backend<'a>(call: &Call<'a>, name: &str) -> Option<&'a Arc<Backend>> {
    let registry = &call.admin.registry;
    let by_id =
        || registry.backend_by_id(ProxyId(name.strip_prefix('#').unwrap_or(name).parse().ok()?));
    registry.backend(name).or_else(by_id)
}

/// The server that `backend/server` names; either may be a number, with `#` or without.
fn server(call: &Call<'_>, path: &str) -> Result<Arc<Server>, Reply> {
    let (farm, name) =
        path.split_once('/').ok_or_else(|| Reply::line("Require 'backend/server'."))?;
    let farm = backend(call, farm).ok_or_else(|| Reply::line("No such backend."))?;
    let by_id = || {
        let id = name.strip_prefix('#')?.parse().ok()?;
        farm.server_by_id(proxy_types::ServerId(id))
    };
    farm.server(name).or_else(by_id).ok_or_else(|| Reply::line("No such server."))
}
