//! How connections leave the table: resets, floods, reuse of a key, the user side's wish.

use std::{collections::BTreeSet, net::SocketAddr};

use proxy_common::{
    Config, EndReason, ExpireRequest, FlowEntry, FlowKey, POLICY_HASH_SOURCE, POLICY_LEASTCONN,
    POLICY_ROUNDROBIN, RealEntry, Reason, SERVICE_FULLNAT, SERVICE_LOG, SWEEP_ANY_TIME,
    ServiceEntry, maps,
};

use crate::{
    bed::{Bed, Hook, Outcome},
    frame::{ACK, RST, SYN, Tcp},
};

const SERVERS: [&str; 2] = ["10.0.0.9:8080", "10.0.0.10:8080"];

fn vip() -> SocketAddr {
    "203.0.113.1:80".parse().unwrap()
}

fn client(port: u16) -> SocketAddr {
    SocketAddr::new("198.51.100.9".parse().unwrap(), port)
}

fn bed(policy: u8) -> Option<Bed> {
    let mut bed = Bed::new()?;
    let servers = SERVERS.map(|server| server.parse().unwrap());
    bed.service(vip(), policy, SERVICE_FULLNAT | SERVICE_LOG, &servers);
    bed.configure(|config| config.nat_port_last += 999);
    Some(bed)
}

/// Sends a segment of the client and returns where it went, by the third byte from the end of the server's
/// address in the frame.
fn send(bed: &Bed, port: u16, flags: u8) -> Option<u8> {
    let frame = Tcp::new(client(port), vip(), flags).bytes();
    match bed.run(Hook::Tc, bed.client_if, &frame) {
        Outcome::Redirect(frame) => Some(frame[33]),
        _ => None,
    }
}

/// Answers of the server to whatever connection the client's port has.
fn answer(bed: &Bed, port: u16, flags: u8) {
    let (_, forward) = forward(bed, port);
    let socket = |addr: proxy_common::Addr, port: proxy_common::Port| {
        SocketAddr::new(addr.into(), port.get())
    };
    let frame = Tcp::new(
        socket(forward.new_dst, forward.new_dport),
        socket(forward.new_src, forward.new_sport),
        flags,
    );
    let outcome = bed.run(Hook::Tc, bed.server_if, &frame.bytes());
    assert!(matches!(outcome, Outcome::Redirect(_)), "{outcome:?}");
}

fn forward(bed: &Bed, port: u16) -> (FlowKey, FlowEntry) {
    let flows = bed.flows();
    *flows
        .iter()
        .find(|(key, flow)| flow.direction == FlowEntry::FORWARD && key.sport.get() == port)
        .unwrap()
}

fn establish(bed: &Bed, port: u16) {
    assert!(send(bed, port, SYN).is_some());
    answer(bed, port, SYN | ACK);
    assert!(send(bed, port, ACK).is_some());
}

fn reason(bed: &mut Bed) -> Option<EndReason> {
    bed.event().and_then(|event| EndReason::from_byte(event.reason))
}

#[test]
fn half_open_flows_give_way_to_new_ones() {
    let Some(mut bed) = bed(POLICY_ROUNDROBIN) else { return };
    pin_to_one_cpu();
    establish(&bed, 1);
    // Four places per CPU: the fifth SYN from here displaces the first half-open one.
    for port in 2..=7 {
        assert!(send(&bed, port, SYN).is_some());
    }
    assert_eq!(bed.counter(Reason::EmbryonicEvicted), 2);
    assert_eq!(bed.flows().len(), 2 * 5);
    assert_eq!(bed.live().0, 5);
    assert_eq!(reason(&mut bed), Some(EndReason::Embryonic));
    // The established one was first in the ring and is still there.
    forward(&bed, 1);
    let traffic = bed.traffic();
    assert_eq!((traffic.flows_new, traffic.flows_ended, traffic.flows_failed), (7, 2, 2));
}

