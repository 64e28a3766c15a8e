//! What the runtime API asks of the worker.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use proxy_admin::outside::Carried;
use proxy_admin::stats_file::Identified;
use proxy_admin::{
    AcmeRow, Admin, CliSocket, L4Filter, L4Flow, L4Row, L4View, Later, Level, ProcessFacts,
    ProcessView, SessionInfo, SessionOptions,
};
use proxy_config::model::{CliLevel, Config};
use proxy_datapath::{Denied, Flow, TableStatus};
use proxy_net::accept::{self, Acceptance, Accepted, Room, Slots, Switch};
use proxy_net::clock::Tick;
use proxy_net::getsocks;
use proxy_net::listener::ListenSocket;
use proxy_net::splice;
use proxy_rules::jwt::PublicKeys;
use proxy_rules::sample::context::Shared;
use proxy_state::{Now, Registry};
use proxy_stream::log::ring::Rings;
use proxy_stream::peers::section::{Link, Peer};
use proxy_stream::{StreamRow, Thread};
use proxy_tls::live::{self, Course};

use super::acme::{Acme, Http};
use super::control::Control;
use super::listen::CliListener;
use super::ocsp::Updater;
use super::show;
use super::threads::Job;
use crate::assemble::{stats, stats_file, tls};
use crate::loading::Loaded;
use crate::messages;

/// `stats timeout` (configuration manual, 3.1).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// `stats maxconn`.
const DEFAULT_SESSIONS: usize = 10;

/// How long a worker that leaves stays for a session on a stats socket.
const HEARING: Duration = Duration::from_secs(1);

/// How long a process that wants the listening sockets may take.
const HANDOVER_LIMIT: Duration = Duration::from_secs(5);

/// Facts that do not change.
pub(crate) struct Fixed {
    pub(crate) threads: u32,
    pub(crate) sockets: Vec<CliSocket>,
    pub(crate) loaded: Rc<Loaded>,
    pub(crate) acme: Rc<Acme>,
    pub(crate) http: Http,
    pub(crate) public_keys: Arc<PublicKeys>,
    pub(crate) peers: Vec<Arc<proxy_stream::peers::section::Section>>,
    pub(crate) rings: Arc<Rings>,
    pub(crate) traces: proxy_stream::traces::Sinks,
}

/// Builds what every session shares.
pub(crate) fn admin(
    control: &Rc<Control>,
    shared: Arc<Shared>,
    names: Rc<proxy_names::Names>,
    updater: Rc<Updater>,
    fixed: Fixed,
) -> Rc<Admin> {
    let fixed = Rc::new(fixed);
    Rc::new(Admin {
        peers: fixed.peers.clone(),
        rings: fixed.rings.clone(),
        traces: fixed.traces.clone(),
        log: control.log.clone(),
        registry: control.registry.clone(),
        shared,
        names: Some(names),
        certificates: updater.store.clone(),
        builder: control.farms.clone(),
        product: stats::product(),
        payload_max: fixed
            .loaded
            .config
            .global
            .tune
            .cli_payload
            .map_or(proxy_admin::PAYLOAD_MAX, |bytes| bytes.value as usize),
        process: Box::new(View { control: Rc::downgrade(control), fixed: fixed.clone(), updater }),
        l4: Some(Box::new(Paths { control: Rc::downgrade(control), fixed })),
    })
}

/// How long a silent session is kept.
pub(crate) fn timeout(config: &Config) -> Option<Duration> {
    let configured = config.global.stats.timeout.map_or(DEFAULT_TIMEOUT, |limit| limit.value);
    (!configured.is_zero()).then_some(configured)
}

struct View {
    control: Weak<Control>,
    fixed: Rc<Fixed>,
    updater: Rc<Updater>,
}

impl ProcessView for View {
    fn now(&self) -> Now {
        self.control.upgrade().map_or_else(Now::default, |control| control.now())
    }

