//! Packets at the edges of what is translated, in the middle of a connection: every header field that is none of
//! the balancer's business survives, and what it cannot take goes on as it came or is dropped, counted.
//!
//! Each row runs in both directions, families, modes and hooks, and each on the host's core, too.

use std::net::{IpAddr, SocketAddr};

use proxy_common::{POLICY_ROUNDROBIN, Reason, SERVICE_FULLNAT};

use crate::{
    bed::{Bed, CLIENT_NEIGHBOUR, Hook, NAT_PORT, Outcome, SERVER_NEIGHBOUR},
    frame::{ACK, FIN, Mac, PSH, RST, SYN, Tcp, checksum, icmp, l4_checksum},
};

/// A change of a frame: of its IP header, its transport header, or as a whole.
type Change = fn(&mut Vec<u8>, Place);

/// Where things are in a frame.
#[derive(Clone, Copy)]
struct Place {
    v6: bool,
    l4: usize,
}

const IP: usize = 14;

enum Fate {
    /// Sent on with the same change, and right checksums before and after.
    Sent,
    /// Sent on; the checksum is as wrong as it was.
    SentWrong,
    Passed(Option<Reason>),
    Dropped(Reason),
}

struct Row {
    name: &'static str,
    flags: u8,
    ttl: u8,
    payload: &'static [u8],
    options: &'static [u8],
    change: Change,
    fate: Fate,
}

const ROW: Row = Row {
    name: "",
    flags: ACK,
    ttl: 64,
    payload: b"payload",
    options: &[],
    change: |_, _| {},
    fate: Fate::Sent,
};

const LONG: [u8; 1440] = [0xa5; 1440];
const LONG_ODD: [u8; 1399] = [0x5a; 1399];
const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1];
const FULL: [u8; 40] = [1; 40];
/// SACK of two blocks, then the end and what stands behind it.
const SACK: [u8; 24] = [1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 7, 7];

