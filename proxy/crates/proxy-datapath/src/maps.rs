//! The pinned maps: where they stand, which of those found there are taken over, and typed handles.
//!
//! ```text
//! <instance>/maps/CONFIG ...     what the attached programs use
//! <instance>/next/CONFIG ...     tables being filled for the next programs
//! <instance>/links/tc-2 ...      attachments by interface index
//! <instance>/programs/...        the programs, by the digest of their object
//! ```

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use aya::Pod;
use aya::maps::lpm_trie::LpmTrie;
use aya::maps::{Array, HashMap, IterableMap, Map, MapData, MapError, PerCpuArray, RingBuf};
use proxy_common::{
    ABI_VERSION, Config, DenyEntry, FlowEntry, FlowKey, Live, RULES_PER_SERVICE, Rate, RealEntry,
    Ring, ServiceEntry, SourceNet, SourceRuling, Traffic, VipEntry, VipKey, maps as names,
};

use crate::names::RECORD_LEN;
use crate::sys;
use crate::unavailable::Unavailable;

/// Tables the user side fills: made again when they are too small. They refer to each other by
/// index, so all of them or none.
const TABLES: [&str; 8] = [
    names::CONFIG,
    names::PREFILTER,
    names::VIPS,
    names::SERVICES,
    names::RINGS,
    names::REALS,
    names::SOURCES,
    names::INTERFACES,
];
/// Kept by the user side only: who has which index of services and servers, and [`Meta`].
pub(crate) const SERVICE_NAMES: &str = "SVC_NAMES";
pub(crate) const SERVER_NAMES: &str = "SRV_NAMES";
const META: &str = "META";

/// Version of the user side's own maps.
const META_VERSION: u64 = 1;
const META_WORDS: u32 = 8;

/// Entries of the maps whose size is chosen here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) vips: u32,
    pub(crate) services: u32,
    pub(crate) rings: u32,
    pub(crate) servers: u32,
    pub(crate) flows: u32,
    pub(crate) interfaces: u32,
    pub(crate) events_bytes: u32,
    pub(crate) cpus: u32,
    /// Clients whose rates are known, and as many that are turned away.
    pub(crate) clients: u32,
    /// Per CPU, a power of two.
    pub(crate) cache_sets: u32,
    /// Per CPU, a power of two.
    pub(crate) half_open: u32,
}

impl Sizes {
    pub(crate) fn by_name(&self) -> [(&'static str, u32); 22] {
        [
            (names::VIPS, self.vips),
            (names::SERVICES, self.services),
            (names::RINGS, self.rings),
            (names::REALS, self.servers),
            (names::SOURCES, names::default_size::SOURCES),
            (names::FLOWS, self.flows),
            (names::FRAGMENTS, names::default_size::FRAGMENTS),
            (names::CACHE, self.cpus * self.cache_sets),
            (names::EMBRYONIC, self.cpus * self.half_open),
            (names::CLOSING, self.cpus * self.half_open),
            (names::INTERFACES, self.interfaces),
            (names::SERVICE_COUNTERS, self.services),
            (names::SERVER_COUNTERS, self.servers),
            (names::HOPS, self.servers),
            (names::RULES, self.services.saturating_mul(RULES_PER_SERVICE)),
            (names::SERVICE_LIVE, self.services),
            (names::SERVER_LIVE, self.servers),
            (names::SERVICE_RATES, self.services),
            (names::SOURCE_RATES, self.clients),
            (names::DENIED, self.clients),
            (names::EVENTS, self.events_bytes),
            (names::EPOCHS, names::default_size::EPOCHS),
        ]
    }
}

/// What an open found in the pin directory and did with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// Nothing was there.
    Fresh,
    /// Everything was taken over.
    Adopted,
    /// Flows and counters were taken over; tables were too small and are made again. The old
    /// ones stay in force until the first plan is applied.
    Grown,
    /// The programs found there are of another version. They stay in force until the first plan
    /// is applied; their flows end then.
    Replaced {
        /// The version found.
        version: u32,
    },
}

/// The directories of an instance.
#[derive(Debug)]
pub(crate) struct Pins {
    root: PathBuf,
}

