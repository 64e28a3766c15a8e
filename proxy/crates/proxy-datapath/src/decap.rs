//! The server's side of [`Mode::Tunnel`](crate::Mode::Tunnel): a program that takes the outer header off what
//! balancers send, attached to an interface and pinned, so that it needs no process.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aya::maps::HashMap;
use aya::programs::SchedClassifier;
use aya::programs::links::FdLink;
use aya::programs::tc::TcAttachOptions;
use aya::programs::{LinkOrder, TcAttachType};
use aya::{Ebpf, EbpfLoader};
use proxy_common::Addr;
use proxy_common::maps::{self as names, PROGRAM_DECAP};

use crate::instance::{self, LINKS, remove_pin};
use crate::load;
use crate::maps::map_error;
use crate::object;
use crate::unavailable::{Unavailable, chain};

/// Has packets inside of packets from these balancers taken out as they come in by an interface. One that is there
/// already is replaced.
///
/// # Errors
///
/// What [`Datapath::open`](crate::Datapath::open) cannot do without either; no such interface; too many balancers.
pub fn attach(
    interface: &str,
    balancers: &[IpAddr],
    bpffs: Option<&Path>,
) -> Result<(), Unavailable> {
    load::probe()?;
    let pin = pin(interface, bpffs)?;
    let mut ebpf = load(balancers)?;
    let refused =
        |reason: String| Unavailable::ProgramRefused { program: PROGRAM_DECAP.to_owned(), reason };
    if let Some(directory) = pin.parent() {
        fs::create_dir_all(directory)
            .map_err(|e| Unavailable::from_io(format!("making {}", directory.display()), e))?;
    }
    let attach = || {
        let program: &mut SchedClassifier =
            ebpf.program_mut(PROGRAM_DECAP).ok_or("not in the object")?.try_into().map_err(text)?;
        // The new one is there before the old one goes; a packet is taken out once only.
        let order = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program
            .attach_with_options(interface, TcAttachType::Ingress, order)
            .map_err(|error| chain(&error))?;
        let link: FdLink = program
            .take_link(id)
            .map_err(|error| chain(&error))?
            .try_into()
            .map_err(|_| "the kernel has no tcx (Linux 6.6)".to_owned())?;
        remove_pin(&pin).map_err(text)?;
        link.pin(&pin).map_err(|error| chain(&error))?;
        Ok::<(), String>(())
    };
    let mut attach = attach;
    attach().map_err(refused)
}

/// Takes the program off an interface again; one without it is fine.
///
/// # Errors
///
/// No such interface; the pin cannot be removed.
pub fn detach(interface: &str, bpffs: Option<&Path>) -> Result<(), Unavailable> {
    let pin = pin(interface, bpffs)?;
    remove_pin(&pin).map_err(|e| Unavailable::from_io(format!("removing {}", pin.display()), e))?;
    // The directory goes with the last one.
    if let Some(links) = pin.parent() {
        let _ = fs::remove_dir(links);
        let _ = links.parent().map(fs::remove_dir);
    }
    Ok(())
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// `decap-<instance>/links/tc-<index>`, beside the instance of a balancer in the same namespace.
fn pin(interface: &str, bpffs: Option<&Path>) -> Result<PathBuf, Unavailable> {
    let index = nix::net::if_::if_nametoindex(interface)
        .map_err(|_| Unavailable::NoInterface(format!("there is no interface {interface}")))?;
    let name = format!("decap-{}", instance::default_name()?);
    Ok(instance::directory(bpffs, &name)?.join(LINKS).join(format!("tc-{index}")))
}

fn load(balancers: &[IpAddr]) -> Result<Ebpf, Unavailable> {
    let bytes = object::bytes().map_err(|reason| Unavailable::NotBuiltIn(reason.0))?;
    let mut loader = EbpfLoader::new();
    // The balancer's own tables are in the object, too, and not used here.
    for name in [names::FLOWS, names::CACHE, names::EMBRYONIC, names::CLOSING] {
        loader.map_max_entries(name, 1);
    }
    let mut ebpf = loader.load(bytes).map_err(load::of_object)?;
    let map = ebpf.map_mut(names::BALANCERS).ok_or_else(|| Unavailable::Map {
        map: names::BALANCERS.to_owned(),
        reason: "not in the object".to_owned(),
    })?;
    let wrong = |error| map_error(names::BALANCERS, &error);
    let mut map: HashMap<_, Addr, u32> = map.try_into().map_err(wrong)?;
    for balancer in balancers {
        map.insert(Addr::from(*balancer), 1, 0).map_err(wrong)?;
    }
    load::load_program(&mut ebpf, PROGRAM_DECAP, |program| {
        let program: &mut SchedClassifier = program.try_into()?;
        program.load()
    })?;
    Ok(ebpf)
}
