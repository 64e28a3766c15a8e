//! The worker's hold on the kernel path: opened before privileges go, then fed with every change of a
//! server and read for counters and ended flows, all on the control thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proxy_config::model::{Config, L4Hook};
use proxy_datapath::plan::{Plan, plan};
use proxy_datapath::{
    Answer, AttachedHook, Counters, Datapath, Denied, EndFlows, EndedFlow, Flow, Hook, NetFacts,
    OpenOptions, ServerChange, ServerSpec, ServiceSpec, Status, Traffic, Unavailable, Usable,
};
use proxy_state::counters::ExternalCounters;
use proxy_state::server::OpState;
use proxy_state::{Now, Registry, Server};

use super::sources::SourceRules;
use crate::messages;
use crate::paths::{DENY, Decision};

/// Whether and how the kernel path is there.
enum Hold {
    /// Nothing qualifies for it, or it cannot be opened: why.
    Absent(String),
    Open(Box<Datapath>),
    /// Handed to a successor.
    Released,
}

/// The kernel path of this worker.
pub(crate) struct KernelPath {
    options: OpenOptions,
    inner: RefCell<Inner>,
}

struct Inner {
    hold: Hold,
    services: Vec<ServiceSpec>,
    sources: SourceRules,
    /// The soft stop has begun: nothing makes the kernel take new flows again.
    refusing: bool,
    /// Frontends the plan left to userspace, with the reason.
    rejected: HashMap<String, String>,
    /// What the plan in force was made from.
    facts: Option<NetFacts>,
    /// Parts of limits given to the kernel, by service and server.
    shared: HashMap<(String, String), ServerChange>,
    /// [`Server::shutdowns`] as it was when the kernel's flows were ended last, by backend and server.
    shutdowns: HashMap<(String, String), u64>,
    /// What was counted before this worker began.
    baseline: HashMap<(String, String), Traffic>,
}

/// Key of the counters of a whole service in `baseline`.
const WHOLE_SERVICE: &str = "";

impl KernelPath {
    /// Opens or adopts the kernel path for the frontends that qualify, and makes it hold them. Never
    /// fails: without it everything is served in userspace, and the reason is kept.
    pub(crate) fn open(config: &Config, decisions: &[Decision], sources: SourceRules) -> Self {
        let mut services: Vec<_> =
            decisions.iter().filter_map(|d| d.kernel_service().cloned()).collect();
        for service in &mut services {
            service.sources = sources.of(service);
        }
        let options = options(config, &services);
        let hold = if services.is_empty() {
            // What an earlier configuration left would go on carrying frontends that are gone.
            let _ = Datapath::detach_instance(options.instance.as_deref(), None);
            Hold::Absent("no frontend qualifies".into())
        } else {
            open(&options)
        };
        let inner = Inner {
            hold,
            services,
            sources,
            refusing: false,
            rejected: HashMap::new(),
            facts: None,
            shared: HashMap::new(),
            shutdowns: HashMap::new(),
            baseline: HashMap::new(),
        };
        let this = Self { options, inner: RefCell::new(inner) };
        this.apply();
        this.inner.borrow_mut().take_baseline();
        this
    }

    /// Makes the kernel hold the services as they are now.
    fn apply(&self) {
        let mut inner = self.inner.borrow_mut();
        let Inner { hold, services, rejected, shared, facts, refusing, .. } = &mut *inner;
        let Hold::Open(datapath) = hold else { return };
        if *refusing {
            return;
        }
        shared.clear();
        let found = gather(services).map_err(|error| error.to_string());
        let outcome = found.and_then(|found| {
            let plan = plan(services, &found);
            // Known only once the kernel holds what follows from it.
            *facts = None;
            *rejected =
                plan.rejected.iter().map(|r| (r.service.clone(), r.reason.to_string())).collect();
            let report = datapath.apply(&plan).map_err(|error| error.to_string())?;
            for left in &report.left_out {
                rejected.insert(left.service.clone(), left.reason.to_string());
            }
            *facts = (!report.nat_ports_kept).then_some(found);
            Ok(())
        });
        if let Err(error) = outcome {
            messages::warning(format_args!("layer 4 in the kernel: {error}"));
        }
    }