impl Pins {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn maps(&self) -> PathBuf {
        self.root.join("maps")
    }

    fn next(&self) -> PathBuf {
        self.root.join("next")
    }

    pub(crate) fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    pub(crate) fn links(&self) -> PathBuf {
        self.root.join(crate::instance::LINKS)
    }

    /// Looks at what is pinned, wipes what is of no use, and says what to make of the rest.
    pub(crate) fn prepare(&self, sizes: &Sizes, cookie: u64) -> Result<Adoption, Unavailable> {
        let made = |e| Unavailable::from_io(format!("preparing {}", self.root.display()), e);
        let adoption = self.inspect(sizes, cookie);
        remove_tree_if_there(&self.next()).map_err(made)?;
        if adoption == Adoption::Fresh {
            for directory in [self.links(), self.maps(), self.programs()] {
                remove_tree_if_there(&directory).map_err(made)?;
            }
        }
        for directory in [self.links(), self.maps(), self.next()] {
            fs::create_dir_all(directory).map_err(made)?;
        }
        Ok(adoption)
    }

    fn inspect(&self, sizes: &Sizes, cookie: u64) -> Adoption {
        let attached = fs::read_dir(self.links()).is_ok_and(|mut links| links.next().is_some());
        let Some(version) = self.version() else { return Adoption::Fresh };
        match self.meta() {
            // Left by a network namespace that is gone, whose inode number is used again.
            Some(meta) if meta.cookie != cookie => return Adoption::Fresh,
            Some(_) if version == ABI_VERSION && self.is_complete() => {}
            _ if attached => return Adoption::Replaced { version },
            _ => return Adoption::Fresh,
        }
        let too_small = sizes
            .by_name()
            .into_iter()
            .filter(|(name, _)| TABLES.contains(name))
            .any(|(name, wanted)| self.entries(name).is_none_or(|found| found < wanted));
        // A process died between switching to new tables and putting them in place: which of
        // them the programs use cannot be told.
        let interrupted = fs::read_dir(self.next()).is_ok_and(|mut next| next.next().is_some());
        match (too_small || interrupted, attached) {
            _ if self.next().join(names::FLOWS).exists() => Adoption::Replaced { version },
            (false, _) => Adoption::Adopted,
            (true, true) => Adoption::Grown,
            (true, false) => Adoption::Fresh,
        }
    }

    fn version(&self) -> Option<u32> {
        let map = MapData::from_pin(self.maps().join(names::CONFIG)).ok()?;
        // The version is the first word of every version of the map.
        let info = map.info().ok()?;
        if info.value_size() as usize != size_of::<Config>() {
            return Some(0);
        }
        let config: Array<_, Config> = Map::from_map_data(map).ok()?.try_into().ok()?;
        config.get(&0, 0).ok().map(|c| c.abi)
    }

    fn meta(&self) -> Option<Meta> {
        let map = MapData::from_pin(self.maps().join(META)).ok()?;
        let words: Array<_, u64> = Map::from_map_data(map).ok()?.try_into().ok()?;
        Meta::read(&words)
    }

    fn is_complete(&self) -> bool {
        let user = [SERVICE_NAMES, SERVER_NAMES, META];
        names::ALL.iter().chain(&user).all(|name| self.maps().join(name).exists())
    }

    fn entries(&self, name: &str) -> Option<u32> {
        Some(MapData::from_pin(self.maps().join(name)).ok()?.info().ok()?.max_entries())
    }

    /// Where the next programs find each map.
    pub(crate) fn place(&self, name: &str, adoption: Adoption) -> PathBuf {
        let fresh = match adoption {
            Adoption::Fresh | Adoption::Adopted => false,
            Adoption::Grown => TABLES.contains(&name),
            Adoption::Replaced { .. } => true,
        };
        if fresh { self.next().join(name) } else { self.maps().join(name) }
    }

    /// Puts the maps of the next programs in the place of the former ones.
    pub(crate) fn promote(&self) -> io::Result<()> {
        for entry in fs::read_dir(self.next())? {
            let entry = entry?;
            fs::rename(entry.path(), self.maps().join(entry.file_name()))?;
        }
        Ok(())
    }

