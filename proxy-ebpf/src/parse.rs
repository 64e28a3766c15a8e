//! From bytes to a segment or datagram: addresses, ports, flags, lengths.

use proxy_common::{Addr, FlowKey, Port, Reason, proto};

use crate::{
    frame::Frame,
    headers::{ETHERNET_LEN, IPV4_L4, IPV6_L4, Ipv4, Ipv6, Tcp, Udp},
};

/// A TCP segment or a UDP datagram in a frame whose headers stand at fixed offsets.
pub struct Segment {
    pub key: FlowKey,
    /// Bits of [`Tcp`]; none in a datagram.
    pub flags: u8,
    /// Bytes of the transport header, options included.
    pub header: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Header checksum of IPv4.
    pub check: u16,
    /// Bytes of payload, all GSO segments together.
    pub payload: u32,
    /// IP length of the first segment on the wire, for the routing table's MTU check; 0 when the packet
    /// will be cut before it is sent.
    pub ip_len: u16,
    /// Where the transport header of a datagram stands.
    pub l4: usize,
}

impl Segment {
    /// A SYN that asks for a connection.
    #[inline(always)]
    pub fn is_pure_syn(&self) -> bool {
        self.flags & (Tcp::SYN | Tcp::ACK | Tcp::RST | Tcp::FIN) == Tcp::SYN
    }

    /// Whether the segment may change the state of the connection by its flags alone.
    #[inline(always)]
    pub fn is_control(&self) -> bool {
        self.flags & (Tcp::SYN | Tcp::RST | Tcp::FIN) != 0
    }
}

/// What a frame turned out to be.
pub enum Parsed {
    /// A segment whose lengths are right.
    Segment(Segment),
    /// Neither TCP nor UDP (or not whole), so that it cannot be balanced; `Some` when it deserves a count.
    Other(Option<Reason>),
}

/// Length checks both families share. `ip_len` is 0 in jumbo GSO packets.
#[inline(always)]
fn payload(frame: &impl Frame, headers: u32, ip_len: u32, tcp: &Tcp) -> Option<u32> {
    let tcp_len = u32::from(tcp.data_offset >> 4) * 4;
    if tcp_len < size_of::<Tcp>() as u32 {
        return None;
    }
    let held = frame.frame_len().wrapping_sub(ETHERNET_LEN as u32);
    let total = if ip_len == 0 { held } else { ip_len };
    if total > held {
        return None;
    }
    total.checked_sub(headers + tcp_len)
}

#[inline(always)]
fn wire_len(frame: &impl Frame, ip_len: u16) -> u16 {
    if frame.segments() > 1 { 0 } else { ip_len }
}

/// Reads an IPv4 frame whose first header is known to be TCP in an unfragmented packet.
#[inline(always)]
pub fn ipv4(frame: &impl Frame, ip: &Ipv4) -> Parsed {
    if ip.version_ihl != Ipv4::PLAIN || ip.fragment & Ipv4::FRAGMENT_MASK != 0 {
        return Parsed::Other(Some(Reason::NotSimple));
    }
    let Some(tcp) = frame.load::<Tcp>(IPV4_L4) else {
        return Parsed::Other(Some(Reason::Malformed));
    };
    let ip_len = u16::from_be(ip.total_len);
    let Some(payload) = payload(frame, size_of::<Ipv4>() as u32, u32::from(ip_len), &tcp) else {
        return Parsed::Other(Some(Reason::Malformed));
    };
    Parsed::Segment(Segment {
        key: key(Addr::mapped(ip.src), Addr::mapped(ip.dst), tcp.sport, tcp.dport, proto::TCP),
        l4: IPV4_L4,
        flags: tcp.flags,
        header: (tcp.data_offset >> 4) * 4,
        ttl: ip.ttl,
        check: ip.check,
        payload,
        ip_len: wire_len(frame, ip_len),
    })
}

