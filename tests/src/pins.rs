//! What tests leave pinned in the bpf filesystem.
//!
//! [`Drop`] and the guardian remove pins in the ordinary case. Where both were killed, pins of instances `it-...-<inode>`
//! are known by the network namespace in their name, which is gone.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const ROOT: &str = "/sys/fs/bpf/sluice";
/// Names of the instances of tests begin with this and end with the inode of their namespace.
const PREFIX: &str = "it-";

/// Removes pins of instances whose namespace is gone.
pub fn remove_orphans() {
    remove_orphans_in(Path::new(ROOT), &living());
}

fn remove_orphans_in(root: &Path, living: &HashSet<u64>) {
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        if is_orphan(&entry.file_name().to_string_lossy(), living) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_orphan(name: &str, living: &HashSet<u64>) -> bool {
    let Some(rest) = name.strip_prefix(PREFIX) else { return false };
    let inode = rest.rsplit('-').next().and_then(|digits| digits.parse::<u64>().ok());
    inode.is_some_and(|inode| !living.contains(&inode))
}

/// Network namespaces that have a name or a process.
fn living() -> HashSet<u64> {
    let named = fs::read_dir("/run/netns").into_iter().flatten().flatten().map(|e| e.path());
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let used = processes.map(|process| process.path().join("ns/net"));
    named.chain(used).filter_map(|path| fs::metadata(path).ok()).map(|meta| meta.ino()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_go_with_their_namespace() {
        let root = tempfile::tempdir().unwrap();
        let names = ["it-kernel-17", "it-18", "it-ecmp-18", "netns-17", "it-without", "default"];
        for name in names {
            fs::create_dir(root.path().join(name)).unwrap();
        }
        remove_orphans_in(root.path(), &HashSet::from([18]));
        let mut left: Vec<_> =
            fs::read_dir(root.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["default", "it-18", "it-ecmp-18", "it-without", "netns-17"]);
        let own = fs::metadata("/proc/self/ns/net").unwrap().ino();
        assert!(living().contains(&own));
    }
}
