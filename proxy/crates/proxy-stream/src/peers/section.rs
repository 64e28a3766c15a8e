//! A `peers` section while it lives: who its peers are, which tables they share, how far each has got.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};
use proxy_state::stick::Table;
use proxy_state::{Now, SockAddr};
use tokio::sync::watch;

use super::lesson::Lesson;

/// What a [`Section`] is built from.
#[derive(Clone, Debug)]
pub struct SectionSpec {
    pub name: String,
    /// The name of this process.
    pub local: String,
    pub peers: Vec<PeerSpec>,
    /// With the names that peers know them by.
    pub tables: Vec<(String, Arc<Table>)>,
}

/// A peer.
#[derive(Clone, Debug)]
pub struct PeerSpec {
    pub name: String,
    /// Where it listens; where we do, for ourselves.
    pub address: Option<SockAddr>,
    /// The part of the keys it is told of; 0 is all.
    pub shard: u32,
}

/// A section.
#[derive(Debug)]
pub struct Section {
    pub name: Arc<str>,
    pub local: Arc<str>,
    pub peers: Vec<Peer>,
    pub tables: Vec<Shared>,
    pub begun: Now,
    lesson: Mutex<Lesson>,
    /// Told when there is something to send or to look at.
    wake: watch::Sender<()>,
    sessions: AtomicU64,
}

/// A table that is shared.
#[derive(Debug)]
pub struct Shared {
    /// By which peers know it.
    pub name: Arc<str>,
    /// Our number of it.
    pub id: u64,
    pub table: Arc<Table>,
}

/// A peer.
#[derive(Debug)]
pub struct Peer {
    pub name: Arc<str>,
    /// It is this process, or the one that replaces it.
    pub is_local: bool,
    pub address: Option<SockAddr>,
    pub shard: u32,
    state: Mutex<PeerState>,
}

/// How a peer's connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Link {
    /// There was none yet.
    #[default]
    None,
    Connecting,
    Handshake,
    Established,
    Closed,
    /// The peer refused the handshake.
    Refused,
}

impl Link {
    /// As `show peers` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Connecting => "CONN",
            Self::Handshake => "HSHK",
            Self::Established => "ESTA",
            Self::Closed => "CLOS",
            Self::Refused => "RFSD",
        }
    }
}

/// What outlives connections.
#[derive(Clone, Debug, Default)]
pub struct PeerState {
    pub link: Link,
    /// We connected.
    pub active: bool,
    /// The session that speaks for the peer.
    pub owner: u64,
    /// It speaks 2.0 only.
    pub downgraded: bool,
    /// It does not know everything itself: no use in asking it again.
    pub is_incomplete: bool,
    pub last_handshake: Option<Now>,
    pub reconnect_at: Option<Now>,
    /// When it is told that we live if there is nothing else to tell.
    pub heartbeat_at: Option<Now>,
    /// Lessons that it has not confirmed.
    pub confirm: u32,
    pub heartbeats_sent: u64,
    pub heartbeats_received: u64,
    /// Connections lost because nothing was heard.
    pub silences: u64,
    pub connections: u64,
    pub protocol_errors: u64,
    /// Connections given up for one of the peer.
    pub collisions: u64,
    pub updates_sent: u64,
    pub updates_received: u64,
    pub tables: Vec<Progress>,
    /// Texts of the running connection.
    pub told: Vec<(usize, Arc<str>)>,
    pub heard: Vec<(usize, Arc<str>)>,
}

/// How far a peer is with a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The change it has confirmed last.
    pub acked: u64,
    /// The change it was told last.
    pub pushed: u64,
    /// The update it told last.
    pub got: u32,
    /// Its number of the table; 0 is unknown.
    pub remote_id: u64,
}

impl Section {
    pub fn new(spec: SectionSpec, successor: bool, now: Now) -> Arc<Self> {
        let tables: Vec<Shared> = (1..)
            .zip(spec.tables)
            .map(|(id, (name, table))| Shared { name: name.into(), id, table })
            .collect();
        let local = spec.local;
        let peers = spec.peers.into_iter().map(|peer| Peer {
            is_local: peer.name == local,
            name: peer.name.into(),
            address: peer.address,
            shard: peer.shard,
            state: Mutex::new(PeerState {
                tables: vec![Progress::default(); tables.len()],
                ..PeerState::default()
            }),
        });
        let section = Arc::new(Self {
            name: spec.name.into(),
            peers: peers.collect(),
            local: local.into(),
            begun: now,
            lesson: Mutex::new(Lesson::begin(successor, now)),
            wake: watch::Sender::new(()),
            sessions: AtomicU64::new(0),
            tables,
        });
        for shared in &section.tables {
            let wake = section.wake.clone();
            if let Some(journal) = shared.table.journal() {
                journal.on_change(Box::new(move || wake.send_modify(|()| {})));
            }
        }
        section
    }

    pub fn lesson(&self) -> Lesson {
        *self.lesson.lock()
    }

    /// Changes how far the section has learned; sessions look at what that means for them.
    pub fn teach<T>(&self, change: impl FnOnce(&mut Lesson) -> T) -> T {
        let outcome = change(&mut self.lesson.lock());
        self.wake();
        outcome
    }

    /// Resolves when there may be something to do.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    pub fn wake(&self) {
        self.wake.send_modify(|()| {});
    }

    /// The number of a new session, from 1 on.
    pub fn new_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn peer(&self, name: &str) -> Option<usize> {
        self.peers.iter().position(|peer| *peer.name == *name)
    }

    pub fn table(&self, name: &str) -> Option<usize> {
        self.tables.iter().position(|shared| *shared.name == *name)
    }

    /// Lets go of the changes of a table that everybody has confirmed.
    pub fn forget(&self, table: usize) {
        let remote = self.peers.iter().filter(|peer| !peer.is_local);
        let acked = remote.filter_map(|peer| Some(peer.state().tables.get(table)?.acked)).min();
        let journal = self.tables.get(table).and_then(|shared| shared.table.journal());
        if let (Some(acked), Some(journal)) = (acked, journal) {
            journal.forget(acked);
        }
    }
}

impl Peer {
    pub fn state(&self) -> MutexGuard<'_, PeerState> {
        self.state.lock()
    }

    pub fn link(&self) -> Link {
        self.state().link
    }

    /// Whether a session speaks for the peer right now.
    pub fn is_connected(&self) -> bool {
        self.link() == Link::Established
    }
}
