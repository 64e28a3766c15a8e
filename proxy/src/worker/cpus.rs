//! How many threads there are, their groups, and the CPUs that each may run on (configuration manual, 3.1 `nbthread`,
//! `thread-groups`, `cpu-map`, `cpu-policy`, `cpu-set`, `cpu-affinity`).
//!
//! ```text
//! /sys, sched_getaffinity ─▶ Machine ─┬▶ plan(config) ─▶ Plan: groups of threads, CPUs of each ─▶ pin
//!                                     └ cpu-set, cpu-policy
//! ```
//! Without `cpu-map`, `cpu-policy`, `cpu-set` or `cpu-affinity` threads are not bound: the kernel's scheduler places
//! them.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use proxy_config::model::{
    CpuAffinity, CpuPlace, CpuPolicy, CpuStep, Cpus, Global, Numbers, ThreadSet,
};

use crate::messages;

/// One group as long as its threads can be told apart by `cpu-map`; smaller groups only on demand.
const GROUP_DEFAULT: usize = 64;
/// Cores this much faster or slower than the next class are another kind (3.1 "cpu-policy"), in percent.
const CLASS_GAP: u32 = 25;

/// A hardware thread and what it shares with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cpu {
    id: u32,
    node: u32,
    /// Cores that share the last level cache.
    ccx: u32,
    cluster: u32,
    core: u32,
    /// Its number in the core.
    thread: u32,
    /// Relative speed; equal on machines with one kind of cores.
    capacity: u32,
}

/// The CPUs that this process may use.
#[derive(Clone, Debug, Default)]
struct Machine {
    cpus: Vec<Cpu>,
    /// Somebody has limited the process to some CPUs already.
    is_restricted: bool,
}

/// Threads, each with its group (from 0) and CPUs; no CPUs leave it unbound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    threads: Vec<Thread>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Thread {
    group: usize,
    cpus: Vec<u32>,
}

impl Plan {
    /// The plan for this machine.
    pub(crate) fn new(global: &Global) -> Self {
        plan(global, &Machine::read(&global.cpus))
    }

