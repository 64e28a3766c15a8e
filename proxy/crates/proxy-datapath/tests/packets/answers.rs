//! What clients are told by the balancer itself: resets and ICMP errors, byte for byte.

use std::net::{IpAddr, SocketAddr};

use proxy_common::{
    ANSWER_DROP, ANSWER_RESET, ANSWER_UNREACHABLE, ANSWER_USERSPACE, POLICY_HASH_SOURCE,
    POLICY_LEASTCONN, POLICY_ROUNDROBIN, Rate, Reason, SERVICE_FULLNAT, SERVICE_SOURCES,
    SOURCE_REJECT, ServiceEntry, SourceRuling, maps,
};

use crate::{
    bed::{Bed, Hook, Outcome},
    frame::{ACK, RST, SYN, Tcp, Udp, checksum, l4_checksum},
};

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) struct Family {
    pub(crate) vip: &'static str,
    pub(crate) server: &'static str,
    pub(crate) client: &'static str,
    everybody: &'static str,
}

pub(crate) const V4: Family = Family {
    vip: "203.0.113.1:80",
    server: "10.0.0.9:8080",
    client: "198.51.100.9:5555",
    everybody: "0.0.0.0/0",
};
pub(crate) const V6: Family = Family {
    vip: "[2001:db8:f::1]:80",
    server: "[fd00::9]:8080",
    client: "[2001:db8:c::9]:5555",
    everybody: "::/0",
};

/// Addresses of the Ethernet header turned round.
pub(crate) fn turned(frame: &[u8]) -> Vec<u8> {
    [&frame[6..12], &frame[..6], &frame[12..14]].concat()
}

/// A header of the balancer's own, from `from` to `to`.
fn own_header(from: IpAddr, to: IpAddr, proto: u8, length: usize) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut ip = vec![0x45, 0];
            ip.extend((20 + length as u16).to_be_bytes());
            ip.extend([0, 0, 0x40, 0, 64, proto, 0, 0]);
            ip.extend(from.octets());
            ip.extend(to.octets());
            let check = checksum(&ip);
            ip[10..12].copy_from_slice(&check);
            ip
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let mut ip = vec![0x60, 0, 0, 0];
            ip.extend((length as u16).to_be_bytes());
            ip.extend([proto, 64]);
            ip.extend(from.octets());
            ip.extend(to.octets());
            ip
        }
        _ => unreachable!("one family"),
    }
}

/// The reset that a SYN is answered by (RFC 9293 section 3.10.7.1).
pub(crate) fn reset_of(syn: &Tcp) -> Vec<u8> {
    let (from, to) = (syn.dst, syn.src);
    let mut tcp = Vec::new();
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend(0_u32.to_be_bytes());
    tcp.extend((1001 + syn.payload.len() as u32).to_be_bytes());
    tcp.extend([5 << 4, RST | ACK, 0, 0, 0, 0, 0, 0]);
    let check = l4_checksum(from.ip(), to.ip(), 6, &tcp);
    tcp[16..18].copy_from_slice(&check);
    [turned(&syn.bytes()), own_header(from.ip(), to.ip(), 6, 20), tcp].concat()
}

/// The ICMP error that a frame is answered by, which quotes so many bytes behind its IP header.
pub(crate) fn icmp_of(
    frame: &[u8],
    (from, to): (IpAddr, IpAddr),
    (kind, code): (u8, u8),
    quoted: usize,
) -> Vec<u8> {
    let (ip_len, proto) = if from.is_ipv4() { (20, 1) } else { (40, 58) };
    let mut icmp = vec![kind, code, 0, 0, 0, 0, 0, 0];
    icmp.extend(&frame[14..14 + ip_len + quoted]);
    let check = if from.is_ipv4() { checksum(&icmp) } else { l4_checksum(from, to, proto, &icmp) };
    icmp[2..4].copy_from_slice(&check);
    [turned(frame), own_header(from, to, proto, icmp.len()), icmp].concat()
}

