//! The table of clients' addresses.
//!
//! # Why a packet meets the old rules or the new ones
//!
//! What is new or says something else is written from the longest prefix to the shortest, then what is
//! no longer wanted is removed from the shortest to the longest. So the first change that an address
//! notices is that of its own longest new prefix; and while its longest old prefix is there and is to
//! go, no shorter old one is left to be met after it. An address therefore goes from its old verdict
//! to its new one in one step, and a change need not be written aside.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{MapData, MapError};
use aya::sys::SyscallError;
use proxy_common::{
    Addr, RULES_PER_SERVICE, SOURCE_ACCEPT, SOURCE_DROP, SOURCE_REJECT, SOURCE_USERSPACE,
    SourceKey, SourceNet, SourceRuling, maps as names,
};
use rustc_hash::FxHashMap;

use super::tables::Tables;
use super::{ApplyError, NoRoom, at};
use crate::sources::{Prefix, SourcePolicy, SourceRule, SourceVerdict};

/// What the table holds, by the index of the service.
pub(super) type Sources = FxHashMap<u32, BTreeMap<Prefix, SourceRuling>>;

/// Reads what an earlier handle left.
pub(super) fn read(map: &LpmTrie<MapData, SourceNet, SourceRuling>) -> Result<Sources, MapError> {
    let mut sources = Sources::default();
    for item in map.iter() {
        let (key, ruling) = item?;
        let net = key.data();
        let len = key.prefix_len().saturating_sub(SourceKey::SERVICE_BITS);
        let bits = u128::from_be_bytes(net.addr.octets());
        let prefix = Prefix::new(bits, u8::try_from(len).unwrap_or(128));
        sources.entry(net.service).or_default().insert(prefix, ruling);
    }
    Ok(sources)
}

fn key(service: u32, prefix: Prefix) -> Key<SourceNet> {
    let addr = Addr::from_octets(prefix.bits().to_be_bytes());
    Key::new(SourceKey::SERVICE_BITS + u32::from(prefix.len()), SourceNet { service, addr })
}

fn ruling(rule: &SourceRule) -> SourceRuling {
    SourceRuling {
        verdict: match rule.verdict {
            SourceVerdict::Accept => SOURCE_ACCEPT,
            SourceVerdict::Drop => SOURCE_DROP,
            SourceVerdict::Reject => SOURCE_REJECT,
            SourceVerdict::Userspace => SOURCE_USERSPACE,
        },
        rule: rule.rule.map_or(u32::MAX, |rule| rule.min(RULES_PER_SERVICE - 1)),
    }
}

/// What is to be done to a table, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    set: Vec<(Prefix, SourceRuling)>,
    remove: Vec<Prefix>,
}

fn changes(
    before: &BTreeMap<Prefix, SourceRuling>,
    after: &BTreeMap<Prefix, SourceRuling>,
) -> Changes {
    let differs = |(prefix, ruling): &(&Prefix, &SourceRuling)| before.get(prefix) != Some(*ruling);
    let mut set: Vec<_> = after.iter().filter(differs).map(|(p, r)| (*p, *r)).collect();
    set.sort_by_key(|(prefix, _)| Reverse(prefix.len()));
    let mut remove: Vec<_> =
        before.keys().filter(|prefix| !after.contains_key(prefix)).copied().collect();
    remove.sort_by_key(|prefix| prefix.len());
    Changes { set, remove }
}

impl Tables {
    /// Makes the table hold the rules of the service at an index. Returns how many entries changed.
    pub(super) fn write_sources(
        &mut self,
        service: u32,
        policy: Option<&SourcePolicy>,
    ) -> Result<usize, ApplyError> {
        let entries = policy.map_or(&[][..], |policy| &policy.entries);
        let after: BTreeMap<_, _> = entries.iter().map(|(p, rule)| (*p, ruling(rule))).collect();
        if after.is_empty() && !self.sources.contains_key(&service) {
            return Ok(0);
        }
        let Changes { set, remove } = changes(self.sources.entry(service).or_default(), &after);
        let changed = set.len() + remove.len();
        for (prefix, ruling) in set {
            self.maps.sources.insert(&key(service, prefix), ruling, 0).map_err(|error| {
                if is_full(&error) {
                    ApplyError::NoRoom(NoRoom::Sources(names::default_size::SOURCES))
                } else {
                    at(names::SOURCES)(error)
                }
            })?;
            self.sources.entry(service).or_default().insert(prefix, ruling);
        }
        for prefix in remove {
            self.maps.sources.remove(&key(service, prefix)).map_err(at(names::SOURCES))?;
            self.sources.entry(service).or_default().remove(&prefix);
        }
        if after.is_empty() {
            self.sources.remove(&service);
        }
        Ok(changed)
    }
}

fn is_full(error: &MapError) -> bool {
    match error {
        MapError::SyscallError(SyscallError { io_error, .. }) => {
            io_error.kind() == io::ErrorKind::StorageFull
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table() -> impl Strategy<Value = BTreeMap<Prefix, SourceRuling>> {
        let entry = (0..64_u128, 120..=128_u8, 0..3_u32).prop_map(|(bits, len, verdict)| {
            (Prefix::new(bits, len), SourceRuling { verdict, rule: 0 })
        });
        prop::collection::btree_map(any::<u8>(), entry, 0..12)
            .prop_map(|entries| entries.into_values().collect())
    }

    fn look_up(table: &BTreeMap<Prefix, SourceRuling>, address: u128) -> Option<u32> {
        (0..=128_u8)
            .rev()
            .find_map(|len| table.get(&Prefix::new(address, len)))
            .map(|ruling| ruling.verdict)
    }

    proptest! {
        /// Whatever the two tables, an address never has a third verdict in between, and never goes back.
        #[test]
        fn addresses_change_in_one_step(before in table(), after in table()) {
            let Changes { set, remove } = changes(&before, &after);
            let mut now = before.clone();
            let mut steps = vec![now.clone()];
            for (prefix, ruling) in set {
                now.insert(prefix, ruling);
                steps.push(now.clone());
            }
            for prefix in remove {
                now.remove(&prefix);
                steps.push(now.clone());
            }
            prop_assert_eq!(&now, &after);
            for address in 0..300_u128 {
                let (old, new) = (look_up(&before, address), look_up(&after, address));
                let mut seen: Vec<_> = steps.iter().map(|step| look_up(step, address)).collect();
                seen.dedup();
                prop_assert!(seen == [old] || seen == [old, new], "{address}: {seen:?}");
            }
        }
    }
}
