//! Entries of stick tables that sessions and streams track, and values as keys of tables (configuration manual, 11.1).

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

use bumpalo::Bump;
use proxy_state::Now;
use proxy_state::stick::data::id;
use proxy_state::stick::{Held, Key, KeyType, Table};

use crate::sample::{EvalCtx, Sample};

/// Sets of counters where `tune.stick-counters` says nothing: `track-sc0` to `track-sc2`.
pub const COUNTERS: u8 = 3;
/// The most that it may say.
pub const COUNTERS_MAX: u8 = 100;

/// The entries that a session or a stream tracks, by the number of their set.
#[derive(Clone, Debug, Default)]
pub struct Tracked(OnceCell<Box<Slots>>);

/// Behind a pointer: most connections track nothing.
type Slots = RefCell<Vec<(u8, Arc<Held>)>>;

impl Tracked {
    pub fn get(&self, set: u8) -> Option<Arc<Held>> {
        let slots = self.0.get()?.borrow();
        slots.iter().find(|(number, _)| *number == set).map(|(_, held)| held.clone())
    }

    pub fn is_empty(&self) -> bool {
        self.0.get().is_none_or(|slots| slots.borrow().is_empty())
    }

    fn push(&self, set: u8, held: Arc<Held>) {
        self.0.get_or_init(Box::default).borrow_mut().push((set, held));
    }

    /// Counts `n` events in each entry; `counter` and `rate` are numbers of data types.
    pub fn count(&self, counter: usize, rate: usize, n: u64, now: Now) {
        let Some(slots) = self.0.get() else { return };
        for (_, held) in slots.borrow().iter() {
            held.count(counter, rate, n, now);
        }
    }

    /// Counts bytes; rates of bytes count blocks of `brates-factor`.
    pub fn count_bytes(&self, received: u64, sent: u64, now: Now) {
        let Some(slots) = self.0.get() else { return };
        for (_, held) in slots.borrow().iter() {
            held.count_bytes(received, sent, now);
        }
    }

    /// Ends the tracking.
    pub fn finish(&self, now: Now) {
        let Some(slots) = self.0.get() else { return };
        for (_, held) in slots.borrow_mut().drain(..) {
            held.finish(now);
        }
    }
}

/// The entry that set `set` stands for in this evaluation: the stream's, or else the session's.
pub(crate) fn tracked(cx: &EvalCtx<'_>, set: u8) -> Option<Arc<Held>> {
    let of_session = || cx.session?.tracked.get(set);
    cx.tracked.and_then(|tracked| tracked.get(set)).or_else(of_session)
}

/// Where an entry is tracked from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Session,
    Stream,
}

/// Tracks the entry of `value` in `table` as set `set`, unless something is tracked there already.
pub(crate) fn track(
    cx: &EvalCtx<'_>,
    life: Life,
    set: u8,
    table: &Arc<Table>,
    value: Sample<'_>,
) -> bool {
    let Some(slots) = (match life {
        Life::Session => cx.session.map(|session| &session.tracked),
        Life::Stream => cx.tracked,
    }) else {
        return false;
    };
    if tracked(cx, set).is_some() {
        return false;
    }
    let Some(key) = key(table, value, cx.scratch) else { return false };
    let Some(held) = table.track(&key, cx.clock.now) else { return false };
    held.begin(cx.clock.now);
    slots.push(set, Arc::new(held));
    true
}

/// A value as key of a table; `None` when it cannot be one.
pub fn key(table: &Table, value: Sample<'_>, scratch: &Bump) -> Option<Key> {
    match table.spec.key {
        KeyType::Ipv4 => Some(Key::from_slice(&value.ipv4()?.octets())),
        KeyType::Ipv6 => Some(Key::from_slice(&value.ipv6()?.octets())),
        KeyType::Integer => Some(Key::from_slice(&(value.int()? as u32).to_be_bytes())),
        KeyType::Str(_) => {
            own(value).str(scratch).filter(|s| !s.is_empty()).map(|s| table.key_of_bytes(s))
        }
        KeyType::Binary(_) => {
            own(value).bin(scratch).filter(|s| !s.is_empty()).map(|s| table.key_of_bytes(s))
        }
    }
}

/// The same value: its lifetime may shrink to that of the scratch memory.
fn own<'a>(value: Sample<'a>) -> Sample<'a> {
    value
}

/// A key of a table as value.
pub(crate) fn sample<'a>(table: &Table, key: &[u8], scratch: &'a Bump) -> Option<Sample<'a>> {
    Some(match table.spec.key {
        KeyType::Ipv4 => Sample::Ipv4(<[u8; 4]>::try_from(key).ok()?.into()),
        KeyType::Ipv6 => Sample::Ipv6(<[u8; 16]>::try_from(key).ok()?.into()),
        KeyType::Integer => Sample::Int(i64::from(u32::from_be_bytes(key.try_into().ok()?))),
        KeyType::Str(_) => Sample::Str(scratch.alloc_slice_copy(key)),
        KeyType::Binary(_) => Sample::Bin(scratch.alloc_slice_copy(key)),
    })
}

/// What is done with a value of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Op {
    Get,
    /// Sets it to zero and gives what it was.
    Clear,
    /// Counts one in a counter and its rate, and gives the counter.
    Increment,
    /// In units of 1024.
    Kilo,
}

impl Op {
    pub(crate) const GET: u8 = Self::Get as u8;
    pub(crate) const CLEAR: u8 = Self::Clear as u8;
    pub(crate) const INCREMENT: u8 = Self::Increment as u8;
    pub(crate) const KILO: u8 = Self::Kilo as u8;
}

/// Does `op` on the value of data type `kind` at `index` of the entry of `key`. `None` when the table does not store it; 0 when there
/// is no entry and `op` makes none.
pub(crate) fn apply(
    op: u8,
    table: &Table,
    key: &[u8],
    kind: usize,
    index: u16,
    now: Now,
) -> Option<u64> {
    let increments = op == Op::INCREMENT;
    let rate = rate_of(kind).filter(|_| increments).and_then(|kind| table.slot(kind, index));
    let slot = table.slot(kind, index);
    let shown = slot.or(rate)?;
    let entry = if increments { table.get_or_make(key, now) } else { table.get(key, now) };
    let Some(entry) = entry else { return Some(0) };
    Some(match op {
        Op::CLEAR => table.update(&entry, |values| {
            let before = values.get(shown, now);
            values.set(shown, 0, now);
            before
        }),
        Op::INCREMENT => table.update(&entry, |values| {
            for slot in [slot, rate].into_iter().flatten() {
                values.add(slot, 1, now);
            }
            values.get(shown, now)
        }),
        Op::KILO => entry.read(|values| values.get(shown, now)) >> 10,
        _ => {
            let value = entry.read(|values| values.get(shown, now));
            match kind {
                id::BYTES_IN_RATE | id::BYTES_OUT_RATE => {
                    value * u64::from(table.spec.brates_factor)
                }
                _ => value,
            }
        }
    })
}

/// The rate that goes with a counter.
pub(crate) fn rate_of(kind: usize) -> Option<usize> {
    Some(match kind {
        id::GPC => id::GPC_RATE,
        id::GPC0 => id::GPC0_RATE,
        id::GPC1 => id::GPC1_RATE,
        id::CONN_CNT => id::CONN_RATE,
        _ => return None,
    })
}
