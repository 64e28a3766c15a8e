//! Two processes without sockets.

use std::sync::Arc;
use std::time::Duration;

use proxy_state::registry::RegistrySpec;
use proxy_state::stick::{KeyType, Store, Table, TableSpec, data};
use proxy_state::{Now, Registry};

use super::lesson::Lesson;
use super::section::{PeerSpec, Section, SectionSpec};
use super::session::{End, Session};
use super::wire::{Hello, Status, control, put_control, put_table};

const STORES: &[(&str, u16)] = &[
    ("server_id", 1),
    ("gpc0_rate", 1),
    ("conn_cur", 1),
    ("server_key", 1),
    ("gpt", 3),
    ("gpc", 2),
];

fn table(name: &str, key: KeyType) -> Arc<Table> {
    changed(name, key, |_| {})
}

fn changed(name: &str, key: KeyType, change: impl FnOnce(&mut TableSpec)) -> Arc<Table> {
    let store = |(name, count): &(&str, u16)| Store {
        kind: data::find(name).unwrap(),
        count: *count,
        period: Duration::from_secs(10),
    };
    let mut spec = TableSpec {
        expire: Some(Duration::from_secs(60)),
        stores: STORES.iter().map(store).collect(),
        shared: true,
        ..TableSpec::new(name, key, 100_000)
    };
    change(&mut spec);
    Table::new(spec)
}

/// A process called `name` in a section of `a`, `b` and `c`.
fn section(name: &str, tables: &[&Arc<Table>]) -> Arc<Section> {
    let peer = |name: &str| PeerSpec { name: name.to_owned(), address: None, shard: 0 };
    let spec = SectionSpec {
        name: "peers".to_owned(),
        local: name.to_owned(),
        peers: ["a", "b", "c"].into_iter().map(peer).collect(),
        tables: tables.iter().map(|table| (table.spec.name.clone(), Arc::clone(table))).collect(),
    };
    let section = Section::new(spec, false, Now(0));
    section.teach(|lesson| *lesson = Lesson::Done);
    section
}

/// A connection, and what is on its way on it.
struct Wire {
    ends: [Session; 2],
    input: [Vec<u8>; 2],
    /// Bytes that the second got from the first, and the other way round.
    total: [usize; 2],
}

impl Wire {
    /// The first connects to the second.
    fn new(from: &Arc<Section>, to: &Arc<Section>, now: Now) -> Self {
        let peer = if Arc::ptr_eq(from, to) || from.local == to.local {
            from.peer(&from.local)
        } else {
            from.peer(&to.local)
        };
        let from = Session::connect(from.clone(), peer.unwrap(), 1, now);
        let to = Session::accept(to.clone(), 2, now);
        Self { ends: [from, to], input: Default::default(), total: [0; 2] }
    }

    /// Carries bytes until both are silent.
    fn settle(&mut self, now: Now) -> Result<(), (usize, End)> {
        loop {
            let mut silent = true;
            for i in 0..2 {
                let mut out = Vec::new();
                let made = self.ends[i].produce(&mut out, 7, now);
                silent &= out.is_empty() && made != Ok(true);
                self.total[i] += out.len();
                // In pieces that fit nothing.
                for piece in out.chunks(5) {
                    let input = &mut self.input[1 - i];
                    input.extend_from_slice(piece);
                    match self.ends[1 - i].receive(input, now) {
                        Ok(used) => drop(input.drain(..used)),
                        Err(end) => return Err((1 - i, end)),
                    }
                }
                made.map_err(|end| (i, end))?;
            }
            if silent {
                return Ok(());
            }
        }
    }
}

fn set(table: &Arc<Table>, key: &[u8], name: &str, index: u16, value: u64, now: Now) {
    let slot = table.slot(data::find(name).unwrap().id, index).unwrap();
    let entry = table.get_or_make(key, now).unwrap();
    table.update(&entry, |values| match name.ends_with("_rate") {
        true => drop(values.add(slot, value, now)),
        false => values.set(slot, value, now),
    });
}

