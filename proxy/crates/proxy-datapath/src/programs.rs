//! The programs at work: loaded from the object, or those that the process before has loaded.
//!
//! The verifier takes seconds of CPU for them. Programs are pinned beside their maps, under the digest of their
//! object, so that a reload, and a worker that is started again, take what is there.

use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::path::PathBuf;

use aya::Ebpf;
use aya::maps::MapData;
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, Xdp};
use aya_obj::programs::xdp::XdpAttachType;
use proxy_common::maps::{CONFIG, FLOWS, PROGRAM_EXPIRE, PROGRAM_TC, PROGRAM_XDP};

use crate::instance::remove_tree;
use crate::load;
use crate::maps::{Adoption, Pins, Sizes};
use crate::object::{self, NotBuiltIn};
use crate::unavailable::{Unavailable, chain};

/// Where they come from.
pub(crate) enum Programs {
    Loaded(Box<Ebpf>),
    Found(Box<Found>),
}

/// Programs taken from their pins.
pub(crate) struct Found {
    tc: SchedClassifier,
    expire: SchedClassifier,
    xdp: Xdp,
}

/// Where each program is pinned.
struct Places {
    directory: PathBuf,
    digest: u64,
}

impl Programs {
    /// Takes the programs that are pinned, when they are those of this object and use the maps that are taken over;
    /// loads them otherwise.
    pub(crate) fn open(
        pins: &Pins,
        adoption: Adoption,
        sizes: &Sizes,
    ) -> Result<Self, Unavailable> {
        let object =
            object::bytes().map_err(|NotBuiltIn(reason)| Unavailable::NotBuiltIn(reason))?;
        let places = Places::new(pins, object);
        if adoption == Adoption::Adopted
            && let Some(found) = Found::open(&places, pins)
        {
            return Ok(Self::Found(Box::new(found)));
        }
        load::load(pins, adoption, sizes).map(|ebpf| Self::Loaded(Box::new(ebpf)))
    }

    /// Pins programs that were loaded, in place of others. Without it the next process loads them again.
    pub(crate) fn keep(&mut self, pins: &Pins) {
        let Self::Loaded(ebpf) = self else { return };
        let Ok(object) = object::bytes() else { return };
        let places = Places::new(pins, object);
        if let Err(error) = pin_all(ebpf, &places) {
            tracing::debug!(error, "programs are not pinned");
            // Some of them alone are of no use.
            let _ = remove_tree(&places.directory);
        }
    }

    pub(crate) fn tc(&mut self) -> Result<&mut SchedClassifier, ProgramError> {
        match self {
            Self::Loaded(ebpf) => {
                ebpf.program_mut(PROGRAM_TC).ok_or(ProgramError::NotLoaded)?.try_into()
            }
            Self::Found(found) => Ok(&mut found.tc),
        }
    }

    pub(crate) fn xdp(&mut self) -> Result<&mut Xdp, ProgramError> {
        match self {
            Self::Loaded(ebpf) => {
                ebpf.program_mut(PROGRAM_XDP).ok_or(ProgramError::NotLoaded)?.try_into()
            }
            Self::Found(found) => Ok(&mut found.xdp),
        }
    }

    pub(crate) fn expire(&self) -> Result<&SchedClassifier, ProgramError> {
        match self {
            Self::Loaded(ebpf) => {
                ebpf.program(PROGRAM_EXPIRE).ok_or(ProgramError::NotLoaded)?.try_into()
            }
            Self::Found(found) => Ok(&found.expire),
        }
    }
}

impl Places {
    fn new(pins: &Pins, object: &[u8]) -> Self {
        let mut digest = DefaultHasher::new();
        digest.write(object);
        Self { directory: pins.programs(), digest: digest.finish() }
    }

    fn of(&self, program: &str) -> PathBuf {
        self.directory.join(format!("{program}-{:016x}", self.digest))
    }
}

impl Found {
    fn open(places: &Places, pins: &Pins) -> Option<Self> {
        let map =
            |name: &str| Some(MapData::from_pin(pins.maps().join(name)).ok()?.info().ok()?.id());
        let (config, flows) = (map(CONFIG)?, map(FLOWS)?);
        let uses = |info: Result<ProgramInfo, ProgramError>, maps: &[u32]| {
            let used = info.ok()?.map_ids().ok()??;
            maps.iter().all(|id| used.contains(id)).then_some(())
        };
        let tc = SchedClassifier::from_pin(places.of(PROGRAM_TC)).ok()?;
        uses(tc.info(), &[config, flows])?;
        let xdp = Xdp::from_pin(places.of(PROGRAM_XDP), XdpAttachType::Interface).ok()?;
        uses(xdp.info(), &[config, flows])?;
        let expire = SchedClassifier::from_pin(places.of(PROGRAM_EXPIRE)).ok()?;
        uses(expire.info(), &[flows])?;
        Some(Self { tc, expire, xdp })
    }
}

fn pin_all(ebpf: &mut Ebpf, places: &Places) -> Result<(), String> {
    let io = |error: io::Error| error.to_string();
    if places.directory.exists() {
        remove_tree(&places.directory).map_err(io)?;
    }
    fs::create_dir(&places.directory).map_err(io)?;
    for name in [PROGRAM_TC, PROGRAM_EXPIRE, PROGRAM_XDP] {
        let program = ebpf.program_mut(name).ok_or("not in the object")?;
        program.pin(places.of(name)).map_err(|error| chain(&error))?;
    }
    Ok(())
}
