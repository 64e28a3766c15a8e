//! One line of the statistics: a frontend, a listener, a server or a backend, read at one moment.

use proxy_state::backend::BackendView;
use proxy_state::server::{StateView, Status};
use proxy_state::{Backend, Frontend, Listener, Now, Registry, Server};
use proxy_types::Mode;
use std::sync::Arc;

/// What a line is about.
pub enum Kind {
    Frontend(Arc<Frontend>),
    Listener(Arc<Frontend>, Arc<Listener>),
    Server { backend: Arc<Backend>, server: Arc<Server>, state: Box<StateView>, status: Status },
    Backend(Arc<Backend>, BackendView),
}

/// A line of the statistics.
pub struct Object {
    pub kind: Kind,
    pub now: Now,
    /// `maxconn` of the process, which limits frontends without their own.
    pub maxconn: u32,
    /// Addresses and cookies may be shown: the session is not at level `user`.
    pub legends: bool,
}

impl Object {
    pub fn mode(&self) -> Mode {
        match &self.kind {
            Kind::Frontend(f) | Kind::Listener(f, _) => f.mode,
            Kind::Server { backend, .. } | Kind::Backend(backend, _) => backend.mode,
        }
    }

    pub fn is_http(&self) -> bool {
        self.mode() == Mode::Http
    }

    /// Letter of the typed form.
    pub fn letter(&self) -> char {
        match self.kind {
            Kind::Frontend(_) => 'F',
            Kind::Listener(..) => 'L',
            Kind::Server { .. } => 'S',
            Kind::Backend(..) => 'B',
        }
    }

    /// `objType` of JSON.
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Frontend(_) => "Frontend",
            Kind::Listener(..) => "Listener",
            Kind::Server { .. } => "Server",
            Kind::Backend(..) => "Backend",
        }
    }

    /// `iid`.
    pub fn proxy_id(&self) -> u32 {
        match &self.kind {
            Kind::Frontend(f) | Kind::Listener(f, _) => f.id.0,
            Kind::Server { backend, .. } | Kind::Backend(backend, _) => backend.id.0,
        }
    }

    /// `pxname`.
    pub fn proxy_name(&self) -> &str {
        match &self.kind {
            Kind::Frontend(f) | Kind::Listener(f, _) => &f.name,
            Kind::Server { backend, .. } | Kind::Backend(backend, _) => &backend.name,
        }
    }

    /// `sid`, 0 for proxies.
    pub fn id(&self) -> u32 {
        match &self.kind {
            Kind::Frontend(_) | Kind::Backend(..) => 0,
            Kind::Listener(_, l) => l.id.0,
            Kind::Server { server, .. } => server.id.0,
        }
    }
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// `iid`; `None` for all.
    pub proxy: Option<u32>,
    /// Bits: 1 frontends, 2 backends, 4 servers, 8 listeners.
    pub types: u32,
    /// `sid`; `None` for all.
    pub sid: Option<u32>,
    /// Without servers in maintenance.
    pub no_maint: bool,
    /// Only servers that are up or not checked.
    pub up: bool,
}

impl Default for Scope {
    fn default() -> Self {
        Self { proxy: None, types: u32::MAX, sid: None, no_maint: false, up: false }
    }
}

impl Scope {
    fn wants(&self, bit: u32, proxy: u32, sid: Option<u32>) -> bool {
        self.types & bit != 0
            && self.proxy.is_none_or(|p| p == proxy)
            && sid.is_none_or(|sid| self.sid.is_none_or(|s| s == sid))
    }

    /// The lines in the order of HAProxy: proxies by id; per proxy its frontend, sockets, servers, backend.
    /// Objects are read one by one as the iterator advances.
    pub fn objects(
        self,
        registry: &Arc<Registry>,
        now: Now,
        legends: bool,
    ) -> impl Iterator<Item = Object> + use<> {
        let registry = registry.clone();
        let maxconn = registry.process.maxconn();
        let mut ids: Vec<u32> = registry
            .frontends()
            .iter()
            .map(|f| f.id.0)
            .chain(registry.backends().iter().map(|b| b.id.0))
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.into_iter().flat_map(move |id| {
            let mut kinds = Vec::new();
            if let Some(frontend) = registry.frontend_by_id(proxy_types::ProxyId(id)) {
                self.frontend(frontend, &mut kinds);
            }
            if let Some(backend) = registry.backend_by_id(proxy_types::ProxyId(id)) {
                self.backend(&backend, now, &mut kinds);
            }
            kinds.into_iter().map(move |kind| Object { kind, now, maxconn, legends })
        })
    }

    fn frontend(&self, frontend: &Arc<Frontend>, into: &mut Vec<Kind>) {
        if self.wants(1, frontend.id.0, None) {
            into.push(Kind::Frontend(frontend.clone()));
        }
        if frontend.options.socket_stats {
            for listener in &frontend.listeners {
                if self.wants(8, frontend.id.0, Some(listener.id.0)) {
                    into.push(Kind::Listener(frontend.clone(), listener.clone()));
                }
            }
        }
    }

    fn backend(&self, backend: &Arc<Backend>, now: Now, into: &mut Vec<Kind>) {
        if self.types & 4 != 0 {
            for server in backend.servers().iter() {
                if !self.wants(4, backend.id.0, Some(server.id.0)) {
                    continue;
                }
                let status = server.status();
                let maint =
                    matches!(status, Status::Maint | Status::MaintVia(_) | Status::MaintResolution);
                if (self.no_maint || self.up) && maint
                    || self.up && matches!(status, Status::Down(_))
                {
                    continue;
                }
                let state = Box::new(server.state(now));
                into.push(Kind::Server {
                    backend: backend.clone(),
                    server: server.clone(),
                    state,
                    status,
                });
            }
        }
        if self.wants(2, backend.id.0, None) {
            into.push(Kind::Backend(backend.clone(), backend.state(now)));
        }
    }
}