fn get(table: &Arc<Table>, key: &[u8], name: &str, index: u16, now: Now) -> Option<u64> {
    let slot = table.slot(data::find(name).unwrap().id, index).unwrap();
    Some(table.get(key, now)?.read(|values| values.get(slot, now)))
}

fn server(table: &Arc<Table>, key: &[u8], name: &str) {
    let entry = table.get_or_make(key, Now(0)).unwrap();
    table.update(&entry, |values| values.server = Some(name.into()));
}

#[test]
fn entries_arrive_on_both_sides() {
    let (here, there) = (table("t", KeyType::Str(9)), table("t", KeyType::Str(9)));
    let (a, b) = (section("a", &[&here]), section("b", &[&there]));
    let mut wire = Wire::new(&a, &b, Now(0));
    for (key, value) in [(b"k1", 7), (b"k2", 8)] {
        set(&here, key, "gpt", 2, value, Now(1000));
        set(&here, key, "gpc", 1, value * 1000, Now(1000));
        set(&here, key, "gpc0_rate", 0, value, Now(1000));
        set(&here, key, "conn_cur", 0, 3, Now(1000));
        server(&here, key, "s1");
    }
    set(&there, b"other", "gpt", 0, 5, Now(1000));
    wire.settle(Now(2000)).unwrap();
    let of = |key, name, index| get(&there, key, name, index, Now(2000));
    for (key, value) in [(b"k1", 7), (b"k2", 8)] {
        assert_eq!(of(key, "gpt", 2), Some(value));
        assert_eq!(of(key, "gpc", 1), Some(value * 1000));
        assert_eq!(of(key, "gpc0_rate", 0), Some(value));
        // What is counted here only.
        assert_eq!(of(key, "conn_cur", 0), Some(0));
        let name = there.get(key, Now(2000)).unwrap().read(|values| values.server.clone());
        assert_eq!(name.as_deref(), Some("s1"));
    }
    // A rate fades from its own beginning.
    assert_eq!(get(&there, b"k1", "gpc0_rate", 0, Now(21_000)), Some(0));
    assert_eq!(get(&here, b"other", "gpt", 0, Now(2000)), Some(5));
    // Everything was confirmed and is told to nobody again; `c` has heard nothing yet.
    let state = a.peers[1].state().clone();
    assert_eq!((state.tables[0].acked, state.tables[0].pushed, state.tables[0].got), (2, 2, 1));
    let before = wire.total;
    wire.settle(Now(2100)).unwrap();
    assert_eq!(wire.total, before);
    assert_eq!(here.journal().unwrap().len(), 2);
    // What is learned is not told back.
    assert_eq!(there.journal().unwrap().last(), 1);
}

#[test]
fn a_change_is_told_once_and_lives_as_long_as_any() {
    let (here, there) = (table("t", KeyType::Ipv4), table("t", KeyType::Ipv4));
    let (a, b) = (section("a", &[&here]), section("b", &[&there]));
    let mut wire = Wire::new(&b, &a, Now(0));
    let key = [10, 0, 0, 1];
    for n in 0..100 {
        set(&here, &key, "gpt", 0, n, Now(1000));
    }
    wire.settle(Now(5000)).unwrap();
    assert_eq!(b.peers[0].state().updates_received, 1);
    assert_eq!(there.expires_in(&there.get(&key, Now(5000)).unwrap(), Now(5000)), 60_000);
    set(&here, &key, "gpt", 0, 500, Now(6000));
    wire.settle(Now(6000)).unwrap();
    assert_eq!(get(&there, &key, "gpt", 0, Now(6000)), Some(500));
    assert_eq!(b.peers[0].state().updates_received, 2);
}

