//! A client's HTTP/2 connection: each request becomes a session of its own task.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use proxy_http::h2::frame::Code;
use proxy_http::h2::take_request;
use proxy_state::stick::data::id;

use super::driver::{Driver, Ended};
use super::link::{End, Incoming, Leaving, Link};
use super::stream::H2Stream;
use crate::env::Glitches;
use crate::io::Conn;
use crate::log;
use crate::session::Session;
use crate::traces::{Level, h2};

/// Serves the connection of `session` to its end.
pub(crate) async fn serve(session: &mut Session) {
    session.front.frontend.counters.local().h2_sess.inc();
    let client = std::mem::replace(&mut session.client, Conn::gone());
    let tls = client.io.is_tls();
    let env = session.thread.env.clone();
    // What was counted of the connection so far goes on being counted.
    let facts = session.facts.link.facts().clone();
    let seen = facts.glitches.get();
    let link = Link::new(End::Server, &env.h2, facts.clone(), &session.front.frontend.mux);
    link.trace(h2::CONN_NEW, Level::User, 0, "new HTTP/2 connection");
    let link = Rc::new(RefCell::new(link));
    facts.limit.set(if env.h2.front.streams == 0 { u32::MAX } else { env.h2.front.streams });
    let max = (env.limits.max_head, env.limits.max_headers);
    let ping = session.facts.listener.idle_ping;
    let driver = Driver::new(client, link.clone(), &env.h2, max, ping);
    session.client_timer.arm(session.front.frontend.timeouts.http_request());
    session.idle = true;
    let mut server = Server { driver, total: 0, seen };
    loop {
        let next = poll_fn(|cx| server.poll(session, cx)).await;
        let Some(incoming) = next else { break };
        server.total = server.total.saturating_add(1);
        let limit = env.h2.front.total_streams;
        if limit > 0 && server.total >= limit {
            link.borrow_mut().leave();
        }
        server.begin(session, incoming, tls);
    }
    // Whatever is left learns of the end.
    link.borrow_mut().close();
    link.borrow().trace(h2::CONN_END, Level::User, 0, "HTTP/2 connection terminated");
}

/// What serving a connection keeps.
struct Server {
    driver: Driver,
    /// Requests so far.
    total: u32,
    /// Glitches that were counted.
    seen: u32,
}

impl Server {
    /// Makes a session of a request, unless it is none.
    fn begin(&mut self, session: &Session, incoming: Incoming, tls: bool) {
        let Incoming { slot, fields, whole, ended } = incoming;
        let link = self.driver.link.clone();
        let mut exchange = session.thread.exchange();
        let taken = take_request(&fields, ended, &mut exchange.request);
        let mut shared = link.borrow_mut();
        shared.recycle(fields);
        let received = match taken {
            Ok(received) => received,
            // Of one that was cut short nobody knows what it is.
            Err(_) if !whole => Default::default(),
            Err(_) => {
                shared.glitch();
                shared.reset(slot, Code::PROTOCOL_ERROR);
                shared.release(slot);
                drop(shared);
                session.thread.recycle(exchange);
                return;
            }
        };
        shared.set_length(slot, received.length);
        if !ended && !received.bad && whole {
            shared.widen(slot, received.length);
        }
        drop(shared);
        let io = H2Stream::new(link, slot, tls);
        let stream = session.stream(Conn::new(Box::new(io)));
        let number = self.total;
        let bad = received.bad || !whole;
        tokio::task::spawn_local(async move {
            match bad {
                false => stream.run_framed(number, exchange).await,
                true => stream.refuse_framed(number, exchange).await,
            }
        });
    }

    /// The next request; `None` at the end of the connection.
    fn poll(&mut self, session: &mut Session, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        session.enter(cx);
        if session.thread.stop.is_killed() {
            return Poll::Ready(None);
        }
        let link = self.driver.link.clone();
        if let Some(incoming) = link.borrow_mut().incoming.pop_front() {
            return Poll::Ready(Some(incoming));
        }
        if session.leaves() {
            link.borrow_mut().leave();
        }
        let ended = self.driver.poll(cx);
        self.count_glitches(session);
        if let Poll::Ready(ended) = ended {
            if let Ended::Failed(code) = ended
                && session.thread.env.h2.log_errors
            {
                log::broken(session, code);
            }
            return Poll::Ready(None);
        }
        if !self.driver.is_open() {
            return Poll::Pending;
        }
        let mut shared = link.borrow_mut();
        if let Some(incoming) = shared.incoming.pop_front() {
            return Poll::Ready(Some(incoming));
        }
        if !shared.streams.is_empty() {
            session.idle = false;
            session.client_timer.disarm();
            return Poll::Pending;
        }
        let last = shared.leaving == Leaving::Last;
        drop(shared);
        if last {
            self.driver.close(Ended::Closed);
            return self.poll(session, cx);
        }
        let timeouts = &session.front.frontend.timeouts;
        if !std::mem::replace(&mut session.idle, true) {
            let idle = match self.driver.mid_head() {
                true => timeouts.http_request(),
                false => timeouts.http_keep_alive(),
            };
            session.client_timer.arm(idle);
        }
        if session.client_timer.poll_expired(cx).is_ready() {
            let mut shared = link.borrow_mut();
            // Whoever wants to send more at this moment learns that nothing was processed.
            shared.leave();
            shared.close_entry();
            drop(shared);
            self.driver.close(Ended::Closed);
            return self.poll(session, cx);
        }
        Poll::Pending
    }

    /// Passes on what was counted, and stops who has too many.
    fn count_glitches(&mut self, session: &Session) {
        let mut link = self.driver.link.borrow_mut();
        let new = link.glitches() - self.seen;
        if new == 0 {
            return;
        }
        self.seen += new;
        let now = session.thread.now(session.thread.tick());
        session.facts.tracked.count(id::GLITCH_CNT, id::GLITCH_RATE, u64::from(new), now);
        let limit = Glitches { threshold: session.thread.env.h2.front.glitches };
        if limit.exhausted(self.seen) && session.thread.kills_glitches() {
            link.fail(Code::ENHANCE_YOUR_CALM);
        } else if limit.worn(self.seen) {
            link.leave();
        }
    }
}
