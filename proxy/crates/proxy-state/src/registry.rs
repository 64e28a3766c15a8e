//! Every object of a worker, and who wants to hear of changes.

use crate::backend::BackendSpec;
use crate::cache::{Cache, CacheSpec};
use crate::frontend::{FrontendSpec, FrontendState};
use crate::server::Transition;
use crate::stick::{Table, TableSpec};
use crate::{Backend, Frontend, Now, Process, Server};
use arc_swap::ArcSwap;
use proxy_types::ProxyId;
use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Told of a change of a server's state, weight or address.
pub type ServerHook = Box<dyn Fn(&Arc<Server>) + Send + Sync>;
/// Told of a change that is worth a log line.
pub type TransitionHook = Box<dyn Fn(&Transition) + Send + Sync>;
/// Told of a frontend that was paused, resumed, stopped or limited.
pub type FrontendHook = Box<dyn Fn(&Arc<Frontend>) + Send + Sync>;

/// Told of a backend that came, went, was published or not, or whose list of servers changed.
pub type BackendHook = Box<dyn Fn(&Arc<Backend>) + Send + Sync>;

/// Callbacks run after a change, on the thread that made it (the control thread) and outside of every lock.
#[derive(Default)]
pub struct Hooks {
    server: ArcSwap<Vec<Arc<ServerHook>>>,
    transition: ArcSwap<Vec<Arc<TransitionHook>>>,
    frontend: ArcSwap<Vec<Arc<FrontendHook>>>,
    backend: ArcSwap<Vec<Arc<BackendHook>>>,
    generation: AtomicU64,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hooks {{ generation: {:?} }}", self.generation)
    }
}

fn push<T>(list: &ArcSwap<Vec<Arc<T>>>, hook: T) {
    let hook = Arc::new(hook);
    list.rcu(|hooks| {
        let mut hooks = Vec::clone(hooks);
        hooks.push(hook.clone());
        hooks
    });
}

impl Hooks {
    pub(crate) fn server_changed(&self, server: &Arc<Server>) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.server.load().iter().for_each(|hook| hook(server));
    }

    pub(crate) fn backend_changed(&self, backend: &Arc<Backend>) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.backend.load().iter().for_each(|hook| hook(backend));
    }

    pub(crate) fn transition(&self, transition: &Transition) {
        self.transition.load().iter().for_each(|hook| hook(transition));
    }
}

/// What a [`Registry`] is built from. A `listen` section appears in both lists, with one id.
#[derive(Clone, Debug, Default)]
pub struct RegistrySpec {
    pub frontends: Vec<FrontendSpec>,
    pub backends: Vec<BackendSpec>,
    /// Stick tables, by their names.
    pub tables: Vec<TableSpec>,
    pub caches: Vec<CacheSpec>,
    /// `maxconn` of the process.
    pub maxconn: u32,
}

/// Why a [`Registry`] could not be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    #[error("server {backend}/{server} tracks unknown server {target}")]
    UnknownTracked { backend: String, server: String, target: String },
    #[error("server {backend}/{server} cannot track {target}: that would be a circle")]
    TrackCircle { backend: String, server: String, target: String },
    #[error("stick table '{table}' cannot write to '{target}': there is no such other table")]
    UnknownTable { table: String, target: String },
    #[error(
        "stick table '{table}' cannot write to '{target}': their keys are not of the same kind"
    )]
    OtherKeys { table: String, target: String },
}

/// A section of this name or number is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a proxy of this name or id exists already")]
pub struct BackendExists;

/// The first id that is given to a section without one; 1 is the runtime API's own proxy.
pub const FIRST_PROXY_ID: u32 = 2;

/// The backends of a moment. Replaced as a whole when one comes or goes.
#[derive(Debug, Default)]
struct Backends {
    list: Arc<Vec<Arc<Backend>>>,
    names: FxHashMap<Arc<str>, usize>,
}

impl Backends {
    fn new(list: Vec<Arc<Backend>>) -> Self {
        let names = (0..).zip(&list).map(|(i, b)| (b.name.clone(), i)).collect();
        Self { list: Arc::new(list), names }
    }

    fn get(&self, name: &str) -> Option<&Arc<Backend>> {
        self.names.get(name).map(|&i| &self.list[i])
    }
}

/// Every live object of a worker.
#[derive(Debug)]
pub struct Registry {
    pub process: Process,
    frontends: Vec<Arc<Frontend>>,
    backends: ArcSwap<Backends>,
    frontend_names: FxHashMap<Arc<str>, usize>,
    tables: Vec<Arc<Table>>,
    caches: Vec<Arc<Cache>>,
    table_names: FxHashMap<String, usize>,
    hooks: Arc<Hooks>,
}

