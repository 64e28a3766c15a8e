//! What the kernel carries of a direction: from one socket to the other through a pipe, without a copy.

use std::io;
use std::task::{Context, Poll, ready};

use proxy_net::splice::{Bulk, BulkError, Filled, pipes_used};

use crate::io::{Conn, MUCH};

/// Pipes in use beyond which bodies that nobody asked to splice are copied: slow recipients hold theirs for long.
const SPARE: usize = 64;
/// Most bytes of such bodies in one pipe.
const MOST: u64 = 256 * 1024;

/// When bodies go through the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Splicing {
    #[default]
    Never,
    /// While much comes at once, and pipes are to spare.
    Auto,
    /// Whenever there is enough of a body (`option splice-request`, `option splice-response`).
    Always,
}

/// The part of a direction that goes through a pipe.
#[derive(Default)]
pub(crate) struct Piped {
    pub(crate) when: Splicing,
    bulk: Bulk,
    /// Bytes sent this way.
    pub(crate) bytes: u64,
}

impl Piped {
    /// Whether `left` bytes of a body are to go this way.
    pub(super) fn takes(&self, left: u64, src: &Conn, dst: &Conn) -> bool {
        let wanted = match self.when {
            Splicing::Never => false,
            Splicing::Auto => src.plenty && pipes_used() < SPARE,
            Splicing::Always => true,
        };
        let enough = left >= MUCH as u64;
        wanted && enough && src.io.socket().is_some() && dst.io.socket().is_some()
    }

    /// Bytes are in the pipe.
    pub(super) fn waits(&self) -> bool {
        self.bulk.waiting() > 0
    }

    /// Takes up to `left` bytes from `src`.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        src: &mut Conn,
        left: u64,
    ) -> Poll<Result<Filled, BulkError>> {
        let Some(from) = src.io.socket() else { return Poll::Ready(Ok(Filled::Impossible)) };
        let most = if self.when == Splicing::Auto { left.min(MOST) } else { left };
        let filled = ready!(self.bulk.poll_fill(cx, from, most));
        match filled {
            Ok(Filled::Bytes(n)) => src.plenty = n >= MUCH,
            Ok(Filled::Impossible) => self.when = Splicing::Never,
            _ => {}
        }
        Poll::Ready(filled)
    }

    /// Sends what is in the pipe; adds to `sent` what went.
    pub(super) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        dst: &Conn,
        sent: &mut u64,
    ) -> Poll<io::Result<()>> {
        let Some(to) = dst.io.socket() else { return Poll::Ready(Ok(())) };
        let drained = self.bulk.poll_drain(cx, to, sent);
        self.bytes += *sent;
        drained.map_err(|error| match error {
            BulkError::Source(error) | BulkError::Destination(error) => error,
        })
    }

    /// Forgets what is in the pipe: its recipient is gone.
    pub(super) fn drop_waiting(&mut self) {
        self.bulk = Bulk::default();
        self.when = Splicing::Never;
    }
}
