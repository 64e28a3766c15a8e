//! Attachments: one pinned link per interface and program, replaced in place when programs are
//! loaded again, so that no packet passes between an old and a new program.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, ProgramError, TcAttachType, XdpMode};

use crate::instance::remove_pin;
use crate::net::{Choice, Hook, LinkFacts, NetFacts, choose};
use crate::programs::Programs;
use crate::unavailable::chain;

/// What one interface has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InterfaceReport {
    /// Interface index.
    pub ifindex: u32,
    /// Interface name.
    pub name: String,
    /// What is attached there.
    pub hook: AttachedHook,
    /// What a user should know: why there is no hook, why XDP was refused, what it needs.
    pub note: Option<String>,
}

/// What is attached to an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttachedHook {
    /// Nothing.
    None,
    /// tcx ingress.
    Tc,
    /// Native XDP, and tcx beneath it.
    Xdp,
    /// Generic XDP, and tcx beneath it.
    XdpGeneric,
}

impl AttachedHook {
    /// As `show l4` prints it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Tc => "tcx",
            Self::Xdp => "xdp",
            Self::XdpGeneric => "xdp-generic",
        }
    }
}

/// The pinned links of an instance.
#[derive(Debug)]
pub(crate) struct Links {
    directory: PathBuf,
    /// By interface index.
    pub(crate) interfaces: BTreeMap<u32, InterfaceReport>,
}

/// File names of links. Native and generic XDP differ because a link cannot change from one to
/// the other.
const TC: &str = "tc";
const XDP: &str = "xdp";
const XDP_GENERIC: &str = "xdpgeneric";

impl Links {
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, interfaces: BTreeMap::new() }
    }

    fn pin(&self, kind: &str, ifindex: u32) -> PathBuf {
        self.directory.join(format!("{kind}-{ifindex}"))
    }

    /// Brings every interface to what `hook` and its facts ask for. With `replace` links found
    /// there get the given programs; without, those of known interfaces are left as they are.
    pub(crate) fn attach_all(
        &mut self,
        programs: &mut Programs,
        facts: &NetFacts,
        hook: Hook,
        only: Option<&[String]>,
        replace: bool,
    ) -> io::Result<()> {
        self.forget_missing(facts)?;
        for link in &facts.links {
            let choice = match only {
                Some(names) if !names.contains(&link.name) => {
                    Choice::None("not among the interfaces asked for")
                }
                _ => match self.former(link.index) {
                    // It comes back as it was: replies must not meet a host that does not know them.
                    Some(former) if !link.up => former,
                    _ => choose(hook, link, facts.master_kind(link)),
                },
            };
            let known = self.interfaces.get(&link.index);
            if !replace && known.is_some_and(|k| k.name == link.name && settled(k, &choice)) {
                continue;
            }
            let report = self.attach(programs, link, &choice)?;
            self.interfaces.insert(link.index, report);
        }
        Ok(())
    }

    /// What an interface was given before, by its pins.
    fn former(&self, ifindex: u32) -> Option<Choice> {
        let has = |kind| self.pin(kind, ifindex).exists();
        match (has(XDP), has(XDP_GENERIC), has(TC)) {
            (true, _, _) => Some(Choice::Xdp { generic: false }),
            (_, true, _) => Some(Choice::Xdp { generic: true }),
            (_, _, true) => Some(Choice::Tc),
            _ => None,
        }
    }

    fn attach(
        &self,
        programs: &mut Programs,
        link: &LinkFacts,
        choice: &Choice,
    ) -> io::Result<InterfaceReport> {
        let mut report = InterfaceReport {
            ifindex: link.index,
            name: link.name.clone(),
            hook: AttachedHook::None,
            note: None,
        };
        let pin = |kind| self.pin(kind, link.index);
        if let Choice::None(why) = choice {
            report.note = Some((*why).to_owned());
            for kind in [XDP, XDP_GENERIC, TC] {
                remove_pin(&pin(kind))?;
            }
            return Ok(report);
        }
        match attach_tc(programs, &link.name, &pin(TC)) {
            Ok(()) => report.hook = AttachedHook::Tc,
            Err(error) => {
                report.note = Some(format!("tcx refused: {}", reason(&error)));
                return Ok(report);
            }
        }
        let wanted = match choice {
            Choice::Xdp { generic: false } => Some((XDP, XdpMode::Driver, AttachedHook::Xdp)),
            Choice::Xdp { generic: true } => {
                Some((XDP_GENERIC, XdpMode::Skb, AttachedHook::XdpGeneric))
            }
            _ => None,
        };
        for kind in [XDP, XDP_GENERIC] {
            if wanted.is_none_or(|(wanted, ..)| wanted != kind) {
                remove_pin(&pin(kind))?;
            }
        }
        if let Some((kind, mode, hook)) = wanted {
            match attach_xdp(programs, link.index, mode, &pin(kind)) {
                Ok(()) => {
                    report.hook = hook;
                    report.note = xdp_note(link, hook);
                }
                Err(error) => {
                    report.note = Some(format!("XDP refused, tcx is used: {}", reason(&error)));
                }
            }
        }
        Ok(report)
    }

    /// Removes the links of interfaces that are gone.
    fn forget_missing(&mut self, facts: &NetFacts) -> io::Result<()> {
        let here = |index: u32| facts.links.iter().any(|l| l.index == index);
        self.interfaces.retain(|index, _| here(*index));
        for (kind, ifindex) in self.pinned()? {
            if !here(ifindex) {
                remove_pin(&self.pin(&kind, ifindex))?;
            }
        }
        Ok(())
    }

    /// Kind and interface of every pinned link.
    fn pinned(&self) -> io::Result<Vec<(String, u32)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            if let Some((kind, index)) = name.to_str().and_then(|n| n.split_once('-'))
                && let Ok(index) = index.parse()
            {
                found.push((kind.to_owned(), index));
            }
        }
        Ok(found)
    }

    /// Ids of the programs behind the links of an interface, by kind.
    /// Interface indices that have a pinned link.
    pub(crate) fn attached(&self) -> Vec<u32> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let index = |name: &str| name.rsplit('-').next()?.parse().ok();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut found: Vec<u32> = names.filter_map(|name| index(&name)).collect();
        found.sort_unstable();
        found.dedup();
        found
    }

    pub(crate) fn programs(&self, ifindex: u32) -> Vec<(&'static str, u32)> {
        [TC, XDP, XDP_GENERIC]
            .into_iter()
            .filter_map(|kind| {
                let link = PinnedLink::from_pin(self.pin(kind, ifindex)).ok()?;
                Some((kind, FdLink::from(link).info().ok()?.program_id()))
            })
            .collect()
    }
}

