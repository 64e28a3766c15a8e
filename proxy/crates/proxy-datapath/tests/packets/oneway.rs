//! Servers that answer clients by themselves: what is brought to them is what the client sent.

use std::net::{IpAddr, SocketAddr};

use proxy_common::{
    EndReason, FlowStatus, POLICY_ROUNDROBIN, Reason, SERVICE_DIRECT, SERVICE_LOG, SERVICE_TUNNEL,
};

use crate::{
    bed::{Bed, Hook, Outcome, SERVER_NEIGHBOUR},
    frame::{ACK, FIN, PSH, RST, SYN, Tcp, checksum, icmp},
};

struct Net {
    vip: SocketAddr,
    client: SocketAddr,
    server: SocketAddr,
    source: IpAddr,
}

fn net(v6: bool) -> Net {
    let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
    let [vip, client, server, source] = if v6 {
        ["[2001:db8:f::1]:80", "[2001:db8:c::9]:5555", "[fd00::9]:80", "[fd00::1]:0"]
    } else {
        ["203.0.113.1:80", "198.51.100.9:5555", "10.0.0.9:80", "10.0.0.1:0"]
    }
    .map(parse);
    Net { vip, client, server, source: source.ip() }
}

fn bed(net: &Net, tunnel: bool) -> Option<Bed> {
    let mut bed = Bed::new()?;
    let mode = if tunnel { SERVICE_TUNNEL } else { SERVICE_DIRECT };
    bed.service(net.vip, POLICY_ROUNDROBIN, mode | SERVICE_LOG, &[net.server]);
    Some(bed)
}

/// The frame as the server is to get it: one hop further, and perhaps inside of another packet.
fn brought(bed: &Bed, hook: Hook, net: &Net, frame: &[u8], tunnel: bool) -> Outcome {
    let v6 = net.vip.is_ipv6();
    let mut inner = frame[14..].to_vec();
    if v6 {
        inner[7] -= 1;
    } else {
        inner[8] -= 1;
        inner[10..12].fill(0);
        let check = checksum(&inner[..20]);
        inner[10..12].copy_from_slice(&check);
    }
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let addresses = [octets(net.source), octets(net.server.ip())].concat();
    let mut outer = Vec::new();
    if tunnel && v6 {
        outer.extend(&inner[..4]);
        let length = u16::from_be_bytes([inner[4], inner[5]]) + 40;
        outer.extend(length.to_be_bytes());
        outer.extend([41, 64]);
        outer.extend(addresses);
    } else if tunnel {
        let length = u16::from_be_bytes([inner[2], inner[3]]) + 20;
        outer.extend([0x45, inner[1]]);
        outer.extend(length.to_be_bytes());
        outer.extend([0, 0, 0x40, 0, 64, 4, 0, 0]);
        outer.extend(addresses);
        let check = checksum(&outer);
        outer[10..12].copy_from_slice(&check);
    }
    let mut ethernet = frame[..14].to_vec();
    if hook == Hook::Xdp {
        ethernet[..6].copy_from_slice(&SERVER_NEIGHBOUR);
        ethernet[6..12].copy_from_slice(&bed.server_mac);
    }
    Outcome::Redirect([ethernet, outer, inner].concat())
}

#[track_caller]
fn check(v6: bool, tunnel: bool) {
    static LONG: [u8; 1400] = [0x5a; 1400];
    let net = net(v6);
    let Some(mut bed) = bed(&net, tunnel) else { return };
    for hook in [Hook::Tc, Hook::Xdp] {
        let to = |flags| Tcp::new(net.client, net.vip, flags);
        let steps = [
            (to(SYN), FlowStatus::SynSent),
            (to(SYN), FlowStatus::SynSent),
            (to(ACK), FlowStatus::Established),
            (to(ACK | PSH).payload(b"GET /\r\n"), FlowStatus::Established),
            // From the cache.
            (to(ACK).payload(&LONG), FlowStatus::Established),
            (to(ACK).ttl(2), FlowStatus::Established),
            (to(ACK | FIN), FlowStatus::HalfClosed),
            (to(ACK), FlowStatus::HalfClosed),
            (to(RST), FlowStatus::Closed),
            (to(RST), FlowStatus::Closed),
        ];
        for (number, (segment, status)) in steps.iter().enumerate() {
            let frame = segment.bytes();
            let expected = brought(&bed, hook, &net, &frame, tunnel);
            let outcome = bed.run(hook, bed.client_if, &frame);
            assert_eq!(outcome, expected, "step {number} ({hook:?})");
            let flows = bed.flows();
            assert_eq!(flows.len(), 1, "step {number}: one direction");
            assert_eq!(flows[0].1.state().status(), *status, "step {number} ({hook:?})");
            let live = u32::from(*status != FlowStatus::Closed);
            assert_eq!(bed.live(), (live, [live, 0]), "step {number}");
        }
        let spent = to(ACK).ttl(1).bytes();
        assert_eq!(bed.run(hook, bed.client_if, &spent), Outcome::Drop);
        let reason = bed.event().and_then(|event| EndReason::from_byte(event.reason));
        assert_eq!(reason, Some(EndReason::ClientReset));
        bed.clear();
    }
    assert!(bed.counter(Reason::CacheHit) >= 2, "nothing came from the cache");
    let traffic = bed.traffic();
    assert_eq!((traffic.flows_new, traffic.flows_established, traffic.flows_ended), (2, 2, 2));
    assert_eq!((traffic.packets_in, traffic.packets_out), (20, 0));
    bed.agree();
}

