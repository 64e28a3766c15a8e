//! Which entries of a shared table changed, in the order of their changes, for the peers that are to be told.
//!
//! An entry that changed and that nobody was told of yet stands in the journal once, however often it changes: it is
//! read when it is sent. Who changes it again meanwhile pays for two atomic loads.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::Entry;

/// Changes below which nothing is tidied up.
const FEW: usize = 1024;
/// Places looked at for one that is worth telling, so that the lock is not held for long.
const LOOKS: usize = 4;

/// Called when there is something to tell after a time without.
type Wake = Box<dyn Fn() + Send + Sync>;

/// The changes of one table. Numbers begin with 1; on the wire they are cut to 32 bits.
pub struct Journal {
    /// The highest number that some reader has got.
    taken: AtomicU64,
    /// All readers have got everything and wait.
    waiting: AtomicBool,
    queue: Mutex<Queue>,
    wake: OnceLock<Wake>,
}

struct Queue {
    last: u64,
    items: VecDeque<(u64, Arc<Entry>)>,
    /// Length at which places that were given up are taken out.
    tidy_at: usize,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("taken", &self.taken).finish_non_exhaustive()
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self {
            taken: AtomicU64::new(0),
            waiting: AtomicBool::new(false),
            queue: Mutex::new(Queue { last: 0, items: VecDeque::new(), tidy_at: FEW }),
            wake: OnceLock::new(),
        }
    }
}

impl Journal {
    /// Who is called when [`Journal::wait`] was followed by a change. The first one stays.
    pub fn on_change(&self, wake: Box<dyn Fn() + Send + Sync>) {
        let _ = self.wake.set(wake);
    }

    /// The entry changed. To be called after the change.
    pub(super) fn note(&self, entry: &Arc<Entry>) {
        // Pairs with the fence of a reader: either this sees that the entry was taken, or the reader sees the change.
        fence(Ordering::SeqCst);
        let is_queued = || entry.queued() > self.taken.load(Ordering::SeqCst);
        if is_queued() {
            return;
        }
        let mut queue = self.queue.lock();
        if is_queued() {
            return;
        }
        queue.last += 1;
        let number = queue.last;
        entry.set_queued(number);
        queue.items.push_back((number, entry.clone()));
        if queue.items.len() >= queue.tidy_at {
            queue.items.retain(|(number, entry)| entry.queued() == *number);
            queue.tidy_at = FEW.max(queue.items.len() * 2);
        }
        drop(queue);
        if self.waiting.load(Ordering::SeqCst)
            && self.waiting.swap(false, Ordering::SeqCst)
            && let Some(wake) = self.wake.get()
        {
            wake();
        }
    }

    /// Gives `most` entries at most that changed after number `after`, each with its number, oldest first; the number to go on
    /// from. Their values are to be read after this.
    pub fn take(&self, after: u64, most: usize, into: &mut Vec<(u64, Arc<Entry>)>) -> u64 {
        let queue = self.queue.lock();
        let start = queue.items.partition_point(|(number, _)| *number <= after);
        let (mut cursor, mut given) = (after, 0);
        let mut places = queue.items.range(start..);
        for (number, entry) in places.by_ref().take(most.saturating_mul(LOOKS)) {
            cursor = *number;
            if entry.queued() == *number {
                into.push((*number, entry.clone()));
                given += 1;
                if given >= most {
                    break;
                }
            }
        }
        if places.next().is_none() {
            cursor = cursor.max(queue.last);
        }
        self.taken.fetch_max(cursor, Ordering::SeqCst);
        drop(queue);
        fence(Ordering::SeqCst);
        cursor
    }

    /// The number of the last change; everything up to here counts as told, by somebody who tells whole tables.
    pub fn pass(&self) -> u64 {
        let queue = self.queue.lock();
        self.taken.fetch_max(queue.last, Ordering::SeqCst);
        let last = queue.last;
        drop(queue);
        fence(Ordering::SeqCst);
        last
    }

    /// The number of the last change.
    pub fn last(&self) -> u64 {
        self.queue.lock().last
    }

    /// A reader that has got everything up to `after` is going to wait. False when there is more by now.
    pub fn wait(&self, after: u64) -> bool {
        self.waiting.store(true, Ordering::SeqCst);
        self.last() <= after
    }

