//! The accept loop of one listening socket on one thread.
//!
//! When a limit is reached nothing is accepted: connections wait in the kernel's queue until a slot frees
//! ([`Slots::freed`]), as HAProxy does. Lack of descriptors or memory pauses the loop instead of spinning on it.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::time::Duration;

use nix::errno::Errno;
use proxy_types::SockAddr;
use socket2::SockRef;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Notify, watch};

use crate::addr::sockaddr_of;
use crate::listener::ListenSocket;
use crate::stop::{Phase, Stop};
use crate::{Stream, sys, timer};

/// How long accepting rests when the system is out of descriptors or memory. HAProxy rests as long.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// A slot freed by another thread in the same instant may go unnoticed once; this bounds the wait.
const RECHECK: Duration = Duration::from_millis(100);
/// Connections taken from the queue of a socket that is about to be closed.
const LAST_SWEEP: usize = 4096;

/// An accepted connection and what is known about it without another system call.
#[derive(Debug)]
pub struct Accepted {
    pub stream: Stream,
    /// The peer; an empty unix path for unix sockets.
    pub peer: SockAddr,
}

/// Whether one more connection may be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    Yes,
    /// A limit is reached; asked again when a slot frees.
    Full,
    /// A rate is reached; asked again after this long.
    Wait(Duration),
}

/// What the owner of a listening socket decides. One per socket and thread.
pub trait Acceptance {
    /// Asked before each accept.
    fn room(&self) -> Room;
    /// Takes over a connection. Must not block: it counts and spawns.
    fn accepted(&self, connection: Accepted);
    /// The system is out of descriptors or memory, or the socket broke.
    fn failed(&self, error: &io::Error);
}

/// Wakes accept loops that wait for a slot, on any thread.
#[derive(Debug, Clone, Default)]
pub struct Slots {
    shared: Arc<SlotsShared>,
}

#[derive(Debug, Default)]
struct SlotsShared {
    waiting: AtomicUsize,
    notify: Notify,
}

impl Slots {
    pub fn new() -> Self {
        Self::default()
    }

    /// A connection ended (its counters are already decremented). Costs a load when nobody waits.
    pub fn freed(&self) {
        fence(Ordering::SeqCst);
        if self.shared.waiting.load(Ordering::Relaxed) > 0 {
            self.shared.notify.notify_waiters();
        }
    }

    async fn wait(&self, still_full: impl Fn() -> bool) {
        self.shared.waiting.fetch_add(1, Ordering::SeqCst);
        let _leave = Leave(&self.shared.waiting);
        let notified = self.shared.notify.notified();
        let mut notified = std::pin::pin!(notified);
        notified.as_mut().enable();
        if still_full() {
            // Either way the limits are looked at again.
            let _ = timer::timeout(Some(RECHECK), notified).await;
        }
    }
}

struct Leave<'a>(&'a AtomicUsize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether the sockets of a frontend accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listening {
    Accepting,
    /// The port is released for another process but may be taken back (SIGTTOU, `disable frontend`).
    Paused,
    /// For good (`shutdown frontend`).
    Closed,
}

/// Turns the listening sockets of one frontend on and off from the control thread.
#[derive(Debug, Clone)]
pub struct Switch {
    tx: Arc<watch::Sender<Listening>>,
}

impl Default for Switch {
    fn default() -> Self {
        Self::new()
    }
}

impl Switch {
    pub fn new() -> Self {
        Self { tx: Arc::new(watch::channel(Listening::Accepting).0) }
    }

    /// Closed stays closed.
    pub fn set(&self, to: Listening) {
        self.tx.send_if_modified(|now| {
            let change = *now != Listening::Closed && *now != to;
            if change {
                *now = to;
            }
            change
        });
    }

    pub fn get(&self) -> Listening {
        *self.tx.borrow()
    }

    /// Ends when it is closed.
    pub async fn closed(&self) {
        let mut state = self.tx.subscribe();
        // The sender is this switch, so it is there.
        let _ = state.wait_for(|now| *now == Listening::Closed).await;
    }
}

