//! One client connection: requests are read one after the other, each lives through a stream.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bumpalo::Bump;
use proxy_http::RequestHead;
use proxy_http::h1::{Limits, ParseError, Progress, parse_request};
use proxy_net::clock::Tick;
use proxy_net::stop::JobGuard;
use proxy_net::timer::Timer;
use proxy_net::{Handle, Stream, sockopt};
use proxy_rules::sample::EvalCtx;
use proxy_rules::sample::context::{Socket, StreamEnd, TcpInfo};
use proxy_state::options::Proto;
use proxy_state::stick::data::id;
use std::os::fd::{AsFd, BorrowedFd};

use crate::env::{Accepted, Front};
use crate::io::{Conn, Io, Used, tcp_info};
use crate::mux::h2::{self, PREFACE};
use crate::stream::{self, Admission, Admitted, After, Exchange, Expected};
use crate::term::Fault;
use crate::thread::{SeatKey, Thread};
use crate::traces::{self, Level, Parties};
use crate::transport;

/// How long a closing connection is drained, so that the last answer is not lost to a reset.
pub(crate) const LINGER: Duration = Duration::from_secs(1);

/// How long the end of a client may go unnoticed that said that its request is the last.
const UNHEARD: Duration = Duration::from_millis(50);

/// Bytes of the HTTP/2 preface that look like a request line.
const PREFACE_LINE: usize = 16;
/// Bytes of the HTTP/2 preface that no HTTP/1 request begins with: its method and a blank are not enough.
const PREFACE_SIGN: usize = 4;

/// A client connection.
pub(crate) struct Session {
    pub(crate) thread: Rc<Thread>,
    pub(crate) front: Arc<Front>,
    /// What rules see of this connection.
    pub(crate) facts: proxy_rules::sample::context::Session,
    pub(crate) client: Conn,
    /// The client's socket, where it is the multiplexer's.
    socket: Option<Box<Handle>>,
    pub(crate) client_timer: Timer,
    pub(crate) server_timer: Timer,
    /// Server connections that only this session may use again. Boxed: most sessions have none.
    pub(crate) own: Option<Box<crate::backend::Own>>,
    /// The server of the previous request, when the next one should rather go there, too.
    pub(crate) last_server: Option<Box<LastServer>>,
    /// Requests read so far.
    pub(crate) requests: u32,
    /// When the current wait for a request began.
    started: Tick,
    /// How long the entrance took: PROXY protocol and TLS (`%Th`).
    pub(crate) handshake_ms: u32,
    pub(crate) key: Option<SeatKey>,
    /// What the client speaks; `None` is HTTP/1 until it shows otherwise.
    proto: Option<Proto>,
    /// The stream that began in mode tcp, for the first request.
    carried: Option<Box<Exchange>>,
    /// A connection of HTTP/2 that carries no stream.
    pub(crate) idle: bool,
    /// This is a client connection, not a stream of one.
    counted: bool,
    _job: JobGuard,
}

/// Where the previous request of a session went.
pub(crate) struct LastServer {
    pub(crate) server: std::sync::Weak<proxy_state::Server>,
    /// It asked for credentials (401, 407), which some servers bind to the connection.
    pub(crate) challenged: bool,
}

/// What a session does next.
enum Next {
    Request(Box<Exchange>),
    Http2,
    End,
}

/// How the wait for a request ended.
enum HeadEnd {
    /// Too many heads that only the relaxed rules took.
    Killed,
    Complete,
    /// The client speaks HTTP/2.
    Preface,
    /// The client closed; whether after some bytes of a head.
    Closed(bool),
    /// A timer expired; whether after some bytes of a head.
    Timeout(bool),
    Bad(ParseError),
    Drained,
}

/// Serves an accepted connection of a frontend in mode http to its end. Counts the connection at once and
/// returns the task, to be run with `spawn_local` on the thread that `thread` belongs to.
pub fn serve(
    thread: Rc<Thread>,
    front: Arc<Front>,
    io: Box<dyn Io>,
    accepted: Accepted,
) -> impl Future<Output = ()> {
    let mut session = Session::new(thread, front, io, accepted);
    // By reference: a future that is given a value holds it twice.
    async move {
        session.thread.clone().timed(pin!(run(&mut session))).await;
    }
}

/// Serves an accepted connection of a frontend in mode tcp to its end; used like [`serve`]. A soft stop lets
/// it live on, a hard stop ends it.
pub fn serve_tcp(
    thread: Rc<Thread>,
    front: Arc<Front>,
    stream: Stream,
    accepted: Accepted,
) -> impl Future<Output = ()> {
    let mut session = Session::new(thread, front, Box::new(stream), accepted);
    async move {
        session.thread.clone().timed(pin!(run_tcp(&mut session))).await;
    }
}

