//! Carries bytes both ways between two connected sockets until both directions have ended.
//!
//! The end of one direction is passed on (FIN) while the other goes on. What happened is reported with the side that
//! caused it, for the termination state (configuration manual, 8.5). As HAProxy does: a side that stays silent for
//! its timeout is taken as having ended its direction; a client's reset is passed on to the server as a reset, a
//! server's failure reaches the client as a plain close.

mod bulk;
mod half;
mod pipe;

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

pub use bulk::{Bulk, BulkError, Filled};
pub use pipe::{pipes_used, set_max_pipes, set_pipe_size};

use crate::Stream;
use crate::timer::Timer;
use half::{Failure, Half, Moved};

/// How long each side may be silent. `None` waits for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeouts {
    /// `timeout tunnel`, or `timeout client`.
    pub client: Option<Duration>,
    /// `timeout client-fin`; `None` keeps `client` once one direction has ended.
    pub client_fin: Option<Duration>,
    /// `timeout tunnel`, or `timeout server`.
    pub server: Option<Duration>,
    /// `timeout server-fin`.
    pub server_fin: Option<Duration>,
}

/// How a pair of connections is treated.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    pub timeouts: Timeouts,
    /// `option nolinger` of the frontend: the client's connection is reset rather than half-closed.
    pub client_nolinger: bool,
    /// `option nolinger` of the backend.
    pub server_nolinger: bool,
}

/// Who ended it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both sides ended their direction (`--`).
    Normal,
    /// The client's connection broke (`CD`).
    ClientAbort,
    /// The server's connection broke (`SD`).
    ServerAbort,
    /// The client was silent, or did not take what was sent, for too long (`cD`).
    ClientTimeout,
    /// The server was (`sD`).
    ServerTimeout,
    /// The caller interrupted it (`K-`, `D-`).
    Interrupted,
}

/// What was carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Received from the client.
    pub from_client: u64,
    pub to_server: u64,
    /// Received from the server.
    pub from_server: u64,
    pub to_client: u64,
    /// Sent to either side by splice(2).
    pub spliced: u64,
}

/// A pair of connections and what is under way between them.
#[derive(Debug)]
pub struct Pair {
    client: Side,
    server: Side,
    up: Half,
    down: Half,
    /// The first thing that went wrong.
    fault: Option<End>,
}

struct Side {
    stream: Stream,
    timer: Timer,
    limit: Option<Duration>,
    fin_limit: Option<Duration>,
    nolinger: bool,
    half_closed: bool,
}

impl std::fmt::Debug for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Side").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl Side {
    fn new(stream: Stream, limit: Option<Duration>, fin: Option<Duration>, nolinger: bool) -> Self {
        let timer = Timer::new();
        timer.arm(limit);
        let fin_limit = fin.or(limit);
        Self { stream, timer, limit, fin_limit, nolinger, half_closed: false }
    }

    fn refresh(&self) {
        self.timer.arm(if self.half_closed { self.fin_limit } else { self.limit });
    }

    /// One direction of this connection ended.
    fn half_close(&mut self) {
        if !self.half_closed {
            self.half_closed = true;
            self.refresh();
        }
    }
}

impl Pair {
    /// Takes over two connections with what was already received from each but not passed on.
    pub fn new(
        client: Stream,
        server: Stream,
        from_client: Vec<u8>,
        from_server: Vec<u8>,
        config: &Config,
    ) -> Self {
        let t = &config.timeouts;
        Self {
            client: Side::new(client, t.client, t.client_fin, config.client_nolinger),
            server: Side::new(server, t.server, t.server_fin, config.server_nolinger),
            up: Half::new(from_client),
            down: Half::new(from_server),
            fault: None,
        }
    }

    /// What was carried so far.
    pub fn counts(&self) -> Counts {
        Counts {
            from_client: self.up.read,
            to_server: self.up.written,
            from_server: self.down.read,
            to_client: self.down.written,
            spliced: self.up.spliced + self.down.spliced,
        }
    }

