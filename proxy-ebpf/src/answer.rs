//! What clients are told in the balancer's own name: a reset, or an ICMP error, made of the packet it is about and
//! sent back where that came from. Written when everything else is decided, so that the stack is free for it.

use proxy_common::{ANSWER_DROP, ANSWER_RESET, ANSWER_UNREACHABLE, Reason, proto};

use crate::{
    checksum::{finish, join, whole},
    frame::{Frame, Verdict},
    headers::{
        ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ethernet, IPV4_L4, IPV6_L4, Icmp, Ipv4, Ipv6,
        Tcp, Udp,
    },
    tables::Tables,
};

/// What is to be said.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// One of the numbers below.
    pub kind: u32,
    /// Of [`Self::TOO_BIG`]: what would fit, in bytes of the IP packet.
    pub mtu: u32,
}

impl Answer {
    /// A reset; ICMP "port unreachable" about a datagram.
    pub const RESET: u32 = 1;
    /// ICMP: communication administratively prohibited.
    pub const PROHIBITED: u32 = 2;
    /// ICMP: host unreachable, or ICMPv6: address unreachable.
    pub const NO_HOST: u32 = 3;
    /// ICMP: fragmentation needed, or ICMPv6: packet too big.
    pub const TOO_BIG: u32 = 4;

    /// A packet is longer than its way, which takes `mtu` bytes of which `outer` are not the packet's.
    #[inline(always)]
    pub fn too_big(&mut self, mtu: u16, outer: u16) -> Verdict {
        if mtu <= outer {
            return Verdict::Drop;
        }
        self.kind = Self::TOO_BIG;
        self.mtu = u32::from(mtu - outer);
        Verdict::Answer
    }
}

/// ICMP answers in a second, as many as Linux sends by itself.
const LIMIT: u32 = 1000;
const SECOND: u64 = 1_000_000_000;

/// Time to live, and hop limit.
const TTL: u8 = 64;
/// "Don't fragment".
const DF: u16 = 0x4000_u16.to_be();

/// Type and code over IPv4 (RFC 792, RFC 1812 section 5.2.7.1) and over IPv6 (RFC 4443 section 3.1).
#[inline(always)]
fn code(kind: u32, v6: bool) -> (u8, u8) {
    match (kind, v6) {
        (Answer::PROHIBITED, false) => (3, 13),
        (Answer::PROHIBITED, true) => (1, 1),
        (Answer::NO_HOST, false) => (3, 1),
        (Answer::NO_HOST, true) => (1, 3),
        // RFC 1191 section 4; RFC 4443 section 3.2.
        (Answer::TOO_BIG, false) => (3, 4),
        (Answer::TOO_BIG, true) => (2, 0),
        (_, false) => (3, 3),
        (_, true) => (1, 4),
    }
}

/// What one of `ANSWER_*` comes to; `unreachable` is the ICMP error meant.
#[inline(always)]
pub fn of(answer: &mut Answer, how: u8, unreachable: u32) -> Verdict {
    match how {
        ANSWER_DROP => Verdict::Drop,
        ANSWER_RESET => {
            answer.kind = Answer::RESET;
            Verdict::Answer
        }
        ANSWER_UNREACHABLE => {
            answer.kind = unreachable;
            Verdict::Answer
        }
        _ => Verdict::Pass,
    }
}

/// Turns the frame into the answer, and sends it back.
#[inline(never)]
pub fn give<F: Frame, T: Tables>(frame: &mut F, tables: &T, answer: &Answer) -> Verdict {
    let Some(ethernet) = frame.load::<Ethernet>(0) else { return Verdict::Drop };
    let given = match ethernet.ethertype {
        ETHERTYPE_IPV4 => ipv4(frame, tables, answer),
        ETHERTYPE_IPV6 => ipv6(frame, tables, answer),
        _ => Given::No,
    };
    let back = Ethernet { dst: ethernet.src, src: ethernet.dst, ethertype: ethernet.ethertype };
    match given {
        Given::Yes(reason) if frame.store_summed(0, &back) => {
            tables.count(reason);
            frame.reply()
        }
        Given::Limited => Verdict::Drop,
        _ => {
            tables.count(Reason::RewriteFailed);
            Verdict::Drop
        }
    }
}

/// What came of an answer.
enum Given {
    Yes(Reason),
    Limited,
    No,
}

/// Whether one more ICMP error may be sent (RFC 4443 section 2.4 (f)).
#[inline(always)]
fn may_send(tables: &impl Tables) -> bool {
    let now = tables.now_ns();
    let sent = tables.answer_rate().is_none_or(|rate| rate.admit(now, SECOND, LIMIT));
    if !sent {
        tables.count(Reason::AnswerLimited);
    }
    sent
}

