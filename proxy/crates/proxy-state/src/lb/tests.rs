//! Distribution of each algorithm, with exact expectations; rows marked "HAProxy" were asked of HAProxy 2.6.

use super::{
    Affinity, ChooseInput, HashFunction, HashMethod, HashSpec, LbSpec, NoServer, algorithm,
};
use crate::backend::BackendSpec;
use crate::registry::{Registry, RegistrySpec};
use crate::{Backend, Now, ProxyOptions, Server, ServerSpec, SockAddr};
use proxy_types::{ProxyId, ServerId};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// A farm of servers s1, s2, ... with these weights; a weight written negative makes a backup.
fn farm_with(
    balance: &str,
    hash: HashSpec,
    allbackups: bool,
    weights: &[i32],
) -> (Arc<Registry>, Arc<Backend>) {
    let servers = (1..)
        .zip(weights)
        .map(|(id, weight)| {
            let addr = SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 8000)));
            let mut spec = ServerSpec::new(format!("s{id}"), ServerId(id), addr);
            spec.weight = weight.unsigned_abs();
            spec.backup = *weight < 0;
            spec
        })
        .collect();
    let backend = BackendSpec {
        name: "be".into(),
        id: ProxyId(2),
        lb: LbSpec { algorithm: algorithm(balance).unwrap(), hash, ..LbSpec::default() },
        options: ProxyOptions { allbackups, ..ProxyOptions::default() },
        servers,
        ..BackendSpec::default()
    };
    let registry =
        Registry::new(RegistrySpec { backends: vec![backend], ..RegistrySpec::default() }).unwrap();
    let backend = registry.backend("be").unwrap();
    (registry, backend)
}

fn farm(balance: &str, weights: &[i32]) -> (Arc<Registry>, Arc<Backend>) {
    farm_with(balance, HashSpec::default(), false, weights)
}

fn digit(server: Result<Arc<Server>, NoServer>) -> char {
    match server {
        Ok(server) => server.name.chars().nth(1).unwrap(),
        Err(NoServer::AllFull) => 'f',
        Err(NoServer::NoneAvailable) => '-',
    }
}

/// The servers of `n` picks in a row.
fn picks(backend: &Backend, n: usize) -> String {
    (0..n).map(|_| digit(backend.choose(&ChooseInput::default()))).collect()
}

/// The servers of clients 127.0.0.1 to 127.0.0.24.
fn picks_by_source(backend: &Backend) -> String {
    (1..=24)
        .map(|n| {
            let client = Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, n)));
            digit(backend.choose(&ChooseInput { client, ..ChooseInput::default() }))
        })
        .collect()
}

#[test]
fn round_robin_follows_weights() {
    let (_r, be) = farm("roundrobin", &[1, 1, 1]);
    assert_eq!(picks(&be, 7), "1231231");
    let (_r, be) = farm("roundrobin", &[1, 2, 3]);
    assert_eq!(picks(&be, 12), "132323132323");
    let (_r, be) = farm("static-rr", &[1, 2, 3]);
    assert_eq!(picks(&be, 12), "132323132323", "HAProxy");
}

#[test]
fn round_robin_is_strict_over_threads() {
    let (_r, be) = farm("roundrobin", &[1, 2, 3]);
    let counts: Vec<u32> = std::thread::scope(|scope| {
        let threads = [(); 4].map(|()| scope.spawn(|| picks(&be, 6000)));
        let all = threads.map(|t| t.join().unwrap()).concat();
        ['1', '2', '3'].map(|d| all.chars().filter(|&c| c == d).count() as u32).to_vec()
    });
    assert_eq!(counts, [4000, 8000, 12000]);
}

#[test]
fn weights_change_at_once_where_they_may() {
    let (_r, be) = farm("roundrobin", &[1, 1]);
    be.server("s1").unwrap().set_weight(3, Now(1)).unwrap();
    let seen = picks(&be, 8);
    assert_eq!(seen.matches('1').count(), 6, "{seen}");
    be.server("s1").unwrap().set_weight(0, Now(1)).unwrap();
    assert_eq!(picks(&be, 3), "222");
    let (_r, be) = farm("static-rr", &[2, 2]);
    let s1 = be.server("s1").unwrap();
    assert_eq!(s1.set_weight(1, Now(1)), Err(crate::server::WeightError::Static));
    s1.set_weight_text("0%", Now(1)).unwrap();
    assert_eq!(picks(&be, 3), "222");
}

#[test]
fn down_servers_are_passed_over_and_come_back() {
    let (_r, be) = farm("roundrobin", &[1, 1, 1]);
    be.server("s2").unwrap().set_maint(Now(1));
    assert!(!picks(&be, 9).contains('2'));
    be.server("s2").unwrap().set_ready(Now(2));
    assert_eq!(picks(&be, 9).matches('2').count(), 3);
}

