//! Health checks of the worker, and the lines about servers that change their state.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use proxy_net::stop::Stop;
use proxy_state::server::{Cause, Change, Transition};
use proxy_state::{Backend, Registry, Server};
use proxy_stream::check::{self, Checker, Methods};
use proxy_stream::env::Env;
use proxy_stream::log::Sink;

use super::mail::Mail;
use crate::messages;

const EMERG: u8 = 0;
const ALERT: u8 = 1;
const NOTICE: u8 = 5;
const INFO: u8 = 6;

/// Where lines about the servers of each backend go.
pub(super) type Logs = RwLock<HashMap<Arc<str>, Arc<dyn Sink>>>;

/// How checks are kept from coming all at once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spread {
    /// `spread-checks`.
    pub(super) percent: u32,
    /// `max-spread-checks`.
    pub(super) within: Option<Duration>,
}

/// Starts the checks on this thread and tells every change of a server from here on.
pub(super) fn start(
    env: &Arc<Env>,
    methods: Arc<Methods>,
    stop: Stop,
    spread: Spread,
    logs: Arc<Logs>,
    unreachable: check::Told,
    mail: Arc<Mail>,
) {
    let registry = &env.shared.registry;
    let epoch = env.epoch;
    let (told, mailed) = (logs.clone(), mail.clone());
    let known = registry.clone();
    registry.on_transition(Box::new(move |transition| tell(&known, &told, &mailed, transition)));
    let seed = u64::from(std::process::id()) << 20 ^ epoch.as_millis();
    let random = Cell::new(seed | 1);
    let checker = Checker {
        registry: registry.clone(),
        env: env.clone(),
        methods,
        epoch,
        spread: spread.percent,
        spread_within: spread.within,
        stop,
        report: Box::new(move |server, line| {
            report(&logs, server, line);
            mail.alert(&server.backend_name, INFO, line);
        }),
        unreachable,
        random: Box::new(move || next(&random)),
    };
    check::spawn(checker);
}

/// Tells a change as HAProxy does: a fall alarms, a rise is noted, the last server's fall is an emergency.
fn tell(registry: &Registry, logs: &Logs, mail: &Mail, transition: &Transition) {
    let server = &transition.server;
    let backend = server.backend();
    let told = |b: &Arc<Backend>| b.options.log_health_checks && is_by_check(&transition.change);
    let line = if backend.as_ref().is_some_and(told) {
        transition.without_reason().to_string()
    } else {
        transition.to_string()
    };
    messages::warning(format_args!("{line}"));
    log(logs, server, if transition.is_down() { ALERT } else { NOTICE }, &line);
    // A fall by a decision is no alarm (configuration manual, 4.2 "email-alert level").
    let fell = matches!(transition.change, Change::Down(_));
    mail.alert(&server.backend_name, if fell { ALERT } else { NOTICE }, &line);
    if transition.backend_down {
        // Both halves of a `listen` section are one proxy.
        let whole = registry.frontend(&server.backend_name).is_some();
        let kind = if whole { "proxy" } else { "backend" };
        let name = &server.backend_name;
        messages::alert(format_args!("{kind} '{name}' has no server available!"));
        log(logs, server, EMERG, &format!("{kind} {name} has no server available!"));
    }
}

/// Tells a line about a server.
pub(super) fn report(logs: &Logs, server: &Server, line: &str) {
    messages::warning(format_args!("{line}"));
    log(logs, server, NOTICE, line);
}

fn is_by_check(change: &Change) -> bool {
    matches!(
        change,
        Change::Down(Cause::Check(_))
            | Change::Up(Cause::Check(_))
            | Change::Stopping(Cause::Check(_))
    )
}

fn log(logs: &Logs, server: &Server, severity: u8, line: &str) {
    if let Some(sink) = logs.read().get(&server.backend_name) {
        sink.line(severity, line.as_bytes());
    }
}

/// xorshift64*.
fn next(state: &Cell<u64>) -> u32 {
    let mut x = state.get();
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    state.set(x);
    (x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
}
