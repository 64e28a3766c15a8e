//! Flows of datagrams: translated both ways, made by the first one, in pieces, and given up.

use std::net::{IpAddr, SocketAddr};

use proxy_common::{
    EndReason, FlowEntry, FlowStatus, POLICY_HASH_FLOW, POLICY_ROUNDROBIN, REAL_DRAIN, REAL_UP,
    RealEntry, Reason, SERVICE_DIRECT, SERVICE_FULLNAT, SERVICE_LOG, SERVICE_TUNNEL, maps,
};

use crate::{
    bed::{Bed, CLIENT_NEIGHBOUR, Hook, NAT_PORT, Outcome, SERVER_NEIGHBOUR},
    frame::{SYN, Tcp, Udp, icmp_about},
};

struct Net {
    vip: SocketAddr,
    client: SocketAddr,
    server: SocketAddr,
    other: SocketAddr,
    near: SocketAddr,
    router: IpAddr,
}

fn net(v6: bool, fullnat: bool) -> Net {
    let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
    let [vip, client, server, other, source, router] = if v6 {
        [
            "[2001:db8:f::1]:53",
            "[2001:db8:c::9]:5555",
            "[fd00::9]:5353",
            "[fd00::10]:5353",
            "[fd00::1]:0",
            "[2001:db8::77]:0",
        ]
    } else {
        [
            "203.0.113.1:53",
            "198.51.100.9:5555",
            "10.0.0.9:5353",
            "10.0.0.10:5353",
            "10.0.0.1:0",
            "192.0.2.77:0",
        ]
    }
    .map(parse);
    let near = if fullnat { SocketAddr::new(source.ip(), NAT_PORT) } else { client };
    Net { vip, client, server, other, near, router: router.ip() }
}

fn bed(net: &Net, policy: u8, flags: u8, servers: &[SocketAddr], responses: u8) -> Option<Bed> {
    let mut bed = Bed::new()?;
    bed.datagrams(net.vip, policy, flags | SERVICE_LOG, servers, responses);
    Some(bed)
}

/// A frame as it leaves at a hook.
fn left(bed: &Bed, hook: Hook, to_server: bool, mut frame: Vec<u8>) -> Outcome {
    if hook == Hook::Xdp {
        let (dst, src) = if to_server {
            (SERVER_NEIGHBOUR, bed.server_mac)
        } else {
            (CLIENT_NEIGHBOUR, bed.client_mac)
        };
        frame[..6].copy_from_slice(&dst);
        frame[6..12].copy_from_slice(&src);
    }
    Outcome::Redirect(frame)
}

#[track_caller]
fn to_server(bed: &Bed, hook: Hook, net: &Net, server: SocketAddr, payload: &[u8]) {
    let sent = Udp::new(net.client, net.vip, payload);
    let expected = left(bed, hook, true, sent.forwarded(net.near, server).bytes());
    assert_eq!(bed.run(hook, bed.client_if, &sent.bytes()), expected);
}

#[track_caller]
fn to_client(bed: &Bed, hook: Hook, net: &Net, server: SocketAddr, payload: &[u8]) {
    let sent = Udp::new(server, net.near, payload);
    let expected = left(bed, hook, false, sent.forwarded(net.vip, net.client).bytes());
    assert_eq!(bed.run(hook, bed.server_if, &sent.bytes()), expected);
}

fn status(bed: &Bed) -> Option<FlowStatus> {
    let flows = bed.flows();
    let forward = flows.iter().find(|(_, flow)| flow.direction == FlowEntry::FORWARD);
    forward.map(|(_, flow)| flow.state().status())
}

