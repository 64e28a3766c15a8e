//! Connections that another balancer has begun, behind the same route of equal cost.

use std::net::SocketAddr;

use proxy_common::{
    FlowStatus, POLICY_HASH_SOURCE, Reason, SERVICE_DIRECT, SERVICE_SOURCES, SERVICE_TUNNEL,
    SOURCE_DROP, ServiceEntry, SourceRuling, maps,
};

use crate::{
    answers::{Family, V4, V6, address},
    bed::{Bed, Hook, Outcome},
    frame::{ACK, FIN, RST, SYN, Tcp},
};

fn bed(family: &Family, flags: u8, pick_up: u8) -> Option<Bed> {
    let mut bed = Bed::new()?;
    let vip = address(family.vip);
    let first = address(family.server).ip();
    let second = match first {
        std::net::IpAddr::V4(_) => "10.0.0.10".parse().unwrap(),
        std::net::IpAddr::V6(_) => "fd00::10".parse().unwrap(),
    };
    let servers = [first, second].map(|ip| SocketAddr::new(ip, vip.port()));
    bed.service(vip, POLICY_HASH_SOURCE, flags, &servers);
    let mut service: ServiceEntry = bed.get(maps::SERVICES, 0);
    service.pick_up = pick_up;
    bed.set(maps::SERVICES, 0, service);
    Some(bed)
}

/// The server that a SYN of the same client would be sent to; established at once.
#[test]
fn a_segment_finds_the_server_that_a_syn_would() {
    for family in [&V4, &V6] {
        for flags in [0, SERVICE_DIRECT, SERVICE_TUNNEL] {
            let Some(mut bed) = bed(family, flags, 1) else { return };
            // Rules are about new connections.
            let ruling = SourceRuling { verdict: SOURCE_DROP, rule: 1 };
            bed.source(1, "0.0.0.0/0", ruling);
            let (client, vip) = (address(family.client), address(family.vip));
            let data = Tcp::new(client, vip, ACK).payload(b"in the middle");
            let outcome = bed.run(Hook::Tc, bed.client_if, &data.bytes());
            assert!(matches!(outcome, Outcome::Redirect(_)), "{outcome:?}");
            let flows = bed.flows();
            let (_, found) = flows.iter().find(|(key, _)| key.dport == vip.port().into()).unwrap();
            assert_eq!(found.state().status(), FlowStatus::Established);
            assert_eq!(bed.counter(Reason::PickedUp), 1);
            assert_eq!((bed.traffic().flows_established, bed.live().0), (1, 1));
            let server = found.server;
            bed.clear();
            let other = SocketAddr::new(client.ip(), client.port() + 1);
            let syn = Tcp::new(other, vip, SYN);
            assert!(matches!(bed.run(Hook::Tc, bed.client_if, &syn.bytes()), Outcome::Redirect(_)));
            let flows = bed.flows();
            let (_, begun) = flows.iter().find(|(key, _)| key.dport == vip.port().into()).unwrap();
            assert_eq!(begun.server, server);
            bed.agree();
        }
    }
}

/// A reset, and what answers a SYN, begin nothing; nor does anything where it was not asked for, or no server lives.
#[test]
fn nothing_else_is_picked_up() {
    for (pick_up, flags) in
        [(1, RST), (1, RST | ACK), (1, SYN | ACK), (1, FIN), (0, ACK), (0, ACK | FIN)]
    {
        let Some(bed) = bed(&V4, SERVICE_DIRECT | SERVICE_SOURCES, pick_up) else { return };
        let stray = Tcp::new(address(V4.client), address(V4.vip), flags);
        for hook in [Hook::Xdp, Hook::Tc] {
            assert_eq!(bed.run(hook, bed.client_if, &stray.bytes()), Outcome::Pass);
        }
        assert_eq!((bed.counter(Reason::PickedUp), bed.counter(Reason::NoFlow)), (0, 2));
        bed.agree();
    }
    let Some(mut bed) = bed(&V4, SERVICE_DIRECT, 1) else { return };
    let mut service: ServiceEntry = bed.get(maps::SERVICES, 0);
    (service.ring_len, service.no_server) = (0, proxy_common::ANSWER_RESET);
    bed.set(maps::SERVICES, 0, service);
    let data = Tcp::new(address(V4.client), address(V4.vip), ACK);
    assert_eq!(bed.run(Hook::Tc, bed.client_if, &data.bytes()), Outcome::Pass);
    assert_eq!(bed.live().0, 0);
}