    /// `l4 require`: a frontend that is not carried stops the start.
    ///
    /// # Errors
    /// At least one is not; it has been printed.
    pub(crate) fn check_required(&self, decisions: &[Decision]) -> Result<(), ()> {
        let mut outcome = Ok(());
        for decision in decisions.iter().filter(|decision| !decision.kernel_words.is_empty()) {
            let blocker = decision.blocker.as_ref().map(|blocker| blocker.reason.to_owned());
            for word in &decision.kernel_words {
                let guarded = *word == DENY && decision.guard.is_some();
                let blocker = blocker.clone().filter(|_| !guarded);
                if let Some(obstacle) = blocker.or_else(|| self.obstacle(&decision.frontend)) {
                    messages::warning(format_args!(
                        "'{word}' has no effect in frontend '{}', which the kernel does not carry: {obstacle}",
                        decision.frontend
                    ));
                }
            }
        }
        for decision in decisions.iter().filter(|decision| decision.required.is_some()) {
            if let Some(obstacle) = self.obstacle(&decision.frontend) {
                messages::alert(format_args!(
                    "frontend '{}' asks for 'l4 require', but {obstacle}",
                    decision.frontend
                ));
                outcome = Err(());
            }
        }
        outcome
    }

    /// A server changed its state, weight or address.
    pub(crate) fn server_changed(&self, server: &Server) {
        let mut inner = self.inner.borrow_mut();
        let Inner { hold, services, shared, shutdowns, .. } = &mut *inner;
        if !services.iter().any(|service| *service.backend == *server.backend_name) {
            return;
        }
        let place = (server.backend_name.to_string(), server.spec.name.to_string());
        let ends = shutdowns.insert(place, server.shutdowns()).unwrap_or(0) != server.shutdowns();
        shared.retain(|(_, name), _| *name != *server.spec.name);
        let change = change_of(server);
        let mut moved = false;
        for service in services.iter_mut().filter(|s| *s.backend == *server.backend_name) {
            let Some(spec) = service.servers.iter_mut().find(|s| *s.name == *server.spec.name)
            else {
                continue;
            };
            moved |= follow(spec, server);
            if let Hold::Open(datapath) = hold
                && ends
                && let Err(error) =
                    datapath.end_flows(EndFlows::Server(&service.name, &server.spec.name))
            {
                tracing::warn!(service = service.name, %error, "flows not ended");
            }
            if let Hold::Open(datapath) = hold
                && !moved
                && let Err(error) = datapath.set_server(&service.name, &server.spec.name, change)
            {
                tracing::debug!(service = service.name, %error, "server not in the kernel path");
            }
        }
        drop(inner);
        if moved {
            self.apply();
        }
    }

    /// A frontend is carried from here on, or otherwise than before, or not any more.
    pub(crate) fn set_services(
        &self,
        changed: Vec<(String, Option<ServiceSpec>)>,
        registry: &Registry,
    ) {
        let mut inner = self.inner.borrow_mut();
        if changed.is_empty() || !matches!(inner.hold, Hold::Open(_)) {
            return;
        }
        inner.shutdowns.retain(|(backend, name), _| {
            registry.backend(backend).is_some_and(|backend| backend.server(name).is_some())
        });
        for (frontend, service) in changed {
            let old = inner.services.iter().position(|service| service.frontend == frontend);
            let Some(mut service) = service else {
                old.map(|at| inner.services.remove(at));
                continue;
            };
            let backend = registry.backend(&service.backend);
            for spec in &mut service.servers {
                let Some(server) = backend.as_ref().and_then(|b| b.server(&spec.name)) else {
                    continue;
                };
                follow(spec, &server);
            }
            service.sources = inner.sources.of(&service);
            match old {
                Some(at) => inner.services[at] = service,
                None => inner.services.push(service),
            }
        }
        drop(inner);
        self.apply();
    }

    /// Whether lists are asked whose changes matter here.
    pub(crate) fn asks_sources(&self) -> bool {
        !self.inner.borrow().sources.is_empty()
    }

