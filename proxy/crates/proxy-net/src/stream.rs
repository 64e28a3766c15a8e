//! A connected stream socket of any family, registered with this thread's reactor.
//!
//! TCP, unix and socketpair ends are all driven by the same calls (recv, send, splice, shutdown), so one concrete type
//! serves them all and no I/O has to ask what it is.

use std::io::{self, IoSlice};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use proxy_types::SockAddr;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use tokio::net::TcpStream;

use crate::sockopt;

/// A connected socket. Must be made and used inside one runtime.
#[derive(Debug)]
pub struct Stream {
    io: TcpStream,
}

impl Stream {
    /// Takes over a connected stream socket of any family and makes it non-blocking.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let std = std::net::TcpStream::from(fd);
        std.set_nonblocking(true)?;
        Self::from_nonblocking(std.into())
    }

    /// The same for a socket that is known to be non-blocking: saves two system calls.
    pub(crate) fn from_nonblocking(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { io: TcpStream::from_std(std::net::TcpStream::from(fd))? })
    }

    /// Our address of an IP socket; a system call.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        SockRef::from(&self.io).local_addr().ok()?.as_socket()
    }

    /// The peer's address of an IP socket; a system call. The acceptor already knows it.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        SockRef::from(&self.io).peer_addr().ok()?.as_socket()
    }

    /// Our address, of any family.
    pub fn local_sockaddr(&self) -> io::Result<SockAddr> {
        crate::listener::sockaddr_of(&SockRef::from(&self.io).local_addr()?)
    }

    /// Ready when reading will not block (data, end or error).
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_read_ready(cx)
    }

    /// Ready when writing will not block.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.poll_write_ready(cx)
    }

    /// Runs a system call on the descriptor; `WouldBlock` clears the readiness it waited for.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(interest, call)
    }

    /// Waits for any of the readiness states in `interest`.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.io.ready(interest).await
    }

    /// Waits until the socket can be read.
    pub async fn readable(&self) -> io::Result<()> {
        self.io.readable().await
    }

    /// Waits until the socket can be written.
    pub async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Reads what is there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.try_read(buf)
    }

    /// Writes what fits.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.io.try_write(buf)
    }

    /// Writes what fits of several pieces.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.io.try_write_vectored(bufs)
    }

    /// Looks at what was received without taking it.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io.peek(buf).await
    }

    /// Looks at what was received without taking it.
    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        self.io.poll_peek(cx, buf)
    }

    /// Sends the end of our direction (FIN).
    pub fn shutdown_write(&self) -> io::Result<()> {
        SockRef::from(&self.io).shutdown(Shutdown::Write)
    }

    /// The pending error of the socket, cleared by asking.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.take_error()
    }

    /// Closes with a RST, dropping what was not acknowledged (`option nolinger`, linger 0).
    pub fn close_with_reset(self) {
        // A socket that refuses the option is closed all the same.
        let _ = sockopt::reset_on_close(&self.io);
    }

    /// Makes the coming close a RST.
    pub fn set_reset_on_close(&self) {
        let _ = sockopt::reset_on_close(&self.io);
    }

    /// Makes the coming close a RST that travels `ttl` hops at most (`silent-drop`).
    pub fn set_vanish_on_close(&self, ttl: u8) {
        let socket = SockRef::from(&self.io);
        let ipv6 = self.local_addr().is_some_and(|a| a.is_ipv6());
        let limited = if ipv6 {
            socket.set_unicast_hops_v6(u32::from(ttl))
        } else {
            socket.set_ttl_v4(u32::from(ttl))
        };
        // A reset that cannot be limited would tell the client what it must not know.
        if limited.is_ok() {
            self.set_reset_on_close();
        }
    }

    /// `tcp-smart-accept`/`-connect`, `http-no-delay`: whether the kernel acknowledges at once.
    pub fn set_quickack(&self, on: bool) -> io::Result<()> {
        SockRef::from(&self.io).set_tcp_quickack(on)
    }

    /// Holds back partial segments until released or full (`MSG_MORE` for a series of writes).
    pub fn set_cork(&self, on: bool) -> io::Result<()> {
        SockRef::from(&self.io).set_tcp_cork(on)
    }

    /// Leaves the reactor and returns the bare descriptor (non-blocking).
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        Ok(self.io.into_std()?.into())
    }
}

impl From<TcpStream> for Stream {
    fn from(io: TcpStream) -> Self {
        Self { io }
    }
}

impl From<Stream> for TcpStream {
    /// The same descriptor; for a unix socket only reading, writing and shutting down make sense on it.
    fn from(stream: Stream) -> Self {
        stream.io
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.shutdown_write())
    }
}
