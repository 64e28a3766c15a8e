//! `log-forward` sections (configuration manual, 12.6): messages of others are received and passed on.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use proxy_net::accept::{self, Acceptance, Accepted, Room, Slots, Switch};
use proxy_net::listener::ListenSocket;
use proxy_net::timer::{self, Timer};
use proxy_net::{Stream, stop::Stop};
use proxy_state::Registry;
use tokio::io::AsyncReadExt;
use tokio::net::UdpSocket;

use super::emit::{HostRule, Origin, Targets};
use super::setup::Setup;
use super::syslog::Message;
use super::syslog::frames::{Frame, Framing};
use crate::io::Io;
use crate::transport::proxy_protocol::{self, Header};
use crate::transport::{Entrance, accept_tls};

/// Datagrams taken before others of the thread have their turn.
const BATCH: usize = 64;
/// Largest datagram.
const DATAGRAM: usize = 65_535;
/// Longest time for what stands before the messages of a connection when no timeout is set.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Bytes of a PROXY protocol header at most, and read at once.
const HEADER: usize = 2048;

/// A section.
pub struct Forward {
    pub name: Box<str>,
    /// `None` when it has no `log` line.
    pub targets: Option<Arc<Targets>>,
    pub host: HostRule,
    /// Messages are taken apart.
    pub parses: bool,
    pub framing: Framing,
    /// Connections at once.
    pub maxconn: usize,
    /// `timeout client`.
    pub timeout: Option<Duration>,
    /// Bytes of a message at most (`tune.bufsize`).
    pub most: usize,
    /// Each with what stands at its entrance.
    pub listeners: Vec<(ListenSocket, Option<Arc<Entrance>>)>,
    /// Bound, not blocking.
    pub datagrams: Vec<std::net::UdpSocket>,
}

struct Collector {
    name: Box<str>,
    targets: Option<Arc<Targets>>,
    host: HostRule,
    parses: bool,
    framing: Framing,
    maxconn: usize,
    timeout: Option<Duration>,
    most: usize,
    open: Cell<usize>,
    slots: Slots,
    registry: Arc<Registry>,
    stop: Stop,
}

/// Receives until the worker leaves and those who are connected have left, too.
pub(super) async fn run(forward: Forward, setup: Rc<Setup>) {
    let stop = setup.stop.clone();
    let collector = Rc::new(Collector {
        name: forward.name,
        targets: forward.targets,
        host: forward.host,
        parses: forward.parses,
        framing: forward.framing,
        maxconn: forward.maxconn,
        timeout: forward.timeout,
        most: forward.most,
        open: Cell::new(0),
        slots: Slots::new(),
        registry: setup.env.shared.registry.clone(),
        stop: stop.clone(),
    });
    let mut tasks = Vec::new();
    for (socket, entrance) in forward.listeners {
        let door = Rc::new(Door { collector: collector.clone(), entrance });
        let accepting =
            accept::run(socket, door, collector.slots.clone(), Switch::new(), stop.clone(), 16);
        let collector = collector.clone();
        tasks.push(tokio::task::spawn_local(async move {
            if let Err(error) = accepting.await {
                tracing::error!(%error, section = &*collector.name, "a listener was lost");
            }
        }));
    }
    for socket in forward.datagrams {
        let collector = collector.clone();
        tasks.push(tokio::task::spawn_local(async move {
            if let Err(error) = collector.receive(socket).await {
                tracing::error!(%error, section = &*collector.name, "a socket was lost");
            }
        }));
    }
    for task in tasks {
        let _ = task.await;
    }
}

impl Collector {
    /// Passes a message on.
    fn message(&self, bytes: &[u8], ip: Option<IpAddr>) {
        self.registry.process.counters.local().received_logs.inc();
        let Some(targets) = &self.targets else { return };
        let message = if self.parses { Message::parse(bytes) } else { Message::raw(bytes) };
        targets.relay(&message, Origin { ip, rule: self.host });
    }

