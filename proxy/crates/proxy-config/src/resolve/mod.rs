//! What no single line can tell: names that are referred to, duplicates, settings that do not fit together.

mod acme;
mod binds;
mod datagrams;
mod defaults;
mod fcgi;
mod filters;
mod identity;
mod logs;
mod modes;
mod order;
mod peers;
mod rules;
mod servers;
mod targets;
mod timeouts;
mod tls;

use proxy_types::Diagnostic;

use crate::context::Context;
use crate::model::{Config, Proxy};
use crate::source::Sources;

/// Checks the whole model, and settles what depends on more than one section.
pub(crate) fn resolve(cx: &mut Context<'_>, sources: &Sources, config: &mut Config) {
    binds::complete(config);
    identity::check(cx, sources, config);
    defaults::check(cx, config);
    targets::check(cx, sources, config);
    servers::check(cx, config);
    for proxy in &config.proxies {
        // A section that is switched off may be incomplete, and in one with mistakes what is missing may be just them.
        if !proxy.settings.is_disabled() && !proxy.has_errors {
            binds(cx, proxy);
            timeouts::check(cx, proxy);
        }
    }
    acme::check(cx, config);
    datagrams::check(cx, config);
    tls::check(cx, config);
    logs::check(cx, config);
    modes::check(cx, config);
    filters::check(cx, config);
    fcgi::check(cx, config);
    order::check(cx, config);
    rules::check(cx, config);
    peers::check(cx, config);
}

pub(crate) use modes::fall_back;
pub(crate) use servers::alone as server;

fn binds(cx: &mut Context<'_>, proxy: &Proxy) {
    if proxy.kind.is_frontend() && proxy.binds.is_empty() {
        let message = format!(
            "{} has no 'bind' directive. Please declare it as a backend if this was intended",
            proxy.label()
        );
        cx.report(Diagnostic::warning(message).at(proxy.span));
    }
}