fn rows() -> Vec<Row> {
    let fragment = |high: u8, low: u8| -> Change {
        match (high, low) {
            (0x20, 0) => |f, p| {
                if !p.v6 {
                    f[IP + 6..IP + 8].copy_from_slice(&[0x20, 0])
                }
            },
            (0, 1) => |f, p| {
                if !p.v6 {
                    f[IP + 6..IP + 8].copy_from_slice(&[0, 1])
                }
            },
            _ => |f, p| {
                if !p.v6 {
                    f[IP + 6..IP + 8].copy_from_slice(&[0x3f, 0xff])
                }
            },
        }
    };
    let sent = |name, change: Change| Row { name, change, ..ROW };
    let other = |name, change: Change, fate| Row { name, change, fate, ..ROW };
    vec![
        ROW,
        Row { name: "nothing but an ACK", payload: b"", ..ROW },
        Row { name: "one byte", payload: b"x", ..ROW },
        Row { name: "a full segment", payload: &LONG, ..ROW },
        Row { name: "an odd length", payload: &LONG_ODD, ..ROW },
        Row { name: "zeros", payload: &[0; 64], ..ROW },
        Row { name: "ones", payload: &[0xff; 64], ..ROW },
        Row { name: "pushed", flags: ACK | PSH, ..ROW },
        Row { name: "congestion seen", flags: ACK | 0x40, ..ROW },
        Row { name: "window reduced", flags: ACK | 0x80, ..ROW },
        Row { name: "no flag at all", flags: 0, ..ROW },
        Row { name: "timestamps", options: &TIMESTAMPS, ..ROW },
        Row { name: "the longest options", options: &FULL, ..ROW },
        Row { name: "selective acknowledgement", options: &SACK, ..ROW },
        Row { name: "the lowest TTL", ttl: 2, ..ROW },
        Row { name: "the highest TTL", ttl: 255, ..ROW },
        sent("urgent data", |f, p| {
            f[p.l4 + 13] |= 0x20;
            f[p.l4 + 18..p.l4 + 20].copy_from_slice(&[0xff, 0xff]);
        }),
        sent("the end of sequence numbers", |f, p| f[p.l4 + 4..p.l4 + 12].fill(0xff)),
        sent("the start of sequence numbers", |f, p| f[p.l4 + 4..p.l4 + 12].fill(0)),
        sent("a closed window", |f, p| f[p.l4 + 14..p.l4 + 16].fill(0)),
        sent("an open window", |f, p| f[p.l4 + 14..p.l4 + 16].fill(0xff)),
        sent("accurate ECN", |f, p| f[p.l4 + 12] |= 1),
        sent("a class of traffic", |f, p| if p.v6 { f[IP] = 0x6b } else { f[IP + 1] = 0xb8 }),
        sent("congestion experienced", |f, p| if p.v6 { f[IP + 1] |= 0x30 } else { f[IP + 1] = 3 }),
        sent("a label or an identification of ones", |f, p| {
            if p.v6 { f[IP + 1..IP + 4].fill(0xff) } else { f[IP + 4..IP + 6].fill(0xff) }
        }),
        sent("an identification of zeros", |f, p| {
            if !p.v6 {
                f[IP + 4..IP + 6].fill(0)
            }
        }),
        sent("may be fragmented", |f, p| {
            if !p.v6 {
                f[IP + 6..IP + 8].fill(0)
            }
        }),
        sent("the reserved bit", |f, p| {
            if !p.v6 {
                f[IP + 6] = 0xc0
            }
        }),
        sent("padding of the frame", |f, _| f.extend([0xee; 18])),
        sent("a multicast MAC", |f, _| f[0] = 3),
        other("a wrong checksum", |f, p| f[p.l4 + 16] ^= 0x55, Fate::SentWrong),
        other("no checksum", |f, p| f[p.l4 + 16..p.l4 + 18].fill(0), Fate::SentWrong),
        other("a checksum of ones", |f, p| f[p.l4 + 16..p.l4 + 18].fill(0xff), Fate::SentWrong),
        Row { name: "a TTL of one", ttl: 1, fate: Fate::Dropped(Reason::TtlExpired), ..ROW },
        Row { name: "a TTL of zero", ttl: 0, fate: Fate::Dropped(Reason::TtlExpired), ..ROW },
        other("a first fragment", fragment(0x20, 0), Fate::Passed(Some(Reason::NotSimple))),
        other("a later fragment", fragment(0, 1), Fate::Passed(Some(Reason::NotSimple))),
        other(
            "a fragment in the middle",
            fragment(0x3f, 0xff),
            Fate::Passed(Some(Reason::NotSimple)),
        ),
        other(
            "IP options",
            |f, p| {
                if !p.v6 {
                    f[IP] = 0x46;
                    f[IP + 3] += 4;
                    f.splice(IP + 20..IP + 20, [1, 1, 1, 0]);
                }
            },
            Fate::Passed(Some(Reason::NotSimple)),
        ),
        other(
            "a header too short",
            |f, p| f[p.l4 + 12] = 0x40,
            Fate::Passed(Some(Reason::Malformed)),
        ),
        other(
            "a header beyond the end",
            |f, p| f[p.l4 + 12] = 0xf0,
            Fate::Passed(Some(Reason::Malformed)),
        ),
        other(
            "a length beyond the end",
            |f, p| f[if p.v6 { IP + 5 } else { IP + 3 }] += 1,
            Fate::Passed(Some(Reason::Malformed)),
        ),
        other(
            "a length that cuts the header",
            |f, p| f[if p.v6 { IP + 5 } else { IP + 3 }] = if p.v6 { 19 } else { 39 },
            Fate::Passed(Some(Reason::Malformed)),
        ),
        other("half a header", |f, p| f.truncate(p.l4 + 10), Fate::Passed(Some(Reason::Malformed))),
        other(
            "UDP on the same ports",
            |f, p| f[if p.v6 { IP + 6 } else { IP + 9 }] = 17,
            // Where the length stands, there is a sequence number.
            Fate::Passed(Some(Reason::Malformed)),
        ),
        other(
            "SCTP on the same ports",
            |f, p| f[if p.v6 { IP + 6 } else { IP + 9 }] = 132,
            Fate::Passed(None),
        ),
        other(
            "an extension header",
            |f, p| if p.v6 { f[IP + 6] = 0 } else { f[IP + 9] = 51 },
            Fate::Passed(None),
        ),
        other(
            "a fragment header",
            |f, p| if p.v6 { f[IP + 6] = 44 } else { f[IP + 9] = 50 },
            Fate::Passed(None),
        ),
        other(
            "a routing header",
            |f, p| if p.v6 { f[IP + 6] = 43 } else { f[IP + 9] = 47 },
            Fate::Passed(None),
        ),
        other(
            "a VLAN tag",
            |f, _| {
                f.splice(12..12, [0x81, 0, 0, 7]);
            },
            Fate::Passed(None),
        ),
        other(
            "a provider's VLAN tag",
            |f, _| {
                f.splice(12..12, [0x88, 0xa8, 0, 7]);
            },
            Fate::Passed(None),
        ),
        other(
            "an MPLS label",
            |f, _| {
                f.splice(12..14, [0x88, 0x47, 0, 0, 0x11, 64]);
            },
            Fate::Passed(None),
        ),
        other(
            "another EtherType",
            |f, _| f[12..14].copy_from_slice(&[0x88, 0xb5]),
            Fate::Passed(None),
        ),
        other(
            "an IP header alone",
            |f, p| f.truncate(if p.v6 { 54 } else { 34 }),
            Fate::Passed(None),
        ),
        Row { name: "a SYN on the connection", flags: SYN, ..ROW },
        Row { name: "SYN and ACK", flags: SYN | ACK, ..ROW },
        Row { name: "everything lit", flags: 0x3f & !(RST | FIN), ..ROW },
    ]
}

