//! Threads and CPUs in the `global` section (configuration manual, 3.1).

use proxy_types::Spanned;

use super::global_row::{Parse, global};
use crate::args::{Args, Polarity};
use crate::context::{Context, Parsed};
use crate::keyword::Row;
use crate::lexer::{between_commas, sub_span};
use crate::limits::THREADS_MAX;
use crate::line::threads::{self, GROUP_THREADS, GROUPS};
use crate::model::{
    CpuAffinity, CpuMap, CpuPlace, CpuPolicy, CpuStep, Global, Numbers, ThreadGroup,
};

const M: &str = "3.1";

pub(super) const CPUS: &[Row<Parse>] = &[
    global(
        "cpu-affinity",
        "{auto|per-core|per-ccx|per-group [auto|loose]|per-thread}",
        M,
        "what CPUs of its group each thread is bound to",
        cpu_affinity,
    ),
    global(
        "cpu-map",
        "[auto:]<thread-group>[/<thread-set>] <cpu-set>[,...] [...]",
        M,
        "what CPUs threads run on",
        cpu_map,
    ),
    global(
        "cpu-policy",
        "<policy> [threads-per-core {1|auto}]",
        M,
        "how CPUs are chosen and threads grouped",
        cpu_policy,
    ),
    global("cpu-set", "<directive> ...", M, "CPUs that threads may use", cpu_set),
    global("max-threads-per-group", "<number>", M, "threads of a group at most", |cx, g, args| {
        g.cpus.max_threads_per_group = Some(args.number(cx, 1..=GROUP_THREADS)?);
        args.end(cx)
    }),
    global(
        "numa-cpu-mapping",
        "",
        M,
        "lets cpu-policy look at the machine's topology",
        |cx, g, args| {
            g.cpus.no_numa_mapping = (args.polarity == Polarity::No).then(|| args.span());
            args.end(cx)
        },
    )
    .negatable(),
    global(
        "thread-group",
        "<group> [<thread-range>...]",
        M,
        "the threads of a group",
        thread_group,
    ),
    global("thread-groups", "<number>", M, "number of thread groups", |cx, g, args| {
        g.cpus.groups = Some(args.number(cx, 1..=GROUPS)?);
        args.end(cx)
    }),
    global("thread-hard-limit", "<number>", M, "threads at most", |cx, g, args| {
        g.cpus.hard_limit = Some(args.number(cx, 1..=THREADS_MAX)?);
        args.end(cx)
    }),
];

fn cpu_affinity(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    const CHOICES: &[(&str, CpuAffinity)] = &[
        ("auto", CpuAffinity::Auto),
        ("per-ccx", CpuAffinity::PerCcx),
        ("per-core", CpuAffinity::PerCore),
        ("per-group", CpuAffinity::PerGroup),
        ("per-thread", CpuAffinity::PerThread),
    ];
    let value = args.choice(cx, CHOICES)?;
    // Groups are never larger than the CPUs they were made of: both ways of splitting are the same here.
    if value.value == CpuAffinity::PerGroup && args.peek().is_some() {
        args.choice(cx, &[("auto", ()), ("loose", ())])?;
    }
    g.cpus.affinity = Some(value);
    args.end(cx)
}

fn cpu_policy(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    const CHOICES: &[(&str, CpuPolicy)] = &[
        ("efficiency", CpuPolicy::Efficiency),
        ("first-usable-node", CpuPolicy::FirstUsableNode),
        ("group-by-2-ccx", CpuPolicy::GroupByCcx(2)),
        ("group-by-2-clusters", CpuPolicy::GroupByCluster(2)),
        ("group-by-3-ccx", CpuPolicy::GroupByCcx(3)),
        ("group-by-3-clusters", CpuPolicy::GroupByCluster(3)),
        ("group-by-4-ccx", CpuPolicy::GroupByCcx(4)),
        ("group-by-4-clusters", CpuPolicy::GroupByCluster(4)),
        ("group-by-ccx", CpuPolicy::GroupByCcx(1)),
        ("group-by-cluster", CpuPolicy::GroupByCluster(1)),
        ("none", CpuPolicy::None),
        ("performance", CpuPolicy::Performance),
        ("resource", CpuPolicy::Resource),
    ];
    g.cpus.policy = Some(args.choice(cx, CHOICES)?);
    g.cpus.one_thread_per_core = false;
    if args.peek().is_some() {
        args.choice(cx, &[("threads-per-core", ())])?;
        g.cpus.one_thread_per_core = args.choice(cx, &[("1", true), ("auto", false)])?.value;
    }
    args.end(cx)
}

