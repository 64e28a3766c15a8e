//! Headers as they stand in a frame. Fields wider than a byte are in network byte order, as loaded.

/// Marks types that may be read from and written to any bytes.
///
/// # Safety
///
/// `repr(C)`, integers only, no padding, at most four bytes of alignment.
pub unsafe trait Header: Copy {}

/// Length of the Ethernet header, where the IP header begins.
pub const ETHERNET_LEN: usize = 14;
/// Where the transport header begins in an IPv4 frame (headers with options are not taken).
pub const IPV4_L4: usize = ETHERNET_LEN + size_of::<Ipv4>();
/// Where the transport header begins in an IPv6 frame (extension headers are not taken).
pub const IPV6_L4: usize = ETHERNET_LEN + size_of::<Ipv6>();

pub const ETHERTYPE_IPV4: u16 = 0x0800_u16.to_be();
pub const ETHERTYPE_IPV6: u16 = 0x86dd_u16.to_be();

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ethernet {
    pub dst: [u8; 6],
    pub src: [u8; 6],
    pub ethertype: u16,
}

/// RFC 791 section 3.1, without options.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv4 {
    pub version_ihl: u8,
    pub tos: u8,
    pub total_len: u16,
    pub id: u16,
    pub fragment: u16,
    pub ttl: u8,
    pub protocol: u8,
    pub check: u16,
    pub src: u32,
    pub dst: u32,
}

impl Ipv4 {
    /// Version 4, five words.
    pub const PLAIN: u8 = 0x45;
    /// "More fragments" and the fragment offset: set in every fragment.
    pub const FRAGMENT_MASK: u16 = 0x3fff_u16.to_be();
    /// The fragment offset alone: zero in the first fragment.
    pub const OFFSET_MASK: u16 = 0x1fff_u16.to_be();
    pub const TTL_OFFSET: usize = ETHERNET_LEN + 8;
    pub const CHECK_OFFSET: usize = ETHERNET_LEN + 10;
    pub const SRC_OFFSET: usize = ETHERNET_LEN + 12;
}

/// What of an IPv4 packet translation changes, in one piece: the end of its header, and the ports behind it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv4Change {
    pub ttl: u8,
    pub protocol: u8,
    pub check: u16,
    pub src: u32,
    pub dst: u32,
    pub ports: Ports,
}

/// The same without the ports.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv4Tail {
    pub ttl: u8,
    pub protocol: u8,
    pub check: u16,
    pub src: u32,
    pub dst: u32,
}

/// RFC 8200 section 3.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv6 {
    pub version_class_flow: u32,
    pub payload_len: u16,
    pub next_header: u8,
    pub hop_limit: u8,
    pub src: [u32; 4],
    pub dst: [u32; 4],
}

impl Ipv6 {
    pub const HOP_LIMIT_OFFSET: usize = ETHERNET_LEN + 7;
    pub const SRC_OFFSET: usize = ETHERNET_LEN + 8;
}

/// RFC 8200 section 4.5.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Ipv6Fragment {
    pub next_header: u8,
    pub reserved: u8,
    pub offset: u16,
    pub id: u32,
}

impl Ipv6Fragment {
    /// The fragment offset: zero in the first fragment.
    pub const OFFSET_MASK: u16 = 0xfff8_u16.to_be();
    /// IANA protocol number of the header.
    pub const NUMBER: u8 = 44;
}

/// RFC 768.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Udp {
    pub sport: u16,
    pub dport: u16,
    pub len: u16,
    pub check: u16,
}

impl Udp {
    /// Offset of the checksum within the header.
    pub const CHECK: usize = 6;
}

/// RFC 9293 section 3.1.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Tcp {
    pub sport: u16,
    pub dport: u16,
    pub seq: u32,
    pub ack: u32,
    pub data_offset: u8,
    pub flags: u8,
    pub window: u16,
    pub check: u16,
    pub urgent: u16,
}

impl Tcp {
    /// Offset of the checksum within the header.
    pub const CHECK: usize = 16;
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const ACK: u8 = 16;
}

/// First four bytes of TCP and UDP.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Ports {
    pub sport: u16,
    pub dport: u16,
}

impl Ports {
    /// Both as one word, in memory order.
    #[inline(always)]
    pub fn word(self) -> u32 {
        let [a, b] = self.sport.to_ne_bytes();
        let [c, d] = self.dport.to_ne_bytes();
        u32::from_ne_bytes([a, b, c, d])
    }
}

/// First eight bytes of ICMP and ICMPv6 (RFC 792, RFC 4443 section 2.1).
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub check: u16,
    pub rest: u32,
}

impl Icmp {
    /// Offset of the checksum within the header.
    pub const CHECK: usize = 2;
}

// SAFETY: integers.
unsafe impl Header for u8 {}
// SAFETY: integers.
unsafe impl Header for u16 {}
// SAFETY: integers.
unsafe impl Header for u32 {}
// SAFETY: integers.
unsafe impl Header for [u8; 4] {}
// SAFETY: integers.
unsafe impl Header for [u32; 2] {}
// SAFETY: integers.
unsafe impl Header for [u32; 8] {}
// SAFETY: `repr(C)` integers; the assertions below show that nothing is padded.
unsafe impl Header for Ethernet {}
// SAFETY: see `Ethernet`.
unsafe impl Header for Ipv4 {}
// SAFETY: see `Ethernet`.
unsafe impl Header for Ipv4Change {}
// SAFETY: see `Ethernet`.
unsafe impl Header for Ipv4Tail {}
// SAFETY: see `Ethernet`.
unsafe impl Header for Ipv6 {}
// SAFETY: see `Ethernet`.
unsafe impl Header for Ipv6Fragment {}
// SAFETY: see `Ethernet`.
unsafe impl Header for Udp {}
// SAFETY: see `Ethernet`.
unsafe impl Header for Tcp {}
// SAFETY: see `Ethernet`.
unsafe impl Header for Ports {}
// SAFETY: see `Ethernet`.
unsafe impl Header for Icmp {}

const _: () = assert!(size_of::<Ethernet>() == ETHERNET_LEN);
const _: () = assert!(size_of::<Ipv4>() == 20);
const _: () = assert!(size_of::<Ipv4Change>() == 16);
const _: () = assert!(size_of::<Ipv4Tail>() == 12);
const _: () = assert!(size_of::<Ipv6>() == 40);
const _: () = assert!(size_of::<Ipv6Fragment>() == 8);
const _: () = assert!(size_of::<Udp>() == 8);
const _: () = assert!(size_of::<Tcp>() == 20);
const _: () = assert!(size_of::<Ports>() == 4);
const _: () = assert!(size_of::<Icmp>() == 8);