#[test]
fn a_new_process_learns_before_it_tells() {
    let (old, new) = (table("t", KeyType::Integer), table("t", KeyType::Integer));
    let (a, b) = (section("a", &[&old]), section("b", &[&new]));
    for key in 0..300u32 {
        set(&old, &key.to_be_bytes(), "gpt", 0, 1000, Now(0));
    }
    old.set_expiry(&old.get(&7u32.to_be_bytes(), Now(0)).unwrap(), 9000, Now(0));
    b.teach(|lesson| *lesson = Lesson::begin(false, Now(0)));
    // It has begun to count by itself.
    set(&new, &5u32.to_be_bytes(), "gpt", 0, 1, Now(0));
    let mut wire = Wire::new(&b, &a, Now(0));
    wire.settle(Now(1000)).unwrap();
    assert!(b.lesson().is_done());
    assert_eq!(new.used(), 300);
    assert_eq!(get(&old, &5u32.to_be_bytes(), "gpt", 0, Now(1000)), Some(1000));
    assert_eq!(get(&new, &5u32.to_be_bytes(), "gpt", 0, Now(1000)), Some(1000));
    let left = new.get(&7u32.to_be_bytes(), Now(1000)).unwrap();
    assert_eq!(new.expires_in(&left, Now(1000)), 8000);
    assert_eq!(a.peers[1].state().confirm, 0);
    // Changes go both ways from here on.
    set(&new, &5u32.to_be_bytes(), "gpt", 0, 1001, Now(1100));
    set(&old, &6u32.to_be_bytes(), "gpt", 0, 1002, Now(1100));
    wire.settle(Now(1200)).unwrap();
    assert_eq!(get(&old, &5u32.to_be_bytes(), "gpt", 0, Now(1200)), Some(1001));
    assert_eq!(get(&new, &6u32.to_be_bytes(), "gpt", 0, Now(1200)), Some(1002));
}

#[test]
fn one_that_does_not_know_everything_says_so() {
    let (here, there) = (table("t", KeyType::Integer), table("t", KeyType::Integer));
    let (a, b) = (section("a", &[&here]), section("b", &[&there]));
    set(&here, &[0, 0, 0, 1], "gpt", 0, 1, Now(0));
    for section in [&a, &b] {
        section.teach(|lesson| *lesson = Lesson::begin(false, Now(0)));
    }
    Wire::new(&a, &b, Now(0)).settle(Now(0)).unwrap();
    assert_eq!(there.used(), 1);
    assert!(!a.lesson().is_done() && !b.lesson().is_done());
    assert!(a.peers[1].state().is_incomplete && b.peers[0].state().is_incomplete);
    a.teach(|lesson| lesson.expire(Now(5000)));
    assert!(a.lesson().is_done());
}

#[test]
fn the_process_that_replaces_another_is_taught() {
    let (old, new) = (table("t", KeyType::Binary(4)), table("t", KeyType::Binary(4)));
    let (from, to) = (section("a", &[&old]), section("a", &[&new]));
    to.teach(|lesson| *lesson = Lesson::begin(true, Now(0)));
    set(&old, b"keys", "gpt", 1, 9, Now(0));
    let mut wire = Wire::new(&from, &to, Now(0));
    assert_eq!(wire.settle(Now(0)), Err((0, End::Taught)));
    assert_eq!(get(&new, b"keys", "gpt", 1, Now(0)), Some(9));
    assert!(to.lesson().is_done());
}

#[test]
fn the_same_process_is_not_its_own_teacher() {
    let table = table("t", KeyType::Ipv4);
    let a = section("a", &[&table]);
    let mut from = Session::connect(a.clone(), 0, 1, Now(0));
    let mut to = Session::accept(a, 1, Now(0));
    let mut hello = Vec::new();
    from.produce(&mut hello, 9, Now(0)).unwrap();
    assert_eq!(to.receive(&hello, Now(0)), Err(End::Refusing(Status::TryAgain)));
}

