//! One request and its response, from the parsed head to the record of its end.
//!
//! ```text
//! run ─ request (rules, backend) ─ backend::attach (queue, choose, reuse or connect)
//!     ─ transfer (head and body to the server, head and body back, both at once) ─ tunnel, after 101
//!     ─ finish (counters, record)            any Fault on the way ─ answer, if none was begun ─ finish
//! ```

mod answer;
mod bandwidth;
mod buffer;
mod cache;
mod compress;
mod cookie;
mod fcgi;
mod finish;
mod forwarded;
mod hold;
mod observe;
mod persist;
mod request;
mod response;
mod retry;
mod rules;
mod service;
mod stick;
pub(crate) mod tcp;
mod trace;
mod transfer;
mod tunnel;

use std::sync::Arc;
use std::time::Duration;

use proxy_http::{RequestHead, ResponseHead, Version};

use proxy_rules::action::{Close, Effects};
use proxy_rules::capture::Captured;
use proxy_rules::sample::context::{LastRule, Overrides};
use proxy_rules::track::Tracked;
use proxy_rules::vars::StreamVars;
use proxy_state::options::ProxyOptions;
use proxy_state::stick::data::id;

pub use self::fcgi::FcgiApp;
pub(crate) use self::finish::server_h1;
pub use self::forwarded::{Forwarded, Part as ForwardedPart};
pub(crate) use self::rules::with_balance_key;
pub use self::stick::StickRule;
pub(crate) use self::stick::store as store_server;
use crate::backend::{self, Attached};
use crate::env::Back;
use crate::io::Conn;
use crate::log::Record;
use crate::mux::fcgi::Params;
use crate::mux::h1::{Pump, Splicing, Wire};
use crate::reply::Reply;
use crate::session::Session;
use crate::term::Fault;

/// The state of one request. Kept and reused by the thread, so that a request allocates nothing.
#[derive(Default)]
pub(crate) struct Exchange {
    pub(crate) request: RequestHead,
    pub(crate) response: ResponseHead,
    pub(crate) record: Record,
    pub(crate) to_server: Pump,
    pub(crate) to_client: Pump,
    pub(crate) server: Option<Attached>,
    pub(crate) backend: Option<Arc<Back>>,
    pub(crate) flow: transfer::Flow,
    /// Where the next try goes.
    pub(crate) next: backend::Aim,
    /// The client's connection is kept after this exchange.
    pub(crate) keep_client: bool,
    /// The client itself said that this request is its last.
    client_closes: bool,
    /// The server's connection is kept after this exchange.
    pub(crate) keep_server: bool,
    /// Bytes of an answer went, or are about to go, to the client.
    pub(crate) answered: bool,
    /// Number of the stream within the process.
    pub(crate) number: u32,
    pub(crate) vars: StreamVars,
    /// Entries of stick tables that this stream tracks.
    pub(crate) tracked: Tracked,
    pub(crate) effects: Effects,
    pub(crate) persist: persist::Persist,
    pub(crate) captured: Captured,
    /// `capture cookie`: of the request and of the response.
    pub(crate) cookies: [Option<Vec<u8>>; 2],
    pub(crate) last_rule: LastRule,
    pub(crate) waiting_rule: LastRule,
    pub(crate) overrides: Overrides,
    pub(crate) unique_id: Option<Vec<u8>>,
    pub(crate) compress: compress::State,
    /// The request body, where it is looked at before it is sent.
    peeked: Option<Box<buffer::Peeked>>,
    /// In mode tcp: the client's bytes begin with a request, which `request` shows to rules.
    sniffed: bool,
    /// `tcp-request content` rules of the frontend ran before the connection went on in mode http.
    inspected: bool,
    /// The answer that a response rule gave.
    replacement: Option<Reply>,
    /// The response's head, while rules hold it back.
    pub(crate) held: Option<Box<hold::Held>>,
    /// What a FastCGI application gets beside the request.
    pub(crate) fcgi: Option<Box<Params>>,
    /// The connection becomes a tunnel once both heads are through.
    pub(crate) tunnel: bool,
}

