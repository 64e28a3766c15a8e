//! HTTP caches: complete responses by host and target, in memory of a fixed size (configuration manual, 6).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Now;

/// Unit that room is counted in, in bytes.
pub const BLOCK: u64 = 1024;

/// `early-hints`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HintsMode {
    #[default]
    Off,
    /// With the share of the blocks that hints may take, in percent.
    On { ratio: u8 },
    /// Hints are all that is kept.
    Only,
}

/// A `cache` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSpec {
    pub name: String,
    /// `total-max-size`, in bytes.
    pub total: u64,
    /// `max-object-size`, in bytes, head included.
    pub max_object: u64,
    /// `max-age`, in seconds.
    pub max_age: u64,
    /// `process-vary`.
    pub vary: bool,
    /// `max-secondary-entries`.
    pub max_variants: usize,
    pub hints: HintsMode,
}

/// The request fields that a response may depend on here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Codings of Accept-Encoding in lower case, each with whether it is accepted; `*` among them.
    pub codings: Vec<(Box<[u8]>, bool)>,
    pub referer: Option<Box<[u8]>>,
    pub origin: Option<Box<[u8]>>,
}

impl Asked {
    /// Whether a coding may be sent (RFC 9110 section 12.5.3).
    #[must_use]
    pub fn accepts(&self, coding: &[u8]) -> bool {
        let said = |name: &[u8]| self.codings.iter().find(|(known, _)| &**known == name);
        match said(coding).or_else(|| said(b"*")) {
            Some((_, accepted)) => *accepted,
            None => coding == b"identity",
        }
    }
}

/// What a response depends on, by its Vary field, and what it is for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variant {
    /// The codings it comes in, when it depends on Accept-Encoding.
    pub codings: Option<Vec<Box<[u8]>>>,
    /// The value of Referer it is for, when it depends on that.
    pub referer: Option<Option<Box<[u8]>>>,
    pub origin: Option<Option<Box<[u8]>>>,
}

impl Variant {
    fn fits(&self, asked: &Asked) -> bool {
        self.codings.as_ref().is_none_or(|codings| codings.iter().all(|c| asked.accepts(c)))
            && self.referer.as_ref().is_none_or(|referer| *referer == asked.referer)
            && self.origin.as_ref().is_none_or(|origin| *origin == asked.origin)
    }
}

/// A stored response.
#[derive(Debug, Default)]
pub struct Entry {
    /// Host and target.
    pub key: Box<[u8]>,
    pub variant: Variant,
    /// Status line and fields, the length of the body among them, up to the empty line.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
    pub etag: Option<Box<[u8]>>,
    /// What If-Modified-Since is compared to, in seconds since 1970: Last-Modified, Date, or when it was stored.
    pub modified: i64,
    /// Its age when it was stored, in seconds.
    pub age: u64,
    pub stored: Now,
    pub expires: Now,
}

impl Entry {
    /// Bytes that count against the limits.
    #[must_use]
    pub fn size(&self) -> u64 {
        (self.head.len() + self.body.len()) as u64
    }

    fn blocks(&self) -> u64 {
        self.size().div_ceil(BLOCK).max(1)
    }

    /// Its age now, in seconds.
    #[must_use]
    pub fn age(&self, now: Now) -> u64 {
        self.age + now.0.saturating_sub(self.stored.0) / 1000
    }
}

/// Link values of a response that was there once.
type Links = Arc<[Box<[u8]>]>;

/// An entry and when it was used last.
struct Slot {
    entry: Arc<Entry>,
    turn: u64,
}

struct Hint {
    links: Links,
    blocks: u64,
    turn: u64,
}

#[derive(Default)]
struct Store {
    entries: HashMap<Box<[u8]>, Vec<Slot>>,
    hints: HashMap<Box<[u8]>, Hint>,
    /// Keys in the order of their last use, of entries and of hints.
    order: BTreeMap<u64, Box<[u8]>>,
    hint_order: BTreeMap<u64, Box<[u8]>>,
    blocks: u64,
    hint_blocks: u64,
    turn: u64,
}

impl Store {
    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    /// Removes the entries of a key that `which` picks.
    fn remove(&mut self, key: &[u8], which: impl Fn(&Slot) -> bool) {
        let Some(list) = self.entries.get_mut(key) else { return };
        let (order, blocks) = (&mut self.order, &mut self.blocks);
        list.retain(|slot| {
            let goes = which(slot);
            if goes {
                order.remove(&slot.turn);
                *blocks -= slot.entry.blocks();
            }
            !goes
        });
        if list.is_empty() {
            self.entries.remove(key);
        }
    }

