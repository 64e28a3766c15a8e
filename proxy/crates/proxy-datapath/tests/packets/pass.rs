//! What is none of ours, or cannot be served, goes on as it came.

use std::net::SocketAddr;

use proxy_common::{
    POLICY_ROUNDROBIN, REAL_DRAIN, REAL_UP, RealEntry, Reason, SERVICE_FULLNAT, SERVICE_UP,
    ServiceEntry, maps,
};

use crate::{
    bed::{Bed, Hook, Outcome},
    frame::{ACK, RST, SYN, Tcp},
};

const VIP: &str = "203.0.113.1:80";
const CLIENT: &str = "198.51.100.9:5555";
const SERVER: &str = "10.0.0.9:8080";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn syn() -> Tcp {
    Tcp::new(address(CLIENT), address(VIP), SYN)
}

#[track_caller]
fn check(bed: &Bed, frame: &[u8]) {
    for hook in [Hook::Xdp, Hook::Tc] {
        assert_eq!(bed.run(hook, bed.client_if, frame), Outcome::Pass, "{hook:?}");
    }
    assert_eq!((bed.flows().len(), bed.live()), (0, (0, [0, 0])));
}

/// A frame with some bytes changed.
fn with(mut frame: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, byte) in changes {
        frame[*at] = *byte;
    }
    frame
}

#[test]
fn frames_of_others_pass() {
    let Some(mut bed) = Bed::new() else { return };
    bed.service(address(VIP), POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[address(SERVER)]);
    let client = address(CLIENT);
    let to = |text| Tcp::new(client, address(text), SYN).bytes();
    // Another port, another address, a port of full NAT without a flow, the other family.
    check(&bed, &to("203.0.113.1:81"));
    check(&bed, &to("203.0.113.2:80"));
    check(&bed, &to("10.0.0.1:40000"));
    check(&bed, &Tcp::new(address("[2001:db8:c::9]:1"), address("[fd00::1]:80"), SYN).bytes());
    // Not a SYN, or not only.
    for flags in [ACK, RST, SYN | ACK, 0] {
        check(&bed, &Tcp::new(client, address(VIP), flags).bytes());
    }
    assert_eq!(bed.counter(Reason::NoFlow), 8);
    let syn = syn().bytes();
    // UDP without a length, ARP, a VLAN tag.
    check(&bed, &with(syn.clone(), &[(23, 17)]));
    check(&bed, &with(syn.clone(), &[(12, 8), (13, 6)]));
    check(&bed, &with(syn.clone(), &[(12, 0x81), (13, 0)]));
    // First fragment, later fragment, options.
    check(&bed, &with(syn.clone(), &[(20, 0x20)]));
    check(&bed, &with(syn.clone(), &[(21, 1)]));
    check(&bed, &with(syn.clone(), &[(14, 0x46)]));
    assert_eq!(bed.counter(Reason::NotSimple), 6);
    // A length beyond the frame, a TCP header too short, one beyond the packet, a cut frame.
    check(&bed, &with(syn.clone(), &[(17, 200)]));
    check(&bed, &with(syn.clone(), &[(46, 0x40)]));
    check(&bed, &with(syn.clone(), &[(46, 0xf0)]));
    check(&bed, &syn[..50]);
    check(&bed, &syn[..34]);
    assert_eq!(bed.counter(Reason::Malformed), 12);
}

#[test]
fn syns_that_cannot_be_served_pass() {
    let Some(mut bed) = Bed::new() else { return };
    let server = address(SERVER);
    bed.service(address(VIP), POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[server]);
    let service: ServiceEntry = bed.get(maps::SERVICES, 0);
    let real: RealEntry = bed.get(maps::REALS, 0);
    let syn = syn().bytes();

    let real_with = |bed: &mut Bed, flags| bed.set(maps::REALS, 0, RealEntry { flags, ..real });
    for flags in [0, REAL_UP | REAL_DRAIN] {
        real_with(&mut bed, flags);
        check(&bed, &syn);
    }
    real_with(&mut bed, REAL_UP);
    bed.set(maps::SERVICES, 0, ServiceEntry { ring_len: 0, ..service });
    check(&bed, &syn);
    bed.set(maps::SERVICES, 0, ServiceEntry { flags: service.flags & !SERVICE_UP, ..service });
    check(&bed, &syn);
    bed.set(maps::SERVICES, 0, service);
    assert_eq!(bed.counter(Reason::NoServer), 8);
    assert_eq!(bed.traffic().passed_no_server, 8);

    check(&bed, &self::syn().ttl(1).bytes());
    assert_eq!(bed.counter(Reason::TtlExpired), 2);

    bed.configure(|config| config.nat_port_last = config.nat_port_first - 1);
    check(&bed, &syn);
    assert_eq!(bed.counter(Reason::NoPort), 2);
    bed.configure(|config| config.abi += 1);
    check(&bed, &syn);
}

#[test]
fn limits_leave_the_rest_to_userspace() {
    let Some(mut bed) = Bed::new() else { return };
    bed.service(address(VIP), POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[address(SERVER)]);
    bed.configure(|config| config.nat_port_last += 9);
    let service: ServiceEntry = bed.get(maps::SERVICES, 0);
    let real: RealEntry = bed.get(maps::REALS, 0);
    let open = |bed: &Bed, port| {
        let client = SocketAddr::new(address(CLIENT).ip(), port);
        let frame = Tcp::new(client, address(VIP), SYN).bytes();
        bed.run(Hook::Tc, bed.client_if, &frame) != Outcome::Pass
    };
    bed.set(maps::SERVICES, 0, ServiceEntry { max_connections: 2, ..service });
    assert_eq!([open(&bed, 1), open(&bed, 2), open(&bed, 3)], [true, true, false]);
    bed.set(maps::SERVICES, 0, service);
    bed.set(maps::REALS, 0, RealEntry { max_connections: 3, ..real });
    assert_eq!([open(&bed, 3), open(&bed, 4)], [true, false]);
    assert_eq!((bed.live(), bed.counter(Reason::Full)), ((3, [3, 0]), 2));
    assert_eq!(bed.traffic().passed_full, 2);
}
