//! One connection with a peer, without IO: bytes and the time go in, bytes come out.

use std::sync::Arc;
use std::time::Duration;
use std::vec::IntoIter;

use proxy_state::Now;
use proxy_state::stick::data::id;
use proxy_state::stick::{Entry, Form, Table};
use rustc_hash::FxHashMap;

use super::dictionary::{Heard, Told};
use super::lesson::Lesson;
use super::message::{Definition, Update, Value, key_type, put_key, put_values};
use super::section::{Link, Peer, Section};
use super::wire::{self, Frame, FrameError, Hello, Status, control, table};

/// Silence after which the peer is told that we live (peers.txt, "Control message class").
const HEARTBEAT: Duration = Duration::from_secs(3);
/// Silence after which the peer is given up.
const SILENCE: Duration = Duration::from_secs(5);
/// Longest time until both know who they are.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Tables of one peer at most that are not ours.
const STRANGE_TABLES: usize = 1024;

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    #[error("the peer speaks another protocol")]
    Protocol,
    #[error("a message that is too long")]
    SizeLimit,
    #[error("the peer told of an error")]
    Told,
    #[error("the peer answered {}", .0.code())]
    Refused(Status),
    #[error("the greeting was refused with {}", .0.code())]
    Refusing(Status),
    #[error("nothing was heard for too long")]
    Silence,
    #[error("the peer has opened another connection")]
    Replaced,
    #[error("everything is told")]
    Taught,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    AwaitHello,
    AwaitStatus,
    Open,
}

/// Telling the peer all there is.
#[derive(Debug)]
enum Teaching {
    No,
    /// The table, its next shard, and what is left of the one before.
    Yes(usize, usize, IntoIter<Arc<Entry>>),
    /// All is told.
    AwaitConfirm,
}

/// A table as the peer defined it.
#[derive(Debug)]
struct Incoming {
    definition: Definition,
    /// The number of ours.
    table: usize,
}

/// A session.
#[derive(Debug)]
pub struct Session {
    section: Arc<Section>,
    number: u64,
    phase: Phase,
    peer: Option<usize>,
    /// We made the connection.
    connected: bool,
    pid: u32,
    minor: u8,
    teaching: Teaching,
    begun: Now,
    heard_at: Now,
    spoke_at: Now,
    /// Messages to be sent before anything else.
    ready: Vec<u8>,
    /// The table that was defined last, and the number of its last update.
    sending: Option<(usize, u32)>,
    told: Told,
    /// The table whose turn it is.
    turn: usize,
    content: Vec<u8>,
    taken: Vec<(u64, Arc<Entry>)>,
    /// Tables by the peer's numbers; `None` when there is none of the kind here.
    known: FxHashMap<u64, Option<Arc<Incoming>>>,
    receiving: Option<Arc<Incoming>>,
    heard: Heard,
    published: u64,
    /// The peer's tables with updates that are not confirmed.
    unacked: Vec<(u64, u32)>,
}

impl Session {
    fn new(section: Arc<Section>, phase: Phase, pid: u32, now: Now) -> Self {
        Self {
            number: section.new_session(),
            section,
            phase,
            peer: None,
            connected: phase == Phase::AwaitStatus,
            pid,
            minor: 1,
            teaching: Teaching::No,
            begun: now,
            heard_at: now,
            spoke_at: now,
            ready: Vec::new(),
            sending: None,
            told: Told::default(),
            turn: 0,
            content: Vec::new(),
            taken: Vec::new(),
            known: FxHashMap::default(),
            receiving: None,
            heard: Heard::default(),
            published: 0,
            unacked: Vec::new(),
        }
    }

    /// A connection that a peer made.
    pub fn accept(section: Arc<Section>, pid: u32, now: Now) -> Self {
        Self::new(section, Phase::AwaitHello, pid, now)
    }

    /// A connection that we made to a peer.
    pub fn connect(section: Arc<Section>, peer: usize, pid: u32, now: Now) -> Self {
        let mut session = Self::new(section, Phase::AwaitStatus, pid, now);
        let number = session.number;
        session.peer = Some(peer);
        if let Some(peer) = session.section.peers.get(peer) {
            let mut state = peer.state();
            if state.link != Link::Established {
                state.link = Link::Handshake;
            }
            session.minor = u8::from(!state.downgraded);
            drop(state);
            let hello = Hello {
                minor: session.minor,
                remote: peer.name.to_string(),
                local: session.section.local.to_string(),
                pid,
            };
            session.ready.extend_from_slice(hello.lines().as_bytes());
        }
        tracing::debug!(section = &*session.section.name, number, "peer session");
        session
    }

