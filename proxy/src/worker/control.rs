//! The control thread: signals, the master, the runtime API, checks and the kernel path.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_admin::{Admin, Level, SessionOptions};
use proxy_net::Watched;
use proxy_net::accept::{Listening, Switch};
use proxy_net::clock::{self, Tick};
use proxy_net::listener::{Identity, Steering};
use proxy_net::stop::StopSource;
use proxy_rules::pattern::PatternLists;
use proxy_state::frontend::FrontendState;
use proxy_state::{Now, Registry};
use proxy_stream::env::Close;
use proxy_stream::log::Sink;

use super::acme::Acme;
use super::admin;
use super::farms::Farms;
use super::flowlog::FlowLog;
use super::handover::{self, Estate};
use super::l4::{self, KernelPath};
use super::link::{Link, Request};
use super::listen::Listeners;
use super::signals::{Signals, heard};
use super::threads::Jobs;
use crate::messages;

/// Syslog severity of what an operator should read.
const WARNING: u8 = 4;
/// Idle flows are looked for, and counters copied, this often.
const TICK: Duration = Duration::from_secs(1);
/// How often limits are divided between kernel and userspace.
const SHARE: Duration = Duration::from_millis(100);
/// Changes of lists are gathered for so long before the kernel learns of them.
const SETTLE: Duration = Duration::from_millis(10);
/// Clients that wait to be turned away in the kernel; more are not remembered.
const DENIALS: usize = 4096;
/// Interfaces and addresses are looked at again this often.
const REFRESH: Duration = Duration::from_secs(5);

/// Connections that had begun are established in this time, unless packets are lost.
const HANDSHAKE: Duration = Duration::from_millis(300);

/// What the control thread works on.
pub(crate) struct Control {
    pub(crate) registry: Arc<Registry>,
    pub(crate) epoch: Tick,
    pub(crate) kernel: KernelPath,
    /// What commands change of backends, and what follows for paths.
    pub(crate) farms: Rc<Farms>,
    /// The lists of ACLs and maps.
    pub(crate) patterns: Arc<PatternLists>,
    pub(crate) flow_log: FlowLog,
    /// Log targets of the `global` section.
    pub(crate) log: Option<Arc<dyn Sink>>,
    pub(crate) stop: StopSource,
    /// Taken when the worker stops listening.
    pub(crate) listeners: std::cell::RefCell<Listeners>,
    /// One switch per frontend, in the order of the registry.
    pub(crate) switches: Vec<Switch>,
    /// The runtime API, once it is built.
    pub(crate) admin: std::cell::OnceCell<Rc<Admin>>,
    /// Where to ask the worker threads.
    pub(crate) threads: std::cell::OnceCell<Vec<Jobs>>,
    /// Certificates that are renewed.
    pub(crate) acme: std::cell::OnceCell<Rc<Acme>>,
    /// The master, when there is one.
    pub(crate) link: std::cell::OnceCell<Rc<Link>>,
    /// A process that is not the master's got the listening sockets (`_getsocks`).
    pub(crate) given_away: std::cell::Cell<bool>,
    /// Where new connections go to the sockets that another process keeps.
    pub(crate) steered: std::cell::RefCell<Vec<Steering>>,
    pub(crate) grace: Duration,
    pub(crate) hard_stop_after: Option<Duration>,
}

/// How the worker ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Everything in progress was finished.
    Drained,
    /// SIGTERM.
    Terminated,
    /// SIGINT.
    Interrupted,
    /// The master is gone.
    Orphaned,
}

impl End {
    /// Exit code as HAProxy's workers have it.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Drained => 0,
            Self::Terminated => 143,
            Self::Interrupted => 130,
            Self::Orphaned => 1,
        }
    }
}

impl Control {
    pub(crate) fn now(&self) -> Now {
        Now(clock::precise().since(self.epoch).as_millis() as u64)
    }

