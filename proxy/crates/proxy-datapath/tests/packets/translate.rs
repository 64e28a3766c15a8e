//! The way of a connection through both hooks, in both modes and families.

use std::net::SocketAddr;

use proxy_common::{
    EndReason, FlowStatus, POLICY_ROUNDROBIN, Reason, SERVICE_FULLNAT, SERVICE_LOG, maps,
};

use crate::{
    bed::{Bed, CLIENT_NEIGHBOUR, Hook, NAT_PORT, Outcome, SERVER_NEIGHBOUR},
    frame::{ACK, FIN, PSH, SYN, Tcp},
};

struct Case {
    hook: Hook,
    fullnat: bool,
    vip: &'static str,
    client: &'static str,
    server: &'static str,
    /// Source the server sees in full NAT.
    source: &'static str,
}

const V4: Case = Case {
    hook: Hook::Tc,
    fullnat: true,
    vip: "203.0.113.1:80",
    client: "198.51.100.9:5555",
    server: "10.0.0.9:8080",
    source: "10.0.0.1",
};
const V6: Case = Case {
    vip: "[2001:db8:f::1]:80",
    client: "[2001:db8:c::9]:5555",
    server: "[fd00::9]:8080",
    source: "fd00::1",
    ..V4
};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// Opens, uses and closes a connection; the client's side and the server's by turns.
#[track_caller]
fn check(case: Case) {
    let Some(mut bed) = Bed::new() else { return };
    let (vip, client, server) = (address(case.vip), address(case.client), address(case.server));
    let near =
        if case.fullnat { SocketAddr::new(case.source.parse().unwrap(), NAT_PORT) } else { client };
    let mode = if case.fullnat { SERVICE_FULLNAT } else { 0 };
    bed.service(vip, POLICY_ROUNDROBIN, mode | SERVICE_LOG, &[server]);

    let from_client = |flags| Tcp::new(client, vip, flags);
    let from_server = |flags| Tcp::new(server, near, flags);
    let steps: [(bool, Tcp, FlowStatus); 9] = [
        (true, from_client(SYN), FlowStatus::SynSent),
        (true, from_client(SYN), FlowStatus::SynSent),
        (false, from_server(SYN | ACK), FlowStatus::SynReceived),
        (true, from_client(ACK), FlowStatus::Established),
        (true, from_client(PSH | ACK).payload(b"GET /\r\n"), FlowStatus::Established),
        (false, from_server(PSH | ACK).payload(b"hello, world"), FlowStatus::Established),
        (false, from_server(FIN | ACK).ttl(9), FlowStatus::HalfClosed),
        (true, from_client(FIN | ACK), FlowStatus::Closed),
        (false, from_server(ACK), FlowStatus::Closed),
    ];
    for (number, (to_server, segment, status)) in steps.iter().enumerate() {
        let (interface, expected) = if *to_server {
            (bed.client_if, segment.forwarded(near, server))
        } else {
            (bed.server_if, segment.forwarded(vip, client))
        };
        let expected = match (case.hook, to_server) {
            (Hook::Tc | Hook::Decap, _) => expected,
            (Hook::Xdp, true) => expected.macs(SERVER_NEIGHBOUR, bed.server_mac),
            (Hook::Xdp, false) => expected.macs(CLIENT_NEIGHBOUR, bed.client_mac),
        };
        let outcome = bed.run(case.hook, interface, &segment.bytes());
        assert_eq!(outcome, Outcome::Redirect(expected.bytes()), "step {number}");
        let live = u32::from(*status != FlowStatus::Closed);
        assert_eq!(bed.live(), (live, [live, 0]), "step {number}");
        let flows = bed.flows();
        assert_eq!(flows.len(), 2, "step {number}");
        let forward = flows.iter().find(|(_, flow)| flow.direction == 0).unwrap();
        assert_eq!(forward.1.state().status(), *status, "step {number}");
    }

    let traffic = bed.traffic();
    assert_eq!((traffic.flows_new, traffic.flows_established), (1, 1));
    assert_eq!((traffic.flows_ended, traffic.flows_failed), (1, 0));
    assert_eq!((traffic.packets_in, traffic.bytes_in), (5, 7));
    assert_eq!((traffic.packets_out, traffic.bytes_out), (4, 12));
    let event = bed.event().unwrap();
    assert_eq!(EndReason::from_byte(event.reason), Some(EndReason::ServerFin));
    assert_eq!((event.packets_in, event.bytes_in), (5, 7));
    assert_eq!((event.packets_out, event.bytes_out), (3, 12));
    assert!(event.ended_ns >= event.created_ns);
    assert!(bed.event().is_none());
}