struct Net {
    vip: SocketAddr,
    client: SocketAddr,
    server: SocketAddr,
    near: SocketAddr,
    router: IpAddr,
}

fn net(v6: bool, fullnat: bool) -> Net {
    let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
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
    .map(parse);
    let near = if fullnat { SocketAddr::new(source.ip(), NAT_PORT) } else { client };
    Net { vip, client, server, near, router: router.ip() }
}

fn bed(v6: bool, fullnat: bool) -> Option<(Bed, Net)> {
    let mut bed = Bed::new()?;
    let net = net(v6, fullnat);
    let mode = if fullnat { SERVICE_FULLNAT } else { 0 };
    bed.service(net.vip, POLICY_ROUNDROBIN, mode, &[net.server]);
    Some((bed, net))
}

fn establish(bed: &Bed, hook: Hook, net: &Net) {
    let redirected = |outcome| assert!(matches!(outcome, Outcome::Redirect(_)), "{outcome:?}");
    let run = |interface, segment: Tcp| redirected(bed.run(hook, interface, &segment.bytes()));
    run(bed.client_if, Tcp::new(net.client, net.vip, SYN));
    run(bed.server_if, Tcp::new(net.server, net.near, SYN | ACK));
    run(bed.client_if, Tcp::new(net.client, net.vip, ACK));
}

/// Makes the checksums right again after a change.
fn fix(frame: &mut [u8], place: Place) {
    let ip = &mut frame[IP..];
    if !place.v6 {
        ip[10..12].fill(0);
        let check = checksum(&ip[..20]);
        ip[10..12].copy_from_slice(&check);
    }
    let (src, dst, end): (IpAddr, IpAddr, usize) = if place.v6 {
        let at = |from: usize| <[u8; 16]>::try_from(&ip[from..from + 16]).unwrap();
        (at(8).into(), at(24).into(), 40 + usize::from(u16::from_be_bytes([ip[4], ip[5]])))
    } else {
        let at = |from: usize| <[u8; 4]>::try_from(&ip[from..from + 4]).unwrap();
        (at(12).into(), at(16).into(), u16::from_be_bytes([ip[2], ip[3]]).into())
    };
    let start = place.l4 - IP;
    let segment = &mut ip[start..end];
    segment[16..18].fill(0);
    let check = l4_checksum(src, dst, 6, segment);
    segment[16..18].copy_from_slice(&check);
}

