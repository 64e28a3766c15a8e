//! The tasks that check servers. They run on the control thread, one per checked server.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use proxy_net::clock::{self, Tick};
use proxy_net::stop::{Phase, Stop};
use proxy_net::timer::Timer;
use proxy_rules::check::Script;
use proxy_state::server::{
    AgentAnswer, AgentSpec, CheckResult, CheckSpec, CheckStatus, CheckVerdict, Health, Server,
};
use proxy_state::{Backend, Now, Registry};
use rustc_hash::{FxBuildHasher, FxHashMap};
use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::script::{self, Subject};
use super::{Program, agent, external, probe, schedule, warmup};
use crate::env::Env;
use crate::traces::{self, Level, check};

/// Takes the line of `option log-health-checks`, which has the severity `notice`.
pub type Report = Box<dyn Fn(&Arc<Server>, &str)>;

/// Told of a server.
pub type Told = Box<dyn Fn(&Arc<Server>)>;

/// How servers are checked when connecting is not enough.
#[derive(Clone, Debug)]
pub enum Method {
    /// Something is said.
    Script(Arc<Script>),
    /// A program is asked.
    Program(Arc<Program>),
}

/// Of a backend and of its server.
type ServerName = (Arc<str>, Box<str>);

/// The methods of backends by their names, and of servers that have one of their own by both names.
#[derive(Debug, Default)]
pub struct Methods {
    backends: RwLock<FxHashMap<Arc<str>, Method>>,
    servers: RwLock<FxHashMap<ServerName, Method>>,
}

impl Methods {
    /// Has the servers of a backend checked so that have no method of their own.
    pub fn set_backend(&self, backend: &Arc<str>, method: Method) {
        self.backends.write().insert(backend.clone(), method);
    }

    /// Whether [`Methods::set_backend`] said something.
    pub fn has_backend(&self, backend: &str) -> bool {
        self.backends.read().contains_key(backend)
    }

    /// Has a server checked so.
    pub fn set_server(&self, backend: &Arc<str>, server: &str, method: Method) {
        self.servers.write().insert((backend.clone(), server.into()), method);
    }

    /// Forgets the method of a server.
    pub fn forget_server(&self, server: &Server) {
        let own = (server.backend_name.clone(), (*server.spec.name).into());
        self.servers.write().remove(&own);
    }

    /// Forgets the method of a backend.
    pub fn forget_backend(&self, backend: &str) {
        self.backends.write().remove(backend);
    }

    fn of(&self, server: &Server) -> Option<Method> {
        let own = (server.backend_name.clone(), (*server.spec.name).into());
        let own = self.servers.read().get(&own).cloned();
        own.or_else(|| self.backends.read().get(&server.backend_name).cloned())
    }
}

/// What all checks share.
pub struct Checker {
    pub registry: Arc<Registry>,
    pub env: Arc<Env>,
    pub methods: Arc<Methods>,
    /// The instant that [`Now`] counts from.
    pub epoch: Tick,
    /// `spread-checks`, in percent.
    pub spread: u32,
    /// `max-spread-checks`: longest time over which first checks are spread.
    pub spread_within: Option<Duration>,
    pub stop: Stop,
    pub report: Report,
    /// Told of a server that a check could not connect to in time: it may be somewhere else by now.
    pub unreachable: Told,
    /// Random numbers for [`Checker::spread`].
    pub random: Box<dyn Fn() -> u32>,
}

