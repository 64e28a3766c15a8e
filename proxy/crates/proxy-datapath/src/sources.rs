//! Rules about clients' addresses: first-match rules flattened into one longest-prefix table. Pure.
//!
//! A rule set that looks at nothing but the client's address answers alike for all addresses of a
//! prefix that are in no longer prefix any rule names. So one question for each of these cells, put to
//! whoever evaluates the rules, gives a table that answers as the rules do, for every address.

use std::net::{IpAddr, Ipv6Addr};

/// A network in the 128-bit address space; IPv4 stands mapped in `::ffff:0:0/96`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Prefix {
    bits: u128,
    len: u8,
}

/// Where IPv4 addresses are.
const MAPPED: Prefix = Prefix { bits: 0xffff << 32, len: 96 };
const EVERYTHING: Prefix = Prefix { bits: 0, len: 0 };

impl Prefix {
    /// The first `len` bits of an address, at most 128.
    #[must_use]
    pub fn new(bits: u128, len: u8) -> Self {
        let len = len.min(128);
        Self { bits: bits & mask(len), len }
    }

    /// The first address.
    #[must_use]
    pub fn bits(self) -> u128 {
        self.bits
    }

    /// Bits that count.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "the length of a prefix, not of a collection")]
    pub fn len(self) -> u8 {
        self.len
    }

    fn last(self) -> u128 {
        self.bits | !mask(self.len)
    }

    fn contains(self, other: Self) -> bool {
        other.len >= self.len && other.bits & mask(self.len) == self.bits
    }
}

fn mask(len: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(len)).unwrap_or(0)
}

/// What the rules say of an address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum SourceVerdict {
    /// The kernel carries its connections.
    #[default]
    Accept,
    /// Its SYNs are dropped.
    Drop,
    /// Its SYNs are answered as [`ServiceSpec::rejects`](crate::ServiceSpec) says.
    Reject,
    /// Its connections are left to userspace.
    Userspace,
}

/// A verdict and the rule it comes from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct SourceRule {
    /// What happens.
    pub verdict: SourceVerdict,
    /// Position of the rule that matched first; `None` when none did.
    pub rule: Option<u32>,
}

/// The rules of one service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SourcePolicy {
    /// The longest prefix that an address is in decides; an address in none is accepted. Sorted.
    pub entries: Vec<(Prefix, SourceRule)>,
    /// A name for each rule, by position, for those who read the counters. Rules from the 32nd on
    /// share a counter.
    pub rules: Vec<String>,
}

/// Asks `decide` for each cell that `prefixes` cut the address space of a family into, and returns
/// the least table that answers the same. Prefixes outside the family do not matter.
pub fn flatten(
    v4: bool,
    prefixes: impl IntoIterator<Item = Prefix>,
    mut decide: impl FnMut(IpAddr) -> SourceRule,
) -> Vec<(Prefix, SourceRule)> {
    let root = if v4 { MAPPED } else { EVERYTHING };
    let inside = prefixes.into_iter().filter(|prefix| root.contains(*prefix));
    let mut cells: Vec<Prefix> = inside.chain([root]).collect();
    // Those that contain others stand before them.
    cells.sort_unstable();
    cells.dedup();
    let mut entries = Vec::new();
    // The prefixes around the present one, and what the table says in them.
    let mut around: Vec<(Prefix, SourceRule)> = Vec::new();
    for (at, cell) in cells.iter().enumerate() {
        while around.last().is_some_and(|(outer, _)| !outer.contains(*cell)) {
            around.pop();
        }
        let inherited = around.last().map(|(_, rule)| *rule).unwrap_or_default();
        let rule = match alone(*cell, &cells[at + 1..]) {
            Some(address) => decide(Ipv6Addr::from(address).to_canonical()),
            None => inherited,
        };
        if rule != inherited {
            entries.push((*cell, rule));
        }
        around.push((*cell, rule));
    }
    entries
}

