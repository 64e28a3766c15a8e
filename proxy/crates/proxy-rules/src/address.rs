//! Addresses as text, without the standard library's formatting, which costs more than the rest of a log line.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};

/// Room for any address (`INET6_ADDRSTRLEN`).
pub type Room = [u8; 46];

/// The text of an address.
pub fn text(ip: IpAddr, room: &mut Room) -> &[u8] {
    match ip {
        IpAddr::V4(ip) => text_v4(ip, room),
        IpAddr::V6(ip) => {
            let mut rest = &mut room[..];
            // There is room for any address.
            let _ = write!(rest, "{ip}");
            let left = rest.len();
            &room[..room.len() - left]
        }
    }
}

/// The text of an IPv4 address.
pub fn text_v4(ip: Ipv4Addr, room: &mut Room) -> &[u8] {
    let mut len = 0;
    let mut push = |byte| {
        room[len] = byte;
        len += 1;
    };
    for (at, octet) in ip.octets().into_iter().enumerate() {
        if at > 0 {
            push(b'.');
        }
        if octet >= 100 {
            push(b'0' + octet / 100);
        }
        if octet >= 10 {
            push(b'0' + octet / 10 % 10);
        }
        push(b'0' + octet % 10);
    }
    &room[..len]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_writes_them() {
        for shown in [
            "0.0.0.0",
            "1.20.255.9",
            "255.255.255.255",
            "10.100.99.110",
            "192.0.2.200",
            "::",
            "2001:db8::1",
            "::ffff:192.0.2.1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            let mut room = [0; 46];
            assert_eq!(text(shown.parse().unwrap(), &mut room), shown.as_bytes());
        }
    }
}
