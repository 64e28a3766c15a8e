//! From bytes to a segment: addresses, ports, flags, lengths.

use proxy_common::{Addr, FlowKey, Port, Reason, proto};

use crate::{
    frame::Frame,
    headers::{ETHERNET_LEN, IPV4_L4, IPV6_L4, Ipv4, Ipv6, Tcp},
};

/// A TCP segment in a frame whose headers stand at fixed offsets.
pub struct Segment {
    pub key: FlowKey,
    /// Bits of [`Tcp`].
    pub flags: u8,
    /// Bytes of the TCP header, options included.
    pub header: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Bytes of TCP payload, all GSO segments together.
    pub payload: u32,
    /// IP length of the first segment on the wire, for the routing table's MTU check; 0 when the packet
    /// will be cut before it is sent.
    pub ip_len: u16,
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
    /// Not TCP (or not whole), so that it cannot be balanced; `Some` when it deserves a count.
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
        key: key(Addr::mapped(ip.src), Addr::mapped(ip.dst), &tcp),
        flags: tcp.flags,
        header: (tcp.data_offset >> 4) * 4,
        ttl: ip.ttl,
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
        key: key(Addr { words: ip.src }, Addr { words: ip.dst }, &tcp),
        flags: tcp.flags,
        header: (tcp.data_offset >> 4) * 4,
        ttl: ip.hop_limit,
        payload,
        ip_len: wire_len(frame, wire),
    })
}

#[inline(always)]
fn key(src: Addr, dst: Addr, tcp: &Tcp) -> FlowKey {
    FlowKey {
        src,
        dst,
        sport: Port { be: tcp.sport },
        dport: Port { be: tcp.dport },
        proto: proto::TCP,
        hook: 0,
        reserved: 0,
    }
}