    fn facts(&self) -> ProcessFacts {
        let config = &self.fixed.loaded.config;
        let (_, fd_limit) =
            nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
                .unwrap_or_default();
        let resident = resident_bytes();
        let mut facts = ProcessFacts {
            pid: std::process::id(),
            threads: self.fixed.threads,
            node: stats::node(config),
            description: config.global.description.as_ref().map(|text| text.value.to_string()),
            fd_limit,
            max_sockets: fd_limit,
            memory_allocated: resident,
            memory_used: resident,
            pipes_used: splice::pipes_used() as u64,
            idle_percent: 100,
            ..ProcessFacts::default()
        };
        for link in self.fixed.peers.iter().flat_map(|section| &section.peers).map(Peer::link) {
            facts.active_peers += u64::from(link == Link::Established);
            facts.connected_peers += u64::from(matches!(link, Link::Handshake | Link::Established));
        }
        if let Some(control) = self.control.upgrade() {
            facts.idle_percent = 100 - control.registry.process.busy.average().min(100);
            facts.stopping = control.stop.handle().is_draining();
            facts.listeners = control.listeners.borrow().count() as u64;
            facts.jobs = control.stop.jobs().count() as u64 + facts.listeners;
            facts.tasks = control.stop.jobs().count() as u64;
        }
        facts
    }

    fn startup_logs(&self) -> String {
        String::from_utf8_lossy(&messages::startup_log()).into_owned()
    }

    fn acme(&self) -> Vec<AcmeRow> {
        self.fixed.acme.rows()
    }

    fn renew_acme(&self, certificate: &str) -> Result<(), &'static str> {
        self.fixed.acme.ask(certificate)
    }

    fn confirm_acme(&self, certificate: &str, domain: &str) -> Result<usize, &'static str> {
        self.fixed.acme.confirm(certificate, domain)
    }

    fn allow_tokens(&self, certificate: &str) -> Result<(), String> {
        let slot = self.updater.store.slot(certificate);
        let slot = slot.ok_or_else(|| format!("Can't find the certificate '{certificate}'."))?;
        tls::jwt::declare(&self.fixed.public_keys, &slot)
    }

    fn request(&self, method: &'static str, url: &str) -> Later<Result<String, String>> {
        let (http, url) = (self.fixed.http.clone(), url.to_owned());
        Box::pin(async move { http.show(method, &url).await })
    }

    fn update_ocsp(&self, job: live::Job) -> Later<Option<Course>> {
        let updater = self.updater.clone();
        Box::pin(async move { Some(updater.update(&job).await) })
    }

    fn identified(&self) -> Vec<Identified> {
        let registry = self.control.upgrade().map(|control| control.registry.clone());
        registry.map_or_else(Vec::new, |registry| {
            stats_file::identified(&self.fixed.loaded.config, &registry)
        })
    }

    fn cli_sockets(&self) -> Vec<CliSocket> {
        self.fixed.sockets.clone()
    }

    fn sessions(&self) -> Later<Vec<SessionInfo>> {
        let Some(control) = self.control.upgrade() else {
            return Box::pin(std::future::ready(Vec::new()));
        };
        let asked = ask_threads(&control, |thread: &Thread| thread.streams());
        Box::pin(async move {
            let threads = asked.await;
            let (now, registry) = (proxy_net::clock::precise(), &control.registry);
            let rows = (0..).zip(&threads);
            rows.flat_map(|(thread, rows)| rows.iter().map(move |row| (thread, row)))
                .map(|(thread, row)| session(registry, thread, row, now))
                .collect()
        })
    }

    fn shutdown_session(&self, id: u64) -> Later<bool> {
        let Some(control) = self.control.upgrade() else {
            return Box::pin(std::future::ready(false));
        };
        let asked = ask_threads(&control, move |thread: &Thread| thread.kill_stream(id));
        Box::pin(async move { asked.await.contains(&true) })
    }

    fn notice(&self, text: &str) {
        messages::warning(format_args!("{text}"));
    }
}

