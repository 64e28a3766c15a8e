//! Counting without sharing: each thread adds to a shard of its own, readers sum the shards.
//!
//! A shard has one writer, so an addition is a load and a store, without a locked instruction. Clearing does not
//! touch the shards (their owner would overwrite it): it remembers the sums of that moment and reads subtract them.
//!
//! A shard is made when its thread counts for the first time: of many servers few carry something, and a server that
//! carries nothing costs a pointer.

mod average;
mod external;
mod gauge;
mod mux;
mod rate;
mod sets;
mod tls;

pub use average::{Time, Times};
pub use external::ExternalCounters;
pub use gauge::Gauge;
pub use mux::{Mux, Open};
pub use rate::Rate;
pub use sets::{
    BackendCounters, FrontendCounters, ListenerCounters, MuxCounters, ProcessCounters,
    ServerCounters,
};
pub use tls::TlsCounts;

use crate::thread;
use crossbeam_utils::CachePadded;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A 64-bit counter with one writer.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owner of the shard calls this.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    /// Adds one.
    pub fn inc(&self) {
        self.add(1);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Replaces the value: for totals that are kept elsewhere (see [`Counted::external`]).
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }
}

/// One `T` per thread, made by the thread when it counts for the first time.
#[derive(Debug)]
pub struct Sharded<T>(OnceLock<Shards<T>>);

/// The places of all threads.
type Shards<T> = Box<[OnceLock<Box<CachePadded<T>>>]>;

impl<T> Default for Sharded<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T: Default> Sharded<T> {
    /// The shard of the running thread.
    pub fn local(&self) -> &T {
        let places = self.0.get_or_init(unused);
        places[thread::current().min(places.len() - 1)].get_or_init(Box::default)
    }
}

impl<T> Sharded<T> {
    /// The shard of a thread, if that counted something.
    pub fn of(&self, thread: usize) -> Option<&T> {
        self.0.get()?.get(thread)?.get().map(|shard| &***shard)
    }

    /// The shards of the threads that counted something, for readers.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let places = self.0.get().map(AsRef::as_ref).unwrap_or_default();
        places.iter().filter_map(|place: &OnceLock<_>| place.get().map(|shard| &***shard))
    }
}

#[cold]
fn unused<T>() -> Shards<T> {
    (0..thread::shards()).map(|_| OnceLock::new()).collect()
}

/// `stats calculate-max-counters`.
static PEAKS: AtomicBool = AtomicBool::new(true);

/// Says whether the highest values are kept. Call it before anything is counted.
pub fn keep_peaks(on: bool) {
    PEAKS.store(on, Ordering::Relaxed);
}

fn keeps_peaks() -> bool {
    PEAKS.load(Ordering::Relaxed)
}

/// A struct made of [`Counter`]s, declared with the `counters!` macro.
pub trait CounterSet: Default {
    /// Every counter with the name of its field.
    fn fields(&self) -> impl Iterator<Item = (&'static str, &Counter)>;
}

/// A counter set in shards, plus totals counted outside of the process and what clearing took away.
#[derive(Debug, Default)]
pub struct Counted<T: CounterSet> {
    shards: Sharded<T>,
    aside: OnceLock<Box<Aside<T>>>,
}

/// What belongs to no thread.
#[derive(Debug, Default)]
struct Aside<T> {
    /// Counted outside of the process.
    external: T,
    /// Taken away when values are read.
    base: T,
}

impl<T: CounterSet> Counted<T> {
    /// The set the running thread adds to: `frontend.counters.local().bytes_in.add(n)`.
    pub fn local(&self) -> &T {
        self.shards.local()
    }

    /// Totals counted elsewhere (by the kernel programs), which the control thread copies in with [`Counter::set`].
    pub fn external(&self) -> &T {
        &self.aside().external
    }

    fn aside(&self) -> &Aside<T> {
        self.aside.get_or_init(Box::default)
    }

    /// Value of one counter since the last [`Counted::clear`].
    pub fn total(&self, field: impl Fn(&T) -> &Counter) -> u64 {
        let base = self.aside.get().map_or(0, |aside| field(&aside.base).get());
        self.raw(&field).wrapping_sub(base)
    }

    /// What has begun and not ended: one counter less another, whatever was cleared.
    pub fn open(&self, begun: impl Fn(&T) -> &Counter, ended: impl Fn(&T) -> &Counter) -> u64 {
        // Read in this order, and 0 at least: shards go on counting meanwhile.
        let ended = self.raw(ended);
        self.raw(begun).saturating_sub(ended)
    }

    fn raw(&self, field: impl Fn(&T) -> &Counter) -> u64 {
        let external = self.aside.get().map_or(0, |aside| field(&aside.external).get());
        let sum = |sum: u64, shard| sum.wrapping_add(field(shard).get());
        self.shards.iter().fold(external, sum)
    }