impl Registry {
    pub fn new(spec: RegistrySpec) -> Result<Arc<Self>, BuildError> {
        let hooks = Arc::new(Hooks::default());
        let frontends: Vec<_> = spec.frontends.into_iter().map(Frontend::new).collect();
        let backends = spec.backends.into_iter().map(|b| Backend::new(b, hooks.clone())).collect();
        let tables: Vec<_> = spec.tables.into_iter().map(Table::new).collect();
        let registry = Self {
            table_names: (0..).zip(&tables).map(|(i, t)| (t.spec.name.clone(), i)).collect(),
            tables,
            caches: spec.caches.into_iter().map(|spec| Arc::new(Cache::new(spec))).collect(),
            process: Process::new(spec.maxconn),
            frontend_names: (0..).zip(&frontends).map(|(i, f)| (f.name.clone(), i)).collect(),
            frontends,
            backends: ArcSwap::from_pointee(Backends::new(backends)),
            hooks,
        };
        registry.link_tracking()?;
        registry.link_tables()?;
        Ok(Arc::new(registry))
    }

    fn link_tracking(&self) -> Result<(), BuildError> {
        for backend in self.backends().iter() {
            for server in backend.servers().iter() {
                let Some((farm, name)) = server.spec.track.as_deref() else { continue };
                let farm = farm.as_deref().unwrap_or(&backend.name);
                let names = || {
                    (backend.name.to_string(), server.name.to_string(), format!("{farm}/{name}"))
                };
                let target = self.backend(farm).and_then(|b| b.server(name)).ok_or_else(|| {
                    let (backend, server, target) = names();
                    BuildError::UnknownTracked { backend, server, target }
                })?;
                if !server.track(&target) {
                    let (backend, server, target) = names();
                    return Err(BuildError::TrackCircle { backend, server, target });
                }
            }
        }
        for backend in self.backends().iter() {
            backend.rebuild();
        }
        Ok(())
    }

    /// Tables of `write-to`.
    fn link_tables(&self) -> Result<(), BuildError> {
        for table in &self.tables {
            let Some(name) = &table.spec.write_to else { continue };
            let names = || (table.spec.name.clone(), name.clone());
            let target = self.table(name).filter(|target| !Arc::ptr_eq(target, table));
            let target = target.ok_or_else(|| {
                let (table, target) = names();
                BuildError::UnknownTable { table, target }
            })?;
            if target.spec.key != table.spec.key {
                let (table, target) = names();
                return Err(BuildError::OtherKeys { table, target });
            }
            table.set_write_to(target.clone());
        }
        Ok(())
    }

    /// In the order of the configuration.
    pub fn caches(&self) -> &[Arc<Cache>] {
        &self.caches
    }

    /// The cache of that name. There are few.
    pub fn cache(&self, name: &str) -> Option<&Arc<Cache>> {
        self.caches.iter().find(|cache| cache.spec.name == name)
    }

    /// In the order of the configuration.
    pub fn frontends(&self) -> &[Arc<Frontend>] {
        &self.frontends
    }

    /// In the order of the configuration, those that were added since behind.
    pub fn backends(&self) -> Arc<Vec<Arc<Backend>>> {
        self.backends.load().list.clone()
    }

    pub fn frontend(&self, name: &str) -> Option<&Arc<Frontend>> {
        self.frontend_names.get(name).map(|&i| &self.frontends[i])
    }

    pub fn backend(&self, name: &str) -> Option<Arc<Backend>> {
        self.backends.load().get(name).cloned()
    }

    /// The lowest id that no section has.
    pub fn next_proxy_id(&self) -> ProxyId {
        let taken = |id| self.frontend_by_id(id).is_some() || self.backend_by_id(id).is_some();
        (FIRST_PROXY_ID..).map(ProxyId).find(|id| !taken(*id)).unwrap_or(ProxyId(u32::MAX))
    }

    /// Makes a backend, which is known from here on. Control thread only.
    ///
    /// # Errors
    /// There is a section of this name or id.
    pub fn add_backend(&self, spec: BackendSpec) -> Result<Arc<Backend>, BackendExists> {
        let known = self.frontend(&spec.name).is_some() || self.backend(&spec.name).is_some();
        let numbered =
            self.frontend_by_id(spec.id).is_some() || self.backend_by_id(spec.id).is_some();
        if known || numbered {
            return Err(BackendExists);
        }
        let backend = Backend::new(spec, self.hooks.clone());
        self.replace_backends(|list| list.push(backend.clone()));
        self.hooks.backend_changed(&backend);
        Ok(backend)
    }

