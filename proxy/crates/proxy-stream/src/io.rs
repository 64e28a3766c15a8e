//! One connection as the engine sees it: a byte stream and what was received but not used yet.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use proxy_net::{Stream, sockopt};
use proxy_rules::sample::context::{StreamEnd, TcpInfo};
use proxy_tls::rustls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::mux::Framed;
use crate::scratch;
use crate::transport::TlsStream;

/// A byte stream the engine can own. The seam to other kinds of transport.
pub trait Io: AsyncRead + AsyncWrite + Unpin {
    /// The socket, when bytes travel on it as they are: for socket options and splicing.
    fn socket(&self) -> Option<&Stream> {
        None
    }

    /// The socket underneath, whatever travels on it: for options that do not touch the bytes.
    fn transport(&self) -> Option<&Stream> {
        self.socket()
    }

    /// The application protocol that both ends agreed on during the TLS handshake (RFC 7301): `h2`, `http/1.1`.
    fn alpn(&self) -> Option<&[u8]> {
        None
    }

    /// Whether TLS protects the bytes.
    fn is_tls(&self) -> bool {
        false
    }

    /// What the protocol knows of a stream of its own.
    fn stream(&self) -> Option<StreamEnd> {
        None
    }

    /// Goes on with a handshake whose early data are served already; ready when there is none to go on with.
    fn poll_handshake(&mut self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    /// The message side of a stream that carries heads and trailers apart from the body's bytes.
    fn framed(&mut self) -> Option<&mut dyn Framed> {
        None
    }

    /// The connection that a stream of FastCGI had for itself, when it can carry another request.
    fn carrier(self: Box<Self>) -> Option<Conn> {
        None
    }

    /// Leaves the thread, with what TLS holds, if this can be.
    ///
    /// # Errors
    /// It cannot; it is as before.
    fn detach(self: Box<Self>) -> Result<Detached, Box<dyn Io>>;

    /// Gives up the socket for splicing, or returns itself when there is none.
    ///
    /// # Errors
    /// This stream is not a plain socket.
    fn into_socket(self: Box<Self>) -> Result<Stream, Box<dyn Io>>;
}

/// A connection between two threads.
pub enum Detached {
    Plain(OwnedFd),
    Tls(OwnedFd, Box<rustls::Connection>),
}

impl Detached {
    /// Makes it a connection of the running thread.
    ///
    /// # Errors
    /// The reactor does not take it.
    pub fn attach(self) -> io::Result<Box<dyn Io>> {
        Ok(match self {
            Self::Plain(fd) => Box::new(Stream::from_fd(fd)?),
            Self::Tls(fd, tls) => Box::new(TlsStream::revive(Stream::from_fd(fd)?, *tls)),
        })
    }
}

impl Io for Stream {
    fn detach(self: Box<Self>) -> Result<Detached, Box<dyn Io>> {
        Ok(Detached::Plain(self.into_fd()))
    }

    fn socket(&self) -> Option<&Stream> {
        Some(self)
    }

    fn into_socket(self: Box<Self>) -> Result<Stream, Box<dyn Io>> {
        Ok(*self)
    }
}

/// Stands in for a stream that was given away: nothing more comes, nothing can be sent.
struct Gone;

impl AsyncRead for Gone {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Gone {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Io for Gone {
    fn detach(self: Box<Self>) -> Result<Detached, Box<dyn Io>> {
        Err(self)
    }

    fn into_socket(self: Box<Self>) -> Result<Stream, Box<dyn Io>> {
        Err(self)
    }
}

impl Io for tokio::io::DuplexStream {
    fn detach(self: Box<Self>) -> Result<Detached, Box<dyn Io>> {
        Err(self)
    }