    fn peer(&self) -> Option<&Peer> {
        self.section.peers.get(self.peer?)
    }

    /// The name of the peer, once it is known.
    pub fn peer_name(&self) -> Option<Arc<str>> {
        Some(self.peer()?.name.clone())
    }

    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the process that replaces this one is at the other end.
    pub fn teaches_successor(&self) -> bool {
        self.connected && self.peer().is_some_and(|peer| peer.is_local)
    }

    /// When [`Session::tick`] has something to do at the latest.
    pub fn deadline(&self) -> Now {
        match self.phase {
            Phase::Open => (self.heard_at + SILENCE).min(self.spoke_at + HEARTBEAT),
            _ => self.begun + HANDSHAKE,
        }
    }

    /// Looks at the clock.
    ///
    /// # Errors
    /// The peer is given up.
    pub fn tick(&mut self, now: Now) -> Result<(), End> {
        self.check_owner()?;
        if self.phase != Phase::Open {
            return if now >= self.begun + HANDSHAKE { Err(End::Silence) } else { Ok(()) };
        }
        if now >= self.heard_at + SILENCE {
            return Err(End::Silence);
        }
        if now >= self.spoke_at + HEARTBEAT {
            wire::put_control(&mut self.ready, control::HEARTBEAT);
            self.spoke_at = now;
            if let Some(peer) = self.peer() {
                peer.state().heartbeats_sent += 1;
            }
        }
        Ok(())
    }

    fn check_owner(&self) -> Result<(), End> {
        let taken = |peer: &Peer| self.phase == Phase::Open && peer.state().owner != self.number;
        if self.peer().is_some_and(taken) { Err(End::Replaced) } else { Ok(()) }
    }

    /// Takes what came; how much of it was used. What is not may be given again with more behind it.
    ///
    /// # Errors
    /// The session is over. What [`Session::produce`] gives is still to be sent.
    pub fn receive(&mut self, input: &[u8], now: Now) -> Result<usize, End> {
        self.check_owner()?;
        let mut used = 0;
        loop {
            let rest = &input[used..];
            let n = match self.phase {
                Phase::AwaitHello => self.hello(rest, now)?,
                Phase::AwaitStatus => self.status(rest, now)?,
                Phase::Open => match wire::frame(rest) {
                    Ok(None) => 0,
                    Ok(Some((frame, n))) => {
                        self.heard_at = now;
                        self.frame(frame, now)?;
                        n
                    }
                    Err(FrameError::Length) => return Err(self.wrong()),
                    Err(FrameError::TooLong(_)) => {
                        wire::put_error(&mut self.ready, wire::error::SIZE_LIMIT);
                        return Err(End::SizeLimit);
                    }
                },
            };
            if n == 0 {
                break;
            }
            used += n;
        }
        for (remote, update) in self.unacked.drain(..) {
            wire::put_ack(&mut self.ready, remote, update);
        }
        Ok(used)
    }

    fn hello(&mut self, input: &[u8], now: Now) -> Result<usize, End> {
        let answer = match wire::hello(input) {
            Ok(None) => return Ok(0),
            Ok(Some((hello, n))) => self.greeted(&hello).map(|()| n),
            Err(status) => Err(status),
        };
        let status = answer.err().unwrap_or(Status::Succeeded);
        self.ready.extend_from_slice(status.line().as_bytes());
        match answer {
            Ok(n) => {
                self.open(now);
                Ok(n)
            }
            Err(status) => Err(End::Refusing(status)),
        }
    }

    fn greeted(&mut self, hello: &Hello) -> Result<(), Status> {
        if hello.remote != *self.section.local {
            return Err(Status::LocalMismatch);
        }
        let peer = self.section.peer(&hello.local).ok_or(Status::RemoteMismatch)?;
        // We ourselves, over an address that leads back here.
        if self.section.peers[peer].is_local && hello.pid == self.pid {
            return Err(Status::TryAgain);
        }
        self.peer = Some(peer);
        self.minor = hello.minor;
        self.section.peers[peer].state().active = false;
        Ok(())
    }