impl Exchange {
    pub(crate) fn reset(&mut self) {
        self.request.clear();
        self.response.clear();
        self.record = Record::default();
        self.to_server.reset();
        self.to_client.reset();
        self.to_server.unlimit();
        self.to_client.unlimit();
        self.server = None;
        self.backend = None;
        self.flow = transfer::Flow::default();
        self.next = backend::Aim::Any;
        self.keep_client = false;
        self.client_closes = false;
        self.keep_server = false;
        self.answered = false;
        self.sniffed = false;
        self.tunnel = false;
        self.held = None;
        self.fcgi = None;
        self.vars.txn.clear();
        self.vars.req.clear();
        self.vars.res.clear();
        self.effects = Effects::default();
        self.persist = persist::Persist::default();
        self.tracked.finish(proxy_state::Now(0));
        self.captured.clear();
        self.cookies = [None, None];
        self.last_rule.set(None);
        self.waiting_rule.set(None);
        self.overrides.clear();
        self.unique_id = None;
        self.compress = compress::State::default();
        self.replacement = None;
        self.inspected = false;
        self.peeked = None;
    }
}

impl Exchange {
    /// Makes the stream of a connection in mode tcp that of its first request.
    pub(crate) fn upgrade(&mut self) {
        // It is read anew.
        if std::mem::take(&mut self.sniffed) {
            self.request.clear();
        }
        self.inspected = true;
        self.record = Record::default();
    }

    /// How the client gets its message.
    pub(crate) fn client_wire(&self, client: &Conn) -> Wire {
        if client.framed {
            Wire::Framed
        } else if self.record.request_read && self.request.version() == Version::Http10 {
            Wire::Http10
        } else {
            Wire::Http11
        }
    }

    /// Both messages came to their end.
    pub(crate) fn is_complete(&self) -> bool {
        self.answered && self.flow.response_done && self.to_client.is_done()
    }
}

/// When the kernel carries bodies of one direction: as `option splice-*` of either side say. What nobody speaks of goes
/// that way where it pays.
fn splicing(s: &Session, x: &Exchange, direction: fn(&ProxyOptions) -> bool) -> Splicing {
    let back = x.backend.as_ref().map(|back| &back.backend.options);
    let both = || [&s.front.frontend.options].into_iter().chain(back);
    let said = both().filter_map(|options| options.splice_auto).reduce(|a, b| a || b);
    match said.unwrap_or(true) {
        _ if both().any(direction) => Splicing::Always,
        true => Splicing::Auto,
        false => Splicing::Never,
    }
}

/// Whether the client asks for a WebSocket (RFC 6455).
pub(crate) fn asks_for_websocket(x: &Exchange) -> bool {
    x.record.request_read
        && x.request.flags().upgrade
        && x.request.headers().has_token(b"upgrade", b"websocket")
}

/// A timeout that a rule set, or the configured one.
pub(crate) fn in_force(set: Option<u32>, configured: Option<Duration>) -> Option<Duration> {
    set.map(|ms| Duration::from_millis(u64::from(ms))).or(configured)
}

/// How a server speaks.
fn server_wire(server: &Conn) -> Wire {
    if server.framed { Wire::Framed } else { Wire::Http11 }
}

/// What becomes of the client connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    NextRequest,
    Close,
    /// As close, but what the client still sends is read for a moment, so that it gets our answer.
    Drain,
}

/// Which rules of a new connection run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Those that see the connection as it came.
    Connection,
    /// Those that see what a PROXY protocol header and TLS told.
    Session,
}

/// Headers that come first, beside those that the listener knows of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// Of the PROXY protocol.
    pub(crate) proxy: bool,
    /// Of the NetScaler.
    pub(crate) netscaler: bool,
}

/// What the rules of a new connection decided.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admitted {
    Refused,
    Enters {
        /// What rules expect to come first.
        expect: Expected,
    },
}

