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

/// An average over the last values and the highest value.
#[derive(Debug, Default)]
pub struct Average(Sharded<Part>);

impl Average {
    /// Takes in a value, in milliseconds.
    pub fn add(&self, ms: u64) {
        let part = self.0.local();
        let values = part.values.get();
        if values < WINDOW {
            part.values.inc();
            part.sum.add(ms);
        } else {
            let sum = part.sum.get();
            part.sum.set(sum - sum.div_ceil(WINDOW) + ms);
        }
        if ms > part.max.get() {
            part.max.set(ms);
        }
    }

    /// The average over all threads, rounded up; 0 when nothing was measured.
    pub fn get(&self) -> u64 {
        let (sum, values) = self
            .0
            .iter()
            .fold((0, 0), |(sum, values), part| (sum + part.sum.get(), values + part.values.get()));
        if values == 0 { 0 } else { sum.div_ceil(values) }
    }

    /// The highest value taken in.
    pub fn max(&self) -> u64 {
        self.0.iter().map(|part| part.max.get()).max().unwrap_or(0)
    }

    /// Forgets the highest value. A thread that is adding right now may keep its own.
    pub fn clear_max(&self) {
        self.0.iter().for_each(|part| part.max.set(0));
    }
}

/// The four times the statistics average for servers and backends.
#[derive(Debug, Default)]
pub struct Times {
    /// Time spent in a queue (`qtime`).
    pub queue: Average,
    /// Time to connect (`ctime`).
    pub connect: Average,
    /// Time to the response head (`rtime`).
    pub response: Average,
    /// Total time of the session (`ttime`).
    pub total: Average,
}

impl Times {
    pub fn all(&self) -> [&Average; 4] {
        [&self.queue, &self.connect, &self.response, &self.total]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_few_values_exactly_and_many_by_sliding() {
        let average = Average::default();
        assert_eq!(average.get(), 0);
        average.add(10);
        average.add(20);
        assert_eq!((average.get(), average.max()), (15, 20));
        for _ in 0..20 * WINDOW {
            average.add(100);
        }
        assert_eq!((average.get(), average.max()), (100, 100));
        average.clear_max();
        assert_eq!(average.max(), 0);
    }
}
