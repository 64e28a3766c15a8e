//! Stick tables (configuration manual, 11.1): keys with counters, expired when unused, the oldest purged when full.
//!
//! A table is cut into shards by the hash of the key; a lookup locks one shard for a moment. The numbers of an entry are behind a
//! lock of the entry. Whoever tracks an entry holds it and needs no lookup any more.

pub mod data;
mod entry;
mod journal;

pub use data::{DataType, Form, Layout, Slot, Store};
pub use entry::{Entry, Key, Values};
pub use journal::Journal;

use crate::Now;
use data::id;
use entry::Stamp;
use hashbrown::HashTable;
use parking_lot::{Mutex, MutexGuard};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use xxhash_rust::xxh64::xxh64;

/// Shards of tables that are large enough to be shared by threads.
const SHARDS: usize = 64;
/// Tables up to this size are one shard, so that the oldest entry of all is purged.
const SMALL: usize = 4096;
/// Entries looked at for one that can be purged.
const PURGE_TRIES: usize = 64;

/// `type` of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    Ipv4,
    Ipv6,
    Integer,
    /// Texts, cut at this length.
    Str(usize),
    /// Blocks of this length, cut or padded with zeroes.
    Binary(usize),
}

impl KeyType {
    /// As `show table` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ipv6",
            Self::Integer => "integer",
            Self::Str(_) => "string",
            Self::Binary(_) => "binary",
        }
    }

    /// Bytes of a key at most.
    pub fn max_len(self) -> usize {
        match self {
            Self::Ipv4 | Self::Integer => 4,
            Self::Ipv6 => 16,
            Self::Str(len) | Self::Binary(len) => len,
        }
    }
}

/// `srvkey`: what identifies a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerKey {
    #[default]
    Name,
    Addr,
}

/// What a [`Table`] is built from.
#[derive(Clone, Debug)]
pub struct TableSpec {
    pub name: String,
    pub key: KeyType,
    /// Entries at most.
    pub size: usize,
    /// `None` never expires.
    pub expire: Option<Duration>,
    pub nopurge: bool,
    pub server_key: ServerKey,
    pub stores: Vec<Store>,
    /// Bytes that one count of a rate of bytes stands for.
    pub brates_factor: u32,
    /// `peers`: changes are told to others.
    pub shared: bool,
    /// `recv-only`: what peers tell of connections is taken, too.
    pub recv_only: bool,
    /// `write-to`: the table that gets tags and servers of what peers tell.
    pub write_to: Option<String>,
    /// `shards`: parts of the keys that go to different peers; 0 when all get all.
    pub shards: u32,
}

impl TableSpec {
    /// A table of such keys, with everything else as it is when nothing is said.
    pub fn new(name: impl Into<String>, key: KeyType, size: usize) -> Self {
        Self {
            name: name.into(),
            key,
            size,
            expire: None,
            nopurge: false,
            server_key: ServerKey::Name,
            stores: Vec::new(),
            brates_factor: 1,
            shared: false,
            recv_only: false,
            write_to: None,
            shards: 0,
        }
    }
}

/// A stick table.
#[derive(Debug)]
pub struct Table {
    pub spec: TableSpec,
    pub layout: Layout,
    shards: Box<[Mutex<Shard>]>,
    used: AtomicUsize,
    hasher: RandomState,
    journal: Option<Journal>,
    write_to: OnceLock<Arc<Self>>,
    /// Of [`Table::shard_of`].
    seed: u64,
}

/// Entries, and when each is to be looked at: never after it may go.
#[derive(Debug, Default)]
struct Shard {
    entries: HashTable<Arc<Entry>>,
    due: BinaryHeap<Reverse<Due>>,
}

#[derive(Debug)]
struct Due {
    touched: Stamp,
    entry: Arc<Entry>,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.touched == other.touched
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.touched.cmp(&other.touched)
    }
}