    /// Runs to the end. `interrupted` is asked at each wake-up; it registers the task for whatever may make it ready.
    pub async fn run(&mut self, mut interrupted: impl FnMut(&mut Context<'_>) -> Poll<()>) -> End {
        poll_fn(|cx| {
            if interrupted(cx).is_ready() {
                return Poll::Ready(End::Interrupted);
            }
            self.poll(cx)
        })
        .await
    }

    /// One step of [`Pair::run`]. After it is ready, drop the pair to close both connections.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let up = match self.up.poll(cx, &mut self.client.stream, &self.server.stream) {
            Ok(moved) => moved,
            Err(Failure::Source) => return Poll::Ready(self.client_failed()),
            Err(Failure::Destination) => return Poll::Ready(self.fault_or(End::ServerAbort)),
        };
        let down = match self.down.poll(cx, &mut self.server.stream, &self.client.stream) {
            Ok(moved) => moved,
            Err(Failure::Source) => return Poll::Ready(self.fault_or(End::ServerAbort)),
            Err(Failure::Destination) => return Poll::Ready(self.client_failed()),
        };
        self.note_activity(up, down);
        if let Some(end) = self.pass_ends_on() {
            return Poll::Ready(end);
        }
        if let Poll::Ready(end) = self.poll_timers(cx) {
            return Poll::Ready(end);
        }
        if up.more || down.more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn fault_or(&self, end: End) -> End {
        self.fault.unwrap_or(end)
    }

    fn client_failed(&self) -> End {
        self.server.stream.set_reset_on_close();
        self.fault_or(End::ClientAbort)
    }

    fn note_activity(&self, up: Moved, down: Moved) {
        if up.read || down.written {
            self.client.refresh();
        }
        if down.read || up.written {
            self.server.refresh();
        }
    }

    /// Forwards the end of each direction once everything before it is written.
    fn pass_ends_on(&mut self) -> Option<End> {
        let pass = |half: &mut Half, from: &mut Side, to: &mut Side| {
            if half.done || !half.ended {
                return false;
            }
            from.half_close();
            if half.is_blocked() {
                return false;
            }
            half.done = true;
            if to.nolinger {
                to.stream.set_reset_on_close();
                return true;
            }
            // A connection that is already gone shows itself on the other direction.
            let _ = to.stream.shutdown_write();
            to.half_close();
            false
        };
        let cut = pass(&mut self.up, &mut self.client, &mut self.server)
            | pass(&mut self.down, &mut self.server, &mut self.client);
        (cut || self.up.done && self.down.done).then(|| self.fault_or(End::Normal))
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        if self.client.timer.poll_expired(cx).is_ready() {
            self.expire_client();
        }
        if self.server.timer.poll_expired(cx).is_ready() {
            self.expire_server();
        }
        match self.pass_ends_on() {
            Some(end) => Poll::Ready(end),
            None => Poll::Pending,
        }
    }

    /// The client's time is up. It counts only while something was expected of it: bytes, or taking ours.
    fn expire_client(&mut self) {
        let (reading, writing) = (self.up.is_reading(), self.down.is_blocked());
        expire(&self.client, &mut self.up, &mut self.down, reading, writing);
        if (reading || writing) && self.fault.is_none() {
            self.fault = Some(End::ClientTimeout);
        }
    }

    fn expire_server(&mut self) {
        let (reading, writing) = (self.down.is_reading(), self.up.is_blocked());
        expire(&self.server, &mut self.down, &mut self.up, reading, writing);
        if (reading || writing) && self.fault.is_none() {
            self.fault = Some(End::ServerTimeout);
        }
    }
}

/// `reading` is the direction that comes from `side`, `writing` the one that goes there.
fn expire(side: &Side, from: &mut Half, to: &mut Half, reading: bool, writing: bool) {
    if reading {
        from.ended = true;
    }
    if writing {
        to.give_up();
        from.ended = true;
    }
    // A fired timer would fire at every poll. What is still expected of this side has its time again.
    side.refresh();
}

#[cfg(test)]
mod tests;
