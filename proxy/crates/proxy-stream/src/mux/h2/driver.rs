//! Moves bytes between a connection and the link of its streams.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use proxy_http::h2::frame::{self, Code, STREAM_MAX, WINDOW, flag, kind, setting};
use proxy_http::h2::hpack::{self, Bounds};
use proxy_net::clock::{self, Tick};
use proxy_net::timer::Timer;

use super::link::{ALIVE, BACKLOG, End, LEAVE, Leaving, Shared};
use super::receive::Receiver;
use super::{PREFACE, Settings};
use crate::io::{Conn, Used};
use crate::session::LINGER;

/// Reads of one turn: others have theirs, too.
const READS: usize = 8;

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The peer closed it, or both were done.
    Closed,
    /// Reading or writing failed.
    Broken,
    /// The peer did not keep to the protocol, or had to be stopped.
    Failed(Code),
}

/// Where a connection is.
enum Phase {
    /// The client's first bytes are awaited.
    Preface,
    Open,
    /// Nothing more is said; what the peer still sends is dropped.
    Closing(Ended),
}

/// Drives one connection. To be polled by the task that serves it.
pub(super) struct Driver {
    conn: Conn,
    pub(super) link: Shared,
    receiver: Receiver,
    phase: Phase,
    drained: usize,
    second: Tick,
    linger: Timer,
    /// `idle-ping`.
    ping: Option<Ping>,
}

struct Ping {
    every: Duration,
    timer: Timer,
    /// One was sent, and nothing came back so far.
    unanswered: bool,
}

impl Driver {
    /// Begins to speak on `conn`; `max` bounds heads in bytes, and their fields in number.
    pub(super) fn new(
        conn: Conn,
        link: Shared,
        settings: &Settings,
        max: (usize, usize),
        idle_ping: Option<Duration>,
    ) -> Self {
        let end = link.borrow().end;
        let bounds = Bounds { bytes: max.0, fields: max.1 };
        let streams = if end == End::Server { settings.front.streams } else { 0 };
        say_settings(&link, settings, max.0);
        let ping = idle_ping.filter(|every| !every.is_zero()).map(|every| {
            let timer = Timer::new();
            timer.arm(Some(every));
            Ping { every, timer, unanswered: false }
        });
        Self {
            conn,
            link,
            receiver: Receiver::new(settings.frame as usize, bounds, streams),
            phase: if end == End::Server { Phase::Preface } else { Phase::Open },
            drained: 0,
            second: clock::coarse(),
            linger: Timer::new(),
            ping,
        }
    }

    /// Part of a head was received.
    pub(super) fn mid_head(&self) -> bool {
        self.receiver.mid_head()
    }

    /// Whether the connection is still open for streams.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Closing(_))
    }

    /// Says no more and closes, once everything was sent.
    pub(super) fn close(&mut self, ended: Ended) {
        if self.is_open() {
            self.phase = Phase::Closing(ended);
            self.linger.arm(Some(LINGER));
            self.link.borrow_mut().close();
        }
    }

    /// Moves what can be moved. Ready at the end of the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        // What this turn queues is sent in this turn.
        self.link.borrow_mut().unwait();
        let mut reads = 0;
        loop {
            if let Phase::Closing(ended) = self.phase {
                return self.poll_close(cx).map(|()| ended);
            }
            let written = self.poll_write(cx);
            if let Poll::Ready(false) = written {
                self.link.borrow_mut().close();
                return Poll::Ready(Ended::Broken);
            }
            let failed = self.link.borrow().failed;
            if let Some(code) = failed {
                self.close(Ended::Failed(code));
                continue;
            }
            if !self.may_read() {
                break;
            }
            if reads == READS {
                cx.waker().wake_by_ref();
                break;
            }
            match self.poll_read(cx) {
                Poll::Ready(true) => reads += 1,
                Poll::Ready(false) => {
                    if self.is_open() {
                        self.link.borrow_mut().close();
                        return Poll::Ready(Ended::Closed);
                    }
                }
                Poll::Pending => break,
            }
        }
        if self.poll_ping(cx) {
            self.close(Ended::Broken);
            return self.poll(cx);
        }
        self.link.borrow_mut().wait(cx);
        Poll::Pending
    }

    fn may_read(&self) -> bool {
        let link = self.link.borrow();
        link.backlog() < BACKLOG && self.receiver.has_room(&link)
    }

    /// Writes what waits; false when that failed.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let mut link = self.link.borrow_mut();
        while link.backlog() > 0 {
            let written = self.conn.poll_write(cx, &link.out[link.out_at..], &[]);
            match ready!(written) {
                Ok(n) => link.sent(n),
                Err(_) => return Poll::Ready(false),
            }
        }
        Poll::Ready(true)
    }

    /// Reads once and takes in whole frames; false at the end of what the peer sends.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        let now = clock::coarse();
        if now.since(self.second) >= Duration::from_secs(1) {
            self.second = now;
            self.receiver.calm_down();
        }
        let Self { conn, link, receiver, phase, .. } = self;
        let mut taken = |_: &mut Conn, data: &mut [u8], _: &mut Context<'_>| {
            let taken = take(&mut link.borrow_mut(), receiver, phase, data);
            // `None` at the end and once the connection failed.
            let value = taken.as_ref().ok().filter(|_| !data.is_empty()).map(|n| *n > 0);
            Used { consumed: taken.unwrap_or(0), value }
        };
        // What waits is looked at first, and if that is not enough to go on, together with more.
        if !conn.input.is_empty() {
            match conn.poll_process(cx, &mut taken) {
                Poll::Ready(Ok(Some(true))) => return Poll::Ready(true),
                Poll::Ready(Ok(Some(false))) => {}
                _ => return Poll::Ready(self.has_failed()),
            }
        }
        match ready!(conn.poll_read_process(cx, &mut taken)) {
            Ok(Some(_)) => {
                self.heard();
                Poll::Ready(true)
            }
            Ok(None) => Poll::Ready(self.has_failed()),
            Err(_) => Poll::Ready(false),
        }
    }

    /// A failure is told before the connection is closed.
    fn has_failed(&self) -> bool {
        self.link.borrow().failed.is_some()
    }

    fn heard(&mut self) {
        if let Some(ping) = &mut self.ping {
            ping.unanswered = false;
            ping.timer.arm(Some(ping.every));
        }
    }

    /// Asks a silent peer whether it is alive; true when it did not answer the last time.
    fn poll_ping(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(ping) = &mut self.ping else { return false };
        if ping.timer.poll_expired(cx).is_pending() {
            return false;
        }
        if std::mem::replace(&mut ping.unanswered, true) {
            return true;
        }
        ping.timer.arm(Some(ping.every));
        let _ = ping.timer.poll_expired(cx);
        self.link.borrow_mut().frame(kind::PING, 0, 0, ALIVE);
        let _ = self.poll_write(cx);
        false
    }

    /// Sends our last words and waits a moment for the peer to have read them.
    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.linger.poll_expired(cx).is_ready() {
            return Poll::Ready(());
        }
        if !ready!(self.poll_write(cx)) {
            return Poll::Ready(());
        }
        self.conn.poll_drain(cx, &mut self.drained)
    }
}

