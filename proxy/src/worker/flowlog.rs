//! Log lines of connections that the kernel carried: the same format and targets as everywhere.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bumpalo::Bump;
use proxy_datapath::{EndReason, EndedFlow};
use proxy_net::clock;
use proxy_rules::logformat::{LogFacts, Origin, Termination};
use proxy_rules::sample::EvalCtx;
use proxy_rules::sample::context::{Clock, Date, Session};
use proxy_rules::vars::Vars;
use proxy_state::Now;
use proxy_stream::env::{Env, Front};

/// Severity of connection logs (configuration manual, 4.2 "log"), and with `option log-separate-errors` of those of
/// connections that did not end well.
const INFO: u8 = 6;
const ERR: u8 = 3;

/// Writes lines for ended flows.
pub(crate) struct FlowLog {
    env: Arc<Env>,
    fronts: Vec<Arc<Front>>,
    scratch: RefCell<Bump>,
    random: Cell<u64>,
    lines: Cell<u32>,
}

impl FlowLog {
    pub(crate) fn new(env: Arc<Env>, fronts: Vec<Arc<Front>>) -> Self {
        Self { env, fronts, scratch: RefCell::default(), random: Cell::new(1), lines: Cell::new(0) }
    }

    /// Writes the line of one flow, when its frontend logs.
    pub(crate) fn write(&self, flow: &EndedFlow, now: Now) {
        let Some(front) = self.fronts.iter().find(|front| *front.frontend.name == *flow.service)
        else {
            return;
        };
        let Some(log) = &front.log else { return };
        let options = &front.frontend.options;
        let ended = termination(flow);
        let normal = ended.cause == b'-';
        let silent = options.dontlognull && flow.bytes_in + flow.bytes_out == 0
            || options.dontlog_normal && normal;
        let severity = if options.log_separate_errors && !normal { ERR } else { INFO };
        let Some(listener) = front
            .frontend
            .listeners
            .iter()
            .find(|listener| listener.addr.inet() == Some(flow.vip))
            .or_else(|| front.frontend.listeners.first())
            .filter(|_| !silent)
        else {
            return;
        };
        let backend = front.default_backend.as_ref().map(|back| &back.backend);
        let server = backend.and_then(|backend| backend.server(&flow.server));
        let accepted = date(flow.start);
        let session = Session {
            src: Some(flow.client),
            dst: Some(flow.vip),
            accepted,
            listener: listener.clone(),
            tracked: Default::default(),
            vars: Vars::default(),
            connection: Default::default(),
            link: Default::default(),
        };
        let line = self.lines.get().wrapping_add(1);
        self.lines.set(line);
        let facts = LogFacts {
            accepted,
            request: accepted,
            handshake: Some(0),
            queue: Some(0),
            connect: flow.established.then(|| millis(flow.connect)),
            total: millis(flow.duration),
            bytes_in: flow.bytes_in,
            bytes_out: flow.bytes_out,
            termination: ended,
            process_conns: self.env.registry().process.connections.get(),
            frontend_conns: front.frontend.sessions.get(),
            backend_conns: backend.map_or(0, |backend| backend.sessions.get()),
            server_conns: server.as_ref().map_or(0, |server| server.sessions.get()),
            backend_src: Some(flow.source),
            backend_dst: Some(flow.server_addr),
            stream_number: line,
            line_number: line,
            origin: Origin::TxnClose,
            ..LogFacts::NONE
        };
        let mut scratch = self.scratch.borrow_mut();
        {
            let clock = Clock {
                now,
                date: date(SystemTime::now()),
                utc_offset: clock::utc_offset(accepted.secs),
            };
            let mut cx = EvalCtx::new(&scratch, &self.env.shared, clock, &self.random);
            cx.session = Some(&session);
            cx.frontend = Some(&front.frontend);
            cx.backend = backend.map(|backend| &**backend);
            cx.server = server.as_deref();
            cx.facts = Some(&facts);
            log.emit(&cx, Origin::TxnClose, severity);
        }
        scratch.reset();
    }
}

/// The letters that a proxy would have logged (configuration manual, 8.5).
fn termination(flow: &EndedFlow) -> Termination {
    let [cause, phase] = match (flow.reason, flow.established) {
        (EndReason::ClientFin | EndReason::ServerFin, _) => *b"--",
        (EndReason::ClientReset | EndReason::Replaced, true) => *b"CD",
        (EndReason::ClientReset | EndReason::Replaced, false) => *b"CC",
        (EndReason::ServerReset, true) => *b"SD",
        (EndReason::ServerReset, false) => *b"SC",
        (EndReason::Idle, _) => *b"cD",
        (EndReason::Embryonic, _) => *b"sC",
        (EndReason::Killed, _) => *b"KD",
    };
    Termination { cause, phase, ..Termination::NONE }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

fn date(at: SystemTime) -> Date {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    Date { secs: i64::try_from(since.as_secs()).unwrap_or(i64::MAX), usec: since.subsec_micros() }
}
