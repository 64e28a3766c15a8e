//! Headers of a saved SYN: Ethernet, IP and TCP (configuration manual, 7.3.1; RFC 791, 8200, 9293, IEEE 802.1Q).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::string::made;
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::def::ConvFn;
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

const MODE: &[ArgDef] = &[opt(ArgKind::Int)];

/// A frame with VLAN 5: SYN of 192.0.2.10:40000 to 198.51.100.1:80, TTL 63, DF, window 64240, MSS 1460, SACK permitted,
/// timestamp 287454020, window scale 7.
macro_rules! frame {
    ($rest:literal) => {
        concat!(
            "bin(0200000000010200000000028100000508004500003c1234400040060000c000020ac63364019c40005000000001",
            "00000000a002faf000000000020405b40402080a112233440000000001030307),",
            $rest
        )
    };
}

/// The same from 2001:db8::1 to 2001:db8::2 with a hop-by-hop header and no TCP option, without a frame.
macro_rules! six {
    ($rest:literal) => {
        concat!(
            "bin(62800000001c004020010db800000000000000000000000120010db8000000000000000000000002",
            "06000104000000009c40005000000001000000005002faf000000000),",
            $rest
        )
    };
}

const fn row(name: &'static str, out: Type, run: ConvFn, doc: &'static str) -> ConvDef {
    ConvDef::new(name, &[], Type::Bin, out, run, doc)
}

