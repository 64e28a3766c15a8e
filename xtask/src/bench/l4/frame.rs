//! The frames that are sent through the programs, and the flows they belong to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use proxy_common::bench::{Rotation, TEMPLATE_WORDS};

pub(super) const SYN: u8 = 2;
pub(super) const ACK: u8 = 16;
/// Bytes of a frame: the longest headers, and a few of payload.
pub(super) const FRAME_LEN: usize = 14 + TEMPLATE_WORDS * 4 + 4;
pub(super) const VIP_PORT: u16 = 80;
pub(super) const SERVER_PORT: u16 = 8080;

/// The client of flow `number`, as the rotating program writes it.
pub(super) fn client(number: u32, v6: bool) -> SocketAddr {
    let port = 1024 + (number & 0x7fff) as u16;
    let [a, b] = ((number >> 15) as u16).to_be_bytes();
    let ip: IpAddr = if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, u16::from_be_bytes([a, b])).into()
    } else {
        Ipv4Addr::new(198, 51, a, b).into()
    };
    SocketAddr::new(ip, port)
}

pub(super) fn vip(v6: bool) -> SocketAddr {
    let ip: IpAddr = if v6 {
        Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, 1).into()
    } else {
        Ipv4Addr::new(203, 0, 113, 1).into()
    };
    SocketAddr::new(ip, VIP_PORT)
}

/// A frame of a client's, for the rotation over `flows` (a power of two).
pub(super) fn rotation(flows: u64, v6: bool, flags: u8, port: u16) -> Rotation {
    let headers = headers(v6, flags, port);
    let word = |at: usize| {
        let byte = |at: usize| headers.get(at).copied().unwrap_or(0);
        u32::from_ne_bytes([byte(at), byte(at + 1), byte(at + 2), byte(at + 3)])
    };
    let mut template = [0; TEMPLATE_WORDS];
    for (index, place) in template.iter_mut().enumerate() {
        *place = word(14 + index * 4);
    }
    Rotation {
        mask: flows - 1,
        len: FRAME_LEN as u32,
        v6: v6.into(),
        ethernet: [word(0), word(4), word(8)],
        ethertype: word(12) & 0xffff,
        template,
        reserved: 0,
    }
}

/// Ethernet, IP and TCP headers. The TCP checksum is not right: nobody here looks at it, and changing it
/// costs the same.
fn headers(v6: bool, flags: u8, port: u16) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let (client, vip) = (client(0, v6), vip(v6));
    let octets = |ip| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(((FRAME_LEN - 54) as u16).to_be_bytes());
        frame.extend([6, 64]);
    } else {
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend(((FRAME_LEN - 14) as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    }
    frame.extend(octets(client.ip()));
    frame.extend(octets(vip.ip()));
    frame.extend(client.port().to_be_bytes());
    frame.extend(port.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0, 0, 0, 1, 5 << 4, flags, 0xfa, 0xf0, 0, 0, 0, 0]);
    frame
}
