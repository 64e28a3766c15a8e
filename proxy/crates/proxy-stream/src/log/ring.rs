//! Messages kept in memory: the newest of them, as many as fit (configuration manual, 12.5).
//!
//! Records stand one behind the other in a buffer that is written round and round: eight bytes with the length in
//! hexadecimal digits and a space, the message, a line end. A file behind it has the same bytes at the same places, so
//! that it can be read with any pager; what it begins with tells where the oldest record is.
//!
//! A reader may hold messages: what it has not taken is not overwritten, and new messages are lost instead. Servers of
//! `ring` sections do, followers of the runtime API do not: they are told how many they missed.

mod file;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use file::Backing;

/// The length in front of a message: `00001f `.
const PREFIX: usize = 7;
/// What a record has beside its message.
const OVERHEAD: usize = PREFIX + 1;
/// Largest length that fits its digits.
const LONGEST: usize = 0xff_ffff;

/// A ring: one for all threads.
pub struct Ring {
    name: Box<str>,
    description: Box<str>,
    dropped: AtomicU64,
    changed: Notify,
    store: Mutex<Store>,
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ring@{}", self.name)
    }
}

struct Store {
    bytes: Box<[u8]>,
    /// Places of the oldest record and of the next one, counted from the beginning of all.
    oldest: Place,
    next: Place,
    /// Where readers that hold messages are; `None` is free to be used again.
    holders: Vec<Option<u64>>,
    file: Option<Backing>,
    /// Bytes that the file does not have yet.
    unwritten: u64,
}

/// A record by its first byte and its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place {
    at: u64,
    number: u64,
}

impl Ring {
    /// An empty ring of `size` bytes, of which every message takes eight more than it has.
    #[must_use]
    pub fn new(name: &str, description: &str, size: usize) -> Self {
        Self {
            name: name.into(),
            description: description.into(),
            dropped: AtomicU64::new(0),
            changed: Notify::new(),
            store: Mutex::new(Store {
                bytes: vec![0; size.max(OVERHEAD + 1)].into(),
                oldest: Place::default(),
                next: Place::default(),
                holders: Vec::new(),
                file: None,
                unwritten: 0,
            }),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn description(&self) -> &str {
        &self.description
    }

    /// Messages that found no room.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Bytes that it holds at most, and bytes in use.
    pub fn fill(&self) -> (u64, u64) {
        let store = self.store.lock();
        (store.bytes.len() as u64, store.next.at - store.oldest.at)
    }

    /// Puts a file behind the ring: what it holds from now on is there, too. A file that is not empty is kept with
    /// `.bak` behind its name.
    ///
    /// # Errors
    /// The file cannot be made, or the disk has no room for it.
    pub fn back_with(&self, path: &Path) -> io::Result<()> {
        let mut store = self.store.lock();
        let mut backing = Backing::create(path, store.bytes.len() as u64)?;
        backing.begin(store.oldest.at, store.next.at)?;
        store.unwritten = store.next.at - store.oldest.at;
        store.file = Some(backing);
        store.sync();
        Ok(())
    }

    /// Appends messages under one lock; returns how many were lost. A line end that one has is left out.
    pub fn append<'a>(&self, messages: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut lost = 0;
        let mut any = false;
        {
            let mut store = self.store.lock();
            for message in messages {
                let message = message.strip_suffix(b"\n").unwrap_or(message);
                if store.push(message) {
                    any = true;
                } else {
                    lost += 1;
                }
            }
            store.sync();
        }
        if lost > 0 {
            self.dropped.fetch_add(lost as u64, Ordering::Relaxed);
        }
        if any {
            self.changed.notify_waiters();
        }
        lost
    }

    /// A reader from the oldest message on, or of those that are still to come.
    #[must_use]
    pub fn reader(self: &Arc<Self>, only_new: bool) -> Reader {
        let store = self.store.lock();
        let next = if only_new { store.next } else { store.oldest };
        Reader { ring: self.clone(), next, taken: next, holder: None }
    }

    /// A reader from the oldest message on, whose messages are not overwritten before it is done with them.
    #[must_use]
    pub fn holder(self: &Arc<Self>) -> Reader {
        let mut store = self.store.lock();
        let next = store.oldest;
        let free = store.holders.iter().position(Option::is_none);
        let slot = free.unwrap_or_else(|| {
            store.holders.push(None);
            store.holders.len() - 1
        });
        store.holders[slot] = Some(next.at);
        Reader { ring: self.clone(), next, taken: next, holder: Some(slot) }
    }
}

impl Store {
    /// Appends one message; false when a holder is in the way.
    fn push(&mut self, message: &[u8]) -> bool {
        let size = self.bytes.len();
        let message = &message[..message.len().min(size - OVERHEAD).min(LONGEST)];
        let needed = (message.len() + OVERHEAD) as u64;
        let held = self.holders.iter().flatten().min().copied().unwrap_or(u64::MAX);
        // Looked at first: a message that is lost must not cost others.
        let mut oldest = self.oldest;
        while self.next.at + needed - oldest.at > size as u64 {
            if held <= oldest.at {
                return false;
            }
            oldest = self.behind(oldest);
        }
        self.oldest = oldest;
        let mut prefix = [b' '; PREFIX];
        for (place, digit) in prefix[..PREFIX - 1].iter_mut().rev().enumerate() {
            *digit = b"0123456789abcdef"[message.len() >> (4 * place) & 15];
        }
        self.put(&prefix);
        self.put(message);
        self.put(b"\n");
        self.next.number += 1;
        self.unwritten += needed;
        true
    }