#[test]
fn backups_serve_only_when_all_others_are_gone() {
    for (allbackups, expected) in [(false, "333333"), (true, "343434")] {
        let (_r, be) = farm_with("roundrobin", HashSpec::default(), allbackups, &[1, 1, -1, -1]);
        assert!(!picks(&be, 8).contains(['3', '4']));
        be.server("s1").unwrap().set_maint(Now(1));
        assert_eq!(picks(&be, 3), "222");
        be.server("s2").unwrap().set_drain(Now(1));
        let mut seen = picks(&be, 6);
        if seen.starts_with('4') {
            seen = seen.replace('4', "x").replace('3', "4").replace('x', "3");
        }
        assert_eq!(seen, expected);
        be.server("s3").unwrap().set_maint(Now(1));
        assert_eq!(picks(&be, 3), "444");
        be.server("s4").unwrap().set_maint(Now(1));
        assert_eq!(picks(&be, 1), "-");
        assert!(!be.is_up());
    }
}

#[test]
fn full_servers_lose_their_turn() {
    for balance in ["roundrobin", "static-rr", "leastconn", "first", "random"] {
        let (_r, be) = farm(balance, &[1, 1, 1]);
        let s1 = be.server("s1").unwrap();
        s1.set_maxconn(1);
        assert!(s1.try_begin_session(Now(1)));
        assert!(!s1.try_begin_session(Now(1)));
        assert!(!picks(&be, 9).contains('1'), "{balance}");
        for name in ["s2", "s3"] {
            be.server(name).unwrap().set_maxconn(1);
            be.server(name).unwrap().try_begin_session(Now(1));
        }
        assert_eq!(picks(&be, 1), "f", "{balance}");
        s1.end_session();
        assert_eq!(picks(&be, 2), "11", "{balance}");
    }
}

#[test]
fn a_failed_server_is_avoided_when_there_is_another() {
    for balance in ["roundrobin", "static-rr", "leastconn", "first", "random", "source", "hash"] {
        let (_r, be) = farm(balance, &[1, 1]);
        let input = ChooseInput {
            client: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            key: Some(b"k"),
            exclude: Some(ServerId(1)),
            random: 7,
            ..ChooseInput::default()
        };
        for _ in 0..4 {
            assert_eq!(digit(be.choose(&input)), '2', "{balance}");
        }
        be.server("s2").unwrap().set_maint(Now(1));
        assert_eq!(digit(be.choose(&input)), '1', "{balance}");
    }
}

#[test]
fn leastconn_takes_the_least_loaded_for_its_weight() {
    let (_r, be) = farm("leastconn", &[1, 2, 3]);
    assert_eq!(picks(&be, 9), "123123123", "HAProxy");
    for expected in ['1', '2', '3', '3', '2', '3'] {
        let server = be.choose(&ChooseInput::default()).unwrap();
        server.try_begin_session(Now(1));
        assert_eq!(digit(Ok(server)), expected);
    }
    let loads: Vec<u32> = be.servers().iter().map(|s| s.sessions.get()).collect();
    assert_eq!(loads, [1, 2, 3]);
    be.server("s3").unwrap().set_external(
        &crate::counters::ExternalCounters { current: 30, ..Default::default() },
        Now(1),
    );
    assert!(!picks(&be, 6).contains('3'), "flows in the kernel count");
}

#[test]
fn first_fills_in_the_order_of_ids() {
    let (_r, be) = farm("first", &[1, 1]);
    be.server("s1").unwrap().set_maxconn(2);
    let mut seen = String::new();
    for _ in 0..4 {
        let server = be.choose(&ChooseInput::default()).unwrap();
        server.try_begin_session(Now(1));
        seen.push(digit(Ok(server)));
    }
    assert_eq!(seen, "1122");
}

#[test]
fn random_follows_weights_roughly() {
    let (_r, be) = farm("random", &[1, 3]);
    let mut counts = [0, 0];
    for random in 0..4000_u32 {
        let input =
            ChooseInput { random: random.wrapping_mul(0x9e37_79b9), ..ChooseInput::default() };
        counts[usize::from(digit(be.choose(&input)) == '2')] += 1;
    }
    assert!((800..1200).contains(&counts[0]), "{counts:?}");
}

#[test]
fn source_maps_clients_as_haproxy_does() {
    let map = HashSpec::default();
    let (_r, be) = farm_with("source", map, false, &[1, 1, 1]);
    assert_eq!(picks_by_source(&be), "312312312312312312312312");
    let (_r, be) = farm_with("source", map, false, &[1, 2, 3]);
    assert_eq!(picks_by_source(&be), "313232313232313232313232");
    let mixed = HashSpec { avalanche: true, ..map };
    let (_r, be) = farm_with("source", mixed, false, &[1, 2, 3]);
    assert_eq!(picks_by_source(&be), "331331323331321213233233");
    let ring = HashSpec { method: HashMethod::Consistent, avalanche: true, ..map };
    let (_r, be) = farm_with("source", ring, false, &[1, 1, 1]);
    assert_eq!(picks_by_source(&be), "213121311323331113111221");
}

#[test]
fn keys_map_as_haproxy_does_and_fall_back_to_turns() {
    let ring =
        HashSpec { method: HashMethod::Consistent, function: HashFunction::Wt6, avalanche: false };
    let (_r, be) = farm_with("url_param", ring, false, &[1, 2, 3]);
    let seen: String = (1..=24)
        .map(|n| {
            let key = format!("k{n}");
            digit(be.choose(&ChooseInput { key: Some(key.as_bytes()), ..ChooseInput::default() }))
        })
        .collect();
    assert_eq!(seen, "331333133131111131213111");
    assert_eq!(picks(&be, 6), "132323");
}

