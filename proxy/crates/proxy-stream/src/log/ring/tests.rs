use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn ring(size: usize) -> Arc<Ring> {
    Arc::new(Ring::new("r", "a ring", size))
}

fn text(reader: &mut Reader) -> String {
    let mut out = Vec::new();
    reader.lines(usize::MAX, b'|', &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_newest_messages_are_kept() {
    // Three records of ten bytes.
    let ring = ring(30);
    for message in [&b"m1"[..], b"m2\n", b"m3", b"m4"] {
        assert_eq!(ring.append([message].into_iter()), 0);
    }
    assert_eq!(text(&mut ring.reader(false)), "m2|m3|m4|");
    assert_eq!(text(&mut ring.reader(true)), "");
    ring.append([&b"longer than all of the ring that it goes to"[..]].into_iter());
    assert_eq!(text(&mut ring.reader(false)), "longer than all of the|");
    assert_eq!(ring.dropped(), 0);
}

#[test]
fn what_is_held_is_not_overwritten() {
    let ring = ring(30);
    let mut holder = ring.holder();
    let messages = [&b"m1"[..], b"m2", b"m3", b"m4"];
    assert_eq!(ring.append(messages.into_iter()), 1);
    assert_eq!(ring.dropped(), 1);
    assert_eq!(text(&mut holder), "m1|m2|m3|");
    holder.rewind();
    assert_eq!(text(&mut holder), "m1|m2|m3|");
    assert_eq!(ring.append([&b"m5"[..]].into_iter()), 1, "taken is not done");
    holder.done();
    assert_eq!(ring.append([&b"m6"[..]].into_iter()), 0);
    assert_eq!(text(&mut holder), "m6|");
    drop(holder);
    assert_eq!(ring.append(messages.into_iter()), 0);
    assert_eq!(text(&mut ring.reader(false)), "m2|m3|m4|");
}

#[test]
fn who_is_too_slow_is_told() {
    let ring = ring(30);
    let mut reader = ring.reader(false);
    ring.append([&b"m1"[..], b"m2", b"m3", b"m4", b"m5"].into_iter());
    let mut out = Vec::new();
    assert_eq!(reader.lines(1, b'\n', &mut out), Taken { messages: 1, missed: 2 });
    assert_eq!(out, b"m3\n");
    assert_eq!(reader.lines(100, 0, &mut out), Taken { messages: 2, missed: 0 });
    assert_eq!(out, b"m3\nm4\0m5\0");
}

#[test]
fn the_file_can_be_read_and_the_old_one_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ring");
    let fill = |messages: &[&[u8]]| {
        let ring = ring(30);
        ring.back_with(&path).unwrap();
        ring.append(messages.iter().copied());
    };
    fill(&[b"m1", b"m2", b"m3", b"m4"]);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let whole = read(&path);
    let (head, records) = whole.split_once('\n').unwrap();
    assert_eq!(
        head.trim_end(),
        "sluice ring 1: 30 of 30 bytes in use, the oldest message is at byte 138, the next at 138"
    );
    assert_eq!(records, "000002 m4\n000002 m2\n000002 m3\n");
    fill(&[b"new"]);
    assert!(read(&path).contains("000003 new\n"));
    assert_eq!(read(&dir.path().join("ring.bak")), whole);
}

proptest! {
    /// Against a queue that drops from its front while there is no room.
    #[test]
    fn is_a_queue_of_bounded_size(
        size in 20_usize..120,
        messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..80),
        reads in proptest::collection::vec(0_usize..80, 0..20),
    ) {
        let ring = ring(size);
        let mut model: VecDeque<Vec<u8>> = VecDeque::new();
        for (n, message) in messages.iter().enumerate() {
            ring.append([message.as_slice()].into_iter());
            let kept = message.strip_suffix(b"\n").unwrap_or(message);
            model.push_back(kept[..kept.len().min(size - OVERHEAD)].to_vec());
            while model.iter().map(|m| m.len() + OVERHEAD).sum::<usize>() > size {
                model.pop_front();
            }
            if reads.contains(&n) {
                let mut seen = Vec::new();
                ring.reader(false).take(usize::MAX, &mut Vec::new(), |_, copy, len| {
                    let mut one = Vec::new();
                    copy(&mut one);
                    assert_eq!(one.len(), len);
                    seen.push(one);
                });
                prop_assert_eq!(&seen, &model.iter().cloned().collect::<Vec<_>>());
            }
        }
    }
}
