//! Frames written from scratch, with full checksums, to compare with what the programs made.

use std::net::{IpAddr, SocketAddr};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

pub(crate) type Mac = [u8; 6];

/// A TCP segment in an Ethernet frame.
#[derive(Clone, Debug)]
pub(crate) struct Tcp {
    pub(crate) macs: (Mac, Mac),
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) flags: u8,
    pub(crate) ttl: u8,
    pub(crate) payload: &'static [u8],
    /// A multiple of four bytes.
    pub(crate) options: Vec<u8>,
}

impl Tcp {
    /// From client to VIP or the like, with made-up MACs and a TTL of 64.
    pub(crate) fn new(src: SocketAddr, dst: SocketAddr, flags: u8) -> Self {
        let macs = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        Self { macs, src, dst, flags, ttl: 64, payload: b"", options: Vec::new() }
    }

    pub(crate) fn payload(mut self, payload: &'static [u8]) -> Self {
        self.payload = payload;
        self
    }

    pub(crate) fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    pub(crate) fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// As it is expected after one hop.
    pub(crate) fn forwarded(&self, src: SocketAddr, dst: SocketAddr) -> Self {
        Self { src, dst, ttl: self.ttl - 1, ..self.clone() }
    }

    pub(crate) fn macs(mut self, dst: Mac, src: Mac) -> Self {
        self.macs = (dst, src);
        self
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.src.port().to_be_bytes());
        tcp.extend(self.dst.port().to_be_bytes());
        tcp.extend(1000_u32.to_be_bytes());
        tcp.extend(2000_u32.to_be_bytes());
        tcp.extend([((5 + self.options.len() / 4) << 4) as u8, self.flags]);
        tcp.extend(64240_u16.to_be_bytes());
        tcp.extend([0; 4]);
        tcp.extend(&self.options);
        tcp.extend(self.payload);
        let check = l4_checksum(self.src.ip(), self.dst.ip(), 6, &tcp);
        tcp[16..18].copy_from_slice(&check);
        ethernet(self.macs, self.src.ip(), self.dst.ip(), 6, self.ttl, &tcp)
    }
}

/// A UDP datagram in an Ethernet frame.
#[derive(Clone, Debug)]
pub(crate) struct Udp {
    pub(crate) macs: (Mac, Mac),
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) ttl: u8,
    pub(crate) payload: Vec<u8>,
}

impl Udp {
    pub(crate) fn new(src: SocketAddr, dst: SocketAddr, payload: &[u8]) -> Self {
        let macs = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        Self { macs, src, dst, ttl: 64, payload: payload.to_vec() }
    }

    /// As it is expected after one hop.
    pub(crate) fn forwarded(&self, src: SocketAddr, dst: SocketAddr) -> Self {
        Self { src, dst, ttl: self.ttl - 1, ..self.clone() }
    }

    fn datagram(&self) -> Vec<u8> {
        let mut udp = Vec::new();
        udp.extend(self.src.port().to_be_bytes());
        udp.extend(self.dst.port().to_be_bytes());
        udp.extend((8 + self.payload.len() as u16).to_be_bytes());
        udp.extend([0; 2]);
        udp.extend(&self.payload);
        let mut check = l4_checksum(self.src.ip(), self.dst.ip(), 17, &udp);
        if check == [0; 2] {
            check = [0xff; 2];
        }
        udp[6..8].copy_from_slice(&check);
        udp
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        ethernet(self.macs, self.src.ip(), self.dst.ip(), 17, self.ttl, &self.datagram())
    }