    fn status(&mut self, input: &[u8], now: Now) -> Result<usize, End> {
        match wire::status(input) {
            Ok(None) => Ok(0),
            Ok(Some((Status::Succeeded, n))) => {
                self.open(now);
                if let Some(peer) = self.peer() {
                    peer.state().active = true;
                }
                if self.peer().is_some_and(|peer| peer.is_local) {
                    self.begin_teaching();
                }
                Ok(n)
            }
            Ok(Some((status, _))) => {
                if let (Status::BadVersion, Some(peer)) = (status, self.peer()) {
                    peer.state().downgraded = true;
                }
                Err(End::Refused(status))
            }
            Err(_) => Err(End::Protocol),
        }
    }

    /// Both know who they are: whoever spoke for the peer before does no more.
    fn open(&mut self, now: Now) {
        self.phase = Phase::Open;
        (self.heard_at, self.spoke_at) = (now, now);
        let Some(peer) = self.peer() else { return };
        let mut state = peer.state();
        if state.link == Link::Established {
            state.collisions += 1;
        }
        state.owner = self.number;
        state.link = Link::Established;
        state.last_handshake = Some(now);
        state.connections += 1;
        state.confirm = 0;
        for progress in &mut state.tables {
            progress.pushed = progress.acked;
            (progress.remote_id, progress.got) = (0, 0);
        }
        drop(state);
        let is_local = peer.is_local;
        self.section.teach(|lesson| {
            if is_local {
                lesson.local_connected();
            }
        });
    }

    fn wrong(&mut self) -> End {
        wire::put_error(&mut self.ready, wire::error::PROTOCOL);
        End::Protocol
    }

    fn frame(&mut self, frame: Frame<'_>, now: Now) -> Result<(), End> {
        match frame {
            Frame::Control(control::RESYNC_REQUEST) => self.begin_teaching(),
            Frame::Control(control::RESYNC_FINISHED) => self.taught(true, now),
            Frame::Control(control::RESYNC_PARTIAL) => self.taught(false, now),
            Frame::Control(control::RESYNC_CONFIRMED) => return self.confirmed(),
            Frame::Control(control::HEARTBEAT) => {
                if let Some(peer) = self.peer() {
                    peer.state().heartbeats_received += 1;
                }
            }
            Frame::Error(_) => return Err(End::Told),
            Frame::Table(kind, content) => return self.table(kind, content, now),
            Frame::Control(_) | Frame::Unknown => {}
        }
        Ok(())
    }

    /// Begins to tell everything, from the start.
    fn begin_teaching(&mut self) {
        self.teaching = Teaching::Yes(0, 0, Vec::new().into_iter());
    }

    /// The peer has told everything it knows.
    fn taught(&mut self, complete: bool, now: Now) {
        wire::put_control(&mut self.ready, control::RESYNC_CONFIRMED);
        let (Some(index), Some(peer)) = (self.peer, self.peer()) else { return };
        if !complete && !peer.is_local {
            peer.state().is_incomplete = true;
        }
        let is_local = peer.is_local;
        self.section.teach(|lesson| lesson.told(index, is_local, complete, now));
    }

    /// The peer has heard everything.
    fn confirmed(&mut self) -> Result<(), End> {
        self.teaching = Teaching::No;
        let Some(peer) = self.peer() else { return Ok(()) };
        peer.state().confirm = 0;
        // Nothing else is to be told to the process that replaces this one.
        if self.teaches_successor() { Err(End::Taught) } else { Ok(()) }
    }

    fn table(&mut self, kind: u8, content: &[u8], now: Now) -> Result<(), End> {
        let (has_id, is_timed) = match kind {
            table::DEFINITION => return self.define(content),
            table::SWITCH => {
                let mut content = content;
                let number = wire::int(&mut content).ok_or_else(|| self.wrong())?;
                self.receiving = self.known.get(&number).cloned().flatten();
                return Ok(());
            }
            table::ACK => {
                let (table, update) = wire::ack(content).ok_or_else(|| self.wrong())?;
                self.acked(table, update);
                return Ok(());
            }
            table::UPDATE => (true, false),
            table::UPDATE_NEXT => (false, false),
            table::UPDATE_TIMED => (true, true),
            table::UPDATE_NEXT_TIMED => (false, true),
            _ => return Ok(()),
        };
        let Some(incoming) = self.receiving.clone() else { return Ok(()) };
        let update = Update::parse(content, has_id, is_timed, &incoming.definition)
            .ok_or_else(|| self.wrong())?;
        self.update(&incoming, &update, now);
        Ok(())
    }