    /// The map's real size, which for a pinned one is not that of the object file.
    fn pinned<V>(&self, name: &str, adoption: Adoption) -> Result<V, Unavailable>
    where
        V: TryFrom<Map, Error = MapError>,
    {
        MapData::from_pin(self.place(name, adoption))
            .and_then(Map::from_map_data)
            .and_then(V::try_from)
            .map_err(|error| map_error(name, &error))
    }

    fn user_map<V: Pod>(
        &self,
        name: &str,
        adoption: Adoption,
        entries: u32,
    ) -> Result<Array<MapData, V>, Unavailable> {
        let place = self.place(name, adoption);
        if !place.exists() {
            let map: Array<_, V> = Array::create(entries, 0).map_err(|e| map_error(name, &e))?;
            map.pin(place).map_err(|error| Unavailable::Map {
                map: name.to_owned(),
                reason: format!("pinning: {error}"),
            })?;
        }
        self.pinned(name, adoption)
    }
}

pub(crate) fn map_error(name: &str, error: &MapError) -> Unavailable {
    Unavailable::Map { map: name.to_owned(), reason: crate::unavailable::chain(error) }
}

fn remove_tree_if_there(path: &Path) -> io::Result<()> {
    if path.exists() { crate::instance::remove_tree(path) } else { Ok(()) }
}

/// What the user side notes about the instance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meta {
    /// The network namespace the instance belongs to.
    pub(crate) cookie: u64,
    /// Generation of the last index given away.
    pub(crate) generation: u64,
}

impl Meta {
    fn read(words: &Array<MapData, u64>) -> Option<Self> {
        let word = |index: u32| words.get(&index, 0).ok();
        (word(0)? == META_VERSION).then_some(())?;
        Some(Self { cookie: word(1)?, generation: word(2)? })
    }

    fn write(self, words: &mut Array<MapData, u64>) -> Result<(), MapError> {
        words.set(1, self.cookie, 0)?;
        words.set(2, self.generation, 0)?;
        words.set(0, META_VERSION, 0)
    }
}

/// Typed handles of all maps.
pub(crate) struct Maps {
    pub(crate) config: Array<MapData, Config>,
    pub(crate) prefilter: Array<MapData, u64>,
    pub(crate) vips: HashMap<MapData, VipKey, VipEntry>,
    pub(crate) services: Array<MapData, ServiceEntry>,
    rings: Array<MapData, Ring>,
    pub(crate) reals: Array<MapData, RealEntry>,
    pub(crate) sources: LpmTrie<MapData, SourceNet, SourceRuling>,
    pub(crate) flows: HashMap<MapData, FlowKey, FlowEntry>,
    pub(crate) interfaces: Array<MapData, u32>,
    pub(crate) counters: PerCpuArray<MapData, u64>,
    pub(crate) service_counters: PerCpuArray<MapData, Traffic>,
    pub(crate) server_counters: PerCpuArray<MapData, Traffic>,
    pub(crate) rules: PerCpuArray<MapData, u64>,
    pub(crate) source_rates: HashMap<MapData, SourceNet, Rate>,
    pub(crate) denied: HashMap<MapData, SourceNet, DenyEntry>,
    pub(crate) service_live: Array<MapData, Live>,
    pub(crate) server_live: Array<MapData, Live>,
    pub(crate) events: RingBuf<MapData>,
    pub(crate) service_names: Array<MapData, [u8; RECORD_LEN]>,
    pub(crate) server_names: Array<MapData, [u8; RECORD_LEN]>,
    meta: Array<MapData, u64>,
    /// Entries of the maps whose handles do not tell.
    pub(crate) entries: Entries,
}

/// Real sizes of some maps, in entries.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entries {
    pub(crate) vips: u32,
    pub(crate) flows: u32,
    pub(crate) cache: u32,
    pub(crate) embryonic: u32,
    pub(crate) closing: u32,
    pub(crate) epochs: u32,
    pub(crate) source_rates: u32,
    pub(crate) denied: u32,
    /// Bytes of all maps.
    pub(crate) memory: u64,
}