#[test]
fn direct_v4() {
    check(false, false);
}

#[test]
fn direct_v6() {
    check(true, false);
}

#[test]
fn tunnel_v4() {
    check(false, true);
}

#[test]
fn tunnel_v6() {
    check(true, true);
}

/// An error about what the server has sent reaches the server as it is; one about another connection passes.
#[track_caller]
fn errors(v6: bool, tunnel: bool) {
    let net = net(v6);
    let Some(mut bed) = bed(&net, tunnel) else { return };
    let router: IpAddr = if v6 { "2001:db8::77".parse() } else { "192.0.2.77".parse() }.unwrap();
    let what = if v6 { (2, 0) } else { (3, 4) };
    for hook in [Hook::Tc, Hook::Xdp] {
        let syn = Tcp::new(net.client, net.vip, SYN).bytes();
        assert!(matches!(bed.run(hook, bed.client_if, &syn), Outcome::Redirect(_)));
        let answer = Tcp::new(net.vip, net.client, ACK).payload(b"too long for somebody");
        let error = icmp(router, net.vip.ip(), 60, what, &answer, 8);
        let expected = brought(&bed, hook, &net, &error, tunnel);
        assert_eq!(bed.run(hook, bed.client_if, &error), expected, "{hook:?}");
        let spent = icmp(router, net.vip.ip(), 1, what, &answer, 8);
        assert_eq!(bed.run(hook, bed.client_if, &spent), Outcome::Drop);
        let other = Tcp::new(net.vip, SocketAddr::new(net.client.ip(), 1), ACK);
        let stray = icmp(router, net.vip.ip(), 60, what, &other, 8);
        assert_eq!(bed.run(hook, bed.client_if, &stray), Outcome::Pass);
        bed.clear();
    }
    assert_eq!(bed.counter(Reason::IcmpTranslated), 2);
    bed.agree();
}

#[test]
fn errors_v4() {
    errors(false, false);
    errors(false, true);
}

#[test]
fn errors_v6() {
    errors(true, false);
    errors(true, true);
}

/// A client that has sent its FIN may begin anew on the same port; one that has not is answered by its server.
#[test]
fn a_port_is_used_again_after_the_clients_fin() {
    let net = net(false);
    let Some(mut bed) = bed(&net, false) else { return };
    let send = |bed: &Bed, flags| {
        let frame = Tcp::new(net.client, net.vip, flags).bytes();
        let outcome = bed.run(Hook::Tc, bed.client_if, &frame);
        assert!(matches!(outcome, Outcome::Redirect(_)), "{outcome:?}");
    };
    for flags in [SYN, ACK, SYN] {
        send(&bed, flags);
    }
    assert_eq!((bed.traffic().flows_new, bed.counter(Reason::Reopened)), (1, 0));
    for flags in [ACK | FIN, SYN, ACK] {
        send(&bed, flags);
    }
    assert_eq!((bed.traffic().flows_new, bed.counter(Reason::Reopened)), (2, 1));
    assert_eq!(bed.live(), (1, [1, 0]));
    let reason = bed.event().and_then(|event| EndReason::from_byte(event.reason));
    assert_eq!(reason, Some(EndReason::ClientFin));
    bed.agree();
}

/// What the balancer has put around a packet, the server takes off; from others, and of other kinds, it takes nothing.
#[track_caller]
fn decap(v6: bool) {
    let net = net(v6);
    let Some(mut bed) = bed(&net, true) else { return };
    let sent = Tcp::new(net.client, net.vip, SYN).bytes();
    let Outcome::Redirect(wrapped) = brought(&bed, Hook::Tc, &net, &sent, true) else { panic!() };
    let Outcome::Redirect(inside) = brought(&bed, Hook::Tc, &net, &sent, false) else { panic!() };
    let run = |bed: &Bed, frame: &[u8]| bed.run(Hook::Decap, bed.server_if, frame);
    let same = |frame: &[u8]| Outcome::Redirect(frame.to_vec());
    // Nobody is believed yet.
    assert_eq!(run(&bed, &wrapped), same(&wrapped));
    bed.balancer(net.source);
    assert_eq!(run(&bed, &wrapped), same(&inside));
    assert_eq!(run(&bed, &inside), same(&inside));
    let with = |at: usize, byte: u8| {
        let mut frame = wrapped.clone();
        frame[at] = byte;
        frame
    };
    let (protocol, source, inner) = if v6 { (20, 37, 54) } else { (23, 29, 34) };
    let mut others = vec![with(protocol, 6), with(source, 99), with(inner, 0x55), with(12, 0x81)];
    if !v6 {
        others.extend([with(14, 0x46), with(20, 0x20), with(21, 1)]);
    }
    for (number, frame) in others.iter().enumerate() {
        assert_eq!(run(&bed, frame), same(frame), "frame {number}");
    }
}

#[test]
fn decap_v4() {
    decap(false);
}

#[test]
fn decap_v6() {
    decap(true);
}