/// An address of `cell` that is in none of the prefixes that follow it.
fn alone(cell: Prefix, following: &[Prefix]) -> Option<u128> {
    let mut candidate = cell.bits;
    for inner in following.iter().take_while(|inner| cell.contains(**inner)) {
        if candidate < inner.bits {
            break;
        }
        candidate = candidate.max(inner.last().checked_add(1)?);
    }
    (candidate <= cell.last()).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefix(text: &str) -> Prefix {
        let (addr, len) = text.split_once('/').unwrap();
        let (addr, len): (IpAddr, u8) = (addr.parse().unwrap(), len.parse().unwrap());
        match addr {
            IpAddr::V4(ip) => Prefix::new(ip.to_ipv6_mapped().into(), 96 + len),
            IpAddr::V6(ip) => Prefix::new(ip.into(), len),
        }
    }

    fn bits(ip: IpAddr) -> u128 {
        match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
            IpAddr::V6(ip) => ip.into(),
        }
    }

    /// First match, as the rules are read.
    fn first(rules: &[(Vec<Prefix>, SourceVerdict)], ip: IpAddr) -> SourceRule {
        let address = Prefix::new(bits(ip), 128);
        let hit = rules.iter().position(|(nets, _)| nets.iter().any(|n| n.contains(address)));
        hit.map_or_else(SourceRule::default, |at| SourceRule {
            verdict: rules[at].1,
            rule: Some(at as u32),
        })
    }

    fn look_up(table: &[(Prefix, SourceRule)], address: u128) -> SourceRule {
        let address = Prefix::new(address, 128);
        let hits = table.iter().filter(|(prefix, _)| prefix.contains(address));
        hits.max_by_key(|(prefix, _)| prefix.len).map(|(_, rule)| *rule).unwrap_or_default()
    }

    #[track_caller]
    fn check(rules: &[(&str, SourceVerdict)], expected: &str) {
        let rules: Vec<_> = rules
            .iter()
            .map(|(nets, verdict)| (nets.split(' ').map(prefix).collect::<Vec<_>>(), *verdict))
            .collect();
        let all = rules.iter().flat_map(|(nets, _)| nets.clone());
        let table = flatten(true, all, |ip| first(&rules, ip));
        let shown: Vec<_> = table
            .iter()
            .map(|(prefix, rule)| {
                let ip = Ipv6Addr::from(prefix.bits).to_canonical();
                format!("{ip}/{} {:?}", prefix.len - 96, rule.verdict)
            })
            .collect();
        assert_eq!(shown.join(", "), expected);
    }

    #[test]
    fn tables_are_small() {
        use SourceVerdict::{Accept, Drop, Userspace};
        check(&[], "");
        check(&[("10.0.0.0/8", Drop)], "10.0.0.0/8 Drop");
        // The order of rules decides, not the length of prefixes.
        check(&[("10.0.0.0/8", Drop), ("10.1.0.0/16", Accept)], "10.0.0.0/8 Drop");
        check(
            &[("10.1.0.0/16", Accept), ("10.0.0.0/8", Drop)],
            "10.0.0.0/8 Drop, 10.1.0.0/16 Accept",
        );
        // A whitelist: everything else is dropped.
        check(
            &[("192.0.2.0/24", Accept), ("0.0.0.0/0", Drop)],
            "0.0.0.0/0 Drop, 192.0.2.0/24 Accept",
        );
        // A network that its parts fill needs no entry of its own.
        check(
            &[("10.0.0.0/9 10.128.0.0/9", Userspace), ("10.0.0.0/8", Drop)],
            "10.0.0.0/9 Userspace, 10.128.0.0/9 Userspace",
        );
        check(&[("0.0.0.0/0", Drop)], "0.0.0.0/0 Drop");
    }

    /// Prefixes near each other, at the lower and the upper end of the space, of both families.
    fn any_prefix() -> impl Strategy<Value = Prefix> {
        let bases = [0, 0xffff << 32, (0xffff << 32) | 0xffff_fff0, u128::MAX - 15, 1 << 127];
        (prop::sample::select(bases.to_vec()), 0..16_u128, 0..=128_u8)
            .prop_map(|(base, low, len)| Prefix::new(base | low, len))
    }

    fn any_rules() -> impl Strategy<Value = Vec<(Vec<Prefix>, SourceVerdict)>> {
        let verdict = prop::sample::select(vec![
            SourceVerdict::Accept,
            SourceVerdict::Drop,
            SourceVerdict::Userspace,
        ]);
        prop::collection::vec((prop::collection::vec(any_prefix(), 0..6), verdict), 0..5)
    }

    proptest! {
        #[test]
        fn table_answers_as_the_rules_do(v4: bool, rules in any_rules(), seeds: [u128; 4]) {
            let all: Vec<_> = rules.iter().flat_map(|(nets, _)| nets.clone()).collect();
            let table = flatten(v4, all.iter().copied(), |ip| first(&rules, ip));
            let root = if v4 { MAPPED } else { EVERYTHING };
            let edges = all.iter().flat_map(|p| {
                let (low, high) = (p.bits, p.last());
                [low, high, low.wrapping_sub(1), high.wrapping_add(1)]
            });
            for address in edges.chain(seeds).map(|a| root.bits | (a & !mask(root.len))) {
                let ip = Ipv6Addr::from(address).to_canonical();
                prop_assert_eq!(look_up(&table, address), first(&rules, ip), "{}", ip);
            }
            // No entry says what would be said without it.
            for (at, (prefix, rule)) in table.iter().enumerate() {
                let mut without = table.clone();
                without.remove(at);
                let around: Vec<_> =
                    without.into_iter().filter(|(p, _)| p.contains(*prefix)).collect();
                prop_assert_ne!(look_up(&around, prefix.bits), *rule);
            }
        }
    }
}