/// Question and answer, again from the cache, of all sizes.
#[track_caller]
fn both_ways(v6: bool, fullnat: bool) {
    let net = net(v6, fullnat);
    let mode = if fullnat { SERVICE_FULLNAT } else { 0 };
    let Some(mut bed) = bed(&net, POLICY_ROUNDROBIN, mode, &[net.server], 0) else { return };
    let long = [0xa5; 1400];
    for hook in [Hook::Tc, Hook::Xdp] {
        to_server(&bed, hook, &net, net.server, b"question");
        assert_eq!(status(&bed), Some(FlowStatus::SynSent));
        // Sent again, before there is an answer.
        to_server(&bed, hook, &net, net.server, b"question");
        to_client(&bed, hook, &net, net.server, b"answer");
        assert_eq!(status(&bed), Some(FlowStatus::Established));
        for payload in [&b""[..], b"x", b"odd", &[0; 64], &[0xff; 63], &long, &long[1..]] {
            for _ in 0..2 {
                to_server(&bed, hook, &net, net.server, payload);
                to_client(&bed, hook, &net, net.server, payload);
            }
        }
        assert_eq!(bed.live(), (1, [1, 0]));
        assert_eq!(bed.flows().len(), 2);
        bed.clear();
        // A flow without an answer is none that failed.
        let traffic = bed.traffic();
        assert_eq!(traffic.flows_failed, 0);
    }
    let traffic = bed.traffic();
    assert_eq!((traffic.flows_new, traffic.flows_established), (2, 2));
    assert_eq!((traffic.packets_in, traffic.packets_out), (2 * (2 + 14), 2 * (1 + 14)));
    assert!(bed.counter(Reason::CacheHit) > 0);
    bed.agree();
}

#[test]
fn both_ways_fullnat_v4() {
    both_ways(false, true);
}

#[test]
fn both_ways_fullnat_v6() {
    both_ways(true, true);
}

#[test]
fn both_ways_nat_v4() {
    both_ways(false, false);
}

#[test]
fn both_ways_nat_v6() {
    both_ways(true, false);
}

enum Fate {
    Sent,
    Passed(Option<Reason>),
    Dropped(Reason),
}

/// Frames with something odd about them, in the middle of a flow.
#[test]
fn edges() {
    type Change = fn(&mut Vec<u8>, bool, usize);
    let rows: [(&str, Change, Fate); 14] = [
        (
            "no checksum",
            |f, v6, l4| {
                if !v6 {
                    f[l4 + 6..l4 + 8].fill(0)
                }
            },
            Fate::Sent,
        ),
        ("padding of the frame", |f, _, _| f.extend([0xee; 18]), Fate::Sent),
        (
            "a length beyond the packet",
            |f, _, l4| f[l4 + 5] += 1,
            Fate::Passed(Some(Reason::Malformed)),
        ),
        (
            "a length of seven",
            |f, _, l4| f[l4 + 4..l4 + 6].copy_from_slice(&[0, 7]),
            Fate::Passed(Some(Reason::Malformed)),
        ),
        (
            "a length of zero",
            |f, _, l4| f[l4 + 4..l4 + 6].fill(0),
            Fate::Passed(Some(Reason::Malformed)),
        ),
        ("half a header", |f, _, l4| f.truncate(l4 + 5), Fate::Passed(Some(Reason::Malformed))),
        (
            "an IP length beyond the frame",
            |f, _, _| f.truncate(f.len() - 1),
            Fate::Passed(Some(Reason::Malformed)),
        ),
        (
            "a TTL of one",
            |f, v6, _| if v6 { f[14 + 7] = 1 } else { f[14 + 8] = 1 },
            Fate::Dropped(Reason::TtlExpired),
        ),
        (
            "a TTL of zero",
            |f, v6, _| if v6 { f[14 + 7] = 0 } else { f[14 + 8] = 0 },
            Fate::Dropped(Reason::TtlExpired),
        ),
        ("UDP-Lite", |f, v6, _| f[if v6 { 14 + 6 } else { 14 + 9 }] = 136, Fate::Passed(None)),
        (
            "a VLAN tag",
            |f, _, _| {
                f.splice(12..12, [0x81, 0, 0, 7]);
            },
            Fate::Passed(None),
        ),
        (
            "TCP on the same ports",
            |f, v6, _| f[if v6 { 14 + 6 } else { 14 + 9 }] = 6,
            Fate::Passed(None),
        ),
        (
            "a routing header",
            |f, v6, _| if v6 { f[14 + 6] = 43 } else { f[14 + 9] = 47 },
            Fate::Passed(None),
        ),
        (
            "a later fragment of nothing known",
            |f, v6, _| {
                if v6 {
                    f[14 + 6] = 44;
                    f[54..62].copy_from_slice(&[17, 0, 0, 8, 9, 9, 9, 9]);
                } else {
                    f[14 + 7] = 1;
                    f[14 + 4..14 + 6].copy_from_slice(&[9, 9]);
                }
            },
            Fate::Passed(Some(Reason::NotSimple)),
        ),
    ];
    for v6 in [false, true] {
        let net = net(v6, true);
        let l4 = if v6 { 54 } else { 34 };
        let Some(bed) = bed(&net, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[net.server], 0) else {
            return;
        };
        for hook in [Hook::Tc, Hook::Xdp] {
            to_server(&bed, hook, &net, net.server, b"question");
            to_client(&bed, hook, &net, net.server, b"answer");
            for (name, change, fate) in &rows {
                let what = format!("{name} ({hook:?}, v6 {v6})");
                let sent = Udp::new(net.client, net.vip, b"payload of the row");
                let mut frame = sent.bytes();
                change(&mut frame, v6, l4);
                let counted = |reason: Option<Reason>| reason.map_or(0, |r| bed.counter(r));
                let reason = match fate {
                    Fate::Sent => None,
                    Fate::Passed(reason) => *reason,
                    Fate::Dropped(reason) => Some(*reason),
                };
                let before = counted(reason);
                let outcome = bed.run(hook, bed.client_if, &frame);
                match fate {
                    Fate::Sent => {
                        let mut expected = sent.forwarded(net.near, net.server).bytes();
                        change(&mut expected, v6, l4);
                        assert_eq!(outcome, left(&bed, hook, true, expected), "{what}");
                    }
                    Fate::Passed(_) => assert_eq!(outcome, Outcome::Pass, "{what}"),
                    Fate::Dropped(_) => assert_eq!(outcome, Outcome::Drop, "{what}"),
                }
                assert_eq!(counted(reason), before + u64::from(reason.is_some()), "{what}");
            }
        }
        bed.agree();
    }
}

