//! Sliding averages of times.

use super::{Counter, Sharded};

/// Requests that an average looks back on, per thread (management manual 9.1, `qtime`).
const WINDOW: u64 = 1024;

/// One thread's part of an average: a sum over at most [`WINDOW`] values, after which each new value pushes out an average one.
#[derive(Debug, Default)]
struct Part {
    sum: Counter,
    values: Counter,
    max: Counter,
}

impl Part {
    fn add(&self, ms: u64) {
        let values = self.values.get();
        if values < WINDOW {
            self.values.inc();
            self.sum.add(ms);
        } else {
            let sum = self.sum.get();
            self.sum.set(sum - sum.div_ceil(WINDOW) + ms);
        }
        if ms > self.max.get() {
            self.max.set(ms);
        }
    }
}

/// The times that the statistics average for servers and backends, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    /// Spent in a queue (`qtime`).
    Queue,
    /// To connect (`ctime`).
    Connect,
    /// To the response head (`rtime`).
    Response,
    /// Of the whole session (`ttime`).
    Total,
}

/// Averages over the last values of each [`Time`], and the highest values.
#[derive(Debug, Default)]
pub struct Times(Sharded<[Part; 4]>);

impl Times {
    /// Takes in values, in milliseconds.
    pub fn add(&self, values: impl IntoIterator<Item = (Time, u64)>) {
        let parts = self.0.local();
        for (time, ms) in values {
            parts[time as usize].add(ms);
        }
    }

    /// The average over all threads, rounded up; 0 when nothing was measured.
    pub fn average(&self, time: Time) -> u64 {
        let (sum, values) = self
            .parts(time)
            .fold((0, 0), |(sum, values), part| (sum + part.sum.get(), values + part.values.get()));
        if values == 0 { 0 } else { sum.div_ceil(values) }
    }

    /// The highest value taken in.
    pub fn max(&self, time: Time) -> u64 {
        self.parts(time).map(|part| part.max.get()).max().unwrap_or(0)
    }

    /// Forgets the highest values. A thread that is adding right now may keep its own.
    pub fn clear_max(&self) {
        self.0.iter().flatten().for_each(|part| part.max.set(0));
    }

    fn parts(&self, time: Time) -> impl Iterator<Item = &Part> {
        self.0.iter().map(move |parts| &parts[time as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_few_values_exactly_and_many_by_sliding() {
        let times = Times::default();
        let read = || (times.average(Time::Connect), times.max(Time::Connect));
        assert_eq!(read(), (0, 0));
        times.add([(Time::Connect, 10), (Time::Total, 7)]);
        times.add([(Time::Connect, 20)]);
        assert_eq!(read(), (15, 20));
        assert_eq!((times.average(Time::Total), times.average(Time::Queue)), (7, 0));
        for _ in 0..20 * WINDOW {
            times.add([(Time::Connect, 100)]);
        }
        assert_eq!(read(), (100, 100));
        times.clear_max();
        assert_eq!(read(), (100, 0));
    }
}