#[test]
fn closed_flows_give_way_to_newly_closed_ones() {
    let Some(mut bed) = bed(POLICY_ROUNDROBIN) else { return };
    pin_to_one_cpu();
    for port in 1..=6 {
        establish(&bed, port);
        send(&bed, port, RST);
        assert_eq!(reason(&mut bed), Some(EndReason::ClientReset));
    }
    assert_eq!(bed.counter(Reason::ClosingRecycled), 2);
    assert_eq!((bed.flows().len(), bed.live()), (2 * 4, (0, [0, 0])));
}

#[test]
fn a_refused_connection_has_failed() {
    let Some(mut bed) = bed(POLICY_ROUNDROBIN) else { return };
    send(&bed, 1, SYN);
    answer(&bed, 1, RST | ACK);
    assert_eq!(reason(&mut bed), Some(EndReason::ServerReset));
    assert_eq!((bed.traffic().flows_failed, bed.live().0), (1, 0));
}

/// The client is not told of two refusals: its SYN, sent again, goes to the other server. The third it hears.
#[test]
fn a_refused_connection_is_tried_elsewhere() {
    for policy in [POLICY_ROUNDROBIN, POLICY_HASH_SOURCE, POLICY_LEASTCONN] {
        let Some(mut bed) = bed(policy) else { return };
        let service: ServiceEntry = bed.get(maps::SERVICES, 0);
        bed.set(maps::SERVICES, 0, ServiceEntry { retries: 2, ..service });
        let mut servers = Vec::new();
        for told in [false, false, true] {
            servers.push(send(&bed, 1, SYN).unwrap());
            let (_, flow) = forward(&bed, 1);
            let near = SocketAddr::new(flow.new_src.into(), flow.new_sport.get());
            let server = SocketAddr::new(flow.new_dst.into(), flow.new_dport.get());
            let frame = Tcp::new(server, near, RST | ACK).bytes();
            let outcome = bed.run(Hook::Tc, bed.server_if, &frame);
            assert_eq!(matches!(outcome, Outcome::Redirect(_)), told, "{outcome:?}");
            assert_eq!(matches!(outcome, Outcome::Drop), !told, "{outcome:?}");
            assert_eq!((bed.live().0, reason(&mut bed)), (0, Some(EndReason::ServerReset)));
        }
        // A draw may give the same server again.
        let turns = servers[0] != servers[1] && servers[1] != servers[2];
        assert!(turns || policy == POLICY_LEASTCONN, "{servers:?}");
        assert_eq!(bed.counter(Reason::Refused), 2);
        // Another connection of that client is not held to account.
        assert!(send(&bed, 1, SYN).is_some());
        answer(&bed, 1, SYN | ACK);
        answer(&bed, 1, RST);
        assert_eq!(bed.counter(Reason::Refused), 2);
    }
}

#[test]
fn a_syn_reopens_a_closed_flow_only() {
    let Some(bed) = bed(POLICY_ROUNDROBIN) else { return };
    establish(&bed, 1);
    let first = forward(&bed, 1).1;
    assert_eq!(send(&bed, 1, SYN), Some(9));
    assert_eq!(forward(&bed, 1).1.new_dst, first.new_dst);
    assert_eq!(bed.counter(Reason::Reopened), 0);
    answer(&bed, 1, RST);
    assert_eq!(send(&bed, 1, SYN), Some(10));
    assert_eq!(bed.counter(Reason::Reopened), 1);
    assert_eq!((bed.flows().len(), bed.live()), (2, (1, [0, 1])));
}

#[test]
fn a_syn_again_moves_on_when_its_server_went_down() {
    let Some(mut bed) = bed(POLICY_ROUNDROBIN) else { return };
    assert_eq!(send(&bed, 1, SYN), Some(9));
    assert_eq!(send(&bed, 1, SYN), Some(9));
    let real: RealEntry = bed.get(maps::REALS, 0);
    bed.set(maps::REALS, 0, RealEntry { flags: 0, ..real });
    assert_eq!(send(&bed, 1, SYN), Some(10));
    assert_eq!((bed.flows().len(), bed.live()), (2, (1, [0, 1])));
    assert_eq!(reason(&mut bed), Some(EndReason::Replaced));
}

