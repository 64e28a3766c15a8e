//! Backends and servers that something in the configuration names: commands cannot take them away.

use proxy_config::model::Config;
use proxy_rules::sample::parse::Named;
use proxy_state::Registry;

use super::rules::Rules;

/// Marks what the configuration names.
pub(super) fn mark(config: &Config, rules: &Rules<'_>, registry: &Registry) {
    for proxy in config.frontends() {
        let default = proxy.settings.default_backend.as_ref().map(|name| name.value.as_str());
        let rules = proxy.use_backends.iter().filter(|rule| !rule.is_dynamic());
        for name in default.into_iter().chain(rules.map(|rule| rule.target.value.as_str())) {
            if let Some(backend) = registry.backend(name) {
                backend.set_named();
            }
        }
    }
    mark_words(rules, registry);
}

/// Marks what compiled words name, and what they need to be measured.
pub(super) fn mark_words(rules: &Rules<'_>, registry: &Registry) {
    for (section, named) in rules.named.borrow().iter() {
        match named {
            Named::Backend(name) => {
                if let Some(backend) = registry.backend(name) {
                    backend.set_named();
                }
            }
            Named::Server(owner, name) => {
                let owner = owner.as_deref();
                let Some(backend) = registry.backend(owner.unwrap_or(section)) else { continue };
                if let Some(server) = backend.server(name) {
                    server.set_named();
                }
                // A rule of another section looks for the backend by its name.
                if owner.is_some_and(|owner| owner != section) {
                    backend.set_named();
                }
            }
            Named::TaskTimes => registry.process.time_tasks(),
            _ => {}
        }
    }
}
