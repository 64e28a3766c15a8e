//! The timer wheel itself: no clock, no task. Six levels of 64 slots, one millisecond wide at the bottom.
//!
//! It is lazy: moving a deadline later only stores it. The entry stays in the slot of its old deadline and is
//! moved when that slot comes up, so a connection that is always active touches the wheel once per timeout.
//! Slots are doubly linked lists over one slab, so removal is constant and leaves nothing behind.

use std::task::Waker;

const LEVELS: usize = 6;
const BITS: u32 = 6;
const SLOTS: usize = 1 << BITS;
const NIL: u32 = u32::MAX;
/// The farthest deadline that is told apart: about 2.1 years. Farther ones are looked at again then. One slot
/// short of a whole turn of the top level, so that a slot is never mistaken for the one we stand in.
const SPAN: u64 = (SLOTS as u64 - 1) << (BITS * (LEVELS as u32 - 1));
const UNSET: u64 = u64::MAX;

struct Entry {
    deadline: u64,
    /// Where the entry sits in the wheel; `UNSET` when it is in no slot.
    queued: u64,
    slot: u16,
    prev: u32,
    /// Next in the slot, or next free entry.
    next: u32,
    fired: bool,
    waker: Option<Waker>,
}

/// Deadlines by key. Times are milliseconds on a clock that never goes back.
pub(super) struct Wheel {
    elapsed: u64,
    occupied: [u64; LEVELS],
    heads: Vec<u32>,
    entries: Vec<Entry>,
    free: u32,
}

impl Wheel {
    pub(super) fn new(now: u64) -> Self {
        Self {
            elapsed: now,
            occupied: [0; LEVELS],
            heads: vec![NIL; LEVELS * SLOTS],
            entries: Vec::new(),
            free: NIL,
        }
    }

    /// Adds an unarmed entry and returns its key.
    pub(super) fn insert(&mut self) -> u32 {
        let entry = Entry {
            deadline: UNSET,
            queued: UNSET,
            slot: 0,
            prev: NIL,
            next: NIL,
            fired: false,
            waker: None,
        };
        if self.free == NIL {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32
        } else {
            let key = self.free;
            self.free = self.entries[key as usize].next;
            self.entries[key as usize] = entry;
            key
        }
    }

    pub(super) fn remove(&mut self, key: u32) {
        self.unlink(key);
        let e = &mut self.entries[key as usize];
        e.waker = None;
        e.next = self.free;
        self.free = key;
    }

    /// Sets the deadline. Returns true when the entry had to be moved forward in the wheel, in which case
    /// [`Self::next_wake`] may be earlier than before.
    pub(super) fn arm(&mut self, key: u32, deadline: u64) -> bool {
        let e = &mut self.entries[key as usize];
        e.deadline = deadline;
        e.fired = false;
        if deadline >= e.queued {
            return false;
        }
        self.unlink(key);
        self.link(key, deadline);
        true
    }

    pub(super) fn disarm(&mut self, key: u32) {
        let e = &mut self.entries[key as usize];
        e.deadline = UNSET;
        e.fired = false;
    }

    pub(super) fn deadline(&self, key: u32) -> Option<u64> {
        Some(self.entries[key as usize].deadline).filter(|d| *d != UNSET)
    }

    pub(super) fn fired(&self, key: u32) -> bool {
        self.entries[key as usize].fired
    }