impl Maps {
    /// Opens the maps a loader has just made or found.
    pub(crate) fn open(pins: &Pins, adoption: Adoption) -> Result<Self, Unavailable> {
        let entries = |name: &str| {
            MapData::from_pin(pins.place(name, adoption))
                .and_then(|map| map.info())
                .map(|info| info.max_entries())
                .map_err(|error| map_error(name, &error))
        };
        let service_live: Array<_, Live> = pins.pinned(names::SERVICE_LIVE, adoption)?;
        let server_live: Array<_, Live> = pins.pinned(names::SERVER_LIVE, adoption)?;
        let (services, servers) = (service_live.len(), server_live.len());
        Ok(Self {
            config: pins.pinned(names::CONFIG, adoption)?,
            prefilter: pins.pinned(names::PREFILTER, adoption)?,
            vips: pins.pinned(names::VIPS, adoption)?,
            services: pins.pinned(names::SERVICES, adoption)?,
            rings: pins.pinned(names::RINGS, adoption)?,
            reals: pins.pinned(names::REALS, adoption)?,
            sources: pins.pinned(names::SOURCES, adoption)?,
            flows: pins.pinned(names::FLOWS, adoption)?,
            interfaces: pins.pinned(names::INTERFACES, adoption)?,
            counters: pins.pinned(names::COUNTERS, adoption)?,
            service_counters: pins.pinned(names::SERVICE_COUNTERS, adoption)?,
            server_counters: pins.pinned(names::SERVER_COUNTERS, adoption)?,
            rules: pins.pinned(names::RULES, adoption)?,
            source_rates: pins.pinned(names::SOURCE_RATES, adoption)?,
            denied: pins.pinned(names::DENIED, adoption)?,
            events: pins.pinned(names::EVENTS, adoption)?,
            service_names: pins.user_map(SERVICE_NAMES, adoption, services)?,
            server_names: pins.user_map(SERVER_NAMES, adoption, servers)?,
            meta: pins.user_map(META, adoption, META_WORDS)?,
            service_live,
            server_live,
            entries: Entries {
                vips: entries(names::VIPS)?,
                flows: entries(names::FLOWS)?,
                cache: entries(names::CACHE)?,
                embryonic: entries(names::EMBRYONIC)?,
                closing: entries(names::CLOSING)?,
                epochs: entries(names::EPOCHS)?,
                source_rates: entries(names::SOURCE_RATES)?,
                denied: entries(names::DENIED)?,
                memory: names::ALL
                    .iter()
                    .filter_map(|name| MapData::from_pin(pins.place(name, adoption)).ok())
                    .map(|map| sys::memory_of(map.fd().as_fd()))
                    .sum(),
            },
        })
    }

    pub(crate) fn meta(&self) -> Option<Meta> {
        Meta::read(&self.meta)
    }

    pub(crate) fn set_meta(&mut self, meta: Meta) -> Result<(), MapError> {
        meta.write(&mut self.meta)
    }

    /// Most services: bounded by the tables and by what counts their flows.
    pub(crate) fn service_room(&self) -> u32 {
        let counted = self.service_counters.len().min(self.rules.len() / RULES_PER_SERVICE);
        self.services.len().min(self.service_live.len()).min(counted)
    }

    /// Most servers, likewise; ring places are `u16`.
    pub(crate) fn server_room(&self) -> u32 {
        let counted = self.server_live.len().min(self.server_counters.len());
        self.reals.len().min(counted).min(u32::from(u16::MAX))
    }

    /// How many rings there are.
    pub(crate) fn ring_room(&self) -> u32 {
        self.rings.len()
    }

    /// What a ring holds.
    pub(crate) fn ring(&self, index: u32) -> Result<Vec<u16>, MapError> {
        Ok(sys::read_ring(self.rings.map().fd().as_fd(), index)?)
    }

    /// Fills a ring.
    pub(crate) fn set_ring(&mut self, index: u32, content: &[u16]) -> Result<(), MapError> {
        Ok(sys::write_ring(self.rings.map().fd().as_fd(), index, content)?)
    }

    /// The rings, to be looked at as a whole.
    pub(crate) fn rings(&self) -> &MapData {
        self.rings.map()
    }

    /// The file descriptor of the flow table, for batch reads.
    pub(crate) fn flows_fd(&self) -> BorrowedFd<'_> {
        self.flows.map().fd().as_fd()
    }
}
