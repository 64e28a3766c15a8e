//! One client connection: requests are read one after the other, each lives through a stream.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use proxy_http::h1::{Limits, ParseError, Progress, parse_request};
use proxy_net::clock::Tick;
use proxy_net::stop::JobGuard;
use proxy_net::timer::Timer;

use crate::env::{Accepted, Front};
use crate::io::{Conn, Io, Used};
use crate::stream::{self, After, Exchange};
use crate::term::Fault;
use crate::thread::Thread;

/// How long a closing connection is drained, so that the last answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(1);

/// A client connection.
pub(crate) struct Session {
    pub(crate) thread: Rc<Thread>,
    pub(crate) front: Arc<Front>,
    /// What rules see of this connection.
    pub(crate) facts: proxy_rules::sample::context::Session,
    pub(crate) client: Conn,
    pub(crate) client_timer: Timer,
    pub(crate) server_timer: Timer,
    /// A server connection that only this session may use again.
    pub(crate) own: Option<crate::backend::Attached>,
    /// Requests read so far.
    pub(crate) requests: u64,
    /// When the current wait for a request began.
    started: Tick,
    key: Option<usize>,
    _job: JobGuard,
}

/// Why there is no further request.
enum HeadEnd {
    Complete,
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
    front.frontend.counters.local().h1_sess.inc();
    run(Session::new(thread, front, io, accepted))
}

/// Serves an accepted connection of a frontend in mode tcp to its end; used like [`serve`]. A soft stop lets
/// it live on, a hard stop ends it.
pub fn serve_tcp(
    thread: Rc<Thread>,
    front: Arc<Front>,
    stream: proxy_net::Stream,
    accepted: Accepted,
) -> impl Future<Output = ()> {
    run_tcp(Session::new(thread, front, Box::new(stream), accepted))
}

async fn run_tcp(mut session: Session) {
    if !stream::admit(&session) {
        return;
    }
    poll_fn(|cx| {
        session.key = Some(session.thread.enter(cx.waker().clone()));
        Poll::Ready(())
    })
    .await;
    let mut exchange = session.thread.exchange();
    exchange.record.start = session.started;
    exchange.record.first_byte = session.started;
    stream::tcp::run(&mut session, &mut exchange).await;
    session.thread.recycle(exchange);
}

async fn run(mut session: Session) {
    if !stream::admit(&session) {
        return;
    }
    loop {
        let Some(mut exchange) = session.next_request().await else { break };
        let after = stream::run(&mut session, &mut exchange).await;
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
        };
        Self {
            thread,
            front,
            facts,
            client: Conn::new(io),
            client_timer: Timer::new(),
            server_timer: Timer::new(),
            own: None,
            requests: 0,
            started,
            key: None,
            _job: job,
        }
    }

    /// Limits of request heads.
    fn limits(&self) -> Limits {
        Limits {
            relaxed: self.front.frontend.options.accept_unsafe_request,
            ..self.thread.env.limits
        }
    }

    /// Reads the next request head. `None` ends the session; what there was to answer was answered.
    async fn next_request(&mut self) -> Option<Box<Exchange>> {
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
            (HeadEnd::Complete, exchange) => {
                self.requests += 1;
                exchange
            }
            (end, exchange) => Box::pin(self.refuse_head(end, exchange)).await,
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        limits: &Limits,
        fresh: &mut bool,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Poll<HeadEnd> {
        if self.key.is_none() {
            self.key = Some(self.thread.enter(cx.waker().clone()));
        }
        loop {
            if exchange.is_none()
                && self.thread.stop.is_draining()
                && (self.requests > 0 || self.thread.stop.is_killed())
                && self.client.input.is_empty()
            {
                return Poll::Ready(HeadEnd::Drained);
            }
            let (thread, started) = (&self.thread, self.started);
            let first_time = &self.front.frontend.timeouts;
            let (requests, timer) = (self.requests, &self.client_timer);
            let parse = |_: &mut Conn, data: &mut [u8], _: &mut Context<'_>| {
                if data.is_empty() {
                    return Used { consumed: 0, value: Some(HeadEnd::Closed(exchange.is_some())) };
                }
                let x = exchange.get_or_insert_with(|| {
                    let mut x = thread.exchange();
                    x.record.start = started;
                    x.record.first_byte = thread.tick();
                    if requests > 0 {
                        timer.arm(first_time.http_request());
                    }
                    x
                });
                match parse_request(data, limits, &mut x.request) {
                    Ok(Progress::Incomplete) => Used { consumed: 0, value: None },
                    Ok(Progress::Complete { consumed }) => {
                        x.record.bytes_in = consumed as u64;
                        Used { consumed, value: Some(HeadEnd::Complete) }
                    }
                    Err(error) => Used { consumed: 0, value: Some(HeadEnd::Bad(error)) },
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
    async fn refuse_head(
        &mut self,
        end: HeadEnd,
        exchange: Option<Box<Exchange>>,
    ) -> Option<Box<Exchange>> {
        let options = &self.front.frontend.options;
        let fault = match end {
            HeadEnd::Complete | HeadEnd::Drained => return None,
            HeadEnd::Bad(error) => Fault::BadRequest { status: error.status },
            HeadEnd::Closed(true) => Fault::RequestAbort,
            HeadEnd::Timeout(true) => Fault::RequestTimeout,
            // Between requests nobody is owed an answer.
            HeadEnd::Closed(false) | HeadEnd::Timeout(false) if self.requests > 0 => return None,
            HeadEnd::Closed(false) | HeadEnd::Timeout(false) if options.http_ignore_probes => {
                return None;
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
        None
    }

    /// Ends our direction and waits a moment for the client to do the same.
    async fn linger(&mut self) {
        self.client_timer.arm(LINGER);
        let (client, timer) = (&mut self.client, &self.client_timer);
        client.input.consume(client.input.len());
        poll_fn(|cx| {
            if client.poll_shutdown(cx).is_pending() {
                return timer.poll_expired(cx);
            }
            loop {
                if client.eof {
                    return Poll::Ready(());
                }
                match crate::scratch::with(|buf| client.poll_read(cx, buf)) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return timer.poll_expired(cx),
                }
            }
        })
        .await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.thread.leave(key);
        }
        self.facts.listener.sessions.dec();
        self.front.frontend.sessions.dec();
        self.thread.env.registry().process.connections.dec();
        self.thread.env.slots.freed();
    }
}