    fn put(&mut self, part: &[u8]) {
        let size = self.bytes.len();
        let at = (self.next.at % size as u64) as usize;
        let (first, second) = part.split_at(part.len().min(size - at));
        self.bytes[at..at + first.len()].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.next.at += part.len() as u64;
    }

    fn copy(&self, at: u64, len: usize, out: &mut Vec<u8>) {
        let size = self.bytes.len();
        let at = (at % size as u64) as usize;
        let first = len.min(size - at);
        out.extend_from_slice(&self.bytes[at..at + first]);
        out.extend_from_slice(&self.bytes[..len - first]);
    }

    /// The length of the message of a record.
    fn len_at(&self, at: u64) -> usize {
        let size = self.bytes.len() as u64;
        let digit = |n: u64| match self.bytes[((at + n) % size) as usize] {
            digit @ b'0'..=b'9' => digit - b'0',
            digit => digit.wrapping_sub(b'a').wrapping_add(10),
        };
        (0..PREFIX as u64 - 1).fold(0, |len, n| len << 4 | usize::from(digit(n)))
    }

    fn behind(&self, place: Place) -> Place {
        let len = (self.len_at(place.at) + OVERHEAD) as u64;
        Place { at: place.at + len, number: place.number + 1 }
    }

    /// Brings the file up to date. A file that fails once is given up: the ring goes on without it.
    fn sync(&mut self) {
        let unwritten = std::mem::take(&mut self.unwritten);
        let Some(file) = &mut self.file else { return };
        let size = self.bytes.len() as u64;
        // What was overwritten already need not be written.
        let unwritten = unwritten.min(size);
        let from = ((self.next.at - unwritten) % size) as usize;
        let first = (unwritten as usize).min(self.bytes.len() - from);
        let parts = [
            (from as u64, &self.bytes[from..from + first]),
            (0, &self.bytes[..unwritten as usize - first]),
        ];
        let written = parts
            .into_iter()
            .try_for_each(|(at, part)| file.write(at, part))
            .and_then(|()| file.begin(self.oldest.at, self.next.at));
        if let Err(error) = written {
            tracing::warn!(%error, "the backing file of a ring was given up");
            self.file = None;
        }
    }
}

/// What a reader got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    pub messages: usize,
    /// Messages that were overwritten before they were read.
    pub missed: u64,
}

/// Somebody who reads a ring.
#[derive(Debug)]
pub struct Reader {
    ring: Arc<Ring>,
    next: Place,
    /// Where it begins again after [`Reader::rewind`].
    taken: Place,
    /// Its slot, when it holds messages.
    holder: Option<usize>,
}

impl Reader {
    /// Takes the next messages, in order, until `most` bytes have come together; `each` puts one where it belongs.
    pub fn take(
        &mut self,
        most: usize,
        out: &mut Vec<u8>,
        mut each: impl FnMut(&mut Vec<u8>, &dyn Fn(&mut Vec<u8>), usize),
    ) -> Taken {
        let store = self.ring.store.lock();
        let mut taken = Taken::default();
        if self.next.at < store.oldest.at {
            taken.missed = store.oldest.number - self.next.number;
            self.next = store.oldest;
        }
        let start = out.len();
        while self.next.at < store.next.at && out.len() - start < most {
            let at = self.next.at + PREFIX as u64;
            let len = store.len_at(self.next.at);
            each(out, &|out: &mut Vec<u8>| store.copy(at, len, out), len);
            self.next = store.behind(self.next);
            taken.messages += 1;
        }
        taken
    }

    /// Messages as lines: `end` behind each.
    pub fn lines(&mut self, most: usize, end: u8, out: &mut Vec<u8>) -> Taken {
        self.take(most, out, |out, copy, _| {
            copy(out);
            out.push(end);
        })
    }

    /// What was taken is done with.
    pub fn done(&mut self) {
        self.taken = self.next;
        if let Some(slot) = self.holder {
            self.ring.store.lock().holders[slot] = Some(self.taken.at);
        }
    }

    /// Goes back to what is not done with.
    pub fn rewind(&mut self) {
        self.next = self.taken;
    }

    /// Whether there is something to take.
    pub fn is_behind(&self) -> bool {
        self.next.at < self.ring.store.lock().next.at
    }

    /// Waits until there is.
    pub async fn ready(&self) {
        loop {
            let mut changed = pin!(self.ring.changed.notified());
            changed.as_mut().enable();
            if self.is_behind() {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(slot) = self.holder {
            self.ring.store.lock().holders[slot] = None;
        }
    }
}

/// The rings of the process, by name.
#[derive(Debug, Default)]
pub struct Rings(VecDeque<Arc<Ring>>);

/// Rings that are always there: name, what it is, bytes.
const BUILTIN: [(&str, &str, usize); 3] = [
    ("startup-logs", "startup logs", 64 * 1024),
    ("buf0", "in-memory ring buffer", 1024 * 1024),
    ("dpapi", "what is to be done for ACME", 64 * 1024),
];

impl Rings {
    /// Those that are always there.
    #[must_use]
    pub fn builtin() -> Self {
        let make = |(name, text, size)| Arc::new(Ring::new(name, text, size));
        Self(BUILTIN.into_iter().map(make).collect())
    }

    pub fn add(&mut self, ring: Arc<Ring>) {
        self.0.push_back(ring);
    }

    pub fn find(&self, name: &str) -> Option<&Arc<Ring>> {
        self.0.iter().find(|ring| *ring.name == *name)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Ring>> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests;