/// Starts the checks of every server that asks for them, on this thread, where `spawn_local` must work. They
/// end at the soft stop, as HAProxy was seen to end them.
pub fn spawn(checker: Checker) {
    let checker = Rc::new(checker);
    warmup::watch(&checker);
    let mut checked = Vec::new();
    for backend in checker.registry.backends().iter().filter(|b| !b.disabled) {
        for server in backend.servers().iter() {
            let asked = checker.asked(server);
            checked.extend(asked.into_iter().map(|who| (backend.clone(), server.clone(), who)));
        }
    }
    let shortest = checked.iter().map(|(_, _, who)| who.inter()).min().unwrap_or_default();
    let shortest = checker.spread_within.map_or(shortest, |most| shortest.min(most));
    let count = checked.len();
    let mut checks = Checks {
        checker: checker.clone(),
        wakes: Arc::new(Mutex::new(FxHashMap::with_capacity_and_hasher(count, FxBuildHasher))),
        begun: FxHashMap::with_capacity_and_hasher(count, FxBuildHasher),
    };
    for (index, (backend, server, who)) in checked.into_iter().enumerate() {
        let wait = schedule::first(index, count, shortest);
        checks.begin(backend, server, who, wait);
    }
    let wakes = checks.wakes.clone();
    checker.registry.on_server_change(Box::new(move |server| {
        for wake in wakes.lock().get(&key(server)).into_iter().flatten() {
            wake.notify_one();
        }
    }));
    let (sender, mut changes) = tokio::sync::mpsc::unbounded_channel();
    checker.registry.on_backend_change(Box::new(move |backend| {
        let _ = sender.send(backend.clone());
    }));
    tokio::task::spawn_local(async move {
        loop {
            tokio::select! {
                () = checker.stop.reached(Phase::Draining) => break,
                Some(backend) = changes.recv() => checks.follow(&backend),
            }
        }
        checks.end();
    });
}

/// Whom to wake when a server changes, by [`key`].
type Wakes = Arc<Mutex<FxHashMap<usize, SmallVec<[Arc<Notify>; 1]>>>>;

/// Tells servers apart as long as they are held.
fn key(server: &Arc<Server>) -> usize {
    Arc::as_ptr(server).addr()
}

/// A server, held, and its tasks.
type Begun = (Arc<Server>, SmallVec<[JoinHandle<()>; 1]>);

/// The tasks that run.
struct Checks {
    checker: Rc<Checker>,
    wakes: Wakes,
    begun: FxHashMap<usize, Begun>,
}

impl Checks {
    fn begin(&mut self, backend: Arc<Backend>, server: Arc<Server>, who: Who, wait: Duration) {
        let wake = Arc::new(Notify::new());
        self.wakes.lock().entry(key(&server)).or_default().push(wake.clone());
        let known = server.clone();
        let checker = self.checker.clone();
        let check = Box::new(Check { checker, backend, server, who, wake });
        let task = tokio::task::spawn_local(async move { check.repeat(wait).await });
        let (_, tasks) =
            self.begun.entry(key(&known)).or_insert_with(|| (known, SmallVec::default()));
        tasks.push(task);
    }

    /// Ends with all of them.
    fn end(self) {
        self.begun.into_values().flat_map(|(_, tasks)| tasks).for_each(|task| task.abort());
    }

    /// Begins with the servers that joined a backend, and ends with those that left it.
    fn follow(&mut self, backend: &Arc<Backend>) {
        let wakes = &self.wakes;
        self.begun.retain(|key, (server, tasks)| {
            let stays = !server.is_gone();
            if !stays {
                tasks.iter().for_each(JoinHandle::abort);
                wakes.lock().remove(key);
            }
            stays
        });
        if backend.disabled {
            return;
        }
        for server in backend.servers().iter() {
            if self.begun.contains_key(&key(server)) {
                continue;
            }
            for who in self.checker.asked(server) {
                self.begin(backend.clone(), server.clone(), who, Duration::ZERO);
            }
        }
    }
}

/// Who is asked.
enum Who {
    Server(Arc<CheckSpec>, Option<Method>),
    Agent(Arc<AgentSpec>),
}

impl Who {
    fn inter(&self) -> Duration {
        match self {
            Self::Server(spec, _) => spec.inter,
            Self::Agent(spec) => spec.inter,
        }
    }

    /// In maintenance, and after `disable health`, nobody is asked; an agent, which may end the maintenance that it
    /// asked for, only after `disable agent`.
    fn is_paused(&self, server: &Server) -> bool {
        match self {
            Self::Server(..) => !server.check_enabled() || server.admin_state().is_maint(),
            Self::Agent(_) => !server.agent_enabled(),
        }
    }
}

