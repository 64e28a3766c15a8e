//! TLS over a socket, as a stream.

use std::io::{self, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use proxy_net::Stream;
use proxy_rules::sample::connection;
use proxy_tls::findings::Findings;
use proxy_tls::rustls::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handshake;
use crate::io::{Detached, Io};

/// Bytes that are encrypted at once; four records.
const CHUNK: usize = 64 * 1024;

/// A connection whose handshake is complete, or goes on while the client's early data are served.
///
/// A write is done once its records are with the kernel, so that nobody has to flush. Until then it is pending,
/// and must be repeated with the same bytes in front.
pub struct TlsStream {
    socket: Stream,
    tls: Connection,
    /// Bytes of a pending write that are encrypted already.
    held: usize,
    eof: bool,
    closed: bool,
    /// The socket's connection is no more: what were written would go nowhere.
    lost: bool,
    early: Option<Box<Early>>,
    ahead: Option<Box<Ahead>>,
}

/// What was sent to a server before the handshake is complete. Should the server not take it, it is sent again then
/// (RFC 8446, 4.2.10).
pub(super) struct Ahead {
    sent: Vec<u8>,
    found: Findings,
    sni: Option<Box<str>>,
    /// Tells of the end of the handshake.
    known: Arc<OnceLock<connection::Tls>>,
}

impl Ahead {
    pub(super) fn new(found: Findings, sni: Option<Box<str>>) -> Self {
        Self { sent: Vec::new(), found, sni, known: Arc::default() }
    }

    pub(super) fn known(&self) -> Arc<OnceLock<connection::Tls>> {
        self.known.clone()
    }
}

/// Encrypts what may go before the handshake is complete; 0 bytes when no more of it may.
fn write_ahead(tls: &mut Connection, data: &[u8], sent: &mut Vec<u8>) -> io::Result<usize> {
    let Connection::Client(client) = tls else { return Ok(0) };
    let Some(mut early) = client.early_data().filter(|early| early.bytes_left() > 0) else {
        return Ok(0);
    };
    let n = early.write(data)?;
    sent.extend_from_slice(&data[..n]);
    Ok(n)
}

/// What a client sent before its handshake was complete.
pub(super) struct Early {
    /// Received and not read yet.
    data: Vec<u8>,
    read: usize,
    /// Tells others of the end of the handshake.
    told: Arc<connection::Early>,
}

impl Early {
    pub(super) fn new(data: Vec<u8>) -> Self {
        Self { data, read: 0, told: Arc::default() }
    }

    pub(super) fn told(&self) -> Arc<connection::Early> {
        self.told.clone()
    }

    fn rest(&self) -> &[u8] {
        &self.data[self.read..]
    }
}

impl Drop for Early {
    fn drop(&mut self) {
        // Nothing for those whose end came before.
        self.told.end(false);
    }
}

/// Moves early data that came to `to`. The library bounds them.
pub(super) fn take_early(tls: &mut Connection, to: &mut Vec<u8>) {
    if let Connection::Server(server) = tls
        && let Some(mut early) = server.early_data()
    {
        // Reading from memory does not fail.
        let _ = early.read_to_end(to);
    }
}

/// The socket as the library wants to see it.
pub(super) struct Sync<'a, 'b> {
    pub(super) socket: &'a mut Stream,
    pub(super) cx: &'a mut Context<'b>,
}

fn would_block<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

impl Read for Sync<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        would_block(Pin::new(&mut *self.socket).poll_read(self.cx, &mut buf))?;
        Ok(buf.filled().len())
    }
}

impl Write for Sync<'_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        would_block(Pin::new(&mut *self.socket).poll_write(self.cx, buf))
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        would_block(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, bufs))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether an error of a socket is the end of its connection.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::BrokenPipe | K::ConnectionReset | K::ConnectionAborted | K::NotConnected | K::TimedOut
    )
}

