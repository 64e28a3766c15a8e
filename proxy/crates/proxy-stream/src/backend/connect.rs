//! Getting a connection to a server: slot, idle connection or new one, retries.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use proxy_http::Method;
use proxy_net::connect::{ConnectError, ConnectFailure, ConnectOptions, connect_with_timer};
use proxy_net::timer;
use proxy_rules::logformat::Origin;
use proxy_rules::sample::connection::Connection;
use proxy_state::counters::Open;
use proxy_state::lb::Hashes;
use proxy_state::options::{HttpReuse, Proto, RetryOn};
use proxy_state::queue::{Priority, Ticket, Turn};
use proxy_state::{Backend, ChooseInput, NoServer, Server, SockAddr};
use proxy_types::{Mode, ServerId};

use super::ends::Ends;
use super::reuse::Place;
use super::{Attached, Idle, Route, Shared};
use crate::env::Back;
use crate::io::Conn;
use crate::log;
use crate::mux::fcgi::FcgiStream;
use crate::mux::h2;
use crate::session::Session;
use crate::stream::{self, Exchange};
use crate::term::Fault;
use crate::traces::{self, Level, Parties, stream as stream_events};
use crate::transport::{Exit, HandshakeError, Opened, Opening, Socks4Request};

/// Longest pause before the same server is tried again.
const TURNAROUND: Duration = Duration::from_secs(1);
/// Bytes of further requests taken in while a connection is made.
const PIPELINE: usize = 16 * 1024;

