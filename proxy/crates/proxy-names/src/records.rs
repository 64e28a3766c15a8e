//! Records that replies had, each kept until it was missing for too long.

use std::time::Duration;
use tokio::time::Instant;

/// A record that can be told from others although parts of it change.
pub(crate) trait Record {
    /// Whether both say the same thing, perhaps with another weight or address.
    fn is_same(&self, other: &Self) -> bool;
}

impl Record for std::net::IpAddr {
    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

/// Records in the order in which they were first seen.
#[derive(Debug)]
pub(crate) struct Records<T> {
    seen: Vec<(T, Instant)>,
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self { seen: Vec::new() }
    }
}

impl<T: Record> Records<T> {
    /// Takes in a reply, and forgets what no reply had for `obsolete`.
    pub(crate) fn update(&mut self, fresh: Vec<T>, now: Instant, obsolete: Duration) {
        for record in fresh {
            match self.seen.iter_mut().find(|(known, _)| known.is_same(&record)) {
                Some(known) => *known = (record, now),
                None => self.seen.push((record, now)),
            }
        }
        self.seen.retain(|(_, at)| *at == now || now.duration_since(*at) < obsolete);
    }

    pub(crate) fn clear(&mut self) {
        self.seen.clear();
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.seen.iter().map(|(record, _)| record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn records_stay_until_they_are_obsolete() {
        let start = Instant::now();
        let mut records = Records::default();
        let mut check = |second, fresh: &[&str], expected: &[&str]| {
            let parse = |all: &[&str]| -> Vec<IpAddr> {
                all.iter().map(|ip| ip.parse().unwrap()).collect()
            };
            let now = start + Duration::from_secs(second);
            records.update(parse(fresh), now, Duration::from_secs(2));
            assert_eq!(records.iter().copied().collect::<Vec<_>>(), parse(expected), "{second}");
        };
        check(0, &["1.1.1.1", "1.1.1.2"], &["1.1.1.1", "1.1.1.2"]);
        check(1, &["1.1.1.3"], &["1.1.1.1", "1.1.1.2", "1.1.1.3"]);
        check(2, &["1.1.1.3", "1.1.1.2"], &["1.1.1.2", "1.1.1.3"]);
        check(9, &["1.1.1.4"], &["1.1.1.4"]);
    }
}