/// One's complement difference of two checksum fields, carried over to a third.
fn carry(before: [u8; 2], wrong: [u8; 2], after: [u8; 2]) -> u16 {
    let number = |bytes| u32::from(u16::from_be_bytes(bytes));
    ((number(after) + 65535 - number(before) + number(wrong)) % 65535) as u16
}

fn with_macs(mut frame: Vec<u8>, (dst, src): (Mac, Mac)) -> Vec<u8> {
    frame[..6].copy_from_slice(&dst);
    frame[6..12].copy_from_slice(&src);
    frame
}

/// Where a frame in this direction leaves to, for XDP.
fn macs(bed: &Bed, to_server: bool) -> (Mac, Mac) {
    if to_server { (SERVER_NEIGHBOUR, bed.server_mac) } else { (CLIENT_NEIGHBOUR, bed.client_mac) }
}

#[track_caller]
fn check(bed: &Bed, net: &Net, hook: Hook, row: &Row, to_server: bool) {
    let v6 = net.vip.is_ipv6();
    let place = Place { v6, l4: if v6 { 54 } else { 34 } };
    let what = format!("{} ({hook:?}, v6 {v6}, to the server {to_server})", row.name);
    let (interface, src, dst, new_src, new_dst) = if to_server {
        (bed.client_if, net.client, net.vip, net.near, net.server)
    } else {
        (bed.server_if, net.server, net.near, net.vip, net.client)
    };
    let plain =
        Tcp::new(src, dst, row.flags).ttl(row.ttl).payload(row.payload).options(row.options);
    let mut frame = plain.bytes();
    let right = [frame[place.l4 + 16], frame[place.l4 + 17]];
    (row.change)(&mut frame, place);
    if matches!(row.fate, Fate::Sent) {
        fix(&mut frame, place);
    }
    let counted = |reason: Option<Reason>| reason.map_or(0, |reason| bed.counter(reason));
    let before = match row.fate {
        Fate::Passed(reason) => counted(reason),
        Fate::Dropped(reason) => counted(Some(reason)),
        _ => 0,
    };
    let outcome = bed.run(hook, interface, &frame);
    let flows = bed.flows().len();
    match &row.fate {
        Fate::Passed(reason) => {
            // What only IPv4 has is an ordinary segment in IPv6.
            let applies = frame != plain.bytes();
            if applies {
                assert_eq!(outcome, Outcome::Pass, "{what}");
                assert_eq!(counted(*reason), before + u64::from(reason.is_some()), "{what}");
            } else {
                assert!(matches!(outcome, Outcome::Redirect(_)), "{what}: {outcome:?}");
            }
        }
        Fate::Dropped(reason) => {
            assert_eq!(outcome, Outcome::Drop, "{what}");
            assert_eq!(counted(Some(*reason)), before + 1, "{what}");
        }
        sent => {
            let forwarded = plain.forwarded(new_src, new_dst);
            let mut expected = forwarded.bytes();
            let after = [expected[place.l4 + 16], expected[place.l4 + 17]];
            (row.change)(&mut expected, place);
            if matches!(sent, Fate::Sent) {
                fix(&mut expected, place);
            } else {
                let wrong = [frame[place.l4 + 16], frame[place.l4 + 17]];
                let carried = carry(right, wrong, after);
                let Outcome::Redirect(out) = &outcome else { panic!("{what}: {outcome:?}") };
                let got = u16::from_be_bytes([out[place.l4 + 16], out[place.l4 + 17]]);
                // Zero and its complement are the same number.
                assert_eq!(got % 65535, carried, "{what}");
                expected[place.l4 + 16..place.l4 + 18].copy_from_slice(&got.to_be_bytes());
            }
            if hook == Hook::Xdp {
                expected = with_macs(expected, macs(bed, to_server));
            }
            assert_eq!(outcome, Outcome::Redirect(expected), "{what}");
        }
    }
    assert_eq!(flows, 2, "{what}");
    assert_eq!(bed.live(), (1, [1, 0]), "{what}");
}

