//! Network namespaces by name, as `ip netns` keeps them: sockets belong to the namespace they were made in.

use std::fs::File;
use std::io;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

const NAMED: &str = "/run/netns";
const OWN: &str = "/proc/thread-self/ns/net";

/// Runs `make` in the namespace called `name` (`None`: where we are) and comes back. Concerns this thread only.
///
/// # Errors
/// When the namespace does not exist or entering it is not permitted (CAP_SYS_ADMIN), and what `make` returns.
pub fn within<T>(name: Option<&str>, make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let Some(name) = name else {
        return make();
    };
    let home = File::open(OWN)?;
    let there = File::open(Path::new(NAMED).join(name)).map_err(|e| {
        io::Error::new(e.kind(), format!("network namespace '{name}' is not in {NAMED}: {e}"))
    })?;
    setns(&there, CloneFlags::CLONE_NEWNET).map_err(|e| {
        io::Error::new(
            io::Error::from(e).kind(),
            format!("cannot enter network namespace '{name}': {e}"),
        )
    })?;
    // Coming back also when `make` panics, or the thread would go on in a foreign namespace.
    struct Home(File);
    impl Drop for Home {
        fn drop(&mut self) {
            if let Err(error) = setns(&self.0, CloneFlags::CLONE_NEWNET) {
                tracing::error!(%error, "cannot leave a network namespace");
            }
        }
    }
    let _home = Home(home);
    make()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_namespace_is_named_in_the_error() {
        let e = within(Some("no-such-ns"), || Ok(())).unwrap_err();
        assert!(e.to_string().contains("'no-such-ns'"), "{e}");
        assert!(within(None, || Ok(())).is_ok());
    }
}