    /// Datagrams, until the worker leaves. What waits then is taken, too: there may be nobody who takes it later.
    async fn receive(&self, socket: std::net::UdpSocket) -> io::Result<()> {
        let socket = UdpSocket::from_std(socket)?;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            tokio::select! {
                ready = socket.readable() => ready?,
                () = self.stop.draining() => {
                    self.take(&socket, &mut buffer, usize::MAX);
                    return Ok(());
                }
            }
            self.take(&socket, &mut buffer, BATCH);
            // Messages leave when the turn ends.
            tokio::task::yield_now().await;
        }
    }

    fn take(&self, socket: &UdpSocket, buffer: &mut [u8], most: usize) {
        for _ in 0..most {
            match socket.try_recv_from(buffer) {
                Ok((len, from)) => {
                    let len = len.min(self.most);
                    self.message(&buffer[..len], Some(from.ip()));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An error of the network, as told by an earlier datagram: nothing to do here.
                Err(_) => {}
            }
        }
    }

    /// A connection to its end.
    async fn connection(
        &self,
        stream: Stream,
        peer: Option<SocketAddr>,
        entrance: Option<&Entrance>,
    ) {
        let limit = Timer::new();
        limit.arm(self.timeout.unwrap_or(HANDSHAKE));
        let entered = enter(stream, entrance, &limit).await;
        limit.disarm();
        let (mut io, mut input, told) = match entered {
            Ok(entered) => entered,
            Err(error) => {
                return tracing::debug!(section = &*self.name, %error, "a sender was not let in");
            }
        };
        let ip = told.or(peer).map(|addr| addr.ip());
        loop {
            let mut done = 0;
            loop {
                match self.framing.next(&input[done..], self.most) {
                    Frame::Partial => break,
                    Frame::Broken => {
                        return tracing::debug!(section = &*self.name, ?ip, "no message of syslog");
                    }
                    Frame::Message { start, end, used } => {
                        self.message(&input[done + start..done + end], ip);
                        done += used;
                    }
                }
            }
            input.drain(..done);
            input.reserve(4096);
            tokio::select! {
                read = timer::timeout(self.timeout, io.read_buf(&mut input)) => match read {
                    Ok(Ok(1..)) => {}
                    Ok(Ok(0) | Err(_)) | Err(_) => return,
                },
                () = self.stop.killed() => return,
            }
        }
    }
}

type Entered = (Box<dyn Io>, Vec<u8>, Option<SocketAddr>);

/// Lets a connection through: what came already of its messages, and the client that a header told.
async fn enter(
    mut stream: Stream,
    entrance: Option<&Entrance>,
    timer: &Timer,
) -> io::Result<Entered> {
    let Some(entrance) = entrance else { return Ok((Box::new(stream), Vec::new(), None)) };
    let mut received = Vec::new();
    let mut told = None;
    if entrance.accept_proxy {
        let header = async {
            loop {
                match proxy_protocol::parse(&received) {
                    Ok(Some((Header { ends, .. }, len))) => {
                        received.drain(..len);
                        return Ok(ends.map(|(client, _)| client));
                    }
                    Ok(None) if received.len() < HEADER => {}
                    Ok(None) | Err(_) => return Err(io::Error::from(io::ErrorKind::InvalidData)),
                }
                if stream.read_buf(&mut received).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        };
        told = timer.guard(header).await.map_err(|_| io::ErrorKind::TimedOut)??;
    }
    let Some(listener) = &entrance.tls else { return Ok((Box::new(stream), received, told)) };
    let expired = |cx: &mut std::task::Context<'_>| timer.poll_expired(cx);
    let (outcome, _) = accept_tls(stream, &received, listener, false, expired).await;
    let stream = outcome.map_err(|error| io::Error::other(error.to_string()))?;
    Ok((Box::new(stream), Vec::new(), told))
}

/// Lets senders in.
struct Door {
    collector: Rc<Collector>,
    entrance: Option<Arc<Entrance>>,
}

impl Acceptance for Door {
    fn room(&self) -> Room {
        if self.collector.open.get() < self.collector.maxconn { Room::Yes } else { Room::Full }
    }

    fn accepted(&self, connection: Accepted) {
        let (collector, entrance) = (self.collector.clone(), self.entrance.clone());
        collector.open.set(collector.open.get() + 1);
        let job = collector.stop.job();
        tokio::task::spawn_local(async move {
            let peer = connection.peer.inet();
            collector.connection(connection.stream, peer, entrance.as_deref()).await;
            collector.open.set(collector.open.get() - 1);
            collector.slots.freed();
            drop(job);
        });
    }

    fn failed(&self, error: &io::Error) {
        tracing::warn!(section = &*self.collector.name, %error, "log-forward");
    }
}