fn cpu_map(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    let span = args.span();
    let word = args.word(cx, "[auto:]<thread-group>[/<thread-set>]")?;
    let (auto, text) = match word.value.strip_prefix("auto:") {
        Some(text) => (true, text),
        None => (false, word.value.as_str()),
    };
    let (group, set) = text.split_once('/').map_or((text, None), |(g, set)| (g, Some(set)));
    // Groups were processes once: their numbers went to 64, and those that do not exist are ignored.
    let groups = threads::numbers(group, 1, GROUP_THREADS);
    let set = match set {
        None | Some("") => Some(Numbers::All),
        Some(set) => threads::numbers(set, 1, GROUP_THREADS),
    };
    let (Some(groups), Some(threads)) = (groups, set) else {
        let start = word.value.len() - text.len();
        let message = format!(
            "'{text}' is not <group>[/<threads>], both 'all', 'odd', 'even' or <number>[-<number>] from 1 to {GROUP_THREADS}"
        );
        return Err(args.wrong(cx, sub_span(word, start, text.len().max(1)), message));
    };
    let cpus = threads::cpus(cx, args)?;
    if auto {
        let one = |numbers| matches!(numbers, Numbers::Range { first, last } if first == last);
        if !one(groups) && !one(threads) && threads != Numbers::All {
            let message = "with 'auto:' either the group or the threads must be a single number";
            return Err(args.wrong(cx, word.span, message));
        }
        let set = if one(groups) { threads } else { groups };
        let count = match set {
            Numbers::All => GROUP_THREADS,
            Numbers::Even | Numbers::Odd => GROUP_THREADS / 2,
            Numbers::Range { first, last } => last - first + 1,
        };
        if u32::try_from(cpus.len()) != Ok(count) {
            let message = format!(
                "with 'auto:' there must be as many CPUs as threads: these are {count} threads and {} CPUs",
                cpus.len()
            );
            return Err(args.wrong(cx, span, message));
        }
    }
    g.cpus.maps.push(CpuMap { span, auto, groups, threads, cpus });
    Ok(())
}

fn cpu_set(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    const CHOICES: &[(&str, Option<(bool, CpuPlace)>)] = &[
        ("drop-cluster", Some((false, CpuPlace::Cluster))),
        ("drop-core", Some((false, CpuPlace::Core))),
        ("drop-cpu", Some((false, CpuPlace::Cpu))),
        ("drop-node", Some((false, CpuPlace::Node))),
        ("drop-thread", Some((false, CpuPlace::Thread))),
        ("only-cluster", Some((true, CpuPlace::Cluster))),
        ("only-core", Some((true, CpuPlace::Core))),
        ("only-cpu", Some((true, CpuPlace::Cpu))),
        ("only-node", Some((true, CpuPlace::Node))),
        ("only-thread", Some((true, CpuPlace::Thread))),
        ("reset", None),
    ];
    loop {
        let step = match args.choice(cx, CHOICES)?.value {
            None => CpuStep::Reset,
            Some((keep, place)) => {
                let word = args.word(cx, "numbers and ranges such as '0-3,8'")?;
                let mut numbers = Vec::new();
                for text in between_commas(word) {
                    let Some(Numbers::Range { first, last }) =
                        threads::numbers(text.value, 0, threads::CPUS - 1)
                    else {
                        let message = format!("'{text}' is not a number");
                        return Err(args.wrong(cx, text.span, message));
                    };
                    numbers.extend(first..=last);
                }
                CpuStep::Filter { keep, place, numbers }
            }
        };
        g.cpus.set.push(step);
        if args.peek().is_none() {
            return Ok(());
        }
    }
}

fn thread_group(cx: &mut Context<'_>, g: &mut Global, args: &mut Args<'_>) -> Parsed {
    let group: Spanned<u32> = args.number(cx, 1..=GROUPS)?;
    let mut list = Vec::new();
    while let Some(word) = args.optional() {
        match threads::numbers(&word.value, 1, THREADS_MAX) {
            Some(numbers @ Numbers::Range { .. }) => list.push(numbers),
            _ => {
                let message = format!("'{}' is not a thread number or a range of them", word.value);
                return Err(args.wrong(cx, word.span, message));
            }
        }
    }
    g.cpus.group_threads.retain(|known| known.group != group.value);
    g.cpus.group_threads.push(ThreadGroup { group: group.value, threads: list });
    Ok(())
}
