//! One direction of an exchange: a head and then a body, from one connection to the other.
//!
//! Bytes go from the thread's scratch buffer straight to the other socket. Only what that socket does not
//! take is kept, and nothing more is read until it has taken it: that is the back-pressure.

use std::io;
use std::task::{Context, Poll, ready};

use proxy_http::BodyLen;
use proxy_http::h1::{ChunkError, Filtered, Keep};
use proxy_net::clock::Tick;

use super::Body;
use super::piped::Piped;
use proxy_net::splice::{BulkError, Filled};

use crate::compress::{CompressError, Compressed};
use crate::io::{Conn, Used};
use crate::scratch;
use crate::throttle::Throttle;
use crate::trace::Traced;

/// Largest body part that is joined to a head that is still to be sent.
const JOIN: usize = 16 * 1024;
/// Bytes that are cheaper to copy behind others than to send as a slice of their own.
const COPIED: usize = 4 * 1024;

/// Why a direction stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum PumpFault {
    #[error("the sender closed before the end of the body")]
    Closed,
    #[error("reading failed: {0}")]
    Read(io::Error),
    #[error("writing failed: {0}")]
    Write(io::Error),
    #[error("malformed body: {0}")]
    Framing(#[from] ChunkError),
    #[error("{0}")]
    Transform(#[from] CompressError),
}

/// Changes payload on its way.
pub(crate) trait Transform {
    /// Takes payload and appends what the recipient gets of it; with `last`, nothing follows.
    ///
    /// # Errors
    /// The payload cannot be changed any further.
    fn push(&mut self, data: &[u8], last: bool, out: &mut Vec<u8>) -> Result<(), CompressError>;

    /// What went through so far.
    fn moved(&self) -> Compressed;
}

/// How a side of a direction carries its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// HTTP/1.0: no chunks.
    Http10,
    Http11,
    /// A [`Framed`](crate::mux::Framed).
    Framed,
}

/// Body bytes as they were received.
#[derive(Default)]
struct Copied {
    bytes: Vec<u8>,
    /// Most of them that are kept.
    limit: usize,
}

/// What ends the body for its recipient, beside the bytes forwarded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Tail {
    #[default]
    Nothing,
    /// The last chunk and the trailers: the recipient gets chunks of our making.
    LastChunk,
    /// The end of the stream, with trailers if there are any.
    EndOfStream,
}

/// Payload that is kept beside forwarding it.
struct Tap {
    kept: Vec<u8>,
    /// Takes the payload of a whole message, before its recipient gets the end of it.
    then: Box<dyn FnOnce(Vec<u8>)>,
    /// Bytes that may be kept; nothing is once there were more.
    room: usize,
    over: bool,
}

impl Tap {
    fn see(&mut self, payload: &[u8]) {
        if self.over || payload.len() > self.room - self.kept.len() {
            self.over = true;
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(payload);
        }
    }
}

/// The state of one direction.
#[derive(Default)]
pub struct Pump {
    body: Body,
    tail: Tail,
    /// What payload goes through, while some is to come.
    transform: Option<Box<dyn Transform>>,
    tap: Option<Box<Tap>>,
    /// How fast it may go.
    throttle: Option<Box<Throttle>>,
    /// Who watches it.
    traced: Option<Box<Traced>>,
    /// What went through a transform that has ended.
    transformed: Compressed,
    /// Trailer lines to send with the tail.
    trailers: Vec<u8>,
    /// `option http-drop-*-trailers`.
    drop_trailers: bool,
    /// Bytes taken in and not sent yet, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// What was taken in of the body, as it came, while it can be sent again.
    copy: Option<Copied>,
    /// What of the body goes through the kernel.
    pub(crate) piped: Piped,
    /// Body bytes received.
    pub received: u64,
    /// Bytes sent, heads included.
    pub forwarded: u64,
    /// Something was read since [`Pump::begin_poll`].
    pub did_read: bool,
    /// Something was written since [`Pump::begin_poll`].
    pub did_write: bool,
}