impl Table {
    pub fn new(spec: TableSpec) -> Arc<Self> {
        let shards = if spec.size <= SMALL { 1 } else { SHARDS };
        let seed = xxh64(spec.name.as_bytes(), 0);
        let journal = spec.shared.then(Journal::default);
        Arc::new(Self {
            layout: Layout::new(&spec.stores),
            spec,
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            used: AtomicUsize::new(0),
            hasher: RandomState::new(),
            journal,
            write_to: OnceLock::new(),
            seed,
        })
    }

    /// The changes, of a table that is shared with peers.
    pub fn journal(&self) -> Option<&Journal> {
        self.journal.as_ref()
    }

    /// The table of `write-to`.
    pub fn write_to(&self) -> Option<&Arc<Self>> {
        self.write_to.get()
    }

    pub(crate) fn set_write_to(&self, table: Arc<Self>) {
        let _ = self.write_to.set(table);
    }

    /// The part that a key belongs to, from 1 on; 0 when there are no parts.
    pub fn shard_of(&self, key: &[u8]) -> u32 {
        match self.spec.shards {
            0 => 0,
            shards => (xxh64(key, self.seed) % u64::from(shards)) as u32 + 1,
        }
    }

    fn note(&self, entry: &Arc<Entry>) {
        if let Some(journal) = &self.journal {
            journal.note(entry);
        }
    }

    /// Changes several numbers of an entry at once; peers will be told.
    pub fn update<T>(&self, entry: &Arc<Entry>, change: impl FnOnce(&mut Values) -> T) -> T {
        let outcome = entry.with(change);
        self.note(entry);
        outcome
    }

    /// Takes over what a peer tells of a key, which lives for `expires_in` milliseconds from now, or as long as any other.
    /// This is told to nobody. `None` when there is no room.
    pub fn learn(
        &self,
        key: &[u8],
        expires_in: Option<u64>,
        now: Now,
        change: impl FnOnce(&mut Values),
    ) -> Option<Arc<Entry>> {
        let touched = expires_in.map(|ms| self.touched_for(ms, now));
        let entry = self.obtain(key, now, false, touched)?;
        entry.with(change);
        if let Some(touched) = touched {
            entry.set_touched(touched);
        }
        Some(entry)
    }

    /// Entries there are.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The place of a value, if the table stores it.
    pub fn slot(&self, id: usize, index: u16) -> Option<Slot> {
        self.layout.slot(id, index)
    }

    /// A text or block as key.
    pub fn key_of_bytes(&self, bytes: &[u8]) -> Key {
        let len = self.spec.key.max_len();
        let mut key = Key::from_slice(&bytes[..bytes.len().min(len)]);
        if let KeyType::Binary(_) = self.spec.key {
            key.resize(len, 0);
        }
        key
    }

    /// A key as commands show it.
    pub fn show_key(&self, key: &[u8]) -> String {
        match (self.spec.key, key.len()) {
            (KeyType::Ipv4, 4) => Ipv4Addr::from_bits(number(key) as u32).to_string(),
            (KeyType::Ipv6, 16) => Ipv6Addr::from_bits(number(key)).to_string(),
            (KeyType::Integer, 4) => number(key).to_string(),
            (KeyType::Binary(_), _) => key.iter().map(|b| format!("{b:02X}")).collect(),
            _ => key.iter().flat_map(|b| shown(*b)).collect(),
        }
    }

