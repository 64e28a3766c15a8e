//! Addresses that lead to services, and the bitmap of ports that is looked at before them.

use std::net::SocketAddr;

use proxy_common::maps::{self as names, PREFILTER_WORDS, prefilter_server, prefilter_vip};
use proxy_common::{Port, VipEntry, VipKey};
use rustc_hash::FxHashMap;

use super::tables::Tables;
use super::{ApplyError, ApplyReport, at};
use crate::spec::Mode;

impl Tables {
    /// Sets the bits that let packets past the first look.
    pub(super) fn add_to_prefilter(&mut self) -> Result<(), ApplyError> {
        for (word, bits) in self.prefilter_bits() {
            let before = self.maps.prefilter.get(&word, 0).map_err(at(names::PREFILTER))?;
            if before & bits != bits {
                let set = self.maps.prefilter.set(word, before | bits, 0);
                set.map_err(at(names::PREFILTER))?;
            }
        }
        Ok(())
    }

    fn prefilter_bits(&self) -> FxHashMap<u32, u64> {
        let mut words = FxHashMap::default();
        let mut add = |(word, bit): (u32, u64)| *words.entry(word).or_insert(0) |= bit;
        for service in &self.services {
            service.plan.vips.iter().for_each(|vip| add(prefilter_vip(Port::new(vip.port()))));
            if service.plan.mode == Mode::Nat {
                for server in &service.plan.servers {
                    match server.addr.port() {
                        0 => service
                            .plan
                            .vips
                            .iter()
                            .for_each(|vip| add(prefilter_server(Port::new(vip.port())))),
                        port => add(prefilter_server(Port::new(port))),
                    }
                }
            }
        }
        words
    }

    /// Makes the addresses of the plan, and no others, lead to their services.
    pub(super) fn write_vips(&mut self, report: &mut ApplyReport) -> Result<(), ApplyError> {
        let mut wanted: FxHashMap<VipKey, VipEntry> = FxHashMap::default();
        for service in &self.services {
            let entry = VipEntry { service: service.index, flags: 0 };
            let key = |vip: &SocketAddr| VipKey::of(*vip, service.plan.protocol.number());
            wanted.extend(service.plan.vips.iter().map(|vip| (key(vip), entry)));
        }
        let present = self.maps.vips.iter().collect::<Result<FxHashMap<_, _>, _>>();
        let present = present.map_err(at(names::VIPS))?;
        // First what goes, in case the table is full.
        for key in present.keys().filter(|key| !wanted.contains_key(key)) {
            self.maps.vips.remove(key).map_err(at(names::VIPS))?;
            report.vips_removed += 1;
        }
        for (key, entry) in wanted {
            if present.get(&key) != Some(&entry) {
                self.maps.vips.insert(key, entry, 0).map_err(at(names::VIPS))?;
                report.vips_set += 1;
            }
        }
        Ok(())
    }

    /// Clears the bits nobody needs.
    pub(super) fn trim_prefilter(&mut self) -> Result<(), ApplyError> {
        let wanted = self.prefilter_bits();
        for word in 0..PREFILTER_WORDS {
            let before = self.maps.prefilter.get(&word, 0).map_err(at(names::PREFILTER))?;
            let bits = wanted.get(&word).copied().unwrap_or(0);
            if before != bits {
                let set = self.maps.prefilter.set(word, bits, 0);
                set.map_err(at(names::PREFILTER))?;
            }
        }
        Ok(())
    }
}