/// What each worker thread says to a question, in order.
fn ask_threads<T: Send + 'static>(
    control: &Control,
    question: impl Fn(&Thread) -> T + Clone + Send + 'static,
) -> Later<Vec<T>> {
    let mut answers = Vec::new();
    for jobs in control.threads.get().into_iter().flatten() {
        let (answer, answered) = tokio::sync::oneshot::channel();
        let question = question.clone();
        let job: Job = Box::new(move |thread: &Thread| {
            // Who asked may be gone.
            let _ = answer.send(question(thread));
        });
        // A thread that is too busy to be asked is passed over.
        if jobs.try_send(job).is_ok() {
            answers.push(answered);
        }
    }
    Box::pin(async move {
        let mut out = Vec::with_capacity(answers.len());
        for answered in answers {
            out.extend(answered.await);
        }
        out
    })
}

/// A stream as `show sess` tells of it.
fn session(registry: &Registry, thread: u32, row: &StreamRow, now: Tick) -> SessionInfo {
    let backend = row.backend.and_then(|id| registry.backend_by_id(id));
    let server = row.server.and_then(|id| backend.as_ref()?.server_by_id(id));
    let frontend = registry.frontend_by_id(row.frontend);
    SessionInfo {
        id: row.id,
        proto: match row.src {
            Some(std::net::SocketAddr::V4(_)) => "tcpv4",
            Some(std::net::SocketAddr::V6(_)) => "tcpv6",
            None => "unix_stream",
        }
        .into(),
        source: row.src.map_or_else(|| "unix".into(), |src| src.to_string()),
        frontend: frontend.map_or_else(String::new, |frontend| frontend.name.to_string()),
        thread,
        age_secs: now.since(row.since).as_secs(),
        phase: match (&backend, &server) {
            (None, _) => "request",
            (Some(_), None) => "queue",
            (Some(_), Some(_)) => "server",
        },
        backend: backend.map(|backend| backend.name.to_string()),
        server: server.map(|server| server.name.to_string()),
    }
}

/// Resident memory (`/proc/self/statm`, proc(5)).
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten();
    pages * page.map_or(4096, |size| size as u64)
}

struct Paths {
    control: Weak<Control>,
    fixed: Rc<Fixed>,
}

impl L4View for Paths {
    fn rows(&self) -> Vec<L4Row> {
        let Some(control) = self.control.upgrade() else { return Vec::new() };
        let obstacle = |frontend: &str| control.kernel.obstacle(frontend);
        show::rows(
            &control.farms.decisions(),
            &self.fixed.loaded,
            &obstacle,
            &control.kernel.hooks(),
        )
        .into_iter()
        .map(|row| L4Row {
            frontend: row.frontend,
            listener: row.listeners,
            path: row.path,
            reason: row.why,
        })
        .collect()
    }

    fn tables(&self) -> Vec<(String, u64, u64)> {
        let status = self.control.upgrade().and_then(|control| control.kernel.status());
        let tables = status.map_or_else(Vec::new, |status| status.tables);
        let row =
            |table: TableStatus| (table.name.to_owned(), table.used.into(), table.size.into());
        tables.into_iter().map(row).collect()
    }

    fn flows(&self, filter: &L4Filter) -> Vec<L4Flow> {
        let Some(control) = self.control.upgrade() else { return Vec::new() };
        // Frontend and service have the same name.
        let decisions = control.farms.decisions();
        let backend = |service: &str| {
            let services = decisions.iter().filter_map(|d| d.service.as_ref());
            services.clone().find(|s| s.name == service).map_or("", |s| s.backend.as_str())
        };
        let server = |flow: &Flow| format!("{}/{}", backend(&flow.service), flow.server);
        let wanted = |flow: &Flow| {
            filter.frontend.as_ref().is_none_or(|name| **name == *flow.service)
                && filter.client.is_none_or(|ip| ip == flow.client.ip())
                && filter.server.as_ref().is_none_or(|name| *name == server(flow))
        };
        let show = |flow: Flow| L4Flow {
            server: server(&flow),
            frontend: flow.service.to_string(),
            client: flow.client,
            vip: flow.vip,
            source: flow.source,
            server_addr: flow.server_addr,
            state: crate::l4::state(&flow),
            age_secs: flow.age.as_secs(),
            idle_secs: flow.idle.as_secs(),
            bytes_in: flow.bytes_in,
            bytes_out: flow.bytes_out,
        };
        control.kernel.flows(filter.max, wanted).into_iter().map(show).collect()
    }

