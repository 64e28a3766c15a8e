//! Actions: one row each, by topic (configuration manual, 4.3 and 4.4).

mod body;
pub mod def;
pub mod env;
mod header;
mod log;
pub(crate) mod redirect;
mod reply;
mod status;
mod uri;
mod var;
mod verdict;

pub use def::{Act, ActionArgs, ActionDef, SetKind, Sets};
pub use env::{Cause, Close, Content, Effects, Flow, LogLevel, Reply, RuleEnv, SwitchMode};

/// Every row.
pub const ALL: &[&[ActionDef]] = &[
    header::ACTIONS,
    log::ACTIONS,
    redirect::ACTIONS,
    reply::ACTIONS,
    status::ACTIONS,
    uri::ACTIONS,
    var::ACTIONS,
    verdict::ACTIONS,
];

/// The row called `name`.
pub fn find(name: &str) -> Option<&'static ActionDef> {
    ALL.iter().flat_map(|rows| rows.iter()).find(|def| def.name == name)
}

#[cfg(test)]
mod tests;
