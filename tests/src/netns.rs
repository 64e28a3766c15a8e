//! Network namespaces that disappear with their guard.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, anyhow, bail};
use nix::sched::{CloneFlags, setns};

use crate::guardian::{Registration, Resource};

const RUN_DIR: &str = "/run/netns";
/// Names begin with this and the id of the process that made them.
const PREFIX: &str = "sluice-";

/// A named network namespace with `lo` up. Dropping it kills the processes inside and removes it.
///
/// Programs enter it by `nsenter --net`, so that they keep the host's `/sys` with its bpffs
/// (`ip netns exec` mounts another `/sys` over it).
#[derive(Debug)]
pub struct NetNs {
    name: String,
    guard: Option<Registration>,
}

impl NetNs {
    /// Makes a namespace called `sluice-<pid>-<number>-<label>`.
    pub fn new(label: &str) -> Result<Self> {
        static SWEEP: Once = Once::new();
        static NEXT: AtomicU32 = AtomicU32::new(0);
        SWEEP.call_once(|| {
            remove_orphans();
            crate::pins::remove_orphans();
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self::named(&format!("{PREFIX}{}-{number}-{label}", std::process::id()))
    }

    /// Makes a namespace with exactly this name.
    pub fn named(name: &str) -> Result<Self> {
        let guard = Registration::new(Resource::NetNs(name.into()));
        run(Command::new("ip").args(["netns", "add", name]))
            .context("a network namespace needs root and iproute2")?;
        let ns = Self { name: name.into(), guard: Some(guard) };
        ns.enter(|| -> Result<()> {
            // Addresses are usable at once: duplicate address detection takes a second or two.
            for scope in ["all", "default"] {
                fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/accept_dad"), "0")?;
            }
            Ok(())
        })?
        .context("net.ipv6.conf.*.accept_dad")?;
        ns.ip("link set lo up")?;
        Ok(ns)
    }

    /// The guard of a namespace that exists already; dropping it removes the namespace.
    pub fn adopt(name: &str) -> Result<Self> {
        if !Path::new(RUN_DIR).join(name).exists() {
            bail!("no network namespace {name:?}");
        }
        Ok(Self { name: name.into(), guard: Some(Registration::new(Resource::NetNs(name.into()))) })
    }

    /// Leaves the namespace in place for good.
    pub fn keep(mut self) {
        self.guard = None;
    }

    /// The name `ip netns` knows it by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that names the namespace (`/run/netns/NAME`).
    pub fn path(&self) -> PathBuf {
        Path::new(RUN_DIR).join(&self.name)
    }

    /// The namespace's inode number, by which the kernel names it.
    pub fn inode(&self) -> Result<u64> {
        use std::os::unix::fs::MetadataExt;
        Ok(fs::metadata(self.path())?.ino())
    }

    /// A command that will run inside.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={RUN_DIR}/{}", self.name)).arg("--").arg(program);
        command
    }

    /// Runs a command line (split at blanks) inside and returns its standard output; anything
    /// but success is an error that carries what it wrote.
    pub fn exec(&self, line: &str) -> Result<String> {
        let mut words = line.split_whitespace();
        let program = words.next().context("empty command line")?;
        run(self.command(program).args(words))
    }

    /// Runs `ip -n <this namespace> <arguments>`.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments.split_whitespace()))
    }

    /// Calls `f` on a thread inside the namespace. Sockets it opens, and threads it starts,
    /// stay there.
    pub fn enter<R: Send>(&self, f: impl FnOnce() -> R + Send) -> Result<R> {
        let file = File::open(self.path()).with_context(|| format!("open {:?}", self.path()))?;
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    setns(&file, CloneFlags::CLONE_NEWNET).context("setns")?;
                    Ok(f())
                })
                .join()
                .map_err(|panic| match panic.downcast_ref::<String>() {
                    Some(text) => anyhow!("inside the namespace: {text}"),
                    None => anyhow!("panic inside the namespace"),
                })?
        })
    }

    /// Writes a `net.*` sysctl of this namespace, named with slashes:
    /// `set_sysctl("ipv4/ip_forward", "1")`.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<()> {
        self.enter(|| fs::write(Path::new("/proc/sys/net").join(name), value))?
            .with_context(|| format!("sysctl net/{name}={value}"))
    }

    /// Routes packets between interfaces, as a gateway does.
    pub fn enable_forwarding(&self) -> Result<()> {
        self.set_sysctl("ipv4/ip_forward", "1")?;
        self.set_sysctl("ipv6/conf/all/forwarding", "1")
    }

    /// Adds an address with its prefix length (`10.0.0.1/24`, `fd00::1/64`).
    pub fn add_address(&self, interface: &str, address: &str) -> Result<()> {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.ip(&format!("addr add {address} dev {interface}{nodad}")).map(drop)
    }

    /// Adds a default route, for the family of `gateway`.
    pub fn add_default_route(&self, gateway: &str) -> Result<()> {
        self.ip(&format!("route add default via {gateway}")).map(drop)
    }

    /// The hardware address of an interface.
    pub fn mac(&self, interface: &str) -> Result<String> {
        // Not from /sys, which shows the namespace it was mounted in.
        let text = self.ip(&format!("-o link show dev {interface}"))?;
        text.split_whitespace()
            .skip_while(|word| *word != "link/ether")
            .nth(1)
            .map(str::to_owned)
            .with_context(|| format!("no hardware address in {text:?}"))
    }

    /// The index of an interface.
    pub fn ifindex(&self, interface: &str) -> Result<u32> {
        let text = self.ip(&format!("-o link show dev {interface}"))?;
        let digits = text.split(':').next().unwrap_or_default().trim();
        digits.parse().with_context(|| format!("no index in {text:?}"))
    }
}