/// A sum that comes to zero is written as ones, for zero says that there is none (RFC 768).
#[test]
fn a_checksum_of_zero_is_ones() {
    for v6 in [false, true] {
        let net = net(v6, true);
        let Some(bed) = bed(&net, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[net.server], 0) else {
            return;
        };
        let l4 = if v6 { 54 } else { 34 };
        // Two bytes of payload that bring the translated sum to zero.
        let plain = Udp::new(net.near, net.server, &[0, 0]).bytes();
        let payload = [plain[l4 + 6], plain[l4 + 7]];
        let translated = Udp::new(net.near, net.server, &payload).bytes();
        assert_eq!(translated[l4 + 6..l4 + 8], [0xff, 0xff]);
        for hook in [Hook::Tc, Hook::Xdp] {
            to_server(&bed, hook, &net, net.server, &payload);
        }
        bed.agree();
    }
}

/// The first fragment maps the rest, in both directions.
#[track_caller]
fn in_pieces(v6: bool, fullnat: bool) {
    let net = net(v6, fullnat);
    let mode = if fullnat { SERVICE_FULLNAT } else { 0 };
    let Some(mut bed) = bed(&net, POLICY_ROUNDROBIN, mode, &[net.server], 0) else { return };
    let payload: Vec<u8> = (0..3000_u32).map(|n| n as u8).collect();
    for hook in [Hook::Tc, Hook::Xdp] {
        // The first datagram makes the flow, in pieces or not; then known, then cached.
        for _ in 0..3 {
            let sent = Udp::new(net.client, net.vip, &payload);
            let expected = sent.forwarded(net.near, net.server).fragments(1024);
            for (piece, expected) in sent.fragments(1024).iter().zip(expected) {
                let outcome = bed.run(hook, bed.client_if, piece);
                assert_eq!(outcome, left(&bed, hook, true, expected), "{hook:?}");
            }
            let sent = Udp::new(net.server, net.near, &payload);
            let expected = sent.forwarded(net.vip, net.client).fragments(1024);
            for (piece, expected) in sent.fragments(1024).iter().zip(expected) {
                let outcome = bed.run(hook, bed.server_if, piece);
                assert_eq!(outcome, left(&bed, hook, false, expected), "{hook:?}");
            }
        }
        // Of an ended flow nothing is known.
        bed.clear();
        let pieces = Udp::new(net.client, net.vip, &payload).fragments(1024);
        let passed = bed.counter(Reason::NoFlow);
        assert_eq!(bed.run(hook, bed.client_if, &pieces[1]), Outcome::Pass);
        assert_eq!(bed.counter(Reason::NoFlow), passed + 1);
    }
    assert_eq!(bed.counter(Reason::Fragment), 2 * 3 * 2 * 2);
    bed.agree();
}