    /// Userspace has turned a client away, silently or not: the kernel does so from here on, for a time.
    pub(crate) fn deny(&self, frontend: &str, client: IpAddr, silently: bool, time: Duration) {
        let mut inner = self.inner.borrow_mut();
        let Inner { hold, services, .. } = &mut *inner;
        let Hold::Open(datapath) = hold else { return };
        let Some(service) = services.iter().find(|service| service.frontend == frontend) else {
            return;
        };
        let how = if silently { Answer::Drop } else { service.rejects };
        if let Err(error) = datapath.deny(&service.name, client, how, time) {
            tracing::debug!(frontend, %client, %error, "not turned away in the kernel");
        }
    }

    /// The clients that are turned away in the kernel.
    pub(crate) fn denied(&self) -> Vec<Denied> {
        match &self.inner.borrow().hold {
            Hold::Open(datapath) => datapath.denied().unwrap_or_default(),
            Hold::Absent(_) | Hold::Released => Vec::new(),
        }
    }

    /// Lets one of them or all in again; how many there were.
    pub(crate) fn forgive(&self, client: Option<IpAddr>) -> usize {
        match &mut self.inner.borrow_mut().hold {
            Hold::Open(datapath) => datapath.forgive(client).unwrap_or_default(),
            Hold::Absent(_) | Hold::Released => 0,
        }
    }

    /// A list of addresses may have changed.
    pub(crate) fn sources_changed(&self) {
        let mut inner = self.inner.borrow_mut();
        let Inner { hold, services, sources, refusing, .. } = &mut *inner;
        if *refusing {
            return;
        }
        for service in services {
            let policy = sources.of(service);
            if policy == service.sources {
                continue;
            }
            service.sources = policy;
            let Hold::Open(datapath) = &mut *hold else { continue };
            if let Err(error) = datapath.set_sources(&service.name, service.sources.clone()) {
                messages::warning(format_args!(
                    "layer 4 in the kernel: rules of '{}': {error}",
                    service.name
                ));
            }
        }
    }

    /// Divides the limits of servers between the paths: userspace learns of the flows in the kernel, the
    /// kernel leaves alone the slots that userspace holds, and those that are waited for.
    pub(crate) fn share_limits(&self, registry: &Registry) {
        let mut inner = self.inner.borrow_mut();
        let Inner { hold, services, shared, .. } = &mut *inner;
        let Hold::Open(datapath) = hold else { return };
        let mut limited = Vec::new();
        for service in services {
            let Some(backend) = registry.backend(&service.backend) else { continue };
            for spec in &mut service.servers {
                let Some(server) = backend.server(&spec.name) else { continue };
                // One that had a limit and lost it is told so.
                spec.maxconn = spec.maxconn.max(server.maxconn());
                if spec.maxconn > 0
                    && let Ok(flows) = datapath.server_flows(&service.name, &spec.name)
                {
                    limited.push((&*service.name, backend.clone(), server, flows));
                }
            }
        }
        for (service, backend, server, here) in &limited {
            // Several frontends may carry flows to it.
            let same = |other: &Arc<Server>| Arc::ptr_eq(other, server);
            let all: u32 =
                limited.iter().filter(|(.., other, _)| same(other)).map(|(.., flows)| flows).sum();
            server.set_external_sessions(all);
            let waiting = server.queued.own() + backend.queued.own();
            let elsewhere = server.sessions.own() + waiting + (all - here);
            let left = server.maxconn().saturating_sub(elsewhere);
            let state = usable(server);
            let change = ServerChange {
                // No limit says "none"; with a flow there already, one says it.
                usable: if left == 0 && *here == 0 { state.min(Usable::Drain) } else { state },
                maxconn: if server.maxconn() == 0 { 0 } else { left.max(1) },
                ..change_of(server)
            };
            let key = ((*service).to_owned(), server.spec.name.to_string());
            if shared.get(&key) == Some(&change) {
                continue;
            }
            if let Err(error) = datapath.set_server(&key.0, &key.1, change) {
                tracing::debug!(service = key.0, %error, "limit not in the kernel path");
            }
            shared.insert(key, change);
        }
    }

    /// The soft stop: the listeners go, established flows stay.
    pub(crate) fn refuse_new_flows(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.refusing = true;
        if let Hold::Open(datapath) = &mut inner.hold
            && let Err(error) = datapath.apply(&Plan::default())
        {
            messages::warning(format_args!("layer 4 in the kernel: {error}"));
        }
    }