#[test]
fn a_consistent_ring_moves_only_the_keys_of_the_server_that_left() {
    let ring = HashSpec { method: HashMethod::Consistent, avalanche: true, ..HashSpec::default() };
    let (_r, be) = farm_with("hash", ring, false, &[1, 1, 1, 1]);
    let place = |n: u32| {
        let key = n.to_be_bytes();
        digit(be.choose(&ChooseInput { key: Some(&key), ..ChooseInput::default() }))
    };
    let before: Vec<char> = (0..1000).map(place).collect();
    be.server("s2").unwrap().set_maint(Now(1));
    for (n, was) in (0..1000).zip(&before) {
        let is = place(n);
        assert!(is != '2' && (*was == '2' || is == *was), "key {n} went from {was} to {is}");
    }
}

/// A farm whose servers have these `maxconn` and `maxqueue`, hashed by key.
fn bounded(method: HashMethod, affinity: Affinity, factor: u32) -> (Arc<Registry>, Arc<Backend>) {
    let servers = (1..=3)
        .map(|id| {
            let addr = SockAddr::Inet(SocketAddr::from(([127, 0, 0, 1], 8000)));
            let mut spec = ServerSpec::new(format!("s{id}"), ServerId(id), addr);
            (spec.maxconn, spec.maxqueue) = (2, 1);
            spec
        })
        .collect();
    let hash = HashSpec { method, avalanche: true, ..HashSpec::default() };
    let row = algorithm("uri").unwrap();
    let lb = LbSpec { algorithm: row, hash, affinity, balance_factor: factor, ..LbSpec::default() };
    let backend =
        BackendSpec { name: "be".into(), id: ProxyId(2), lb, servers, ..BackendSpec::default() };
    let registry =
        Registry::new(RegistrySpec { backends: vec![backend], ..RegistrySpec::default() }).unwrap();
    let backend = registry.backend("be").unwrap();
    (registry, backend)
}

#[test]
fn a_hash_gives_a_full_server_up_as_asked() {
    let input = ChooseInput { key: Some(b"/page"), ..ChooseInput::default() };
    for method in [HashMethod::MapBased, HashMethod::Consistent] {
        for affinity in [Affinity::Always, Affinity::MaxConn, Affinity::MaxQueue] {
            let (_r, be) = bounded(method, affinity, 0);
            let home = be.choose(&input).unwrap();
            home.take_slot();
            assert_eq!(be.choose(&input).unwrap().id, home.id, "{method:?} {affinity:?}");
            home.take_slot();
            let stays = be.choose(&input).unwrap().id == home.id;
            assert_eq!(stays, affinity != Affinity::MaxConn, "{method:?} {affinity:?}");
            home.queued.inc();
            let stays = be.choose(&input).unwrap().id == home.id;
            assert_eq!(stays, affinity == Affinity::Always, "{method:?} {affinity:?}");
            // When all are full it is the first choice again.
            for server in be.servers().iter().filter(|s| s.id != home.id) {
                server.take_slot();
                server.take_slot();
                server.queued.inc();
            }
            assert_eq!(be.choose(&input).unwrap().id, home.id, "{method:?} {affinity:?}");
        }
    }
}

#[test]
fn a_ring_bounds_the_load_of_a_server() {
    let input = ChooseInput { key: Some(b"/page"), ..ChooseInput::default() };
    let mut taken: Vec<u32> = Vec::new();
    let (_r, be) = bounded(HashMethod::Consistent, Affinity::Always, 150);
    for server in be.servers().iter() {
        server.set_maxconn(100);
    }
    for _ in 0..30 {
        let server = be.choose(&input).unwrap();
        server.take_slot();
        taken.push(server.id.0);
    }
    // Nobody has more than 1.5 times the average, though all requests have one key.
    for server in be.servers().iter() {
        assert!(server.sessions.get() <= 15, "{}: {}", server.name, server.sessions.get());
    }
    let home = taken.iter().filter(|id| **id == taken[0]).count();
    assert!(home > 10, "the home of the key has more than its average: {taken:?}");
}

#[test]
fn sticky_goes_on_with_the_server_it_has() {
    let (_r, be) = farm("sticky", &[1, 1, 1, -1]);
    let server = |name: &str| be.server(name).unwrap();
    assert_eq!(picks(&be, 3), "111");
    server("s1").set_maint(Now(1));
    assert_eq!(picks(&be, 3), "222");
    server("s2").set_maint(Now(1));
    server("s1").set_ready(Now(1));
    assert_eq!(picks(&be, 3), "333", "who comes back is the last");
    server("s1").set_maint(Now(1));
    server("s3").set_maint(Now(1));
    assert_eq!(picks(&be, 3), "444", "the backup");
    server("s3").set_ready(Now(1));
    server("s2").set_ready(Now(1));
    assert_eq!(picks(&be, 3), "333");
}