#[inline(always)]
fn ipv4<F: Frame, T: Tables>(frame: &mut F, tables: &T, answer: &Answer) -> Given {
    let Some(ip) = frame.load::<Ipv4>(ETHERNET_LEN) else { return Given::No };
    if ip.protocol == proto::TCP && answer.kind == Answer::RESET {
        let Some(tcp) = frame.load::<Tcp>(IPV4_L4) else { return Given::No };
        let taken = u16::from_be(ip.total_len).wrapping_sub(size_of::<Ipv4>() as u16);
        let header = Ipv4 { protocol: proto::TCP, ..own_ipv4(&ip, size_of::<Tcp>() as u16) };
        let pseudo = sum4([ip.src, ip.dst, proto_word(proto::TCP), len_word(size_of::<Tcp>())]);
        let done = reset(frame, IPV4_L4, &tcp, u32::from(taken), pseudo)
            && frame.store_summed(ETHERNET_LEN, &with_check(header))
            && frame.cut((IPV4_L4 + size_of::<Tcp>()) as u32);
        return if done { Given::Yes(Reason::Reset) } else { Given::No };
    }
    // What may be cut would have to be: that is not done here, nor is its sender told.
    if answer.kind == Answer::TOO_BIG && ip.fragment & DF == 0 {
        return Given::Limited;
    }
    if !may_send(tables) {
        return Given::Limited;
    }
    let Some((quoted, transport)) = quote(frame, IPV4_L4, ip.protocol) else { return Given::No };
    const ROOM: usize = size_of::<Ipv4>() + size_of::<Icmp>();
    let length = size_of::<Icmp>() + size_of::<Ipv4>() + quoted;
    let header = Ipv4 { protocol: proto::ICMP, ..own_ipv4(&ip, length as u16) };
    let (kind, code) = code(answer.kind, false);
    // A header with its own checksum sums up to nothing.
    let rest = if answer.kind == Answer::TOO_BIG { answer.mtu.to_be() } else { 0 };
    let check = finish(join(transport, join(type_word(kind, code), rest)));
    let icmp = Icmp { kind, code, check, rest };
    let done = frame.make_room(ROOM)
        && frame.store_summed(ETHERNET_LEN, &with_check(header))
        && frame.store_summed(IPV4_L4, &icmp)
        && frame.cut((ETHERNET_LEN + size_of::<Ipv4>() + length) as u32);
    if done { Given::Yes(Reason::Unreachable) } else { Given::No }
}

#[inline(always)]
fn ipv6<F: Frame, T: Tables>(frame: &mut F, tables: &T, answer: &Answer) -> Given {
    let Some(ip) = frame.load::<Ipv6>(ETHERNET_LEN) else { return Given::No };
    let addresses = join(sum4(ip.src), sum4(ip.dst));
    if ip.next_header == proto::TCP && answer.kind == Answer::RESET {
        let Some(tcp) = frame.load::<Tcp>(IPV6_L4) else { return Given::No };
        let taken = u32::from(u16::from_be(ip.payload_len));
        let header = own_ipv6(&ip, proto::TCP, size_of::<Tcp>());
        let lengths = sum4([proto_word(proto::TCP), len_word(size_of::<Tcp>()), 0, 0]);
        let done = reset(frame, IPV6_L4, &tcp, taken, join(addresses, lengths))
            && frame.store_summed(ETHERNET_LEN, &header)
            && frame.cut((IPV6_L4 + size_of::<Tcp>()) as u32);
        return if done { Given::Yes(Reason::Reset) } else { Given::No };
    }
    if !may_send(tables) {
        return Given::Limited;
    }
    let Some((quoted, transport)) = quote(frame, IPV6_L4, ip.next_header) else { return Given::No };
    const ROOM: usize = size_of::<Ipv6>() + size_of::<Icmp>();
    let length = size_of::<Icmp>() + size_of::<Ipv6>() + quoted;
    let header = own_ipv6(&ip, proto::ICMPV6, length);
    let (kind, code) = code(answer.kind, true);
    let [first, second] = [ip.version_class_flow, front_word(&ip)];
    let quoted_ip = join(addresses, sum4([first, second, 0, 0]));
    let pseudo = join(addresses, sum4([proto_word(proto::ICMPV6), len_word(length), 0, 0]));
    let rest = if answer.kind == Answer::TOO_BIG { answer.mtu.to_be() } else { 0 };
    let message = join(join(type_word(kind, code), rest), join(quoted_ip, transport));
    let icmp = Icmp { kind, code, check: finish(join(pseudo, message)), rest };
    let done = frame.make_room(ROOM)
        && frame.store_summed(ETHERNET_LEN, &header)
        && frame.store_summed(IPV6_L4, &icmp)
        && frame.cut((ETHERNET_LEN + size_of::<Ipv6>() + length) as u32);
    if done { Given::Yes(Reason::Unreachable) } else { Given::No }
}

