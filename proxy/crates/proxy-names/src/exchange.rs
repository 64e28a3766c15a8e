//! Asking one nameserver, over UDP and TCP.

use crate::counters::{Counters, count};
use crate::spec::NameserverSpec;
use crate::wire::{self, Answer, Question, ReadError, Reply};
use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Idle TCP connections are closed after this time (configuration manual, 5.3.2 `nameserver`).
const IDLE: Duration = Duration::from_secs(5);

/// An outcome that is no answer; the words of `hold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Nx,
    Other,
    Refused,
    Timeout,
}

/// A nameserver and what was seen of it.
#[derive(Debug)]
pub(crate) struct Nameserver {
    pub(crate) spec: NameserverSpec,
    pub(crate) counters: Counters,
    idle: RefCell<Vec<(TcpStream, Instant)>>,
    slots: Semaphore,
    ids: RandomState,
}

impl Nameserver {
    pub(crate) fn new(spec: NameserverSpec) -> Self {
        let limit = usize::try_from(spec.maxconn).unwrap_or(usize::MAX);
        let limit = if limit == 0 { Semaphore::MAX_PERMITS } else { limit };
        Self {
            spec,
            counters: Counters::default(),
            idle: RefCell::default(),
            slots: Semaphore::new(limit.min(Semaphore::MAX_PERMITS)),
            ids: RandomState::new(),
        }
    }

    /// Asks, and waits for the answer for as long as the caller does. What cannot be sent is never answered:
    /// the nameserver may be there again before the caller's time is over.
    pub(crate) async fn ask(&self, question: &Question, payload: u16) -> Result<Answer, Failure> {
        let asked = if self.spec.stream {
            self.ask_stream(question, payload).await
        } else {
            self.ask_datagram(question, payload).await
        };
        let reply = match asked {
            Ok(reply) => reply,
            Err(error) => {
                count(&self.counters.send_error);
                tracing::debug!(nameserver = self.spec.name, %error, "cannot be asked");
                std::future::pending().await
            }
        };
        let c = &self.counters;
        let (counter, outcome) = match reply {
            Reply::Answer(answer) => (&c.valid, Ok(answer)),
            Reply::Empty => (&c.any_err, Err(Failure::Other)),
            Reply::DanglingAlias => (&c.cname_error, Err(Failure::Other)),
            Reply::NxDomain => (&c.nx, Err(Failure::Nx)),
            Reply::Refused => (&c.refused, Err(Failure::Refused)),
            Reply::Failed(_) | Reply::Truncated => (&c.other, Err(Failure::Other)),
        };
        count(counter);
        outcome
    }

    /// A number that an attacker who sees no traffic cannot guess.
    fn id(&self) -> u16 {
        let sent = self.counters.sent.get();
        self.ids.hash_one(sent).to_le_bytes().first_chunk().map_or(0, |id| u16::from_le_bytes(*id))
    }

    async fn ask_datagram(&self, question: &Question, payload: u16) -> std::io::Result<Reply> {
        let unspecified: IpAddr = match self.spec.addr {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        // A socket for each query: its port cannot be guessed either.
        let socket = UdpSocket::bind((unspecified, 0)).await?;
        socket.connect(self.spec.addr).await?;
        count(&self.counters.sent);
        let id = self.id();
        socket.send(&question.encode(id, payload)).await?;
        // One byte more shows what is too large.
        let mut buffer = vec![0; usize::from(payload.max(512)) + 1];
        loop {
            let len = socket.recv(&mut buffer).await?;
            if len == buffer.len() {
                count(&self.counters.too_big);
                continue;
            }
            match wire::read(&buffer[..len], id, question) {
                Ok(Reply::Truncated) => {
                    count(&self.counters.truncated);
                    // An error of the stream is one of the question: the reply is there, if not whole.
                    return Ok(self
                        .ask_stream(question, payload)
                        .await
                        .unwrap_or(Reply::Truncated));
                }
                Ok(reply) => return Ok(reply),
                // Something else may follow: replies can be forged.
                Err(ReadError::Malformed | ReadError::NotOurs) => count(&self.counters.invalid),
            }
        }
    }

    async fn ask_stream(&self, question: &Question, payload: u16) -> std::io::Result<Reply> {
        // Never closed.
        let _slot = self.slots.acquire().await.map_err(std::io::Error::other)?;
        let idle = self.take_idle();
        let reused = idle.is_some();
        let (mut stream, mut fresh) = match idle {
            Some(stream) => (stream, false),
            None => (TcpStream::connect(self.spec.addr).await?, true),
        };
        loop {
            count(&self.counters.sent);
            let id = self.id();
            match self.converse(&mut stream, question, id, payload).await {
                Ok(reply) => {
                    self.idle.borrow_mut().push((stream, Instant::now()));
                    return Ok(reply);
                }
                // The nameserver may have closed it while it was idle.
                Err(_) if reused && !fresh => {
                    (stream, fresh) = (TcpStream::connect(self.spec.addr).await?, true);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn converse(
        &self,
        stream: &mut TcpStream,
        question: &Question,
        id: u16,
        payload: u16,
    ) -> std::io::Result<Reply> {
        let query = question.encode(id, payload);
        let mut message = u16::try_from(query.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec();
        message.extend_from_slice(&query);
        stream.write_all(&message).await?;
        loop {
            let len = usize::from(stream.read_u16().await?);
            let mut reply = vec![0; len];
            stream.read_exact(&mut reply).await?;
            match wire::read(&reply, id, question) {
                Ok(reply) => return Ok(reply),
                Err(error) => {
                    count(&self.counters.invalid);
                    if error == ReadError::Malformed {
                        return Err(std::io::Error::other(error));
                    }
                }
            }
        }
    }

    fn take_idle(&self) -> Option<TcpStream> {
        let mut idle = self.idle.borrow_mut();
        idle.retain(|(_, since)| since.elapsed() < IDLE);
        idle.pop().map(|(stream, _)| stream)
    }

    /// Closes connections that nobody used for some time.
    pub(crate) fn close_idle(&self) {
        self.idle.borrow_mut().retain(|(_, since)| since.elapsed() < IDLE);
    }
}