#[test]
fn tables_of_another_kind_are_left_alone() {
    let (here, there) = (table("t", KeyType::Str(9)), table("t", KeyType::Str(10)));
    let (u, v) = (table("u", KeyType::Ipv6), table("u", KeyType::Ipv6));
    let (a, b) = (section("a", &[&here, &u]), section("b", &[&v, &there]));
    set(&here, b"k", "gpt", 0, 1, Now(0));
    set(&u, &[1; 16], "gpt", 0, 1, Now(0));
    Wire::new(&a, &b, Now(0)).settle(Now(0)).unwrap();
    assert_eq!((there.used(), v.used()), (0, 1));
}

#[test]
fn types_that_one_side_does_not_keep_are_left_out() {
    let here = table("t", KeyType::Ipv4);
    let there = changed("t", KeyType::Ipv4, |spec| {
        spec.stores.retain(|store| matches!(store.kind.name, "gpc" | "gpc0_rate"));
        spec.stores[0].period = Duration::from_secs(7);
    });
    let (a, b) = (section("a", &[&here]), section("b", &[&there]));
    set(&here, &[1; 4], "gpc", 1, 5, Now(0));
    set(&here, &[1; 4], "gpc0_rate", 0, 5, Now(0));
    Wire::new(&a, &b, Now(0)).settle(Now(0)).unwrap();
    assert_eq!(get(&there, &[1; 4], "gpc", 1, Now(0)), Some(5));
    // Another period: the counts would mean something else.
    assert_eq!(get(&there, &[1; 4], "gpc0_rate", 0, Now(0)), Some(0));
}

#[test]
fn a_table_that_only_receives_takes_everything() {
    let here = table("t", KeyType::Ipv4);
    let there = changed("t", KeyType::Ipv4, |spec| spec.recv_only = true);
    let (a, b) = (section("a", &[&here]), section("b", &[&there]));
    set(&here, &[1; 4], "conn_cur", 0, 5, Now(0));
    Wire::new(&a, &b, Now(0)).settle(Now(0)).unwrap();
    assert_eq!(get(&there, &[1; 4], "conn_cur", 0, Now(0)), Some(5));
}

#[test]
fn tags_and_servers_are_written_to_another_table() {
    let here = table("t", KeyType::Ipv4);
    let like = |name: &str| TableSpec { name: name.to_owned(), ..here.spec.clone() };
    let tables = vec![TableSpec { write_to: Some("u".to_owned()), ..like("t") }, like("u")];
    let registry = Registry::new(RegistrySpec { tables, ..RegistrySpec::default() }).unwrap();
    let [there, other] = ["t", "u"].map(|name| registry.table(name).unwrap());
    let (a, b) = (section("a", &[&here]), section("b", &[there, other]));
    set(&here, &[1; 4], "server_id", 0, 5, Now(0));
    set(&here, &[1; 4], "gpt", 1, 6, Now(0));
    set(&here, &[1; 4], "gpc", 1, 7, Now(0));
    server(&here, &[1; 4], "s5");
    Wire::new(&a, &b, Now(0)).settle(Now(0)).unwrap();
    let of = |table: &Arc<Table>| {
        ["server_id", "gpt", "gpc"]
            .map(|name| get(table, &[1; 4], name, u16::from(name != "server_id"), Now(0)))
    };
    assert_eq!(of(there), [Some(5), Some(6), Some(7)]);
    assert_eq!(of(other), [Some(5), Some(6), Some(0)]);
    let name = other.get(&[1; 4], Now(0)).unwrap().read(|values| values.server.clone());
    assert_eq!(name.as_deref(), Some("s5"));
    // It goes no further from here.
    assert!(other.journal().unwrap().is_empty());
    let loops = vec![TableSpec { write_to: Some("t".to_owned()), ..like("t") }];
    assert!(Registry::new(RegistrySpec { tables: loops, ..RegistrySpec::default() }).is_err());
}