pub(crate) fn sent(hook: Hook, frame: Vec<u8>) -> Outcome {
    if hook == Hook::Xdp { Outcome::Transmit(frame) } else { Outcome::Redirect(frame) }
}

fn bed(family: &Family, udp: bool, change: impl Fn(&mut ServiceEntry)) -> Option<Bed> {
    let mut bed = Bed::new()?;
    let (vip, server) = (address(family.vip), [address(family.server)]);
    let flags = SERVICE_FULLNAT | SERVICE_SOURCES;
    if udp {
        bed.datagrams(vip, POLICY_ROUNDROBIN, flags, &server, 0);
    } else {
        bed.service(vip, POLICY_ROUNDROBIN, flags, &server);
    }
    let mut service: ServiceEntry = bed.get(maps::SERVICES, 0);
    change(&mut service);
    bed.set(maps::SERVICES, 0, service);
    Some(bed)
}

fn reject_all(bed: &mut Bed, family: &Family) {
    bed.source(0, family.everybody, SourceRuling { verdict: SOURCE_REJECT, rule: 1 });
}

/// No server is usable: the answer for each hook and each policy.
#[track_caller]
fn no_server(family: &Family, how: u8, expected: impl Fn(Hook, &Tcp) -> Outcome, reason: Reason) {
    let Some(mut bed) = bed(family, false, |_| {}) else { return };
    let mut times = 0;
    for policy in [POLICY_ROUNDROBIN, POLICY_HASH_SOURCE, POLICY_LEASTCONN] {
        let mut service: ServiceEntry = bed.get(maps::SERVICES, 0);
        (service.ring_len, service.no_server, service.policy) = (0, how, policy);
        bed.set(maps::SERVICES, 0, service);
        let syn = Tcp::new(address(family.client), address(family.vip), SYN);
        let plain = syn.clone();
        let with_options = syn.clone().options(&[2, 4, 5, 0xb4]);
        let with_data = syn.options(&[2, 4, 5, 0xb4, 1, 1, 1, 0]).payload(b"of fast open, odd");
        for syn in [plain, with_options, with_data] {
            for hook in [Hook::Xdp, Hook::Tc] {
                let outcome = bed.run(hook, bed.client_if, &syn.bytes());
                assert_eq!(outcome, expected(hook, &syn), "{hook:?}");
                times += 1;
            }
        }
        assert_eq!(bed.counter(Reason::NoServer), times);
        assert_eq!(bed.traffic().passed_no_server, times);
        if reason != Reason::NoServer {
            assert_eq!(bed.counter(reason), times);
        }
        assert_eq!((bed.flows().len(), bed.live().0), (0, 0));
        if policy != POLICY_LEASTCONN {
            bed.agree();
        }
    }
}

#[test]
fn no_server_is_left_to_userspace_v4() {
    no_server(&V4, ANSWER_USERSPACE, |_, _| Outcome::Pass, Reason::NoServer);
}

#[test]
fn no_server_drops_v4() {
    no_server(&V4, ANSWER_DROP, |_, _| Outcome::Drop, Reason::NoServer);
}

#[test]
fn no_server_resets_v4() {
    no_server(&V4, ANSWER_RESET, |hook, syn| sent(hook, reset_of(syn)), Reason::Reset);
}

#[test]
fn no_server_resets_v6() {
    no_server(&V6, ANSWER_RESET, |hook, syn| sent(hook, reset_of(syn)), Reason::Reset);
}

pub(crate) fn ends(family: &Family) -> (IpAddr, IpAddr) {
    (address(family.vip).ip(), address(family.client).ip())
}

#[test]
fn no_server_is_host_unreachable_v4() {
    let icmp = |hook, syn: &Tcp| sent(hook, icmp_of(&syn.bytes(), ends(&V4), (3, 1), 20));
    no_server(&V4, ANSWER_UNREACHABLE, icmp, Reason::Unreachable);
}