    fn remove_hint(&mut self, key: &[u8]) {
        if let Some(hint) = self.hints.remove(key) {
            self.hint_order.remove(&hint.turn);
            self.hint_blocks -= hint.blocks;
        }
    }

    /// Drops what was not used for longest until `blocks` more have room.
    fn make_room(&mut self, blocks: u64, total: u64) {
        while self.blocks + self.hint_blocks + blocks > total {
            let Some((&turn, key)) = self.order.iter().next() else {
                let Some((_, key)) = self.hint_order.iter().next() else { return };
                let key = key.clone();
                self.remove_hint(&key);
                continue;
            };
            let key = key.clone();
            self.remove(&key, |slot| slot.turn == turn);
        }
    }
}

/// A cache. Its lock is held for look-ups and changes only, never while a body moves.
pub struct Cache {
    pub spec: CacheSpec,
    store: Mutex<Store>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("spec", &self.spec).finish_non_exhaustive()
    }
}

/// What `show cache` tells of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Of its key.
    pub hash: u64,
    /// Tells entries apart.
    pub address: usize,
    pub has_variant: bool,
    pub size: u64,
    pub blocks: u64,
    /// Transactions that use it.
    pub users: usize,
    /// Seconds until it expires, negative once it has.
    pub expire: i64,
}

impl Cache {
    #[must_use]
    pub fn new(spec: CacheSpec) -> Self {
        Self { spec, store: Mutex::default() }
    }

    fn total_blocks(&self) -> u64 {
        self.spec.total / BLOCK
    }

    /// The response to a request, when a fresh one is there.
    #[must_use]
    pub fn find(&self, key: &[u8], asked: &Asked, now: Now) -> Option<Arc<Entry>> {
        let mut store = self.store.lock();
        store.remove(key, |slot| slot.entry.expires <= now);
        let turn = store.next_turn();
        let list = store.entries.get_mut(key)?;
        let slot = list.iter_mut().find(|slot| slot.entry.variant.fits(asked))?;
        let (before, entry) = (std::mem::replace(&mut slot.turn, turn), slot.entry.clone());
        if let Some(key) = store.order.remove(&before) {
            store.order.insert(turn, key);
        }
        Some(entry)
    }

    /// The Link values of a response that was there once.
    #[must_use]
    pub fn hints(&self, key: &[u8]) -> Option<Links> {
        if self.spec.hints == HintsMode::Off {
            return None;
        }
        let mut store = self.store.lock();
        let turn = store.next_turn();
        let hint = store.hints.get_mut(key)?;
        let (before, links) = (std::mem::replace(&mut hint.turn, turn), hint.links.clone());
        if let Some(key) = store.hint_order.remove(&before) {
            store.hint_order.insert(turn, key);
        }
        Some(links)
    }

    /// Keeps a response, in place of the one that it makes obsolete. False when there are too many variants already.
    pub fn insert(&self, entry: Entry, now: Now) -> bool {
        let blocks = entry.blocks();
        let total = self.total_blocks();
        if blocks > total {
            return false;
        }
        let mut store = self.store.lock();
        let obsolete = |old: &Entry| old.expires <= now || old.variant == entry.variant;
        store.remove(&entry.key, |slot| obsolete(&slot.entry));
        let variants = store.entries.get(&entry.key).map_or(0, Vec::len);
        if variants > 0 && variants >= self.spec.max_variants {
            return false;
        }
        store.make_room(blocks, total);
        let turn = store.next_turn();
        store.blocks += blocks;
        store.order.insert(turn, entry.key.clone());
        let key = entry.key.clone();
        store.entries.entry(key).or_default().push(Slot { entry: Arc::new(entry), turn });
        true
    }

    /// Remembers the Link values of a response.
    pub fn insert_hints(&self, key: &[u8], links: Vec<Box<[u8]>>) {
        let total = self.total_blocks();
        let most = match self.spec.hints {
            HintsMode::Off => return,
            HintsMode::On { ratio } => total * u64::from(ratio) / 100,
            HintsMode::Only => total,
        };
        let size = key.len() + links.iter().map(|link| link.len()).sum::<usize>();
        let blocks = (size as u64).div_ceil(BLOCK).max(1);
        let mut store = self.store.lock();
        store.remove_hint(key);
        if links.is_empty() || blocks > most {
            return;
        }
        while store.hint_blocks + blocks > most {
            let Some((_, oldest)) = store.hint_order.iter().next() else { break };
            let oldest = oldest.clone();
            store.remove_hint(&oldest);
        }
        store.make_room(blocks, total);
        let turn = store.next_turn();
        store.hint_blocks += blocks;
        store.hint_order.insert(turn, key.into());
        store.hints.insert(key.into(), Hint { links: links.into(), blocks, turn });
    }

