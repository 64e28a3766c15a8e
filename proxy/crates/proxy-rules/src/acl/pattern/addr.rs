//! Addresses and networks (configuration manual, 7.1.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustc_hash::FxHashSet;

use crate::sample::args::{mask4, mask6};

/// Networks while they are read.
#[derive(Debug, Default)]
pub struct Builder {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Builder {
    pub(super) fn push(&mut self, pattern: &[u8]) -> Result<(), String> {
        let text = String::from_utf8_lossy(pattern);
        let (addr, mask) = match text.split_once('/') {
            Some((addr, mask)) => (addr, Some(mask)),
            None => (&*text, None),
        };
        let parsed =
            if addr.contains(':') { self.push_v6(addr, mask) } else { self.push_v4(addr, mask) };
        parsed.ok_or_else(|| format!("'{text}' is not a valid IPv4 or IPv6 address"))
    }

    fn push_v4(&mut self, addr: &str, mask: Option<&str>) -> Option<()> {
        let mask = mask.map_or(Some(u32::MAX), mask4)?;
        self.v4.push((u32::from(short_v4(addr)?) & mask, mask));
        Some(())
    }

    fn push_v6(&mut self, addr: &str, mask: Option<&str>) -> Option<()> {
        let mask = match mask {
            None => u128::MAX,
            Some(len) if len.bytes().all(|b| b.is_ascii_digit()) => mask6(len)?,
            Some(_) => return None,
        };
        let addr: Ipv6Addr = addr.parse().ok()?;
        self.v6.push((u128::from(addr) & mask, mask));
        Some(())
    }

    pub(super) fn finish(self) -> AddrSet {
        AddrSet { v4: group(self.v4), v6: group(self.v6) }
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

/// Networks with the same mask, hashed; widest masks first.
fn group<T: Copy + Ord + std::hash::Hash>(nets: Vec<(T, T)>) -> Box<[(T, FxHashSet<T>)]> {
    let mut groups: Vec<(T, FxHashSet<T>)> = Vec::new();
    for (net, mask) in nets {
        match groups.iter_mut().find(|(m, _)| *m == mask) {
            Some((_, set)) => {
                set.insert(net);
            }
            None => groups.push((mask, FxHashSet::from_iter([net]))),
        }
    }
    groups.sort_by_key(|(mask, _)| *mask);
    groups.into()
}

/// A set of networks: one look-up per distinct mask.
#[derive(Debug)]
pub struct AddrSet {
    v4: Box<[(u32, FxHashSet<u32>)]>,
    v6: Box<[(u128, FxHashSet<u128>)]>,
}

impl AddrSet {
    pub fn contains(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(ip) => {
                self.has_v4(ip) || (!self.v6.is_empty() && self.has_v6(ip.to_ipv6_mapped()))
            }
            IpAddr::V6(ip) => {
                self.has_v6(ip)
                    || (!self.v4.is_empty() && embedded_v4(ip).is_some_and(|v4| self.has_v4(v4)))
            }
        }
    }

    fn has_v4(&self, ip: Ipv4Addr) -> bool {
        let ip = u32::from(ip);
        self.v4.iter().any(|(mask, nets)| nets.contains(&(ip & mask)))
    }

    fn has_v6(&self, ip: Ipv6Addr) -> bool {
        let ip = u128::from(ip);
        self.v6.iter().any(|(mask, nets)| nets.contains(&(ip & mask)))
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

    #[track_caller]
    fn check(patterns: &str, inside: &[&str], outside: &[&str]) {
        let mut builder = Builder::default();
        patterns.split(' ').for_each(|p| builder.push(p.as_bytes()).unwrap());
        let set = builder.finish();
        assert!(inside.iter().all(|ip| set.contains(ip.parse().unwrap())), "{patterns}");
        assert!(!outside.iter().any(|ip| set.contains(ip.parse().unwrap())), "{patterns}");
    }

    #[test]
    fn networks() {
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
    fn refused() {
        for text in
            ["1.2.3.300", "host.name", "1.2.3.4/33", "::1/129", "", "1.2.3.4.5", "::1/ffff::", "7"]
        {
            assert!(Builder::default().push(text.as_bytes()).is_err(), "{text}");
        }
    }
}