    /// Nobody asks for changes up to this number any more.
    pub fn forget(&self, up_to: u64) {
        let mut queue = self.queue.lock();
        let known = queue.items.partition_point(|(number, _)| *number <= up_to);
        queue.items.drain(..known);
    }

    /// Changes that are kept.
    pub fn len(&self) -> usize {
        self.queue.lock().items.len()
    }

    /// True when no change is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::super::entry::Stamp;
    use super::super::{Key, data};
    use super::*;
    use crate::Now;

    fn entry(key: u8) -> Arc<Entry> {
        Arc::new(Entry::new(Key::from_slice(&[key]), 1, Stamp::of(Now(0))))
    }

    fn keys(journal: &Journal, after: u64, most: usize) -> (Vec<(u64, u8)>, u64) {
        let mut taken = Vec::new();
        let cursor = journal.take(after, most, &mut taken);
        (taken.iter().map(|(number, entry)| (*number, entry.key[0])).collect(), cursor)
    }

    #[test]
    fn each_change_is_told_once() {
        let journal = Journal::default();
        let (a, b) = (entry(1), entry(2));
        for entry in [&a, &b, &a, &a] {
            journal.note(entry);
        }
        assert_eq!(keys(&journal, 0, 10), (vec![(1, 1), (2, 2)], 2));
        assert_eq!(keys(&journal, 2, 10), (vec![], 2));
        journal.note(&a);
        // Another reader gets what changed twice once.
        assert_eq!(keys(&journal, 0, 10), (vec![(2, 2), (3, 1)], 3));
        assert_eq!(keys(&journal, 0, 1), (vec![(2, 2)], 2));
        journal.forget(2);
        assert_eq!(journal.len(), 1);
        assert_eq!(keys(&journal, 2, 10), (vec![(3, 1)], 3));
    }

    #[test]
    fn an_entry_that_is_gone_is_not_told() {
        let journal = Journal::default();
        let a = entry(1);
        journal.note(&a);
        a.set_gone();
        journal.note(&a);
        assert_eq!(keys(&journal, 0, 10), (vec![], 1));
    }

    #[test]
    fn waiting_ends_with_a_change() {
        let journal = Journal::default();
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        journal.on_change(Box::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        }));
        let a = entry(1);
        journal.note(&a);
        assert!(!journal.wait(0));
        assert!(journal.wait(1));
        journal.note(&a);
        assert_eq!(woken.load(Ordering::Relaxed), 0, "it is queued already");
        assert_eq!(keys(&journal, 0, 10).1, 1);
        journal.note(&a);
        journal.note(&a);
        assert_eq!(woken.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn it_does_not_outgrow_the_table() {
        let journal = Journal::default();
        let entries: Vec<_> = (0..100).map(entry).collect();
        for round in 0..1000 {
            for entry in &entries {
                journal.note(entry);
            }
            // A reader far ahead of the slowest.
            let mut taken = Vec::new();
            journal.take(round * 100, 1000, &mut taken);
        }
        assert!(journal.len() < 2 * FEW, "{}", journal.len());
        assert_eq!(keys(&journal, 0, 1000).0.len(), 100);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let journal = Arc::new(Journal::default());
        let layout = data::Layout::new(&[data::Store {
            kind: data::find("gpc0").unwrap(),
            count: 1,
            period: std::time::Duration::ZERO,
        }]);
        let slot = layout.slot(data::id::GPC0, 0).unwrap();
        let entries: Vec<_> = (0..8).map(entry).collect();
        let mut seen = [0u64; 8];
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        for i in 0..30_000 {
                            let entry = &entries[i % 8];
                            entry.with(|values| values.add(slot, 1, Now(0)));
                            journal.note(entry);
                        }
                    })
                })
                .collect();
            let mut cursor = 0;
            loop {
                let done = writers.iter().all(std::thread::ScopedJoinHandle::is_finished);
                let mut taken = Vec::new();
                cursor = journal.take(cursor, 3, &mut taken);
                for (_, entry) in &taken {
                    seen[usize::from(entry.key[0])] = entry.read(|values| values.get(slot, Now(0)));
                }
                if done && taken.is_empty() {
                    break;
                }
            }
        });
        assert_eq!(seen, [11_250; 8]);
    }
}
