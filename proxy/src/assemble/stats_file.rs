//! What has a guid, and the counters of an earlier process.

use std::collections::HashMap;
use std::sync::Arc;

use proxy_admin::stats_file::{Identified, Object, load};
use proxy_config::model::Config;
use proxy_state::Registry;
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Endpoint};

/// Everything that has a guid.
pub(crate) fn identified(config: &Config, registry: &Registry) -> Vec<Identified> {
    let mut all = Vec::new();
    for proxy in &config.proxies {
        let name = proxy.name.value.as_str();
        let (frontend, backend) = (registry.frontend(name).cloned(), registry.backend(name));
        let mut add = |guid: &str, object| all.push(Identified { guid: guid.to_owned(), object });
        if let Some(guid) = &proxy.guid {
            if let Some(frontend) = frontend.clone().filter(|_| proxy.kind.is_frontend()) {
                add(guid, Object::Frontend(frontend));
            }
            if let Some(backend) = backend.clone().filter(|_| proxy.kind.is_backend()) {
                add(guid, Object::Backend(backend));
            }
        }
        let mut named = proxy.servers.iter().filter(|server| server.guid.is_some()).peekable();
        if let Some(backend) = backend.filter(|_| named.peek().is_some()) {
            let servers = backend.servers();
            let live: HashMap<&str, _> = servers.iter().map(|s| (&*s.spec.name, s)).collect();
            for server in named {
                let found = live.get(server.name.value.as_str());
                if let (Some(guid), Some(found)) = (&server.guid, found) {
                    add(guid, Object::Server(Arc::clone(found)));
                }
            }
        }
        // The listeners of a line have its prefix and their numbers on it (configuration manual, 5.1 "guid-prefix").
        let mut place = 0;
        let listeners = frontend.map(|frontend| frontend.listeners.clone()).unwrap_or_default();
        for bind in &proxy.binds {
            let ports = |endpoint: &Endpoint| match endpoint {
                Endpoint::Inet { port, .. } => {
                    port.range().map_or(1, |(first, last)| usize::from(last - first) + 1)
                }
                _ => 1,
            };
            let count: usize = bind.addresses.iter().map(|a| ports(&a.value.endpoint)).sum();
            if let Some(prefix) = &bind.guid_prefix {
                for (number, listener) in listeners.iter().skip(place).take(count).enumerate() {
                    add(&format!("{prefix}-{number}"), Object::Listener(listener.clone()));
                }
            }
            place += count;
        }
    }
    all
}

/// `stats-file`: what cannot be read is told and changes nothing else.
pub(super) fn preload(config: &Config, registry: &Registry, diagnostics: &mut Diagnostics) {
    let Some(path) = &config.global.stats_file else { return };
    let outcome = std::fs::read_to_string(&path.value)
        .map_err(|error| error.to_string())
        .and_then(|text| load(&identified(config, registry), &text));
    if let Err(error) = outcome {
        let message = format!("'stats-file' : cannot load '{path}' : {error}");
        diagnostics.push(Diagnostic::warning(message).at(path.span));
    }
}