/// Attaches a connection to a server of the exchange's backend; none if the server is one that sends the client
/// elsewhere.
pub(crate) async fn attach(s: &mut Session, x: &mut Exchange) -> Result<(), Fault> {
    let back = x.backend.clone().ok_or(Fault::Internal)?;
    let (mut again, mut exclude) = match std::mem::take(&mut x.next) {
        Aim::Any => (None, None),
        Aim::Same(server) => (Some(server), None),
        Aim::Not(id) => (None, Some(id)),
    };
    loop {
        let server = match again.take() {
            Some(server) if x.persist.admits(&back, &server) && begin(s, &server) => server,
            _ => slot(s, x, &back, exclude).await?,
        };
        x.record.queue_done.get_or_insert_with(|| s.thread.tick());
        x.record.server = Some(server.clone());
        s.thread.note(s.key, |row| row.server = Some(server.id));
        if redirects(&server, x) {
            server.end_session();
            return Ok(());
        }
        server.used_connections.inc();
        let addr = server.addr().clone();
        let mut opening = opening(s, x, &back, &server);
        let ends = Ends::of(s, x);
        let key = ends.key(&server, &addr, opening.as_ref().map_or(0, Opening::key));
        let lane = lane(&server, x, opening.as_mut());
        let pooled = only_proven(s, x, &back);
        let idle = reuse(s, x, &back, &server, &addr, (key, lane), pooled)
            .or_else(|| share(s, &back, &server, (key, lane), pooled));
        let elsewhere = || server.idle_elsewhere();
        let idle = match (idle, pooled) {
            (None, Some(only_proven)) if lane != Lane::H2 && elsewhere() => {
                Box::pin(take_over(s, &back, &server, key, only_proven)).await
            }
            (idle, _) => idle,
        };
        if let Some(attached) = idle {
            connected(s, x, attached);
            return Ok(());
        }
        // Boxed like every wait that most requests do without: an idle session pays for its largest.
        let placed = match server.spec.strict_maxconn && server.maxconn() != 0 {
            true => Box::pin(place(s, &server)).await.map(Some),
            false => Ok(None),
        };
        let opened = match placed {
            Ok(place) => {
                let opened = Box::pin(open(s, x, &back, &server, &addr, opening)).await;
                opened.map(|opened| (opened, place))
            }
            Err(full) => Err(Failure::Connect(full.into())),
        };
        match opened {
            Ok((opened, place)) => {
                let shutdowns = server.shutdowns();
                server.counters.local().connect.inc();
                back.backend.counters.local().connect.inc();
                let conn = Conn::new(opened.io);
                let mut route = Route { key, facts: opened.facts, place, ..Route::default() };
                if let Some(tls) = route.facts.as_ref().and_then(|facts| facts.tls.as_ref()) {
                    let now = s.thread.now(s.thread.tick());
                    s.thread.env.registry().process.count_tls_to_server(now, tls.resumed);
                    server.tls_counts.complete(tls.resumed);
                    back.backend.tls.complete(tls.resumed);
                }
                let (conn, shared) = match speaks_h2(&server, &conn, lane) {
                    true => match Box::pin(dial(s, x, &back, &server, conn, &addr, &route)).await {
                        Ok((conn, shared)) => {
                            route.link = shared.route.link.clone();
                            (conn, Some(shared))
                        }
                        Err(fault) => {
                            server.end_session();
                            server.used_connections.dec();
                            return Err(fault);
                        }
                    },
                    false => {
                        let http = back.backend.mode == Mode::Http;
                        route.open = http.then(|| Arc::new(Open::h1(&back.backend.mux)));
                        (conn, None)
                    }
                };
                let in_use = s.thread.pool.borrow_mut().begin_use(&server, s.thread.tick());
                let attached = Attached {
                    server,
                    conn,
                    shared,
                    in_use,
                    addr,
                    route,
                    reused: false,
                    proven: false,
                    uses: 0,
                    shutdowns,
                };
                connected(s, x, attached);
                return Ok(());
            }
            Err(failure) => {
                server.end_session();
                server.used_connections.dec();
                let error = match failure {
                    Failure::Client(gone) => return Err(gone.while_connecting()),
                    Failure::Connect(failed) => {
                        if failed.facts.as_ref().is_some_and(|facts| facts.tls.is_some()) {
                            server.tls_counts.fail();
                            back.backend.tls.fail();
                        }
                        x.record.server_connection = failed.facts;
                        failed.error
                    }
                };
                if traces::STREAM.wants(stream_events::CONNECT_ERR) {
                    let event = (stream_events::CONNECT_ERR, Level::Error);
                    let parties = Parties::server(s, x);
                    traces::tell_with(&traces::STREAM, event, &parties, "cannot connect", &|t| {
                        t.text.push_str(&format!(" to {} {addr}: {error}", server.name));
                    });
                }
                let wanted = back.backend.retry_on.has(RetryOn::CONNECTION);
                if !wanted || x.record.retries >= retries(x, &back.backend) || !error.is_retryable()
                {
                    return Err(fault(&error));
                }
                x.record.retries += 1;
                server.counters.local().retries.inc();
                back.backend.counters.local().retries.inc();
                if !x.persist.force && redispatches(x, &back.backend) {
                    count_redispatch(x, &back, &server);
                    exclude = Some(server.id);
                } else {
                    if error.failure != ConnectFailure::Timeout {
                        Box::pin(pause(s, &back)).await?;
                    }
                    again = Some(server);
                }
            }
        }
    }
}

/// Where a try goes.
#[derive(Default)]
pub(crate) enum Aim {
    /// Where the algorithm says.
    #[default]
    Any,
    /// To the server that failed, if that can still take it.
    Same(Arc<Server>),
    /// To any other server, if there is one.
    Not(ServerId),
}

/// Counts that a request goes to another server.
pub(crate) fn count_redispatch(x: &mut Exchange, back: &Back, server: &Server) {
    x.record.redispatched = true;
    server.counters.local().redispatches.inc();
    back.backend.counters.local().redispatches.inc();
}

/// Whether `server` sends this request elsewhere (`redir`).
fn redirects(server: &Server, x: &Exchange) -> bool {
    server.spec.redir.is_some()
        && x.record.request_read
        && matches!(x.request.method(), Method::Get | Method::Head)
}

/// What a request has to be carried by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Any,
    H1,
    H2,
}