impl std::fmt::Debug for Pump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let waiting = self.unsent.len() - self.sent;
        f.debug_struct("Pump")
            .field("body", &self.body)
            .field("tail", &self.tail)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

/// One chunk around `bytes`, which must not be empty.
fn write_chunk(bytes: &[u8], out: &mut Vec<u8>) {
    use io::Write;
    // Writing to memory does not fail.
    let _ = write!(out, "{:x}\r\n", bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

impl Pump {
    /// Takes note of the body to forward from one wire to the other.
    pub fn set_message(&mut self, len: BodyLen, from: Wire, to: Wire) {
        let keep = match to {
            Wire::Http10 => Keep::Payload,
            Wire::Http11 if self.drop_trailers => Keep::ChunksOnly,
            Wire::Http11 => Keep::Chunks,
            Wire::Framed => Keep::PayloadAndTrailers,
        };
        let body = match (from, Body::new(len, keep)) {
            (_, Body::Done) => Body::Done,
            (Wire::Framed, _) => Body::Framed,
            (_, body) => body,
        };
        self.tail = match to {
            _ if body.is_done() => Tail::Nothing,
            Wire::Framed => Tail::EndOfStream,
            Wire::Http11 if from == Wire::Framed && len == BodyLen::Chunked => Tail::LastChunk,
            _ => Tail::Nothing,
        };
        self.body = body;
    }

    /// Lets the payload of the message that was set go through `transform`: its recipient learns of its end by chunks,
    /// or by the end of the stream.
    pub(crate) fn set_transform(&mut self, transform: Box<dyn Transform>, to: Wire) {
        debug_assert!(to != Wire::Http10, "the end could not be told");
        if let Body::Chunked(_, keep) = &mut self.body {
            *keep = Keep::PayloadAndTrailers;
        }
        self.tail = if to == Wire::Framed { Tail::EndOfStream } else { Tail::LastChunk };
        self.transform = Some(transform);
    }

    /// Keeps up to `room` bytes of the payload of the message that was set, and hands them to `then` once it is whole.
    pub(crate) fn set_tap(&mut self, room: usize, to: Wire, then: Box<dyn FnOnce(Vec<u8>)>) {
        if let Body::Chunked(_, keep) = &mut self.body
            && to == Wire::Http11
        {
            // Payload is seen apart from its chunks: the recipient gets new ones.
            *keep = Keep::PayloadAndTrailers;
            self.tail = Tail::LastChunk;
        }
        self.tap = Some(Box::new(Tap { kept: Vec::new(), then, room, over: false }));
        self.end_tap();
    }

    /// Hands over what was kept, once the message is whole.
    fn end_tap(&mut self) {
        if self.body.is_done()
            && let Some(tap) = self.tap.take()
            && !tap.over
        {
            (tap.then)(tap.kept);
        }
    }

    /// What went through a transform.
    pub(crate) fn transformed(&self) -> Compressed {
        self.transform.as_ref().map_or(self.transformed, |transform| transform.moved())
    }

    /// Takes note of a message of our own: `len` bytes will be queued behind the head.
    pub fn set_own_message(&mut self, len: usize, to: Wire) {
        self.body = Body::Done;
        let end = len > 0 && to == Wire::Framed;
        self.tail = if end { Tail::EndOfStream } else { Tail::Nothing };
    }

    /// Whether nothing follows the head of the message that was set.
    #[must_use]
    pub fn ends_with_head(&self) -> bool {
        self.body.is_done() && self.tail == Tail::Nothing
    }

    /// Takes note of bytes to forward that are no message: those of a tunnel, to the end of `from`.
    pub fn set_tunnel(&mut self, from: Wire) {
        self.body = if from == Wire::Framed { Body::Framed } else { Body::UntilClose };
        self.tail = Tail::Nothing;
    }

    /// Keeps trailers from the recipient.
    pub fn drop_trailers(&mut self) {
        self.drop_trailers = true;
    }

    /// Whether the kernel may carry what comes next.
    fn is_spliceable(&self, src: &Conn, dst: &Conn) -> bool {
        self.piped.takes(self.body.plain(), src, dst)
            && src.input.is_empty()
            && self.tail == Tail::Nothing
            && self.transform.is_none()
            && self.tap.is_none()
            && self.copy.is_none()
            && !self.is_filtered()
    }

    /// Has the kernel carry a part of the body; false when it is to be copied.
    fn poll_splice(
        &mut self,
        cx: &mut Context<'_>,
        src: &mut Conn,
    ) -> Poll<Result<bool, PumpFault>> {
        let filled = ready!(self.piped.poll_fill(cx, src, self.body.plain()));
        let filled = filled.map_err(|error| match error {
            BulkError::Source(error) => PumpFault::Read(error),
            BulkError::Destination(error) => PumpFault::Write(error),
        })?;
        match filled {
            Filled::Impossible => Poll::Ready(Ok(false)),
            Filled::End => {
                src.eof = true;
                match std::mem::take(&mut self.body) {
                    Body::UntilClose => Poll::Ready(Ok(true)),
                    _ => Poll::Ready(Err(PumpFault::Closed)),
                }
            }
            Filled::Bytes(n) => {
                self.did_read = true;
                self.received += n as u64;
                self.body.skip(n as u64);
                Poll::Ready(Ok(true))
            }
        }
    }

    /// Sends what the kernel holds.
    fn poll_drain(&mut self, cx: &mut Context<'_>, dst: &Conn) -> Poll<io::Result<()>> {
        let mut sent = 0;
        let drained = self.piped.poll_drain(cx, dst, &mut sent);
        self.did_write |= sent > 0;
        self.forwarded += sent;
        drained
    }

    /// Queues bytes of our own.
    pub fn queue(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.unsent.capacity() == 0 {
            self.unsent = scratch::take();
        }
        write(&mut self.unsent);
    }

    /// Keeps what is taken in of the body, as long as that is at most `limit` bytes.
    pub(crate) fn keep_copy(&mut self, limit: usize) {
        self.copy = Some(Copied { bytes: Vec::new(), limit });
    }

    /// Whether all that was taken in of the body can be had again.
    pub(crate) fn has_copy(&self) -> bool {
        self.copy.is_some()
    }

    /// What was taken in of the body, if all of it was kept.
    pub(crate) fn take_copy(&mut self) -> Option<Vec<u8>> {
        self.copy.take().map(|copy| copy.bytes)
    }

    /// Keeps `data`, of which [`Pump::kept`] says how much was used. Its length before is returned.
    fn copy(&mut self, data: &[u8]) -> usize {
        let Some(copy) = &mut self.copy else { return 0 };
        let before = copy.bytes.len();
        copy.bytes.extend_from_slice(data);
        before
    }

    fn kept(&mut self, before: usize, used: usize) {
        let Some(copy) = &mut self.copy else { return };
        copy.bytes.truncate(before + used);
        if copy.bytes.len() > copy.limit {
            self.copy = None;
        }
    }

    /// Ready for the next message under the same limits; memory goes back to the pool.
    pub fn reset(&mut self) {
        let mut unsent = std::mem::take(&mut self.unsent);
        scratch::give(&mut unsent);
        let (throttle, traced) = (self.throttle.take(), self.traced.take());
        *self = Self { throttle, traced, ..Self::default() };
    }

    /// The limits of this direction, made when there are none yet.
    pub(crate) fn throttle(&mut self, epoch: Tick) -> &mut Throttle {
        self.throttle.get_or_insert_with(|| Box::new(Throttle::new(epoch)))
    }

    /// The limits of this direction.
    pub(crate) fn limits(&self) -> Option<&Throttle> {
        self.throttle.as_deref()
    }

    /// The filters that watch this direction, made when there are none yet.
    pub(crate) fn traced(&mut self) -> &mut Traced {
        self.traced.get_or_insert_default()
    }

    /// Whether all bytes are to go through here one by one.
    pub(crate) fn is_filtered(&self) -> bool {
        self.throttle.is_some() || self.traced.is_some()
    }

    /// Ends all limits, and all watching.
    pub(crate) fn unlimit(&mut self) {
        self.throttle = None;
        self.traced = None;
    }

    /// Forgets what was done in earlier polls.
    pub fn begin_poll(&mut self) {
        self.did_read = false;
        self.did_write = false;
    }

    /// Everything was received and sent.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.body.is_done()
            && !self.has_unsent()
            && self.tail == Tail::Nothing
            && self.transform.is_none()
    }

    /// The whole body was received.
    #[must_use]
    pub fn body_received(&self) -> bool {
        self.body.is_done()
    }

    /// Bytes wait for the recipient.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.sent < self.unsent.len() || self.piped.waits()
    }

    /// Moves what can be moved. Ready when the message was sent to its end.
    ///
    /// # Errors
    /// Either side failed; see [`PumpFault`].
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        src: &mut Conn,
        dst: &mut Conn,
    ) -> Poll<Result<(), PumpFault>> {
        self.join_body(src)?;
        loop {
            ready!(self.poll_flush(cx, dst)).map_err(PumpFault::Write)?;
            if self.body.is_done() {
                self.end_tap();
                if self.tail == Tail::Nothing {
                    return Poll::Ready(Ok(()));
                }
                if self.transform.is_some() {
                    self.transform(&[])?;
                    continue;
                }
                self.send_tail(dst).map_err(PumpFault::Write)?;
                continue;
            }
            let room = match &mut self.throttle {
                Some(throttle) => ready!(throttle.poll_room(cx)),
                None => usize::MAX,
            };
            if self.is_spliceable(src, dst) && ready!(self.poll_splice(cx, src))? {
                continue;
            }
            let step = src.poll_process(cx, |src, data, cx| {
                let mut len = data.len().min(room);
                if let Some(traced) = self.traced.as_ref().filter(|_| len > 0) {
                    len = traced.part(&data[..len]);
                }
                self.step(cx, src, &mut data[..len], dst)
            });
            ready!(step).map_err(PumpFault::Read)??;
        }
    }

    /// Sends what is queued and what ends the message behind it.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>, dst: &mut Conn) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_flush(cx, dst))?;
            if self.tail == Tail::Nothing {
                return Poll::Ready(Ok(()));
            }
            self.send_tail(dst)?;
        }
    }

    /// Sends or queues what ends the message; everything before it was sent.
    fn send_tail(&mut self, dst: &mut Conn) -> io::Result<()> {
        let trailers = std::mem::take(&mut self.trailers);
        let trailers = if self.drop_trailers { &[][..] } else { &trailers };
        match std::mem::take(&mut self.tail) {
            Tail::Nothing => {}
            Tail::LastChunk => self.queue(|out| {
                for part in [b"0\r\n", trailers, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }),
            Tail::EndOfStream if trailers.is_empty() => {
                let mut cx = Context::from_waker(std::task::Waker::noop());
                // The end alone needs no window: it never waits.
                if let Poll::Ready(sent) = dst.framed()?.poll_send(&mut cx, &[], true) {
                    sent?;
                }
            }
            Tail::EndOfStream => dst.framed()?.send_trailers(trailers)?,
        }
        Ok(())
    }

    /// Sends what is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, dst: &mut Conn) -> Poll<io::Result<()>> {
        // The kernel holds nothing while there are bytes of ours, and the other way round.
        if self.piped.waits() {
            ready!(self.poll_drain(cx, dst))?;
        }
        while self.sent < self.unsent.len() {
            let n = ready!(dst.poll_write(cx, &self.unsent[self.sent..], &[]))?;
            self.wrote(n);
            self.sent += n;
        }
        self.sent = 0;
        scratch::give(&mut self.unsent);
        Poll::Ready(Ok(()))
    }

    /// Takes `data`, received behind a head, as the start of the body and sends it together with what
    /// is queued. Returns how much of `data` belonged to the body.
    ///
    /// # Errors
    /// The body is malformed, or writing failed.
    pub fn send_first(
        &mut self,
        cx: &mut Context<'_>,
        data: &mut [u8],
        dst: &mut Conn,
    ) -> Result<usize, PumpFault> {
        let filtered = self.filter(data)?;
        let bytes = &data[..filtered.produced];
        if let Some(tap) = &mut self.tap {
            tap.see(bytes);
            self.end_tap();
        }
        if self.transform.is_some() {
            self.transform(bytes)?;
            if self.transform.is_none() && self.tail == Tail::LastChunk {
                self.send_tail(dst).map_err(PumpFault::Write)?;
            }
            self.send(cx, &[], dst)?;
            return Ok(filtered.consumed);
        }
        match self.tail {
            Tail::LastChunk if !bytes.is_empty() => {
                self.queue(|out| write_chunk(bytes, out));
                self.send(cx, &[], dst)?;
            }
            Tail::EndOfStream if self.body.is_done() && self.trailers.is_empty() => {
                self.send_last(cx, bytes, dst)?;
            }
            _ => self.send(cx, bytes, dst)?,
        }
        Ok(filtered.consumed)
    }

    /// Queues what becomes of payload, in a chunk where the recipient gets chunks.
    fn transform(&mut self, data: &[u8]) -> Result<(), PumpFault> {
        let Some(mut transform) = self.transform.take() else { return Ok(()) };
        let last = self.body.is_done();
        let mut made = scratch::take();
        let pushed = transform.push(data, last, &mut made);
        match self.tail {
            Tail::LastChunk if !made.is_empty() => self.queue(|out| write_chunk(&made, out)),
            _ => self.queue(|out| out.extend_from_slice(&made)),
        }
        scratch::give(&mut made);
        if last {
            self.transformed = transform.moved();
        } else {
            self.transform = Some(transform);
        }
        Ok(pushed?)
    }

    /// Sends the last bytes of a body together with its end, if that is possible at once.
    fn send_last(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
        dst: &mut Conn,
    ) -> Result<(), PumpFault> {
        if !self.has_unsent() {
            match dst.framed().map_err(PumpFault::Write)?.poll_send(cx, bytes, true) {
                Poll::Ready(Ok(n)) if n == bytes.len() => {
                    self.tail = Tail::Nothing;
                    self.wrote(n);
                    return Ok(());
                }
                Poll::Ready(Ok(n)) => {
                    self.wrote(n);
                    return self.send(cx, &bytes[n..], dst);
                }
                Poll::Ready(Err(error)) => return Err(PumpFault::Write(error)),
                Poll::Pending => {}
            }
        }
        self.send(cx, bytes, dst)
    }

    /// Forgets what is queued: its recipient is gone.
    pub fn drop_unsent(&mut self) {
        self.piped.drop_waiting();
        self.sent = 0;
        scratch::give(&mut self.unsent);
    }

    /// Takes a part of the body and drops it; for [`Conn::poll_process`].
    pub fn discard(&mut self, data: &mut [u8]) -> Used<Result<(), PumpFault>> {
        if data.is_empty() {
            return Used { consumed: 0, value: Err(PumpFault::Closed) };
        }
        self.did_read = true;
        match self.filter(data) {
            Ok(filtered) => Used { consumed: filtered.consumed, value: Ok(()) },
            Err(fault) => Used { consumed: data.len(), value: Err(fault) },
        }
    }

    /// Small bodies that arrived with their head leave with it, in one segment.
    fn join_body(&mut self, src: &mut Conn) -> Result<(), PumpFault> {
        let plain = self.tail == Tail::Nothing && self.tap.is_none();
        let plain = plain && !self.is_filtered();
        if !self.has_unsent() || self.body.is_done() || src.input.is_empty() || !plain {
            return Ok(());
        }
        let n = src.input.len().min(JOIN);
        let before = self.copy(&src.input.data()[..n]);
        let start = self.unsent.len();
        self.unsent.extend_from_slice(&src.input.data()[..n]);
        let mut body = std::mem::take(&mut self.body);
        let filtered = body.filter(&mut self.unsent[start..], &mut self.trailers)?;
        self.body = body;
        self.unsent.truncate(start + filtered.produced);
        self.received += filtered.consumed as u64;
        self.kept(before, filtered.consumed);
        src.input.consume(filtered.consumed);
        Ok(())
    }

    fn step(
        &mut self,
        cx: &mut Context<'_>,
        src: &mut Conn,
        data: &mut [u8],
        dst: &mut Conn,
    ) -> Used<Result<(), PumpFault>> {
        if data.is_empty() {
            debug_assert!(src.eof);
            let body = std::mem::take(&mut self.body);
            let value = match body {
                Body::UntilClose => Ok(()),
                Body::Framed => self.receive_trailers(cx, src),
                Body::Done | Body::Length(_) | Body::Chunked(..) => Err(PumpFault::Closed),
            };
            return Used { consumed: 0, value };
        }
        self.did_read = true;
        match self.send_first(cx, data, dst) {
            Ok(consumed) => Used { consumed, value: Ok(()) },
            Err(fault) => Used { consumed: data.len(), value: Err(fault) },
        }
    }

    /// The trailers behind a framed body, which come with its end.
    fn receive_trailers(&mut self, cx: &mut Context<'_>, src: &mut Conn) -> Result<(), PumpFault> {
        let framed = src.framed().map_err(PumpFault::Read)?;
        match framed.poll_trailers(cx, &mut self.trailers) {
            Poll::Ready(received) => received.map_err(PumpFault::Read),
            // The end was read, so what is behind it is there, too.
            Poll::Pending => Err(PumpFault::Closed),
        }
    }

    fn filter(&mut self, data: &mut [u8]) -> Result<Filtered, PumpFault> {
        let before = self.copy(data);
        let filtered = self.body.filter(data, &mut self.trailers)?;
        self.received += filtered.consumed as u64;
        self.kept(before, filtered.consumed);
        if let Some(throttle) = &mut self.throttle {
            throttle.took(filtered.consumed as u64);
        }
        Ok(filtered)
    }

    /// Sends what is queued and then `bytes`; keeps what is not taken.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
        dst: &mut Conn,
    ) -> Result<(), PumpFault> {
        if self.has_unsent() && bytes.len() <= COPIED {
            self.unsent.extend_from_slice(bytes);
            bytes = &[];
        }
        while self.sent < self.unsent.len() || !bytes.is_empty() {
            match dst.poll_write(cx, &self.unsent[self.sent..], bytes) {
                Poll::Pending if bytes.is_empty() => return Ok(()),
                Poll::Pending => {
                    self.queue(|unsent| unsent.extend_from_slice(bytes));
                    return Ok(());
                }
                Poll::Ready(n) => {
                    let n = n.map_err(PumpFault::Write)?;
                    self.wrote(n);
                    let queued = n.min(self.unsent.len() - self.sent);
                    self.sent += queued;
                    bytes = &bytes[n - queued..];
                }
            }
        }
        self.sent = 0;
        scratch::give(&mut self.unsent);
        Ok(())
    }

    fn wrote(&mut self, n: usize) {
        self.did_write = true;
        self.forwarded += n as u64;
    }
}