pub(super) const CONVS: &[ConvDef] = &[
    row("eth.data", Type::Bin, eth_data, "What an Ethernet frame carries.")
        .eg(&[(frame!("eth.data,bytes(0,2),hex"), Some("4500")), ("bin(0102),eth.data", None)]),
    row("eth.dst", Type::Bin, eth_dst, "The receiver of an Ethernet frame.")
        .eg(&[(frame!("eth.dst,hex"), Some("020000000001"))]),
    row("eth.hdr", Type::Bin, eth_hdr, "The header of an Ethernet frame, with its VLANs.")
        .eg(&[(frame!("eth.hdr,hex"), Some("020000000001020000000002810000050800"))]),
    row("eth.proto", Type::Sint, eth_proto, "The EtherType of a frame, behind its VLANs.")
        .eg(&[(frame!("eth.proto"), Some("2048"))]),
    row("eth.src", Type::Bin, eth_src, "The sender of an Ethernet frame.")
        .eg(&[(frame!("eth.src,hex"), Some("020000000002"))]),
    row("eth.vlan", Type::Sint, eth_vlan, "The last VLAN of an Ethernet frame.").eg(&[
        (frame!("eth.vlan"), Some("5")),
        ("bin(0200000000010200000000020800),eth.vlan", None),
    ]),
    row("ip.data", Type::Bin, ip_data, "What an IP packet carries, behind options and extensions.").eg(&[
        (frame!("eth.data,ip.data,bytes(0,4),hex"), Some("9C400050")),
        (six!("ip.data,hex,length"), Some("40")),
        ("bin(4500),ip.data", None),
    ]),
    row("ip.df", Type::Sint, ip_df, "1 when an IP packet must not be fragmented.")
        .eg(&[(frame!("eth.data,ip.df"), Some("1")), (six!("ip.df"), Some("1"))]),
    row("ip.dst", Type::Addr, ip_dst, "The receiver of an IP packet.")
        .eg(&[(frame!("eth.data,ip.dst"), Some("198.51.100.1")), (six!("ip.dst"), Some("2001:db8::2"))]),
    ConvDef::new("ip.fp", MODE, Type::Bin, Type::Bin, ip_fp, "A fingerprint of the sender's IP and TCP; 1 adds the TTL, 2 the kinds of options, 4 the address.")
        .check(check_mode)
        .eg(&[
            (frame!("eth.data,ip.fp,hex"), Some("0050A8FAF005B447")),
            (frame!("eth.data,ip.fp(7),hex"), Some("0050A8FAF005B447400204080103C000020A")),
            (six!("ip.fp(1),hex"), Some("28D850FAF000000040")),
        ]),
    row("ip.hdr", Type::Bin, ip_hdr, "The header of an IP packet, with options and extensions.")
        .eg(&[(frame!("eth.data,ip.hdr,hex,length"), Some("40")), (six!("ip.hdr,hex,length"), Some("96"))]),
    row("ip.proto", Type::Sint, ip_proto, "The number of the protocol that an IP packet carries.")
        .eg(&[(frame!("eth.data,ip.proto"), Some("6")), (six!("ip.proto"), Some("6"))]),
    row("ip.src", Type::Addr, ip_src, "The sender of an IP packet.")
        .eg(&[(frame!("eth.data,ip.src"), Some("192.0.2.10")), (six!("ip.src"), Some("2001:db8::1"))]),
    row("ip.tos", Type::Sint, ip_tos, "The type of service, or traffic class, of an IP packet.")
        .eg(&[(frame!("eth.data,ip.tos"), Some("0")), (six!("ip.tos"), Some("40"))]),
    row("ip.ttl", Type::Sint, ip_ttl, "Hops that an IP packet may still take.")
        .eg(&[(frame!("eth.data,ip.ttl"), Some("64"))]),
    row("ip.ver", Type::Sint, ip_ver, "The version of an IP packet.").eg(&[
        (frame!("eth.data,ip.ver"), Some("4")),
        (six!("ip.ver"), Some("6")),
        ("bin(),ip.ver", None),
    ]),
    row("tcp.dst", Type::Sint, tcp_dst, "The receiver's port of a TCP header.")
        .eg(&[(frame!("eth.data,ip.data,tcp.dst"), Some("80"))]),
    row("tcp.flags", Type::Sint, tcp_flags, "The flags of a TCP header, from FIN (1) to CWR (128).")
        .eg(&[(frame!("eth.data,ip.data,tcp.flags"), Some("2"))]),
    row("tcp.options.mss", Type::Sint, tcp_mss, "The largest segment that a TCP header announces, or 0.")
        .eg(&[(frame!("eth.data,ip.data,tcp.options.mss"), Some("1460")), (six!("ip.data,tcp.options.mss"), Some("0"))]),
    row("tcp.options.sack", Type::Sint, tcp_sack, "1 when a TCP header permits selective acknowledgements.")
        .eg(&[(frame!("eth.data,ip.data,tcp.options.sack"), Some("1"))]),
    row("tcp.options.tsopt", Type::Sint, tcp_tsopt, "1 when a TCP header has a timestamp.")
        .eg(&[(frame!("eth.data,ip.data,tcp.options.tsopt"), Some("1"))]),
    row("tcp.options.tsval", Type::Sint, tcp_tsval, "The timestamp in a TCP header.").eg(&[
        (frame!("eth.data,ip.data,tcp.options.tsval"), Some("287454020")),
        (six!("ip.data,tcp.options.tsval"), None),
    ]),
    row("tcp.options.wscale", Type::Sint, tcp_wscale, "The window scale in a TCP header, or 0.")
        .eg(&[(frame!("eth.data,ip.data,tcp.options.wscale"), Some("7"))]),
    row("tcp.options.wsopt", Type::Sint, tcp_wsopt, "1 when a TCP header has a window scale.")
        .eg(&[(frame!("eth.data,ip.data,tcp.options.wsopt"), Some("1")), (six!("ip.data,tcp.options.wsopt"), Some("0"))]),
    row("tcp.options_list", Type::Bin, tcp_options_list, "The kinds of the options of a TCP header, in order.")
        .eg(&[(frame!("eth.data,ip.data,tcp.options_list,hex"), Some("0204080103"))]),
    row("tcp.seq", Type::Sint, tcp_seq, "The sequence number of a TCP header.")
        .eg(&[(frame!("eth.data,ip.data,tcp.seq"), Some("1"))]),
    row("tcp.src", Type::Sint, tcp_src, "The sender's port of a TCP header.")
        .eg(&[(frame!("eth.data,ip.data,tcp.src"), Some("40000"))]),
    row("tcp.win", Type::Sint, tcp_win, "The window of a TCP header, as it stands there.")
        .eg(&[(frame!("eth.data,ip.data,tcp.win"), Some("64240"))]),
];

