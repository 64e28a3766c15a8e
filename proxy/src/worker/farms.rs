//! Backends and servers that commands add, change and take away, and the paths of frontends that follow from it.

use std::cell::{OnceCell, Ref, RefCell};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use proxy_admin::builder::{Builder, DefaultServers};
use proxy_config::model::{Config, Proxy, Server as Line};
use proxy_config::runtime::{self, Known};
use proxy_datapath::ServiceSpec;
use proxy_names::Names;
use proxy_state::{Backend, Now, Registry, Server};
use proxy_stream::check::Methods;
use proxy_stream::env::{Env, Front};
use proxy_types::{Mode, ServerId};

use super::checks::Logs;
use super::mail::Mail;
use crate::assemble::workshop::Workshop;
use crate::paths::{self, Decision};

/// What is known of backends beside the live objects.
pub(crate) struct Farms {
    pub(crate) registry: Arc<Registry>,
    pub(crate) workshop: Workshop,
    pub(crate) env: Arc<Env>,
    /// The engine of each frontend.
    pub(crate) fronts: Vec<Arc<Front>>,
    pub(crate) methods: Arc<Methods>,
    pub(crate) logs: Arc<Logs>,
    pub(crate) names: OnceCell<Rc<Names>>,
    pub(crate) mail: OnceCell<Arc<Mail>>,
    pub(crate) decisions: RefCell<Vec<Decision>>,
    /// Sections that are not as in the configuration any more, or were never there.
    pub(crate) changed: RefCell<Sections>,
}

/// Sections by name.
#[derive(Default)]
pub(crate) struct Sections {
    now: HashMap<String, Proxy>,
    removed: HashSet<String>,
}

impl Sections {
    /// A section as it is now.
    fn get<'a>(&'a self, config: &'a Config, name: &str) -> Option<&'a Proxy> {
        self.now.get(name).or_else(|| config.proxy(name).filter(|_| !self.removed.contains(name)))
    }

    /// A section that is about to change.
    fn edit(&mut self, config: &Config, name: &str, edit: impl FnOnce(&mut Proxy)) {
        if !self.now.contains_key(name)
            && let Some(proxy) = config.proxy(name)
        {
            self.now.insert(name.to_owned(), proxy.clone());
        }
        if let Some(proxy) = self.now.get_mut(name) {
            edit(proxy);
        }
    }
}

impl Farms {
    fn config(&self) -> &Config {
        &self.workshop.loaded.config
    }

    /// The path of each frontend.
    pub(crate) fn decisions(&self) -> Ref<'_, Vec<Decision>> {
        self.decisions.borrow()
    }

    /// Decides anew for the frontends that go to one of these backends; what the kernel is asked to do for them now.
    pub(crate) fn decide_again(&self, backends: &[Arc<str>]) -> Vec<(String, Option<ServiceSpec>)> {
        let (config, registry) = (self.config(), &self.registry);
        let changed = self.changed.borrow();
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
        let section = |name: &str| changed.now.get(name);
        let facts = paths::Facts {
            addresses: &address,
            compiled: &compiled,
            changed: &section,
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
            if again.kernel_service().is_some() || decision.kernel_service().is_some() {
                services.push((decision.frontend.clone(), again.kernel_service().cloned()));
            }
            *decision = again;
        }
        services
    }

    /// The server that a new one is to follow (management manual, 9.3 "add server").
    fn tracked(&self, backend: &Backend, line: &Line) -> Result<Option<Arc<Server>>, String> {
        let Some(target) = &line.options.track else { return Ok(None) };
        let (farm, name) = match target.value.split_once('/') {
            Some((farm, name)) => (farm, name),
            None => (&*backend.name, target.value.as_str()),
        };
        let found = self.registry.backend(farm);
        let found =
            found.ok_or_else(|| format!("unable to find required proxy '{farm}' for tracking."))?;
        let found = found
            .server(name)
            .ok_or_else(|| format!("unable to find required server '{name}' for tracking."))?;
        let wrong =
            |why: &str| Err(format!("unable to use {farm}/{name} for tracking as it {why}."));
        let spec = &found.spec;
        if spec.dynamic {
            return wrong("is a dynamic server");
        }
        if spec.check.is_none() && spec.agent.is_none() && spec.track.is_none() {
            return wrong("does not have any check nor agent enabled");
        }
        Ok(Some(found))
    }

    /// The number of a new server.
    fn server_id(&self, backend: &Backend, line: &Line) -> Result<ServerId, String> {
        let Some(id) = line.id.map(|id| ServerId(id.value)) else {
            return Ok(backend.next_server_id());
        };
        match backend.server_by_id(id) {
            None => Ok(id),
            Some(other) => {
                let name = &other.name;
                Err(format!("'id' : custom id {id} already used by server '{name}'."))
            }
        }
    }

    /// Whether a section or a server has this guid.
    fn knows_guid(&self, guid: &str) -> bool {
        let (changed, config) = (self.changed.borrow(), self.config());
        let unchanged = config.proxies.iter().filter(|proxy| {
            let name = &proxy.name.value;
            !changed.now.contains_key(name) && !changed.removed.contains(name)
        });
        let is = |own: &Option<proxy_types::Spanned<String>>| {
            own.as_ref().is_some_and(|own| own.value == guid)
        };
        unchanged
            .chain(changed.now.values())
            .any(|proxy| is(&proxy.guid) || proxy.servers.iter().any(|server| is(&server.guid)))
    }
}