/// Lets a connection in. False when it is refused.
async fn begin(session: &mut Session) -> bool {
    if traces::SESSION.wants(traces::session::NEW) {
        let event = (traces::session::NEW, Level::User);
        traces::tell(&traces::SESSION, event, &Parties::client(session, None), "new session");
    }
    let begun = enter(session).await;
    if !begun && traces::SESSION.wants(traces::session::ERR) {
        let event = (traces::session::ERR, Level::Error);
        traces::tell(&traces::SESSION, event, &Parties::client(session, None), "session refused");
    }
    begun
}

/// Runs the rules of connections, what stands at the entrance, and the rules of sessions. False when one refused.
async fn enter(session: &mut Session) -> bool {
    let Admitted::Enters { expect } = stream::admit(session, Admission::Connection) else {
        return false;
    };
    if expect != Expected::default() || session.facts.listener.transport.is_some() {
        if !Box::pin(transport::enter(session, expect)).await {
            return false;
        }
        // What follows is measured from here on.
        let now = session.thread.tick();
        let taken = now.since(session.started).as_millis();
        session.handshake_ms = u32::try_from(taken).unwrap_or(u32::MAX);
        session.started = now;
    }
    let admitted = stream::admit(session, Admission::Session) != Admitted::Refused;
    if admitted && !session.facts.tracked.is_empty() {
        let now = session.thread.now(session.thread.tick());
        session.facts.tracked.count(id::SESS_CNT, id::SESS_RATE, 1, now);
    }
    admitted
}

async fn run_tcp(session: &mut Session) {
    poll_fn(|cx| {
        session.enter(cx);
        Poll::Ready(())
    })
    .await;
    if !begin(session).await {
        return;
    }
    let mut exchange = session.thread.exchange();
    exchange.record.start = session.started;
    exchange.record.first_byte = session.started;
    match Box::pin(stream::tcp::run(session, &mut exchange)).await {
        stream::tcp::Outcome::Done => session.thread.recycle(exchange),
        stream::tcp::Outcome::Http => {
            session.proto = exchange.effects.switch_mode.and_then(|mode| mode.proto);
            exchange.upgrade();
            session.carried = Some(exchange);
            Box::pin(serve_http(session)).await;
        }
    }
}

async fn run(session: &mut Session) {
    if !begin(session).await {
        return;
    }
    let agreed = session.client.io.alpn() == Some(b"h2");
    session.proto = session.facts.listener.proto.or_else(|| agreed.then_some(Proto::H2));
    serve_http(session).await;
}

/// Serves requests to the end of the connection.
async fn serve_http(session: &mut Session) {
    if session.proto == Some(Proto::H2) {
        session.lend_socket();
        return Box::pin(h2::serve(session)).await;
    }
    let mut counted = false;
    trace_h1(session, traces::h1::CONN_NEW, "new HTTP/1 connection");
    session.front.frontend.mux.local().h1_conn.inc();
    loop {
        let next = session.next_request().await;
        if !std::mem::replace(&mut counted, true) && !matches!(next, Next::Http2) {
            session.front.frontend.counters.local().h1_sess.inc();
        }
        let mut exchange = match next {
            Next::Request(exchange) => exchange,
            Next::Http2 => {
                trace_h1(session, traces::h1::CONN_END, "HTTP/1 connection goes on in HTTP/2");
                session.front.frontend.mux.local().h1_conn_end.inc();
                session.lend_socket();
                return Box::pin(h2::serve(session)).await;
            }
            Next::End => break,
        };
        // Boxed: what an exchange needs is not kept while the connection is idle.
        let after = Box::pin(stream::run(session, &mut exchange)).await;
        session.thread.recycle(exchange);
        match after {
            After::NextRequest => session.started = session.thread.tick(),
            After::Close => break,
            After::Drain => {
                Box::pin(session.linger()).await;
                break;
            }
        }
    }
    trace_h1(session, traces::h1::CONN_END, "HTTP/1 connection terminated");
    session.front.frontend.mux.local().h1_conn_end.inc();
}

fn trace_h1(session: &Session, event: u64, what: &str) {
    if traces::H1.wants(event) {
        let parties = Parties::client(session, None);
        traces::tell(&traces::H1, (event, Level::State), &parties, what);
    }
}

impl Socket for Session {
    fn tcp_info(&self) -> Option<TcpInfo> {
        self.with_socket(|socket| tcp_info(&socket))?
    }

