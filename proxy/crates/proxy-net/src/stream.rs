//! A connected stream socket of any family, registered with this thread's reactor once somebody waits for it.
//!
//! TCP, unix and socketpair ends are all driven by the same calls (recv, send, splice, shutdown), so one concrete type
//! serves them all and no I/O has to ask what it is.
//!
//! A connection whose request is there when it is accepted, and which ends with the answer, never waits: it costs no
//! call of epoll at all.

use std::cell::{Cell, OnceCell};
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, ready};

use proxy_types::SockAddr;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};

use crate::sys::Watched;
use crate::{sockopt, sys};

/// A connected socket. Must be made and used inside one runtime.
#[derive(Debug)]
pub struct Stream {
    /// Gone before the socket is: tells [`Handle`]s that it was closed.
    alive: OnceCell<Rc<()>>,
    inner: Watched,
    /// Something was read without the reactor. Only once: its budget is what lets other connections have their turn.
    tried: Cell<bool>,
}

/// A way to a socket that somebody else on this thread owns, for options that do not touch the bytes.
#[derive(Debug, Clone)]
pub struct Handle {
    fd: RawFd,
    alive: Weak<()>,
}

impl Handle {
    /// Calls `use_it` unless the socket was closed.
    pub fn with<T>(&self, use_it: impl FnOnce(BorrowedFd<'_>) -> T) -> Option<T> {
        let owner = self.alive.upgrade()?;
        Some(sys::lend(self.fd, &owner, use_it))
    }
}

impl Stream {
    /// Takes over a connected stream socket of any family and makes it non-blocking.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        let socket = TcpStream::from(fd);
        socket.set_nonblocking(true)?;
        Ok(Self::from_nonblocking(socket.into()))
    }

    /// The same for a socket that is known to be non-blocking: saves two system calls.
    pub(crate) fn from_nonblocking(fd: OwnedFd) -> Self {
        Self { alive: OnceCell::new(), inner: Watched::new(fd.into()), tried: Cell::new(false) }
    }

    /// Whether somebody waited for the socket so far.
    pub fn is_watched(&self) -> bool {
        self.inner.registered().is_some()
    }

    /// Whether nothing was received that is not read yet; a system call. The end of the stream is nothing.
    pub fn is_drained(&self) -> bool {
        match self.inner.socket().peek(&mut [0]) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// A way to this socket that does not keep it open.
    pub fn handle(&self) -> Handle {
        let alive = self.alive.get_or_init(Rc::default);
        Handle { fd: self.inner.socket().as_raw_fd(), alive: Rc::downgrade(alive) }
    }

    /// Our address of an IP socket; a system call.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        SockRef::from(self.inner.socket()).local_addr().ok()?.as_socket()
    }

    /// The peer's address of an IP socket; a system call. The acceptor already knows it.
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        SockRef::from(self.inner.socket()).peer_addr().ok()?.as_socket()
    }

    /// Our address, of any family.
    pub fn local_sockaddr(&self) -> io::Result<SockAddr> {
        crate::addr::sockaddr_of(&SockRef::from(self.inner.socket()).local_addr()?)
    }

    /// Ready when reading will not block (data, end or error).
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.register()?.poll_read_ready(cx).map_ok(drop)
    }

    /// Ready when writing will not block.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.register()?.poll_write_ready(cx).map_ok(drop)
    }

    /// Runs a system call on the descriptor; `WouldBlock` clears the readiness it waited for.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        call: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        match self.inner.registered() {
            Some(watch) => watch.try_io(interest, |_| call()),
            None => call(),
        }
    }

    /// Waits for any of the readiness states in `interest`.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        Ok(self.inner.register()?.ready(interest).await?.ready())
    }

    /// Waits until the socket can be read.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// Waits until the socket can be written.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// Reads what is there.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.try_io(Interest::READABLE, || self.inner.socket().read(buf))
    }

    /// Writes what fits.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.try_io(Interest::WRITABLE, || self.inner.socket().write(buf))
    }

    /// Looks at what was received without taking it.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            self.readable().await?;
            match self.try_io(Interest::READABLE, || self.inner.socket().peek(buf)) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return outcome,
            }
        }
    }

    /// Writes with `call` now or when the socket takes more.
    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        call: impl Fn(&mut &TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        if self.inner.registered().is_none() {
            match call(&mut self.inner.socket()) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
        let watch = self.inner.register()?;
        loop {
            let mut guard = ready!(watch.poll_write_ready(cx))?;
            match call(&mut self.inner.socket()) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                outcome => {
                    // A short write filled the buffer: the next one would only be told so.
                    if outcome.as_ref().is_ok_and(|n| (1..len).contains(n)) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(outcome);
                }
            }
        }
    }

    /// Sends the end of our direction (FIN).
    pub fn shutdown_write(&self) -> io::Result<()> {
        SockRef::from(self.inner.socket()).shutdown(Shutdown::Write)
    }

    /// The pending error of the socket, cleared by asking.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.socket().take_error()
    }

    /// Closes with a RST, dropping what was not acknowledged (`option nolinger`, linger 0).
    pub fn close_with_reset(self) {
        // A socket that refuses the option is closed all the same.
        let _ = sockopt::reset_on_close(self.inner.socket());
    }

    /// Makes the coming close a RST.
    pub fn set_reset_on_close(&self) {
        let _ = sockopt::reset_on_close(self.inner.socket());
    }

    /// Keeps the peer from learning of the coming close (`silent-drop`): nothing is sent where the privilege is there,
    /// otherwise, and with a `ttl`, a RST that travels so many hops at most; one without.
    pub fn set_vanish_on_close(&self, ttl: Option<u8>) {
        if ttl.is_none() && sockopt::silence(self.inner.socket()).is_ok() {
            return;
        }
        let ttl = ttl.unwrap_or(1);
        let socket = SockRef::from(self.inner.socket());
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

    /// Holds back partial segments until released or full (`MSG_MORE` for a series of writes).
    pub fn set_cork(&self, on: bool) -> io::Result<()> {
        SockRef::from(self.inner.socket()).set_tcp_cork(on)
    }

    /// Leaves the reactor and returns the bare descriptor (non-blocking).
    pub fn into_fd(self) -> OwnedFd {
        self.inner.into_socket().into()
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.socket().as_fd()
    }
}

impl AsRawFd for Stream {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.socket().as_raw_fd()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = |buf: &mut ReadBuf<'_>| {
            let n = self.inner.socket().read(buf.initialize_unfilled())?;
            buf.advance(n);
            io::Result::Ok(n)
        };
        if self.inner.registered().is_none() && !self.tried.replace(true) {
            match read(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome.map(drop)),
            }
        }
        let watch = self.inner.register()?;
        loop {
            let mut guard = ready!(watch.poll_read_ready(cx))?;
            let room = buf.remaining();
            match read(buf) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                outcome => {
                    // A short read emptied the socket: the next one would only be told so.
                    if outcome.as_ref().is_ok_and(|n| (1..room).contains(n)) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(outcome.map(drop));
                }
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, buf.len(), |socket| socket.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        self.poll_write_with(cx, len, |socket| socket.write_vectored(bufs))
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
