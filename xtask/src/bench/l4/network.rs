//! What carrying connections costs between namespaces: a client, a balancer, two servers.
//!
//! Counted is the CPU time of all that takes part: client and servers (threads of this process), and the
//! balancer's processes. The kernel's work on a packet is done in the context of whoever sent it, so it is in
//! there. Every peer has the same client and servers, so what it needs beyond plain routing is its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use tests::guardian::{Registration, Resource};
use tests::sluice::Files;
use tests::{Lab, NetNs, PATIENCE, Program, eventually};

use super::super::process::cpu_time;
use super::super::report::Scenario;
use crate::product::{self, Profile};
use crate::shell::find;

const PORT: u16 = 8080;
/// Bytes of a short connection's answer.
const ANSWER: usize = 128;
const BLOCK: usize = 256 << 10;
const GB: f64 = 1e9;

/// How connections get from client to server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    Routing,
    Nftables,
    /// Sluice in the kernel.
    Kernel,
    /// Sluice with `l4 off`.
    Userspace,
    Haproxy,
}

impl Way {
    /// Plain routing first: the others are compared with it.
    const ALL: [Self; 5] =
        [Self::Routing, Self::Kernel, Self::Nftables, Self::Userspace, Self::Haproxy];

    fn name(self) -> &'static str {
        match self {
            Self::Routing => "routing",
            Self::Nftables => "nft DNAT",
            Self::Kernel => "sluice l4",
            Self::Userspace => "sluice",
            Self::Haproxy => "haproxy",
        }
    }
}

/// How much.
#[derive(Clone, Debug)]
pub(super) struct Amount {
    /// The build of Sluice to measure; `None` makes a release build.
    pub(super) binary: Option<PathBuf>,
    pub(super) rounds: u32,
    pub(super) connections: u32,
    pub(super) bytes: u64,
}

/// A balancer that runs while this lives.
struct Balancer<'a> {
    target: SocketAddr,
    program: Option<Program>,
    nftables: Option<&'a NetNs>,
    _files: Option<Files>,
    _pins: Option<Registration>,
}

impl Drop for Balancer<'_> {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            // A clean stop takes the pins away.
            let _ = program.signal(nix::sys::signal::Signal::SIGTERM);
            let _ = program.wait(PATIENCE);
        }
        if let Some(namespace) = self.nftables {
            let _ = namespace.exec("nft flush ruleset");
        }
    }
}

pub(super) fn measure(amount: Amount) -> Result<Vec<Scenario>> {
    let sluice = match amount.binary {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => product::build(Profile::Release)?,
    };
    let lab = Lab::new(2)?;
    let received = Arc::new(AtomicU64::new(0));
    for server in &lab.servers {
        serve(server, &received)?;
    }
    let mut short = Scenario::new("short connections, one after the other");
    let mut bulk = Scenario::new("one connection, as fast as it goes");
    for _ in 0..amount.rounds {
        let mut routing = [0.0; 2];
        for way in Way::ALL {
            let Some(balancer) = start(way, &lab, &sluice)? else { continue };
            let each = costs(&lab, &balancer, || {
                (0..amount.connections).try_for_each(|_| exchange(balancer.target))
            })? / f64::from(amount.connections);
            let before = received.load(Ordering::Acquire);
            let all = costs(&lab, &balancer, || {
                pour(balancer.target, amount.bytes)?;
                eventually("all bytes at the server", PATIENCE * 3, || {
                    received.load(Ordering::Acquire) - before >= amount.bytes
                })
            })?;
            let per_gb = all * GB / amount.bytes as f64;
            if way == Way::Routing {
                routing = [each, per_gb];
            }
            let name = way.name();
            short.add("us of CPU per connection", name, each * 1e6);
            bulk.add("ms of CPU per GB", name, per_gb * 1e3);
            if way != Way::Routing {
                short.add("us of them the balancer's", name, (each - routing[0]) * 1e6);
                bulk.add("ms of them the balancer's", name, (per_gb - routing[1]) * 1e3);
            }
        }
    }
    Ok(vec![short, bulk])
}

/// CPU seconds that `work`, done in the client's namespace, costs everybody.
fn costs(
    lab: &Lab,
    balancer: &Balancer<'_>,
    work: impl Fn() -> Result<()> + Send + Sync,
) -> Result<f64> {
    let used = || -> Result<Duration> {
        let own = getrusage(UsageWho::RUSAGE_SELF)?;
        let time = |value: nix::sys::time::TimeVal| {
            Duration::from_micros((value.tv_sec() * 1_000_000 + value.tv_usec()).cast_unsigned())
        };
        let programs = balancer.program.as_ref().map_or(Duration::ZERO, |p| cpu_time(p.pid()));
        Ok(time(own.user_time()) + time(own.system_time()) + programs)
    };
    let before = used()?;
    lab.client.enter(work)??;
    Ok((used()?.saturating_sub(before)).as_secs_f64())
}

