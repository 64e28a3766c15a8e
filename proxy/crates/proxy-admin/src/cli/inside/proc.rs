//! What the kernel tells of the process in /proc.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;

/// A thread, as the kernel counts it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) id: u32,
    pub(super) name: String,
    pub(super) state: char,
    /// Time on a processor.
    pub(super) cpu_ms: u64,
    /// Switches that it asked for, and others.
    pub(super) switches: [u64; 2],
}

/// Nanoseconds of a millisecond.
const MILLI: u64 = 1_000_000;

/// The threads that there are now, by their numbers.
pub(super) fn threads() -> Vec<Thread> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return Vec::new() };
    let mut threads: Vec<Thread> = tasks
        .filter_map(|task| {
            let path = task.ok()?.path();
            let id = path.file_name()?.to_str()?.parse().ok()?;
            let status = fs::read_to_string(path.join("status")).ok()?;
            let times = fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            Some(thread(id, &status, &times))
        })
        .collect();
    threads.sort_by_key(|thread| thread.id);
    threads
}

fn thread(id: u32, status: &str, times: &str) -> Thread {
    let number = |name| field(status, name).and_then(|text| text.parse().ok()).unwrap_or(0);
    let spent = times.split_whitespace().next().and_then(|text| text.parse::<u64>().ok());
    Thread {
        id,
        name: field(status, "Name").unwrap_or_default(),
        state: field(status, "State").and_then(|text| text.chars().next()).unwrap_or('?'),
        cpu_ms: spent.unwrap_or(0) / MILLI,
        switches: [number("voluntary_ctxt_switches"), number("nonvoluntary_ctxt_switches")],
    }
}

/// The first line `name: value` of a text.
pub(super) fn field(text: &str, name: &str) -> Option<String> {
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then_some(value)
    });
    value.map(|value| value.trim().to_owned())
}

/// Files that code was loaded from, with where they are in memory.
pub(super) fn libraries(maps: &str) -> Vec<(String, Range<u64>)> {
    let mut all: BTreeMap<String, (Range<u64>, bool)> = BTreeMap::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let Some(path) = words.nth(3).filter(|path| path.starts_with('/')) else { continue };
        let Some((start, end)) = range.split_once('-') else { continue };
        let number = |text| u64::from_str_radix(text, 16).ok();
        let (Some(start), Some(end)) = (number(start), number(end)) else { continue };
        let entry = all.entry(path.to_owned()).or_insert((start..end, false));
        entry.0 = entry.0.start.min(start)..entry.0.end.max(end);
        entry.1 |= rights.contains('x');
    }
    all.into_iter().filter(|(_, (_, code))| *code).map(|(path, (range, _))| (path, range)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_read() {
        let status = "Name:\tworker/0\nState:\tS (sleeping)\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t2\n";
        let read = thread(12, status, "2500000 100 3\n");
        let name = "worker/0".to_owned();
        assert_eq!(read, Thread { id: 12, name, state: 'S', cpu_ms: 2, switches: [7, 2] });
        assert!(threads().iter().any(|thread| thread.id == std::process::id()));
    }

    #[test]
    fn libraries_are_those_with_code() {
        let maps = "\
            1000-2000 r--p 00000000 08:01 7 /bin/a\n\
            2000-3000 r-xp 00001000 08:01 7 /bin/a\n\
            5000-6000 r--p 00000000 08:01 8 /data\n\
            7000-8000 r-xp 00000000 00:00 0 [vdso]\n\
            rubbish\n";
        assert_eq!(libraries(maps), [("/bin/a".to_owned(), 0x1000..0x3000)]);
    }
}