    fn carried(&self) -> Vec<Carried> {
        let counters = self.control.upgrade().and_then(|control| control.kernel.counters());
        let mut rows = Vec::new();
        for service in counters.map(|counters| counters.services).unwrap_or_default() {
            let servers = service.servers.iter().map(|server| (&*server.name, &server.traffic));
            for (server, traffic) in std::iter::once(("-", &service.traffic)).chain(servers) {
                let row = |direction, packets, bytes| Carried {
                    frontend: service.frontend.clone(),
                    server: server.to_owned(),
                    direction,
                    packets,
                    bytes,
                };
                rows.push(row("in", traffic.packets_in, traffic.bytes_in));
                rows.push(row("out", traffic.packets_out, traffic.bytes_out));
            }
        }
        rows
    }

    fn denied(&self) -> Vec<(String, std::net::IpAddr, u64)> {
        let denied = self.control.upgrade().map(|control| control.kernel.denied());
        let row = |denied: Denied| (denied.service, denied.client, denied.left.as_secs());
        denied.unwrap_or_default().into_iter().map(row).collect()
    }

    fn forgive(&self, client: Option<std::net::IpAddr>) -> usize {
        self.control.upgrade().map_or(0, |control| control.kernel.forgive(client))
    }

    fn drops(&self) -> Vec<(String, String, u64)> {
        let counters = self.control.upgrade().and_then(|control| control.kernel.counters());
        counters.map_or_else(Vec::new, |counters| crate::l4::drops(&counters))
    }

    fn status(&self) -> Vec<(String, String)> {
        let status = self.control.upgrade().and_then(|control| control.kernel.status());
        let Some(status) = status else { return Vec::new() };
        let mut out = vec![
            ("pinned".to_owned(), status.path.display().to_string()),
            ("abi".to_owned(), status.version.to_string()),
        ];
        for interface in &status.interfaces {
            let programs: Vec<_> =
                interface.programs.iter().map(|(name, id)| format!("{name}#{id}")).collect();
            let note =
                interface.report.note.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
            out.push((
                format!("interface {}", interface.report.name),
                format!("{} {}{note}", interface.report.hook.name(), programs.join(" ")),
            ));
        }
        for table in &status.tables {
            let text = table.to_string();
            let (name, fill) = text.split_once(": ").unwrap_or((&text, ""));
            out.push((name.to_owned(), fill.to_owned()));
        }
        if status.memory > 0 {
            out.push(("memory".to_owned(), format!("{} KB", status.memory.div_ceil(1024))));
        }
        if let Some((first, last)) = status.nat_ports {
            out.push(("nat ports".to_owned(), format!("{first}-{last}")));
        }
        out
    }
}

fn level(level: CliLevel) -> Level {
    match level {
        CliLevel::User => Level::User,
        CliLevel::Operator => Level::Operator,
        CliLevel::Admin => Level::Admin,
    }
}

/// Describes the sockets for `show cli sockets`.
pub(crate) fn describe(listeners: &[CliListener]) -> Vec<CliSocket> {
    let kind = |listener: &CliListener| {
        if listener.bound.addr.inet().is_some() { "ipv4" } else { "unix" }
    };
    listeners
        .iter()
        .map(|listener| CliSocket {
            address: format!("{}@{}", kind(listener), listener.name),
            level: level(listener.level),
        })
        .collect()
}

