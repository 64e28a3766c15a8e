//! `cargo xtask bench l4`.
//!
//! The XDP program is run by the kernel's test-run behind one that writes the next frame of a rotation over
//! N flows and calls it, so that each packet is as new as on a wire. The same rotation in front of an empty
//! program is measured in the same round: it is the floor. Medians of nanoseconds per packet are shown.
//!
//! With `--network` whole connections go between namespaces instead, see [`network`].

mod bed;
mod frame;
mod network;
mod wrapper;

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use aya::EbpfLoader;
use aya::programs::{ProgramFd, ProgramInfo};
use clap::Args;
use proxy_common::Reason;
use serde_json::json;
use tests::NetNs;
use tests::net::is_root;

use self::bed::{Bed, Mode, Sizes, Target};
use self::frame::{ACK, SYN, VIP_PORT};
use super::machine;
use super::report::Scenario;
use crate::setup::{self, Scope};

/// How to measure.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Measure connections between namespaces instead, beside routing, nftables and haproxy
    #[arg(long)]
    network: bool,
    /// Measure this build of Sluice instead of making a release build, with --network
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Short connections per round, with --network
    #[arg(long, default_value_t = 3000)]
    connections: u32,
    /// Megabytes of the long connection per round, with --network
    #[arg(long, default_value_t = 1000)]
    megabytes: u64,
    /// Another XDP program, measured on the same frames in the same rounds: an object file, whose maps stay as it
    /// loads, or a program pinned under /sys/fs/bpf after its own tools have filled its maps. Clients are
    /// 198.51.0.0/16 and 2001:db8:c::/112, the service is port 80 of 203.0.113.1 and 2001:db8:f::1
    #[arg(long, value_name = "FILE")]
    peer_object: Option<PathBuf>,
    /// Name of the program in an object file
    #[arg(long, value_name = "NAME", default_value = "balancer_ingress")]
    peer_program: String,
    /// Rounds of each case; medians are shown
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Packets per round, at least as many as there are flows
    #[arg(long, default_value_t = 1 << 20)]
    packets: u32,
    /// Only cases whose name contains this
    #[arg(long, value_name = "PART")]
    only: Option<String>,
    /// Write all samples to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What happens to the packets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// They belong to established connections in the cache.
    Hit,
    /// Each is the SYN of another connection.
    New,
    /// The same when nobody answers, and places for half-open connections have run out.
    Flood,
    /// They are for a port that no VIP has.
    Other,
}

struct Case {
    name: String,
    kind: Kind,
    flows: u32,
    v6: bool,
    mode: Mode,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, v6) in [("v4", false), ("v6", true)] {
        for (word, mode) in [("fullnat", Mode::FullNat), ("nat", Mode::Nat), ("ipip", Mode::Tunnel)]
        {
            for (text, flows) in [("1", 1), ("1k", 1 << 10), ("64k", 1 << 16), ("512k", 1 << 19)] {
                let name = format!("{family} {word}: hit, {text} flows");
                cases.push(Case { name, kind: Kind::Hit, flows, v6, mode });
            }
            for (text, kind) in [("new flow", Kind::New), ("new flow in a SYN flood", Kind::Flood)]
            {
                let name = format!("{family} {word}: {text}");
                cases.push(Case { name, kind, flows: 1 << 20, v6, mode });
            }
        }
        let name = format!("{family}: not for a VIP");
        let (kind, mode) = (Kind::Other, Mode::FullNat);
        cases.push(Case { name, kind, flows: 1 << 10, v6, mode });
    }
    cases
}

pub(crate) fn main(arguments: &Arguments) -> Result<()> {
    if !is_root() {
        bail!("loading programs into the kernel needs root");
    }
    setup::prepare(if arguments.network { Scope::Bench } else { Scope::Build })?;
    proxy_datapath::object::bytes()?;
    if arguments.network {
        return connections(arguments);
    }
    let wrapper = wrapper::object()?;
    let namespace = NetNs::new("bench")?;
    bed::prepare(&namespace)?;
    let interfaces = [namespace.ifindex("c0")?, namespace.ifindex("s0")?];

    println!("{}", machine::describe());
    println!(
        "nanoseconds per packet, {} rounds of {} packets",
        arguments.rounds, arguments.packets
    );
    let mut results = Vec::new();
    for case in cases() {
        if arguments.only.as_ref().is_some_and(|part| !case.name.contains(part.as_str())) {
            continue;
        }
        let scenario = namespace
            .enter(|| measure(arguments, &wrapper, interfaces, &case))?
            .with_context(|| case.name.clone())?;
        scenario.print();
        results.push(scenario.json());
    }
    write(arguments, results)
}