#[test]
fn fullnat_v4_tc() {
    check(V4);
}

#[test]
fn fullnat_v6_tc() {
    check(V6);
}

#[test]
fn fullnat_v4_xdp() {
    check(Case { hook: Hook::Xdp, ..V4 });
}

#[test]
fn fullnat_v6_xdp() {
    check(Case { hook: Hook::Xdp, ..V6 });
}

#[test]
fn nat_v4_tc() {
    check(Case { fullnat: false, ..V4 });
}

#[test]
fn nat_v6_tc() {
    check(Case { fullnat: false, ..V6 });
}

#[test]
fn nat_v4_xdp() {
    check(Case { hook: Hook::Xdp, fullnat: false, ..V4 });
}

#[test]
fn nat_v6_xdp() {
    check(Case { hook: Hook::Xdp, fullnat: false, ..V6 });
}

/// XDP leaves what it cannot send to tc, without a trace and without losing the round robin's turn.
#[test]
fn xdp_defers_to_tc() {
    let Some(mut bed) = Bed::new() else { return };
    let (vip, client) = (address(V4.vip), address(V4.client));
    // No neighbour entry for .77.
    let servers = [address("10.0.0.77:8080"), address("10.0.0.9:8080")];
    bed.service(vip, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &servers);
    let syn = Tcp::new(client, vip, SYN);
    assert_eq!(bed.run(Hook::Xdp, bed.client_if, &syn.bytes()), Outcome::Pass);
    assert_eq!((bed.flows().len(), bed.live()), (0, (0, [0, 0])));
    assert_eq!(bed.counter(Reason::Deferred), 1);
    let expected = syn.forwarded(SocketAddr::new(V4.source.parse().unwrap(), NAT_PORT), servers[0]);
    assert_eq!(bed.run(Hook::Tc, bed.client_if, &syn.bytes()), Outcome::Redirect(expected.bytes()));
    // Packets of a flow that is known are left in the same way.
    assert_eq!(bed.run(Hook::Xdp, bed.client_if, &syn.bytes()), Outcome::Pass);
    // So is what would leave by an interface that XDP may not send to.
    let second = Tcp::new(address("198.51.100.10:5555"), vip, SYN);
    bed.set(maps::INTERFACES, bed.server_if, 0_u32);
    assert_eq!(bed.run(Hook::Xdp, bed.client_if, &second.bytes()), Outcome::Pass);
    assert_eq!(bed.counter(Reason::Deferred), 3);
}

/// A packet too big for the way out is tc's, also when its flow is in the cache: XDP's redirect would lose it.
#[test]
fn xdp_leaves_big_packets_to_tc() {
    static BIG: [u8; 1480] = [7; 1480];
    let Some(mut bed) = Bed::new() else { return };
    let (vip, client, server) = (address(V4.vip), address(V4.client), address(V4.server));
    let source = SocketAddr::new(V4.source.parse().unwrap(), NAT_PORT);
    bed.service(vip, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[server]);
    let from_client = |flags| Tcp::new(client, vip, flags);
    let run = |interface, segment: &Tcp| bed.run(Hook::Xdp, interface, &segment.bytes());
    assert!(matches!(run(bed.client_if, &from_client(SYN)), Outcome::Redirect(_)));
    let answer = Tcp::new(server, source, SYN | ACK);
    assert!(matches!(run(bed.server_if, &answer), Outcome::Redirect(_)));
    for _ in 0..2 {
        assert!(matches!(run(bed.client_if, &from_client(ACK)), Outcome::Redirect(_)));
        assert_eq!(run(bed.client_if, &from_client(ACK).payload(&BIG)), Outcome::Pass);
    }
    assert_eq!(bed.counter(Reason::Deferred), 2);
}