/// Writes a reset over the TCP header of a SYN, whose segment takes so many bytes (RFC 9293 section 3.10.7.1).
#[inline(always)]
fn reset<F: Frame>(frame: &mut F, l4: usize, tcp: &Tcp, taken: u32, pseudo: u32) -> bool {
    let payload = taken.wrapping_sub(u32::from(tcp.data_offset >> 4) * 4);
    let ack = u32::from_be(tcp.seq).wrapping_add(payload).wrapping_add(1);
    let unfinished = frame.is_unfinished(l4 + Tcp::CHECK);
    let mut answer = Tcp {
        sport: tcp.dport,
        dport: tcp.sport,
        seq: 0,
        ack: ack.to_be(),
        data_offset: (size_of::<Tcp>() as u8 / 4) << 4,
        flags: Tcp::RST | Tcp::ACK,
        window: 0,
        check: 0,
        urgent: 0,
    };
    answer.check =
        if unfinished { !finish(pseudo) } else { finish(join(pseudo, tcp_sum(&answer))) };
    frame.store_summed(l4, &answer)
}

/// How many bytes of the transport header are quoted, and their sum once they are on the wire.
#[inline(always)]
fn quote<F: Frame>(frame: &mut F, l4: usize, protocol: u8) -> Option<(usize, u32)> {
    if protocol == proto::TCP {
        let tcp = frame.load::<Tcp>(l4)?;
        if frame.is_unfinished(l4 + Tcp::CHECK) {
            // What the hardware makes of it sums up to the opposite of what stands there.
            return Some((size_of::<Tcp>(), u32::from(!tcp.check)));
        }
        return Some((size_of::<Tcp>(), join(tcp_sum(&tcp), u32::from(tcp.check))));
    }
    if protocol != proto::UDP {
        return None;
    }
    let udp = frame.load::<Udp>(l4)?;
    if udp.check != 0 && frame.is_unfinished(l4 + Udp::CHECK) {
        return Some((size_of::<Udp>(), u32::from(!udp.check)));
    }
    let words = [udp.sport, udp.dport, udp.len, udp.check].map(u32::from);
    Some((size_of::<Udp>(), sum4(words)))
}

/// Everything but the checksum.
#[inline(always)]
fn tcp_sum(tcp: &Tcp) -> u32 {
    let ports = [u32::from(tcp.sport), u32::from(tcp.dport), tcp.seq, tcp.ack];
    let flags = u32::from(u16::from_ne_bytes([tcp.data_offset, tcp.flags]));
    join(sum4(ports), sum4([flags, u32::from(tcp.window), u32::from(tcp.urgent), 0]))
}

#[inline(always)]
fn sum4(words: [u32; 4]) -> u32 {
    join(join(words[0], words[1]), join(words[2], words[3]))
}

/// A protocol number in a pseudo-header.
#[inline(always)]
fn proto_word(protocol: u8) -> u32 {
    u32::from(u16::from_ne_bytes([0, protocol]))
}

/// A length in a pseudo-header.
#[inline(always)]
fn len_word(length: usize) -> u32 {
    u32::from((length as u16).to_be())
}

#[inline(always)]
fn type_word(kind: u8, code: u8) -> u32 {
    u32::from(u16::from_ne_bytes([kind, code]))
}

/// The second word of an IPv6 header.
#[inline(always)]
fn front_word(ip: &Ipv6) -> u32 {
    let [a, b] = ip.payload_len.to_ne_bytes();
    u32::from_ne_bytes([a, b, ip.next_header, ip.hop_limit])
}

/// A header of the listener's own, back to the client, without protocol and checksum.
#[inline(always)]
fn own_ipv4(ip: &Ipv4, payload: u16) -> Ipv4 {
    Ipv4 {
        version_ihl: Ipv4::PLAIN,
        tos: 0,
        total_len: (payload + size_of::<Ipv4>() as u16).to_be(),
        id: 0,
        fragment: DF,
        ttl: TTL,
        protocol: 0,
        check: 0,
        src: ip.dst,
        dst: ip.src,
    }
}

#[inline(always)]
fn with_check(header: Ipv4) -> Ipv4 {
    let check = whole(&[
        u32::from_ne_bytes([header.version_ihl, header.tos, 0, 0]),
        u32::from(header.total_len),
        u32::from(header.fragment),
        u32::from_ne_bytes([header.ttl, header.protocol, 0, 0]),
        header.src,
        header.dst,
    ]);
    Ipv4 { check, ..header }
}

#[inline(always)]
fn own_ipv6(ip: &Ipv6, next_header: u8, payload: usize) -> Ipv6 {
    Ipv6 {
        version_class_flow: u32::from_ne_bytes([0x60, 0, 0, 0]),
        payload_len: (payload as u16).to_be(),
        next_header,
        hop_limit: TTL,
        src: ip.dst,
        dst: ip.src,
    }
}