    /// The key that a command names.
    pub fn parse_key(&self, text: &str) -> Option<Key> {
        Some(match self.spec.key {
            KeyType::Ipv4 => match text.parse().ok()? {
                IpAddr::V4(ip) => Key::from_slice(&ip.octets()),
                IpAddr::V6(ip) => Key::from_slice(&ip.to_ipv4_mapped()?.octets()),
            },
            KeyType::Ipv6 => match text.parse().ok()? {
                IpAddr::V6(ip) => Key::from_slice(&ip.octets()),
                IpAddr::V4(ip) => Key::from_slice(&ip.to_ipv6_mapped().octets()),
            },
            KeyType::Integer => Key::from_slice(&text.parse::<u32>().ok()?.to_be_bytes()),
            KeyType::Str(_) => self.key_of_bytes(text.as_bytes()),
            KeyType::Binary(_) => {
                let digits = text.as_bytes();
                let pair =
                    |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
                let bytes: Option<Vec<u8>> = digits.chunks(2).map(pair).collect();
                self.key_of_bytes(&bytes?)
            }
        })
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        self.shards[hash as usize % self.shards.len()].lock()
    }

    fn expired(&self, entry: &Entry, now: Now) -> bool {
        let Some(expire) = self.spec.expire else { return false };
        entry.trackers() == 0 && entry.touched().left(expire, now) == 0
    }

    /// Milliseconds until the entry expires; 0 when it never does.
    pub fn expires_in(&self, entry: &Entry, now: Now) -> u64 {
        self.spec.expire.map_or(0, |expire| entry.touched().left(expire, now))
    }