/// An Ethernet header.
struct Eth {
    /// Its length, with VLANs.
    len: usize,
    vlan: Option<u16>,
    proto: u16,
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    data.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn be32(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

fn eth(frame: &[u8]) -> Option<Eth> {
    let (mut at, mut vlan) = (12, None);
    loop {
        match be16(frame, at)? {
            0x8100 | 0x88a8 => {
                vlan = Some(be16(frame, at + 2)? & 0xfff);
                at += 4;
            }
            proto => return Some(Eth { len: at + 2, vlan, proto }),
        }
    }
}

/// An IP header.
struct Ip {
    version: u8,
    tos: u8,
    ttl: u8,
    df: bool,
    proto: u8,
    /// Its length, with options or extensions.
    len: usize,
    /// There are some.
    has_options: bool,
    /// Length of the whole packet, as the header says.
    total: usize,
}

fn ip(packet: &[u8]) -> Option<Ip> {
    let first = *packet.first()?;
    match first >> 4 {
        4 => {
            let len = usize::from(first & 0xf) * 4;
            let fixed = packet.get(..20)?;
            (len >= 20 && packet.len() >= len).then_some(())?;
            Some(Ip {
                version: 4,
                tos: fixed[1],
                ttl: fixed[8],
                df: fixed[6] & 0x40 != 0,
                proto: fixed[9],
                len,
                has_options: len > 20,
                total: usize::from(be16(packet, 2)?),
            })
        }
        6 => {
            let fixed = packet.get(..40)?;
            let (mut proto, mut len) = (fixed[6], 40);
            // Hop-by-hop, routing, fragment, authentication and destination options (RFC 8200, 4; RFC 4302).
            while matches!(proto, 0 | 43 | 44 | 51 | 60) {
                let header = packet.get(len..len + 2)?;
                len += match proto {
                    44 => 8,
                    51 => (usize::from(header[1]) + 2) * 4,
                    _ => (usize::from(header[1]) + 1) * 8,
                };
                proto = header[0];
            }
            (packet.len() >= len).then_some(())?;
            Some(Ip {
                version: 6,
                tos: (be16(packet, 0)? >> 4) as u8,
                ttl: fixed[7],
                df: true,
                proto,
                len,
                has_options: len > 40,
                total: usize::from(be16(packet, 4)?) + 40,
            })
        }
        _ => None,
    }
}

/// The header and the options of a TCP segment, as far as they are there.
fn tcp(segment: &[u8]) -> Option<(&[u8], &[u8])> {
    let fixed = segment.get(..20)?;
    let len = usize::from(fixed[12] >> 4) * 4;
    let options = segment.get(20..len.min(segment.len()))?;
    (len >= 20).then_some((fixed, options))
}

/// Kind and value of each option but the ends and fillers; ends at the first that is malformed.
fn options(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || match *rest {
        [] | [0, ..] => None,
        [1, ..] => {
            rest = &rest[1..];
            Some((1, &rest[..0]))
        }
        [kind, len, ..] if len >= 2 && rest.len() >= usize::from(len) => {
            let value = &rest[2..usize::from(len)];
            rest = &rest[usize::from(len)..];
            Some((kind, value))
        }
        _ => None,
    })
}

const MSS: u8 = 2;
const SCALE: u8 = 3;
const SACK: u8 = 4;
const TIMESTAMP: u8 = 8;

fn option(segment: &[u8], kind: u8) -> Option<&[u8]> {
    options(tcp(segment)?.1).find(|(known, _)| *known == kind).map(|(_, value)| value)
}

macro_rules! convs {
    ($($name:ident: |$data:ident| $value:expr;)*) => {
        $(fn $name<'a>(_: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
            let $data = value.bytes()?;
            $value
        })*
    };
}

fn number<'a>(n: impl Into<i64>) -> Option<Sample<'a>> {
    Some(Sample::Int(n.into()))
}

fn addr(packet: &[u8], v4: usize, v6: usize) -> Option<Sample<'_>> {
    match ip(packet)?.version {
        4 => Some(Sample::Ipv4(Ipv4Addr::from(be32(packet, v4)?))),
        _ => {
            let bytes: [u8; 16] = packet.get(v6..v6 + 16)?.try_into().ok()?;
            Some(Sample::Ipv6(Ipv6Addr::from(bytes)))
        }
    }
}