/// What carries a request to `server`: WebSockets may have their own way (configuration manual, 5.2 "ws"). A connection to
/// be opened is made to agree.
fn lane(server: &Server, x: &Exchange, opening: Option<&mut Opening>) -> Lane {
    if !stream::asks_for_websocket(x) {
        return Lane::Any;
    }
    match (server.spec.ws, server.spec.proto) {
        (Some(proto), _) => {
            let (protocol, lane) = match proto {
                Proto::H1 => (&b"http/1.1"[..], Lane::H1),
                // No row of 'ws' gives FastCGI.
                Proto::H2 | Proto::Fcgi => (&b"h2"[..], Lane::H2),
            };
            if let Some(opening) = opening {
                opening.agree_on(protocol);
            }
            lane
        }
        (None, Some(Proto::H1 | Proto::Fcgi)) => Lane::H1,
        (None, Some(Proto::H2)) => Lane::H2,
        (None, None) => match opening {
            Some(opening) if opening.offers(b"http/1.1") => {
                opening.agree_on(b"http/1.1");
                Lane::H1
            }
            Some(opening) if opening.offers(b"h2") => Lane::H2,
            _ => Lane::H1,
        },
    }
}

/// Whether HTTP/2 is spoken on a connection to `server`: by `proto h2`, because ALPN agreed on it, or because the request
/// wants it.
fn speaks_h2(server: &Server, conn: &Conn, lane: Lane) -> bool {
    match (lane, server.spec.proto) {
        (Lane::H1, _) | (_, Some(Proto::Fcgi)) => false,
        (Lane::H2, _) => conn.io.alpn().is_none_or(|agreed| agreed == b"h2"),
        (Lane::Any, Some(proto)) => proto == Proto::H2,
        (Lane::Any, None) => conn.io.alpn() == Some(b"h2"),
    }
}

/// A place among the connections that a server with `strict-maxconn` may have: idle ones make room.
async fn place(s: &Session, server: &Arc<Server>) -> Result<Arc<Place>, ConnectError> {
    loop {
        if let Some(place) = Place::take(server) {
            return Ok(place);
        }
        let closed = s.thread.pool.borrow_mut().close_one(server);
        if !closed && !s.thread.env.mailboxes.make_room(server).await {
            return Err(ConnectError { failure: ConnectFailure::Resource, cause: None });
        }
    }
}

/// Speaks HTTP/2 on a new connection and opens its first stream.
async fn dial(
    s: &mut Session,
    x: &Exchange,
    back: &Back,
    server: &Arc<Server>,
    conn: Conn,
    addr: &Arc<SockAddr>,
    route: &Route,
) -> Result<(Conn, Rc<Shared>), Fault> {
    let env = s.thread.env.clone();
    let max = (env.limits.max_head, env.limits.max_headers);
    let dialed = h2::dial(conn, &env.h2, max, server.spec.idle_ping, &back.backend.mux);
    let mut conn = dialed.open()?;
    if x.record.request_read && x.request.flags().upgrade {
        let limit = in_force(x, back);
        let settled = timer::timeout(limit, dialed.settled(&mut conn)).await;
        settled.map_err(|_| Fault::ConnectTimeout)??;
        if stream::asks_for_websocket(x) && !dialed.carries_tunnels() {
            return Err(Fault::BadResponse);
        }
    }
    let route = Route { link: dialed.facts(), ..route.clone() };
    let shared = Rc::new(Shared { dialed, addr: addr.clone(), route, uses: Cell::new(1) });
    if x.keep_server && back.backend.options.http_reuse != HttpReuse::Never {
        s.thread.pool.borrow_mut().offer(server, shared.clone(), s.thread.tick());
    }
    Ok((conn, shared))
}