#[test]
fn in_pieces_fullnat_v4() {
    in_pieces(false, true);
}

#[test]
fn in_pieces_fullnat_v6() {
    in_pieces(true, true);
}

#[test]
fn in_pieces_nat_v4() {
    in_pieces(false, false);
}

#[test]
fn in_pieces_nat_v6() {
    in_pieces(true, false);
}

/// A first fragment that goes to userspace takes the rest along, also when its number was in use before.
#[test]
fn pieces_stay_together() {
    let net = net(false, true);
    let Some(mut bed) = bed(&net, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[net.server], 0) else {
        return;
    };
    let payload = [7; 2000];
    let pieces = Udp::new(net.client, net.vip, &payload).fragments(1024);
    for piece in &pieces {
        assert!(matches!(bed.run(Hook::Tc, bed.client_if, piece), Outcome::Redirect(_)));
    }
    bed.clear();
    let real: RealEntry = bed.get(maps::REALS, 0);
    bed.set(maps::REALS, 0, RealEntry { flags: 0, ..real });
    for piece in &pieces {
        assert_eq!(bed.run(Hook::Tc, bed.client_if, piece), Outcome::Pass);
    }
    bed.agree();
}

/// Errors about datagrams, kind and code, to the side that can act on them.
#[test]
fn errors_are_translated() {
    for v6 in [false, true] {
        let net = net(v6, true);
        let Some(bed) = bed(&net, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[net.server], 0) else {
            return;
        };
        let kinds: &[(u8, u8)] = if v6 {
            &[(1, 0), (2, 0), (3, 0), (4, 1)]
        } else {
            &[(3, 1), (3, 4), (11, 0), (12, 0)]
        };
        for hook in [Hook::Tc, Hook::Xdp] {
            to_server(&bed, hook, &net, net.server, b"question");
            to_client(&bed, hook, &net, net.server, b"answer");
            for what in kinds {
                let sides = [
                    (
                        bed.server_if,
                        Udp::new(net.near, net.server, b"q"),
                        Udp::new(net.client, net.vip, b"q"),
                    ),
                    (
                        bed.client_if,
                        Udp::new(net.vip, net.client, b"a"),
                        Udp::new(net.server, net.near, b"a"),
                    ),
                ];
                for (interface, seen, sent) in sides {
                    let error = icmp_about(net.router, seen.src.ip(), 60, *what, &seen.bytes(), 8);
                    let mut expected =
                        icmp_about(net.router, sent.src.ip(), 59, *what, &sent.bytes(), 8);
                    // The quoted checksum is left as it was quoted.
                    let quoted = if v6 { 54 + 8 + 40 + 6 } else { 34 + 8 + 20 + 6 };
                    expected[quoted..quoted + 2].copy_from_slice(&error[quoted..quoted + 2]);
                    crate::frame::fix_icmp(&mut expected, net.router, sent.src.ip());
                    let expected = left(&bed, hook, interface == bed.client_if, expected);
                    assert_eq!(
                        bed.run(hook, interface, &error),
                        expected,
                        "{what:?} {hook:?} {v6}"
                    );
                }
            }
        }
        bed.agree();
    }
}

