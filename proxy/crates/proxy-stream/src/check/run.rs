//! The tasks that check servers. They run on the control thread, one per checked server.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_net::clock::{self, Tick};
use proxy_net::stop::{Phase, Stop};
use proxy_net::timer;
use proxy_rules::check::Script;
use proxy_state::server::{CheckResult, CheckSpec, CheckVerdict, Health, Server};
use proxy_state::{Backend, Now, Registry};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::script::{self, Subject};
use super::{probe, schedule};
use crate::env::Env;

/// Takes the line of `option log-health-checks`, which has the severity `notice`.
pub type Report = Box<dyn Fn(&Arc<Server>, &str)>;

/// What is said on the checks' connections of each backend, by its name; without one, connecting is enough.
pub type Scripts = FxHashMap<Arc<str>, Arc<Script>>;

/// What all checks share.
pub struct Checker {
    pub registry: Arc<Registry>,
    pub env: Arc<Env>,
    pub scripts: Scripts,
    /// The instant that [`Now`] counts from.
    pub epoch: Tick,
    /// `spread-checks`, in percent.
    pub spread: u32,
    /// `max-spread-checks`: longest time over which first checks are spread.
    pub spread_within: Option<Duration>,
    pub stop: Stop,
    pub report: Report,
    /// Random numbers for [`Checker::spread`].
    pub random: Box<dyn Fn() -> u32>,
}

/// Starts the checks of every server that asks for them, on this thread, where `spawn_local` must work. They
/// end at the soft stop, as HAProxy was seen to end them.
pub fn spawn(checker: Checker) {
    let checker = Rc::new(checker);
    let mut checked = Vec::new();
    for backend in checker.registry.backends().iter().filter(|b| !b.disabled) {
        for server in backend.servers().iter() {
            if let Some(spec) = &server.spec.check {
                checked.push((backend.clone(), server.clone(), spec.clone()));
            }
        }
    }
    let shortest = checked.iter().map(|(_, _, spec)| spec.inter).min().unwrap_or_default();
    let shortest = checker.spread_within.map_or(shortest, |most| shortest.min(most));
    let count = checked.len();
    let mut wakes = FxHashMap::default();
    for (index, (backend, server, spec)) in checked.into_iter().enumerate() {
        let wait = schedule::first(index, count, shortest);
        let wake = Arc::new(Notify::new());
        wakes.insert(Arc::as_ptr(&server).addr(), wake.clone());
        let task = checker.clone().check(backend, server, spec, wait, wake);
        let stop = checker.stop.clone();
        tokio::task::spawn_local(async move {
            tokio::select! {
                () = stop.reached(Phase::Draining) => {}
                () = task => {}
            }
        });
    }
    checker.registry.on_server_change(Box::new(move |server| {
        if let Some(wake) = wakes.get(&Arc::as_ptr(server).addr()) {
            wake.notify_one();
        }
    }));
}

/// In maintenance, and after `disable health`, nobody is asked.
fn is_paused(server: &Server) -> bool {
    !server.check_enabled() || server.admin_state().is_maint()
}

impl Checker {
    fn now(&self) -> Now {
        let ms = clock::precise().since(self.epoch).as_millis();
        Now(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    async fn check(
        self: Rc<Self>,
        backend: Arc<Backend>,
        server: Arc<Server>,
        spec: CheckSpec,
        first: Duration,
        wake: Arc<Notify>,
    ) {
        let mut due = clock::precise() + first;
        loop {
            if is_paused(&server) {
                wake.notified().await;
                due = clock::precise();
                continue;
            }
            let wait = due.since(clock::precise());
            if !wait.is_zero() {
                // A change wakes only to see whether it began a pause.
                let _ = timer::timeout(Some(wait), wake.notified()).await;
                continue;
            }
            let start = clock::precise();
            self.once(&backend, &server, &spec).await;
            let pause = schedule::pause(&spec, server.state(self.now()).health);
            let pause = schedule::spread(pause, self.spread, (self.random)());
            // Checks follow each other by their starts; one that took longer is followed at once.
            due = start + pause.max(Duration::from_millis(1));
        }
    }

    async fn once(&self, backend: &Backend, server: &Arc<Server>, spec: &CheckSpec) {
        let timeouts = &backend.timeouts;
        let limit = schedule::connect_limit(spec, timeouts.connect, timeouts.check);
        server.check_started();
        let subject = Subject {
            env: &self.env,
            backend,
            server,
            spec,
            connect_limit: limit,
            check_limit: timeouts.check,
            total_limit: spec.inter.max(limit),
            now: self.now(),
        };
        let result = match self.scripts.get(&backend.name) {
            None => probe::connection(&subject).await,
            Some(script) => script::run(&subject, script).await,
        };
        let now = self.now();
        if backend.options.log_health_checks {
            // Written before the line about the server's state that may follow from it.
            let before = server.state(now);
            let mut health = before.health;
            let _ = if is_passed(&result) { health.passed() } else { health.failed() };
            if before.last_check.status != result.status || before.health != health {
                (self.report)(server, &line(server, &result, health));
            }
        }
        server.report_check(result, now);
    }
}

fn is_passed(result: &CheckResult) -> bool {
    matches!(result.status.verdict(), CheckVerdict::Passed | CheckVerdict::Conditional)
}

/// The line of `option log-health-checks`.
fn line(server: &Server, result: &CheckResult, health: Health) -> String {
    use std::fmt::Write;
    let outcome = match result.status.verdict() {
        CheckVerdict::Passed => "succeeded",
        CheckVerdict::Conditional => "conditionally succeeded",
        _ => "failed",
    };
    let mut line = format!(
        "Health check for server {}/{} {outcome}, reason: {}",
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
    let (state, of) = if health.is_up() { ("UP", health.fall()) } else { ("DOWN", health.rise()) };
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