/// Reads an IPv6 frame whose next header is known to be TCP.
#[inline(always)]
pub fn ipv6(frame: &impl Frame, ip: &Ipv6) -> Parsed {
    let Some(tcp) = frame.load::<Tcp>(IPV6_L4) else {
        return Parsed::Other(Some(Reason::Malformed));
    };
    let header = size_of::<Ipv6>() as u32;
    let ip_len = match u16::from_be(ip.payload_len) {
        0 => 0,
        len => u32::from(len) + header,
    };
    let Some(payload) = payload(frame, header, ip_len, &tcp) else {
        return Parsed::Other(Some(Reason::Malformed));
    };
    let wire = if ip_len > 0xffff { 0 } else { ip_len as u16 };
    Parsed::Segment(Segment {
        key: key(Addr { words: ip.src }, Addr { words: ip.dst }, tcp.sport, tcp.dport, proto::TCP),
        l4: IPV6_L4,
        flags: tcp.flags,
        header: (tcp.data_offset >> 4) * 4,
        ttl: ip.hop_limit,
        check: 0,
        payload,
        ip_len: wire_len(frame, wire),
    })
}

/// Reads an IPv4 frame whose first header is known to be UDP, in a whole packet or in the first fragment of one.
#[inline(always)]
pub fn datagram_v4(frame: &impl Frame, ip: &Ipv4) -> Parsed {
    if ip.version_ihl != Ipv4::PLAIN {
        return Parsed::Other(Some(Reason::NotSimple));
    }
    let Some(udp) = frame.load::<Udp>(IPV4_L4) else {
        return Parsed::Other(Some(Reason::Malformed));
    };
    let ip_len = u16::from_be(ip.total_len);
    let fragmented = ip.fragment & Ipv4::FRAGMENT_MASK != 0;
    let room = u32::from(ip_len).checked_sub(size_of::<Ipv4>() as u32);
    let Some(payload) = datagram_payload(frame, u32::from(ip_len), room, &udp, fragmented) else {
        return Parsed::Other(Some(Reason::Malformed));
    };
    Parsed::Segment(Segment {
        key: key(Addr::mapped(ip.src), Addr::mapped(ip.dst), udp.sport, udp.dport, proto::UDP),
        l4: IPV4_L4,
        flags: 0,
        header: size_of::<Udp>() as u8,
        ttl: ip.ttl,
        check: ip.check,
        payload,
        ip_len: wire_len(frame, ip_len),
    })
}

/// Reads an IPv6 frame whose UDP header is known to stand at `l4`, behind a fragment header or not.
#[inline(always)]
pub fn datagram_v6(frame: &impl Frame, ip: &Ipv6, l4: usize) -> Parsed {
    let Some(udp) = frame.load::<Udp>(l4) else {
        return Parsed::Other(Some(Reason::Malformed));
    };
    let fragmented = l4 != IPV6_L4;
    let ip_len = u32::from(u16::from_be(ip.payload_len)) + size_of::<Ipv6>() as u32;
    let room = ip_len.checked_sub((l4 - ETHERNET_LEN) as u32);
    let Some(payload) = datagram_payload(frame, ip_len, room, &udp, fragmented) else {
        return Parsed::Other(Some(Reason::Malformed));
    };
    let wire = if ip_len > 0xffff { 0 } else { ip_len as u16 };
    Parsed::Segment(Segment {
        key: key(Addr { words: ip.src }, Addr { words: ip.dst }, udp.sport, udp.dport, proto::UDP),
        l4,
        flags: 0,
        header: size_of::<Udp>() as u8,
        ttl: ip.hop_limit,
        check: 0,
        payload,
        ip_len: wire_len(frame, wire),
    })
}

/// Payload in this packet, `None` when lengths do not fit. `room` is what the IP header leaves for UDP.
#[inline(always)]
fn datagram_payload(
    frame: &impl Frame,
    ip_len: u32,
    room: Option<u32>,
    udp: &Udp,
    fragmented: bool,
) -> Option<u32> {
    const HEADER: u32 = size_of::<Udp>() as u32;
    let room = room?;
    let len = u32::from(u16::from_be(udp.len));
    if ip_len > frame.frame_len().wrapping_sub(ETHERNET_LEN as u32) || len < HEADER {
        return None;
    }
    if fragmented {
        return room.checked_sub(HEADER);
    }
    if len > room { None } else { Some(len - HEADER) }
}

#[inline(always)]
fn key(src: Addr, dst: Addr, sport: u16, dport: u16, proto: u8) -> FlowKey {
    FlowKey {
        src,
        dst,
        sport: Port { be: sport },
        dport: Port { be: dport },
        proto,
        hook: 0,
        reserved: 0,
    }
}
