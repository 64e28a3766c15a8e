//! Lines of flows that no stream of this process carried byte by byte: connections in the kernel, and datagrams.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bumpalo::Bump;
use proxy_net::clock;
use proxy_rules::logformat::{LogFacts, Origin, Termination};
use proxy_rules::sample::EvalCtx;
use proxy_rules::sample::context::{Clock, Session};
use proxy_rules::vars::Vars;
use proxy_state::{Now, Server};

use super::line::{ERR, INFO};
use crate::env::{self, Env, Front};

/// A flow that is over.
#[derive(Debug)]
pub struct FlowRecord {
    pub client: SocketAddr,
    /// The address that the client sent to.
    pub listener: SocketAddr,
    /// The source that the server saw.
    pub source: Option<SocketAddr>,
    pub server: Option<Arc<Server>>,
    pub server_addr: Option<SocketAddr>,
    pub start: SystemTime,
    pub duration: Duration,
    /// From the start to the server's first answer; `None` when there was none.
    pub connect: Option<Duration>,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Cause and phase as in the log formats (configuration manual, 8.5); `--` for an ordinary end.
    pub ended: [u8; 2],
}

/// What lines of one thread share.
#[derive(Debug, Default)]
pub struct FlowLines {
    scratch: std::cell::RefCell<Bump>,
    random: Cell<u64>,
    count: Cell<u32>,
}

impl FlowLines {
    /// Writes the line of a flow, when its frontend logs it.
    pub fn write(&self, env: &Env, front: &Front, flow: &FlowRecord, now: Now) {
        let Some(log) = front.log.as_ref().filter(|log| log.tells_end()) else { return };
        let options = &front.frontend.options;
        let [cause, phase] = flow.ended;
        let normal = cause == b'-';
        let silent = options.dontlognull && flow.bytes_in + flow.bytes_out == 0
            || options.dontlog_normal && normal;
        let severity = if options.log_separate_errors && !normal { ERR } else { INFO };
        let listeners = &front.frontend.listeners;
        let own = listeners.iter().find(|listener| listener.addr.inet() == Some(flow.listener));
        let Some(listener) = own.or_else(|| listeners.first()).filter(|_| !silent) else { return };
        let backend = front.default_backend.as_ref().map(|back| &back.backend);
        let server = flow.server.as_ref();
        let accepted = env::date_at(flow.start);
        let session = Session {
            src: Some(flow.client),
            dst: Some(flow.listener),
            accepted,
            listener: listener.clone(),
            tracked: Default::default(),
            vars: Vars::default(),
            connection: Default::default(),
            link: Default::default(),
        };
        let line = self.count.get().wrapping_add(1);
        self.count.set(line);
        let facts = LogFacts {
            accepted,
            request: accepted,
            handshake: Some(0),
            queue: Some(0),
            connect: flow.connect.map(millis),
            total: millis(flow.duration),
            bytes_in: flow.bytes_in,
            bytes_out: flow.bytes_out,
            termination: Termination { cause, phase, ..Termination::NONE },
            process_conns: env.registry().process.connections.get(),
            frontend_conns: front.frontend.sessions.get(),
            backend_conns: backend.map_or(0, |backend| backend.sessions.get()),
            server_conns: server.map_or(0, |server| server.sessions.get()),
            backend_src: flow.source,
            backend_dst: flow.server_addr,
            stream_number: line,
            line_number: line,
            origin: Origin::TxnClose,
            ..LogFacts::NONE
        };
        let mut scratch = self.scratch.borrow_mut();
        {
            let clock =
                Clock { now, date: env::date(), utc_offset: clock::utc_offset(accepted.secs) };
            let mut cx = EvalCtx::new(&scratch, &env.shared, clock, &self.random);
            cx.session = Some(&session);
            cx.frontend = Some(&front.frontend);
            cx.backend = backend.map(|backend| &**backend);
            cx.server = server.map(|server| &**server);
            cx.facts = Some(&facts);
            log.emit(&cx, Origin::TxnClose, severity);
        }
        scratch.reset();
    }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
