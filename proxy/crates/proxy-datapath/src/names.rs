//! Who has which index. Flows, counters and ring events know services and servers by index only,
//! so an index stays with its owner over reloads and restarts, and is given to another only when no
//! flow refers to it. The table is pinned beside the maps.

use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

/// Bytes of one record in the pinned map.
pub(crate) const RECORD_LEN: usize = 256;
const NAME_LEN: usize = 112;

/// The owner of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Identity over reloads, never 0.
    pub(crate) id: u64,
    /// Name of the service.
    pub(crate) service: Arc<str>,
    /// Name of the server; empty in the table of services.
    pub(crate) server: Arc<str>,
    /// Idle timeout, for flows that outlive the service in the configuration.
    pub(crate) idle: Duration,
    /// Handshake timeout, likewise.
    pub(crate) connect: Duration,
}

impl Record {
    /// As bytes; overlong names are cut, the identity tells them apart.
    pub(crate) fn encode(&self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        bytes[..8].copy_from_slice(&self.id.to_ne_bytes());
        let millis = |d: Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX).to_ne_bytes();
        bytes[8..12].copy_from_slice(&millis(self.idle));
        bytes[12..16].copy_from_slice(&millis(self.connect));
        write_name(&mut bytes[16..16 + NAME_LEN + 2], &self.service);
        write_name(&mut bytes[136..136 + NAME_LEN + 2], &self.server);
        bytes
    }

    /// From bytes; `None` for a free place.
    pub(crate) fn decode(bytes: &[u8; RECORD_LEN]) -> Option<Self> {
        let word = |at: usize| bytes[at..].first_chunk::<4>().map_or(0, |b| u32::from_ne_bytes(*b));
        let id = bytes.first_chunk::<8>().map_or(0, |b| u64::from_ne_bytes(*b));
        (id != 0).then(|| Self {
            id,
            service: read_name(&bytes[16..136]),
            server: read_name(&bytes[136..]),
            idle: Duration::from_millis(word(8).into()),
            connect: Duration::from_millis(word(12).into()),
        })
    }
}

fn write_name(place: &mut [u8], name: &str) {
    let mut length = name.len().min(NAME_LEN);
    while !name.is_char_boundary(length) {
        length -= 1;
    }
    place[0] = length as u8;
    place[1..=length].copy_from_slice(&name.as_bytes()[..length]);
}

fn read_name(place: &[u8]) -> Arc<str> {
    let length = usize::from(place[0]).min(NAME_LEN);
    String::from_utf8_lossy(&place[1..=length]).into()
}

/// Owners by index.
#[derive(Debug, Default)]
pub(crate) struct Names {
    slots: Vec<Option<Record>>,
    by_id: FxHashMap<u64, u32>,
}

/// What [`Names::assign`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Assigned {
    /// The owner had this index before.
    Kept(u32),
    /// The index is new to the owner; what stands there belonged to nobody or another.
    Given(u32),
}

impl Assigned {
    pub(crate) fn index(self) -> u32 {
        match self {
            Self::Given(index) | Self::Kept(index) => index,
        }
    }
}

impl Names {
    pub(crate) fn new(slots: Vec<Option<Record>>) -> Self {
        let by_id = slots
            .iter()
            .zip(0..)
            .filter_map(|(slot, index)| Some((slot.as_ref()?.id, index)))
            .collect();
        Self { slots, by_id }
    }

    pub(crate) fn get(&self, index: u32) -> Option<&Record> {
        self.slots.get(index as usize)?.as_ref()
    }

    pub(crate) fn find(&self, id: u64) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// All owners.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Record)> {
        (0..).zip(&self.slots).filter_map(|(index, slot)| Some((index, slot.as_ref()?)))
    }

    /// The index of the owner in `record`: the one it has, a free one, or one that `idle` says its
    /// owner no longer needs. `None` when all are needed.
    pub(crate) fn assign(
        &mut self,
        record: Record,
        mut idle: impl FnMut(u32, &Record) -> bool,
    ) -> Option<Assigned> {
        if let Some(index) = self.find(record.id) {
            self.slots[index as usize] = Some(record);
            return Some(Assigned::Kept(index));
        }
        let free = self.slots.iter().position(Option::is_none).map(|index| index as u32);
        let index = match free {
            Some(index) => index,
            None => self.iter().find(|(index, owner)| idle(*index, owner)).map(|(i, _)| i)?,
        };
        let place = &mut self.slots[index as usize];
        if let Some(former) = place {
            self.by_id.remove(&former.id);
        }
        self.by_id.insert(record.id, index);
        *place = Some(record);
        Some(Assigned::Given(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u64, service: &str, server: &str) -> Record {
        Record {
            id,
            service: service.into(),
            server: server.into(),
            idle: Duration::from_secs(50),
            connect: Duration::from_millis(1500),
        }
    }

    #[track_caller]
    fn check(record: &Record, service: &str, server: &str) {
        let read = Record::decode(&record.encode()).unwrap();
        let expected = Record { service: service.into(), server: server.into(), ..record.clone() };
        assert_eq!(read, expected);
    }

    #[test]
    fn records_survive_the_map() {
        check(&record(1, "web", "s1"), "web", "s1");
        check(&record(u64::MAX, "", ""), "", "");
        let long = "é".repeat(100);
        check(&record(7, &long, &long), &long[..NAME_LEN], &long[..NAME_LEN]);
        assert_eq!(Record::decode(&[0; RECORD_LEN]), None);
    }

    #[test]
    fn owners_keep_their_index() {
        let mut names = Names::new(vec![None; 2]);
        let never = |_: u32, _: &Record| false;
        assert_eq!(names.assign(record(10, "a", ""), never), Some(Assigned::Given(0)));
        assert_eq!(names.assign(record(11, "b", ""), never), Some(Assigned::Given(1)));
        assert_eq!(names.assign(record(10, "a", ""), never), Some(Assigned::Kept(0)));
        assert_eq!(names.assign(record(12, "c", ""), never), None);
        let second = names.assign(record(12, "c", ""), |index, _| index == 1);
        assert_eq!(second, Some(Assigned::Given(1)));
        assert_eq!(names.find(11), None);
        assert_eq!(names.get(1).unwrap().service.as_ref(), "c");
        let stored = names.slots.clone();
        assert_eq!(Names::new(stored).find(12), Some(1));
    }
}
