//! The one place where the configuration becomes live objects: names resolved, files opened, rules
//! compiled, specs filled.

pub(crate) mod addresses;
pub(crate) mod state;

use std::collections::HashMap;
use std::sync::Arc;

use proxy_state::Registry;
use proxy_types::{DiagSink, Diagnostic, Diagnostics};

use crate::args::Args;
use crate::paths::{self, Decision};
use crate::worker::loading::{self, Loaded};
use addresses::Resolver;
use state::Overrides;

/// Everything a worker serves with.
pub(crate) struct Assembled {
    pub(crate) registry: Arc<Registry>,
    pub(crate) decisions: Vec<Decision>,
    pub(crate) warned: bool,
}

/// Builds the live objects. Binds nothing.
///
/// # Errors
/// Something in the configuration cannot be used here; it has been printed.
pub(crate) fn assemble(args: &Args, loaded: &Loaded) -> Result<Assembled, ()> {
    let overrides = Overrides {
        resolver: Resolver { ipv4_only: args.ipv4_only },
        ignore_resolution: args.ignore_resolution,
        maxconn: args.maxconn,
        proxy_maxconn: args.proxy_maxconn,
    };
    let mut diagnostics = Diagnostics::new();
    let spec = state::registry(&loaded.config, &overrides, &mut diagnostics);
    let mut addresses = HashMap::new();
    for backend in &spec.backends {
        for server in backend.servers.iter().filter(|server| !server.unresolved) {
            if let Some(address) = server.addr.inet() {
                addresses.insert((backend.name.clone(), server.name.clone()), address);
            }
        }
    }
    let decisions = paths::decide(&loaded.config, &|backend, server| {
        addresses.get(&(backend.to_owned(), server.to_owned())).copied()
    });
    for decision in &decisions {
        if let (Some(span), Some(blocker)) = (decision.required, &decision.blocker) {
            diagnostics.push(
                Diagnostic::alert(format!(
                    "frontend '{}' cannot be carried by the kernel although 'l4 require' asks for it",
                    decision.frontend
                ))
                .at(span)
                .label(blocker.span, format!("{}: {}", blocker.directive, blocker.reason)),
            );
        }
    }
    let registry = match Registry::new(spec) {
        Ok(registry) => Some(registry),
        Err(error) => {
            diagnostics.push(Diagnostic::alert(error.to_string()));
            None
        }
    };
    loading::say(args, &diagnostics, &loaded.sources);
    if diagnostics.has_alert() {
        return Err(());
    }
    let registry = registry.ok_or(())?;
    Ok(Assembled { registry, decisions, warned: diagnostics.has_warning() })
}
