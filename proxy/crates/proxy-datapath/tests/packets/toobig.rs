//! Packets that are longer than their way: their sender is told, as a router tells it.

use proxy_common::{POLICY_ROUNDROBIN, Reason, SERVICE_DIRECT, SERVICE_FULLNAT, SERVICE_TUNNEL};

use crate::{
    answers::{Family, V4, V6, address, ends, icmp_of, sent},
    bed::{self, Bed, Hook, Outcome},
    frame::{ACK, SYN, Tcp, Udp, checksum},
};

const LONG: [u8; 1500] = [7; 1500];

/// The error with its MTU.
fn told(family: &Family, frame: &[u8], mtu: u16, quoted: usize) -> Outcome {
    let v4 = address(family.vip).is_ipv4();
    let code = if v4 { (3, 4) } else { (2, 0) };
    let mut error = icmp_of(frame, ends(family), code, quoted);
    let (start, ip) = if v4 { (34, 20) } else { (54, 40) };
    error[start + 6..start + 8].copy_from_slice(&mtu.to_be_bytes());
    let (from, to) = ends(family);
    crate::frame::fix_icmp(&mut error, from, to);
    assert_eq!(error.len(), 14 + ip + 8 + ip + quoted);
    sent(Hook::Tc, error)
}

/// A connection, and a segment of it that has so many bytes too many.
#[track_caller]
fn check(family: &Family, flags: u8, fits: usize, mtu: u16) {
    let Some(mut bed) = Bed::new() else { return };
    let (client, vip) = (address(family.client), address(family.vip));
    let port = if flags & (SERVICE_TUNNEL | SERVICE_DIRECT) == 0 { 8080 } else { vip.port() };
    let server = std::net::SocketAddr::new(address(family.server).ip(), port);
    bed.service(vip, POLICY_ROUNDROBIN, flags, &[server]);
    let syn = Tcp::new(client, vip, SYN);
    assert!(matches!(bed.run(Hook::Tc, bed.client_if, &syn.bytes()), Outcome::Redirect(_)));
    if flags == SERVICE_FULLNAT {
        let near: std::net::IpAddr =
            if vip.is_ipv4() { "10.0.0.1" } else { "fd00::1" }.parse().unwrap();
        let near = std::net::SocketAddr::new(near, bed::NAT_PORT);
        let answer = Tcp::new(server, near, SYN | ACK);
        assert!(matches!(bed.run(Hook::Tc, bed.server_if, &answer.bytes()), Outcome::Redirect(_)));
    }
    let segment = |len: usize| Tcp::new(client, vip, ACK).payload(&LONG[..len]).bytes();
    // The slow path, the cache, and the slow path behind it.
    for len in [0, fits, fits] {
        let outcome = bed.run(Hook::Tc, bed.client_if, &segment(len));
        assert!(matches!(outcome, Outcome::Redirect(_)), "{len}");
    }
    for times in 1..=2 {
        let long = segment(fits + 1);
        let outcome = bed.run(Hook::Tc, bed.client_if, &long);
        assert_eq!(outcome, told(family, &long, mtu, 20));
        assert_eq!(bed.counter(Reason::TooBig), times);
        // XDP leaves it to tc.
        assert_eq!(bed.run(Hook::Xdp, bed.client_if, &long), Outcome::Pass);
    }
    assert!(matches!(bed.run(Hook::Tc, bed.client_if, &segment(fits)), Outcome::Redirect(_)));
    bed.agree();
}

#[test]
fn tunnels_say_what_fits_inside_v4() {
    check(&V4, SERVICE_TUNNEL, 1500 - 60, 1480);
}

#[test]
fn tunnels_say_what_fits_inside_v6() {
    check(&V6, SERVICE_TUNNEL, 1500 - 100, 1460);
}

#[test]
fn translation_says_what_fits() {
    check(&V4, SERVICE_FULLNAT, 1500 - 40, 1500);
    check(&V6, SERVICE_FULLNAT, 1500 - 60, 1500);
}

#[test]
fn direct_return_says_what_fits() {
    check(&V4, SERVICE_DIRECT, 1500 - 40, 1500);
}

/// The first packet of a flow may be too long already.
#[test]
fn first_datagrams_are_told() {
    for (family, fits, mtu) in [(&V4, 1500 - 48, 1480), (&V6, 1500 - 88, 1460)] {
        let Some(mut bed) = Bed::new() else { return };
        let vip = address(family.vip);
        let server = std::net::SocketAddr::new(address(family.server).ip(), vip.port());
        bed.datagrams(vip, POLICY_ROUNDROBIN, SERVICE_TUNNEL, &[server], 0);
        let ask = |len: usize| Udp::new(address(family.client), vip, &LONG[..len]).bytes();
        let long = ask(fits + 1);
        assert_eq!(bed.run(Hook::Tc, bed.client_if, &long), told(family, &long, mtu, 8));
        assert_eq!((bed.flows().len(), bed.live().0), (0, 0));
        assert!(matches!(bed.run(Hook::Tc, bed.client_if, &ask(fits)), Outcome::Redirect(_)));
        bed.agree();
    }
}

/// Nobody is told of what may be cut: it is counted.
#[test]
fn what_may_be_cut_is_lost() {
    let Some(mut bed) = Bed::new() else { return };
    let vip = address(V4.vip);
    let server = std::net::SocketAddr::new(address(V4.server).ip(), vip.port());
    bed.datagrams(vip, POLICY_ROUNDROBIN, SERVICE_TUNNEL, &[server], 0);
    let mut long = Udp::new(address(V4.client), vip, &LONG[..1460]).bytes();
    long[20] = 0;
    long[24..26].fill(0);
    let check = checksum(&long[14..34]);
    long[24..26].copy_from_slice(&check);
    assert_eq!(bed.run(Hook::Tc, bed.client_if, &long), Outcome::Drop);
    assert_eq!((bed.counter(Reason::TooBig), bed.counter(Reason::Unreachable)), (1, 0));
}
