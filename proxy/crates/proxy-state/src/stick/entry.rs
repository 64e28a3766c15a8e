//! An entry of a stick table. Its numbers are behind a lock of its own, so that each change is exact whoever makes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use smallvec::SmallVec;

use super::data::{Form, Slot};
use crate::Now;

/// The key as it is compared: addresses and numbers in network order, texts as they are.
pub type Key = SmallVec<[u8; 16]>;

/// A moment that may be long before the start of the worker: entries that another process tells of are older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp(u64);

/// A century.
const BEFORE: u64 = 1 << 42;

impl Stamp {
    pub(super) fn of(now: Now) -> Self {
        Self(now.0.saturating_add(BEFORE))
    }

    /// So long before.
    pub(super) fn minus(self, ms: u64) -> Self {
        Self(self.0.saturating_sub(ms))
    }

    /// So long after, as milliseconds from `now` on; 0 when that is past.
    pub(super) fn left(self, after: Duration, now: Now) -> u64 {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.0.saturating_add(after).saturating_sub(Self::of(now).0)
    }
}

/// An entry.
#[derive(Debug)]
pub struct Entry {
    pub key: Key,
    /// When it was last used, in milliseconds of [`Stamp`].
    touched: AtomicU64,
    /// Sessions and streams that track it.
    trackers: AtomicU32,
    /// Its number in the journal of the table; 0 when it has none, [`GONE`] when it has left the table.
    queued: AtomicU64,
    values: Mutex<Values>,
}

/// No change of such an entry is told any more.
const GONE: u64 = u64::MAX;

/// The numbers of an entry.
#[derive(Debug)]
pub struct Values {
    words: Box<[u32]>,
    /// `server_key`.
    pub server: Option<Arc<str>>,
}

impl Entry {
    pub(super) fn new(key: Key, words: usize, touched: Stamp) -> Self {
        Self {
            key,
            touched: AtomicU64::new(touched.0),
            trackers: AtomicU32::new(0),
            queued: AtomicU64::new(0),
            values: Mutex::new(Values { words: vec![0; words].into(), server: None }),
        }
    }

    /// Milliseconds since it was last used.
    pub fn idle_ms(&self, now: Now) -> u64 {
        Stamp::of(now).0.saturating_sub(self.touched().0)
    }

    pub(super) fn touched(&self) -> Stamp {
        Stamp(self.touched.load(Ordering::Relaxed))
    }

    pub(super) fn touch(&self, now: Now) {
        self.touched.fetch_max(Stamp::of(now).0, Ordering::Relaxed);
    }

    /// As if it was last used then.
    pub(super) fn set_touched(&self, at: Stamp) {
        self.touched.store(at.0, Ordering::Relaxed);
    }

    /// Who tracks it (`use`).
    pub fn trackers(&self) -> u32 {
        self.trackers.load(Ordering::Acquire)
    }

    pub(super) fn hold(&self) {
        self.trackers.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn release(&self) {
        self.trackers.fetch_sub(1, Ordering::AcqRel);
    }

    /// Looks at several numbers at once.
    pub fn read<T>(&self, then: impl FnOnce(&Values) -> T) -> T {
        then(&self.values.lock())
    }

    /// Changes several numbers at once. Peers are not told; see [`super::Table::update`].
    pub(super) fn with<T>(&self, then: impl FnOnce(&mut Values) -> T) -> T {
        then(&mut self.values.lock())
    }

    pub(super) fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Only under the lock of the journal.
    pub(super) fn set_queued(&self, number: u64) {
        // An entry may leave its table meanwhile.
        let free = |now: u64| (now != GONE).then_some(number);
        let _ = self.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
    }

    pub(super) fn set_gone(&self) {
        self.queued.store(GONE, Ordering::Relaxed);
    }
}

impl Values {
    /// The value; of a rate, events over its period up to now.
    pub fn get(&self, slot: Slot, now: Now) -> u64 {
        let word = |i: usize| self.words.get(slot.at + i).copied().unwrap_or(0);
        match slot.form {
            Form::Small => u64::from(word(0)),
            Form::Large => u64::from(word(1)) << 32 | u64::from(word(0)),
            Form::Rate => rate(word(0), word(1), word(2), slot.period_ms, now.0 as u32),
            Form::Server => 0,
        }
    }

    /// Gives a value; a rate gets so many events at this moment.
    pub fn set(&mut self, slot: Slot, value: u64, now: Now) {
        let Some(words) = self.words.get_mut(slot.at..) else { return };
        match (slot.form, words) {
            (Form::Small, [word, ..]) => *word = u32::try_from(value).unwrap_or(u32::MAX),
            (Form::Large, [low, high, ..]) => (*low, *high) = (value as u32, (value >> 32) as u32),
            (Form::Rate, [start, current, before, ..]) => {
                *start = now.0 as u32;
                *current = u32::try_from(value).unwrap_or(u32::MAX);
                *before = 0;
            }
            _ => {}
        }
    }

