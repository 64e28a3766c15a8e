//! Loading the object with the pinned maps in place, and sorting the ways it can fail.

use std::fs;
use std::io;

use aya::maps::{Array, MapError};
use aya::programs::{ProgramError, SchedClassifier, Xdp};
use aya::sys::SyscallError;
use aya::{Ebpf, EbpfError, EbpfLoader, VerifierLogLevel};
use proxy_common::maps::{self as names, PROGRAM_EXPIRE, PROGRAM_TC, PROGRAM_XDP};

use crate::maps::{Adoption, Pins, Sizes};
use crate::object::{self, NotBuiltIn};
use crate::unavailable::{Unavailable, chain};

/// Lines of the verifier's log that are worth showing.
const LOG_LINES: usize = 6;

/// Finds out whether the kernel takes BPF objects from this process at all.
pub(crate) fn probe() -> Result<(), Unavailable> {
    match Array::<_, u32>::create(1, 0) {
        Ok(_) => Ok(()),
        Err(error) => Err(of_map("probe", error)),
    }
}

/// Loads maps and programs; maps are taken from their pins or pinned there.
pub(crate) fn load(pins: &Pins, adoption: Adoption, sizes: &Sizes) -> Result<Ebpf, Unavailable> {
    let object = object::bytes().map_err(|NotBuiltIn(reason)| Unavailable::NotBuiltIn(reason))?;
    let mut loader = EbpfLoader::new();
    loader.verifier_log_level(VerifierLogLevel::STATS);
    for name in names::ALL {
        loader.map_pin_path(name, pins.place(name, adoption));
    }
    for (name, entries) in sizes.by_name() {
        loader.map_max_entries(name, entries);
    }
    let mut ebpf = loader.load(object).map_err(of_object)?;
    load_program(&mut ebpf, PROGRAM_TC, |p| {
        let program: &mut SchedClassifier = p.try_into()?;
        program.load()
    })?;
    load_program(&mut ebpf, PROGRAM_EXPIRE, |p| {
        let program: &mut SchedClassifier = p.try_into()?;
        program.load()
    })?;
    load_program(&mut ebpf, PROGRAM_XDP, |p| {
        let program: &mut Xdp = p.try_into()?;
        program.load()
    })?;
    Ok(ebpf)
}

/// The verifier gives up with `EAGAIN` when a signal reaches the thread.
const LOAD_RETRIES: usize = 50;

pub(crate) fn load_program(
    ebpf: &mut Ebpf,
    name: &str,
    load: impl Fn(&mut aya::programs::Program) -> Result<(), ProgramError>,
) -> Result<(), Unavailable> {
    let refused = |reason: String| Unavailable::ProgramRefused { program: name.to_owned(), reason };
    let program = ebpf.program_mut(name).ok_or_else(|| refused("not in the object".to_owned()))?;
    let mut result = load(program);
    for _ in 0..LOAD_RETRIES {
        let Err(ProgramError::LoadError { io_error, .. }) = &result else { break };
        if io_error.raw_os_error() != Some(libc::EAGAIN) {
            break;
        }
        result = load(program);
    }
    result.map_err(|error| match error {
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            match io_error.raw_os_error() {
                Some(libc::EPERM) => no_privilege("loading programs"),
                _ => refused(format!("{io_error}: {}", tail(&log))),
            }
        }
        error => refused(chain(&error)),
    })
}

/// The last lines of a log that say something.
fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join(" | ")
}

fn no_privilege(what: &str) -> Unavailable {
    Unavailable::NoPrivilege { what: what.to_owned() }
}

pub(crate) fn of_object(error: EbpfError) -> Unavailable {
    match error {
        EbpfError::MapError(MapError::CreateError { name, io_error }) => {
            let full = name.clone();
            of_map(&name, MapError::CreateError { name: full, io_error })
        }
        error => Unavailable::Map { map: "object".to_owned(), reason: chain(&error) },
    }
}

fn of_map(name: &str, error: MapError) -> Unavailable {
    let io_error = match &error {
        MapError::SyscallError(SyscallError { io_error, .. })
        | MapError::CreateError { io_error, .. } => Some(io_error),
        _ => None,
    };
    match io_error.and_then(io::Error::raw_os_error) {
        Some(libc::EPERM) => no_privilege("creating maps"),
        Some(libc::ENOSYS) => Unavailable::KernelTooOld { feature: "bpf() system call" },
        Some(libc::EINVAL) if name == "probe" => Unavailable::KernelTooOld { feature: "BPF maps" },
        Some(libc::ENOMEM) => Unavailable::Map {
            map: name.to_owned(),
            reason: "not enough memory (fewer connections need less)".to_owned(),
        },
        _ => crate::maps::map_error(name, &error),
    }
}

/// Whether translated packets may be forwarded, by family: `ip_forward` of the namespace. The
/// kernel's forwarding helpers refuse otherwise.
pub(crate) fn forwarding() -> (bool, bool) {
    let on = |path: &str| fs::read_to_string(path).is_ok_and(|v| v.trim() != "0");
    (on("/proc/sys/net/ipv4/ip_forward"), on("/proc/sys/net/ipv6/conf/all/forwarding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_tail() {
        assert_eq!(tail(""), "");
        assert_eq!(tail("a\n\n  b\n"), "a | b");
        assert_eq!(tail("1\n2\n3\n4\n5\n6\n7\n8"), "3 | 4 | 5 | 6 | 7 | 8");
    }
}