    fn into_socket(self: Box<Self>) -> Result<Stream, Box<dyn Io>> {
        Err(self)
    }
}

/// Bytes received and not used yet. Holds no memory while empty.
#[derive(Debug, Default)]
pub struct Input {
    buf: Vec<u8>,
    start: usize,
}

impl Input {
    /// The unused bytes.
    #[must_use]
    pub fn data(&self) -> &[u8] {
        &self.buf[self.start..]
    }

    /// True when nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.buf.len()
    }

    /// Number of waiting bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buf.len() - self.start
    }

    /// Adds received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.buf.capacity() == 0 {
            self.buf = scratch::take();
        }
        self.buf.extend_from_slice(bytes);
    }

    /// Drops the first `n` bytes.
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            self.start = 0;
            scratch::give(&mut self.buf);
        }
    }

    /// Puts bytes in front of those that wait.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (buf, start) = self.take();
        self.push(bytes);
        self.push(&buf[start..]);
    }

    /// Takes everything out; the caller puts back what it did not use with [`Input::restore`].
    fn take(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.buf), std::mem::take(&mut self.start))
    }

    fn restore(&mut self, buf: Vec<u8>, start: usize) {
        debug_assert!(self.buf.is_empty());
        (self.buf, self.start) = (buf, start);
        self.consume(0);
    }
}

/// Bytes of a peer that are read and dropped before its connection is closed.
const DRAINED: usize = 256 * 1024;

/// Bytes that are much for one read.
pub(crate) const MUCH: usize = 32 * 1024;

/// A connection.
pub struct Conn {
    pub io: Box<dyn Io>,
    pub input: Input,
    /// The peer finished sending.
    pub eof: bool,
    /// Our sending side was shut.
    pub shut: bool,
    /// [`Io::framed`] is there.
    pub framed: bool,
    /// The last read brought [`MUCH`].
    pub(crate) plenty: bool,
}

/// What the callback of [`Conn::poll_process`] made of the bytes it was given.
pub struct Used<T> {
    /// Bytes used; the rest is kept.
    pub consumed: usize,
    pub value: T,
}

impl Conn {
    /// A connection of which nothing was received yet.
    #[must_use]
    pub fn new(mut io: Box<dyn Io>) -> Self {
        let framed = io.framed().is_some();
        Self { io, input: Input::default(), eof: false, shut: false, framed, plenty: false }
    }

    /// Stands in for a connection that went elsewhere.
    #[must_use]
    pub fn gone() -> Self {
        Self::new(Box::new(Gone))
    }

    /// The message side of a stream that has one.
    ///
    /// # Errors
    /// This is a plain byte stream.
    pub fn framed(&mut self) -> io::Result<&mut dyn Framed> {
        self.io.framed().ok_or_else(|| io::ErrorKind::Unsupported.into())
    }

    /// Hands received bytes to `process`: those that wait, or else those of one read. An empty slice
    /// is the end of the stream. Bytes that are not consumed wait for the next call.
    pub fn poll_process<T>(
        &mut self,
        cx: &mut Context<'_>,
        process: impl FnOnce(&mut Self, &mut [u8], &mut Context<'_>) -> Used<T>,
    ) -> Poll<io::Result<T>> {
        if self.input.is_empty() {
            return self.poll_read_process(cx, process);
        }
        let (mut buf, start) = self.input.take();
        let used = process(self, &mut buf[start..], cx);
        self.input.restore(buf, start + used.consumed);
        Poll::Ready(Ok(used.value))
    }

    /// As [`Conn::poll_process`], but always reads first: for input that was found incomplete.
    pub fn poll_read_process<T>(
        &mut self,
        cx: &mut Context<'_>,
        process: impl FnOnce(&mut Self, &mut [u8], &mut Context<'_>) -> Used<T>,
    ) -> Poll<io::Result<T>> {
        scratch::with(|scratch| {
            let n = ready!(self.poll_read(cx, scratch))?;
            self.plenty = n >= MUCH;
            if self.input.is_empty() {
                let used = process(self, &mut scratch[..n], cx);
                self.input.push(&scratch[used.consumed..n]);
                return Poll::Ready(Ok(used.value));
            }
            self.input.push(&scratch[..n]);
            let (mut buf, start) = self.input.take();
            let data = if n == 0 { &mut [][..] } else { &mut buf[start..] };
            let used = process(self, data, cx);
            self.input.restore(buf, start + used.consumed);
            Poll::Ready(Ok(used.value))
        })
    }

    /// One read into `buf`; 0 is the end of the stream.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buf = ReadBuf::new(buf);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        let n = buf.filled().len();
        self.eof |= n == 0;
        Poll::Ready(Ok(n))
    }

    /// One write of two slices in a row; returns how many bytes of them were taken.
    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let io = Pin::new(&mut self.io);
        let n = match (first.is_empty(), second.is_empty()) {
            (true, true) => return Poll::Ready(Ok(0)),
            (false, true) => ready!(io.poll_write(cx, first))?,
            (true, false) => ready!(io.poll_write(cx, second))?,
            (false, false) => {
                let slices = [io::IoSlice::new(first), io::IoSlice::new(second)];
                ready!(io.poll_write_vectored(cx, &slices))?
            }
        };
        if n == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        Poll::Ready(Ok(n))
    }