    /// Counts `n` events; gives the new value.
    pub fn add(&mut self, slot: Slot, n: u64, now: Now) -> u64 {
        if slot.form != Form::Rate {
            let value = self.get(slot, now).saturating_add(n);
            self.set(slot, value, now);
            return self.get(slot, now);
        }
        if let Some([start, current, before, ..]) = self.words.get_mut(slot.at..) {
            let now = now.0 as u32;
            let periods = now.wrapping_sub(*start) / slot.period_ms;
            if periods > 0 || *current == 0 && *before == 0 {
                *before = if periods == 1 { *current } else { 0 };
                *current = 0;
                // A long silence begins a period of its own.
                *start = if periods == 1 { start.wrapping_add(slot.period_ms) } else { now };
            }
            *current = current.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
        }
        self.get(slot, now)
    }

    /// One less, not below 0.
    pub fn take(&mut self, slot: Slot, now: Now) {
        let value = self.get(slot, now).saturating_sub(1);
        self.set(slot, value, now);
    }

    /// The running period of a rate as the peers protocol tells it: milliseconds since it began, its count, the count before.
    pub fn rate_parts(&self, slot: Slot, now: Now) -> (u32, u32, u32) {
        let word = |i: usize| self.words.get(slot.at + i).copied().unwrap_or(0);
        ((now.0 as u32).wrapping_sub(word(0)), word(1), word(2))
    }

    /// Takes over what [`Values::rate_parts`] told.
    pub fn set_rate_parts(
        &mut self,
        slot: Slot,
        (age, current, before): (u32, u32, u32),
        now: Now,
    ) {
        if let Some([start, c, b, ..]) = self.words.get_mut(slot.at..) {
            (*start, *c, *b) = ((now.0 as u32).wrapping_sub(age), current, before);
        }
    }
}

/// Events of the last period: those of the running one, and the share of the one before that is not older than a period.
fn rate(start: u32, current: u32, before: u32, period: u32, now: u32) -> u64 {
    let age = now.wrapping_sub(start);
    let (current, before, age) = match age / period {
        0 => (current, before, age),
        1 => (0, current, age - period),
        _ => return 0,
    };
    let left = u64::from(period - age);
    let old = u64::from(before) * left;
    // A steady one event a period reads as one all along.
    let old = if before <= 1 && current == 0 { u64::from(before) } else { old / u64::from(period) };
    u64::from(current) + old
}

#[cfg(test)]
mod tests {
    use super::super::data::{self, Layout, Store, id};
    use super::*;

    #[test]
    fn rates_over_a_period() {
        let store = Store {
            kind: data::find("conn_rate").unwrap(),
            count: 1,
            period: Duration::from_secs(10),
        };
        let layout = Layout::new(&[store]);
        let slot = layout.slot(id::CONN_RATE, 0).unwrap();
        let entry = Entry::new(Key::new(), layout.words, Stamp::of(Now(0)));
        let at = |ms| entry.with(|v| v.get(slot, Now(ms)));
        assert_eq!(at(5_000), 0);
        for i in 0..10 {
            entry.with(|v| v.add(slot, 1, Now(100_000 + i * 1_000)));
        }
        assert_eq!(at(109_000), 10);
        assert_eq!(at(110_000), 10);
        assert_eq!(at(115_000), 5);
        assert_eq!(at(120_000), 0);
        assert_eq!(entry.with(|v| v.add(slot, 1, Now(112_000))), 9);
        entry.with(|v| v.set(slot, 20, Now(200_000)));
        assert_eq!(at(200_000), 20);
        // It holds for a period before it fades.
        assert_eq!(at(205_000), 20);
        assert_eq!(at(215_000), 10);
    }

    #[test]
    fn large_numbers() {
        let store =
            Store { kind: data::find("bytes_in_cnt").unwrap(), count: 1, period: Duration::ZERO };
        let layout = Layout::new(&[store]);
        let slot = layout.slot(id::BYTES_IN_CNT, 0).unwrap();
        let entry = Entry::new(Key::new(), layout.words, Stamp::of(Now(0)));
        entry.with(|v| v.add(slot, u64::from(u32::MAX), Now(0)));
        assert_eq!(entry.with(|v| v.add(slot, 2, Now(0))), u64::from(u32::MAX) + 2);
        entry.with(|v| v.set(slot, 0, Now(0)));
        entry.with(|v| v.take(slot, Now(0)));
        assert_eq!(entry.with(|v| v.get(slot, Now(0))), 0);
    }
}
