//! Certificates that are renewed by ACME: their sections, and what is to be proven.

use proxy_types::Diagnostic;

use crate::context::Context;
use crate::model::Config;

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    let loads = config.crt_stores.iter().flat_map(|store| &store.loads).map(|load| &load.acme);
    let lines = config.proxies.iter().flat_map(|proxy| &proxy.certificates);
    for acme in loads.chain(lines.map(|line| &line.value.acme)) {
        if let Some(message) = acme.wrong(&config.acmes) {
            cx.report(Diagnostic::alert(message).at(acme.span));
        }
    }
}
