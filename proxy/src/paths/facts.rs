//! What the choice of a path asks of the running process.

use std::net::SocketAddr;

use proxy_config::model::Proxy;
use proxy_rules::ruleset::RuleSet;

/// The address of a server as it was resolved, by backend and server name; `None` when it has none.
pub(crate) type ServerAddress<'a> = &'a dyn Fn(&str, &str) -> Option<SocketAddr>;

/// The compiled `tcp-request connection` rules of a frontend; `None` when it has none that could be compiled.
pub(crate) type ConnectionRules<'a> = &'a dyn Fn(&str) -> Option<&'a RuleSet>;

/// What a decision needs beside the configuration.
#[derive(Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) addresses: ServerAddress<'a>,
    pub(crate) compiled: ConnectionRules<'a>,
    /// The section as it is now, when commands changed it.
    pub(crate) changed: &'a dyn Fn(&str) -> Option<&'a Proxy>,
    /// Whether rules may choose the backend now.
    pub(crate) published: &'a dyn Fn(&Proxy) -> bool,
}