    /// Which CPUs threads run on, and which the process leaves alone (`-dc`).
    pub(crate) fn describe(&self) -> String {
        let mut out = String::new();
        let bound = self.threads.iter().any(|thread| !thread.cpus.is_empty());
        let used: BTreeSet<u32> = self.threads.iter().flat_map(|t| t.cpus.clone()).collect();
        for cpu in list(Path::new("/sys/devices/system/cpu/online")) {
            let kept = if !bound || used.contains(&cpu) { "keep" } else { "evict" };
            let _ = writeln!(out, "cpu {cpu}: {kept}");
        }
        for (index, thread) in self.threads.iter().enumerate() {
            let cpus: Vec<String> = thread.cpus.iter().map(u32::to_string).collect();
            let cpus = if cpus.is_empty() { "any".to_owned() } else { cpus.join(",") };
            let _ = writeln!(out, "thread {} (group {}): cpu {cpus}", index + 1, thread.group + 1);
        }
        out
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// The threads of a set, counted from 0 in ascending order.
    pub(crate) fn members(&self, sets: &[ThreadSet]) -> Vec<usize> {
        let holds = |index: usize| {
            let number = |n: usize| u32::try_from(n + 1).unwrap_or(u32::MAX);
            sets.iter().any(|set| match set.group {
                None => set.threads.contains(number(index)),
                Some(groups) => {
                    let group = self.threads[index].group;
                    groups.contains(number(group))
                        && set.threads.contains(number(self.place_in_group(index)))
                }
            })
        };
        (0..self.threads.len()).filter(|index| holds(*index)).collect()
    }

    /// How many groups have one of these threads.
    pub(crate) fn groups_of(&self, threads: &[usize]) -> usize {
        threads.iter().map(|index| self.threads[*index].group).collect::<BTreeSet<_>>().len()
    }

    /// The number of a thread in its group, from 0.
    fn place_in_group(&self, index: usize) -> usize {
        let group = self.threads[index].group;
        self.threads[..index].iter().filter(|thread| thread.group == group).count()
    }

    /// Binds the calling thread to its CPUs.
    pub(crate) fn pin(&self, index: usize) {
        let cpus = self.threads.get(index).map_or(&[][..], |thread| &thread.cpus);
        if cpus.is_empty() {
            return;
        }
        let mut set = CpuSet::new();
        let known = cpus.iter().filter(|cpu| set.set(**cpu as usize).is_ok()).count();
        if known == 0 {
            return;
        }
        if let Err(error) = sched_setaffinity(Pid::from_raw(0), &set) {
            tracing::warn!(thread = index + 1, ?cpus, %error, "cannot bind the thread to its CPUs");
        }
    }
}

impl Machine {
    fn read(settings: &Cpus) -> Self {
        let root = Path::new("/sys/devices/system");
        let online = list(&root.join("cpu/online"));
        let reset = settings.set.iter().any(|step| matches!(step, CpuStep::Reset));
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok();
        let may = |cpu: u32| {
            reset || allowed.as_ref().is_none_or(|set| set.is_set(cpu as usize).unwrap_or(false))
        };
        let nodes: Vec<(u32, Vec<u32>)> = fs::read_dir(root.join("node"))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let number = name.to_str()?.strip_prefix("node")?.parse().ok()?;
                Some((number, list(&entry.path().join("cpulist"))))
            })
            .collect();
        let cpu = |id: u32| {
            let dir = root.join(format!("cpu/cpu{id}"));
            let siblings = list(&dir.join("topology/thread_siblings_list"));
            let cache = ["cache/index3", "cache/index2"]
                .iter()
                .map(|index| list(&dir.join(index).join("shared_cpu_list")))
                .find(|list| !list.is_empty())
                .unwrap_or_default();
            let node = nodes.iter().find(|(_, cpus)| cpus.contains(&id)).map_or(0, |(n, _)| *n);
            Cpu {
                id,
                node,
                ccx: cache.first().copied().unwrap_or(node),
                cluster: list(&dir.join("topology/cluster_cpus_list"))
                    .first()
                    .copied()
                    .unwrap_or(node),
                core: siblings.first().copied().unwrap_or(id),
                thread: siblings
                    .iter()
                    .position(|sibling| *sibling == id)
                    .and_then(|n| u32::try_from(n).ok())
                    .unwrap_or(0),
                capacity: number(&dir.join("cpu_capacity"))
                    .or_else(|| number(&dir.join("cpufreq/cpuinfo_max_freq")))
                    .unwrap_or(0),
            }
        };
        Self {
            cpus: online.iter().copied().filter(|id| may(*id)).map(cpu).collect(),
            is_restricted: !reset && online.iter().any(|id| !may(*id)),
        }
    }
}

/// A list such as `0-3,8` of a file; nothing when there is none.
fn list(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut all = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            all.extend(first..=last);
        }
    }
    all
}

