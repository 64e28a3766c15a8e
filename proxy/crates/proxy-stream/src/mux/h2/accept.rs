//! A client's HTTP/2 connection: each request becomes a session of its own task.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Builder, Connection, Handshake, SendResponse};

use super::Settings;
use super::stream::H2Stream;
use super::transport::Transport;
use crate::io::Conn;
use crate::log;
use crate::session::Session;

/// Bytes of an answer that wait for the client, per stream.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that are not over.
#[derive(Default)]
struct Live {
    count: Cell<usize>,
    connection: RefCell<Option<Waker>>,
}

/// Counts one stream while it lives.
struct Counted(Rc<Live>);

impl Counted {
    fn new(live: &Rc<Live>) -> Self {
        live.count.set(live.count.get() + 1);
        Self(live.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if let Some(waker) = self.0.connection.borrow_mut().take() {
            waker.wake();
        }
    }
}

fn handshake(settings: &Settings, max_head: usize, io: Conn) -> Handshake<Transport, Bytes> {
    let side = &settings.front;
    let mut builder = Builder::new();
    builder
        .initial_window_size(side.window)
        .max_frame_size(settings.frame)
        .max_header_list_size(u32::try_from(max_head).unwrap_or(u32::MAX))
        .max_send_buffer_size(SEND_BUFFER);
    if settings.websocket {
        builder.enable_connect_protocol();
    }
    if side.glitches > 0 {
        builder.max_local_error_reset_streams(Some(side.glitches as usize));
    }
    if side.streams > 0 {
        builder.max_concurrent_streams(side.streams);
    }
    if settings.header_table != Settings::default().header_table {
        builder.header_table_size(settings.header_table);
    }
    builder.handshake(Transport(io))
}

/// Serves the connection of `session` to its end.
pub(crate) async fn serve(session: &mut Session) {
    session.front.frontend.counters.local().h2_sess.inc();
    let client = std::mem::replace(&mut session.client, Conn::gone());
    let tls = client.io.is_tls();
    let env = session.thread.env.clone();
    let timeouts = &session.front.clone().frontend.timeouts;
    session.client_timer.arm(timeouts.http_request());
    let mut opening = Box::pin(handshake(&env.h2, env.limits.max_head, client));
    let opened = poll_fn(|cx| {
        session.enter(cx);
        match opening.as_mut().poll(cx) {
            Poll::Ready(opened) => Poll::Ready(opened.ok()),
            Poll::Pending if session.thread.stop.is_killed() => Poll::Ready(None),
            Poll::Pending => session.client_timer.poll_expired(cx).map(|()| None),
        }
    })
    .await;
    drop(opening);
    let Some(mut connection) = opened else { return };
    let live = Rc::new(Live::default());
    let (mut total, mut leaving, mut widened) = (0u32, false, false);
    loop {
        let next = poll_fn(|cx| next(session, &mut connection, &live, &mut leaving, cx)).await;
        let Some((request, respond)) = next else { break };
        total = total.saturating_add(1);
        let limit = env.h2.front.total_streams;
        if limit > 0 && total >= limit && !std::mem::replace(&mut leaving, true) {
            connection.graceful_shutdown();
        }
        let ended = request.body().is_end_stream();
        if !ended && !std::mem::replace(&mut widened, true) {
            // Not before it is needed: clients expect our settings and nothing else at first.
            connection.set_target_window_size(env.h2.front.connection_window);
        }
        let mut exchange = session.thread.exchange();
        super::head::take_request(&request, ended, &mut exchange.request);
        let io = H2Stream::accepted(respond, request.into_body(), tls);
        let stream = session.stream(Conn::new(Box::new(io)));
        let counted = Counted::new(&live);
        tokio::task::spawn_local(async move {
            stream.run_framed(total, exchange).await;
            drop(counted);
        });
    }
}

type Incoming = (http::Request<RecvStream>, SendResponse<Bytes>);

/// The next request; `None` at the end of the connection.
fn next(
    session: &mut Session,
    connection: &mut Connection<Transport, Bytes>,
    live: &Rc<Live>,
    leaving: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Option<Incoming>> {
    if session.thread.stop.is_killed() {
        return Poll::Ready(None);
    }
    if session.leaves() && !std::mem::replace(leaving, true) {
        connection.graceful_shutdown();
    }
    if let Poll::Ready(next) = connection.poll_accept(cx) {
        return Poll::Ready(match next {
            Some(Err(error)) => {
                if error.is_library() && session.thread.env.h2.log_errors {
                    log::broken(session, &error);
                }
                None
            }
            next => next.and_then(Result::ok),
        });
    }
    *live.connection.borrow_mut() = Some(cx.waker().clone());
    if live.count.get() > 0 {
        session.idle = false;
        session.client_timer.disarm();
        return Poll::Pending;
    }
    if !std::mem::replace(&mut session.idle, true) {
        session.client_timer.arm(session.front.frontend.timeouts.http_keep_alive());
    }
    if session.client_timer.poll_expired(cx).is_ready() {
        // Whoever wants to send more at this moment learns that nothing was processed.
        if !std::mem::replace(leaving, true) {
            connection.graceful_shutdown();
            session.client_timer.arm(Some(crate::session::LINGER));
            let _ = session.client_timer.poll_expired(cx);
            return connection.poll_accept(cx).map(|next| next.and_then(Result::ok));
        }
        return Poll::Ready(None);
    }
    Poll::Pending
}