/// Sends what the library has to say.
pub(super) fn poll_send(
    tls: &mut Connection,
    socket: &mut Stream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while tls.wants_write() {
        match tls.write_tls(&mut Sync { socket, cx }) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
    Poll::Ready(Ok(()))
}

/// Receives once; 0 is the end.
pub(super) fn poll_receive(
    tls: &mut Connection,
    socket: &mut Stream,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    match tls.read_tls(&mut Sync { socket, cx }) {
        Ok(n) => Poll::Ready(Ok(n)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        Err(error) => Poll::Ready(Err(error)),
    }
}

impl TlsStream {
    pub(super) fn new(socket: Stream, tls: Connection, early: Option<Early>) -> Self {
        let mut this = Self {
            socket,
            tls,
            held: 0,
            eof: false,
            closed: false,
            lost: false,
            early: early.map(Box::new),
            ahead: None,
        };
        this.after_step(true);
        this
    }

    /// A connection to a server whose handshake goes on below what is sent.
    pub(super) fn ahead(socket: Stream, tls: Connection, ahead: Ahead) -> Self {
        let mut this = Self::new(socket, tls, None);
        this.ahead = Some(Box::new(ahead));
        this
    }

    /// Completes the handshake that data were sent before.
    fn poll_catch_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() && !self.eof {
            ready!(self.poll_send(cx))?;
            let outcome = ready!(self.poll_step(cx));
            if let Some(ahead) = &mut self.ahead {
                ahead.found.update();
            }
            outcome?;
        }
        let Some(ahead) = self.ahead.take() else { return Poll::Ready(Ok(())) };
        let mut facts = handshake::facts(&self.tls, ahead.found);
        facts.sni = ahead.sni;
        let _ = ahead.known.set(facts);
        if let Connection::Client(client) = &mut self.tls
            && !client.is_handshaking()
            && !client.is_early_data_accepted()
        {
            // It fits the library's buffer: more than that is not sent ahead.
            client.writer().write_all(&ahead.sent)?;
        }
        let _ = self.poll_send(cx);
        Poll::Ready(Ok(()))
    }

    /// Sends `data` ahead of the end of the handshake, as far as that is possible; `None` when it is not.
    fn poll_ahead(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<Option<usize>>> {
        let Some(mut ahead) = self.ahead.take() else { return Poll::Ready(Ok(None)) };
        let chunk = &data[..data.len().min(CHUNK)];
        let encrypt = |tls: &mut Connection| write_ahead(tls, chunk, &mut ahead.sent);
        // The first of it travels with the ClientHello.
        let outcome = if self.held == 0 {
            self.poll_encrypt_behind(cx, encrypt)
        } else {
            self.poll_encrypt(cx, data.len(), encrypt)
        };
        self.ahead = Some(ahead);
        match ready!(outcome)? {
            0 if !data.is_empty() => self.poll_catch_up(cx).map_ok(|()| None),
            n => Poll::Ready(Ok(Some(n))),
        }
    }

    /// Takes in early data, and notes whether the handshake goes on.
    fn after_step(&mut self, well: bool) {
        let Some(early) = &mut self.early else { return };
        take_early(&mut self.tls, &mut early.data);
        if !well || !self.tls.is_handshaking() || self.eof {
            early.told.end(well && !self.tls.is_handshaking());
            if early.rest().is_empty() {
                self.early = None;
            }
        }
    }

    /// Receives once, and answers what came.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(poll_receive(&mut self.tls, &mut self.socket, cx)) {
            Ok(0) => self.eof = true,
            Ok(_) => {}
            Err(error) => {
                self.lost = is_end(&error);
                self.eof = self.lost;
                return Poll::Ready(Err(error));
            }
        }
        let outcome = self.tls.process_new_packets();
        self.after_step(outcome.is_ok());
        // Answers to what came, such as a change of keys or an alert. Should they not fit now, they go with the
        // next write.
        if self.tls.wants_write() {
            let _ = self.poll_send(cx);
        }
        Poll::Ready(match outcome {
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
        })
    }

    /// A connection that came from another thread.
    pub(crate) fn revive(socket: Stream, tls: Connection) -> Self {
        Self::new(socket, tls, None)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lost {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let outcome = ready!(poll_send(&mut self.tls, &mut self.socket, cx));
        self.lost = outcome.as_ref().is_err_and(is_end);
        Poll::Ready(outcome)
    }

    fn poll_encrypt(
        &mut self,
        cx: &mut Context<'_>,
        len: usize,
        encrypt: impl FnOnce(&mut Connection) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let held = std::mem::take(&mut self.held);
        if held > 0 {
            self.held = held.saturating_sub(len);
            return Poll::Ready(Ok(held.min(len)));
        }
        self.poll_encrypt_behind(cx, encrypt)
    }

    /// Encrypts behind what waits to be sent, and sends both.
    fn poll_encrypt_behind(
        &mut self,
        cx: &mut Context<'_>,
        encrypt: impl FnOnce(&mut Connection) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let n = encrypt(&mut self.tls)?;
        match self.poll_send(cx) {
            Poll::Ready(outcome) => Poll::Ready(outcome.map(|()| n)),
            Poll::Pending => {
                self.held = n;
                Poll::Pending
            }
        }
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_some() {
            ready!(this.poll_catch_up(cx))?;
        }
        loop {
            if let Some(early) = &mut this.early
                && !early.rest().is_empty()
            {
                let n = early.rest().len().min(buf.remaining());
                buf.put_slice(&early.rest()[..n]);
                early.read += n;
                this.after_step(true);
                return Poll::Ready(Ok(()));
            }
            match this.tls.reader().read(buf.initialize_unfilled()) {
                Ok(n) => {
                    buf.advance(n);
                    return Poll::Ready(Ok(()));
                }
                // The end of the connection without a close_notify counts as the end, as it does with OpenSSL.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            if this.eof {
                return Poll::Ready(Ok(()));
            }
            ready!(this.poll_step(cx))?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(n) = ready!(self.poll_ahead(cx, buf))? {
            return Poll::Ready(Ok(n));
        }
        let chunk = &buf[..buf.len().min(CHUNK)];
        self.poll_encrypt(cx, buf.len(), |tls| tls.writer().write(chunk))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.ahead.is_some() {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            if let Some(n) = ready!(self.poll_ahead(cx, first))? {
                return Poll::Ready(Ok(n));
            }
        }
        let len = bufs.iter().map(|buf| buf.len()).sum();
        if len <= CHUNK {
            return self.poll_encrypt(cx, len, |tls| tls.writer().write_vectored(bufs));
        }
        let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
        let chunk = &first[..first.len().min(CHUNK)];
        self.poll_encrypt(cx, len, |tls| tls.writer().write(chunk))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.closed, true) && !self.lost {
            self.tls.send_close_notify();
        }
        ready!(self.poll_send(cx))?;
        Poll::Ready(self.socket.shutdown_write())
    }
}

impl Io for TlsStream {
    fn detach(self: Box<Self>) -> Result<Detached, Box<dyn Io>> {
        let busy = self.held > 0 || self.early.is_some() || self.tls.is_handshaking();
        if busy || self.closed || self.eof {
            return Err(self);
        }
        let Self { socket, tls, .. } = *self;
        match Box::new(socket).detach()? {
            Detached::Plain(fd) => Ok(Detached::Tls(fd, Box::new(tls))),
            other => Ok(other),
        }
    }

    fn transport(&self) -> Option<&Stream> {
        Some(&self.socket)
    }

    fn alpn(&self) -> Option<&[u8]> {
        self.tls.alpn_protocol()
    }

    fn is_tls(&self) -> bool {
        true
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.early.is_some() && self.tls.is_handshaking() && !self.eof {
            if ready!(self.poll_step(cx)).is_err() {
                break;
            }
        }
        Poll::Ready(())
    }

    fn into_socket(self: Box<Self>) -> Result<Stream, Box<dyn Io>> {
        Err(self)
    }
}
