//! Part of a message through a pipe: as [`Pair`](super::Pair), but for a known number of bytes in one direction.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;

use super::half::is_again;
use super::pipe::Pipe;
use crate::Stream;

/// Bytes of one direction that move without being looked at.
#[derive(Debug, Default)]
pub struct Bulk {
    pipe: Option<Pipe>,
}

/// Which socket failed.
#[derive(Debug)]
pub enum BulkError {
    Source(io::Error),
    Destination(io::Error),
}

/// What [`Bulk::poll_fill`] met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// So many bytes are in the pipe.
    Bytes(usize),
    /// The source has no more.
    End,
    /// There is no pipe, or these sockets cannot be spliced: the bytes are to be copied.
    Impossible,
}

impl Bulk {
    /// Bytes that were taken from the source and wait for the destination.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::filled)
    }

    /// Takes up to `most` bytes from the source; nothing may wait.
    ///
    /// # Errors
    /// The source failed.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: &Stream,
        most: u64,
    ) -> Poll<Result<Filled, BulkError>> {
        debug_assert_eq!(self.waiting(), 0);
        let Some(mut pipe) = self.pipe.take().or_else(Pipe::take) else {
            return Poll::Ready(Ok(Filled::Impossible));
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        loop {
            // An empty pipe is not held while nothing comes.
            ready!(from.poll_read_ready(cx)).map_err(BulkError::Source)?;
            match from.try_io(Interest::READABLE, || pipe.fill_up_to(from, most)) {
                Err(error) if is_again(&error) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    return Poll::Ready(Ok(Filled::Impossible));
                }
                Err(error) => return Poll::Ready(Err(BulkError::Source(error))),
                Ok(0) => return Poll::Ready(Ok(Filled::End)),
                Ok(n) => {
                    self.pipe = Some(pipe);
                    return Poll::Ready(Ok(Filled::Bytes(n)));
                }
            }
        }
    }

    /// Sends what waits; returns how many bytes went with this call, which is ready when none wait any more.
    ///
    /// # Errors
    /// The destination failed.
    pub fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: &Stream,
        sent: &mut u64,
    ) -> Poll<Result<(), BulkError>> {
        while let Some(pipe) = self.pipe.as_mut().filter(|pipe| pipe.filled() > 0) {
            ready!(to.poll_write_ready(cx)).map_err(BulkError::Destination)?;
            match to.try_io(Interest::WRITABLE, || pipe.drain(to)) {
                Ok(n) => *sent += n as u64,
                Err(error) if is_again(&error) => {}
                Err(error) => return Poll::Ready(Err(BulkError::Destination(error))),
            }
        }
        self.pipe = None;
        Poll::Ready(Ok(()))
    }
}
