//! One direction of an exchange: a head and then a body, from one connection to the other.
//!
//! Bytes go from the thread's scratch buffer straight to the other socket. Only what that socket does not
//! take is kept, and nothing more is read until it has taken it: that is the back-pressure.

use std::io;
use std::task::{Context, Poll, ready};

use proxy_http::h1::{ChunkError, Filtered};

use super::Body;
use crate::io::{Conn, Used};
use crate::scratch;

/// Largest body part that is joined to a head that is still to be sent.
const JOIN: usize = 16 * 1024;

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
}

/// The state of one direction.
#[derive(Debug, Default)]
pub struct Pump {
    body: Body,
    /// Bytes taken in and not sent yet, from `sent` on.
    unsent: Vec<u8>,
    sent: usize,
    /// Body bytes received.
    pub received: u64,
    /// Bytes sent, heads included.
    pub forwarded: u64,
    /// Something was read since [`Pump::begin_poll`].
    pub did_read: bool,
    /// Something was written since [`Pump::begin_poll`].
    pub did_write: bool,
}

impl Pump {
    /// Starts a message: queues `head` and takes note of the body that follows it.
    pub fn start(&mut self, body: Body, head: impl FnOnce(&mut Vec<u8>)) {
        self.set_body(body);
        self.queue(head);
    }

    /// Takes note of the body to forward.
    pub fn set_body(&mut self, body: Body) {
        self.body = body;
    }

    /// Queues bytes of our own.
    pub fn queue(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.unsent.capacity() == 0 {
            self.unsent = scratch::take();
        }
        write(&mut self.unsent);
    }

    /// Ready for the next message; memory goes back to the pool.
    pub fn reset(&mut self) {
        let mut unsent = std::mem::take(&mut self.unsent);
        scratch::give(&mut unsent);
        *self = Self::default();
    }

    /// Forgets what was done in earlier polls.
    pub fn begin_poll(&mut self) {
        self.did_read = false;
        self.did_write = false;
    }

    /// Everything was received and sent.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.body.is_done() && !self.has_unsent()
    }

    /// The whole body was received.
    #[must_use]
    pub fn body_received(&self) -> bool {
        self.body.is_done()
    }

    /// Bytes wait for the recipient.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        self.sent < self.unsent.len()
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
                return Poll::Ready(Ok(()));
            }
            let step = src.poll_process(cx, |src, data, cx| self.step(cx, src, data, dst));
            ready!(step).map_err(PumpFault::Read)??;
        }
    }

    /// Sends what is queued.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>, dst: &mut Conn) -> Poll<io::Result<()>> {
        while self.has_unsent() {
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
        self.send(cx, &data[..filtered.produced], dst)?;
        Ok(filtered.consumed)
    }

    /// Forgets what is queued: its recipient is gone.
    pub fn drop_unsent(&mut self) {
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
        if !self.has_unsent() || self.body.is_done() || src.input.is_empty() {
            return Ok(());
        }
        let n = src.input.len().min(JOIN);
        let start = self.unsent.len();
        self.unsent.extend_from_slice(&src.input.data()[..n]);
        let mut body = std::mem::take(&mut self.body);
        let filtered = body.filter(&mut self.unsent[start..])?;
        self.body = body;
        self.unsent.truncate(start + filtered.produced);
        self.received += filtered.consumed as u64;
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
            let until_close = matches!(self.body, Body::UntilClose);
            self.body = Body::Done;
            let value = if until_close { Ok(()) } else { Err(PumpFault::Closed) };
            return Used { consumed: 0, value };
        }
        self.did_read = true;
        match self.send_first(cx, data, dst) {
            Ok(consumed) => Used { consumed, value: Ok(()) },
            Err(fault) => Used { consumed: data.len(), value: Err(fault) },
        }
    }

    fn filter(&mut self, data: &mut [u8]) -> Result<Filtered, PumpFault> {
        let filtered = self.body.filter(data)?;
        self.received += filtered.consumed as u64;
        Ok(filtered)
    }

    /// Sends what is queued and then `bytes`; keeps what is not taken.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
        dst: &mut Conn,
    ) -> Result<(), PumpFault> {
        while self.has_unsent() || !bytes.is_empty() {
            match dst.poll_write(cx, &self.unsent[self.sent..], bytes) {
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
