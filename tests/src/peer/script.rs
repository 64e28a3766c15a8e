//! A TCP server whose every connection is handled by a closure.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A listening socket with a thread per connection. Dropping it closes everything it opened.
#[derive(Debug)]
pub struct ScriptServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The acceptor ends when this end of the pair is gone.
    stop: Option<UnixStream>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    connections: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl ScriptServer {
    /// Listens on a free loopback port.
    pub fn start(handle: impl Fn(TcpStream) + Send + Sync + 'static) -> Result<Self> {
        Self::bind((Ipv4Addr::LOCALHOST, 0), handle)
    }

    /// Listens on `address`. Reading from a connection times out after twenty seconds.
    pub fn bind(
        address: impl ToSocketAddrs,
        handle: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind(address).context("listen")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (stop, stopped) = UnixStream::pair()?;
        let state = Arc::clone(&shared);
        let handle: Arc<dyn Fn(TcpStream) + Send + Sync> = Arc::new(handle);
        let acceptor = std::thread::spawn(move || accept(&listener, &stopped, &state, &handle));
        Ok(Self { address, shared, stop: Some(stop), acceptor: Some(acceptor) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for ScriptServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        for stream in self.shared.open().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Shared {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(
    listener: &TcpListener,
    stopped: &UnixStream,
    shared: &Shared,
    handle: &Arc<dyn Fn(TcpStream) + Send + Sync>,
) {
    loop {
        let mut fds = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
        ];
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        if fds[1].revents().is_some_and(|events| !events.is_empty()) {
            return;
        }
        let Ok((stream, _)) = listener.accept() else { continue };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        let _ = stream.set_nodelay(true);
        let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
        let Ok(copy) = stream.try_clone() else { continue };
        let mut open = shared.open();
        if open.len() >= 64 {
            open.retain(|stream| stream.peer_addr().is_ok());
        }
        open.push(copy);
        drop(open);
        let handle = Arc::clone(handle);
        std::thread::spawn(move || {
            let closing = stream.try_clone();
            handle(stream);
            if let Ok(stream) = closing {
                let _ = stream.shutdown(Shutdown::Both);
            }
        });
    }
}
