//! Backends that commands change, and the paths of frontends that follow from it.

use std::cell::{Ref, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use proxy_config::model::Proxy;
use proxy_datapath::ServiceSpec;
use proxy_state::Registry;
use proxy_stream::env::Front;

use super::loading::Loaded;
use crate::paths::{self, Decision};

/// What is known of backends beside the live objects.
pub(crate) struct Farms {
    loaded: Rc<Loaded>,
    /// The engine of each frontend.
    fronts: Vec<Arc<Front>>,
    decisions: RefCell<Vec<Decision>>,
}

impl Farms {
    pub(crate) fn new(
        loaded: Rc<Loaded>,
        fronts: Vec<Arc<Front>>,
        decisions: Vec<Decision>,
    ) -> Self {
        Self { loaded, fronts, decisions: RefCell::new(decisions) }
    }

    /// The path of each frontend.
    pub(crate) fn decisions(&self) -> Ref<'_, Vec<Decision>> {
        self.decisions.borrow()
    }

    /// Decides anew for the frontends that go to one of these backends; what the kernel is asked to do for them now.
    pub(crate) fn decide_again(
        &self,
        registry: &Registry,
        backends: &[Arc<str>],
    ) -> Vec<(String, Option<ServiceSpec>)> {
        let config = &self.loaded.config;
        let address = |backend: &str, server: &str| -> Option<SocketAddr> {
            registry.backend(backend)?.server(server)?.addr().inet()
        };
        let compiled = |frontend: &str| {
            let mut fronts = self.fronts.iter();
            let front = fronts.find(|front| *front.frontend.name == *frontend)?;
            Some(&front.tcp_connection)
        };
        let published = |backend: &Proxy| {
            registry.backend(&backend.name.value).is_some_and(|backend| backend.is_published())
        };
        let facts = paths::Facts {
            addresses: &address,
            compiled: &compiled,
            changed: &|_| None,
            published: &published,
        };
        let mut services = Vec::new();
        for decision in self.decisions.borrow_mut().iter_mut() {
            let Some(proxy) = config.proxy(&decision.frontend) else { continue };
            let target = proxy.settings.default_backend.as_ref().unwrap_or(&proxy.name);
            if !backends.iter().any(|changed| **changed == *target.value) {
                continue;
            }
            let again = paths::decide_one(config, proxy, facts);
            if again.service.is_some() || decision.service.is_some() {
                services.push((decision.frontend.clone(), again.service.clone()));
            }
            *decision = again;
        }
        services
    }
}