    fn define(&mut self, content: &[u8]) -> Result<(), End> {
        let mut number = content;
        let number = wire::int(&mut number).ok_or_else(|| self.wrong())?;
        let definition = Definition::parse(content).filter(|definition| {
            let ours = self.section.table(&definition.name).map(|i| &self.section.tables[i]);
            let wanted = ours.map(|shared| key_type(shared.table.spec.key));
            wanted == Some((definition.key_type, definition.key_len))
        });
        let incoming = definition.and_then(|definition| {
            let table = self.section.table(&definition.name)?;
            Some(Arc::new(Incoming { definition, table }))
        });
        if incoming.is_none() && self.known.len() >= STRANGE_TABLES {
            self.receiving = None;
            return Ok(());
        }
        if let (Some(incoming), Some(peer)) = (&incoming, self.peer())
            && let Some(progress) = peer.state().tables.get_mut(incoming.table)
        {
            progress.remote_id = number;
        }
        self.known.insert(number, incoming.clone());
        self.receiving = incoming;
        Ok(())
    }

    /// The peer has got everything of one of our tables up to an update.
    fn acked(&mut self, table: u64, update: u32) {
        let index = self.section.tables.iter().position(|shared| shared.id == table);
        let (Some(index), Some(peer)) = (index, self.peer()) else { return };
        let mut state = peer.state();
        let Some(progress) = state.tables.get_mut(index) else { return };
        let behind = u64::from((progress.pushed as u32).wrapping_sub(update));
        if behind <= progress.pushed - progress.acked {
            progress.acked = progress.pushed - behind;
        }
        drop(state);
        self.section.forget(index);
    }

    /// Takes over what the peer tells of an entry.
    fn update(&mut self, incoming: &Incoming, update: &Update<'_>, now: Now) {
        let Some(shared) = self.section.tables.get(incoming.table) else { return };
        let ours = &shared.table;
        let mut server: Option<Option<Arc<str>>> = None;
        for (_, _, value) in &update.values {
            let Value::Text(text) = value else { continue };
            server = Some(match text {
                None => None,
                Some((number, Some(text))) => {
                    let text: Arc<str> = (*text).into();
                    self.heard.learn(*number, &text);
                    Some(text)
                }
                Some((number, None)) => self.heard.text(*number).cloned(),
            });
        }
        // Where entries live for ever, nothing is left of their time.
        let lives_on = incoming.definition.expire == 0;
        let expires_in = update.expires_in.map(u64::from).filter(|ms| *ms > 0 || !lives_on);
        write(ours, update.key, expires_in, update, server.as_ref(), now, false);
        if let Some(other) = ours.write_to() {
            write(other, update.key, None, update, server.as_ref(), now, true);
        }
        let remote = incoming.definition.id;
        let Some(peer) = self.section.peers.get(self.peer.unwrap_or(usize::MAX)) else { return };
        let mut state = peer.state();
        state.updates_received += 1;
        let Some(progress) = state.tables.get_mut(incoming.table) else { return };
        progress.got = update.id.unwrap_or_else(|| progress.got.wrapping_add(1));
        match self.unacked.iter_mut().find(|(table, _)| *table == remote) {
            Some((_, last)) => *last = progress.got,
            None => self.unacked.push((remote, progress.got)),
        }
    }

    /// Appends what is to be sent, `most` updates at most. True when there is more.
    ///
    /// # Errors
    /// The session is over.
    pub fn produce(&mut self, out: &mut Vec<u8>, most: usize, now: Now) -> Result<bool, End> {
        let before = out.len();
        out.append(&mut self.ready);
        let more = match self.phase {
            Phase::Open => {
                self.check_owner()?;
                self.speak(out, most, now)
            }
            _ => false,
        };
        if out.len() > before {
            self.spoke_at = now;
        }
        if let Some(peer) = self.peer() {
            peer.state().heartbeat_at = Some(self.spoke_at + HEARTBEAT);
        }
        Ok(more)
    }