#[test]
fn no_server_is_address_unreachable_v6() {
    let icmp = |hook, syn: &Tcp| sent(hook, icmp_of(&syn.bytes(), ends(&V6), (1, 3), 20));
    no_server(&V6, ANSWER_UNREACHABLE, icmp, Reason::Unreachable);
}

/// A rule rejects a client: as configured, counted by rule and service.
#[track_caller]
fn rejected(family: &Family, how: u8, expected: impl Fn(Hook, &Tcp) -> Outcome, reason: Reason) {
    let Some(mut bed) = bed(family, false, |service| service.rejects = how) else { return };
    reject_all(&mut bed, family);
    let syn = Tcp::new(address(family.client), address(family.vip), SYN).options(&[2, 4, 5, 0xb4]);
    for (hook, times) in [(Hook::Xdp, 1), (Hook::Tc, 2)] {
        assert_eq!(bed.run(hook, bed.client_if, &syn.bytes()), expected(hook, &syn), "{hook:?}");
        assert_eq!((bed.counter(Reason::Denied), bed.traffic().denied), (times, times));
        assert_eq!(bed.rule(0, 1), times);
        assert_eq!(bed.counter(reason), times);
    }
    assert_eq!(bed.flows().len(), 0);
    bed.agree();
}

#[test]
fn rejects_are_resets() {
    for family in [&V4, &V6] {
        rejected(family, ANSWER_RESET, |hook, syn| sent(hook, reset_of(syn)), Reason::Reset);
    }
}

#[test]
fn rejects_are_prohibited() {
    let v4 = |hook, syn: &Tcp| sent(hook, icmp_of(&syn.bytes(), ends(&V4), (3, 13), 20));
    rejected(&V4, ANSWER_UNREACHABLE, v4, Reason::Unreachable);
    let v6 = |hook, syn: &Tcp| sent(hook, icmp_of(&syn.bytes(), ends(&V6), (1, 1), 20));
    rejected(&V6, ANSWER_UNREACHABLE, v6, Reason::Unreachable);
}

#[test]
fn rejects_are_dropped() {
    rejected(&V4, ANSWER_DROP, |_, _| Outcome::Drop, Reason::Denied);
}

/// A datagram has no reset: the port is unreachable.
#[test]
fn datagrams_are_answered_by_icmp() {
    let rows = [(ANSWER_RESET, (3, 3), (1, 4)), (ANSWER_UNREACHABLE, (3, 13), (1, 1))];
    for (how, v4, v6) in rows {
        for (family, code) in [(&V4, v4), (&V6, v6)] {
            let Some(mut bed) = bed(family, true, |service| service.rejects = how) else { return };
            reject_all(&mut bed, family);
            for payload in [&b""[..], b"a question", b"odd"] {
                let ask = Udp::new(address(family.client), address(family.vip), payload).bytes();
                for hook in [Hook::Xdp, Hook::Tc] {
                    let answer = sent(hook, icmp_of(&ask, ends(family), code, 8));
                    assert_eq!(bed.run(hook, bed.client_if, &ask), answer, "{hook:?}");
                }
            }
            assert_eq!(bed.counter(Reason::Unreachable), 6);
            bed.agree();
        }
    }
}

/// A thousand ICMP errors in a second, as of any host; resets are as many as SYNs.
#[test]
fn icmp_answers_are_limited() {
    let Some(mut bed) = bed(&V4, true, |service| service.rejects = ANSWER_RESET) else { return };
    reject_all(&mut bed, &V4);
    // So many that the second does not matter in which they were.
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).unwrap();
    let start_ns = time.tv_sec() as u64 * 1_000_000_000;
    bed.set(maps::ANSWER_RATE, 0, Rate { start_ns, current: u32::MAX, previous: 0 });
    let ask = Udp::new(address(V4.client), address(V4.vip), b"x").bytes();
    assert_eq!(bed.run(Hook::Tc, bed.client_if, &ask), Outcome::Drop);
    assert_eq!(bed.counter(Reason::AnswerLimited), 1);
    assert_eq!(bed.counter(Reason::Unreachable), 0);
}