/// When nobody listens at a server, the client's next datagram goes to another one.
#[test]
fn nobody_there_means_elsewhere() {
    for v6 in [false, true] {
        let net = net(v6, true);
        let both = [net.server, net.other];
        let Some(mut bed) = bed(&net, POLICY_HASH_FLOW, SERVICE_FULLNAT, &both, 0) else { return };
        let first = Udp::new(net.client, net.vip, b"question").bytes();
        let Outcome::Redirect(sent) = bed.run(Hook::Tc, bed.client_if, &first) else { panic!() };
        let went_to = |sent: &[u8]| {
            let at = if v6 { 53 } else { 33 };
            both.into_iter().find(|server| match server.ip() {
                IpAddr::V4(ip) => ip.octets()[3] == sent[at],
                IpAddr::V6(ip) => ip.octets()[15] == sent[at],
            })
        };
        let server = went_to(&sent).unwrap();
        let nobody = if v6 { (1, 4) } else { (3, 3) };
        let seen = Udp::new(net.near, server, b"question").bytes();
        let error = icmp_about(server.ip(), net.near.ip(), 60, nobody, &seen, 8);
        assert!(matches!(bed.run(Hook::Tc, bed.server_if, &error), Outcome::Redirect(_)));
        let Outcome::Redirect(sent) = bed.run(Hook::Tc, bed.client_if, &first) else { panic!() };
        assert_ne!(went_to(&sent), Some(server));
        assert_eq!(
            bed.event().and_then(|e| EndReason::from_byte(e.reason)),
            Some(EndReason::ServerReset)
        );
        bed.agree();
    }
}

/// A flow stays with a server that lives or drains, also out of the cache, and leaves one that is down.
#[test]
fn flows_leave_servers_that_are_down() {
    let net = net(false, true);
    let both = [net.server, net.other];
    let Some(mut bed) = bed(&net, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &both, 0) else { return };
    for hook in [Hook::Tc, Hook::Xdp] {
        let real: RealEntry = bed.get(maps::REALS, 0);
        bed.set(maps::REALS, 0, RealEntry { flags: REAL_UP, ..real });
        let service: proxy_common::Live = bed.get(maps::SERVICE_LIVE, 0);
        let start = if service.cursor.is_multiple_of(2) { net.server } else { net.other };
        // Turns decide where it begins.
        to_server(&bed, hook, &net, start, b"1");
        to_client(&bed, hook, &net, start, b"2");
        to_server(&bed, hook, &net, start, b"3");
        let index = u32::from(start == net.other);
        let real: RealEntry = bed.get(maps::REALS, index);
        bed.set(maps::REALS, index, RealEntry { flags: REAL_UP | REAL_DRAIN, ..real });
        to_server(&bed, hook, &net, start, b"4");
        bed.set(maps::REALS, index, RealEntry { flags: 0, ..real });
        let end = if start == net.server { net.other } else { net.server };
        to_server(&bed, hook, &net, end, b"5");
        to_client(&bed, hook, &net, end, b"6");
        bed.set(maps::REALS, index, RealEntry { flags: REAL_UP, ..real });
        to_server(&bed, hook, &net, end, b"7");
        assert_eq!(
            bed.event().and_then(|e| EndReason::from_byte(e.reason)),
            Some(EndReason::Replaced)
        );
        bed.clear();
        while bed.event().is_some() {}
    }
    bed.agree();
}

