//! One direction of a connection pair.
//!
//! Bytes are copied through a scratch buffer of the thread while they come in small pieces, which costs two system
//! calls per piece and no memory per connection; once a read fills the scratch buffer, the direction uses splice(2),
//! and goes back to copying when pieces get small again. A pipe is held only while bytes are inside.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, Interest, ReadBuf};

use super::pipe::Pipe;
use crate::Stream;

/// Bytes copied at most in one read.
const SCRATCH: usize = 64 * 1024;
/// Pieces below this are cheaper to copy.
const SMALL: usize = 16 * 1024;
/// Small pieces in a row that end splicing.
const PATIENCE: u8 = 8;
/// Bytes that one direction moves before other tasks run.
const TURN: usize = 1 << 20;
/// Reads of one direction before other tasks run.
const TURN_READS: usize = 32;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Which socket failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Source,
    Destination,
}

/// What one call of [`Half::poll`] did.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Moved {
    pub(super) read: bool,
    pub(super) written: bool,
    /// The turn was used up: there may be more to do at once.
    pub(super) more: bool,
}

#[derive(Debug, Default)]
pub(super) struct Half {
    /// Bytes read but not written yet, from `sent` on.
    pending: Vec<u8>,
    sent: usize,
    pipe: Option<Pipe>,
    /// Pieces are large: splice.
    bulk: bool,
    /// Small pieces in a row while splicing.
    small: u8,
    /// This pair cannot be spliced.
    copy_only: bool,
    /// The source has no more.
    pub(super) ended: bool,
    /// Everything was written and the end passed on, or the direction was given up.
    pub(super) done: bool,
    pub(super) read: u64,
    pub(super) written: u64,
    pub(super) spliced: u64,
}

impl Half {
    /// `first` was received before and goes out first; it counts as read.
    pub(super) fn new(first: Vec<u8>) -> Self {
        Self { read: first.len() as u64, pending: first, ..Self::default() }
    }

    /// Whether bytes wait for the destination.
    pub(super) fn is_blocked(&self) -> bool {
        !self.done && (self.sent < self.pending.len() || self.pipe_filled() > 0)
    }

    /// Whether more is expected of the source.
    pub(super) fn is_reading(&self) -> bool {
        !self.done && !self.ended && !self.is_blocked()
    }

    /// Forgets what was not written.
    pub(super) fn give_up(&mut self) {
        self.ended = true;
        self.done = true;
        self.pipe = None;
        self.pending = Vec::new();
    }

    fn pipe_filled(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::filled)
    }

    /// Moves what can be moved. On return the task is registered for whatever would allow to go on.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &Stream,
    ) -> Result<Moved, Failure> {
        let mut moved = Moved::default();
        let mut turn = 0;
        for _ in 0..TURN_READS {
            if !self.flush(cx, to, &mut moved).map_err(|_| Failure::Destination)? || self.ended {
                return Ok(moved);
            }
            let read = match self.pipe_for_bulk() {
                Some(pipe) => self.read_spliced(cx, from, pipe),
                None => self.read_copied(cx, from, to, &mut moved)?,
            };
            match read {
                Poll::Pending => return Ok(moved),
                Poll::Ready(Err(_)) => return Err(Failure::Source),
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(n)) => {
                    self.read += n as u64;
                    moved.read = true;
                    turn += n;
                }
            }
            if turn >= TURN {
                break;
            }
        }
        // The last read still waits to be written; the next turn does that.
        moved.more = true;
        Ok(moved)
    }

    fn pipe_for_bulk(&mut self) -> Option<Pipe> {
        self.bulk &= !self.copy_only;
        if !self.bulk {
            return None;
        }
        let pipe = self.pipe.take().or_else(Pipe::take);
        self.bulk = pipe.is_some();
        pipe
    }

    /// Writes what waits; true when nothing does any more.
    fn flush(&mut self, cx: &mut Context<'_>, to: &Stream, moved: &mut Moved) -> io::Result<bool> {
        while self.sent < self.pending.len() {
            if to.poll_write_ready(cx)?.is_pending() {
                return Ok(false);
            }
            match to.try_write(&self.pending[self.sent..]) {
                Ok(n) => {
                    self.sent += n;
                    self.written += n as u64;
                    moved.written = true;
                }
                Err(e) if is_again(&e) => {}
                Err(e) => return Err(e),
            }
        }
        if !self.pending.is_empty() {
            self.pending = Vec::new();
            self.sent = 0;
        }
        while let Some(pipe) = self.pipe.as_mut().filter(|p| p.filled() > 0) {
            if to.poll_write_ready(cx)?.is_pending() {
                return Ok(false);
            }
            match to.try_io(Interest::WRITABLE, || pipe.drain(to)) {
                Ok(n) => {
                    self.written += n as u64;
                    self.spliced += n as u64;
                    moved.written = true;
                }
                Err(e) if is_again(&e) => {}
                Err(e) => return Err(e),
            }
        }
        self.pipe = None;
        Ok(true)
    }

    /// Reads into the scratch buffer and writes on at once; what does not fit waits in `pending`.
    fn read_copied(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Stream,
        to: &Stream,
        moved: &mut Moved,
    ) -> Result<Poll<io::Result<usize>>, Failure> {
        BUFFER.with_borrow_mut(|buffer| {
            if buffer.is_empty() {
                buffer.resize(SCRATCH, 0);
            }
            let mut buf = ReadBuf::new(buffer);
            match Pin::new(from).poll_read(cx, &mut buf) {
                Poll::Pending => return Ok(Poll::Pending),
                Poll::Ready(Err(e)) => return Ok(Poll::Ready(Err(e))),
                Poll::Ready(Ok(())) => {}
            }
            let bytes = buf.filled();
            if bytes.len() == SCRATCH {
                self.bulk = true;
                self.small = 0;
            }
            let sent = match to.try_write(bytes) {
                Ok(n) => n,
                Err(e) if is_again(&e) || bytes.is_empty() => 0,
                Err(_) => {
                    self.read += bytes.len() as u64;
                    return Err(Failure::Destination);
                }
            };
            moved.written |= sent > 0;
            self.written += sent as u64;
            if sent < bytes.len() {
                self.pending.extend_from_slice(&bytes[sent..]);
            }
            Ok(Poll::Ready(Ok(bytes.len())))
        })
    }

    /// Fills the empty pipe. Only an empty one: with bytes inside, "try again" could mean that the pipe is full,
    /// and clearing the socket's readiness for that would lose its next event.
    fn read_spliced(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        mut pipe: Pipe,
    ) -> Poll<io::Result<usize>> {
        debug_assert_eq!(pipe.filled(), 0);
        loop {
            ready!(from.poll_read_ready(cx))?;
            match from.try_io(Interest::READABLE, || pipe.fill(from)) {
                Err(e) if is_again(&e) => {}
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => {
                    // Not a socket that splices: copied from the next turn on.
                    self.copy_only = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Err(e) => return Poll::Ready(Err(e)),
                Ok(n) => {
                    self.small = if n < SMALL { self.small + 1 } else { 0 };
                    self.bulk = self.small < PATIENCE;
                    self.pipe = Some(pipe);
                    return Poll::Ready(Ok(n));
                }
            }
        }
    }
}

pub(super) fn is_again(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