/// Takes whole frames from the start of `data`; returns their bytes. Fails once the connection has.
fn take(
    link: &mut super::link::Link,
    receiver: &mut Receiver,
    phase: &mut Phase,
    data: &[u8],
) -> Result<usize, ()> {
    let mut at = 0;
    if let Phase::Preface = phase {
        let n = data.len().min(PREFACE.len());
        if data[..n] != PREFACE[..n] {
            link.fail(Code::PROTOCOL_ERROR);
            return Err(());
        }
        if n < PREFACE.len() {
            return Ok(0);
        }
        *phase = Phase::Open;
        at = n;
    }
    while at < data.len() && receiver.has_room(link) {
        match receiver.take(link, &data[at..]) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(code) => {
                link.glitch();
                link.fail(code);
                return Err(());
            }
        }
    }
    Ok(at)
}

/// Queues what begins our side of a connection.
fn say_settings(link: &Shared, settings: &Settings, max_head: usize) {
    let mut link = link.borrow_mut();
    let mut payload = Vec::new();
    let mut say = |id: u16, value: u32| {
        payload.extend_from_slice(&id.to_be_bytes());
        payload.extend_from_slice(&value.to_be_bytes());
    };
    let side = if link.end == End::Server { &settings.front } else { &settings.back };
    if settings.header_table as usize != hpack::TABLE {
        say(setting::HEADER_TABLE_SIZE, settings.header_table);
    }
    if link.end == End::Client {
        say(setting::ENABLE_PUSH, 0);
    } else if side.streams > 0 {
        say(setting::MAX_CONCURRENT_STREAMS, side.streams);
    }
    if i64::from(side.window) != WINDOW {
        say(setting::INITIAL_WINDOW_SIZE, side.window);
    }
    if settings.frame as usize != frame::PAYLOAD {
        say(setting::MAX_FRAME_SIZE, settings.frame);
    }
    say(setting::MAX_HEADER_LIST_SIZE, u32::try_from(max_head).unwrap_or(u32::MAX));
    if link.end == End::Server && settings.websocket {
        say(setting::ENABLE_CONNECT_PROTOCOL, 1);
    }
    if link.end == End::Client {
        link.out.extend_from_slice(PREFACE);
    }
    link.frame(kind::SETTINGS, 0, 0, &payload);
    let target = i64::from(side.connection_window);
    if link.end == End::Client && target > WINDOW {
        (link.window, link.recv_window) = (target, target);
        link.window_update(0, target - WINDOW);
    }
    debug_assert!(target <= i64::from(STREAM_MAX) && LEAVE != ALIVE && flag::ACK == 1);
    debug_assert!(link.leaving == Leaving::No);
}