convs! {
    eth_data: |frame| Some(Sample::Bin(frame.get(eth(frame)?.len..)?));
    eth_dst: |frame| eth(frame).and_then(|_| frame.get(..6)).map(Sample::Bin);
    eth_hdr: |frame| Some(Sample::Bin(frame.get(..eth(frame)?.len)?));
    eth_proto: |frame| number(eth(frame)?.proto);
    eth_src: |frame| eth(frame).and_then(|_| frame.get(6..12)).map(Sample::Bin);
    eth_vlan: |frame| number(eth(frame)?.vlan?);
    ip_data: |packet| Some(Sample::Bin(packet.get(ip(packet)?.len..)?));
    ip_df: |packet| number(ip(packet)?.df);
    ip_dst: |packet| addr(packet, 16, 24);
    ip_hdr: |packet| Some(Sample::Bin(packet.get(..ip(packet)?.len)?));
    ip_proto: |packet| number(ip(packet)?.proto);
    ip_src: |packet| addr(packet, 12, 8);
    ip_tos: |packet| number(ip(packet)?.tos);
    ip_ttl: |packet| number(ip(packet)?.ttl);
    ip_ver: |packet| number(packet.first()? >> 4);
    tcp_dst: |segment| number(be16(tcp(segment)?.0, 2)?);
    tcp_flags: |segment| number(tcp(segment)?.0[13]);
    tcp_mss: |segment| tcp(segment).and_then(|_| number(mss(segment)));
    tcp_sack: |segment| tcp(segment).and_then(|_| number(option(segment, SACK).is_some()));
    tcp_tsopt: |segment| tcp(segment).and_then(|_| number(option(segment, TIMESTAMP).is_some()));
    tcp_tsval: |segment| number(be32(option(segment, TIMESTAMP)?, 0)?);
    tcp_wscale: |segment| tcp(segment).and_then(|_| number(scale(segment).unwrap_or(0)));
    tcp_wsopt: |segment| tcp(segment).and_then(|_| number(scale(segment).is_some()));
    tcp_seq: |segment| number(be32(tcp(segment)?.0, 4)?);
    tcp_src: |segment| number(be16(tcp(segment)?.0, 0)?);
    tcp_win: |segment| number(be16(tcp(segment)?.0, 14)?);
}

fn mss(segment: &[u8]) -> u16 {
    option(segment, MSS).and_then(|value| be16(value, 0)).unwrap_or(0)
}

fn scale(segment: &[u8]) -> Option<u8> {
    option(segment, SCALE)?.first().copied()
}

fn tcp_options_list<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let (_, list) = tcp(value.bytes()?)?;
    made(cx, list.len(), |out| out.extend(options(list).map(|(kind, _)| kind))).map(Sample::Bin)
}

fn check_mode(args: &mut Args) -> Result<(), String> {
    match args.int(0) {
        None | Some(0..=7) => Ok(()),
        Some(n) => Err(format!("invalid mode {n}: the sum of some of 1, 2 and 4 is expected")),
    }
}

fn ip_fp<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let packet = value.bytes()?;
    let ip = ip(packet)?;
    let segment = packet.get(ip.len..)?;
    let (fixed, list) = tcp(segment)?;
    (ip.proto == 6).then_some(())?;
    let words = fixed[12] >> 4;
    let hops = match ip.ttl {
        0..=32 => 0,
        33..=64 => 1,
        65..=128 => 2,
        129..=255 => 3u8,
    };
    let has_data = ip.total > ip.len + usize::from(words) * 4;
    let (congested, echo) = (fixed[13] >> 7 & 1, fixed[13] >> 6 & 1);
    let facts = u8::from(ip.version == 6) << 7
        | u8::from(ip.df) << 6
        | hops << 4
        | u8::from(ip.has_options) << 3
        | u8::from(has_data) << 2
        | congested << 1
        | echo;
    let kinds = options(list).fold(0u8, |bits, (kind, _)| match kind {
        2..=8 => bits | 1 << (kind - 2),
        9.. => bits | 1 << 7,
        _ => bits,
    });
    let mode = args.int(0).unwrap_or(0);
    made(cx, 8 + 1 + list.len() + 16, |out| {
        out.extend([ip.tos, facts, words << 4 | scale(segment).map_or(0, |n| n.min(14) + 1)]);
        out.extend_from_slice(&fixed[14..16]);
        out.extend_from_slice(&mss(segment).to_be_bytes());
        out.push(kinds);
        if mode & 1 != 0 {
            out.push(ip.ttl);
        }
        if mode & 2 != 0 {
            out.extend(options(list).map(|(kind, _)| kind));
        }
        if mode & 4 != 0 {
            let source = if ip.version == 4 { &packet[12..16] } else { &packet[8..24] };
            out.extend_from_slice(source);
        }
    })
    .map(Sample::Bin)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn any_packet_is_survived(
            first in proptest::sample::select(vec![0x45u8, 0x4f, 0x60, 0x00]),
            rest in proptest::collection::vec(proptest::num::u8::ANY, 0..120),
        ) {
            let packet = [&[first][..], &rest].concat();
            if let Some(ip) = ip(&packet) {
                assert!(ip.len <= packet.len());
                let segment = &packet[ip.len..];
                let kinds = tcp(segment).map_or(0, |(_, list)| options(list).count());
                assert!(kinds <= 40);
                let _ = (mss(segment), scale(segment));
            }
            if let Some(eth) = eth(&packet) {
                assert!(eth.len <= packet.len());
            }
            let _ = addr(&packet, 12, 8);
        }
    }
}