fn connections(arguments: &Arguments) -> Result<()> {
    println!("{}", machine::describe());
    let scenarios = network::measure(network::Amount {
        rounds: arguments.rounds,
        connections: arguments.connections,
        bytes: arguments.megabytes * 1_000_000,
        binary: arguments.binary.clone(),
    })?;
    scenarios.iter().for_each(Scenario::print);
    write(arguments, scenarios.iter().map(Scenario::json).collect())
}

fn write(arguments: &Arguments, scenarios: Vec<serde_json::Value>) -> Result<()> {
    if let Some(path) = &arguments.json {
        let all = json!({ "machine": machine::describe(), "scenarios": scenarios });
        std::fs::write(path, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}

/// Another program to measure; its maps live as long as it does.
fn peer(arguments: &Arguments) -> Result<Option<ProgramFd>> {
    let Some(path) = &arguments.peer_object else { return Ok(None) };
    if path.starts_with("/sys/fs/bpf") {
        let program = ProgramInfo::from_pin(path).context("the peer's pinned program")?;
        return Ok(Some(program.fd()?));
    }
    let mut ebpf = EbpfLoader::new().load_file(path).context("loading the peer's object")?;
    bed::load(&mut ebpf, &arguments.peer_program)?;
    let program = ebpf.program(&arguments.peer_program).context("the peer's program")?;
    Ok(Some(program.fd()?.try_clone()?))
}

fn measure(
    arguments: &Arguments,
    wrapper: &[u8],
    interfaces: [u32; 2],
    case: &Case,
) -> Result<Scenario> {
    pin_to_one_cpu()?;
    let fresh = matches!(case.kind, Kind::New | Kind::Flood);
    let rounds = arguments.rounds.max(1);
    let packets =
        if fresh { arguments.packets.min(1 << 18) } else { arguments.packets.max(case.flows) };
    let room = if fresh { packets.saturating_mul(rounds + 1) } else { case.flows };
    let sizes = Sizes {
        flows: if case.kind == Kind::Flood { 1 << 16 } else { room },
        cached: case.flows.min(1 << 19) * 2,
        half_open: if case.kind == Kind::New { room.next_power_of_two() } else { 1024 },
    };
    let mut bed = Bed::new(wrapper, interfaces, sizes, case.v6, case.mode)?;
    let peer = peer(arguments)?;
    let (flags, port, answer) = match case.kind {
        Kind::Hit => (ACK, VIP_PORT, XDP_REDIRECT),
        Kind::New | Kind::Flood => (SYN, VIP_PORT, XDP_REDIRECT),
        Kind::Other => (ACK, VIP_PORT + 1, XDP_PASS),
    };
    if case.kind == Kind::Hit {
        bed.establish(case.flows)?;
    }
    // New flows must not meet their own kind again.
    let rotation = if fresh { 1 << 31 } else { u64::from(case.flows) };
    bed.rotate_over(rotation, flags, port)?;

    let mut scenario = Scenario::new(&case.name);
    let warm_up = if fresh { 1024 } else { case.flows.max(1024) };
    for round in 0..rounds {
        bed.aim(Target::Floor)?;
        bed.run(1024)?;
        let (floor, _) = bed.run(packets)?;
        bed.aim(Target::Sluice)?;
        if round == 0 || !fresh {
            bed.run(warm_up)?;
        }
        let (sluice, last) = bed.run(packets)?;
        ensure!(last == answer, "the last packet was answered with {last}, not {answer}");
        scenario.add("ns per packet", "sluice", sluice);
        scenario.add("ns per packet", "floor", floor);
        scenario.add("ns above the floor", "sluice", (sluice - floor).max(0.0));
        if let Some(program) = &peer {
            bed.aim(Target::Peer(program))?;
            bed.run(warm_up)?;
            let (other, last) = bed.run(packets)?;
            let sent = matches!(last, XDP_TX | XDP_REDIRECT);
            ensure!(sent == (answer != XDP_PASS), "the peer answered the last packet with {last}");
            scenario.add("ns per packet", "peer", other);
            scenario.add("ns above the floor", "peer", (other - floor).max(0.0));
        }
    }
    if case.kind == Kind::Hit {
        let (hits, misses) = (bed.counter(Reason::CacheHit)?, bed.counter(Reason::CacheMiss)?);
        scenario.add(
            "% of packets in the cache",
            "sluice",
            100.0 * hits as f64 / (hits + misses) as f64,
        );
    }
    Ok(scenario)
}

const XDP_PASS: u32 = 2;
const XDP_TX: u32 = 3;
const XDP_REDIRECT: u32 = 4;

/// Caches are per CPU.
fn pin_to_one_cpu() -> Result<()> {
    let mut set = nix::sched::CpuSet::new();
    set.set(machine::cores() - 1)?;
    Ok(nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set)?)
}