/// After so many answers the flow is over: its next datagram is balanced anew, and late answers still pass.
#[test]
fn answers_end_a_flow() {
    let net = net(false, true);
    let both = [net.server, net.other];
    let Some(mut bed) = bed(&net, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &both, 2) else { return };
    to_server(&bed, Hook::Tc, &net, net.server, b"question");
    to_client(&bed, Hook::Tc, &net, net.server, b"first");
    assert_eq!(bed.live(), (1, [1, 0]));
    to_client(&bed, Hook::Tc, &net, net.server, b"second");
    assert_eq!(bed.live(), (0, [0, 0]));
    assert_eq!(bed.event().and_then(|e| EndReason::from_byte(e.reason)), Some(EndReason::Answered));
    to_client(&bed, Hook::Tc, &net, net.server, b"late");
    to_server(&bed, Hook::Tc, &net, net.other, b"question");
    assert_eq!(bed.live(), (1, [0, 1]));
    assert_eq!(bed.counter(Reason::Reopened), 1);
    bed.agree();
}

/// TCP and UDP on one port do not meet, and a server without a port is sent to that of the client.
#[test]
fn ports_of_two_protocols() {
    let mut net = net(false, false);
    net.server.set_port(0);
    let Some(mut bed) = bed(&net, POLICY_ROUNDROBIN, 0, &[net.server], 0) else { return };
    net.server.set_port(53);
    let tcp = Tcp::new(net.client, net.vip, SYN).bytes();
    assert_eq!(bed.run(Hook::Tc, bed.client_if, &tcp), Outcome::Pass);
    to_server(&bed, Hook::Tc, &net, net.server, b"question");
    to_client(&bed, Hook::Tc, &net, net.server, b"answer");
    bed.clear();
    bed.agree();
}

/// Without a server, and at the limit, datagrams are left to userspace.
#[test]
fn what_userspace_gets() {
    let net = net(false, true);
    let Some(mut bed) = bed(&net, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[net.server], 0) else {
        return;
    };
    let service: proxy_common::ServiceEntry = bed.get(maps::SERVICES, 0);
    bed.set(maps::SERVICES, 0, proxy_common::ServiceEntry { max_connections: 1, ..service });
    to_server(&bed, Hook::Tc, &net, net.server, b"question");
    let second = Udp::new(SocketAddr::new(net.client.ip(), 6666), net.vip, b"x").bytes();
    assert_eq!(bed.run(Hook::Tc, bed.client_if, &second), Outcome::Pass);
    assert_eq!(bed.counter(Reason::Full), 1);
    to_server(&bed, Hook::Tc, &net, net.server, b"question");
    bed.set(maps::SERVICES, 0, proxy_common::ServiceEntry { ring_len: 0, ..service });
    assert_eq!(bed.run(Hook::Tc, bed.client_if, &second), Outcome::Pass);
    assert_eq!(bed.counter(Reason::NoServer), 1);
    bed.agree();
}

/// A server that answers by itself gets datagrams, and their pieces, as they came.
#[test]
fn one_way() {
    for (v6, flags) in
        [false, true].into_iter().flat_map(|v6| [(v6, SERVICE_DIRECT), (v6, SERVICE_TUNNEL)])
    {
        let mut net = net(v6, true);
        net.server.set_port(53);
        let Some(bed) = bed(&net, POLICY_ROUNDROBIN, flags, &[net.server], 0) else { return };
        let outer = match (flags, v6) {
            (SERVICE_TUNNEL, true) => 40,
            (SERVICE_TUNNEL, false) => 20,
            _ => 0,
        };
        let payload = [3; 1500];
        for hook in [Hook::Tc, Hook::Xdp] {
            let sent = Udp::new(net.client, net.vip, &payload);
            let expected = sent.forwarded(net.client, net.vip);
            let whole = Udp { payload: vec![1; 9], ..sent.clone() };
            let pieces = [vec![whole.bytes()], sent.fragments(1024)].concat();
            let wanted = [
                vec![Udp { payload: vec![1; 9], ..expected.clone() }.bytes()],
                expected.fragments(1024),
            ]
            .concat();
            for (piece, wanted) in pieces.iter().zip(wanted) {
                let Outcome::Redirect(out) = bed.run(hook, bed.client_if, piece) else {
                    panic!("{hook:?} {v6} {flags}")
                };
                assert_eq!(out[14 + outer..], wanted[14..], "{hook:?} {v6} {flags}");
            }
        }
        assert_eq!(bed.flows().len(), 1);
        bed.agree();
    }
}
