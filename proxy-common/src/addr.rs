//! Addresses and ports as they stand in a packet.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IPv6 address, or an IPv4 address mapped into `::ffff:0:0/96` (RFC 4291 section 2.5.5.2).
///
/// Four words in memory order, so that the 16 bytes are those of the packet whatever the endianness.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Addr {
    pub words: [u32; 4],
}

impl Addr {
    /// The third word of every mapped IPv4 address.
    pub const MAPPED: u32 = u32::from_ne_bytes([0, 0, 0xff, 0xff]);

    /// Maps the four bytes of an IPv4 address, given as loaded from the packet.
    #[inline(always)]
    pub const fn mapped(word: u32) -> Self {
        Self { words: [0, 0, Self::MAPPED, word] }
    }

    /// Whether this is a mapped IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        self.words[0] == 0 && self.words[1] == 0 && self.words[2] == Self::MAPPED
    }

    /// Whether no address is set (`::`).
    #[inline(always)]
    pub const fn is_unset(&self) -> bool {
        (self.words[0] | self.words[1] | self.words[2] | self.words[3]) == 0
    }

    /// The sixteen bytes in network order.
    pub const fn octets(&self) -> [u8; 16] {
        let mut out = [0; 16];
        let mut i = 0;
        while i < 4 {
            let word = self.words[i].to_ne_bytes();
            let mut j = 0;
            while j < 4 {
                out[i * 4 + j] = word[j];
                j += 1;
            }
            i += 1;
        }
        out
    }

    /// The reverse of [`Self::octets`].
    pub const fn from_octets(octets: [u8; 16]) -> Self {
        let mut words = [0; 4];
        let mut i = 0;
        while i < 4 {
            words[i] = u32::from_ne_bytes([
                octets[i * 4],
                octets[i * 4 + 1],
                octets[i * 4 + 2],
                octets[i * 4 + 3],
            ]);
            i += 1;
        }
        Self { words }
    }
}

impl From<Ipv4Addr> for Addr {
    fn from(ip: Ipv4Addr) -> Self {
        Self::mapped(u32::from_ne_bytes(ip.octets()))
    }
}

impl From<Ipv6Addr> for Addr {
    fn from(ip: Ipv6Addr) -> Self {
        Self::from_octets(ip.octets())
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => ip.into(),
            IpAddr::V6(ip) => ip.into(),
        }
    }
}

impl From<Addr> for IpAddr {
    /// A mapped address becomes an IPv4 one.
    fn from(addr: Addr) -> Self {
        Ipv6Addr::from(addr.octets()).to_canonical()
    }
}

/// A TCP or UDP port in network byte order.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Port {
    /// The two bytes as loaded from the packet.
    pub be: u16,
}

impl Port {
    /// From the port's number.
    #[inline(always)]
    pub const fn new(number: u16) -> Self {
        Self { be: number.to_be() }
    }

    /// The port's number.
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be(self.be)
    }
}

impl From<u16> for Port {
    fn from(number: u16) -> Self {
        Self::new(number)
    }
}

const _: () = assert!(size_of::<Addr>() == 16 && align_of::<Addr>() == 4);
const _: () = assert!(size_of::<Port>() == 2);

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, octets: [u8; 16], v4: bool) {
        let ip: IpAddr = text.parse().unwrap();
        let addr = Addr::from(ip);
        assert_eq!(addr.octets(), octets);
        assert_eq!(Addr::from_octets(octets), addr);
        assert_eq!(addr.is_v4(), v4);
        assert_eq!(IpAddr::from(addr), ip);
    }

    #[test]
    fn addresses_keep_network_order() {
        check("192.0.2.7", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7], true);
        check("2001:db8::1", [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], false);
        check("::", [0; 16], false);
    }

    #[test]
    fn ports_keep_network_order() {
        assert_eq!(Port::new(443).be.to_ne_bytes(), [0x01, 0xbb]);
        assert_eq!(Port::new(443).get(), 443);
    }
}