/// Answers a line with some bytes, and swallows what else comes.
fn serve(namespace: &NetNs, received: &Arc<AtomicU64>) -> Result<()> {
    let listener = namespace.enter(|| TcpListener::bind(("0.0.0.0", PORT)))??;
    let received = Arc::clone(received);
    std::thread::spawn(move || {
        let mut buffer = vec![0; BLOCK];
        for mut stream in listener.incoming().flatten() {
            let Ok(first) = stream.read(&mut buffer) else { continue };
            if buffer[..first].ends_with(b"\n") {
                let _ = stream.write_all(&[b'a'; ANSWER]);
                continue;
            }
            received.fetch_add(first as u64, Ordering::AcqRel);
            while let Ok(more @ 1..) = stream.read(&mut buffer) {
                received.fetch_add(more as u64, Ordering::AcqRel);
            }
        }
    });
    Ok(())
}

fn exchange(target: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"hello\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.len() == ANSWER, "{} bytes of {ANSWER}", answer.len());
    Ok(())
}

fn pour(target: SocketAddr, bytes: u64) -> Result<()> {
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let block = vec![0; BLOCK];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(BLOCK as u64) as usize;
        stream.write_all(&block[..now])?;
        left -= now as u64;
    }
    Ok(())
}

/// `None`, said once by its absence in the table, for what is not installed.
fn start<'a>(way: Way, lab: &'a Lab, sluice: &Path) -> Result<Option<Balancer<'a>>> {
    let vip = SocketAddr::new(Lab::FRONT_V4.parse()?, PORT);
    let mut balancer =
        Balancer { target: vip, program: None, nftables: None, _files: None, _pins: None };
    let binary = match way {
        Way::Routing => {
            balancer.target = SocketAddr::new(Lab::server_v4(1).parse()?, PORT);
            return Ok(Some(balancer));
        }
        Way::Nftables => {
            if find("nft").is_none() {
                return Ok(None);
            }
            lab.balancer.exec("nft add table ip t")?;
            lab.balancer
                .exec("nft add chain ip t pre { type nat hook prerouting priority -100 ; }")?;
            lab.balancer
                .exec("nft add chain ip t post { type nat hook postrouting priority 100 ; }")?;
            let (vip, server) = (vip.ip(), Lab::server_v4(1));
            let rule = format!("ip daddr {vip} tcp dport {PORT} dnat to {server}:{PORT}");
            lab.balancer.exec(&format!("nft add rule ip t pre {rule}"))?;
            lab.balancer.exec(&format!("nft add rule ip t post ip daddr {server} masquerade"))?;
            balancer.nftables = Some(&lab.balancer);
            return Ok(Some(balancer));
        }
        Way::Kernel | Way::Userspace => sluice.to_owned(),
        Way::Haproxy => match find("haproxy") {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    let files = Files::new()?;
    let instance = format!("bench-{}", lab.balancer.inode()?);
    let own = match way {
        Way::Kernel => format!("    l4-instance {instance}\n    l4 require\n"),
        Way::Userspace => "    l4 off\n".into(),
        Way::Routing | Way::Nftables | Way::Haproxy => String::new(),
    };
    let servers: String =
        (1..=2).map(|n| format!("    server s{n} {}:{PORT}\n", Lab::server_v4(n))).collect();
    let config = files.write(
        "balancer.cfg",
        &format!(
            "global\n{own}\
             defaults\n    mode tcp\n    option splice-auto\n    timeout connect 5s\n\
             \x20   timeout client 30s\n    timeout server 30s\n\
             listen bench\n    bind {vip}\n    balance roundrobin\n{servers}"
        ),
    )?;
    let pins = Registration::new(Resource::Dir(format!("/sys/fs/bpf/sluice/{instance}")));
    let mut command = lab.balancer.command(&binary);
    let program = Program::start(way.name(), command.arg("-db").arg("-f").arg(config))?;
    lab.client
        .enter(|| eventually("the balancer's first answer", PATIENCE, || exchange(vip).is_ok()))?
        .with_context(|| program.log())?;
    balancer.program = Some(program);
    balancer._files = Some(files);
    balancer._pins = Some(pins);
    Ok(Some(balancer))
}