#[test]
fn parts_of_the_keys_go_to_different_peers() {
    let parts = || changed("t", KeyType::Integer, |spec| spec.shards = 2);
    let (here, b_table, c_table) = (parts(), parts(), parts());
    let peer = |name: &str, shard| PeerSpec { name: name.to_owned(), address: None, shard };
    let a = Section::new(
        SectionSpec {
            name: "peers".to_owned(),
            local: "a".to_owned(),
            peers: vec![peer("a", 0), peer("b", 1), peer("c", 2)],
            tables: vec![("t".to_owned(), here.clone())],
        },
        false,
        Now(0),
    );
    a.teach(|lesson| *lesson = Lesson::Done);
    for key in 0..100u32 {
        set(&here, &key.to_be_bytes(), "gpt", 0, 1, Now(0));
    }
    for (name, table) in [("b", &b_table), ("c", &c_table)] {
        Wire::new(&a, &section(name, &[table]), Now(0)).settle(Now(0)).unwrap();
        assert!(table.used() > 20);
        let part = if name == "b" { 1 } else { 2 };
        for entry in table.entries(0, Now(0)).into_iter().flatten() {
            assert_eq!(table.shard_of(&entry.key), part);
        }
    }
    assert_eq!(b_table.used() + c_table.used(), 100);
    // Both have confirmed all they are to know.
    assert!(a.peers[1].state().tables[0].pushed == 100);
}

#[test]
fn what_was_not_confirmed_is_told_again() {
    let (here, there) = (table("t", KeyType::Ipv4), table("t", KeyType::Ipv4));
    let (a, b) = (section("a", &[&here]), section("b", &[&there]));
    set(&here, &[1; 4], "gpt", 0, 1, Now(0));
    let mut wire = Wire::new(&a, &b, Now(0));
    wire.settle(Now(0)).unwrap();
    set(&here, &[2; 4], "gpt", 0, 2, Now(0));
    // It gets lost on the way.
    wire.ends[0].produce(&mut Vec::new(), 10, Now(0)).unwrap();
    let [from, to] = wire.ends;
    from.close(None, Now(10));
    to.close(None, Now(10));
    assert_eq!(get(&there, &[2; 4], "gpt", 0, Now(10)), None);
    Wire::new(&a, &b, Now(20)).settle(Now(20)).unwrap();
    assert_eq!(get(&there, &[2; 4], "gpt", 0, Now(20)), Some(2));
    assert_eq!(b.peers[0].state().updates_received, 2);
}

#[test]
fn the_last_connection_wins() {
    let (here, there) = (table("t", KeyType::Ipv4), table("t", KeyType::Ipv4));
    let (a, b) = (section("a", &[&here]), section("b", &[&there]));
    let mut first = Wire::new(&a, &b, Now(0));
    first.settle(Now(0)).unwrap();
    let mut second = Wire::new(&b, &a, Now(1));
    second.settle(Now(1)).unwrap();
    assert_eq!(first.settle(Now(2)), Err((0, End::Replaced)));
    let [from, to] = first.ends;
    from.close(Some(End::Replaced), Now(2));
    to.close(Some(End::Replaced), Now(2));
    assert!(a.peers[1].is_connected() && b.peers[0].is_connected());
    assert_eq!(a.peers[1].state().collisions, 1);
    set(&here, &[1; 4], "gpt", 0, 1, Now(3));
    second.settle(Now(3)).unwrap();
    assert_eq!(there.used(), 1);
}

#[test]
fn silence_ends_a_session() {
    let (here, there) = (table("t", KeyType::Ipv4), table("t", KeyType::Ipv4));
    let (a, b) = (section("a", &[&here]), section("b", &[&there]));
    let mut wire = Wire::new(&a, &b, Now(0));
    assert_eq!(wire.ends[1].tick(Now(4_999)), Ok(()));
    assert_eq!(wire.ends[1].tick(Now(5_000)), Err(End::Silence));
    wire.settle(Now(0)).unwrap();
    for second in 1..20 {
        let now = Now(second * 1000);
        assert!(wire.ends[0].deadline() > Now(now.0 - 1000));
        for end in &mut wire.ends {
            end.tick(now).unwrap();
        }
        wire.settle(now).unwrap();
    }
    let state = b.peers[0].state().clone();
    assert_eq!((state.heartbeats_sent, state.heartbeats_received), (6, 6));
    assert_eq!(wire.ends[0].tick(Now(25_000)), Err(End::Silence));
}