#[test]
fn established_flows_stay_when_the_ring_changes() {
    let Some(mut bed) = bed(POLICY_ROUNDROBIN) else { return };
    establish(&bed, 1);
    let real: RealEntry = bed.get(maps::REALS, 0);
    bed.set(maps::REALS, 0, RealEntry { flags: 0, ..real });
    assert_eq!(send(&bed, 1, ACK), Some(9));
    assert_eq!(send(&bed, 2, SYN), Some(10));
    assert_eq!(send(&bed, 3, SYN), Some(10));
}

#[test]
fn expiry_ends_the_flow_that_was_meant() {
    let Some(mut bed) = bed(POLICY_ROUNDROBIN) else { return };
    establish(&bed, 1);
    establish(&bed, 2);
    let (key, entry) = forward(&bed, 1);
    let request = ExpireRequest {
        key,
        created_ns: entry.created_ns,
        seen_until_ns: SWEEP_ANY_TIME,
        reason: EndReason::Idle as u32,
        reserved: 0,
    };
    // Another connection on the same key; one seen since; the right one, twice.
    assert_eq!(bed.expire(&[ExpireRequest { created_ns: 1, ..request }]), 0);
    assert_eq!(bed.expire(&[ExpireRequest { seen_until_ns: entry.created_ns - 1, ..request }]), 0);
    assert_eq!(bed.expire(&[request, request]), 1);
    assert_eq!(reason(&mut bed), Some(EndReason::Idle));
    assert_eq!((bed.flows().len(), bed.live().0), (2, 1));
    assert_eq!(send(&bed, 1, ACK), None);
}

#[test]
fn the_cache_takes_over_and_gives_back() {
    let Some(mut bed) = bed(POLICY_ROUNDROBIN) else { return };
    pin_to_one_cpu();
    establish(&bed, 1);
    assert_eq!((bed.counter(Reason::CacheMiss), bed.counter(Reason::CacheHit)), (1, 0));
    for _ in 0..3 {
        assert_eq!(send(&bed, 1, ACK), Some(9));
    }
    assert_eq!((bed.counter(Reason::CacheMiss), bed.counter(Reason::CacheHit)), (1, 3));
    // Counters know at once, the exact table when the way is given back.
    assert_eq!(bed.traffic().packets_in, 5);
    assert_eq!(forward(&bed, 1).1.packets, 2);
    bed.configure(|config| config.set_times(0, Config::DEFAULT_ROUTE_NS, 1));
    while forward(&bed, 1).1.packets == 2 {
        // Until the time in ticks is another one.
        assert_eq!(send(&bed, 1, ACK), Some(9));
    }
    bed.configure(|_| {});
    let all = bed.traffic().packets_in;
    assert_eq!(forward(&bed, 1).1.packets, all);
    assert_eq!(bed.counter(Reason::CacheMiss), 2);
    // A reset writes what both directions have counted.
    answer(&bed, 1, ACK);
    answer(&bed, 1, ACK);
    assert_eq!(send(&bed, 1, RST), Some(9));
    let event = bed.event().unwrap();
    assert_eq!((event.packets_in, event.packets_out), (all + 1, 3));
}

#[test]
fn round_robin_takes_turns() {
    let Some(bed) = bed(POLICY_ROUNDROBIN) else { return };
    let turns: Vec<_> = (1..=4).map(|port| send(&bed, port, SYN).unwrap()).collect();
    assert_eq!(turns, [9, 10, 9, 10]);
}

#[test]
fn a_source_keeps_its_server() {
    let Some(bed) = bed(POLICY_HASH_SOURCE) else { return };
    let servers: BTreeSet<_> = (1..=20).map(|port| send(&bed, port, SYN).unwrap()).collect();
    assert_eq!(servers.len(), 1);
}

#[test]
fn least_connections_even_out() {
    let Some(bed) = bed(POLICY_LEASTCONN) else { return };
    for port in 1..=40 {
        establish(&bed, port);
    }
    let (all, [first, second]) = bed.live();
    assert_eq!((all, first + second), (40, 40));
    assert!(first.abs_diff(second) <= 8, "{first} {second}");
}

/// Rings are per CPU; the order in them is only known on one.
fn pin_to_one_cpu() {
    let mut set = nix::sched::CpuSet::new();
    set.set(0).unwrap();
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).unwrap();
}