    /// Remembers who to wake; returns true when the deadline has already passed.
    pub(super) fn watch(&mut self, key: u32, waker: &Waker) -> bool {
        let e = &mut self.entries[key as usize];
        if e.fired {
            return true;
        }
        match &mut e.waker {
            Some(w) => w.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
        false
    }

    /// The earliest time at which [`Self::advance`] has something to do.
    pub(super) fn next_wake(&self) -> Option<u64> {
        (0..LEVELS).find_map(|level| self.next_slot(level)).map(|(_, at)| at)
    }

    /// Moves the clock to `now` and hands the wakers of what expired to `wake`.
    pub(super) fn advance(&mut self, now: u64, wake: &mut Vec<Waker>) {
        while let Some((slot, at)) = (0..LEVELS).find_map(|level| self.next_slot(level)) {
            if at > now {
                break;
            }
            self.elapsed = self.elapsed.max(at);
            let mut key = std::mem::replace(&mut self.heads[slot], NIL);
            self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
            while key != NIL {
                let e = &mut self.entries[key as usize];
                let next = e.next;
                e.queued = UNSET;
                e.prev = NIL;
                e.next = NIL;
                let deadline = e.deadline;
                if deadline <= now {
                    e.fired = true;
                    wake.extend(e.waker.take());
                } else if deadline != UNSET {
                    self.link(key, deadline);
                }
                key = next;
            }
        }
        self.elapsed = self.elapsed.max(now);
    }

    /// First occupied slot of a level at or after the current time, and when it starts.
    fn next_slot(&self, level: usize) -> Option<(usize, u64)> {
        let occupied = self.occupied[level];
        if occupied == 0 {
            return None;
        }
        let shift = BITS * level as u32;
        let here = (self.elapsed >> shift) & (SLOTS as u64 - 1);
        let ahead = u64::from(occupied.rotate_right(here as u32).trailing_zeros());
        let at = ((self.elapsed >> shift) + ahead) << shift;
        let slot = ((here + ahead) as usize) % SLOTS;
        // The slot we stand in is already due; its start lies behind us.
        Some((level * SLOTS + slot, at.max(self.elapsed)))
    }

    fn link(&mut self, key: u32, deadline: u64) {
        let at = deadline.clamp(self.elapsed + 1, self.elapsed + SPAN);
        let level = level_of(self.elapsed, at);
        let slot = level * SLOTS + ((at >> (BITS * level as u32)) as usize & (SLOTS - 1));
        let head = self.heads[slot];
        if head != NIL {
            self.entries[head as usize].prev = key;
        }
        let e = &mut self.entries[key as usize];
        e.queued = at;
        e.slot = slot as u16;
        e.prev = NIL;
        e.next = head;
        self.heads[slot] = key;
        self.occupied[level] |= 1 << (slot % SLOTS);
    }

    fn unlink(&mut self, key: u32) {
        let e = &mut self.entries[key as usize];
        if e.queued == UNSET {
            return;
        }
        let (slot, prev, next) = (e.slot as usize, e.prev, e.next);
        e.queued = UNSET;
        e.prev = NIL;
        e.next = NIL;
        if prev == NIL {
            self.heads[slot] = next;
            if next == NIL {
                self.occupied[slot / SLOTS] &= !(1 << (slot % SLOTS));
            }
        } else {
            self.entries[prev as usize].next = next;
        }
        if next != NIL {
            self.entries[next as usize].prev = prev;
        }
    }
}

/// The level whose slots tell `at` from `elapsed`: that of the highest differing bit.
fn level_of(elapsed: u64, at: u64) -> usize {
    let differing = (elapsed ^ at) | (SLOTS as u64 - 1);
    let highest = 63 - differing.leading_zeros();
    ((highest / BITS) as usize).min(LEVELS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs the wheel like its driver does: sleeps until `next_wake`, then advances.
    fn run_to(w: &mut Wheel, until: u64) -> u32 {
        let (mut wakes, mut woken) = (0, Vec::new());
        while let Some(at) = w.next_wake().filter(|at| *at <= until) {
            w.advance(at, &mut woken);
            wakes += 1;
        }
        w.advance(until, &mut woken);
        wakes
    }

    #[track_caller]
    fn fires_at(start: u64, deadline: u64) {
        let mut w = Wheel::new(start);
        let k = w.insert();
        w.arm(k, deadline);
        let due = deadline.max(start + 1);
        run_to(&mut w, due - 1);
        assert!(!w.fired(k), "early: {start} {deadline}");
        run_to(&mut w, due);
        assert!(w.fired(k), "late: {start} {deadline}");
        assert_eq!(w.next_wake(), None);
    }

    #[test]
    fn a_deadline_fires_in_its_millisecond() {
        for start in [0, 1, 63, 64, 4095, 4096, 1_000_000, (1 << 36) - 1, 1 << 40] {
            for d in [0, 1, 5, 63, 64, 65, 4096, 30_000, 86_400_000, SPAN, SPAN + 5, 3 * SPAN] {
                fires_at(start, start + d);
            }
        }
    }

    #[test]
    fn moving_a_deadline_later_costs_no_move_and_no_early_wake() {
        let mut w = Wheel::new(0);
        let k = w.insert();
        assert!(w.arm(k, 1000));
        for t in 1..900 {
            assert!(!w.arm(k, 1000 + t), "rearmed later: a store only");
        }
        run_to(&mut w, 1898);
        assert!(!w.fired(k));
        run_to(&mut w, 1899);
        assert!(w.fired(k));
    }

    #[test]
    fn moving_a_deadline_earlier_moves_the_entry() {
        let mut w = Wheel::new(0);
        let k = w.insert();
        w.arm(k, 30_000);
        assert!(w.arm(k, 10));
        assert_eq!(w.next_wake(), Some(10));
        run_to(&mut w, 10);
        assert!(w.fired(k));
    }

    #[test]
    fn a_disarmed_or_removed_entry_never_fires() {
        let mut w = Wheel::new(0);
        let (a, b) = (w.insert(), w.insert());
        w.arm(a, 100);
        w.arm(b, 100);
        w.disarm(a);
        w.remove(b);
        run_to(&mut w, 200);
        assert!(!w.fired(a));
        assert_eq!(w.next_wake(), None);
        assert_eq!(w.insert(), b, "keys are reused");
        assert!(!w.fired(b));
    }

    #[test]
    fn a_busy_connection_wakes_the_wheel_a_few_times_per_timeout() {
        let mut w = Wheel::new(0);
        let k = w.insert();
        let mut wakes = 0;
        for now in 0..60_000 {
            w.arm(k, now + 30_000);
            wakes += run_to(&mut w, now);
        }
        assert!(wakes <= 8, "{wakes} wakes in two timeouts");
    }

    proptest! {
        #[test]
        fn like_a_sorted_list(ops in proptest::collection::vec((0usize..8, 0u64..100_000, 0u64..3_000), 1..200)) {
            let mut w = Wheel::new(5);
            let keys: Vec<u32> = (0..8).map(|_| w.insert()).collect();
            let mut model: Vec<Option<u64>> = vec![None; 8];
            let mut fired = [false; 8];
            let mut now = 5;
            for (i, after, step) in ops {
                if after % 7 == 0 {
                    w.disarm(keys[i]);
                    model[i] = None;
                } else {
                    w.arm(keys[i], now + after);
                    model[i] = Some((now + after).max(now + 1));
                }
                fired[i] = false;
                now += step;
                run_to(&mut w, now);
                for (j, m) in model.iter_mut().enumerate() {
                    if m.is_some_and(|d| d <= now) {
                        fired[j] = true;
                        *m = None;
                    }
                    prop_assert_eq!(w.fired(keys[j]), fired[j], "entry {} at {}", j, now);
                }
            }
        }
    }
}