impl Drop for NetNs {
    fn drop(&mut self) {
        if self.guard.is_some() {
            remove(&self.name);
        }
    }
}

/// Joins two namespaces by a veth pair; both ends are up.
pub fn veth(a: &NetNs, a_name: &str, b: &NetNs, b_name: &str) -> Result<()> {
    a.ip(&format!("link add {a_name} type veth peer name {b_name} netns {}", b.name))?;
    a.ip(&format!("link set {a_name} up"))?;
    b.ip(&format!("link set {b_name} up")).map(drop)
}

/// Names of the namespaces whose name begins with `prefix`.
pub fn list(prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(RUN_DIR).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    names.sort();
    names
}

/// Kills every process in the namespace and removes it.
pub fn remove(name: &str) {
    if let Ok(pids) = run(Command::new("ip").args(["netns", "pids", name])) {
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // A thread of this process may be inside (a peer that is about to end).
            if pid != nix::unistd::getpid().as_raw() {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
    }
    let _ = run(Command::new("ip").args(["netns", "del", name]));
}

/// Removes namespaces that a process which no longer lives has left.
pub fn remove_orphans() {
    for name in list(PREFIX) {
        let owner = name[PREFIX.len()..].split('-').next().and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove(&name);
        }
    }
}

/// Runs a command to its end: its standard output, or an error with what it wrote.
pub fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {:?}", command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}: {}{}", output.status, text, errors.trim_end());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn two_namespaces_talk_over_a_veth_pair_and_vanish() {
        if !crate::net::is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let (left, right) = (NetNs::new("left").unwrap(), NetNs::new("right").unwrap());
        veth(&left, "eth0", &right, "eth0").unwrap();
        for (ns, last) in [(&left, 1), (&right, 2)] {
            ns.add_address("eth0", &format!("10.9.0.{last}/24")).unwrap();
            ns.add_address("eth0", &format!("fd09::{last}/64")).unwrap();
        }
        for address in ["10.9.0.2", "fd09::2"] {
            let listener = right.enter(|| TcpListener::bind((address, 0)).unwrap()).unwrap();
            let port = listener.local_addr().unwrap().port();
            left.enter(|| TcpStream::connect((address, port)).unwrap()).unwrap();
            assert!(TcpStream::connect((address, port)).is_err(), "not reachable from outside");
        }
        assert_ne!(left.mac("eth0").unwrap(), right.mac("eth0").unwrap());
        assert!(left.ifindex("eth0").unwrap() > 1);
        let (name, path) = (left.name().to_owned(), left.path());
        assert!(list("sluice-").contains(&name));
        let mut sleeper = left.command("sleep").arg("1000").spawn().unwrap();
        // `nsenter` must have entered before the namespace goes.
        crate::eventually("sleep inside", crate::wait::PATIENCE, || {
            run(Command::new("ip").args(["netns", "pids", &name]))
                .is_ok_and(|pids| !pids.is_empty())
        })
        .unwrap();
        drop(left);
        assert!(!sleeper.wait().unwrap().success(), "killed with the namespace");
        assert!(!path.exists());
    }

    #[test]
    fn exec_reports_failures_with_their_output() {
        if !crate::net::is_root() {
            eprintln!("skipped: needs root");
            return;
        }
        let ns = NetNs::new("exec").unwrap();
        assert_eq!(ns.exec("echo a b").unwrap(), "a b\n");
        let error = ns.exec("ls /nonexistent").unwrap_err().to_string();
        assert!(error.contains("/nonexistent"), "{error}");
        assert_eq!(ns.exec("cat /proc/sys/net/ipv4/ip_forward").unwrap(), "0\n");
        ns.enable_forwarding().unwrap();
        assert_eq!(ns.exec("cat /proc/sys/net/ipv4/ip_forward").unwrap(), "1\n");
    }
}
