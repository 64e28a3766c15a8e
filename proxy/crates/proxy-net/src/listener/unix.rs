//! Unix sockets with a path: bound beside their place, given owner and mode, then moved over what is there. Clients of
//! an old process always find one of the two.

use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use socket2::{SockAddr as RawAddr, Socket};

use super::BindStep;

/// `mode`, `uid`/`user`, `gid`/`group`, names already resolved. `None` leaves what the umask and process give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UnixOwner {
    /// Permission bits.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// A socket bound at a temporary path. Dropped without [`Staged::publish`], it leaves no trace.
#[derive(Debug)]
pub(super) struct Staged {
    temporary: PathBuf,
    path: PathBuf,
}

pub(super) fn stage(
    socket: &Socket,
    path: &Path,
    owner: &UnixOwner,
) -> Result<Staged, (BindStep, io::Error)> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let raw = RawAddr::unix(&temporary).map_err(|e| (BindStep::Bind, e))?;
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err((BindStep::Bind, e)),
        _ => {}
    }
    socket.bind(&raw).map_err(|e| (BindStep::Bind, e))?;
    let staged = Staged { temporary, path: path.to_owned() };
    apply_owner(&staged.temporary, owner)?;
    Ok(staged)
}

pub(super) fn apply_owner(path: &Path, owner: &UnixOwner) -> Result<(), (BindStep, io::Error)> {
    let step = |e| (BindStep::Permissions, e);
    if owner.uid.is_some() || owner.gid.is_some() {
        chown(path, owner.uid, owner.gid).map_err(step)?;
    }
    if let Some(mode) = owner.mode {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(step)?;
    }
    Ok(())
}

impl Staged {
    pub(super) fn publish(self) -> io::Result<()> {
        std::fs::rename(&self.temporary, &self.path)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove.
        let _ = std::fs::remove_file(&self.temporary);
    }
}