impl Builder for Farms {
    fn add_server(&self, backend: &Arc<Backend>, words: &[String], now: Now) -> Result<(), String> {
        if backend.mode == Mode::Log {
            return Err("Servers of a log backend cannot be added at runtime.".to_owned());
        }
        if !backend.lb.is_dynamic() {
            let name = &backend.name;
            return Err(format!("backend '{name}' uses a non dynamic load balancing method."));
        }
        let config = self.config();
        let (line, new) = {
            let changed = self.changed.borrow();
            let section = |name: &str| changed.get(config, name);
            let own = section(&backend.name).ok_or("No such backend.")?;
            let line = runtime::server(words, own, &Known { config, section: &section })?;
            let name = &line.name.value;
            let is_default =
                own.settings.named_default_servers.iter().any(|named| named.name.value == *name);
            let known = |server: &Arc<Server>| server.is_called(name);
            if is_default || backend.servers().iter().any(known) {
                return Err("Already exists a server with the same name in backend.".to_owned());
            }
            let id = self.server_id(backend, &line)?;
            let has_method = self.methods.has_backend(&backend.name);
            let new = self.workshop.server(own, &line, id, has_method)?;
            (line, new)
        };
        if let Some(guid) = line.guid.as_ref().filter(|guid| self.knows_guid(&guid.value)) {
            return Err(format!("'guid' : '{guid}' is used already."));
        }
        let tracked = self.tracked(backend, &line)?;
        if let Some(method) = new.of_backend {
            self.methods.set_backend(&backend.name, method);
        }
        if let Some(method) = new.method {
            self.methods.set_server(&backend.name, &line.name.value, method);
        }
        self.changed.borrow_mut().edit(config, &backend.name, |section| section.servers.push(line));
        backend.add_server(new.spec, tracked.as_ref(), now).map_err(|error| format!("{error}."))?;
        Ok(())
    }

    fn remove_server(&self, server: &Arc<Server>, now: Now) -> Result<(), String> {
        let backend = server.backend().ok_or("No such backend.")?;
        if backend.mode == Mode::Log {
            return Err("Servers of a log backend cannot be removed at runtime.".to_owned());
        }
        backend.remove_server(server, now).map_err(|error| error.to_string())?;
        self.methods.forget_server(server);
        if let Some(names) = self.names.get() {
            names.forget(server);
        }
        self.changed.borrow_mut().edit(self.config(), &backend.name, |section| {
            section.servers.retain(|line| *line.name.value != *server.spec.name);
        });
        Ok(())
    }