    /// The same in pieces, all but the last with so many bytes behind the IP header (a multiple of eight).
    pub(crate) fn fragments(&self, size: usize) -> Vec<Vec<u8>> {
        let datagram = self.datagram();
        let pieces = datagram.chunks(size);
        let last = pieces.len() - 1;
        let (src, dst) = (self.src.ip(), self.dst.ip());
        pieces
            .enumerate()
            .map(|(number, piece)| {
                let offset = (number * size) as u16;
                let more = number < last;
                if src.is_ipv4() {
                    let mut frame = ethernet(self.macs, src, dst, 17, self.ttl, piece);
                    let word = (offset / 8) | if more { 0x2000 } else { 0 };
                    frame[20..22].copy_from_slice(&word.to_be_bytes());
                    frame[24..26].fill(0);
                    let check = checksum(&frame[14..34]);
                    frame[24..26].copy_from_slice(&check);
                    frame
                } else {
                    let word = offset | u16::from(more);
                    let mut behind = vec![17, 0];
                    behind.extend(word.to_be_bytes());
                    behind.extend([1, 2, 3, 4]);
                    behind.extend(piece);
                    ethernet(self.macs, src, dst, 44, self.ttl, &behind)
                }
            })
            .collect()
    }
}

/// An ICMP error about a whole frame, of which so many bytes behind the IP header are quoted.
pub(crate) fn icmp_about(
    router: IpAddr,
    to: IpAddr,
    ttl: u8,
    (kind, code): (u8, u8),
    quoted: &[u8],
    length: usize,
) -> Vec<u8> {
    let v6 = router.is_ipv6();
    let ip_len = if v6 { 40 } else { 20 };
    let mut icmp = vec![kind, code, 0, 0];
    icmp.extend(1400_u32.to_be_bytes());
    icmp.extend(&quoted[14..14 + ip_len + length]);
    let check = if v6 { l4_checksum(router, to, 58, &icmp) } else { checksum(&icmp) };
    icmp[2..4].copy_from_slice(&check);
    let macs = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    ethernet(macs, router, to, if v6 { 58 } else { 1 }, ttl, &icmp)
}

/// An ICMP error from `router` to the sender of `quoted`, which quotes the first 8 bytes of its payload.
pub(crate) fn icmp_error(router: IpAddr, to: IpAddr, ttl: u8, quoted: &Tcp) -> Vec<u8> {
    // Fragmentation needed, or packet too big; MTU 1400 in both.
    let what = if router.is_ipv6() { (2, 0) } else { (3, 4) };
    icmp(router, to, ttl, what, quoted, 8)
}

/// The same for any kind and code, and so many bytes quoted behind the IP header.
pub(crate) fn icmp(
    router: IpAddr,
    to: IpAddr,
    ttl: u8,
    (kind, code): (u8, u8),
    quoted: &Tcp,
    length: usize,
) -> Vec<u8> {
    icmp_about(router, to, ttl, (kind, code), &quoted.bytes(), length)
}

/// Makes the checksum of an ICMP message right again.
pub(crate) fn fix_icmp(frame: &mut [u8], from: IpAddr, to: IpAddr) {
    let message = &mut frame[if from.is_ipv6() { 54 } else { 34 }..];
    message[2..4].fill(0);
    let check = if from.is_ipv6() { l4_checksum(from, to, 58, message) } else { checksum(message) };
    message[2..4].copy_from_slice(&check);
}

/// RFC 1071.
pub(crate) fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

pub(crate) fn l4_checksum(src: IpAddr, dst: IpAddr, proto: u8, segment: &[u8]) -> [u8; 2] {
    let mut pseudo = [octets(src), octets(dst)].concat();
    pseudo.extend((segment.len() as u32).to_be_bytes());
    pseudo.extend([0, 0, 0, proto]);
    pseudo.extend(segment);
    checksum(&pseudo)
}

fn ethernet(
    (to, from): (Mac, Mac),
    src: IpAddr,
    dst: IpAddr,
    proto: u8,
    ttl: u8,
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = [to, from].concat();
    if src.is_ipv4() {
        frame.extend([0x08, 0x00]);
        let mut ip = vec![0x45, 0];
        ip.extend((20 + payload.len() as u16).to_be_bytes());
        ip.extend([0x12, 0x34, 0x40, 0, ttl, proto, 0, 0]);
        ip.extend(octets(src));
        ip.extend(octets(dst));
        let check = checksum(&ip);
        ip[10..12].copy_from_slice(&check);
        frame.extend(ip);
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((payload.len() as u16).to_be_bytes());
        frame.extend([proto, ttl]);
        frame.extend(octets(src));
        frame.extend(octets(dst));
    }
    frame.extend(payload);
    frame
}