    /// Forgets a backend; who holds it can go on with it. Control thread only.
    pub fn remove_backend(&self, backend: &Arc<Backend>) {
        self.replace_backends(|list| list.retain(|known| !Arc::ptr_eq(known, backend)));
        self.hooks.backend_changed(backend);
    }

    fn replace_backends(&self, edit: impl FnOnce(&mut Vec<Arc<Backend>>)) {
        let mut list = Vec::clone(&self.backends());
        edit(&mut list);
        self.backends.store(Arc::new(Backends::new(list)));
    }

    /// The stick tables in the order of the configuration.
    pub fn tables(&self) -> &[Arc<Table>] {
        &self.tables
    }

    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.table_names.get(name).map(|&i| &self.tables[i])
    }

    pub fn frontend_by_id(&self, id: ProxyId) -> Option<&Arc<Frontend>> {
        self.frontends.iter().find(|f| f.id == id)
    }

    pub fn backend_by_id(&self, id: ProxyId) -> Option<Arc<Backend>> {
        self.backends.load().list.iter().find(|b| b.id == id).cloned()
    }

    /// Changes whether a frontend accepts; `false` when it was so already, or is stopped for good.
    pub fn set_frontend_state(&self, frontend: &Arc<Frontend>, to: FrontendState) -> bool {
        let changed = frontend.set_state(to);
        if changed {
            self.frontend_changed(frontend);
        }
        changed
    }

    /// Tells those who listen that a frontend's state or limit changed.
    pub fn frontend_changed(&self, frontend: &Arc<Frontend>) {
        self.hooks.generation.fetch_add(1, Ordering::AcqRel);
        self.hooks.frontend.load().iter().for_each(|hook| hook(frontend));
    }

    /// Grows with every change of a server or frontend.
    pub fn generation(&self) -> u64 {
        self.hooks.generation.load(Ordering::Acquire)
    }

    /// Runs `hook` after every change of a server's state, weight or address.
    pub fn on_server_change(&self, hook: ServerHook) {
        push(&self.hooks.server, hook);
    }

    /// Runs `hook` after every change of state that is worth a log line.
    pub fn on_transition(&self, hook: TransitionHook) {
        push(&self.hooks.transition, hook);
    }

    /// Runs `hook` after a backend came, went or was published or not, and after its list of servers changed.
    pub fn on_backend_change(&self, hook: BackendHook) {
        push(&self.hooks.backend, hook);
    }

    /// Runs `hook` after a frontend was paused, resumed, stopped or limited.
    pub fn on_frontend_change(&self, hook: FrontendHook) {
        push(&self.hooks.frontend, hook);
    }

    /// `clear counters`: the highest values, and with `all` every counter.
    pub fn clear_counters(&self, all: bool) {
        let process = &self.process;
        process.connections.clear_max();
        [&process.connection_rate, &process.session_rate, &process.out_rate]
            .iter()
            .for_each(|rate| rate.clear_max());
        for frontend in &self.frontends {
            frontend.sessions.clear_max();
            [&frontend.session_rate, &frontend.connection_rate, &frontend.request_rate]
                .iter()
                .for_each(|rate| rate.clear_max());
            for listener in &frontend.listeners {
                listener.sessions.clear_max();
                if all {
                    listener.counters.clear();
                    listener.tls.clear();
                }
            }
            if all {
                frontend.counters.clear();
                frontend.mux.clear();
                frontend.tls.clear();
            }
        }
        for backend in self.backends().iter() {
            [&backend.sessions, &backend.queued].iter().for_each(|gauge| gauge.clear_max());
            backend.session_rate.clear_max();
            backend.times.clear_max();
            for server in backend.servers().iter() {
                [&server.sessions, &server.queued, &server.used_connections]
                    .iter()
                    .for_each(|gauge| gauge.clear_max());
                server.session_rate.clear_max();
                server.times.clear_max();
                if all {
                    server.counters.clear();
                    server.tls_counts.clear();
                }
            }
            if all {
                backend.counters.clear();
                backend.mux.clear();
                backend.tls.clear();
            }
        }
    }

    /// Forgets the entries of stick tables that have expired. To be called once per second on the control thread.
    pub fn sweep_tables(&self, now: Now) {
        self.tables.iter().for_each(|table| table.sweep(now));
    }

    /// Keeps the highest rates. To be called once per second on the control thread; the statistics call it too.
    pub fn observe_rates(&self, now: Now) {
        self.process.observe_rates(now);
        self.frontends.iter().for_each(|f| f.observe_rates(now));
        self.backends().iter().for_each(|b| b.observe_rates(now));
    }
}
