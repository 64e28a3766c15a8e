//! Names of `filter-sequence`: each must be a filter of the section.

use proxy_types::Diagnostic;

use crate::context::Context;
use crate::model::{Config, FilterKind};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    for proxy in &config.proxies {
        let filters = &proxy.filters;
        for line in &filters.lines {
            if let FilterKind::Bandwidth(limit) = &line.kind
                && let Some((_, table)) = &limit.shared
            {
                let (name, span) = match table {
                    Some(table) => (&table.value, table.span),
                    None => (&proxy.name.value, line.span),
                };
                let rate = if limit.upload { "bytes_in_rate" } else { "bytes_out_rate" };
                // Tables of 'peers' sections are named behind a slash; whether there is a table at all is told elsewhere.
                // A frontend and a backend may share a name.
                let mut owners = config.proxies.iter().filter(|proxy| proxy.name.value == *name);
                let stores = owners.find_map(|proxy| proxy.stick_table.as_ref());
                if stores.is_some_and(|t| t.stores.iter().all(|store| store.kind.name != rate)) {
                    let message = format!(
                        "stick table '{name}' does not store '{rate}', which the limit needs"
                    );
                    let help = format!("add 'store {rate}(<period>)' to it");
                    cx.report(Diagnostic::alert(message).at(span).help(help));
                }
            }
            if let FilterKind::Cache(name) = &line.kind {
                if config.caches.iter().all(|cache| cache.name.value != name.value) {
                    let message = format!("{} : there is no cache '{name}'", proxy.label());
                    cx.report(Diagnostic::alert(message).at(name.span));
                }
                let order = filters.response_names();
                let place = |names: &[&str]| order.iter().position(|n| names.contains(n));
                let (cached, compressed) = (place(&["cache"]), place(&["comp-res", "compression"]));
                if cached.is_none() || compressed.is_some_and(|at| Some(at) < cached) {
                    let message = "a cache of compressed responses, or one that is left out of \
                                   'filter-sequence response', is known, not carried yet";
                    cx.report(Diagnostic::alert(message).at(line.span));
                }
            }
        }
        let names = [&filters.request_order, &filters.response_order];
        for name in names.into_iter().flatten().flat_map(|order| &order.value) {
            if filters.lines.iter().all(|line| line.kind.name() != name.value) {
                let message = format!("{} has no filter '{}'", proxy.label(), name.value);
                let help = format!("add 'filter {}' to the section", name.value);
                cx.report(Diagnostic::alert(message).at(name.span).help(help));
            }
        }
    }
}