    fn saved_syn(&self) -> Option<Vec<u8>> {
        self.with_socket(|socket| sockopt::saved_syn(&socket))?.ok()
    }

    fn stream(&self) -> StreamEnd {
        // HTTP/1 counts its requests.
        let own = StreamEnd { id: self.requests, ..StreamEnd::default() };
        self.client.io.stream().unwrap_or(own)
    }
}

impl Session {
    fn new(thread: Rc<Thread>, front: Arc<Front>, io: Box<dyn Io>, accepted: Accepted) -> Self {
        let now = thread.now(accepted.at);
        thread.env.registry().process.begin_connection(now);
        thread.env.registry().process.session_rate.inc(now);
        front.frontend.count_connection(now);
        front.frontend.begin_session(now);
        let listener = accepted.listener.counters.local();
        listener.conn_tot.inc();
        listener.sess_tot.inc();
        accepted.listener.sessions.inc();
        let (started, job) = (accepted.at, thread.stop.job());
        let facts = proxy_rules::sample::context::Session {
            src: accepted.src,
            dst: accepted.dst,
            accepted: crate::env::date(),
            listener: accepted.listener,
            vars: Default::default(),
            tracked: Default::default(),
            connection: Default::default(),
            link: Default::default(),
        };
        Self {
            thread,
            front,
            facts,
            client: Conn::new(io),
            socket: None,
            client_timer: Timer::new(),
            server_timer: Timer::new(),
            own: None,
            last_server: None,
            requests: 0,
            started,
            handshake_ms: 0,
            key: None,
            proto: None,
            carried: None,
            idle: false,
            counted: true,
            _job: job,
        }
    }

    /// A stream of this connection, as a session of its own.
    pub(crate) fn stream(&self, client: Conn) -> Self {
        let mut facts = self.facts.clone();
        facts.connection.multiplexed = true;
        Self {
            thread: self.thread.clone(),
            front: self.front.clone(),
            facts,
            client,
            socket: self.socket.clone(),
            client_timer: Timer::new(),
            server_timer: Timer::new(),
            own: None,
            last_server: None,
            requests: 0,
            started: self.thread.tick(),
            handshake_ms: self.handshake_ms,
            key: None,
            proto: None,
            carried: None,
            idle: false,
            counted: false,
            _job: self.thread.stop.job(),
        }
    }

    /// Serves the only request of a stream, whose head `exchange` holds: the `number`-th of its connection.
    pub(crate) async fn run_framed(mut self, number: u32, exchange: Box<Exchange>) {
        self.thread.clone().timed(pin!(self.serve_framed(number, exchange))).await;
    }

    async fn serve_framed(&mut self, number: u32, mut exchange: Box<Exchange>) {
        poll_fn(|cx| {
            self.enter(cx);
            Poll::Ready(())
        })
        .await;
        self.requests = number;
        exchange.record.start = self.started;
        exchange.record.first_byte = self.started;
        exchange.record.bytes_in = exchange.request.headers().buffered() as u64;
        stream::run(self, &mut exchange).await;
        if !exchange.is_complete()
            && let Ok(client) = self.client.framed()
        {
            client.abort();
        }
        self.thread.recycle(exchange);
    }

    /// Answers a request of a stream that cannot be understood.
    pub(crate) async fn refuse_framed(mut self, number: u32, mut exchange: Box<Exchange>) {
        self.thread.look();
        poll_fn(|cx| {
            self.enter(cx);
            Poll::Ready(())
        })
        .await;
        self.requests = number;
        (exchange.record.start, exchange.record.first_byte) = (self.started, self.started);
        stream::refuse(&mut self, &mut exchange, Fault::BadRequest { status: 400 }).await;
        self.thread.recycle(exchange);
    }

    /// Keeps a way to the client's socket, which goes to the multiplexer.
    fn lend_socket(&mut self) {
        self.socket = self.client.io.transport().map(|socket| Box::new(socket.handle()));
    }

