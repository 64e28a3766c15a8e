//! The pin directory of an instance: its name, the BPF file system it stands on and the lock that
//! keeps two processes from writing the same maps.
//!
//! Only an owner of this directory's lock writes maps. The lock is on the directory itself and
//! dies with the process; the pins stay.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::mount::MsFlags;
use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::sys;
use crate::unavailable::Unavailable;

/// Where the BPF file system is expected.
const BPFFS: &str = "/sys/fs/bpf";
/// The directory of all instances below the BPF file system.
const PARENT: &str = "sluice";
/// The directory of links below that of an instance.
pub(crate) const LINKS: &str = "links";
/// The cookie of the initial network namespace.
const INITIAL_COOKIE: u64 = 1;

/// The instance of the calling thread's network namespace: `default` for the initial one, else
/// `netns-<inode>`, so that balancers in several namespaces of a machine do not meet.
pub(crate) fn default_name() -> Result<String, Unavailable> {
    let inode = fs::metadata("/proc/thread-self/ns/net")
        .map_err(|e| Unavailable::from_io("reading the network namespace", e))?
        .ino();
    let initial = match sys::netns_cookie() {
        Ok(cookie) => cookie == INITIAL_COOKIE,
        Err(_) => fs::metadata("/proc/1/ns/net").is_ok_and(|m| m.ino() == inode),
    };
    Ok(if initial { "default".to_owned() } else { format!("netns-{inode}") })
}

pub(crate) fn check_name(name: &str) -> Result<(), Unavailable> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    // A BPF file system refuses names with dots.
    let ok = !name.is_empty() && name.len() <= 64 && name.bytes().all(good);
    if ok { Ok(()) } else { Err(Unavailable::BadInstanceName(name.to_owned())) }
}

/// A locked pin directory.
#[derive(Debug)]
pub(crate) struct Instance {
    path: PathBuf,
    _lock: Flock<File>,
}

impl Instance {
    /// Makes and locks the directory of `name` under the BPF file system at `bpffs` (found or
    /// mounted when `None`), waiting up to `patience` for its present holder.
    pub(crate) fn open(
        bpffs: Option<&Path>,
        name: &str,
        patience: Duration,
    ) -> Result<Self, Unavailable> {
        check_name(name)?;
        let path = find_bpffs(bpffs)?.join(PARENT).join(name);
        let deadline = Instant::now() + patience;
        loop {
            fs::create_dir_all(&path)
                .map_err(|e| Unavailable::from_io(format!("making {}", path.display()), e))?;
            match lock(&path) {
                Ok(Some(lock)) => return Ok(Self { path, _lock: lock }),
                // The directory went away between the two calls.
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if Instant::now() >= deadline {
                        let pid = lock_holder(&path);
                        return Err(Unavailable::InUse { path, pid });
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => {
                    return Err(Unavailable::from_io(format!("locking {}", path.display()), error));
                }
            }
        }
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes every pin, which detaches and frees what nothing else holds, and the directory.
    pub(crate) fn remove(self) -> io::Result<()> {
        remove_tree(&self.path)
    }
}

/// Removes a directory of pins and what they hold.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(path)?.collect::<Result<_, _>>()?;
    // Links go first, so that no program meets a packet on its way out.
    entries.sort_by_key(|entry| entry.file_name() != *LINKS);
    for entry in entries {
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        } else {
            remove_pin(&entry.path())?;
        }
    }
    fs::remove_dir(path)
}

/// Removes a pin, and detaches it when it is a link. A missing one is fine.
pub(crate) fn remove_pin(path: &Path) -> io::Result<()> {
    if path.parent().is_some_and(|directory| directory.ends_with(LINKS)) {
        // Fails when its interface is gone, and then there is nothing to detach.
        let _ = sys::detach_link(path);
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Locks the directory at `path`; `Ok(None)` when it is no longer the one that was locked.
fn lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    let directory = match File::open(path) {
        Ok(directory) => directory,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let locked = Flock::lock(directory, FlockArg::LockExclusiveNonblock)
        .map_err(|(_, errno)| io::Error::from(errno))?;
    let same = fs::metadata(path).is_ok_and(|now| {
        locked.metadata().is_ok_and(|then| now.ino() == then.ino() && now.dev() == then.dev())
    });
    Ok(same.then_some(locked))
}

/// The process that holds a lock on `path`, from `/proc/locks`.
fn lock_holder(path: &Path) -> Option<u32> {
    let inode = fs::metadata(path).ok()?.ino();
    lock_holder_in(&fs::read_to_string("/proc/locks").ok()?, inode)
}

fn lock_holder_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        // "1: FLOCK  ADVISORY  WRITE 708 00:1c:5 0 EOF"
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (kind, pid, file) = (fields.next()?, fields.nth(2)?, fields.next()?);
        let held = kind == "FLOCK" && file.rsplit(':').next()?.parse() == Ok(inode);
        if held { pid.parse().ok() } else { None }
    })
}

