//! Addresses and networks (configuration manual, 7.1.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::places::Places;
use crate::sample::args::{mask4, mask6};

/// A network as a pattern writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::pattern) enum Network {
    V4(u32, u32),
    V6(u128, u128),
}

impl Network {
    pub(in crate::pattern) fn parse(pattern: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(pattern);
        let (addr, mask) = match text.split_once('/') {
            Some((addr, mask)) => (addr, Some(mask)),
            None => (&*text, None),
        };
        let parsed = if addr.contains(':') { Self::v6(addr, mask) } else { Self::v4(addr, mask) };
        parsed.ok_or_else(|| format!("'{text}' is not a valid IPv4 or IPv6 address"))
    }

    /// Where addresses that match it are, as first bits and their number in the 128-bit space; `None` when the mask
    /// has holes. IPv4 is mapped, and also in the other places that [`embedded_v4`] looks at.
    pub(in crate::pattern) fn prefixes(self) -> Option<SmallVec<[(u128, u8); 3]>> {
        match self {
            Self::V4(net, mask) => {
                let len = mask.leading_ones() as u8;
                let whole = mask.count_ones() as u8 == len;
                let net = u128::from(net);
                let places = [
                    ((0xffff << 32) | net, 96 + len),
                    (net, 96 + len),
                    ((0x2002 << 112) | (net << 80), 16 + len),
                ];
                whole.then(|| SmallVec::from_buf(places))
            }
            Self::V6(net, mask) => {
                let len = mask.leading_ones() as u8;
                (mask.count_ones() as u8 == len).then(|| smallvec::smallvec![(net, len)])
            }
        }
    }

    fn v4(addr: &str, mask: Option<&str>) -> Option<Self> {
        let mask = mask.map_or(Some(u32::MAX), mask4)?;
        Some(Self::V4(u32::from(short_v4(addr)?) & mask, mask))
    }

    fn v6(addr: &str, mask: Option<&str>) -> Option<Self> {
        let mask = match mask {
            None => u128::MAX,
            Some(len) if len.bytes().all(|b| b.is_ascii_digit()) => mask6(len)?,
            Some(_) => return None,
        };
        let addr: Ipv6Addr = addr.parse().ok()?;
        Some(Self::V6(u128::from(addr) & mask, mask))
    }
}

/// Full dotted form, or the short one whose last number fills what is left: `10.12` is 10.0.0.12.
fn short_v4(text: &str) -> Option<Ipv4Addr> {
    let mut parts = text.split('.');
    let last: u32 = parts.next_back()?.parse().ok()?;
    let mut addr = 0u32;
    let mut count = 0;
    for part in parts {
        let octet: u8 = part.parse().ok()?;
        count += 1;
        if count > 3 {
            return None;
        }
        addr |= u32::from(octet) << (32 - 8 * count);
    }
    if count == 0 {
        return None;
    }
    let room = u32::MAX >> (8 * count);
    (last <= room).then(|| Ipv4Addr::from(addr | last))
}

/// Networks of one mask, and the places of their entries.
type Group<T> = (T, FxHashMap<T, Places>);

/// Networks by mask, the most specific first: one look-up per distinct mask.
#[derive(Debug, Default)]
pub(super) struct Networks {
    v4: Vec<Group<u32>>,
    v6: Vec<Group<u128>>,
}

fn add<T: Copy + Ord + std::hash::Hash>(groups: &mut Vec<Group<T>>, net: T, mask: T, at: u32) {
    let index = match groups.binary_search_by(|(m, _)| mask.cmp(m)) {
        Ok(index) => index,
        Err(index) => {
            groups.insert(index, (mask, FxHashMap::default()));
            index
        }
    };
    groups[index].1.entry(net).or_default().push(at);
}

fn search<T: Copy + std::hash::Hash + Eq + std::ops::BitAnd<Output = T>>(
    groups: &[Group<T>],
    ip: T,
    alive: &impl Fn(u32) -> bool,
) -> Option<u32> {
    groups
        .iter()
        .find_map(|(mask, nets)| nets.get(&(ip & *mask))?.iter().copied().find(|at| alive(*at)))
}