/// Accepts on `socket` until the soft stop or until it is closed by the switch. At most `batch` connections
/// (`tune.maxaccept`) are taken before other tasks run.
///
/// # Errors
/// When the socket cannot be registered with the reactor.
pub async fn run(
    socket: ListenSocket,
    owner: Rc<dyn Acceptance>,
    slots: Slots,
    switch: Switch,
    stop: Stop,
    batch: usize,
) -> io::Result<()> {
    let ListenSocket { fd, addr, backlog, mss_cut } = socket;
    let mut state = switch.tx.subscribe();
    let pausable = addr.inet().is_some();
    let mut listening = Listen { io: sys::register(fd)?, pausable, backlog, mss_cut };
    loop {
        let phase = *state.borrow_and_update();
        match phase {
            Listening::Closed => return Ok(()),
            Listening::Paused => {
                listening.pause();
                tokio::select! {
                    () = stop.reached(Phase::Draining) => return Ok(()),
                    changed = state.changed() => if changed.is_err() { stop.draining().await },
                }
                if *state.borrow() == Listening::Accepting {
                    listening = listening.resume(owner.as_ref())?;
                }
            }
            Listening::Accepting => {
                tokio::select! {
                    biased;
                    () = stop.reached(Phase::Draining) => {
                        listening.sweep(owner.as_ref());
                        return Ok(());
                    }
                    _ = state.changed() => {}
                    () = listening.accept_batch(owner.as_ref(), &slots, batch) => {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
    }
}

struct Listen {
    io: AsyncFd<OwnedFd>,
    pausable: bool,
    backlog: i32,
    mss_cut: Option<u32>,
}

impl Listen {
    async fn accept_batch(&self, owner: &dyn Acceptance, slots: &Slots, batch: usize) {
        for _ in 0..batch.max(1) {
            match owner.room() {
                Room::Yes => {}
                Room::Full => return slots.wait(|| owner.room() == Room::Full).await,
                Room::Wait(d) => return timer::sleep(d).await,
            }
            let mut ready = match self.io.readable().await {
                Ok(ready) => ready,
                Err(e) => {
                    owner.failed(&e);
                    return timer::sleep(EXHAUSTED_PAUSE).await;
                }
            };
            // Another thread may have taken the last slot while this one waited for a connection.
            if owner.room() != Room::Yes {
                continue;
            }
            match ready.try_io(|io| sys::accept(io.get_ref())) {
                Err(_would_block) => return,
                Ok(Ok((fd, peer))) => self.hand_over(owner, fd, &peer),
                Ok(Err(e)) if is_of_one_connection(&e) => {}
                Ok(Err(e)) => {
                    // EINVAL: another holder of the same socket paused it; it will listen again.
                    if e.raw_os_error() != Some(libc::EINVAL) {
                        owner.failed(&e);
                    }
                    return timer::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    /// What waits in the queue of a socket that closes would be reset; it is served instead.
    fn sweep(&self, owner: &dyn Acceptance) {
        for _ in 0..LAST_SWEEP {
            if owner.room() != Room::Yes {
                return;
            }
            match sys::accept(self.io.get_ref()) {
                Ok((fd, peer)) => self.hand_over(owner, fd, &peer),
                Err(e) if is_of_one_connection(&e) => {}
                Err(_) => return,
            }
        }
    }

    /// Leaves the port to others. The socket stays bound (with SO_REUSEPORT) but refuses connections.
    fn pause(&self) {
        if self.pausable {
            // ENOTCONN when another thread paused the same socket before.
            let _ = SockRef::from(self.io.get_ref()).shutdown(std::net::Shutdown::Read);
        }
    }

    /// Listens again; registered anew, because a paused socket reported a hang-up that is cached.
    fn resume(self, owner: &dyn Acceptance) -> io::Result<Self> {
        let Self { io, pausable, backlog, mss_cut } = self;
        let fd = io.into_inner();
        if pausable && let Err(e) = SockRef::from(&fd).listen(backlog) {
            owner.failed(&e);
        }
        Ok(Self { io: sys::register(fd)?, pausable, backlog, mss_cut })
    }

    fn hand_over(&self, owner: &dyn Acceptance, fd: OwnedFd, peer: &socket2::SockAddr) {
        if let Some(cut) = self.mss_cut {
            let socket = SockRef::from(&fd);
            // A connection that is gone already has no segments to shorten.
            let _ = socket.tcp_mss().and_then(|mss| socket.set_tcp_mss(mss.saturating_sub(cut)));
        }
        hand_over(owner, fd, peer);
    }
}

fn hand_over(owner: &dyn Acceptance, fd: OwnedFd, peer: &socket2::SockAddr) {
    match sockaddr_of(peer) {
        Ok(peer) => owner.accepted(Accepted { stream: Stream::from_nonblocking(fd), peer }),
        Err(e) => owner.failed(&e),
    }
}

/// Errors that concern the connection at the head of the queue, not the socket (accept(2)).
fn is_of_one_connection(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error().map(Errno::from_raw),
        Some(
            Errno::ECONNABORTED
                | Errno::EINTR
                | Errno::EPROTO
                | Errno::ENETDOWN
                | Errno::ENOPROTOOPT
                | Errno::EHOSTDOWN
                | Errno::ENONET
                | Errno::EHOSTUNREACH
                | Errno::EOPNOTSUPP
                | Errno::ENETUNREACH
                | Errno::EPERM
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listener::{Inherited, ListenAddr, ListenOptions, ListenSpec, bind};
    use crate::stop::StopSource;
    use std::cell::{Cell, RefCell};
    use std::net::{SocketAddr, TcpStream};

    struct Owner {
        limit: Cell<usize>,
        live: RefCell<Vec<Accepted>>,
        came: Notify,
    }

    impl Acceptance for Owner {
        fn room(&self) -> Room {
            if self.live.borrow().len() < self.limit.get() { Room::Yes } else { Room::Full }
        }
        fn accepted(&self, connection: Accepted) {
            self.live.borrow_mut().push(connection);
            self.came.notify_one();
        }
        fn failed(&self, error: &io::Error) {
            panic!("{error}");
        }
    }

    struct Running {
        addr: SocketAddr,
        owner: Rc<Owner>,
        slots: Slots,
        switch: Switch,
        stop: StopSource,
        task: tokio::task::JoinHandle<io::Result<()>>,
    }

    fn start(limit: usize) -> Running {
        let spec = ListenSpec {
            addr: ListenAddr::Sock(SockAddr::Inet("127.0.0.1:0".parse().unwrap())),
            options: ListenOptions::default(),
        };
        let bound = bind(&spec, 1, &mut Inherited::none()).unwrap();
        let socket = bound.for_threads(1).unwrap().remove(0).remove(0);
        let owner = Rc::new(Owner {
            limit: Cell::new(limit),
            live: RefCell::default(),
            came: Notify::new(),
        });
        let (slots, switch, stop) = (Slots::new(), Switch::new(), StopSource::new());
        let run =
            run(socket, Rc::clone(&owner) as _, slots.clone(), switch.clone(), stop.handle(), 4);
        let task = tokio::task::spawn_local(run);
        Running { addr: bound.addr.inet().unwrap(), owner, slots, switch, stop, task }
    }

    fn local<F: Future>(f: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build_local(Default::default())
            .unwrap()
            .block_on(f)
    }

    #[test]
    fn a_full_frontend_leaves_connections_in_the_queue_until_a_slot_frees() {
        local(async {
            let r = start(1);
            let a = TcpStream::connect(r.addr).unwrap();
            r.owner.came.notified().await;
            assert_eq!(r.owner.live.borrow()[0].peer, SockAddr::Inet(a.local_addr().unwrap()));
            let _b = TcpStream::connect(r.addr).unwrap();
            timer::sleep(Duration::from_millis(10)).await;
            assert_eq!(r.owner.live.borrow().len(), 1, "the second one waits");
            r.owner.live.borrow_mut().clear();
            r.slots.freed();
            r.owner.came.notified().await;
        });
    }

    #[test]
    fn a_paused_listener_refuses_and_a_resumed_one_serves_again() {
        local(async {
            let r = start(10);
            tokio::task::yield_now().await;
            r.switch.set(Listening::Paused);
            timer::sleep(Duration::from_millis(5)).await;
            let e = TcpStream::connect(r.addr).unwrap_err();
            assert_eq!(e.kind(), io::ErrorKind::ConnectionRefused);
            r.switch.set(Listening::Accepting);
            timer::sleep(Duration::from_millis(5)).await;
            let _c = TcpStream::connect(r.addr).unwrap();
            r.owner.came.notified().await;
            r.switch.set(Listening::Closed);
            r.task.await.unwrap().unwrap();
            assert!(TcpStream::connect(r.addr).is_err());
        });
    }

    #[test]
    fn a_draining_worker_serves_what_was_queued_then_closes() {
        local(async {
            let r = start(10);
            let _a = TcpStream::connect(r.addr).unwrap();
            let _b = TcpStream::connect(r.addr).unwrap();
            r.stop.drain();
            r.task.await.unwrap().unwrap();
            assert_eq!(r.owner.live.borrow().len(), 2);
            assert!(TcpStream::connect(r.addr).is_err());
        });
    }
}