    fn speak(&mut self, out: &mut Vec<u8>, most: usize, now: Now) -> bool {
        let (Some(index), Some(peer)) = (self.peer, self.peer()) else { return false };
        let is_local = peer.is_local;
        if !is_local && !peer.state().is_incomplete && self.section.lesson().deadline().is_some() {
            let asked = matches!(self.section.lesson(), Lesson::Remote { .. })
                && self.section.teach(|lesson| lesson.ask(index));
            if asked {
                wire::put_control(out, control::RESYNC_REQUEST);
            }
        }
        match self.teaching {
            Teaching::Yes(..) => return self.tell_all(out, most, now),
            Teaching::AwaitConfirm => return false,
            Teaching::No => {}
        }
        // What is not learned yet must not be overwritten at those who know it.
        if is_local || !self.section.lesson().is_done() {
            return false;
        }
        self.tell_changes(out, most, now)
    }

    /// Whole tables, a piece at a time.
    fn tell_all(&mut self, out: &mut Vec<u8>, most: usize, now: Now) -> bool {
        let section = self.section.clone();
        let mut left = most;
        while left > 0 {
            let Teaching::Yes(index, shard, entries) = &mut self.teaching else { return false };
            let index = *index;
            if let Some(entry) = entries.next() {
                left -= 1;
                self.tell(out, index, &entry, None, now);
                continue;
            }
            let Some(shared) = section.tables.get(index) else {
                let done = match section.lesson().is_done() {
                    true => control::RESYNC_FINISHED,
                    false => control::RESYNC_PARTIAL,
                };
                wire::put_control(out, done);
                self.teaching = Teaching::AwaitConfirm;
                if let Some(peer) = self.peer() {
                    peer.state().confirm += 1;
                }
                return false;
            };
            if *shard == 0
                && let (Some(journal), Some(peer)) =
                    (shared.table.journal(), section.peers.get(self.peer.unwrap_or(usize::MAX)))
                && let Some(progress) = peer.state().tables.get_mut(index)
            {
                progress.pushed = journal.pass();
            }
            self.teaching = match shared.table.entries(*shard, now) {
                Some(entries) => Teaching::Yes(index, *shard + 1, entries.into_iter()),
                None => Teaching::Yes(index + 1, 0, Vec::new().into_iter()),
            };
        }
        true
    }

    /// What changed, table by table.
    fn tell_changes(&mut self, out: &mut Vec<u8>, most: usize, now: Now) -> bool {
        let section = self.section.clone();
        let tables = section.tables.len();
        let mut left = most;
        let mut quiet = 0;
        while quiet < tables {
            if left == 0 {
                return true;
            }
            let index = self.turn % tables;
            let Some(journal) = section.tables[index].table.journal() else { break };
            let pushed = self.progress(index, |progress| progress.pushed).unwrap_or_default();
            let mut taken = std::mem::take(&mut self.taken);
            let cursor = journal.take(pushed, left, &mut taken);
            for (number, entry) in taken.drain(..) {
                left -= 1;
                self.tell(out, index, &entry, Some(number), now);
            }
            self.taken = taken;
            self.progress(index, |progress| progress.pushed = cursor);
            // Everybody has got it, or nobody will ask for it: nothing to keep.
            if cursor == pushed && journal.wait(cursor) {
                quiet += 1;
            } else {
                quiet = 0;
            }
            self.turn = (index + 1) % tables;
        }
        false
    }

    fn progress<T>(
        &self,
        table: usize,
        then: impl FnOnce(&mut super::section::Progress) -> T,
    ) -> Option<T> {
        self.peer()?.state().tables.get_mut(table).map(then)
    }