/// One check of one server.
struct Check {
    checker: Rc<Checker>,
    backend: Arc<Backend>,
    server: Arc<Server>,
    who: Who,
    /// Told when the server changes.
    wake: Arc<Notify>,
}

impl Check {
    /// Asks again and again, for the first time after `first`. As it waits for most of its life, what it takes then is little,
    /// and the rest is on the heap while it asks.
    async fn repeat(&self, first: Duration) {
        let mut due = clock::precise() + first;
        let timer = Timer::new();
        loop {
            if self.who.is_paused(&self.server) {
                self.wake.notified().await;
                due = clock::precise();
                continue;
            }
            if !due.since(clock::precise()).is_zero() {
                timer.arm_at(due);
                // A change wakes only to see whether it began a pause.
                let _ = timer.guard(self.wake.notified()).await;
                continue;
            }
            let start = clock::precise();
            let pause = Box::pin(self.ask()).await;
            let pause = schedule::spread(pause, self.checker.spread, (self.checker.random)());
            // Checks follow each other by their starts; one that took longer is followed at once.
            due = start + pause.max(Duration::from_millis(1));
        }
    }

    /// Asks once; how long to wait until the next time.
    async fn ask(&self) -> Duration {
        let Self { checker, backend, server, .. } = self;
        match &self.who {
            Who::Server(spec, method) => {
                checker.once(backend, server, spec, method.as_ref()).await;
                schedule::pause(spec, server.state(checker.now()).health)
            }
            Who::Agent(spec) => {
                checker.ask_agent(backend, server, spec).await;
                spec.inter
            }
        }
    }
}

impl Checker {
    /// Who is asked about a server.
    fn asked(&self, server: &Server) -> Vec<Who> {
        let spec = &server.spec;
        let check = spec.check.iter().map(|s| Who::Server(s.clone(), self.methods.of(server)));
        check.chain(spec.agent.iter().map(|spec| Who::Agent(spec.clone()))).collect()
    }