/// A stream of a connection that other requests use, too, if this request may share one.
fn share(
    s: &Session,
    back: &Back,
    server: &Arc<Server>,
    (key, lane): (u64, Lane),
    pooled: Option<bool>,
) -> Option<Attached> {
    let only_proven = pooled.filter(|_| lane != Lane::H1)?;
    loop {
        let shared = s.thread.pool.borrow_mut().share(server, key, only_proven)?;
        if lane == Lane::H2 && !shared.dialed.carries_tunnels() {
            return None;
        }
        // One that ends at this moment has no room the next time.
        let Ok(conn) = shared.dialed.open() else { continue };
        shared.uses.set(shared.uses.get().saturating_add(1));
        count_reuse(back, server);
        let in_use = s.thread.pool.borrow_mut().begin_use(server, s.thread.tick());
        return Some(Attached {
            server: server.clone(),
            conn,
            addr: shared.addr.clone(),
            route: shared.route.clone(),
            reused: true,
            proven: true,
            uses: shared.uses.get(),
            shutdowns: server.shutdowns(),
            in_use,
            shared: Some(shared),
        });
    }
}

fn connected(s: &Session, x: &mut Exchange, mut attached: Attached) {
    // A reused connection was there at once.
    let at = x.record.queue_done.filter(|_| attached.reused);
    x.record.connected = Some(at.unwrap_or_else(|| s.thread.tick()));
    x.record.reused = attached.reused;
    x.record.server_http = Some(if attached.conn.framed { 2 } else { 1 });
    if attached.server.spec.proto == Some(Proto::Fcgi) {
        let app = x.backend.as_ref().and_then(|back| back.fcgi.clone());
        let params = x.fcgi.as_deref().cloned().unwrap_or_default();
        let keep = x.keep_server && app.as_ref().is_some_and(|app| app.keep_conn);
        let (carrier, max) = (attached.conn, s.thread.env.limits.max_head);
        let stream =
            FcgiStream::new(carrier, params, keep, max, app.and_then(|app| app.log.clone()));
        attached.conn = Conn::new(Box::new(stream));
    }
    x.record.server_connection.clone_from(&attached.route.facts);
    x.record.server_link = Some(attached.route.link.clone());
    x.server = Some(attached);
    if let Some(mux) = stream::server_h1(x) {
        mux.h1_stream.inc();
    }
    if traces::STREAM.wants(stream_events::CONNECT) {
        let event = (stream_events::CONNECT, Level::User);
        let parties = Parties::server(s, x);
        traces::tell_with(&traces::STREAM, event, &parties, "connected to server", &|t| {
            let server = x.server.as_ref().map(|attached| (&attached.server.name, &attached.addr));
            if let Some((name, addr)) = server {
                let how = if x.record.reused { "reused" } else { "new" };
                t.text.push_str(&format!(" {name} {addr} ({how})"));
            }
        });
    }
    match s.front.frontend.mode {
        Mode::Log | Mode::Tcp | Mode::Udp => log::last_step(s, x, Origin::TxnConnect),
        Mode::Http => log::step(s, x, Origin::TxnConnect),
    }
}

fn fault(error: &ConnectError) -> Fault {
    match error.failure {
        ConnectFailure::Timeout => Fault::ConnectTimeout,
        ConnectFailure::Refused | ConnectFailure::Unreachable => Fault::ConnectRefused,
        ConnectFailure::Exhausted | ConnectFailure::Resource | ConnectFailure::Local => {
            Fault::ConnectResource
        }
    }
}

/// How often this stream may try again.
pub(crate) fn retries(x: &Exchange, backend: &Backend) -> u32 {
    x.overrides.retries.get().unwrap_or(backend.retries)
}

/// `option redispatch [interval]`: whether the retry (from 1) that was just counted goes to another server.
pub(crate) fn redispatches(x: &Exchange, backend: &Backend) -> bool {
    let (retry, retries) = (i64::from(x.record.retries), i64::from(retries(x, backend)));
    match backend.redispatch.map(i64::from) {
        None | Some(0) => false,
        Some(every @ 1..) => retry % every == 0,
        Some(before_last) => retry == retries + 1 + before_last,
    }
}

/// Where rules want the stream in queues, beside when it came.
fn priority(s: &Session, x: &Exchange) -> Priority {
    let (class, offset) = x.overrides.priority.get();
    let now = i64::try_from(s.thread.now(s.thread.tick()).0).unwrap_or(i64::MAX);
    Priority { class, due: now.saturating_add(i64::from(offset)) }
}

