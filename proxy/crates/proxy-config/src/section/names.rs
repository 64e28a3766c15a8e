//! What sections are called.

use super::other;
use crate::model::ProxyKind;

/// Every section that has a table here.
pub(crate) const PROXY_SECTIONS: &[(&str, ProxyKind)] = &[
    ("backend", ProxyKind::Backend),
    ("defaults", ProxyKind::Defaults),
    ("frontend", ProxyKind::Frontend),
    ("listen", ProxyKind::Listen),
];

/// Names of all sections, for "did you mean".
pub(crate) fn section_names() -> impl Iterator<Item = &'static str> {
    let proxies = PROXY_SECTIONS.iter().map(|(name, _)| *name);
    let own = [
        "acme",
        "crt-store",
        "fcgi-app",
        "global",
        "healthcheck",
        "http-errors",
        "mailers",
        "peers",
        "resolvers",
        "traces",
        "userlist",
    ];
    let proxies = proxies.chain(std::iter::once("cache"));
    let proxies = proxies.chain(["log-forward", "log-profile", "ring"]);
    proxies.chain(own).chain(other::SECTIONS.iter().map(|s| s.name))
}