#[track_caller]
fn greeting(own: &str, text: &str, expected: Result<(), Status>) {
    let section = section(own, &[]);
    let mut session = Session::accept(section, 1, Now(0));
    let outcome = session.receive(text.as_bytes(), Now(0));
    let mut out = Vec::new();
    session.produce(&mut out, 1, Now(0)).unwrap();
    let status = expected.err().unwrap_or(Status::Succeeded);
    assert_eq!(String::from_utf8_lossy(&out), status.line());
    assert_eq!(outcome.map(|_| ()), expected.map_err(End::Refusing));
}

#[test]
fn strangers_are_refused() {
    let hello = |remote: &str, local: &str| {
        Hello { minor: 1, remote: remote.into(), local: local.into(), pid: 9 }.lines()
    };
    greeting("a", &hello("a", "b"), Ok(()));
    greeting("a", &hello("x", "b"), Err(Status::LocalMismatch));
    greeting("a", &hello("a", "x"), Err(Status::RemoteMismatch));
    greeting("a", "HAProxyS 3.0\na\nb 1 1\n", Err(Status::BadVersion));
    greeting("a", "GET / HTTP/1.1\r\n", Err(Status::ProtocolError));
}

#[test]
fn an_older_peer_is_not_told_when_entries_expire() {
    let (here, there) = (table("t", KeyType::Ipv4), table("t", KeyType::Ipv4));
    let (a, b) = (section("a", &[&here]), section("b", &[&there]));
    let mut refused = Session::connect(b.clone(), 0, 1, Now(0));
    refused.produce(&mut Vec::new(), 1, Now(0)).unwrap();
    let end = refused.receive(b"502\n", Now(0)).unwrap_err();
    assert_eq!(end, End::Refused(Status::BadVersion));
    refused.close(Some(end), Now(0));
    let key = [1; 4];
    set(&here, &key, "gpt", 0, 1, Now(0));
    here.set_expiry(&here.get(&key, Now(0)).unwrap(), 9000, Now(0));
    b.teach(|lesson| *lesson = Lesson::begin(false, Now(0)));
    Wire::new(&b, &a, Now(0)).settle(Now(0)).unwrap();
    let entry = there.get(&key, Now(0)).unwrap();
    assert_eq!(there.expires_in(&entry, Now(0)), 60_000);
}

#[test]
fn nonsense_ends_a_session() {
    let check = |message: &[u8], expected: Option<End>| {
        let t = table("t", KeyType::Ipv4);
        let mut session = Session::accept(section("a", &[&t]), 1, Now(0));
        session.receive(b"HAProxyS 2.1\na\nb 9 1\n", Now(0)).unwrap();
        assert_eq!(session.receive(message, Now(0)).err(), expected, "{message:?}");
    };
    let sized = |kind, content: &[u8]| {
        let mut out = Vec::new();
        put_table(&mut out, kind, content);
        out
    };
    // An update without a table, and one of a table that is not known.
    check(&sized(128, b"abc"), None);
    check(&[sized(130, b"\x01\x01x\x04\x04\x00"), sized(128, b"ab")].concat(), None);
    check(&[sized(130, b"\x01\x01t\x04\x04\x00"), sized(128, b"ab")].concat(), Some(End::Protocol));
    check(&sized(132, b""), Some(End::Protocol));
    // Confirmations of what was never sent.
    check(&sized(132, b"\x01\0\0\0\x09"), None);
    check(&sized(132, b"\x09\0\0\0\x09"), None);
    check(&[1, 0], Some(End::Told));
    check(&[10, 128, 0xff, 0xff, 0xff, 0xff, 0x01], Some(End::SizeLimit));
    let mut later = Vec::new();
    put_control(&mut later, 77);
    put_control(&mut later, control::HEARTBEAT);
    check(&later, None);
}
