//! Names and numbers that must be unique.

use std::hash::Hash;

use proxy_types::{Diagnostic, Span, Spanned};
use rustc_hash::FxHashMap;

use crate::context::Context;
use crate::model::{Config, ProxyKind};
use crate::source::Sources;

/// First uses by key.
struct Seen<K>(FxHashMap<K, Span>);

impl<K: Eq + Hash> Seen<K> {
    fn new() -> Self {
        Self(FxHashMap::default())
    }

    /// Where the key was used before, if it was.
    fn before(&mut self, key: K, span: Span) -> Option<Span> {
        match self.0.entry(key) {
            std::collections::hash_map::Entry::Occupied(entry) => Some(*entry.get()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(span);
                None
            }
        }
    }
}

pub(super) fn check(cx: &mut Context<'_>, sources: &Sources, config: &Config) {
    proxy_names(cx, sources, config);
    defaults_usage(cx, config);
    let mut ids = Seen::new();
    let mut guids = Seen::new();
    for proxy in &config.proxies {
        if let Some(Spanned { value, span }) = proxy.id
            && let Some(before) = ids.before(value, span)
        {
            let message = format!("{} reuses the custom id {value}", proxy.label());
            cx.report(Diagnostic::alert(message).at(span).label(before, "first used here"));
        }
        if let Some(guid) = &proxy.guid
            && let Some(before) = guids.before(guid.value.as_str(), guid.span)
        {
            let message = format!("{} reuses the guid '{guid}'", proxy.label());
            cx.report(Diagnostic::alert(message).at(guid.span).label(before, "first used here"));
        }
        let mut binds = Seen::new();
        for id in proxy.binds.iter().filter_map(|bind| bind.id) {
            if let Some(before) = binds.before(id.value, id.span) {
                let message = format!("{} : 'bind' : custom id {id} already used", proxy.label());
                cx.report(Diagnostic::alert(message).at(id.span).label(before, "first used here"));
            }
        }
    }
}

fn proxy_names(cx: &mut Context<'_>, sources: &Sources, config: &Config) {
    let mut names: FxHashMap<&str, &crate::model::Proxy> = FxHashMap::default();
    for proxy in &config.proxies {
        let name = proxy.name.value.as_str();
        // A missing name has been reported.
        if name.is_empty() {
            continue;
        }
        let Some(before) = names.get(name) else {
            names.insert(name, proxy);
            continue;
        };
        let message = format!(
            "{} has the same name as {} declared at {}",
            proxy.label(),
            before.label(),
            sources.place(before.span)
        );
        let diagnostic = Diagnostic::alert(message)
            .at(proxy.name.span)
            .label(before.name.span, "first declared here");
        cx.report(if before.kind == proxy.kind {
            diagnostic
        } else {
            diagnostic.help("frontends and backends share one set of names since version 3.3")
        });
    }
}

/// One `defaults` section for those that name it and those that just follow it is a trap.
fn defaults_usage(cx: &mut Context<'_>, config: &Config) {
    for (index, defaults) in config.defaults.iter().enumerate() {
        let mut users = config
            .proxies
            .iter()
            .chain(&config.defaults)
            .filter(|p| p.defaults.is_some_and(|id| id.0 == index));
        let explicit = users.clone().find(|p| p.explicit_defaults);
        let implicit = users.find(|p| !p.explicit_defaults && p.kind != ProxyKind::Defaults);
        if let (Some(explicit), Some(implicit)) = (explicit, implicit) {
            let message = format!(
                "defaults section '{}' is explicitly referenced by another section and implicitly used here",
                defaults.name
            );
            let diagnostic = Diagnostic::warning(message)
                .at(implicit.span)
                .label(explicit.span, "explicitly referenced here")
                .help("add a last defaults section for the implicit uses, or name one with 'from' everywhere");
            cx.report(diagnostic);
        }
    }
}
