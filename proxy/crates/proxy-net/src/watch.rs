//! Waiting for descriptors that are not sockets: ring buffers, event descriptors.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

use crate::sys;

/// A descriptor whose readability is waited for; what is read from it is its owner's business.
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Registers the descriptor with the running runtime.
    ///
    /// # Errors
    /// When it cannot be polled.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        sys::register(fd).map(Self)
    }

    /// Waits until there is something to read, runs `drain`, and takes it that nothing is left.
    ///
    /// # Errors
    /// When the runtime is going away.
    pub async fn readable(&self, drain: impl FnOnce()) -> io::Result<()> {
        let mut guard = self.0.readable().await?;
        // Cleared first: what arrives while `drain` runs makes it readable again.
        guard.clear_ready();
        drain();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    #[tokio::test]
    async fn each_arrival_is_noticed() {
        let (mut read, mut write) = io::pipe().unwrap();
        let watched = Watched::new(read.try_clone().unwrap().into()).unwrap();
        for _ in 0..2 {
            write.write_all(b"x").unwrap();
            let mut seen = [0];
            watched.readable(|| read.read_exact(&mut seen).unwrap()).await.unwrap();
            assert_eq!(seen, *b"x");
        }
    }
}
