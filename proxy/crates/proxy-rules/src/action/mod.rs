//! Actions: one row each, by topic (configuration manual, 4.3 and 4.4).

mod auth;
mod bandwidth;
mod body;
mod cache;
mod capture;
pub mod def;
mod do_log;
pub mod env;
mod header;
mod log;
mod normalize;
mod number;
mod pattern;
pub(crate) mod redirect;
mod reply;
mod request;
pub mod resolve;
mod server;
pub mod service;
mod status;
mod stick;
mod stream;
mod uri;
mod var;
mod verdict;
mod wait;

pub use def::{Act, ActionArgs, ActionDef, SetKind, Sets};
pub use env::{Cause, Close, Content, Effects, Flow, LogLevel, Reply, RuleEnv, SwitchMode};
pub use request::{Resolve, ServiceDef};

/// Every row.
pub const ALL: &[&[ActionDef]] = &[
    auth::ACTIONS,
    bandwidth::ACTIONS,
    cache::ACTIONS,
    capture::ACTIONS,
    do_log::ACTIONS,
    header::ACTIONS,
    log::ACTIONS,
    normalize::ACTIONS,
    pattern::ACTIONS,
    redirect::ACTIONS,
    reply::ACTIONS,
    resolve::ACTIONS,
    server::ACTIONS,
    service::ACTIONS,
    status::ACTIONS,
    stream::ACTIONS,
    stick::ACTIONS,
    uri::ACTIONS,
    var::ACTIONS,
    verdict::ACTIONS,
    wait::ACTIONS,
];

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static ActionDef> {
    let row = ALL.iter().flat_map(|rows| rows.iter()).find(|def| def.name == name);
    row.or_else(|| stick::track_more(name))
}

#[cfg(test)]
mod examples;
#[cfg(test)]
mod tests;
