//! The guardian: a small process that outlives this one and removes what it left.
//!
//! Rust's `Drop` does not run on Ctrl-C, abort or `kill -9`. The guardian holds the read end of a
//! pipe; every resource is written to it when made and again when dropped. When the pipe closes,
//! for whatever reason, it removes what is still listed, newest first.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// Something that must not outlive this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A directory, with all it contains.
    Dir(String),
    /// A named network namespace, with every process in it.
    NetNs(String),
    /// A process group, by the id of its leader.
    ProcessGroup(u32),
    /// A process written in a pid file (a daemon leaves its process group).
    PidFile(String),
}

/// Keeps a [`Resource`] listed at the guardian until dropped.
#[derive(Debug)]
#[must_use = "the guardian forgets the resource when this is dropped"]
pub struct Registration(Resource);

impl Registration {
    /// Lists `resource`, to be removed when this process dies first.
    pub fn new(resource: Resource) -> Self {
        tell('+', &resource);
        Self(resource)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        tell('-', &self.0);
    }
}

const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
list=
while IFS= read -r line; do
    item=${line#?}
    case $line in
        +*) list="$item
$list" ;;
        -*) list=$(printf '%s' "$list" | grep -vxF -e "$item")
            list="$list
" ;;
    esac
done
printf '%s' "$list" | while read -r kind what; do
    case $kind in
        group) kill -KILL -- "-$what" ;;
        pidfile) [ -s "$what" ] && kill -KILL $(cat "$what") ;;
        netns) ip netns pids "$what" | xargs -r kill -KILL; ip netns del "$what" ;;
        dir) rm -rf -- "$what" ;;
    esac
done
"#;

fn tell(sign: char, resource: &Resource) {
    static PIPE: OnceLock<Option<Mutex<ChildStdin>>> = OnceLock::new();
    let pipe = PIPE.get_or_init(|| {
        Command::new("sh")
            .args(["-c", SCRIPT, "guardian"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: Ctrl-C in the terminal does not reach it.
            .process_group(0)
            .spawn()
            .ok()?
            .stdin
            .take()
            .map(Mutex::new)
    });
    let line = match resource {
        Resource::Dir(path) => format!("{sign}dir {path}\n"),
        Resource::NetNs(name) => format!("{sign}netns {name}\n"),
        Resource::ProcessGroup(id) => format!("{sign}group {id}\n"),
        Resource::PidFile(path) => format!("{sign}pidfile {path}\n"),
    };
    // Without a guardian, drop still cleans up in the ordinary case.
    if let Some(pipe) = pipe
        && let Ok(mut pipe) = pipe.lock()
    {
        let _ = pipe.write_all(line.as_bytes());
    }
}
