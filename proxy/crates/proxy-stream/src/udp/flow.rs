//! One flow, and the task that waits for its server's datagrams.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use proxy_net::clock::Tick;
use proxy_net::stop::JobGuard;
use proxy_net::timer::Timer;
use proxy_state::Server;
use proxy_state::server::OpState;
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::Relay;
use crate::env::Back;
use crate::thread::{SeatKey, Thread};

/// The longest datagram, and some more.
const LONGEST: usize = 1 << 16;
/// Datagrams taken from one server before others have their turn.
const BATCH: usize = 64;

thread_local! {
    /// Where datagrams of servers are read to.
    static BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; LONGEST].into());
}

/// Who a flow belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) client: SocketAddr,
    /// The address that it sends to, where the socket listens on all of them.
    pub(super) local: Option<IpAddr>,
}

/// Why a flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides were silent.
    Idle,
    /// The server has sent all that was expected.
    Answered,
    /// A new flow had no other place.
    Displaced,
    /// Nobody listens at the server.
    Refused,
    /// The server went down.
    Down,
    /// An operator ended it, or the worker.
    Killed,
}

impl End {
    /// As in the log formats (configuration manual, 8.5): silence is how flows of datagrams end.
    pub(super) fn letters(self, answered: bool) -> [u8; 2] {
        match (self, answered) {
            (Self::Idle | Self::Answered, _) => *b"--",
            (Self::Displaced, _) => *b"RC",
            (Self::Refused, true) => *b"SD",
            (Self::Refused, false) => *b"SC",
            (Self::Down, _) => *b"DD",
            (Self::Killed, _) => *b"KD",
        }
    }
}

/// The datagrams between a client's port and a server.
pub(super) struct Flow {
    pub(super) key: Key,
    pub(super) socket: UdpSocket,
    pub(super) server: Arc<Server>,
    pub(super) back: Arc<Back>,
    pub(super) started: Tick,
    pub(super) silence: Timer,
    pub(super) bytes_in: Cell<u64>,
    pub(super) bytes_out: Cell<u64>,
    pub(super) answers: Cell<u64>,
    /// Time to the first answer.
    pub(super) answered: Cell<Option<Duration>>,
    /// [`Server::shutdowns`] at the start.
    shutdowns: u64,
    refused: Cell<bool>,
    ended: Cell<Option<End>>,
    waker: RefCell<Option<Waker>>,
    _job: JobGuard,
}

impl Flow {
    pub(super) fn new(
        key: Key,
        socket: UdpSocket,
        server: Arc<Server>,
        back: Arc<Back>,
        thread: &Thread,
    ) -> Self {
        Self {
            key,
            socket,
            shutdowns: server.shutdowns(),
            server,
            back,
            started: thread.look(),
            silence: Timer::new(),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            answers: Cell::new(0),
            answered: Cell::new(None),
            refused: Cell::new(false),
            ended: Cell::new(None),
            waker: RefCell::new(None),
            _job: thread.stop.job(),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Marks the end; false when there was one already.
    pub(super) fn close(&self, end: End) -> bool {
        let first = self.ended.get().is_none();
        if first {
            self.ended.set(Some(end));
            if let Some(waker) = self.waker.borrow_mut().take() {
                waker.wake();
            }
        }
        first
    }

    /// The server's host says that nobody listens.
    pub(super) fn refuse(&self) {
        self.refused.set(true);
    }

    pub(super) fn note_answer(&self, thread: &Thread) {
        if self.answers.replace(self.answers.get() + 1) == 0 {
            self.answered.set(Some(thread.look().since(self.started)));
        }
    }

    /// Why datagrams of the client are to go elsewhere; a flow to a living server stays, also while that drains.
    pub(super) fn is_lost(&self) -> Option<End> {
        if self.refused.get() {
            return Some(End::Refused);
        }
        if self.shutdowns != self.server.shutdowns() {
            return Some(End::Killed);
        }
        let down =
            self.server.op_state() == OpState::Stopped || self.server.admin_state().is_maint();
        down.then_some(End::Down)
    }
}

/// Carries a flow's answers until it is over.
pub(super) async fn carry(relay: Rc<Relay>, flow: Rc<Flow>) {
    let seat = poll_fn(|cx| Poll::Ready(relay.thread.enter(cx.waker().clone()))).await;
    let number = relay.thread.next_stream();
    let (frontend, src) = (relay.front.frontend.id, Some(flow.key.client));
    relay.thread.look();
    relay.thread.begin_stream(Some(seat), number, frontend, src);
    relay.thread.note(Some(seat), |row| {
        row.backend = Some(flow.back.backend.id);
        row.server = Some(flow.server.id);
    });
    let end = poll_fn(|cx| poll(&relay, &flow, seat, cx)).await;
    relay.end(&flow, end);
    relay.thread.leave(seat);
}

fn poll(relay: &Relay, flow: &Flow, seat: SeatKey, cx: &mut Context<'_>) -> Poll<End> {
    if let Some(end) = flow.ended.get() {
        return Poll::Ready(end);
    }
    if relay.thread.stop.is_killed() || relay.thread.is_killed(Some(seat)) {
        return Poll::Ready(End::Killed);
    }
    let mut waker = flow.waker.borrow_mut();
    if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
        *waker = Some(cx.waker().clone());
    }
    drop(waker);
    BUFFER.with_borrow_mut(|buffer| {
        for _ in 0..BATCH {
            let mut datagram = ReadBuf::new(buffer);
            match flow.socket.poll_recv(cx, &mut datagram) {
                Poll::Ready(Ok(())) => {
                    if relay.answer(flow, datagram.filled()) {
                        return Poll::Ready(End::Answered);
                    }
                }
                Poll::Ready(Err(error))
                    if error.kind() == std::io::ErrorKind::ConnectionRefused =>
                {
                    return Poll::Ready(End::Refused);
                }
                // Unreachable for now: silence ends it.
                Poll::Ready(Err(_)) => {}
                Poll::Pending => return flow.silence.poll_expired(cx).map(|()| End::Idle),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
}
