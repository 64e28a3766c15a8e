//! Limits, chroot and identity of the worker (configuration manual, 3.1).
//!
//! Order matters: descriptors and limits first, then the jail, then groups, then the user. When
//! the kernel path is in use, the capabilities that updating its maps needs stay with the worker
//! after the change of user; everything else goes.

use std::io;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, chdir, chroot, setgid, setgroups, setuid};

/// Who the worker becomes, and where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Identity {
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
    pub(crate) chroot: Option<PathBuf>,
    /// `setcap`: kept after the change of user.
    pub(crate) capabilities: Vec<Capability>,
    /// `set-dumpable`.
    pub(crate) dumpable: Option<bool>,
    /// `insecure-setuid-wanted`: programs that are started may gain rights.
    pub(crate) may_gain_rights: bool,
}

/// A step of dropping privileges that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PrivilegeError {
    #[error("cannot chroot to {path} : {source}. Start as root, or remove 'chroot'")]
    Chroot { path: PathBuf, source: io::Error },
    #[error("cannot change to group {gid} : {source}. Start as root, or remove 'group' and 'gid'")]
    Group { gid: u32, source: io::Error },
    #[error("cannot change to user {uid} : {source}. Start as root, or remove 'user' and 'uid'")]
    User { uid: u32, source: io::Error },
    #[error("cannot keep capabilities : {0}")]
    Capabilities(String),
}

/// Raises the descriptor limit to `wanted`, as far as the process may.
///
/// # Errors
/// `Err(limit)` is the limit that stays in force when it is below `wanted`.
pub(crate) fn raise_descriptor_limit(wanted: u64) -> Result<(), u64> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    if soft >= wanted {
        return Ok(());
    }
    if setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted)).is_ok() {
        return Ok(());
    }
    let _ = setrlimit(Resource::RLIMIT_NOFILE, hard.min(wanted), hard);
    if hard >= wanted { Ok(()) } else { Err(hard) }
}

impl Identity {
    /// Gives up what this identity does not have. Must run while the process has one thread.
    ///
    /// # Errors
    /// The step that failed; the process must not go on, since it would run with more rights than
    /// the configuration allows.
    pub(crate) fn assume(&self, keep_kernel_path: bool) -> Result<(), PrivilegeError> {
        if let Some(path) = &self.chroot {
            enter(path).map_err(|source| PrivilegeError::Chroot { path: path.clone(), source })?;
        }
        let mut kept = self.capabilities.clone();
        if keep_kernel_path {
            kept.extend([Capability::CAP_BPF, Capability::CAP_NET_ADMIN]);
        }
        let changes_user = self.uid.is_some_and(|uid| uid != Uid::effective().as_raw());
        if changes_user && !kept.is_empty() && Uid::effective().is_root() {
            nix::sys::prctl::set_keepcaps(true)
                .map_err(|error| PrivilegeError::Capabilities(error.to_string()))?;
        }
        if let Some(gid) = self.gid.filter(|gid| *gid != Gid::effective().as_raw()) {
            let group = Gid::from_raw(gid);
            // Without root the supplementary groups cannot be dropped, and need not be.
            if Uid::effective().is_root() {
                setgroups(&[group]).map_err(|e| PrivilegeError::Group { gid, source: e.into() })?;
            }
            setgid(group).map_err(|e| PrivilegeError::Group { gid, source: e.into() })?;
        }
        if let Some(uid) = self.uid.filter(|_| changes_user) {
            let was_root = Uid::effective().is_root();
            setuid(Uid::from_raw(uid))
                .map_err(|e| PrivilegeError::User { uid, source: e.into() })?;
            if !kept.is_empty() && was_root {
                keep_only(&kept)
                    .map_err(|error| PrivilegeError::Capabilities(error.to_string()))?;
            }
        }
        if !self.may_gain_rights
            && let Err(error) = nix::sys::prctl::set_no_new_privs()
        {
            tracing::debug!(%error, "programs that are started may gain rights");
        }
        // The change of user made the process undumpable.
        if let Some(dumpable) = self.dumpable {
            let limit = if dumpable { RLIM_INFINITY } else { 0 };
            let _ = setrlimit(Resource::RLIMIT_CORE, limit, limit);
            if let Err(error) = nix::sys::prctl::set_dumpable(dumpable) {
                crate::messages::warning(format_args!("'set-dumpable' : {error}"));
            }
        }
        Ok(())
    }
}

fn enter(path: &Path) -> io::Result<()> {
    chroot(path)?;
    chdir("/")?;
    Ok(())
}

fn keep_only(wanted: &[Capability]) -> Result<(), caps::errors::CapsError> {
    let wanted: CapsHashSet = wanted.iter().copied().collect();
    caps::set(None, CapSet::Effective, &wanted)?;
    caps::set(None, CapSet::Inheritable, &CapsHashSet::new())?;
    caps::set(None, CapSet::Permitted, &wanted)
}
/// Limits what this process and those it starts may allocate, in bytes (`-m`). An allocation beyond it ends the
/// process; a master starts its worker again.
///
/// # Errors
/// The kernel does not take the limit.
pub(crate) fn limit_memory(bytes: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_DATA)?;
    let limit = if hard == RLIM_INFINITY { bytes } else { bytes.min(hard) };
    setrlimit(Resource::RLIMIT_DATA, limit, limit)
}
