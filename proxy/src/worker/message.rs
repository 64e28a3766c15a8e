//! A message socket of [`crate::ipc`] inside the runtime.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::io::Interest;
use tokio::net::UnixDatagram;

use crate::ipc;

/// One end of a message pair. The runtime knows no `SOCK_SEQPACKET`; only readiness is asked of the
/// type it is wrapped in, never a read.
pub(crate) struct MessageSocket(UnixDatagram);

impl MessageSocket {
    /// Registers the socket with the running runtime.
    ///
    /// # Errors
    /// Those of setting it non-blocking and of registering it with epoll.
    pub(crate) fn new(fd: OwnedFd) -> io::Result<Self> {
        let socket = std::os::unix::net::UnixDatagram::from(fd);
        socket.set_nonblocking(true)?;
        UnixDatagram::from_std(socket).map(Self)
    }

    /// The next message; `Ok(None)` is the end.
    ///
    /// # Errors
    /// As [`ipc::receive`].
    pub(crate) async fn receive(&self) -> io::Result<Option<(String, Option<OwnedFd>)>> {
        self.0.async_io(Interest::READABLE, || ipc::receive(self.0.as_fd())).await
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