    pub(super) fn now(&self) -> Now {
        let ms = clock::precise().since(self.epoch).as_millis();
        Now(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    async fn once(
        &self,
        backend: &Backend,
        server: &Arc<Server>,
        spec: &CheckSpec,
        method: Option<&Method>,
    ) {
        let timeouts = &backend.timeouts;
        let told = server.check_target();
        let spec = &CheckSpec { addr: told.addr, port: told.port, ..spec.clone() };
        let limit = schedule::connect_limit(spec, timeouts.connect, timeouts.check);
        server.check_started();
        trace(backend, server, check::START, Level::State, "health check starts", None);
        let subject = Subject {
            env: &self.env,
            backend,
            server,
            spec,
            script: match method {
                Some(Method::Script(script)) => Some(script),
                _ => None,
            },
            connect_limit: limit,
            check_limit: timeouts.check,
            total_limit: spec.inter.max(limit),
            now: self.now(),
        };
        let result = match method {
            None => probe::connection(&subject).await,
            Some(Method::Script(script)) => script::run(&subject, script).await,
            Some(Method::Program(program)) => external::run(&subject, program).await,
        };
        let now = self.now();
        let (event, level) = match is_passed(&result) {
            true => (check::END | check::OK, Level::User),
            false => (check::END | check::ERR, Level::Error),
        };
        trace(backend, server, event, level, "health check ended", Some(&result));
        if backend.options.log_health_checks {
            // Written before the line about the server's state that may follow from it.
            let before = server.state(now);
            let mut health = before.health;
            let _ = if is_passed(&result) { health.passed() } else { health.failed() };
            if before.last_check.status != result.status || before.health != health {
                (self.report)(server, &line("Health", server, &result, health));
            }
        }
        if result.status == CheckStatus::L4Timeout {
            (self.unreachable)(server);
        }
        server.report_check(result, now);
    }

    async fn ask_agent(&self, backend: &Backend, server: &Arc<Server>, spec: &AgentSpec) {
        let Some(before) = server.agent() else { return };
        server.agent_started();
        trace(backend, server, check::AGENT_START, Level::State, "agent is asked", None);
        let limit = backend.timeouts.check.unwrap_or(spec.inter);
        let start = clock::precise();
        let answer = agent::ask(server, &before.target, limit, self.env.shared.bufsize).await;
        let duration = clock::precise().since(start).as_millis();
        let duration_ms = u64::try_from(duration).unwrap_or(u64::MAX);
        let said = answer.as_deref().map(AgentAnswer::parse);
        let result = match &said {
            Ok(said) => said.result(duration_ms),
            Err(failed) => CheckResult {
                status: match failed.status {
                    CheckStatus::Checked => before.last.status,
                    status => status,
                },
                code: None,
                duration_ms,
                info: failed.info.clone(),
            },
        };
        let now = self.now();
        let (event, level) = (check::AGENT_END, Level::User);
        trace(backend, server, event, level, "agent was asked", Some(&result));
        if let Ok(said) = &said {
            server.obey_agent(said, now);
        }
        let told = result.status.verdict() != CheckVerdict::Neutral;
        if backend.options.log_health_checks && told && before.last.status != result.status {
            let mut health = before.health;
            match result.status {
                CheckStatus::L7Ok => health.force_up(),
                CheckStatus::L7Status => health.force_down(),
                // No answer says nothing.
                _ => {}
            }
            (self.report)(server, &line("Agent", server, &result, health));
        }
        match &said {
            Ok(said) => server.report_agent(said, result, now),
            Err(_) => server.note_agent(result),
        }
    }
}

/// Tells of a check.
fn trace(
    backend: &Backend,
    server: &Arc<Server>,
    event: u64,
    level: Level,
    what: &str,
    result: Option<&CheckResult>,
) {
    if !traces::CHECK.wants(event) {
        return;
    }
    let address = std::ptr::from_ref(backend).addr() as u64;
    let server_number = traces::number(server);
    let subject = traces::Subject { backend: address, server: server_number, ..Default::default() };
    traces::CHECK.tell(event, level, &subject, &|t| {
        t.text.push_str(what);
        if t.has_subject() {
            t.text.push_str(&format!(" {}/{}", server.backend_name, server.name));
            if let Some(result) = result {
                t.text.push_str(&format!(": {}", result.status.long()));
            }
        }
        if t.has_details()
            && let Some(result) = result
        {
            let (code, info) = (result.code.unwrap_or(0), result.info.escape_debug());
            t.text.push_str(&format!(" code={code} ms={} info={info}", result.duration_ms));
        }
    });
}

fn is_passed(result: &CheckResult) -> bool {
    matches!(result.status.verdict(), CheckVerdict::Passed | CheckVerdict::Conditional)
}

/// The line of `option log-health-checks`.
fn line(whose: &str, server: &Server, result: &CheckResult, health: Health) -> String {
    use std::fmt::Write;
    let outcome = match result.status.verdict() {
        CheckVerdict::Passed => "succeeded",
        CheckVerdict::Conditional => "conditionally succeeded",
        _ => "failed",
    };
    let mut line = format!(
        "{whose} check for server {}/{} {outcome}, reason: {}",
        server.backend_name,
        server.name,
        result.status.long()
    );
    if let Some(code) = result.code.filter(|_| result.status.has_code()) {
        let _ = write!(line, ", code: {code}");
    }
    if !result.info.is_empty() {
        let _ = write!(line, ", info: \"{}\"", result.info);
    }
    let serves = server.weight() > 0 && !server.admin_state().is_drain();
    let (state, of) = match (health.is_up(), serves) {
        (true, true) => ("UP", health.fall()),
        (true, false) => ("DRAIN", health.fall()),
        (false, _) => ("DOWN", health.rise()),
    };
    // Up: failures left; down: successes so far.
    let done = match health.progress() {
        Some((done, _)) => done,
        None if health.is_up() => of,
        None => 0,
    };
    let _ =
        write!(line, ", check duration: {}ms, status: {done}/{of} {state}.", result.duration_ms);
    line
}

#[cfg(test)]
mod tests;