fn number(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Decides on threads, groups and CPUs.
fn plan(global: &Global, machine: &Machine) -> Plan {
    let settings = &global.cpus;
    let mut cpus = machine.cpus.clone();
    for step in &settings.set {
        if let CpuStep::Filter { keep, place, numbers } = step {
            cpus.retain(|cpu| {
                let number = match place {
                    CpuPlace::Cpu => cpu.id,
                    CpuPlace::Cluster => cpu.cluster,
                    CpuPlace::Core => cpu.core,
                    CpuPlace::Node => cpu.node,
                    CpuPlace::Thread => cpu.thread,
                };
                numbers.contains(&number) == *keep
            });
        }
    }
    // What leaves no CPU at all is not obeyed: the service is worth more.
    if cpus.is_empty() {
        if !machine.cpus.is_empty() {
            messages::warning(format_args!("'cpu-set' leaves no CPU, it is ignored"));
        }
        cpus.clone_from(&machine.cpus);
    }
    // A mapping or a number of threads of one's own, or a topology that is not to be looked at, leave no choice.
    let free = settings.maps.is_empty() && settings.no_numa_mapping.is_none();
    let policy = settings.policy.map(|policy| policy.value).unwrap_or_default();
    let policy = if free { policy } else { CpuPolicy::None };
    let packs = choose(policy, &mut cpus, global.nbthread.is_none() && !machine.is_restricted);
    if settings.one_thread_per_core && free {
        let mut seen = BTreeSet::new();
        cpus.retain(|cpu| seen.insert(cpu.core));
    }
    let count = thread_count(global, cpus.len());
    let groups = group_sizes(settings, count, packs.len());
    let mut threads = Vec::with_capacity(count);
    for (group, size) in groups.iter().enumerate() {
        let pack: Vec<&Cpu> = match packs.len() {
            0 => cpus.iter().collect(),
            n => cpus.iter().filter(|cpu| packs[group % n].contains(&cpu.id)).collect(),
        };
        for place in 0..*size {
            let bound = if free && binds(settings) {
                bound_to(settings, &pack, place)
            } else if !settings.set.is_empty() && settings.maps.is_empty() {
                cpus.iter().map(|cpu| cpu.id).collect()
            } else {
                Vec::new()
            };
            threads.push(Thread { group, cpus: bound });
        }
    }
    let mut plan = Plan { threads };
    map(settings, &mut plan);
    plan
}

/// Whether the configuration says anything about where threads run, besides `cpu-map`.
fn binds(settings: &Cpus) -> bool {
    settings.policy.is_some_and(|policy| policy.value != CpuPolicy::None)
        || settings.affinity.is_some()
        || settings.one_thread_per_core
        || !settings.set.is_empty()
}

/// `nbthread`, else a thread for each CPU; `thread-hard-limit` and what is known of groups bound it.
fn thread_count(global: &Global, cpus: usize) -> usize {
    let limit = global.cpus.hard_limit.map_or(usize::MAX, |limit| limit.value as usize);
    match global.nbthread {
        Some(wanted) => {
            let wanted = wanted.value as usize;
            if wanted > limit {
                messages::warning(format_args!(
                    "'nbthread' {wanted} is above 'thread-hard-limit', {limit} threads are started"
                ));
            }
            wanted.min(limit)
        }
        None if cpus == 0 => std::thread::available_parallelism().map_or(1, usize::from).min(limit),
        None => cpus.min(limit),
    }
    .max(1)
}

/// Keeps the CPUs that the policy wants, and tells which belong together; no packs are one of all.
fn choose(policy: CpuPolicy, cpus: &mut Vec<Cpu>, may_take_node: bool) -> Vec<BTreeSet<u32>> {
    match policy {
        CpuPolicy::None => Vec::new(),
        CpuPolicy::FirstUsableNode => {
            if may_take_node && let Some(node) = cpus.iter().map(|cpu| cpu.node).min() {
                cpus.retain(|cpu| cpu.node == node);
            }
            Vec::new()
        }
        CpuPolicy::GroupByCcx(n) => packs(cpus, |cpu| cpu.ccx, n),
        CpuPolicy::GroupByCluster(n) => packs(cpus, |cpu| cpu.cluster, n),
        CpuPolicy::Performance => {
            keep_class(cpus, true);
            packs(cpus, |cpu| cpu.ccx, 1)
        }
        CpuPolicy::Efficiency => {
            keep_class(cpus, false);
            packs(cpus, |cpu| cpu.ccx, 1)
        }
        CpuPolicy::Resource => {
            keep_class(cpus, false);
            if let Some(cluster) = cpus.iter().map(|cpu| cpu.cluster).min() {
                cpus.retain(|cpu| cpu.cluster == cluster);
            }
            Vec::new()
        }
    }
}

/// CPUs by what they share, `n` such places to a pack.
fn packs(cpus: &[Cpu], place: fn(&Cpu) -> u32, n: u8) -> Vec<BTreeSet<u32>> {
    let places: Vec<u32> = cpus.iter().map(place).collect::<BTreeSet<_>>().into_iter().collect();
    places
        .chunks(usize::from(n.max(1)))
        .map(|chunk| cpus.iter().filter(|c| chunk.contains(&place(c))).map(|c| c.id).collect())
        .collect()
}

/// Leaves the fastest or the slowest kind of cores. Kinds differ by more than [`CLASS_GAP`] percent.
fn keep_class(cpus: &mut Vec<Cpu>, fastest: bool) {
    let mut speeds: Vec<u32> = cpus.iter().map(|cpu| cpu.capacity).collect();
    speeds.sort_unstable();
    speeds.dedup();
    let jump =
        |slow: u32, fast: u32| u64::from(fast) * 100 > u64::from(slow) * u64::from(100 + CLASS_GAP);
    let pairs = || speeds.windows(2).filter(|pair| jump(pair[0], pair[1]));
    if fastest {
        if let Some(pair) = pairs().next_back() {
            let least = pair[1];
            cpus.retain(|cpu| cpu.capacity >= least);
        }
    } else if let Some(pair) = pairs().next() {
        let most = pair[0];
        cpus.retain(|cpu| cpu.capacity <= most);
    }
}

/// Threads of each group: those of `thread-group` lines first, the others spread evenly.
fn group_sizes(settings: &Cpus, count: usize, packs: usize) -> Vec<usize> {
    let most = settings.max_threads_per_group.map_or(GROUP_DEFAULT, |max| max.value as usize);
    let groups = match settings.groups {
        Some(groups) => groups.value as usize,
        None if packs > 1 => packs,
        None => count.div_ceil(most),
    }
    .clamp(1, count);
    let explicit = |group: usize| {
        let lines = settings.group_threads.iter();
        lines.filter(move |line| line.group as usize == group + 1).map(|line| {
            let threads = 1..=u32::try_from(count).unwrap_or(u32::MAX);
            threads.filter(|t| line.threads.iter().any(|set| set.contains(*t))).count()
        })
    };
    let fixed: Vec<Option<usize>> = (0..groups).map(|group| explicit(group).next_back()).collect();
    let mut left = count.saturating_sub(fixed.iter().flatten().sum());
    let mut open = fixed.iter().filter(|size| size.is_none()).count();
    let mut sizes: Vec<usize> = fixed
        .iter()
        .map(|size| match size {
            Some(size) => *size,
            None => {
                let share = left.div_ceil(open.max(1));
                (left, open) = (left - share, open - 1);
                share
            }
        })
        .collect();
    // Whatever the lines say, there are `count` threads.
    let total: usize = sizes.iter().sum();
    match sizes.last_mut() {
        Some(last) if total < count => *last += count - total,
        _ => {}
    }
    let mut rest = count;
    for size in &mut sizes {
        *size = (*size).min(rest);
        rest -= *size;
    }
    sizes
}

/// The CPUs of one thread of a group that has these.
fn bound_to(settings: &Cpus, pack: &[&Cpu], place: usize) -> Vec<u32> {
    let of = |same: fn(&Cpu, &Cpu) -> bool| -> Vec<u32> {
        let Some(own) = pack.get(place % pack.len().max(1)) else { return Vec::new() };
        pack.iter().filter(|cpu| same(cpu, own)).map(|cpu| cpu.id).collect()
    };
    let affinity = settings.affinity.map(|affinity| affinity.value).unwrap_or_default();
    match affinity {
        CpuAffinity::Auto if settings.one_thread_per_core => of(|a, b| a.core == b.core),
        CpuAffinity::Auto | CpuAffinity::PerGroup => pack.iter().map(|cpu| cpu.id).collect(),
        CpuAffinity::PerCcx => of(|a, b| a.ccx == b.ccx),
        CpuAffinity::PerCore => of(|a, b| a.core == b.core),
        CpuAffinity::PerThread => of(|a, b| a.id == b.id),
    }
}

/// `cpu-map`: later lines replace earlier ones.
fn map(settings: &Cpus, plan: &mut Plan) {
    for line in &settings.maps {
        let one_group = matches!(line.groups, Numbers::Range { first, last } if first == last);
        let mut next = 0;
        for index in 0..plan.threads.len() {
            let group = plan.threads[index].group as u32 + 1;
            let place = plan.place_in_group(index) as u32 + 1;
            if !line.groups.contains(group) || !line.threads.contains(place) {
                continue;
            }
            plan.threads[index].cpus = if line.auto {
                // With a range of groups it is the groups that take turns.
                let at = if one_group { next } else { group as usize - 1 };
                next += 1;
                line.cpus.get(at).copied().into_iter().collect()
            } else {
                line.cpus.clone()
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two nodes of four cores with two threads each; the second half of each node is slower.
    fn machine() -> Machine {
        let cpu = |id: u32| Cpu {
            id,
            node: id / 8,
            ccx: id / 4,
            cluster: id / 4,
            core: id / 2,
            thread: id % 2,
            capacity: if id % 8 < 4 { 1000 } else { 500 },
        };
        Machine { cpus: (0..16).map(cpu).collect(), is_restricted: false }
    }

    /// Groups and CPUs of the threads that a `global` section makes on it.
    #[track_caller]
    fn check(lines: &str, expected: &[(usize, &[u32])]) {
        let text = format!("global\n{lines}\n");
        let sources = proxy_config::Sources::from_text("t.cfg", text);
        let (config, diagnostics) = proxy_config::load(
            &sources,
            &proxy_config::Environment::default(),
            &proxy_config::Options::default(),
        );
        let config = config.unwrap_or_else(|| panic!("{diagnostics:?}"));
        let plan = plan(&config.global, &machine());
        let got: Vec<(usize, &[u32])> =
            plan.threads.iter().map(|t| (t.group, t.cpus.as_slice())).collect();
        assert_eq!(got, expected, "{lines}");
    }

    #[test]
    fn maps() {
        check("nbthread 2", &[(0, &[]), (0, &[])]);
        check("nbthread 2\ncpu-map 1 0-2", &[(0, &[0, 1, 2]), (0, &[0, 1, 2])]);
        check("nbthread 3\ncpu-map auto:1/1-3 3 5,4", &[(0, &[3]), (0, &[4]), (0, &[5])]);
        check(
            "nbthread 4\ncpu-map 1/all 0-3\ncpu-map 1/even 7",
            &[(0, &[0, 1, 2, 3]), (0, &[7]), (0, &[0, 1, 2, 3]), (0, &[7])],
        );
        check(
            "nbthread 4\nthread-groups 2\ncpu-map 2/1 9",
            &[(0, &[]), (0, &[]), (1, &[9]), (1, &[])],
        );
        check("nbthread 2\nthread-groups 2\ncpu-map auto:1-2/1 4-5", &[(0, &[4]), (1, &[5])]);
    }

    #[test]
    fn groups() {
        check("nbthread 3\nthread-groups 2\nthread-group 1 1", &[(0, &[]), (1, &[]), (1, &[])]);
        check("nbthread 3\nmax-threads-per-group 2", &[(0, &[]), (0, &[]), (1, &[])]);
        check("nbthread 4\nthread-hard-limit 1", &[(0, &[])]);
    }

    #[test]
    fn policies() {
        check("nbthread 2\ncpu-set only-cpu 1-2", &[(0, &[1, 2]), (0, &[1, 2])]);
        check("cpu-set only-node 1 only-thread 0 only-core 4\n", &[(0, &[8])]);
        let ccx: [&[u32]; 2] = [&[0, 1, 2, 3], &[8, 9, 10, 11]];
        let expected: Vec<_> = (0..8).map(|i| (i / 4, ccx[i / 4])).collect();
        check("cpu-policy performance", &expected);
        check(
            "cpu-policy resource threads-per-core 1\nnbthread 2\ncpu-affinity per-thread",
            &[(0, &[4]), (0, &[6])],
        );
        check("cpu-policy performance\nno numa-cpu-mapping\nnbthread 1", &[(0, &[])]);
    }

    #[test]
    fn members_of_thread_sets() {
        let plan =
            Plan { threads: [0, 0, 1, 1].map(|group| Thread { group, cpus: Vec::new() }).to_vec() };
        let range = |first, last| Numbers::Range { first, last };
        let set = |group, threads| ThreadSet { group, threads };
        assert_eq!(plan.members(&[set(None, range(2, 3))]), [1, 2]);
        assert_eq!(plan.members(&[set(Some(range(2, 2)), range(1, 1))]), [2]);
        assert_eq!(plan.members(&[set(None, Numbers::Odd)]), [0, 2]);
        assert_eq!(plan.groups_of(&[1, 2]), 2);
    }
}