    /// Flows that have not ended.
    pub(crate) fn live_flows(&self) -> usize {
        match &self.inner.borrow().hold {
            Hold::Open(datapath) => datapath
                .flows()
                .flatten()
                .filter(|flow| flow.status != proxy_datapath::FlowStatus::Closed)
                .count(),
            Hold::Absent(_) | Hold::Released => 0,
        }
    }

    /// Interfaces, addresses or routes may have changed.
    pub(crate) fn refresh(&self) {
        let mut inner = self.inner.borrow_mut();
        let Hold::Open(datapath) = &mut inner.hold else { return };
        match datapath.refresh() {
            Ok(changed) => {
                for interface in changed {
                    tracing::info!(
                        interface = interface.name,
                        hook = interface.hook.name(),
                        "layer 4"
                    );
                }
            }
            // Attaching needs rights that a worker under another user may no longer have.
            Err(error) => tracing::debug!(%error, "interfaces not refreshed"),
        }
        let unchanged = matches!(
            (gather(&inner.services), &inner.facts),
            (Ok(now), Some(before)) if now == *before
        );
        drop(inner);
        if !unchanged {
            self.apply();
        }
    }

    /// Ends flows that were idle for too long.
    pub(crate) fn expire(&self) {
        if let Hold::Open(datapath) = &mut self.inner.borrow_mut().hold
            && let Err(error) = datapath.expire_idle()
        {
            tracing::debug!(%error, "idle flows not expired");
        }
    }

    /// Copies the kernel's counters into the live objects.
    pub(crate) fn count(&self, registry: &Registry, now: Now) {
        let inner = self.inner.borrow();
        let Hold::Open(datapath) = &inner.hold else { return };
        let Ok(counters) = datapath.counters() else { return };
        let mut backends: HashMap<&str, ExternalCounters> = HashMap::new();
        let mut servers: HashMap<(&str, &str), ExternalCounters> = HashMap::new();
        for service in &counters.services {
            let own = inner.since(&service.name, WHOLE_SERVICE, &service.traffic, service.current);
            if let Some(frontend) = registry.frontend(&service.frontend) {
                frontend.set_external(&own, now);
            }
            add(backends.entry(&service.backend).or_default(), &own);
            for server in &service.servers {
                let own = inner.since(&service.name, &server.name, &server.traffic, server.current);
                add(servers.entry((&service.backend, &server.name)).or_default(), &own);
            }
        }
        for (name, totals) in &backends {
            if let Some(backend) = registry.backend(name) {
                backend.set_external(totals, now);
            }
        }
        for ((backend, name), totals) in &servers {
            if let Some(server) = registry.backend(backend).and_then(|b| b.server(name)) {
                server.set_external(totals, now);
            }
        }
    }

    /// A descriptor that becomes readable when flows have ended.
    pub(crate) fn events_fd(&self) -> Option<OwnedFd> {
        match &self.inner.borrow().hold {
            Hold::Open(datapath) => datapath.events_fd().as_fd().try_clone_to_owned().ok(),
            Hold::Absent(_) | Hold::Released => None,
        }
    }

    /// Hands over the flows that have ended.
    pub(crate) fn ended_flows(&self, each: impl FnMut(EndedFlow)) {
        if let Hold::Open(datapath) = &mut self.inner.borrow_mut().hold {
            datapath.drain_events(each);
        }
    }

    /// Why a frontend that qualifies is not carried after all; `None` when the kernel carries it.
    pub(crate) fn obstacle(&self, frontend: &str) -> Option<String> {
        let inner = self.inner.borrow();
        match &inner.hold {
            Hold::Absent(reason) => Some(reason.clone()),
            Hold::Released => Some("handed over to the new worker".into()),
            Hold::Open(_) => inner.rejected.get(frontend).cloned(),
        }
    }

    /// The hooks in use, for the path column: `tc`, `xdp`, or both.
    pub(crate) fn hooks(&self) -> String {
        let mut names: Vec<_> = self
            .status()
            .map(|status| {
                status.interfaces.iter().filter_map(|i| hook_name(i.report.hook)).collect()
            })
            .unwrap_or_default();
        names.sort_unstable();
        names.dedup();
        names.join("+")
    }