    /// Calls `use_it` with the client's socket, unless that is gone.
    pub(crate) fn with_socket<T>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        match (self.client.io.transport(), &self.socket) {
            (Some(socket), _) => Some(use_it(socket.as_fd())),
            (None, Some(handle)) => handle.with(use_it),
            (None, None) => None,
        }
    }

    /// Whether the client's connection is one over TLS.
    fn client_over_tls(&self) -> bool {
        self.facts.connection.tls.as_ref().is_some_and(|tls| tls.established)
    }

    /// Has the task woken at a stop.
    pub(crate) fn enter(&mut self, cx: &Context<'_>) {
        if self.key.is_none() {
            self.key = Some(self.thread.enter(cx.waker().clone()));
        }
    }

    /// Whether the stream is to end at once: the worker is killed, or an operator ended it.
    pub(crate) fn is_killed(&self) -> bool {
        self.thread.stop.is_killed() || self.thread.is_killed(self.key)
    }

    /// Whether the session, which could go on, is to end because the worker stops.
    pub(crate) fn leaves(&self) -> bool {
        self.thread.leaves(self.key)
    }

    /// Whether a client that sends nothing more is to be listened to while something else is waited for, because its
    /// end `matters`. One that the reactor does not know stays unknown for a moment: most answers come within it.
    pub(crate) fn listens(&self, matters: bool, cx: &Context<'_>) -> bool {
        if self.client.is_watched() {
            return true;
        }
        if matters && self.client_timer.deadline().is_none() {
            self.client_timer.arm(UNHEARD);
        }
        matters && self.client_timer.poll_expired(cx).is_ready()
    }

    /// Limits of request heads.
    fn limits(&self) -> Limits {
        Limits {
            relaxed: self.front.frontend.options.accept_unsafe_request,
            ..self.thread.env.limits
        }
    }

    /// Reads the next request head. What there was to answer at the end was answered.
    async fn next_request(&mut self) -> Next {
        let timeouts = &self.front.frontend.timeouts;
        let first = self.requests == 0;
        let idle = if first { timeouts.http_request() } else { timeouts.http_keep_alive() };
        let limits = self.limits();
        let mut exchange = None;
        let mut fresh = !self.client.input.is_empty();
        if !fresh {
            self.client_timer.arm(idle);
        }
        let end = poll_fn(|cx| self.poll_head(cx, &limits, &mut fresh, &mut exchange)).await;
        self.client_timer.disarm();
        self.server_timer.disarm();
        match (end, exchange) {
            (HeadEnd::Complete, Some(exchange)) => {
                self.requests = self.requests.saturating_add(1);
                let events = traces::h1::RX_HEADERS | traces::h1::STREAM_NEW;
                if traces::H1.wants(events) {
                    let parties = Parties::client(self, Some(&exchange));
                    let about = traces::request(&exchange.request);
                    let event = (events, Level::User);
                    traces::tell_with(&traces::H1, event, &parties, "rcvd H1 request", &about);
                }
                Next::Request(exchange)
            }
            (HeadEnd::Preface, exchange) => {
                if let Some(exchange) = exchange {
                    self.thread.recycle(exchange);
                }
                Next::Http2
            }
            (end, exchange) => {
                Box::pin(self.refuse_head(end, exchange)).await;
                Next::End
            }
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        fresh: &mut bool,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Poll<HeadEnd> {
        self.enter(cx);
        loop {
            if exchange.is_none()
                && self.leaves()
                && (self.requests > 0 && !self.front.frontend.options.idle_close_on_response
                    || self.thread.stop.is_killed())
                && self.client.input.is_empty()
            {
                return Poll::Ready(HeadEnd::Drained);
            }
            let (thread, started) = (&self.thread, self.started);
            let first_time = &self.front.frontend.timeouts;
            let (requests, timer) = (self.requests, &self.client_timer);
            let upgrades = requests == 0
                && !self.front.frontend.options.disable_h2_upgrade
                && self.proto.is_none();
            let carried = &mut self.carried;
            let facts = &self.facts;
            let glitches = thread.env.glitches[0];
            let parse = |_: &mut Conn, data: &mut [u8], _: &mut Context<'_>| {
                if data.is_empty() {
                    return Used { consumed: 0, value: Some(HeadEnd::Closed(exchange.is_some())) };
                }
                let x = exchange.get_or_insert_with(|| {
                    let mut x = carried.take().unwrap_or_else(|| thread.exchange());
                    x.record.start = started;
                    x.record.first_byte = thread.tick();
                    if requests > 0 {
                        timer.arm(first_time.http_request());
                    }
                    x
                });
                if upgrades && data[0] == b'P' {
                    let n = data.len().min(PREFACE.len());
                    if data[..n] == PREFACE[..n] && n > PREFACE_SIGN {
                        let whole = n == PREFACE.len();
                        return Used { consumed: 0, value: whole.then_some(HeadEnd::Preface) };
                    }
                }
                match parse_request(data, limits, &mut x.request) {
                    Ok(Progress::Incomplete) => Used { consumed: 0, value: None },
                    Ok(Progress::Complete { consumed }) => {
                        x.record.bytes_in = consumed as u64;
                        if limits.relaxed {
                            let strict = Limits { relaxed: false, ..*limits };
                            let mut again = RequestHead::default();
                            if parse_request(data, &strict, &mut again).is_err() {
                                facts.count_glitch(thread.now(thread.tick()));
                            }
                            if glitches.exhausted(facts.link.glitches()) && thread.kills_glitches()
                            {
                                return Used { consumed, value: Some(HeadEnd::Killed) };
                            }
                        }
                        Used { consumed, value: Some(HeadEnd::Complete) }
                    }
                    Err(mut error) => {
                        // A method as good as any, but for this protocol.
                        if data.starts_with(&PREFACE[..PREFACE_LINE]) {
                            error.status = 405;
                        }
                        Used { consumed: 0, value: Some(HeadEnd::Bad(error)) }
                    }
                }
            };
            let read = if std::mem::take(fresh) {
                self.client.poll_process(cx, parse)
            } else {
                self.client.poll_read_process(cx, parse)
            };
            match read {
                Poll::Ready(Ok(Some(end))) => return Poll::Ready(end),
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(HeadEnd::Closed(exchange.is_some())),
                Poll::Pending => {
                    return match self.client_timer.poll_expired(cx) {
                        Poll::Ready(()) => Poll::Ready(HeadEnd::Timeout(exchange.is_some())),
                        Poll::Pending => Poll::Pending,
                    };
                }
            }
        }
    }

    /// Answers what went wrong while a request was awaited.
    async fn refuse_head(&mut self, end: HeadEnd, exchange: Option<Box<Exchange>>) {
        if let HeadEnd::Bad(error) = &end {
            crate::invalid::request(self, error);
            if traces::H1.wants(traces::h1::STREAM_ERR) {
                let parties = Parties::client(self, exchange.as_deref());
                let event = (traces::h1::STREAM_ERR, Level::Error);
                traces::tell_with(&traces::H1, event, &parties, "bad H1 request", &|t| {
                    t.text.push_str(&format!(" {error}"));
                });
            }
        }
        let options = &self.front.frontend.options;
        let fault = match end {
            HeadEnd::Complete | HeadEnd::Preface | HeadEnd::Drained => return,
            HeadEnd::Killed => {
                if let Some(exchange) = exchange {
                    self.thread.recycle(exchange);
                }
                return;
            }
            HeadEnd::Bad(error) => Fault::BadRequest { status: error.status },
            HeadEnd::Closed(true) => Fault::RequestAbort,
            HeadEnd::Timeout(true) => Fault::RequestTimeout,
            // Between requests nobody is owed an answer.
            HeadEnd::Closed(false) | HeadEnd::Timeout(false) if self.requests > 0 => return,
            HeadEnd::Closed(false) | HeadEnd::Timeout(false) if options.http_ignore_probes => {
                return;
            }
            HeadEnd::Closed(false) => Fault::RequestAbort,
            HeadEnd::Timeout(false) => Fault::RequestTimeout,
        };
        let silent = exchange.is_none() && options.dontlognull;
        let mut x = exchange.unwrap_or_else(|| {
            let mut x = self.thread.exchange();
            (x.record.start, x.record.first_byte) = (self.started, self.started);
            x
        });
        x.record.silent = silent;
        x.record.bytes_in += self.client.input.len() as u64;
        self.client.input.consume(self.client.input.len());
        stream::refuse(self, &mut x, fault).await;
        self.thread.recycle(x);
        self.linger().await;
    }

    /// An evaluation context that knows this connection.
    pub(crate) fn context<'a>(&'a self, bump: &'a Bump) -> EvalCtx<'a> {
        let mut cx = self.thread.context(bump, self.thread.clock());
        cx.session = Some(&self.facts);
        cx.client_socket = Some(self);
        cx.frontend = Some(&self.front.frontend);
        cx
    }

    /// Ends our direction and waits a moment for the client to do the same.
    async fn linger(&mut self) {
        self.client_timer.arm(LINGER);
        let (client, timer) = (&mut self.client, &self.client_timer);
        let mut drained = 0;
        poll_fn(|cx| match client.poll_drain(cx, &mut drained) {
            Poll::Pending => timer.poll_expired(cx),
            done => done,
        })
        .await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.thread.leave(key);
        }
        if !self.counted {
            return;
        }
        if traces::SESSION.wants(traces::session::END) {
            let event = (traces::session::END, Level::User);
            traces::tell(&traces::SESSION, event, &Parties::client(self, None), "session end");
        }
        self.facts.tracked.finish(self.thread.now(self.thread.tick()));
        self.facts.listener.sessions.dec();
        self.front.frontend.sessions.dec();
        if self.client_over_tls() {
            self.thread.env.registry().process.tls_connections.dec();
        }
        self.thread.env.registry().process.connections.dec();
        self.thread.env.slots.freed();
    }
}