/// Takes a session slot on `server`.
fn begin(s: &Session, server: &Server) -> bool {
    server.try_begin_session(s.thread.now(s.thread.tick()))
}

/// Chooses a server and takes a slot of it, waiting for one if need be.
async fn slot(
    s: &mut Session,
    x: &mut Exchange,
    back: &Back,
    mut exclude: Option<ServerId>,
) -> Result<Arc<Server>, Fault> {
    let backend = &back.backend;
    let random = s.thread.random();
    let mut bound = bound(s, x, back, exclude);
    loop {
        let is_bound = bound.is_some();
        let count = |server| if is_bound { server } else { balanced(back, server) };
        let chosen = match bound.take().map_or_else(|| choose(s, x, back, exclude, random), Ok) {
            Ok(server) if begin(s, &server) => return Ok(count(server)),
            Ok(server) => Some(server),
            Err(NoServer::AllFull) => None,
            Err(NoServer::NoneAvailable) => return Err(Fault::NoServer),
        };
        let ticket = match (backend.enqueue(chosen.as_ref(), priority(s, x)), chosen) {
            (Ok(ticket), _) => ticket,
            // A queue that is full sends on to another server, once.
            (Err(_), Some(server)) if exclude != Some(server.id) => {
                exclude = Some(server.id);
                continue;
            }
            (Err(_), _) => return Err(Fault::QueueFull),
        };
        match Box::pin(wait(s, x, back, ticket)).await? {
            Turn::ChooseAgain => {}
            Turn::Slot(server) => {
                server.count_session(s.thread.now(s.thread.tick()));
                return Ok(count(server));
            }
        }
    }
}

/// The server that the stream is bound to, or likes best, if it can go there.
fn bound(s: &Session, x: &Exchange, back: &Back, exclude: Option<ServerId>) -> Option<Arc<Server>> {
    let other = |server: &&Arc<Server>| exclude != Some(server.id);
    if let Some(server) = &x.persist.pinned {
        return Some(server).filter(other).filter(|server| x.persist.admits(back, server)).cloned();
    }
    if back.backend.lb.algorithm.hashes != Hashes::Nothing {
        return None;
    }
    let last = s
        .last_server
        .as_ref()
        .filter(|last| back.backend.options.prefer_last_server || last.challenged)?;
    let server = last.server.upgrade()?;
    let same = back.backend.server_by_id(server.id).is_some_and(|own| Arc::ptr_eq(&own, &server));
    // Beyond `max-keep-alive-queue` another server is as good.
    let queue = back.backend.max_keep_alive_queue;
    let waits = queue.is_none_or(|most| server.queued.get() < most);
    let room = !server.is_full() || waits;
    let likes = same && server.is_eligible() && room && exclude != Some(server.id);
    likes.then_some(server)
}

/// Asks the algorithm, with what it hashes.
fn choose(
    s: &Session,
    x: &Exchange,
    back: &Back,
    exclude: Option<ServerId>,
    random: u32,
) -> Result<Arc<Server>, NoServer> {
    let client = x.overrides.src.get().or(s.facts.src).map(|a| a.ip());
    let now = s.thread.now(s.thread.tick());
    stream::with_balance_key(s, x, back, |key| {
        back.backend.choose(&ChooseInput { client, key, exclude, random, now })
    })
}

/// Counts a choice of the algorithm.
fn balanced(back: &Back, server: Arc<Server>) -> Arc<Server> {
    back.backend.counters.local().lb_tot.inc();
    server
}