    fn server_words(&self) -> Vec<(&'static str, &'static str)> {
        runtime::server_words().collect()
    }

    fn add_backend(
        &self,
        name: &str,
        from: &str,
        mode: Option<Mode>,
        guid: Option<&str>,
    ) -> Result<(), String> {
        let known = self.registry.backend(name).is_some() || self.registry.frontend(name).is_some();
        if known || self.config().proxy(name).is_some_and(|proxy| proxy.kind.is_frontend()) {
            return Err(format!("A proxy named '{name}' exists already."));
        }
        if let Some(guid) = guid.filter(|guid| self.knows_guid(guid)) {
            return Err(format!("'guid' : '{guid}' is used already."));
        }
        let section = runtime::backend(self.config(), name, from, mode, guid)?;
        let new = self.workshop.backend(&section, &self.registry)?;
        let backend = &new.back.backend;
        if let Some(method) = new.method {
            self.methods.set_backend(&backend.name, method);
        }
        if let Some(log) = new.log {
            self.logs.write().insert(backend.name.clone(), log);
        }
        if let Some((mail, route)) = self.mail.get().zip(new.mail) {
            mail.add(route);
        }
        self.changed.borrow_mut().now.insert(name.to_owned(), section);
        self.env.backends.insert(new.back);
        Ok(())
    }

    fn backend_removable(&self, backend: &Arc<Backend>) -> Result<bool, String> {
        let name = &backend.name;
        let refuse = |text: &str| Err(text.to_owned());
        if self.registry.frontend(name).is_some() {
            return refuse("Cannot delete a listen section.");
        }
        if backend.mode == Mode::Log {
            return refuse("Only TCP and HTTP backends can be removed at runtime.");
        }
        if backend.is_named() {
            return refuse(
                "This proxy cannot be removed at runtime due to other configuration elements pointing to it.",
            );
        }
        if self.registry.table(name).is_some() {
            return refuse("A backend with a stick-table cannot be deleted.");
        }
        if backend.is_published() {
            return refuse("Backend must be unpublished prior to its deletion.");
        }
        if !backend.servers().is_empty() {
            return refuse("Only a backend without server can be deleted.");
        }
        Ok(backend.sessions.get() == 0 && backend.queued.get() == 0)
    }

    fn remove_backend(&self, backend: &Arc<Backend>) -> Result<(), String> {
        if !self.backend_removable(backend)? {
            return Err("Backend still has attached streams on it.".to_owned());
        }
        let name = &*backend.name;
        self.env.backends.remove(name);
        self.registry.remove_backend(backend);
        self.methods.forget_backend(name);
        self.logs.write().remove(name);
        if let Some(mail) = self.mail.get() {
            mail.remove(name);
        }
        let mut changed = self.changed.borrow_mut();
        changed.now.remove(name);
        if self.config().proxy(name).is_some() {
            changed.removed.insert(name.to_owned());
        }
        Ok(())
    }

    fn default_servers(&self) -> Vec<DefaultServers> {
        if self.config().global.tune.purge_servers {
            return Vec::new();
        }
        let changed = self.changed.borrow();
        let backends = self.registry.backends();
        let of = |backend: &Arc<Backend>| {
            let settings = &changed.get(self.config(), &backend.name)?.settings;
            let named = settings.named_default_servers.iter();
            let all = DefaultServers {
                backend: backend.name.to_string(),
                unnamed: settings.has_default_server,
                named: named.map(|named| named.name.value.clone()).collect(),
            };
            (all.unnamed || !all.named.is_empty()).then_some(all)
        };
        backends.iter().filter_map(of).collect()
    }

    fn defaults(&self) -> Vec<String> {
        let config = self.config();
        let kept = config.defaults.iter().filter(|_| !config.global.tune.purge_proxies);
        let names = kept.map(|section| section.name.value.clone());
        names.filter(|name| !name.is_empty()).collect()
    }
}