    /// Every counter with its value since the last [`Counted::clear`].
    pub fn totals(&self) -> Vec<(&'static str, u64)> {
        let mut sums = self.sums();
        if let Some(aside) = self.aside.get() {
            for ((_, sum), (_, base)) in sums.iter_mut().zip(aside.base.fields()) {
                *sum = sum.wrapping_sub(base.get());
            }
        }
        sums
    }

    /// Every counter as each of the first `threads` counted it since the process began.
    pub fn by_thread(&self, threads: usize) -> Vec<(&'static str, Vec<u64>)> {
        let nothing = T::default();
        let mut all: Vec<_> = nothing.fields().map(|(name, _)| (name, Vec::new())).collect();
        for thread in 0..threads {
            let shard = self.shards.of(thread).unwrap_or(&nothing);
            for ((_, values), (_, counter)) in all.iter_mut().zip(shard.fields()) {
                values.push(counter.get());
            }
        }
        all
    }

    /// Adds what an earlier process counted; false when there is no counter of this name.
    pub fn preload(&self, name: &str, value: u64) -> bool {
        let base = self.aside().base.fields().find(|(known, _)| *known == name);
        // What is taken away when values are read may be less than nothing.
        base.map(|(_, base)| base.set(base.get().wrapping_sub(value))).is_some()
    }

    /// Makes every counter read as zero.
    pub fn clear(&self) {
        if self.aside.get().is_none() && self.shards.iter().next().is_none() {
            return;
        }
        for ((_, sum), (_, base)) in self.sums().into_iter().zip(self.aside().base.fields()) {
            base.set(sum);
        }
    }

    /// Every counter with all that was ever counted.
    fn sums(&self) -> Vec<(&'static str, u64)> {
        let nothing = T::default();
        let external = self.aside.get().map_or(&nothing, |aside| &aside.external);
        let mut sums: Vec<_> = external.fields().map(|(name, c)| (name, c.get())).collect();
        for shard in self.shards.iter() {
            for ((_, sum), (_, counter)) in sums.iter_mut().zip(shard.fields()) {
                *sum = sum.wrapping_add(counter.get());
            }
        }
        sums
    }
}

/// Declares a struct of [`Counter`]s and implements [`CounterSet`] for it.
macro_rules! counters {
    ($(#[$outer:meta])* pub struct $name:ident { $($(#[$doc:meta])* $field:ident,)* }) => {
        $(#[$outer])*
        #[derive(Debug, Default)]
        pub struct $name { $($(#[$doc])* pub $field: $crate::counters::Counter,)* }

        impl $crate::counters::CounterSet for $name {
            fn fields(&self) -> impl Iterator<Item = (&'static str, &$crate::counters::Counter)> {
                [$((stringify!($field), &self.$field),)*].into_iter()
            }
        }
    };
}
use counters;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_summed_and_clearing_hides_the_past() {
        thread::set_workers(2);
        let counted: Counted<FrontendCounters> = Counted::default();
        std::thread::scope(|scope| {
            for index in 0..2 {
                let counted = &counted;
                scope.spawn(move || {
                    thread::register(index);
                    for _ in 0..1000 {
                        counted.local().bytes_in.add(3);
                    }
                });
            }
        });
        counted.external().bytes_in.set(500);
        assert_eq!(counted.total(|c| &c.bytes_in), 6500);
        assert_eq!(counted.total(|c| &c.bytes_out), 0);
        counted.clear();
        assert_eq!(counted.total(|c| &c.bytes_in), 0);
        counted.local().bytes_in.inc();
        counted.external().bytes_in.set(507);
        assert_eq!(counted.total(|c| &c.bytes_in), 8);
    }
    #[test]
    fn what_was_never_counted_reads_as_zero_and_weighs_nothing() {
        thread::set_workers(2);
        let counted: Counted<FrontendCounters> = Counted::default();
        assert!(counted.totals().iter().all(|(_, value)| *value == 0));
        counted.clear();
        assert_eq!(counted.total(|c| &c.bytes_in), 0);
        assert!(counted.shards.0.get().is_none() && counted.aside.get().is_none());
        assert!(counted.preload("bytes_in", 7) && !counted.preload("nothing", 7));
        assert_eq!(counted.total(|c| &c.bytes_in), 7);
        counted.local().bytes_in.add(3);
        assert_eq!(counted.shards.iter().count(), 1);
        assert_eq!(counted.totals()[2], ("bytes_in", 10));
        counted.clear();
        assert_eq!(counted.total(|c| &c.bytes_in), 0);
    }
}
