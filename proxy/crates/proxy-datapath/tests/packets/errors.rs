//! ICMP errors about translated packets reach the side that sent them.

use std::net::{IpAddr, SocketAddr};

use proxy_common::{POLICY_ROUNDROBIN, Reason, SERVICE_FULLNAT};

use crate::{
    bed::{Bed, CLIENT_NEIGHBOUR, Hook, NAT_PORT, Outcome, SERVER_NEIGHBOUR},
    frame::{Mac, SYN, Tcp, icmp_error},
};

struct Net {
    vip: SocketAddr,
    client: SocketAddr,
    server: SocketAddr,
    source: SocketAddr,
    router: IpAddr,
}

fn net(v6: bool) -> Net {
    let [vip, client, server, source, router] = if v6 {
        [
            "[2001:db8:f::1]:80",
            "[2001:db8:c::9]:5555",
            "[fd00::9]:8080",
            "[fd00::1]:0",
            "[2001:db8::77]:0",
        ]
    } else {
        ["203.0.113.1:80", "198.51.100.9:5555", "10.0.0.9:8080", "10.0.0.1:0", "192.0.2.77:0"]
    }
    .map(|text| text.parse::<SocketAddr>().unwrap());
    let source = SocketAddr::new(source.ip(), NAT_PORT);
    Net { vip, client, server, source, router: router.ip() }
}

fn with_macs(mut frame: Vec<u8>, dst: Mac, src: Mac) -> Vec<u8> {
    frame[..6].copy_from_slice(&dst);
    frame[6..12].copy_from_slice(&src);
    frame
}

#[track_caller]
fn check(hook: Hook, v6: bool) {
    let Some(mut bed) = Bed::new() else { return };
    let Net { vip, client, server, source, router } = net(v6);
    bed.service(vip, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[server]);
    let syn = Tcp::new(client, vip, SYN);
    assert!(matches!(bed.run(hook, bed.client_if, &syn.bytes()), Outcome::Redirect(_)));

    let seen_by_client = Tcp::new(client, vip, SYN);
    let seen_by_server = Tcp::new(source, server, SYN);
    let to_client = Tcp::new(vip, client, SYN);
    let to_source = Tcp::new(server, source, SYN);
    let rows = [
        // A router between here and the server, then the server itself.
        (
            bed.server_if,
            icmp_error(router, source.ip(), 60, &seen_by_server),
            icmp_error(router, client.ip(), 59, &seen_by_client),
        ),
        (
            bed.server_if,
            icmp_error(server.ip(), source.ip(), 60, &seen_by_server),
            icmp_error(vip.ip(), client.ip(), 59, &seen_by_client),
        ),
        // A router between here and the client, then the client itself.
        (
            bed.client_if,
            icmp_error(router, vip.ip(), 60, &to_client),
            icmp_error(router, server.ip(), 59, &to_source),
        ),
        (
            bed.client_if,
            icmp_error(client.ip(), vip.ip(), 60, &to_client),
            icmp_error(source.ip(), server.ip(), 59, &to_source),
        ),
    ];
    for (number, (interface, error, expected)) in rows.iter().enumerate() {
        let to_client = *interface == bed.server_if;
        let expected = match (hook, to_client) {
            (Hook::Tc | Hook::Decap, _) => expected.clone(),
            (Hook::Xdp, true) => with_macs(expected.clone(), CLIENT_NEIGHBOUR, bed.client_mac),
            (Hook::Xdp, false) => with_macs(expected.clone(), SERVER_NEIGHBOUR, bed.server_mac),
        };
        let outcome = bed.run(hook, *interface, error);
        assert_eq!(outcome, Outcome::Redirect(expected), "row {number}");
    }
    assert_eq!(bed.counter(Reason::IcmpTranslated), 4);

    // About a flow that is not in the table, or no error at all.
    let other = Tcp::new(source, SocketAddr::new(server.ip(), 1), SYN);
    let stray = icmp_error(router, source.ip(), 60, &other);
    assert_eq!(bed.run(hook, bed.server_if, &stray), Outcome::Pass);
    let mut echo = icmp_error(router, source.ip(), 60, &seen_by_server);
    echo[if v6 { 54 } else { 34 }] = if v6 { 128 } else { 8 };
    assert_eq!(bed.run(hook, bed.server_if, &echo), Outcome::Pass);
}

#[test]
fn v4_tc() {
    check(Hook::Tc, false);
}

#[test]
fn v6_tc() {
    check(Hook::Tc, true);
}

#[test]
fn v4_xdp() {
    check(Hook::Xdp, false);
}

#[test]
fn v6_xdp() {
    check(Hook::Xdp, true);
}