impl Networks {
    pub(super) fn push(&mut self, network: Network, at: u32) {
        match network {
            Network::V4(net, mask) => add(&mut self.v4, net, mask, at),
            Network::V6(net, mask) => add(&mut self.v6, net, mask, at),
        }
    }

    /// The place of the most specific network with `ip` that is alive.
    pub(super) fn find(&self, ip: IpAddr, alive: impl Fn(u32) -> bool) -> Option<u32> {
        let v4 = |ip: Ipv4Addr| search(&self.v4, u32::from(ip), &alive);
        let v6 = |ip: Ipv6Addr| match self.v6.is_empty() {
            true => None,
            false => search(&self.v6, u128::from(ip), &alive),
        };
        match ip {
            IpAddr::V4(ip) => v4(ip).or_else(|| v6(ip.to_ipv6_mapped())),
            IpAddr::V6(ip) => v6(ip).or_else(|| match self.v4.is_empty() {
                true => None,
                false => embedded_v4(ip).and_then(v4),
            }),
        }
    }
}

/// Number of bits that a pattern fixes, for the comparison of matches; an IPv4 address counts as mapped.
pub(super) fn specificity(pattern: &[u8]) -> usize {
    match Network::parse(pattern) {
        Ok(Network::V4(_, mask)) => 96 + mask.count_ones() as usize,
        Ok(Network::V6(_, mask)) => mask.count_ones() as usize,
        Err(_) => 0,
    }
}

/// The IPv4 address inside `2002:a.b::`, `::a.b.c.d` or `::ffff:a.b.c.d`.
fn embedded_v4(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = u128::from(ip);
    let low = (bits & 0xffff_ffff) as u32;
    match bits >> 32 {
        0 | 0xffff => Some(Ipv4Addr::from(low)),
        _ if bits >> 112 == 0x2002 => Some(Ipv4Addr::from((bits >> 80) as u32)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(patterns: &str) -> Networks {
        let mut set = Networks::default();
        for (at, pattern) in patterns.split(' ').enumerate() {
            set.push(Network::parse(pattern.as_bytes()).unwrap(), at as u32);
        }
        set
    }

    #[track_caller]
    fn check(patterns: &str, inside: &[&str], outside: &[&str]) {
        let set = networks(patterns);
        let has = |ip: &&&str| set.find(ip.parse().unwrap(), |_| true).is_some();
        assert!(inside.iter().all(|ip| has(&ip)), "{patterns}");
        assert!(!outside.iter().any(|ip| has(&ip)), "{patterns}");
    }

    #[test]
    fn networks_of_the_manual() {
        check(
            "192.168.0.1",
            &["192.168.0.1", "::ffff:192.168.0.1", "2002:c0a8:1::"],
            &["192.168.0.2"],
        );
        check(
            "10.0.0.0/8 192.168.1/22",
            &["10.255.0.1", "192.168.3.9"],
            &["11.0.0.1", "192.168.4.1"],
        );
        check("10.12 127.1/255.0.0.0", &["10.0.0.12", "127.9.9.9"], &["10.12.0.0"]);
        check("10.0.0.7/255.0.0.255", &["10.1.2.7"], &["10.1.2.8"]);
        check("2001:db8::/32 ::1", &["2001:db8:1::", "::1"], &["2001:db9::", "1.2.3.4"]);
        check("::ffff:1.2.3.0/120", &["1.2.3.4", "::ffff:1.2.3.9"], &["1.2.4.4"]);
        check("0.0.0.0/0", &["1.2.3.4", "::1"], &["2001:db8::1"]);
    }

    #[test]
    fn the_most_specific_counts() {
        let set = networks("10.0.0.0/8 10.1.0.0/16 10.1.2.3 10.1.2.3");
        let find = |ip: &str| set.find(ip.parse().unwrap(), |_| true);
        assert_eq!(
            (find("10.9.9.9"), find("10.1.9.9"), find("10.1.2.3")),
            (Some(0), Some(1), Some(2))
        );
        assert_eq!(set.find("10.1.2.3".parse().unwrap(), |at| at == 0 || at == 3), Some(3));
    }

    #[test]
    fn refused() {
        for text in
            ["1.2.3.300", "host.name", "1.2.3.4/33", "::1/129", "", "1.2.3.4.5", "::1/ffff::", "7"]
        {
            assert!(Network::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