    /// Shuts our sending side; errors do not matter, the connection is on its way out.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.shut {
            let _ = ready!(Pin::new(&mut self.io).poll_shutdown(cx));
            self.shut = true;
        }
        Poll::Ready(())
    }

    /// Shuts our sending side and drops what the peer still sends, up to a bound.
    pub(crate) fn poll_drain(&mut self, cx: &mut Context<'_>, drained: &mut usize) -> Poll<()> {
        ready!(self.poll_shutdown(cx));
        self.input.consume(self.input.len());
        while *drained < DRAINED && !self.eof {
            match ready!(scratch::with(|buf| self.poll_read(cx, buf))) {
                Ok(n) => *drained += n,
                Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    /// Whether the reactor knows the connection: it wakes somebody, and that costs nothing more.
    pub(crate) fn is_watched(&self) -> bool {
        self.io.socket().is_none_or(Stream::is_watched)
    }

    /// Whether an idle connection can still be used: nothing was received on it, not even its end.
    pub fn is_quiet(&mut self) -> bool {
        if self.eof || !self.input.is_empty() {
            return false;
        }
        let mut byte = [0; 1];
        if let Some(socket) = self.io.socket() {
            // Asks nobody but the reactor, unless that was told of something.
            let read = socket.try_read(&mut byte);
            return read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        }
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.poll_read(&mut cx, &mut byte).is_pending()
    }

    /// Gives the socket away together with what was received and not used. `None` when there is no plain
    /// socket; this connection stays as it was then.
    pub fn take_socket(&mut self) -> Option<(Stream, Vec<u8>)> {
        self.io.socket()?;
        let io = std::mem::replace(&mut self.io, Box::new(Gone));
        match io.into_socket() {
            Ok(stream) => {
                self.eof = true;
                let waiting = self.input.data().to_vec();
                self.input.consume(waiting.len());
                Some((stream, waiting))
            }
            Err(io) => {
                self.io = io;
                None
            }
        }
    }

    /// Makes the close of this connection a reset, so that no TIME_WAIT stays behind.
    pub fn reset_on_close(&self) {
        if let Some(socket) = self.io.transport() {
            socket.set_reset_on_close();
        }
    }
}

/// What the kernel measured on a connection, for rules.
pub(crate) fn tcp_info(socket: &impl AsFd) -> Option<TcpInfo> {
    let info = sockopt::tcp_info(socket).ok()?;
    let sockopt::TcpInfo { unacked, sacked, lost, retrans, fackets, rtt, rttvar, reordering } =
        info;
    Some(TcpInfo { fackets, lost, reordering, retrans, rtt, rttvar, sacked, unacked })
}