    /// The entry of a key. This does not refresh it.
    pub fn get(&self, key: &[u8], now: Now) -> Option<Arc<Entry>> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shard(hash);
        shard.entries.find(hash, |e| *e.key == *key).filter(|e| !self.expired(e, now)).cloned()
    }

    /// The entry of a key, made if there is none, and refreshed. `None` when there is no room.
    pub fn get_or_make(&self, key: &[u8], now: Now) -> Option<Arc<Entry>> {
        let entry = self.obtain(key, now, false, None)?;
        self.note(&entry);
        Some(entry)
    }

    /// Finds or makes an entry, which is then as if it was used last at `touched`, or else now.
    fn obtain(
        &self,
        key: &[u8],
        now: Now,
        hold: bool,
        touched: Option<Stamp>,
    ) -> Option<Arc<Entry>> {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.shard(hash);
        if let Some(entry) = shard.entries.find(hash, |e| *e.key == *key) {
            if !self.expired(entry, now) {
                entry.touch(now);
                if hold {
                    entry.hold();
                }
                return Some(entry.clone());
            }
            let entry = entry.clone();
            self.drop_entry(&mut shard, &entry);
        }
        self.expire_some(&mut shard, now);
        if self.used.load(Ordering::Relaxed) >= self.spec.size
            && (self.spec.nopurge || !self.purge(&mut shard, hash, now))
        {
            return None;
        }
        let touched = touched.unwrap_or_else(|| Stamp::of(now));
        let entry = Arc::new(Entry::new(Key::from_slice(key), self.layout.words, touched));
        if hold {
            entry.hold();
        }
        shard.entries.insert_unique(hash, entry.clone(), |e| self.hasher.hash_one(&*e.key));
        shard.due.push(Reverse(Due { touched, entry: entry.clone() }));
        self.used.fetch_add(1, Ordering::Relaxed);
        Some(entry)
    }

    /// Refreshes an entry.
    pub fn touch(&self, entry: &Arc<Entry>, now: Now) {
        entry.touch(now);
        self.note(entry);
    }

    /// Makes an entry expire after so many milliseconds.
    pub fn set_expiry(&self, entry: &Entry, ms: u64, now: Now) {
        if self.spec.expire.is_some() {
            entry.set_touched(self.touched_for(ms, now));
        }
    }

    /// When an entry was used last that expires after so many milliseconds.
    fn touched_for(&self, ms: u64, now: Now) -> Stamp {
        let expire = self.spec.expire.unwrap_or_default();
        let expire = u64::try_from(expire.as_millis()).unwrap_or(u64::MAX);
        Stamp::of(now).minus(expire.saturating_sub(ms))
    }

    /// Finds the entry of a key or makes one, and holds it.
    pub fn track(self: &Arc<Self>, key: &[u8], now: Now) -> Option<Held> {
        // Held before the shard is left: nothing can take it away between.
        let entry = self.obtain(key, now, true, None)?;
        self.note(&entry);
        Some(Held { table: self.clone(), entry, counted: AtomicBool::new(false) })
    }

    fn drop_entry(&self, shard: &mut Shard, entry: &Arc<Entry>) -> bool {
        let hash = self.hasher.hash_one(&*entry.key);
        match shard.entries.find_entry(hash, |e| Arc::ptr_eq(e, entry)) {
            Ok(found) => {
                found.remove();
                entry.set_gone();
                self.used.fetch_sub(1, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        }
    }

    /// Takes out what has expired, a few at a time.
    fn expire_some(&self, shard: &mut Shard, now: Now) {
        if let Some(expire) = self.spec.expire {
            for _ in 0..8 {
                match shard.due.peek() {
                    Some(Reverse(due)) if due.touched.left(expire, now) == 0 => {
                        self.settle(shard, now)
                    }
                    _ => return,
                };
            }
        }
    }

    /// Looks at the entry that is due first: takes it out when it has expired, or notes when it is due again.
    fn settle(&self, shard: &mut Shard, now: Now) {
        let Some(Reverse(due)) = shard.due.pop() else { return };
        if self.expired(&due.entry, now) {
            self.drop_entry(shard, &due.entry);
            return;
        }
        self.again(shard, due, now);
    }

    /// Puts an entry that stays back in its place.
    fn again(&self, shard: &mut Shard, due: Due, now: Now) {
        let entry = due.entry;
        let hash = self.hasher.hash_one(&*entry.key);
        if shard.entries.find(hash, |e| Arc::ptr_eq(e, &entry)).is_some() {
            let touched = if entry.trackers() > 0 { Stamp::of(now) } else { entry.touched() };
            shard.due.push(Reverse(Due { touched, entry }));
        }
    }

    /// Makes room for one: the oldest entry that nobody tracks goes.
    fn purge(&self, shard: &mut Shard, hash: u64, now: Now) -> bool {
        if self.purge_from(shard, now) {
            return true;
        }
        let own = hash as usize % self.shards.len();
        (1..self.shards.len()).any(|step| {
            let other = &self.shards[(own + step) % self.shards.len()];
            other.try_lock().is_some_and(|mut other| self.purge_from(&mut other, now))
        })
    }

    fn purge_from(&self, shard: &mut Shard, now: Now) -> bool {
        for _ in 0..PURGE_TRIES {
            let Some(Reverse(due)) = shard.due.pop() else { return false };
            let current = due.entry.trackers() == 0 && due.entry.touched() <= due.touched;
            if current {
                if self.drop_entry(shard, &due.entry) {
                    return true;
                }
                continue;
            }
            self.again(shard, due, now);
        }
        false
    }

    /// Takes out everything that has expired. To be called about once per second on the control thread.
    pub fn sweep(&self, now: Now) {
        let Some(expire) = self.spec.expire else { return };
        for shard in &self.shards {
            loop {
                let mut shard = shard.lock();
                let mut more = 0;
                // The lock is let go between bites.
                while more < 256
                    && shard
                        .due
                        .peek()
                        .is_some_and(|Reverse(due)| due.touched.left(expire, now) == 0)
                {
                    self.settle(&mut shard, now);
                    more += 1;
                }
                if more < 256 {
                    break;
                }
            }
        }
    }

    /// Removes an entry unless it is tracked.
    pub fn remove(&self, entry: &Arc<Entry>) -> bool {
        let hash = self.hasher.hash_one(&*entry.key);
        let mut shard = self.shard(hash);
        entry.trackers() == 0 && self.drop_entry(&mut shard, entry)
    }

    /// Entries of one shard, for dumps that go shard by shard. `None` past the last.
    pub fn entries(&self, shard: usize, now: Now) -> Option<Vec<Arc<Entry>>> {
        let shard = self.shards.get(shard)?.lock();
        Some(shard.entries.iter().filter(|e| !self.expired(e, now)).cloned().collect())
    }
}

/// The bytes of a key as one number.
fn number(key: &[u8]) -> u128 {
    key.iter().fold(0, |n, byte| n << 8 | u128::from(*byte))
}

/// A byte of a text in a dump.
fn shown(byte: u8) -> Vec<char> {
    match byte {
        b'\\' | b' ' => vec!['\\', char::from(byte)],
        0x21..=0x7e => vec![char::from(byte)],
        _ => format!("\\x{byte:02x}").chars().collect(),
    }
}

/// An entry that is tracked: it neither expires nor is purged.
#[derive(Debug)]
pub struct Held {
    pub table: Arc<Table>,
    pub entry: Arc<Entry>,
    /// [`Held::begin`] counted a connection.
    counted: AtomicBool,
}

impl Held {
    /// Counts `n` events in a counter and its rate, if the table stores them.
    pub fn count(&self, counter: usize, rate: usize, n: u64, now: Now) {
        let slots = [self.table.slot(counter, 0), self.table.slot(rate, 0)];
        if slots.iter().any(Option::is_some) {
            self.table.update(&self.entry, |values| {
                for slot in slots.into_iter().flatten() {
                    values.add(slot, n, now);
                }
            });
        }
    }

    /// Counts bytes; their rates count blocks of `brates-factor` bytes.
    pub fn count_bytes(&self, received: u64, sent: u64, now: Now) {
        let blocks = |bytes: u64| bytes / u64::from(self.table.spec.brates_factor);
        let all = [
            (id::BYTES_IN_CNT, received),
            (id::BYTES_IN_RATE, blocks(received)),
            (id::BYTES_OUT_CNT, sent),
            (id::BYTES_OUT_RATE, blocks(sent)),
        ];
        let slot = |(kind, n)| Some((self.table.slot(kind, 0)?, n));
        if all.into_iter().any(|row| slot(row).is_some()) {
            self.table.update(&self.entry, |values| {
                for (slot, n) in all.into_iter().filter_map(slot) {
                    values.add(slot, n, now);
                }
            });
        }
    }

    /// Counts the connection that begins to track.
    pub fn begin(&self, now: Now) {
        let kinds = [id::CONN_CNT, id::CONN_CUR, id::CONN_RATE];
        self.table.update(&self.entry, |values| {
            for slot in kinds.into_iter().filter_map(|kind| self.table.slot(kind, 0)) {
                values.add(slot, 1, now);
            }
        });
        self.counted.store(true, Ordering::Relaxed);
    }

    /// Gives the entry its whole time to live again.
    pub fn finish(&self, now: Now) {
        self.table.touch(&self.entry, now);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if *self.counted.get_mut()
            && let Some(slot) = self.table.slot(id::CONN_CUR, 0)
        {
            self.table.update(&self.entry, |values| values.take(slot, Now(0)));
        }
        self.entry.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(size: usize, expire: Option<u64>) -> Arc<Table> {
        let store = |name: &str| Store {
            kind: data::find(name).unwrap(),
            count: 1,
            period: Duration::from_secs(10),
        };
        Table::new(TableSpec {
            expire: expire.map(Duration::from_millis),
            stores: vec![store("gpc0"), store("conn_cur"), store("conn_rate")],
            shared: true,
            ..TableSpec::new("t", KeyType::Str(8), size)
        })
    }

    #[test]
    fn entries_expire_unless_used_or_tracked() {
        let table = table(10, Some(100));
        table.get_or_make(b"a", Now(0)).unwrap();
        table.get_or_make(b"b", Now(0)).unwrap();
        let held = table.track(b"c", Now(0)).unwrap();
        assert!(table.get(b"a", Now(99)).is_some());
        assert!(table.get(b"a", Now(100)).is_none());
        table.get_or_make(b"b", Now(50)).unwrap();
        table.sweep(Now(120));
        assert_eq!(table.used(), 2);
        assert!(table.get(b"b", Now(149)).is_some());
        assert!(table.get(b"c", Now(1000)).is_some());
        held.finish(Now(1000));
        drop(held);
        table.sweep(Now(1099));
        assert_eq!(table.used(), 1);
        table.sweep(Now(1100));
        assert_eq!(table.used(), 0);
    }

    #[test]
    fn the_oldest_goes_when_full() {
        let table = table(3, None);
        for (i, key) in [b"a", b"b", b"c"].into_iter().enumerate() {
            table.get_or_make(key, Now(i as u64)).unwrap();
        }
        table.get_or_make(b"a", Now(10)).unwrap();
        table.get_or_make(b"d", Now(11)).unwrap();
        assert_eq!(table.used(), 3);
        assert!(table.get(b"b", Now(11)).is_none());
        let _held: Vec<_> =
            [b"a", b"c", b"d"].into_iter().map(|k| table.track(k, Now(12)).unwrap()).collect();
        assert!(table.get_or_make(b"e", Now(13)).is_none());
    }

    #[test]
    fn keys() {
        let table = table(3, None);
        assert_eq!(&*table.key_of_bytes(b"123456789"), b"12345678");
        assert_eq!(table.show_key(b"a b\x01"), "a\\ b\\x01");
        let of = |key| Table::new(TableSpec { key, ..table.spec.clone() });
        let v4 = of(KeyType::Ipv4);
        assert_eq!(v4.show_key(&v4.parse_key("10.0.0.1").unwrap()), "10.0.0.1");
        assert_eq!(v4.parse_key("x"), None);
        let v6 = of(KeyType::Ipv6);
        assert_eq!(v6.show_key(&v6.parse_key("fe80::1").unwrap()), "fe80::1");
        let binary = of(KeyType::Binary(3));
        assert_eq!(binary.show_key(&binary.parse_key("0aff").unwrap()), "0AFF00");
        let integer = of(KeyType::Integer);
        assert_eq!(integer.show_key(&integer.parse_key("4000000000").unwrap()), "4000000000");
    }

    #[test]
    fn what_peers_tell_is_told_to_nobody() {
        let table = table(10, Some(1000));
        let slot = table.slot(id::GPC0, 0).unwrap();
        let learned = table.learn(b"a", Some(300), Now(0), |values| values.set(slot, 7, Now(0)));
        assert_eq!(table.expires_in(&learned.unwrap(), Now(100)), 200);
        let journal = table.journal().unwrap();
        assert!(journal.is_empty());
        let own = table.get_or_make(b"a", Now(100)).unwrap();
        assert_eq!(table.update(&own, |values| values.add(slot, 1, Now(100))), 8);
        assert_eq!((journal.len(), table.expires_in(&own, Now(100))), (1, 1000));
        table.remove(&own);
        let mut taken = Vec::new();
        journal.take(0, 10, &mut taken);
        assert!(taken.is_empty());
    }

    #[test]
    fn counts_of_many_threads_are_exact() {
        let table = table(100_000, Some(60_000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for i in 0..20_000u32 {
                        let key = (i % 5000).to_be_bytes();
                        let entry = table.get_or_make(&key, Now(u64::from(i))).unwrap();
                        let slot = table.slot(id::GPC0, 0).unwrap();
                        entry.with(|values| values.add(slot, 1, Now(0)));
                    }
                });
            }
        });
        assert_eq!(table.used(), 5000);
        let slot = table.slot(id::GPC0, 0).unwrap();
        let mut total = 0;
        let mut shard = 0;
        while let Some(entries) = table.entries(shard, Now(0)) {
            total += entries.iter().map(|e| e.with(|v| v.get(slot, Now(0)))).sum::<u64>();
            shard += 1;
        }
        assert_eq!(total, 80_000);
    }
}