    pub(crate) fn status(&self) -> Option<Status> {
        match &self.inner.borrow().hold {
            Hold::Open(datapath) => datapath.status().ok(),
            Hold::Absent(_) | Hold::Released => None,
        }
    }

    /// The flows in the kernel, at most `max` that `wanted` wants.
    pub(crate) fn flows(&self, max: usize, wanted: impl Fn(&Flow) -> bool) -> Vec<Flow> {
        match &self.inner.borrow().hold {
            Hold::Open(datapath) => datapath.flows().flatten().filter(wanted).take(max).collect(),
            Hold::Absent(_) | Hold::Released => Vec::new(),
        }
    }

    /// What the programs have counted since they were loaded.
    pub(crate) fn counters(&self) -> Option<Counters> {
        match &self.inner.borrow().hold {
            Hold::Open(datapath) => datapath.counters().ok(),
            Hold::Absent(_) | Hold::Released => None,
        }
    }

    /// Whether this worker writes the maps.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self.inner.borrow().hold, Hold::Open(_))
    }

    /// Whether there is no kernel path, and will be none.
    pub(crate) fn is_absent(&self) -> bool {
        matches!(self.inner.borrow().hold, Hold::Absent(_))
    }

    /// Lets go without ending anything: a successor takes over.
    pub(crate) fn release(&self) {
        let mut inner = self.inner.borrow_mut();
        if matches!(inner.hold, Hold::Open(_)) {
            inner.hold = Hold::Released;
        }
    }

    /// The successor did not come up.
    pub(crate) fn take_back(&self) {
        let mut inner = self.inner.borrow_mut();
        if matches!(inner.hold, Hold::Released) {
            inner.hold = open(&self.options);
            drop(inner);
            self.apply();
        }
    }

    /// The service ends: takes everything out of the kernel. A worker that gave up its rights can stop
    /// steering, but not remove the pins; their directory is returned for the master to remove.
    pub(crate) fn detach(&self) -> Option<PathBuf> {
        self.refuse_new_flows();
        let hold = std::mem::replace(&mut self.inner.borrow_mut().hold, Hold::Released);
        let Hold::Open(datapath) = hold else { return None };
        let path = datapath.path().to_owned();
        match datapath.detach() {
            Ok(()) => None,
            Err(error) => {
                tracing::debug!(%error, "pins are left to the master");
                Some(path)
            }
        }
    }
}

impl Inner {
    fn take_baseline(&mut self) {
        let Hold::Open(datapath) = &self.hold else { return };
        for service in datapath.counters().map(|c| c.services).unwrap_or_default() {
            for server in service.servers {
                self.baseline.insert((service.name.clone(), server.name), server.traffic);
            }
            self.baseline.insert((service.name, WHOLE_SERVICE.into()), service.traffic);
        }
    }

    /// What was counted since this worker began, as all its other counters are.
    fn since(&self, service: &str, server: &str, t: &Traffic, current: u32) -> ExternalCounters {
        let before = self
            .baseline
            .get(&(service.to_owned(), server.to_owned()))
            .copied()
            .unwrap_or_default();
        ExternalCounters {
            sessions: t.flows_new.saturating_sub(before.flows_new),
            current,
            bytes_in: t.bytes_in.saturating_sub(before.bytes_in),
            bytes_out: t.bytes_out.saturating_sub(before.bytes_out),
            failed: t.flows_failed.saturating_sub(before.flows_failed),
            denied: t.denied.saturating_sub(before.denied),
        }
    }
}

fn add(sum: &mut ExternalCounters, more: &ExternalCounters) {
    sum.sessions += more.sessions;
    sum.current += more.current;
    sum.bytes_in += more.bytes_in;
    sum.bytes_out += more.bytes_out;
    sum.failed += more.failed;
    sum.denied += more.denied;
}

/// What a server is to the kernel now.
fn change_of(server: &Server) -> ServerChange {
    ServerChange {
        usable: usable(server),
        weight: u16::try_from(server.effective_weight()).unwrap_or(u16::MAX),
        maxconn: server.maxconn(),
    }
}

/// Takes over what a server is now; whether it has another address.
fn follow(spec: &mut ServerSpec, server: &Server) -> bool {
    let ServerChange { usable, weight, maxconn } = change_of(server);
    (spec.usable, spec.weight, spec.maxconn) = (usable, weight, maxconn);
    let before = spec.addr;
    spec.addr = server.addr().inet().unwrap_or(before);
    spec.addr != before
}