/// Runs the rules of a new connection.
pub(crate) fn admit(s: &mut Session, when: Admission) -> Admitted {
    let front = s.front.clone();
    let counters = front.frontend.counters.local();
    let listener = s.facts.listener.counters.local();
    let (rules, denied, denied_here) = match when {
        Admission::Connection => {
            (&front.tcp_connection, &counters.denied_conn, &listener.denied_conn)
        }
        Admission::Session => (&front.tcp_session, &counters.denied_sess, &listener.denied_sess),
    };
    if rules.is_empty() {
        return Admitted::Enters { expect: Expected::default() };
    }
    // The kernel knows clients by the address of their packets, whatever rules make of it.
    let client = s.facts.src;
    let mut x = s.thread.exchange();
    let verdict = rules::on_request(s, &mut x, None, rules);
    // What these rules say of addresses holds for the whole connection.
    s.facts.src = x.overrides.src.take().or(s.facts.src);
    s.facts.dst = x.overrides.dst.take().or(s.facts.dst);
    let expect = Expected { proxy: x.effects.expect_proxy, netscaler: x.effects.expect_netscaler };
    s.thread.recycle(x);
    let rules::Verdict::Close(close) = verdict else { return Admitted::Enters { expect } };
    denied.inc();
    denied_here.inc();
    if let (Admission::Connection, Some(denials), Some(client)) = (when, &front.denials, client) {
        denials.tell(client.ip(), close);
    }
    close_connection(s, close);
    Admitted::Refused
}

/// Prepares the close of the client's connection as a rule wants it.
fn close_connection(s: &Session, close: Close) {
    match close {
        Close::Reject => {}
        Close::SilentDrop { rst_ttl } => {
            if let Some(socket) = s.client.io.transport() {
                socket.set_vanish_on_close(rst_ttl);
            }
        }
    }
}

/// Serves one request.
pub(crate) async fn run(s: &mut Session, x: &mut Exchange) -> After {
    let h1 = begin_h1(s);
    let outcome = process(s, x).await;
    if let Err(fault) = outcome {
        Box::pin(answer::fail(s, x, fault)).await;
    }
    let after = finish::after(s, x, outcome.err());
    finish::finish(s, x);
    end_h1(s, x, h1);
    s.thread.end_stream(s.key);
    after
}

/// Counts a request that came over HTTP/1; whether it is one.
fn begin_h1(s: &Session) -> bool {
    let h1 = !s.client.framed;
    if h1 {
        s.front.frontend.mux.local().h1_stream.inc();
    }
    h1
}

fn end_h1(s: &Session, x: &Exchange, h1: bool) {
    if h1 {
        let mux = s.front.frontend.mux.local();
        mux.h1_stream_end.inc();
        mux.h1_in.add(x.record.bytes_in);
        mux.h1_out.add(x.record.bytes_out);
    }
}

/// Answers a request that could not be read.
pub(crate) async fn refuse(s: &mut Session, x: &mut Exchange, fault: Fault) {
    let h1 = begin_h1(s);
    let now = s.thread.now(x.record.first_byte);
    s.front.frontend.count_request(now, s.client.framed);
    if matches!(fault, Fault::BadRequest { .. }) {
        s.facts.tracked.count(id::HTTP_REQ_CNT, id::HTTP_REQ_RATE, 1, now);
        s.facts.tracked.count(id::HTTP_ERR_CNT, id::HTTP_ERR_RATE, 1, now);
    }
    answer::fail(s, x, fault).await;
    finish::finish(s, x);
    end_h1(s, x, h1);
}

async fn process(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    match request::begin(s, x).await? {
        request::Next::Answered => return answer::flush(s, x).await,
        request::Next::Tarpit(until) => {
            Box::pin(answer::tarpit(s, x, until)).await?;
            return answer::flush(s, x).await;
        }
        request::Next::Closed => return Ok(()),
        request::Next::Service(service, request) => {
            Box::pin(service::run(s, x, service, request)).await?;
            return answer::flush(s, x).await;
        }
        request::Next::Cached => return Box::pin(cache::serve(s, x)).await,
        request::Next::Server => {}
    }
    loop {
        backend::attach(s, x).await?;
        if x.server.is_none() {
            answer::elsewhere(s, x);
            return answer::flush(s, x).await;
        }
        retry::prepare(s, x);
        let sent = request::send_head(s, x);
        let carried = match sent {
            Ok(()) => transfer::run(s, x).await,
            Err(fault) => Err(fault),
        };
        match carried {
            Err(Fault::StaleConnection) if transfer::may_repeat(x) => transfer::rewind(s, x),
            Err(fault) if retry::wants(x, fault) => retry::again(s, x),
            outcome => break outcome?,
        }
    }
    if x.tunnel {
        return Box::pin(tunnel::run(s, x)).await;
    }
    finish::release_server(s, x);
    Ok(())
}