#[track_caller]
fn all(v6: bool, fullnat: bool) {
    let Some((mut bed, net)) = bed(v6, fullnat) else { return };
    for hook in [Hook::Tc, Hook::Xdp] {
        establish(&bed, hook, &net);
        for row in rows() {
            for to_server in [true, false] {
                check(&bed, &net, hook, &row, to_server);
            }
        }
        bed.clear();
    }
    bed.agree();
}

#[test]
fn fullnat_v4() {
    all(false, true);
}

#[test]
fn fullnat_v6() {
    all(true, true);
}

#[test]
fn nat_v4() {
    all(false, false);
}

#[test]
fn nat_v6() {
    all(true, false);
}

/// ICMP errors of every kind, about packets to the server: kind, code, bytes quoted beyond the IP header, change of
/// the whole frame, and whether it is translated.
#[track_caller]
fn errors(v6: bool) {
    type Quote = (u8, u8, usize, fn(&mut Vec<u8>), bool);
    let mut rows: Vec<Quote> = Vec::new();
    let same: fn(&mut Vec<u8>) = |_| {};
    if v6 {
        rows.extend(
            [(1, 0), (1, 1), (1, 3), (1, 4), (2, 0), (3, 0), (3, 1), (4, 1), (4, 2)]
                .map(|(kind, code)| (kind, code, 8, same, true)),
        );
        rows.extend(
            [128, 129, 133, 134, 135, 136, 137, 143, 0, 5].map(|kind| (kind, 0, 8, same, false)),
        );
        rows.push((2, 0, 20, same, true));
        rows.push((2, 0, 60, same, true));
        rows.push((2, 0, 3, same, false));
        rows.push((2, 0, 8, |f| f[54 + 8 + 6] = 17, false));
        rows.push((2, 0, 8, |f| f[54 + 8 + 6] = 44, false));
        rows.push((2, 0, 8, |f| f.truncate(54 + 8 + 20), false));
        rows.push((2, 0, 8, |f| f.truncate(58), false));
    } else {
        for code in 0..=15 {
            rows.push((3, code, 8, same, true));
        }
        rows.extend(
            [(11, 0), (11, 1), (12, 0), (12, 1), (12, 2)]
                .map(|(kind, code)| (kind, code, 8, same, true)),
        );
        rows.extend([0, 4, 5, 8, 9, 10, 13, 14, 30].map(|kind| (kind, 0, 8, same, false)));
        rows.push((3, 4, 20, same, true));
        rows.push((3, 4, 60, same, true));
        rows.push((3, 4, 3, same, false));
        rows.push((3, 4, 8, |f| f[34 + 8] = 0x46, false));
        rows.push((3, 4, 8, |f| f[34 + 8 + 9] = 17, false));
        rows.push((3, 4, 8, |f| f[IP] = 0x46, false));
        rows.push((3, 4, 8, |f| f[IP + 6] = 0x20, false));
        rows.push((3, 4, 8, |f| f[IP + 7] = 1, false));
        rows.push((3, 4, 8, |f| f.truncate(34 + 8 + 12), false));
        rows.push((3, 4, 8, |f| f.truncate(38), false));
    }
    let Some((mut bed, net)) = bed(v6, true) else { return };
    for hook in [Hook::Tc, Hook::Xdp] {
        establish(&bed, hook, &net);
        // What the balancer sent to either side, and what its origin had sent.
        let body: &'static [u8] = &LONG[..100];
        let sides = [
            (
                bed.server_if,
                Tcp::new(net.near, net.server, ACK).payload(body),
                Tcp::new(net.client, net.vip, ACK).payload(body),
                net.server.ip(),
                net.vip.ip(),
            ),
            (
                bed.client_if,
                Tcp::new(net.vip, net.client, ACK).payload(body),
                Tcp::new(net.server, net.near, ACK).payload(body),
                net.client.ip(),
                net.near.ip(),
            ),
        ];
        for (number, (kind, code, length, change, translated)) in rows.iter().enumerate() {
            for (interface, seen, sent, end, end_as) in &sides {
                for (from, from_as) in [(net.router, net.router), (*end, *end_as)] {
                    let what = format!("row {number} from {from} ({hook:?})");
                    let mut error = icmp(from, seen.src.ip(), 60, (*kind, *code), seen, *length);
                    change(&mut error);
                    let outcome = bed.run(hook, *interface, &error);
                    if !translated {
                        assert_eq!(outcome, Outcome::Pass, "{what}");
                        continue;
                    }
                    let mut expected =
                        icmp(from_as, sent.src.ip(), 59, (*kind, *code), sent, *length);
                    if *length > 16 {
                        // The quoted TCP checksum is left as it was quoted, so the sum of the error is not that of
                        // one written anew.
                        let l4 = if v6 { 54 } else { 34 };
                        let quoted = l4 + 8 + if v6 { 40 } else { 20 } + 16;
                        expected[quoted..quoted + 2].copy_from_slice(&error[quoted..quoted + 2]);
                        crate::frame::fix_icmp(&mut expected, from_as, sent.src.ip());
                    }
                    if hook == Hook::Xdp {
                        expected = with_macs(expected, macs(&bed, *interface == bed.client_if));
                    }
                    assert_eq!(outcome, Outcome::Redirect(expected), "{what}");
                    let spent = icmp(from, seen.src.ip(), 1, (*kind, *code), seen, *length);
                    assert_eq!(bed.run(hook, *interface, &spent), Outcome::Drop, "{what}");
                }
            }
        }
        bed.clear();
    }
    bed.agree();
}