    /// Runs until the worker is to end.
    pub(crate) async fn run(self: &Rc<Self>, link: Option<Rc<Link>>, signals: Signals) -> End {
        if let Some(link) = &link {
            let _ = self.link.set(link.clone());
        }
        self.follow_frontends();
        tokio::task::spawn_local(self.clone().feed_kernel());
        tokio::task::spawn_local(self.clone().follow_farms());
        tokio::task::spawn_local(self.clone().follow_sources());
        tokio::task::spawn_local(self.clone().follow_denials());
        tokio::task::spawn_local(self.clone().tick());
        tokio::task::spawn_local(self.clone().share_limits());
        tokio::task::spawn_local(self.clone().log_flows());
        let watched = self.clone();
        let master = async move {
            match link {
                Some(link) => watched.listen_to_master(link).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            end = self.clone().obey(signals) => end,
            () = master => End::Orphaned,
        }
    }

    /// SIGUSR1 drains, SIGTERM and SIGINT end at once, SIGTTOU and SIGTTIN pause and resume listeners,
    /// SIGHUP tells the state of every server; others do nothing (management manual, 4).
    async fn obey(self: Rc<Self>, signals: Signals) -> End {
        let Signals { mut usr1, mut term, mut int, mut hup, mut ttou, mut ttin, mut quiet } =
            signals;
        let mut draining = false;
        loop {
            let [usr2, quit] = &mut quiet;
            tokio::select! {
                () = heard(&mut term) => return End::Terminated,
                () = heard(&mut int) => return End::Interrupted,
                () = heard(&mut usr1) => {
                    if !std::mem::replace(&mut draining, true) {
                        tokio::task::spawn_local(self.clone().drain());
                    }
                }
                () = heard(&mut ttou) => self.switch_all(Listening::Paused),
                () = heard(&mut ttin) => self.switch_all(Listening::Accepting),
                () = heard(&mut hup) => self.tell_states(),
                () = heard(usr2) => {}
                () = heard(quit) => {}
                () = self.drained(), if draining => return End::Drained,
            }
        }
    }

    /// The soft stop: no new connections, and an end to those in progress at their leisure.
    async fn drain(self: Rc<Self>) {
        if !self.grace.is_zero() {
            tokio::time::sleep(self.grace).await;
        }
        self.kernel.refuse_new_flows();
        self.leave_to_heirs().await;
        // Accept loops hold the last descriptors then: nothing comes between the last look at a queue and its end.
        drop(std::mem::take(&mut *self.listeners.borrow_mut()));
        self.stop.drain();
        for frontend in self.registry.frontends() {
            self.registry.set_frontend_state(frontend, FrontendState::Stopped);
        }
        for frontend in self.registry.frontends() {
            let line = format!(
                "Proxy {} stopped (cumulated conns: FE: {}, BE: 0).",
                frontend.name,
                frontend.counters.total(|c| &c.conn_tot)
            );
            messages::warning(format_args!("{line}"));
            if let Some(log) = &self.log {
                log.line(WARNING, line.as_bytes());
            }
        }
        if let Some(limit) = self.hard_stop_after {
            tokio::time::sleep(limit).await;
            messages::warning(format_args!(
                "soft-stop running for too long, performing a hard-stop."
            ));
            self.stop.kill();
        }
    }

    /// HAProxy keeps one socket of each address, the first; the others close with this process. From before they do
    /// until they have, nothing new may come to them.
    async fn leave_to_heirs(&self) {
        if self.given_away.get() {
            self.steered.replace(self.listeners.borrow().steer_to_first());
            tokio::time::sleep(HANDSHAKE).await;
        }
    }

    async fn drained(&self) {
        let killed = self.stop.handle();
        killed.draining().await;
        killed.deaf().await;
        self.steered.take();
        tokio::select! {
            () = killed.killed() => return,
            () = killed.idle() => {}
        }
        // Flows in the kernel are jobs, too, as long as nobody else has taken them over.
        while self.kernel.is_held() && self.kernel.live_flows() > 0 {
            tokio::select! {
                () = killed.killed() => return,
                () = tokio::time::sleep(Duration::from_millis(100)) => {}
            }
        }
    }

    /// The last act: what the kernel holds ends with the service, unless a successor took it or it is to
    /// survive an accident.
    pub(crate) fn finish(&self, end: End) {
        self.stop.kill();
        if end == End::Orphaned {
            return;
        }
        if let Some(pins) = self.kernel.detach() {
            let asked = self.link.get().is_some_and(|link| link.ask_to_unpin(&pins).is_ok());
            if !asked {
                messages::warning(format_args!(
                    "the pins in {} stay: this process may not remove them. They steer nothing, and the next start adopts them.",
                    pins.display()
                ));
            }
        }
    }

    async fn listen_to_master(self: Rc<Self>, link: Rc<Link>) {
        while let Some(request) = link.next().await {
            match request {
                Request::Cli { stream, level } => self.serve_cli(stream, &level),
                Request::Handover(conversation) => {
                    let this = self.clone();
                    tokio::task::spawn_local(async move {
                        if let Err(error) = handover::answer(conversation, this.as_ref()).await {
                            tracing::warn!(%error, "hand-over broken off");
                        }
                    });
                }
            }
        }
    }

    fn serve_cli(&self, stream: OwnedFd, level: &str) {
        let Some(admin) = self.admin.get().cloned() else { return };
        let options = SessionOptions {
            level: Level::parse(level).unwrap_or(Level::User),
            // The master watches its clients itself.
            timeout: None,
            ..SessionOptions::default()
        };
        tokio::task::spawn_local(async move { admin::serve_fd(stream, admin, options).await });
    }

    /// Pauses or closes accept loops as frontends change state.
    fn follow_frontends(&self) {
        let switches: Vec<_> = self
            .registry
            .frontends()
            .iter()
            .zip(&self.switches)
            .map(|(frontend, switch)| (frontend.id, switch.clone()))
            .collect();
        self.registry.on_frontend_change(Box::new(move |frontend| {
            if let Some((_, switch)) = switches.iter().find(|(id, _)| *id == frontend.id) {
                switch.set(match frontend.state() {
                    FrontendState::Open => Listening::Accepting,
                    FrontendState::Paused => Listening::Paused,
                    FrontendState::Stopped => Listening::Closed,
                });
            }
        }));
    }

    fn switch_all(&self, to: Listening) {
        for switch in &self.switches {
            switch.set(to);
        }
    }

    fn tell_states(&self) {
        for backend in self.registry.backends().iter() {
            for server in backend.servers().iter() {
                messages::warning(format_args!(
                    "Server {}/{} is {}.",
                    backend.name,
                    server.name,
                    server.status()
                ));
            }
        }
    }

    /// Every change of a server reaches the kernel's tables at once.
    async fn feed_kernel(self: Rc<Self>) {
        let mut changes = l4::watch(&self.registry);
        while let Some(server) = changes.recv().await {
            self.kernel.server_changed(&server);
        }
    }

    /// Backends that change their servers or are not to be chosen change the paths of frontends; many changes at once when
    /// there are many.
    async fn follow_farms(self: Rc<Self>) {
        let (sender, mut changes) = tokio::sync::mpsc::unbounded_channel();
        self.registry.on_backend_change(Box::new(move |backend| {
            let _ = sender.send(backend.name.clone());
        }));
        while let Some(first) = changes.recv().await {
            tokio::time::sleep(SETTLE).await;
            let mut changed = vec![first];
            while let Ok(next) = changes.try_recv() {
                if !changed.contains(&next) {
                    changed.push(next);
                }
            }
            let services = self.farms.decide_again(&changed);
            self.kernel.set_services(services, &self.registry);
        }
    }

    /// Lists that the kernel's rules ask are followed as they change, many changes at once when there are many.
    async fn follow_sources(self: Rc<Self>) {
        if !self.kernel.asks_sources() {
            return;
        }
        let changed = Arc::new(tokio::sync::Notify::new());
        let hook = changed.clone();
        self.patterns.watch(Box::new(move || hook.notify_one()));
        loop {
            // Once at the start, for what changed before the hook was there.
            self.kernel.sources_changed();
            changed.notified().await;
            tokio::time::sleep(SETTLE).await;
        }
    }

    /// Whom connection rules turn away, the kernel turns away from here on (`l4-deny`).
    async fn follow_denials(self: Rc<Self>) {
        let (sender, mut denials) = tokio::sync::mpsc::channel(DENIALS);
        for front in self.farms.fronts.clone() {
            let Some(denials) = &front.denials else { continue };
            let (sender, time) = (sender.clone(), denials.time);
            let frontend: Arc<str> = (*front.frontend.name).into();
            denials.listen(move |client, close| {
                let silently = matches!(close, Close::SilentDrop { .. });
                // Who is missed here will be told of again.
                let _ = sender.try_send((frontend.clone(), client, silently, time));
            });
        }
        drop(sender);
        while let Some((frontend, client, silently, time)) = denials.recv().await {
            self.kernel.deny(&frontend, client, silently, time);
        }
    }

    /// Connections that ended in the kernel are logged as they end.
    async fn log_flows(self: Rc<Self>) {
        let Some(fd) = self.kernel.events_fd() else { return };
        let watched = match Watched::new(fd) {
            Ok(watched) => watched,
            Err(error) => return tracing::warn!(%error, "flows in the kernel are not logged"),
        };
        loop {
            let drain = || self.kernel.ended_flows(|flow| self.flow_log.write(&flow, self.now()));
            if watched.readable(drain).await.is_err() {
                return;
            }
        }
    }

    /// Limits that hold over both paths are divided anew often, so that neither starves the other.
    async fn share_limits(self: Rc<Self>) {
        if self.kernel.is_absent() {
            return;
        }
        let mut interval = tokio::time::interval(SHARE);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.kernel.share_limits(&self.registry);
        }
    }

    async fn tick(self: Rc<Self>) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut refreshed = clock::coarse();
        loop {
            interval.tick().await;
            let now = self.now();
            self.registry.observe_rates(now);
            self.registry.sweep_tables(now);
            self.kernel.expire();
            self.kernel.count(&self.registry, now);
            if clock::coarse().since(refreshed) >= REFRESH {
                refreshed = clock::coarse();
                self.kernel.refresh();
            }
        }
    }
}

impl Estate for Control {
    fn sockets(&self) -> Vec<(Identity, OwnedFd)> {
        self.listeners.borrow().duplicates()
    }

    fn certificates(&self) -> BTreeMap<String, String> {
        self.acme.get().map(|acme| acme.issued()).unwrap_or_default()
    }

    fn release_kernel_path(&self) {
        self.kernel.release();
    }

    fn take_kernel_path_back(&self) {
        self.kernel.take_back();
    }
}
