//! What has a guid, and the counters of an earlier process.

use proxy_admin::stats_file::{Identified, Object, load};
use proxy_config::model::Config;
use proxy_state::Registry;
use proxy_types::{DiagSink, Diagnostic, Diagnostics, Endpoint};

/// Everything that has a guid.
pub(crate) fn identified(config: &Config, registry: &Registry) -> Vec<Identified> {
    let mut all = Vec::new();
    for proxy in &config.proxies {
        let name = proxy.name.value.clone();
        let mut add = |guid: String, object| all.push(Identified { guid, object });
        if let Some(guid) = &proxy.guid {
            if proxy.kind.is_frontend() {
                add(guid.value.clone(), Object::Frontend(name.clone()));
            }
            if proxy.kind.is_backend() {
                add(guid.value.clone(), Object::Backend(name.clone()));
            }
        }
        for server in &proxy.servers {
            if let Some(guid) = &server.guid {
                let object = Object::Server(name.clone(), server.name.value.clone());
                add(guid.value.clone(), object);
            }
        }
        // The listeners of a line have its prefix and their numbers on it (configuration manual, 5.1 "guid-prefix").
        let mut place = 0;
        let listeners = registry.frontend(&name).map_or(0, |frontend| frontend.listeners.len());
        for bind in &proxy.binds {
            let ports = |endpoint: &Endpoint| match endpoint {
                Endpoint::Inet { port, .. } => {
                    port.range().map_or(1, |(first, last)| usize::from(last - first) + 1)
                }
                _ => 1,
            };
            let count: usize = bind.addresses.iter().map(|a| ports(&a.value.endpoint)).sum();
            if let Some(prefix) = &bind.guid_prefix {
                for number in 0..count.min(listeners.saturating_sub(place)) {
                    let guid = format!("{prefix}-{number}");
                    add(guid, Object::Listener(name.clone(), place + number));
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
        .and_then(|text| load(registry, &identified(config, registry), &text));
    if let Err(error) = outcome {
        let message = format!("'stats-file' : cannot load '{path}' : {error}");
        diagnostics.push(Diagnostic::warning(message).at(path.span));
    }
}