/// Lets clients of a stats socket in.
struct Door {
    admin: Rc<Admin>,
    control: Weak<Control>,
    options: SessionOptions,
    limit: usize,
    open: Rc<std::cell::Cell<usize>>,
    slots: Slots,
}

impl Acceptance for Door {
    fn room(&self) -> Room {
        if self.open.get() >= self.limit { Room::Full } else { Room::Yes }
    }

    fn accepted(&self, connection: Accepted) {
        let (admin, options, open, slots) =
            (self.admin.clone(), self.options, self.open.clone(), self.slots.clone());
        let control = self.control.clone();
        open.set(open.get() + 1);
        // A worker that has nothing else to do does not leave before it has heard what is asked.
        let job = control.upgrade().map(|control| control.stop.handle().job());
        let stay = tokio::task::spawn_local(async move {
            tokio::time::sleep(HEARING).await;
            drop(job);
        });
        tokio::task::spawn_local(async move {
            if let Some(successor) = serve_fd(connection.stream.into_fd(), admin, options).await
                && let Some(control) = control.upgrade()
            {
                give_listeners(successor, &control).await;
            }
            stay.abort();
            open.set(open.get() - 1);
            slots.freed();
        });
    }

    fn failed(&self, error: &std::io::Error) {
        tracing::warn!(%error, "runtime API");
    }
}

/// Accepts on every stats socket until the worker ends.
pub(crate) fn listen(control: &Rc<Control>, admin: &Rc<Admin>, config: &Config) {
    let stats = &config.global.stats;
    let limit = stats.maxconn.map_or(DEFAULT_SESSIONS, |limit| limit.value as usize);
    for listener in &control.listeners.borrow().cli {
        let Ok(sockets) = listener.bound.for_threads(1) else { continue };
        for socket in sockets.into_iter().flatten() {
            let door = Rc::new(Door {
                admin: admin.clone(),
                control: Rc::downgrade(control),
                options: SessionOptions {
                    level: level(listener.level),
                    timeout: timeout(config),
                    severity: listener.severity,
                    exposes_listeners: listener.exposes,
                },
                limit,
                open: Rc::default(),
                slots: Slots::new(),
            });
            spawn_accept(socket, door, control);
        }
    }
}

fn spawn_accept(socket: ListenSocket, door: Rc<Door>, control: &Rc<Control>) {
    let (slots, stop) = (door.slots.clone(), control.stop.handle());
    tokio::task::spawn_local(async move {
        if let Err(error) = accept::run(socket, door, slots, Switch::new(), stop, 1).await {
            tracing::error!(%error, "a stats socket was lost");
        }
    });
}

/// Gives the listening sockets to a process that asked for them (`_getsocks`).
async fn give_listeners(successor: tokio::net::UnixStream, control: &Control) {
    let sockets = control.listeners.borrow().duplicates();
    let Ok(stream) = successor.into_std() else { return };
    let given = tokio::task::spawn_blocking(move || {
        let sockets = sockets.iter().map(|(identity, fd)| (identity, fd.as_fd()));
        getsocks::give(&stream, sockets, HANDOVER_LIMIT)
    })
    .await;
    match given {
        Ok(Ok(())) => control.given_away.set(true),
        Ok(Err(error)) => tracing::warn!(%error, "listening sockets could not be handed over"),
        Err(_) => {}
    }
}

/// Serves a session on a stream that came from the master, or from a stats socket. What it returns is the
/// connection of a process that wants the listening sockets.
pub(crate) async fn serve_fd(
    fd: OwnedFd,
    admin: Rc<Admin>,
    options: SessionOptions,
) -> Option<tokio::net::UnixStream> {
    let stream = std::os::unix::net::UnixStream::from(fd);
    let stream =
        stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream));
    match stream {
        Ok(stream) => proxy_admin::serve(stream, admin, options).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "runtime API session");
            None
        }),
        Err(error) => {
            tracing::debug!(%error, "runtime API session");
            None
        }
    }
}
