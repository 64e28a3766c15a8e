//! The commands, one file per family. Each file ends in a table of its rows.

mod acme;
mod anon;
mod backend;
mod cache;
mod counters;
mod debug;
mod errors;
mod events;
mod frontend;
mod httpclient;
pub mod inside;
mod l4;
mod limits;
mod named;
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
mod trace;
mod var;
mod wait;

use crate::command::Command;

/// Every table.
pub static TABLES: &[&[Command]] = &[
    acme::COMMANDS,
    backend::COMMANDS,
    anon::COMMANDS,
    cache::COMMANDS,
    counters::COMMANDS,
    debug::COMMANDS,
    errors::COMMANDS,
    events::COMMANDS,
    frontend::COMMANDS,
    httpclient::COMMANDS,
    inside::COMMANDS,
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
    trace::COMMANDS,
    var::COMMANDS,
    wait::COMMANDS,
    ssl::COMMANDS,
    ssl::REVOKED,
    ssl::OCSP,
    ssl::TOKENS,
    ssl::TICKETS,
];