/// What a server's state means for new flows.
fn usable(server: &Server) -> Usable {
    let admin = server.admin_state();
    match server.op_state() {
        _ if admin.is_maint() => Usable::Down,
        OpState::Stopped => Usable::Down,
        OpState::Running if !admin.is_drain() => Usable::Up,
        OpState::Running | OpState::Stopping => Usable::Drain,
    }
}

fn open(options: &OpenOptions) -> Hold {
    match Datapath::open(options) {
        Ok((datapath, report)) => {
            for note in &report.notes {
                messages::notice(format_args!("layer 4 in the kernel: {note}"));
            }
            Hold::Open(Box::new(datapath))
        }
        Err(error) => {
            let reason = error.to_string();
            if !matches!(error, Unavailable::NotBuiltIn(_) | Unavailable::NoPrivilege { .. }) {
                messages::warning(format_args!("layer 4 in the kernel is not available: {reason}"));
            } else {
                messages::notice(format_args!(
                    "layer 4 in the kernel is not available: {reason}. All frontends are served in userspace."
                ));
            }
            Hold::Absent(reason)
        }
    }
}

/// Sizes follow the configuration, with room to grow by reload.
fn options(config: &Config, services: &[ServiceSpec]) -> OpenOptions {
    let defaults = OpenOptions::default();
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let wanted = config.global.maxconn.map_or(0, |maxconn| maxconn.value);
    let most_flows = config.global.l4_max_flows.map(|flows| flows.value);
    OpenOptions {
        instance: config.global.l4_instance.as_ref().map(|name| name.value.clone()),
        hook: hook(config),
        interfaces: (!config.global.l4_interfaces.is_empty())
            .then(|| config.global.l4_interfaces.iter().map(|name| name.value.clone()).collect()),
        connections: most_flows.unwrap_or_else(|| defaults.connections.max(wanted)),
        clients: config.global.l4_max_clients.map_or(defaults.clients, |clients| clients.value),
        cached_flows: config.global.l4_cached_flows.map(|flows| flows.value),
        services: defaults.services.max(count(services.len())),
        servers: defaults.servers.max(count(services.iter().map(|s| s.servers.len()).sum())),
        vips: defaults.vips.max(count(services.iter().map(|s| s.vips.len()).sum())),
        // The worker that is replaced may need a moment to close its handle.
        patience: Duration::from_secs(2),
        ..defaults
    }
}

/// `l4-hook`.
pub(crate) fn hook(config: &Config) -> Hook {
    match config.global.l4_hook.map(|hook| hook.value).unwrap_or_default() {
        L4Hook::Auto => Hook::Auto,
        L4Hook::Tc => Hook::Tc,
        L4Hook::Xdp => Hook::Xdp,
        L4Hook::XdpGeneric => Hook::XdpGeneric,
    }
}

/// The hook as the path column names it.
fn hook_name(hook: AttachedHook) -> Option<&'static str> {
    match hook {
        AttachedHook::None => None,
        AttachedHook::Tc => Some("tc"),
        AttachedHook::Xdp => Some("xdp"),
        AttachedHook::XdpGeneric => Some("xdp-generic"),
    }
}

/// The plan for these services in the network as it is now.
pub(crate) fn make_plan(
    services: &[ServiceSpec],
) -> Result<Plan, proxy_datapath::net::NetlinkError> {
    Ok(plan(services, &gather(services)?))
}

/// The network as far as these services are concerned.
fn gather(services: &[ServiceSpec]) -> Result<NetFacts, proxy_datapath::net::NetlinkError> {
    let destinations: Vec<IpAddr> =
        services.iter().flat_map(|s| &s.servers).map(|server| server.addr.ip()).collect();
    NetFacts::gather(destinations)
}

/// Passes changes of servers from the registry to whoever owns the kernel path.
pub(crate) fn watch(registry: &Registry) -> tokio::sync::mpsc::UnboundedReceiver<Arc<Server>> {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    registry.on_server_change(Box::new(move |server| {
        let _ = sender.send(server.clone());
    }));
    receiver
}