/// Whether an interface already has what is wanted, or was refused it.
fn settled(known: &InterfaceReport, choice: &Choice) -> bool {
    match choice {
        Choice::None(_) => known.hook == AttachedHook::None,
        Choice::Tc => known.hook == AttachedHook::Tc,
        // After a refusal tcx is what it gets; asking at every refresh would not change that.
        Choice::Xdp { .. } => known.hook != AttachedHook::None,
    }
}

fn xdp_note(link: &LinkFacts, hook: AttachedHook) -> Option<String> {
    if hook != AttachedHook::Xdp || link.kind.as_deref() != Some("veth") {
        return None;
    }
    let cannot = if link.xdp_features.is_some_and(|f| f & 4 != 0) {
        ""
    } else {
        "frames cannot be redirected to it until the peer has an XDP program or GRO; "
    };
    Some(format!(
        "native XDP on veth: {cannot}transmit checksum offload must be off on the peer, whose \
         large frames are no longer possible"
    ))
}

fn reason(error: &ProgramError) -> String {
    chain(error)
}

fn attach_tc(programs: &mut Programs, name: &str, pin: &Path) -> Result<(), ProgramError> {
    let program = programs.tc()?;
    if let Ok(pinned) = PinnedLink::from_pin(pin) {
        let replaced = FdLink::from(pinned)
            .try_into()
            .map_err(|_| ProgramError::UnexpectedProgramType)
            .and_then(|link| program.attach_to_link(link));
        if let Ok(id) = replaced {
            // The pin keeps it attached.
            drop(program.take_link(id)?);
            return Ok(());
        }
        // Its interface went away and came back under the same index.
    }
    remove_pin(pin)?;
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program.attach_with_options(name, TcAttachType::Ingress, order)?;
    let link: FdLink =
        program.take_link(id)?.try_into().map_err(|_| ProgramError::UnexpectedProgramType)?;
    keep(link, pin)
}

fn attach_xdp(
    programs: &mut Programs,
    ifindex: u32,
    mode: XdpMode,
    pin: &Path,
) -> Result<(), ProgramError> {
    let program = programs.xdp()?;
    if let Ok(pinned) = PinnedLink::from_pin(pin) {
        let replaced = FdLink::from(pinned)
            .try_into()
            .map_err(|_| ProgramError::UnexpectedProgramType)
            .and_then(|link| program.attach_to_link(link));
        if let Ok(id) = replaced {
            drop(program.take_link(id)?);
            return Ok(());
        }
    }
    remove_pin(pin)?;
    let id = program.attach_to_if_index(ifindex, mode)?;
    let link: FdLink =
        program.take_link(id)?.try_into().map_err(|_| ProgramError::UnexpectedProgramType)?;
    keep(link, pin)
}

fn keep(link: FdLink, pin: &Path) -> Result<(), ProgramError> {
    match link.pin(pin) {
        Ok(_) => Ok(()),
        Err(aya::pin::PinError::SyscallError(error)) => Err(error.into()),
        Err(error) => Err(ProgramError::IOError(io::Error::other(error.to_string()))),
    }
}
