//! Removing the kernel path's pins for a worker that has given up its rights.
//!
//! These are plain file operations: with its last pin and its last descriptor a program, link or map goes away by
//! itself. The worker is not trusted with the path: only directories that Sluice makes on a BPF file system are touched.

use std::io;
use std::path::Path;

use nix::sys::statfs::{BPF_FS_MAGIC, statfs};

use crate::messages;

/// The directory that holds those of all instances.
const PARENT: &str = "sluice";

/// Removes the directory of an instance with all that is pinned in it.
pub(super) fn remove(directory: &Path) {
    if let Err(error) = remove_checked(directory) {
        messages::warning(format_args!("pins in {} stay: {error}", directory.display()));
    }
}

fn remove_checked(directory: &Path) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    let ours = directory.parent().and_then(Path::file_name).is_some_and(|name| name == PARENT);
    if !ours || statfs(&directory)?.filesystem_type() != BPF_FS_MAGIC {
        return Err(io::Error::other("not a pin directory of Sluice"));
    }
    std::fs::remove_dir_all(&directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_directories_are_left_alone() {
        let directory = std::env::temp_dir().join(format!("{PARENT}-pins-{}", std::process::id()));
        let inside = directory.join(PARENT).join("instance");
        std::fs::create_dir_all(&inside).unwrap();
        assert!(remove_checked(&inside).is_err());
        assert!(remove_checked(Path::new("/sys/fs/bpf")).is_err());
        assert!(inside.exists());
        std::fs::remove_dir_all(directory).unwrap();
    }
}