/// Waits in a queue, for `timeout queue` at most.
async fn wait(
    s: &mut Session,
    x: &mut Exchange,
    back: &Back,
    ticket: Ticket,
) -> Result<Turn, Fault> {
    if ticket.server().is_some() {
        x.record.server_queue = ticket.position;
    } else {
        x.record.backend_queue = ticket.position;
    }
    let set = x.overrides.timeouts.get();
    s.server_timer.arm(stream::in_force(set.queue, back.backend.timeouts.queue()));
    let on_eof = on_eof(back);
    let mut ticket = pin!(ticket);
    let turn = poll_fn(|cx| {
        if let Poll::Ready(turn) = ticket.as_mut().poll(cx) {
            return Poll::Ready(Ok(turn));
        }
        if let Some(gone) = client_gone(s, cx, on_eof) {
            return Poll::Ready(Err(match gone {
                Gone::Killed => Fault::Killed,
                Gone::Left => Fault::QueueAbort,
                Gone::Silent => Fault::QueueClientTimeout,
            }));
        }
        s.server_timer.poll_expired(cx).map(|()| Err(Fault::QueueTimeout))
    })
    .await;
    s.server_timer.disarm();
    if turn.is_err() {
        // It had its time in the queue.
        x.record.queue_done.get_or_insert_with(|| s.thread.tick());
    }
    turn
}

/// Which connections of the thread, or of others, this request may use (`http-reuse`): `Some(true)`, those that carried
/// requests of several sessions; `Some(false)`, any; `None`, none of them.
fn only_proven(s: &Session, x: &Exchange, back: &Back) -> Option<bool> {
    let first = s.requests == 1;
    if x.flow.fresh_only || !x.keep_server {
        return None;
    }
    match back.backend.options.http_reuse {
        HttpReuse::Never => None,
        // Sending a first request on a connection that may just be closing could lose it.
        HttpReuse::Safe if first => None,
        HttpReuse::Aggressive => Some(first),
        HttpReuse::Safe | HttpReuse::Always => Some(false),
    }
}

/// An idle connection to `server`, if this request may use one: the session's own, or one of the thread's.
fn reuse(
    s: &mut Session,
    x: &Exchange,
    back: &Back,
    server: &Arc<Server>,
    addr: &Arc<SockAddr>,
    (key, lane): (u64, Lane),
    pooled: Option<bool>,
) -> Option<Attached> {
    if x.flow.fresh_only || !x.keep_server || lane == Lane::H2 {
        return None;
    }
    let attached = if back.backend.options.http_reuse == HttpReuse::Never {
        let mut own = s.own.as_mut()?.take(server, addr, key)?;
        own.reused = true;
        own
    } else {
        let idle = s.thread.pool.borrow_mut().take(server, key, pooled?)?;
        wake_up(s, server, idle)
    };
    count_reuse(back, server);
    Some(attached)
}

fn count_reuse(back: &Back, server: &Server) {
    server.counters.local().reuse.inc();
    back.backend.counters.local().reuse.inc();
}

/// Puts an idle connection to use.
fn wake_up(s: &Session, server: &Arc<Server>, idle: Idle) -> Attached {
    let Idle { conn, addr, route, proven, uses } = idle;
    Attached {
        in_use: s.thread.pool.borrow_mut().begin_use(server, s.thread.tick()),
        shared: None,
        server: server.clone(),
        conn,
        addr,
        route,
        reused: true,
        proven,
        uses,
        shutdowns: server.shutdowns(),
    }
}

/// An idle connection of another thread.
async fn take_over(
    s: &Session,
    back: &Back,
    server: &Arc<Server>,
    key: u64,
    only_proven: bool,
) -> Option<Attached> {
    let idle = s.thread.env.mailboxes.take(server, key, only_proven).await?;
    count_reuse(back, server);
    Some(wake_up(s, server, idle))
}

enum Failure {
    Client(Gone),
    Connect(Failed),
}

