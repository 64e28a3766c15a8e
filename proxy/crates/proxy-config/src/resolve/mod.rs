//! What no single line can tell: names that are referred to, duplicates, settings that do not fit together.

mod binds;
mod defaults;
mod filters;
mod identity;
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
use crate::model::{Config, LogEntry, Proxy};
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
    tls::check(cx, config);
    log_profiles(cx, config);
    modes::check(cx, config);
    filters::check(cx, config);
    order::check(cx, config);
    rules::check(cx, config);
    peers::check(cx, config);
}

/// Profiles that `log` lines name.
fn log_profiles(cx: &mut Context<'_>, config: &Config) {
    let own = config.proxies.iter().flat_map(|proxy| &proxy.settings.logs);
    let own = own.filter_map(|entry| match entry {
        LogEntry::Target(target) => Some(target),
        LogEntry::Global { .. } => None,
    });
    let mut told = Vec::new();
    for name in own.chain(&config.global.logs).filter_map(|target| target.profile.as_ref()) {
        let known = config.log_profiles.iter().map(|profile| profile.name.value.as_str());
        if known.clone().any(|known| known == name.value) || told.contains(&name.span) {
            continue;
        }
        // What was inherited is told once.
        told.push(name.span);
        let message = format!("'log' : unable to find log-profile '{name}'");
        let near = proxy_types::text::nearest(&name.value, known).map(str::to_owned);
        cx.report(Diagnostic::alert(message).at(name.span).did_you_mean(near.as_deref()));
    }
}

fn binds(cx: &mut Context<'_>, proxy: &Proxy) {
    if proxy.kind.is_frontend() && proxy.binds.is_empty() {
        let message = format!(
            "{} has no 'bind' directive. Please declare it as a backend if this was intended",
            proxy.label()
        );
        cx.report(Diagnostic::warning(message).at(proxy.span));
    }
}