    /// Sends an entry, with its number or as part of the whole, unless it is not for this peer.
    fn tell(
        &mut self,
        out: &mut Vec<u8>,
        index: usize,
        entry: &Arc<Entry>,
        number: Option<u64>,
        now: Now,
    ) {
        let section = self.section.clone();
        let (Some(shared), Some(peer)) = (section.tables.get(index), self.peer()) else { return };
        let ours = &shared.table;
        if peer.shard != 0 && ours.spec.shards != 0 && ours.shard_of(&entry.key) != peer.shard {
            return;
        }
        let mut state = peer.state();
        state.updates_sent += 1;
        let pushed = state.tables.get(index).map_or(0, |progress| progress.pushed);
        drop(state);
        let last = match self.sending {
            Some((table, last)) if table == index => Some(last),
            _ => {
                let content = Definition::of(shared.id, &shared.name, ours).content();
                wire::put_table(out, table::DEFINITION, &content);
                None
            }
        };
        let update = number.unwrap_or(pushed) as u32;
        let is_next = number.is_some() && last == Some(update.wrapping_sub(1));
        let is_timed = number.is_none() && self.minor > 0;
        let kind = match (is_next, is_timed) {
            (false, false) => table::UPDATE,
            (true, _) => table::UPDATE_NEXT,
            (false, true) => table::UPDATE_TIMED,
        };
        self.sending = Some((index, update));
        let mut content = std::mem::take(&mut self.content);
        content.clear();
        if !is_next {
            content.extend_from_slice(&update.to_be_bytes());
        }
        if is_timed {
            let left = u32::try_from(ours.expires_in(entry, now)).unwrap_or(u32::MAX);
            content.extend_from_slice(&left.to_be_bytes());
        }
        put_key(&mut content, ours.spec.key, &entry.key);
        entry.read(|values| put_values(&mut content, ours, values, &mut self.told, now));
        wire::put_table(out, kind, &content);
        self.content = content;
    }

    /// Ends the session. To be called once, whatever the reason.
    pub fn close(self, why: Option<End>, now: Now) {
        let (Some(index), Some(peer)) = (self.peer, self.peer()) else { return };
        let mut state = peer.state();
        match why {
            Some(End::Silence) => state.silences += 1,
            Some(End::Protocol | End::SizeLimit | End::Told) => state.protocol_errors += 1,
            _ => {}
        }
        let open = self.phase == Phase::Open;
        // Another session may speak for the peer already.
        if open && state.owner != self.number || !open && state.link == Link::Established {
            return;
        }
        state.link = match why {
            Some(End::Refused(_)) => Link::Refused,
            _ => Link::Closed,
        };
        state.heartbeat_at = None;
        (state.told, state.heard) = (Vec::new(), Vec::new());
        drop(state);
        let is_local = peer.is_local;
        if open {
            self.section.teach(|lesson| lesson.lost(index, is_local, now));
        }
    }

    /// Makes the texts both sides know visible to `show peers dict`.
    pub fn publish(&mut self) {
        let known = self.told.revision() + self.heard.revision();
        if std::mem::replace(&mut self.published, known) == known {
            return;
        }
        let Some(peer) = self.peer() else { return };
        let mut state = peer.state();
        state.told = self.told.iter().map(|(n, text)| (n, text.clone())).collect();
        state.heard = self.heard.iter().map(|(n, text)| (n, text.clone())).collect();
    }
}

/// Writes what a peer told into a table; only what is no count when it is not the table that it told of.
fn write(
    into: &Table,
    key: &[u8],
    expires_in: Option<u64>,
    update: &Update<'_>,
    server: Option<&Option<Arc<str>>>,
    now: Now,
    only_marks: bool,
) {
    let is_mark = |kind: usize| matches!(kind, id::SERVER_ID | id::SERVER_KEY | id::GPT0 | id::GPT);
    let expires_in = expires_in.filter(|_| into.spec.expire.is_some());
    into.learn(key, expires_in, now, |values| {
        for (column, index, value) in &update.values {
            let kind = column.kind.id;
            let is_local = kind == id::CONN_CUR && !into.spec.recv_only;
            if is_local || only_marks && !is_mark(kind) {
                continue;
            }
            match value {
                Value::Text(_) => {
                    if let Some(server) = server
                        && into.layout.has_server_key()
                    {
                        values.server = server.clone();
                    }
                }
                Value::Number(n) => {
                    if let Some(slot) = into.slot(kind, *index).filter(|s| s.form != Form::Rate) {
                        values.set(slot, *n, now);
                    }
                }
                Value::Rate(age, current, before) => {
                    // Counts of different periods cannot be compared.
                    let fits = |period: u32| column.period.is_none_or(|p| p == u64::from(period));
                    let slot = into.slot(kind, *index);
                    if let Some(slot) = slot.filter(|s| s.form == Form::Rate && fits(s.period_ms)) {
                        values.set_rate_parts(slot, (*age, *current, *before), now);
                    }
                }
            }
        }
    });
}
