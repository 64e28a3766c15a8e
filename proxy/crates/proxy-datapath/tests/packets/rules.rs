//! Rules about clients' addresses, asked before a connection is begun.

use std::net::SocketAddr;

use proxy_common::{
    POLICY_ROUNDROBIN, Reason, SERVICE_FULLNAT, SERVICE_SOURCES, SOURCE_ACCEPT, SOURCE_DROP,
    SOURCE_USERSPACE, SourceRuling,
};

use crate::{
    bed::{Bed, Hook, NAT_PORT, Outcome},
    frame::{ACK, SYN, Tcp},
};

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Sent,
    Dropped,
    Passed,
}

const ACCEPT: SourceRuling = SourceRuling { verdict: SOURCE_ACCEPT, rule: 0 };
const DROP: SourceRuling = SourceRuling { verdict: SOURCE_DROP, rule: 1 };
const USERSPACE: SourceRuling = SourceRuling { verdict: SOURCE_USERSPACE, rule: 2 };
/// A verdict of programs to come.
const UNKNOWN: SourceRuling = SourceRuling { verdict: 77, rule: 3 };

struct Family {
    vip: &'static str,
    server: &'static str,
    source: &'static str,
    rules: [(&'static str, SourceRuling); 5],
}

const V4: Family = Family {
    vip: "203.0.113.1:80",
    server: "10.0.0.9:8080",
    source: "10.0.0.1",
    rules: [
        ("0.0.0.0/0", DROP),
        ("198.51.100.0/24", ACCEPT),
        ("198.51.100.128/25", USERSPACE),
        ("198.51.100.200/32", DROP),
        ("198.51.100.201/32", UNKNOWN),
    ],
};
const V6: Family = Family {
    vip: "[2001:db8:f::1]:80",
    server: "[fd00::9]:8080",
    source: "fd00::1",
    rules: [
        ("::/0", DROP),
        ("2001:db8:c::/48", ACCEPT),
        ("2001:db8:c:8000::/49", USERSPACE),
        ("2001:db8:c:8000::200/128", DROP),
        ("2001:db8:c:8000::201/128", UNKNOWN),
    ],
};

/// A SYN of this client, on both hooks; then the counters of the rule that is to decide.
#[track_caller]
fn check(family: &Family, client: &str, fate: Fate, rule: Option<u32>) {
    let Some(mut bed) = Bed::new() else { return };
    let (vip, server) = (address(family.vip), address(family.server));
    bed.service(vip, POLICY_ROUNDROBIN, SERVICE_FULLNAT | SERVICE_SOURCES, &[server]);
    for (net, ruling) in family.rules {
        bed.source(0, net, ruling);
        // Rules of another service do not matter.
        bed.source(1, net, SourceRuling { verdict: SOURCE_DROP, rule: 9 });
    }
    let near = SocketAddr::new(family.source.parse().unwrap(), NAT_PORT);
    let syn = Tcp::new(address(client), vip, SYN);
    for (hook, times) in [(Hook::Xdp, 1), (Hook::Tc, 2)] {
        let outcome = bed.run(hook, bed.client_if, &syn.bytes());
        match (fate, hook) {
            (Fate::Sent, Hook::Tc | Hook::Decap) => {
                let sent = syn.forwarded(near, server).bytes();
                assert_eq!(outcome, Outcome::Redirect(sent));
            }
            (Fate::Sent, Hook::Xdp) => assert!(matches!(outcome, Outcome::Redirect(_))),
            (Fate::Dropped, _) => assert_eq!(outcome, Outcome::Drop),
            (Fate::Passed, _) => assert_eq!(outcome, Outcome::Pass),
        }
        let counted = |wanted| if fate == wanted { times } else { 0 };
        assert_eq!(bed.counter(Reason::Denied), counted(Fate::Dropped));
        assert_eq!(bed.traffic().denied, counted(Fate::Dropped));
        assert_eq!(bed.counter(Reason::Ruled), counted(Fate::Passed));
        // A SYN sent again belongs to its flow: nobody is asked again.
        let asked = if fate == Fate::Sent { 1 } else { times };
        for (number, counter) in (0..8).map(|number| (number, bed.rule(0, number))) {
            assert_eq!(counter, if rule == Some(number) { asked } else { 0 }, "rule {number}");
        }
    }
    assert_eq!(bed.flows().len(), if fate == Fate::Sent { 2 } else { 0 });
    assert_eq!(bed.rule(1, 9), 0);
}

#[test]
fn the_longest_network_decides_v4() {
    check(&V4, "198.51.100.9:5555", Fate::Sent, Some(0));
    check(&V4, "198.51.99.9:5555", Fate::Dropped, Some(1));
    check(&V4, "198.51.100.129:5555", Fate::Passed, Some(2));
    check(&V4, "198.51.100.200:5555", Fate::Dropped, Some(1));
    check(&V4, "198.51.100.201:5555", Fate::Passed, Some(3));
}

#[test]
fn the_longest_network_decides_v6() {
    check(&V6, "[2001:db8:c::9]:5555", Fate::Sent, Some(0));
    check(&V6, "[2001:db8:d::9]:5555", Fate::Dropped, Some(1));
    check(&V6, "[2001:db8:c:8000::9]:5555", Fate::Passed, Some(2));
    check(&V6, "[2001:db8:c:8000::200]:5555", Fate::Dropped, Some(1));
    check(&V6, "[2001:db8:c:8000::201]:5555", Fate::Passed, Some(3));
}

/// Without an entry an address is let in; established connections are never asked again.
#[test]
fn only_new_connections_are_asked() {
    let Some(mut bed) = Bed::new() else { return };
    let (vip, server) = (address(V4.vip), address(V4.server));
    let client = address("198.51.100.9:5555");
    bed.service(vip, POLICY_ROUNDROBIN, SERVICE_FULLNAT | SERVICE_SOURCES, &[server]);
    let near = SocketAddr::new(V4.source.parse().unwrap(), NAT_PORT);
    let run = |bed: &Bed, interface, segment: &Tcp| bed.run(Hook::Tc, interface, &segment.bytes());
    let sent = |segment: &Tcp, from, to| Outcome::Redirect(segment.forwarded(from, to).bytes());
    let syn = Tcp::new(client, vip, SYN);
    assert_eq!(run(&bed, bed.client_if, &syn), sent(&syn, near, server));
    bed.source(0, "0.0.0.0/0", DROP);
    let answer = Tcp::new(server, near, SYN | ACK);
    assert_eq!(run(&bed, bed.server_if, &answer), sent(&answer, vip, client));
    let ack = Tcp::new(client, vip, ACK).payload(b"data");
    for _ in 0..3 {
        assert_eq!(run(&bed, bed.client_if, &ack), sent(&ack, near, server));
    }
    let other = Tcp::new(address("198.51.100.9:5556"), vip, SYN);
    assert_eq!(run(&bed, bed.client_if, &other), Outcome::Drop);
    // A segment that is not a SYN is nobody's.
    let stray = Tcp::new(address("198.51.100.9:5556"), vip, ACK);
    assert_eq!(run(&bed, bed.client_if, &stray), Outcome::Pass);
    assert_eq!((bed.counter(Reason::Denied), bed.rule(0, 1)), (1, 1));
}