    /// Forgets the responses of a key.
    pub fn invalidate(&self, key: &[u8]) {
        self.store.lock().remove(key, |_| true);
    }

    /// Blocks that are free, and what there is.
    #[must_use]
    pub fn show(&self, now: Now) -> (u64, Vec<Shown>) {
        let store = self.store.lock();
        let seconds = |ms: u64| i64::try_from(ms / 1000).unwrap_or(i64::MAX);
        let shown = |Slot { entry, .. }: &Slot| Shown {
            hash: xxhash_rust::xxh3::xxh3_64(&entry.key),
            address: Arc::as_ptr(entry).addr(),
            has_variant: entry.variant != Variant::default(),
            size: entry.size(),
            blocks: entry.blocks(),
            users: Arc::strong_count(entry) - 1,
            expire: seconds(entry.expires.0) - seconds(now.0),
        };
        let mut list: Vec<Shown> = store.entries.values().flatten().map(shown).collect();
        list.sort_unstable_by_key(|shown| shown.hash);
        (self.total_blocks().saturating_sub(store.blocks + store.hint_blocks), list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(total: u64, vary: bool) -> Cache {
        Cache::new(CacheSpec {
            name: "c".to_owned(),
            total,
            max_object: total / 2,
            max_age: 60,
            vary,
            max_variants: 2,
            hints: HintsMode::On { ratio: 25 },
        })
    }

    fn entry(key: &str, body: usize, expires: u64) -> Entry {
        Entry {
            key: key.as_bytes().into(),
            body: vec![b'x'; body],
            expires: Now(expires),
            ..Entry::default()
        }
    }

    fn has(cache: &Cache, key: &str, now: u64) -> bool {
        cache.find(key.as_bytes(), &Asked::default(), Now(now)).is_some()
    }

    #[test]
    fn the_least_recently_used_makes_room() {
        let cache = cache(4 * BLOCK, false);
        for key in ["a", "b", "c", "d"] {
            assert!(cache.insert(entry(key, 1000, 100), Now(0)));
        }
        assert!(has(&cache, "a", 1));
        assert!(cache.insert(entry("e", 1500, 100), Now(1)));
        let left: Vec<bool> = ["a", "b", "c", "d", "e"].map(|key| has(&cache, key, 1)).into();
        assert_eq!(left, [true, false, false, true, true]);
        assert_eq!(cache.show(Now(1)).0, 0);
        assert!(!cache.insert(entry("f", 5000, 100), Now(1)), "larger than all of it");
        cache.invalidate(b"e");
        assert_eq!(cache.show(Now(1)).0, 2);
    }

    #[test]
    fn what_expired_is_gone() {
        let cache = cache(4 * BLOCK, false);
        cache.insert(entry("a", 10, 100), Now(0));
        assert!(has(&cache, "a", 99));
        assert!(!has(&cache, "a", 100));
        assert_eq!(cache.show(Now(100)), (4, vec![]));
    }

    #[test]
    fn variants() {
        let cache = cache(9 * BLOCK, true);
        let in_coding = |coding: &str, body| Entry {
            variant: Variant {
                codings: Some(vec![coding.as_bytes().into()]),
                ..Default::default()
            },
            ..entry("a", body, 100)
        };
        let asked = |codings: &[(&str, bool)]| Asked {
            codings: codings.iter().map(|(name, yes)| (name.as_bytes().into(), *yes)).collect(),
            ..Asked::default()
        };
        assert!(cache.insert(in_coding("gzip", 1), Now(0)));
        assert!(cache.insert(in_coding("identity", 2), Now(0)));
        assert!(!cache.insert(in_coding("br", 3), Now(0)), "two variants are the limit");
        assert!(cache.insert(in_coding("gzip", 4), Now(0)), "the newer replaces the older");
        let found = |codings: &[(&str, bool)]| {
            cache.find(b"a", &asked(codings), Now(1)).map(|entry| entry.body.len())
        };
        assert_eq!(found(&[]), Some(2));
        assert_eq!(found(&[("gzip", true), ("identity", false)]), Some(4));
        assert_eq!(found(&[("*", true), ("identity", false)]), Some(4));
        assert_eq!(found(&[("br", true), ("*", false)]), None);
    }

    #[test]
    fn hints_stay_within_their_share() {
        let cache = cache(8 * BLOCK, false);
        for key in ["a", "b", "c"] {
            cache.insert_hints(key.as_bytes(), vec![b"<x>; rel=preload"[..].into()]);
        }
        assert!(cache.hints(b"a").is_none(), "a quarter of eight is two");
        assert_eq!(cache.hints(b"c").map(|links| links.len()), Some(1));
    }
}
