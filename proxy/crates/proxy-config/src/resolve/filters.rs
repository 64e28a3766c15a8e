//! Names of `filter-sequence`: each must be a filter of the section.

use proxy_types::Diagnostic;

use crate::context::Context;
use crate::model::Config;

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    for proxy in &config.proxies {
        let filters = &proxy.filters;
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
