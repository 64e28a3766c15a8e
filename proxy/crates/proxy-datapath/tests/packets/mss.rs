//! The MSS option of SYNs, on a route to the servers with a smaller MTU than the client's.

use std::net::SocketAddr;

use proxy_common::{POLICY_ROUNDROBIN, SERVICE_FULLNAT};

use crate::{
    bed::{self, Bed, Hook, NAT_PORT, Outcome},
    frame::{ACK, SYN, Tcp},
};

const MTU: u16 = 1300;
const NOP: u8 = 1;
const END: u8 = 0;

fn mss(value: u16) -> Vec<u8> {
    let [high, low] = value.to_be_bytes();
    vec![2, 4, high, low]
}

/// One connection per row: options of the client's SYN, those the server gets, those of the server's answer,
/// those the client gets.
#[track_caller]
fn check(hook: Hook, vip: &str, client: &str, server: &str, source: &str) {
    let Some(mut bed) = Bed::new() else { return };
    bed::ip(&format!("link set s0p mtu {MTU}"));
    bed::ip(&format!("link set s0 mtu {MTU}"));
    let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
    let (vip, client, server) = (parse(vip), parse(client), parse(server));
    let near = SocketAddr::new(source.parse().unwrap(), NAT_PORT);
    bed.service(vip, POLICY_ROUNDROBIN, SERVICE_FULLNAT, &[server]);
    bed.configure(|config| config.nat_port_last += 99);
    let fits = MTU - if vip.is_ipv4() { 40 } else { 60 };

    let with = |before: &[u8], value, after: &[u8]| [before, &mss(value), after].concat();
    let sack = [4, 2, NOP, NOP];
    let rows: [(Vec<u8>, Vec<u8>); 9] = [
        (mss(1460), mss(fits)),
        (mss(fits + 1), mss(fits)),
        (mss(fits), mss(fits)),
        (mss(536), mss(536)),
        (vec![], vec![]),
        (with(&[], 1460, &sack), with(&[], fits, &sack)),
        (with(&sack, 1460, &[]), with(&sack, fits, &[])),
        // At an odd place, and behind the end.
        (with(&[NOP], 1460, &[3, 3, 7]), with(&[NOP], 1460, &[3, 3, 7])),
        (with(&[NOP, NOP, NOP, END], 1460, &[]), with(&[NOP, NOP, NOP, END], 1460, &[])),
    ];
    for (number, (sent, expected)) in rows.iter().enumerate() {
        let client = SocketAddr::new(client.ip(), client.port() + number as u16);
        let syn = Tcp::new(client, vip, SYN).options(sent);
        let Outcome::Redirect(out) = bed.run(hook, bed.client_if, &syn.bytes()) else {
            panic!("row {number}: the SYN")
        };
        let l4 = if vip.is_ipv4() { 34 } else { 54 };
        let port = u16::from_be_bytes([out[l4], out[l4 + 1]]);
        let near = SocketAddr::new(near.ip(), port);
        let forwarded = syn.forwarded(near, server).options(expected).bytes();
        assert_eq!(out[12..], forwarded[12..], "row {number}: the SYN");

        let answer = Tcp::new(server, near, SYN | ACK).options(sent);
        let forwarded = answer.forwarded(vip, client).options(expected).bytes();
        let Outcome::Redirect(out) = bed.run(hook, bed.server_if, &answer.bytes()) else {
            panic!("row {number}: the answer")
        };
        assert_eq!(out[12..], forwarded[12..], "row {number}: the answer");
    }
    // Only SYNs have the option; elsewhere it is none of ours.
    let last = SocketAddr::new(client.ip(), client.port() + rows.len() as u16 - 1);
    let ack = Tcp::new(last, vip, ACK).options(&mss(1460));
    let Outcome::Redirect(out) = bed.run(hook, bed.client_if, &ack.bytes()) else { panic!("ACK") };
    assert_eq!(out[out.len() - 2..], 1460_u16.to_be_bytes());
}

const V4: [&str; 4] = ["203.0.113.1:80", "198.51.100.9:5555", "10.0.0.9:8080", "10.0.0.1"];
const V6: [&str; 4] = ["[2001:db8:f::1]:80", "[2001:db8:c::9]:5555", "[fd00::9]:8080", "fd00::1"];

#[test]
fn v4_tc() {
    let [vip, client, server, source] = V4;
    check(Hook::Tc, vip, client, server, source);
}

#[test]
fn v6_tc() {
    let [vip, client, server, source] = V6;
    check(Hook::Tc, vip, client, server, source);
}

#[test]
fn v4_xdp() {
    let [vip, client, server, source] = V4;
    check(Hook::Xdp, vip, client, server, source);
}

#[test]
fn v6_xdp() {
    let [vip, client, server, source] = V6;
    check(Hook::Xdp, vip, client, server, source);
}