/// What a connection to `server` begins with for this stream; `None` is nothing.
fn opening(s: &Session, x: &Exchange, back: &Back, server: &Server) -> Option<Opening> {
    let exit = server.spec.transport.as_ref()?.downcast_ref::<Exit>()?;
    let bump = s.thread.bump.borrow();
    let mut cx = s.context(&bump);
    cx.backend = Some(&back.backend);
    cx.server = Some(server);
    cx.request = x.record.request_read.then_some(&x.request);
    cx.req_data = (!x.record.request_read).then(|| s.client.input.data());
    cx.vars = Some(&x.vars);
    cx.tracked = Some(&x.tracked);
    let (src, dst) = (x.overrides.src.get(), x.overrides.dst.get());
    let ends = src.or(s.facts.src).zip(dst.or(s.facts.dst));
    let mut opening = exit.opening(&cx, ends, x.unique_id.as_deref());
    // Whoever sends early data, or would send a refused request again, takes it that a copy may come before
    // (configuration manual, 5.2 "allow-0rtt").
    let client = s.facts.connection.tls.as_ref().is_some_and(|tls| tls.early.is_some());
    opening.early = x.record.request_read
        && exit.tls.as_ref().is_some_and(|tls| tls.early)
        && (client || back.backend.retry_on.has(RetryOn::EARLY_DATA));
    drop(bump);
    s.thread.bump.borrow_mut().reset();
    Some(opening)
}

/// Connects, and does what `opening` asks for, all within `timeout connect`.
async fn establish(
    to: SockAddr,
    options: ConnectOptions,
    limit: Option<Duration>,
    socks4: Option<SocketAddr>,
    mut opening: Option<Opening>,
) -> Result<Opened, Failed> {
    let timer = timer::Timer::new();
    timer.arm(limit);
    let socket = match socks4 {
        None => connect_with_timer(&to, &options, &timer).await?,
        Some(proxy) => {
            let Some(request) = to.inet().and_then(Socks4Request::new) else {
                let cause = Some(io::Error::from(io::ErrorKind::AddrNotAvailable));
                return Err(ConnectError { failure: ConnectFailure::Local, cause }.into());
            };
            opening.get_or_insert_default().socks4 = Some(request);
            connect_with_timer(&proxy.into(), &options, &timer).await?
        }
    };
    match opening {
        None => Ok(Opened::plain(socket)),
        Some(opening) => opening.perform(socket, to.inet(), &timer).await.map_err(|failed| {
            let (failure, cause) = match failed.error {
                HandshakeError::Timeout => (ConnectFailure::Timeout, None),
                error => (ConnectFailure::Refused, Some(io::Error::other(error))),
            };
            Failed { error: ConnectError { failure, cause }, facts: failed.facts }
        }),
    }
}

/// A connection that was not made.
struct Failed {
    error: ConnectError,
    facts: Option<Arc<Connection>>,
}

impl From<ConnectError> for Failed {
    fn from(error: ConnectError) -> Self {
        Self { error, facts: None }
    }
}

/// `timeout connect`.
fn in_force(x: &Exchange, back: &Back) -> Option<Duration> {
    stream::in_force(x.overrides.timeouts.get().connect, back.backend.timeouts.connect)
}

/// Opens a connection, unless the client leaves first.
async fn open(
    s: &mut Session,
    x: &Exchange,
    back: &Back,
    server: &Server,
    addr: &SockAddr,
    opening: Option<Opening>,
) -> Result<Opened, Failure> {
    let ends = Ends::of(s, x);
    let to = ends.destination(addr, &server.spec);
    let mut options = ends.connect_options(server, back, s.thread.random());
    options.buffers = s.thread.env.server_buffers;
    // With something to send at once, the kernel's acknowledgement travels with it.
    options.smart_connect |= opening.as_ref().is_some_and(|opening| !opening.is_nothing());
    if let Some(ip) = opening.as_ref().and_then(|opening| opening.source) {
        options.source = Some(SocketAddr::new(ip, 0));
        options.transparent = true;
    }
    let limit = in_force(x, back);
    let on_eof = on_eof(back);
    // As in HAProxy, a client that sends nothing more is only listened to where its end matters.
    let stays = s.front.frontend.mode == Mode::Http && !x.keep_client;
    let socks4 = server.spec.socks4.as_deref().copied();
    let mut connecting = pin!(establish(to, options, limit, socks4, opening));
    poll_fn(|cx| match connecting.as_mut().poll(cx) {
        Poll::Ready(outcome) => Poll::Ready(outcome.map_err(Failure::Connect)),
        Poll::Pending if stays && !s.is_killed() && !s.listens(on_eof != OnEof::Stay, cx) => {
            Poll::Pending
        }
        Poll::Pending => match client_gone(s, cx, on_eof) {
            Some(gone) => Poll::Ready(Err(Failure::Client(gone))),
            None => Poll::Pending,
        },
    })
    .await
}