#[test]
fn errors_v4() {
    errors(false);
}

#[test]
fn errors_v6() {
    errors(true);
}

/// A client in the servers' network: in and out by one interface.
#[track_caller]
fn hairpin(v6: bool) {
    let Some((mut bed, net)) = bed(v6, true) else { return };
    let ip: IpAddr = if v6 { "fd00::10".parse() } else { "10.0.0.10".parse() }.unwrap();
    let client = SocketAddr::new(ip, 5555);
    let interface = bed.server_if;
    for hook in [Hook::Tc, Hook::Xdp] {
        let steps = [
            (Tcp::new(client, net.vip, SYN), net.near, net.server),
            (Tcp::new(net.server, net.near, SYN | ACK), net.vip, client),
            (Tcp::new(client, net.vip, ACK).payload(b"data"), net.near, net.server),
            (Tcp::new(net.server, net.near, ACK).payload(b"more"), net.vip, client),
            (Tcp::new(client, net.vip, RST), net.near, net.server),
        ];
        for (number, (segment, src, dst)) in steps.iter().enumerate() {
            let expected = segment.forwarded(*src, *dst);
            let expected = match hook {
                Hook::Tc | Hook::Decap => Outcome::Redirect(expected.bytes()),
                Hook::Xdp => {
                    let macs = (SERVER_NEIGHBOUR, bed.server_mac);
                    Outcome::Transmit(with_macs(expected.bytes(), macs))
                }
            };
            let outcome = bed.run(hook, interface, &segment.bytes());
            assert_eq!(outcome, expected, "step {number} ({hook:?})");
        }
        bed.clear();
    }
    bed.agree();
}

#[test]
fn hairpin_v4() {
    hairpin(false);
}

#[test]
fn hairpin_v6() {
    hairpin(true);
}
