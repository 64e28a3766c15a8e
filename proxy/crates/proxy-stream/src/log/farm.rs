//! The servers of a backend in mode log (configuration manual, 4.2 "mode"): each line goes to one of them.

use std::cell::Cell;
use std::io;
use std::sync::{Arc, OnceLock};

use bumpalo::Bump;
use parking_lot::RwLock;
use proxy_net::clock::{self, Tick};
use proxy_net::datagram::DatagramSender;
use proxy_net::sockopt::Buffers;
use proxy_rules::sample::context::{Clock, Shared};
use proxy_rules::sample::{EvalCtx, Expr};
use proxy_state::lb::ChooseInput;
use proxy_state::{Backend, Now, Server};
use proxy_types::{ServerId, SockAddr};

use super::lines::Lines;
use super::ring::Ring;
use crate::env::date;

/// How a server is reached.
#[derive(Debug)]
pub enum Way {
    /// By datagrams, wherever it is now.
    Datagrams(RwLock<Option<(SockAddr, Arc<DatagramSender>)>>, Buffers),
    /// Over a connection that takes what is in a ring.
    Ring(Arc<Ring>),
}

impl Way {
    /// By datagrams.
    #[must_use]
    pub fn datagrams(buffers: Buffers) -> Self {
        Self::Datagrams(RwLock::new(None), buffers)
    }
}

/// A backend in mode log.
pub struct Farm {
    backend: Arc<Backend>,
    /// `balance log-hash`: what of a line is hashed.
    key: Option<Expr>,
    ways: Vec<(ServerId, Way)>,
    surroundings: OnceLock<(Arc<Shared>, Tick)>,
}

impl std::fmt::Debug for Farm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "backend@{}", self.backend.name)
    }
}

thread_local! {
    static RANDOM: Cell<u64> = const { Cell::new(0) };
}

fn random() -> u64 {
    let mut x = RANDOM.get();
    if x == 0 {
        let wall = clock::wall();
        x = (wall.secs as u64) << 20
            ^ u64::from(wall.micros)
            ^ (clock::precise().as_millis() << 40)
            | 1;
    }
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    RANDOM.set(x);
    x
}

impl Farm {
    #[must_use]
    pub fn new(backend: Arc<Backend>, key: Option<Expr>, ways: Vec<(ServerId, Way)>) -> Self {
        Self { backend, key, ways, surroundings: OnceLock::new() }
    }

    /// Tells it what converters see, and the instant that [`Now`] counts from. Until then nothing is hashed.
    pub fn enter(&self, shared: Arc<Shared>, epoch: Tick) {
        let _ = self.surroundings.set((shared, epoch));
    }

    /// Sends lines; returns how many were lost.
    pub(super) fn send(&self, lines: Lines<'_>) -> usize {
        let mut lost = 0;
        let mut chosen: Vec<(Arc<Server>, Vec<usize>)> = Vec::new();
        let mut scratch = Bump::new();
        let now = self.surroundings.get().map_or_else(Now::default, |(_, epoch)| {
            Now(clock::precise().as_millis().saturating_sub(epoch.as_millis()))
        });
        // The lines of a turn leave at one moment.
        let clock = match &self.key {
            Some(_) => Clock { now, date: date(), ..Clock::default() },
            None => Clock { now, ..Clock::default() },
        };
        for (number, line) in lines.clone().enumerate() {
            match self.choose(line, clock, &mut scratch) {
                None => lost += 1,
                Some(server) => match chosen.iter_mut().find(|(known, _)| known.id == server.id) {
                    Some((_, numbers)) => numbers.push(number),
                    None => chosen.push((server, vec![number])),
                },
            }
        }
        for (server, numbers) in chosen {
            let all = lines.clone().enumerate();
            let mine = all.filter(|(number, _)| numbers.binary_search(number).is_ok());
            lost += self.send_to(&server, mine.map(|(_, line)| line)).unwrap_or(numbers.len());
        }
        lost
    }

    fn choose(&self, line: &[u8], clock: Clock, scratch: &mut Bump) -> Option<Arc<Server>> {
        let mut input = ChooseInput {
            random: (random() >> 16) as u32,
            now: clock.now,
            ..ChooseInput::default()
        };
        let server = match (&self.key, self.surroundings.get()) {
            (Some(key), Some((shared, _))) => {
                let seed = Cell::new(random());
                let mut cx = EvalCtx::new(scratch, shared, clock, &seed);
                cx.req_data = Some(line.strip_suffix(b"\n").unwrap_or(line));
                input.key = key.eval_str(&cx);
                self.backend.choose(&input)
            }
            _ => self.backend.choose(&input),
        };
        scratch.reset();
        server.ok()
    }

    /// `None` when there is no way to the server.
    fn send_to<'a>(
        &self,
        server: &Server,
        lines: impl Iterator<Item = &'a [u8]> + Clone,
    ) -> Option<usize> {
        let (_, way) = self.ways.iter().find(|(id, _)| *id == server.id)?;
        match way {
            Way::Ring(ring) => Some(ring.append(lines)),
            Way::Datagrams(open, buffers) => {
                Some(sender(open, &server.addr(), *buffers).ok()?.send(lines))
            }
        }
    }
}

/// The socket towards an address, which may have changed.
fn sender(
    open: &RwLock<Option<(SockAddr, Arc<DatagramSender>)>>,
    to: &SockAddr,
    buffers: Buffers,
) -> io::Result<Arc<DatagramSender>> {
    if let Some((_, sender)) = open.read().as_ref().filter(|(known, _)| known == to) {
        return Ok(sender.clone());
    }
    let sender = Arc::new(DatagramSender::open(to, buffers)?);
    *open.write() = Some((to.clone(), sender.clone()));
    Ok(sender)
}
