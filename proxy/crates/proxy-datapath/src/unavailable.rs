//! Why the kernel data path cannot be used here. Each reason reads as the end of "layer 4 in the
//! kernel is not available: ...", and the worker then serves everything in userspace.

use std::io;
use std::path::PathBuf;

/// Why [`Datapath::open`](crate::Datapath::open) gave no data path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The build had no BPF toolchain.
    #[error("this binary was built without its kernel programs ({0})")]
    NotBuiltIn(&'static str),
    /// The capabilities are missing.
    #[error("missing privileges: {what} needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (or root)")]
    NoPrivilege {
        /// What was refused.
        what: String,
    },
    /// The kernel lacks BPF or a part of it that is needed.
    #[error("the kernel has no {feature}")]
    KernelTooOld {
        /// The missing part and where it came in.
        feature: &'static str,
    },
    /// No BPF file system to pin in.
    #[error("no BPF file system at {}: {reason}", .path.display())]
    NoBpfFs {
        /// Where it was looked for.
        path: PathBuf,
        /// Why it is not there and cannot be mounted.
        reason: String,
    },
    /// Another process holds the same pin directory.
    #[error("{} is in use by process {}", .path.display(), .pid.map_or_else(|| "unknown".to_owned(), |p| p.to_string()))]
    InUse {
        /// The pin directory.
        path: PathBuf,
        /// Who holds it, when the kernel tells.
        pid: Option<u32>,
    },
    /// Nothing is pinned under this name.
    #[error("there is no instance \"{name}\" in the kernel{}", beside(.others))]
    NoInstance {
        /// The name looked for.
        name: String,
        /// Those that are there.
        others: Vec<String>,
    },
    /// What is pinned was made by another version.
    #[error("{} has programs of version {version}, this binary reads version {}", .path.display(), proxy_common::ABI_VERSION)]
    OtherVersion {
        /// The pin directory.
        path: PathBuf,
        /// Version of its tables.
        version: u32,
    },
    /// The instance name cannot be a directory name.
    #[error(
        "\"{0}\" is no usable instance name: letters, digits, \"-\" and \"_\" only, at most 64"
    )]
    BadInstanceName(String),
    /// The verifier or the loader refused a program.
    #[error("the kernel refused program {program}: {reason}")]
    ProgramRefused {
        /// Name of the program.
        program: String,
        /// The last lines of the verifier's log.
        reason: String,
    },
    /// A map could not be made or adopted.
    #[error("map {map}: {reason}")]
    Map {
        /// Name of the map.
        map: String,
        /// The cause.
        reason: String,
    },
    /// Not one interface could be attached to.
    #[error("no interface to attach to: {0}")]
    NoInterface(String),
    /// The network's state could not be read.
    #[error(transparent)]
    Netlink(#[from] crate::net::NetlinkError),
    /// Anything the system refused.
    #[error("{doing}: {error}")]
    System {
        /// What was attempted.
        doing: String,
        /// The cause.
        #[source]
        error: io::Error,
    },
}

fn beside(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!(" (there are: {})", names.join(", ")) }
}

impl Unavailable {
    /// Sorts an error of a system call on the way up.
    pub(crate) fn from_io(doing: impl Into<String>, error: io::Error) -> Self {
        let doing = doing.into();
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::NoPrivilege { what: doing },
            Some(libc::ENOSYS) => Self::KernelTooOld { feature: "bpf() system call" },
            _ => Self::System { doing, error },
        }
    }
}

/// The error with its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