/// The turn-around pause before the same server is tried again.
async fn pause(s: &mut Session, back: &Back) -> Result<(), Fault> {
    let length = back.backend.timeouts.connect.unwrap_or(TURNAROUND).min(TURNAROUND);
    let on_eof = on_eof(back);
    let mut sleeping = pin!(timer::sleep(length));
    poll_fn(|cx| {
        if let Some(gone) = client_gone(s, cx, on_eof) {
            return Poll::Ready(Err(gone.while_connecting()));
        }
        sleeping.as_mut().poll(cx).map(Ok)
    })
    .await
}

/// What the end of the client's direction means to a stream that has no server yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnEof {
    /// Nothing: the client still waits for its answer.
    Stay,
    /// The client left.
    Leave,
    /// The client left, unless it sent something.
    LeaveIfSilent,
}

fn on_eof(back: &Back) -> OnEof {
    match (back.backend.options.abortonclose, back.backend.mode) {
        (true, _) => OnEof::Leave,
        (false, Mode::Http) => OnEof::Stay,
        (false, Mode::Log | Mode::Tcp | Mode::Udp) => OnEof::LeaveIfSilent,
    }
}

/// Why nobody waits for a server any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    /// An operator ended the stream.
    Killed,
    Left,
    /// `timeout client`, which runs in mode tcp while the client may still send.
    Silent,
}

impl Gone {
    fn while_connecting(self) -> Fault {
        match self {
            Self::Killed => Fault::Killed,
            Self::Left => Fault::ConnectAbort,
            Self::Silent => Fault::ConnectClientTimeout,
        }
    }
}

fn client_gone(s: &mut Session, cx: &mut Context<'_>, on_eof: OnEof) -> Option<Gone> {
    let before = s.client.input.len();
    if s.is_killed() {
        return Some(Gone::Killed);
    }
    if client_left(&mut s.client, cx, on_eof) {
        return Some(Gone::Left);
    }
    if s.front.frontend.mode == Mode::Http || s.client.eof {
        return None;
    }
    if s.client.input.len() > before {
        s.client_timer.arm(s.front.frontend.timeouts.client);
    }
    // What it sent is for the server, however long that takes to answer.
    let silent = s.client.input.is_empty() && s.client_timer.poll_expired(cx).is_ready();
    silent.then_some(Gone::Silent)
}

/// Whether the client went away. What it sends meanwhile is kept.
pub(crate) fn client_left(client: &mut Conn, cx: &mut Context<'_>, on_eof: OnEof) -> bool {
    if client.framed {
        return client.framed().is_ok_and(|client| client.poll_gone(cx).is_ready());
    }
    match receive(client, cx, PIPELINE) {
        Err(_) => true,
        Ok(()) if !client.eof => false,
        Ok(()) => match on_eof {
            OnEof::Stay => false,
            OnEof::Leave => true,
            OnEof::LeaveIfSilent => client.input.is_empty(),
        },
    }
}

/// Takes in what the client sent, until nothing more is there, its end, or about `limit` bytes wait.
pub(crate) fn receive(client: &mut Conn, cx: &mut Context<'_>, limit: usize) -> io::Result<()> {
    while !client.eof && client.input.len() < limit {
        let read = crate::scratch::with(|buf| {
            let read = client.poll_read(cx, &mut buf[..PIPELINE]);
            if let Poll::Ready(Ok(n)) = read {
                client.input.push(&buf[..n]);
            }
            read
        });
        match read {
            Poll::Pending => break,
            Poll::Ready(outcome) => {
                outcome?;
            }
        }
    }
    Ok(())
}