/// The directory of an instance, found or not; the file system is mounted when need be.
pub(crate) fn directory(bpffs: Option<&Path>, name: &str) -> Result<PathBuf, Unavailable> {
    check_name(name)?;
    Ok(find_bpffs(bpffs)?.join(PARENT).join(name))
}

/// The directory of an instance that is there already; nothing is made, locked or mounted.
pub(crate) fn existing(bpffs: Option<&Path>, name: &str) -> Result<PathBuf, Unavailable> {
    check_name(name)?;
    let own = bpffs.unwrap_or_else(|| Path::new(BPFFS));
    let first = Path::new("/proc/1/root").join(BPFFS.trim_start_matches('/'));
    let places = [own.join(PARENT), first.join(PARENT)];
    if let Some(path) = places.iter().map(|parent| parent.join(name)).find(|path| path.is_dir()) {
        return Ok(path);
    }
    let mut others: Vec<String> = places
        .iter()
        .filter_map(|parent| fs::read_dir(parent).ok())
        .flat_map(|entries| entries.flatten())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    others.sort_unstable();
    others.dedup();
    Err(Unavailable::NoInstance { name: name.to_owned(), others })
}

/// Finds the BPF file system or mounts one.
///
/// `ip netns exec` gives its command a mount namespace with a fresh `/sys`; a file system mounted
/// there would vanish, pins and all, with the last process in it. So the one of the first process
/// is preferred to a private one.
fn find_bpffs(explicit: Option<&Path>) -> Result<PathBuf, Unavailable> {
    if let Some(path) = explicit {
        return if is_bpffs(path) { Ok(path.to_owned()) } else { mount(path) };
    }
    let own = Path::new(BPFFS);
    let first = Path::new("/proc/1/root").join(BPFFS.trim_start_matches('/'));
    let candidates = [own, &first];
    if let Some(found) = candidates.into_iter().find(|p| is_bpffs(p)) {
        return Ok(found.to_owned());
    }
    if private_mounts() && mount_in_first_namespace() && is_bpffs(&first) {
        return Ok(first);
    }
    mount(own)
}

fn is_bpffs(path: &Path) -> bool {
    statfs(path).is_ok_and(|s| s.filesystem_type() == BPF_FS_MAGIC)
}

fn mount(path: &Path) -> Result<PathBuf, Unavailable> {
    let missing = |reason: String| Unavailable::NoBpfFs { path: path.to_owned(), reason };
    if !path.is_dir() {
        return Err(missing("the directory is missing (no sysfs, or a kernel without BPF)".into()));
    }
    nix::mount::mount(Some("bpf"), path, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
        .map_err(|errno| missing(format!("cannot mount it: {}", errno.desc())))?;
    Ok(path.to_owned())
}

/// Whether this process sees other mounts than the first process.
fn private_mounts() -> bool {
    let own = fs::read_link("/proc/self/ns/mnt");
    let first = fs::read_link("/proc/1/ns/mnt");
    matches!((own, first), (Ok(own), Ok(first)) if own != first)
}

/// Mounts the file system where the first process sees it, from a thread of its own: changing a
/// mount namespace needs a thread that shares its working directory with nobody.
fn mount_in_first_namespace() -> bool {
    let attempt = || -> nix::Result<()> {
        let namespace = File::open("/proc/1/ns/mnt").map_err(|_| nix::Error::EPERM)?;
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
        nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNS)?;
        nix::mount::mount(Some("bpf"), BPFFS, Some("bpf"), MsFlags::empty(), Some("mode=0700"))
    };
    std::thread::Builder::new()
        .name("mount-bpffs".to_owned())
        .spawn(attempt)
        .is_ok_and(|thread| matches!(thread.join(), Ok(Ok(()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["default", "netns-4026531840", "a", "a_b-1"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "x".repeat(65);
        for bad in ["", "a.b", ".", "..", ".hidden", "a/b", "a b", "ä", long.as_str()] {
            assert!(matches!(check_name(bad), Err(Unavailable::BadInstanceName(_))), "{bad}");
        }
    }

    #[test]
    fn holder_is_found_by_inode() {
        let locks = "1: POSIX  ADVISORY  READ 5433 08:01:7864448 128 128\n\
                     2: FLOCK  ADVISORY  WRITE 2001 08:01:786 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 2002 08:01:786 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 1568 00:1c:5 0 EOF\n";
        assert_eq!(lock_holder_in(locks, 5), Some(1568));
        assert_eq!(lock_holder_in(locks, 786), Some(2001));
        assert_eq!(lock_holder_in(locks, 7_864_448), None);
        assert_eq!(lock_holder_in("", 5), None);
    }

    #[test]
    fn lock_excludes_and_ends_with_its_holder() {
        let directory = std::env::temp_dir().join(format!("sluice-lock-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let first = lock(&directory).unwrap();
        assert!(first.is_some());
        assert_eq!(lock(&directory).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(lock_holder(&directory), Some(std::process::id()));
        drop(first);
        assert!(lock(&directory).unwrap().is_some());
        fs::remove_dir(&directory).unwrap();
        assert!(lock(&directory).unwrap().is_none());
    }
}
