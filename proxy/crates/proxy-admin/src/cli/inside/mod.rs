//! What those who look for a fault ask of the process: `show activity`, `dev`, `fd`, `libs`, `pools`, `profiling`, `tasks`,
//! `threads`. Their formats are not for programs (management manual, 9.3).

mod fds;
mod proc;

use crate::Level;
use crate::command::{Answer, Call, Command, Reply};
use std::fmt::Write;
use std::fs;

/// One value per worker thread.
struct Row {
    name: &'static str,
    values: Vec<u64>,
}

/// What threads count, the kernel's counts of them first.
fn activity(call: &Call<'_>) -> Vec<Row> {
    let workers = proxy_state::thread::workers();
    let threads = proc::threads();
    let of = |index: usize| threads.iter().find(|t| t.name == format!("worker/{index}"));
    let row = |name, value: &dyn Fn(&proc::Thread) -> u64| Row {
        name,
        values: (0..workers).map(|index| of(index).map_or(0, value)).collect(),
    };
    let counters = &call.admin.registry.process.counters;
    let mut rows = vec![
        row("ctxsw", &|t| t.switches[0]),
        row("ctxsw_forced", &|t| t.switches[1]),
        row("cpust_ms_tot", &|t| t.cpu_ms),
    ];
    let counted = counters.by_thread(workers).into_iter();
    rows.extend(counted.map(|(name, values)| Row { name, values }));
    rows
}

/// `show activity [-1 | 0 | <thread>]`.
fn show_activity(call: &mut Call<'_>) -> Answer {
    let workers = proxy_state::thread::workers();
    let which = match call.arg(0) {
        "" | "-1" => None,
        text => match text.parse::<usize>() {
            Ok(number) if number <= workers => Some(number),
            _ => {
                return Err(Reply::line(format!("Expects -1, 0 or a thread from 1 to {workers}.")));
            }
        },
    };
    let now = call.admin.process.wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut text =
        format!("threads: {workers}\ndate_now: {}.{:06}\n", now.as_secs(), now.subsec_micros());
    for Row { name, values } in activity(call) {
        let total: u64 = values.iter().sum();
        let _ = match which {
            Some(0) => writeln!(text, "{name}: {total}"),
            Some(thread) => writeln!(text, "{name}: {}", values.get(thread - 1).unwrap_or(&0)),
            None => {
                let all: Vec<String> = values.iter().map(u64::to_string).collect();
                writeln!(text, "{name}: {total} [ {} ]", all.join(" "))
            }
        };
    }
    Ok(Reply::Text(text))
}

/// What the process itself can be asked without anything that it serves: the words, the arguments, what it does. The
/// master answers these, too (`mcli-debug-mode`).
pub static OF_ANY_PROCESS: [OfProcess; 4] = [
    OfProcess { words: ["show", "fd"], usage: FD_USAGE, doc: FD_DOC, run: fds::text },
    OfProcess { words: ["show", "libs"], usage: "", doc: LIBS_DOC, run: |_| Ok(libs()) },
    OfProcess { words: ["show", "pools"], usage: "", doc: POOLS_DOC, run: pools },
    OfProcess { words: ["show", "threads"], usage: "", doc: THREADS_DOC, run: |_| Ok(threads()) },
];

/// A row of [`OF_ANY_PROCESS`].
pub struct OfProcess {
    pub words: [&'static str; 2],
    pub usage: &'static str,
    pub doc: &'static str,
    /// The answer to arguments; on the error side when they are wrong.
    pub run: fn(&[String]) -> Result<String, String>,
}

const FD_USAGE: &str = "[-!plcfbs]* [num]";
const FD_DOC: &str = "dump list of file descriptors in use or a specific one";
const LIBS_DOC: &str = "show loaded object files and libraries";
const POOLS_DOC: &str = "report memory usage";
const THREADS_DOC: &str = "show some threads debugging information";

/// One of them as a command of the worker.
fn answer(outcome: Result<String, String>) -> Answer {
    outcome.map(Reply::Text).map_err(Reply::line)
}

pub(super) fn show_fd(call: &mut Call<'_>) -> Answer {
    answer(fds::text(call.args))
}

/// `show threads`: what the kernel knows of each. A star is in front of the one that answers.
fn threads() -> String {
    let own = fs::read_link("/proc/thread-self").ok();
    let own = own.and_then(|path| path.file_name()?.to_str()?.parse::<u32>().ok());
    let mut text = String::new();
    for thread in proc::threads() {
        let star = if Some(thread.id) == own { '*' } else { ' ' };
        let _ = writeln!(
            text,
            "{star} Thread {} : name={} state={} cpu_ms={} ctxsw={} forced={}",
            thread.id,
            thread.name,
            thread.state,
            thread.cpu_ms,
            thread.switches[0],
            thread.switches[1]
        );
    }
    text
}

fn show_tasks(call: &mut Call<'_>) -> Answer {
    let facts = call.admin.process.facts();
    let (tasks, running, threads) = (facts.tasks, facts.run_queue, facts.threads);
    Ok(Reply::Text(format!("Running tasks: {running} ({threads} threads)\nTasks: {tasks}\n")))
}

/// `show libs`: what is loaded, and where.
fn libs() -> String {
    let mut text = String::new();
    for (path, range) in proc::libraries(&read("/proc/self/maps")) {
        let size = range.end - range.start;
        let _ =
            writeln!(text, "{:#014x}-{:#014x} ({size:#09x}) {path}", range.start, range.end - 1);
    }
    text
}

/// `show pools`: memory comes from the allocator; the process has no pools of its own.
fn pools(args: &[String]) -> Result<String, String> {
    if !args.is_empty() {
        return Err("There are no pools that could be sorted or selected.".to_owned());
    }
    let status = read("/proc/self/status");
    let mut text = "There are no memory pools. Memory of the process:\n".to_owned();
    let names = ["VmPeak", "VmSize", "VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem", "VmData"];
    for name in names {
        if let Some(value) = proc::field(&status, name) {
            let _ = writeln!(text, "  - {name}: {value}");
        }
    }
    Ok(text)
}

const NO_PROFILING: &str = "is not carried: profile the process with perf(1).";

fn show_profiling(_: &mut Call<'_>) -> Answer {
    Ok(Reply::Text(format!(
        "Per-task CPU profiling              : off           # {NO_PROFILING}\n\
         Memory usage profiling              : off           # {NO_PROFILING}\n"
    )))
}

fn set_profiling(_: &mut Call<'_>) -> Answer {
    Err(Reply::line(format!("Profiling by commands {NO_PROFILING}")))
}

fn read(path: &str) -> String {
    // What cannot be read is left out of answers.
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

/// `show dev`: the machine and the process.
fn show_dev(call: &mut Call<'_>) -> Answer {
    let mut text = String::new();
    let mut section = |title: &str, rows: &[(&str, String)]| {
        let _ = writeln!(text, "{title}");
        for (name, value) in rows.iter().filter(|(_, value)| !value.trim().is_empty()) {
            let _ = writeln!(text, "  {name}: {}", value.trim());
        }
    };
    let cpus = read("/proc/cpuinfo");
    let facts = call.admin.process.facts();
    let anon = call.session.anon;
    section(
        "Platform info",
        &[
            ("machine vendor", read("/sys/class/dmi/id/sys_vendor")),
            ("machine family", read("/sys/class/dmi/id/product_family")),
            ("cpu model", proc::field(&cpus, "model name").unwrap_or_default()),
            ("OS name", read("/proc/sys/kernel/ostype")),
            ("OS release", read("/proc/sys/kernel/osrelease")),
            ("OS version", read("/proc/sys/kernel/version")),
            ("OS architecture", std::env::consts::ARCH.to_owned()),
            ("node name", anon.name(&facts.node).into_owned()),
        ],
    );
    let status = read("/proc/self/status");
    let first = |name| {
        let value = proc::field(&status, name).unwrap_or_default();
        value.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let limits = read("/proc/self/limits");
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let mut files = files.unwrap_or_default().split_whitespace();
    section(
        "Process info",
        &[
            ("pid", facts.pid.to_string()),
            ("uid", first("Uid")),
            ("gid", first("Gid")),
            ("threads", facts.threads.to_string()),
            ("fd limit (soft)", files.next().unwrap_or_default().to_owned()),
            ("fd limit (hard)", files.next().unwrap_or_default().to_owned()),
            ("version", call.admin.product.version.clone()),
        ],
    );
    Ok(Reply::Text(text))
}

pub(super) static COMMANDS: &[Command] = &[
    Command::new(
        &["show", "activity"],
        "[-1|0|thread_num]",
        "show per-thread activity stats (for support/developers)",
        Level::Operator,
        show_activity,
    ),
    Command::new(&["show", "dev"], "", "show debug info for developers", Level::Operator, show_dev),
    Command::new(&["show", "fd"], FD_USAGE, FD_DOC, Level::Operator, show_fd),
    Command::new(&["show", "libs"], "", LIBS_DOC, Level::Operator, |_| answer(Ok(libs()))),
    Command::new(&["show", "pools"], "", POOLS_DOC, Level::Operator, |c| answer(pools(c.args))),
    Command::new(
        &["show", "profiling"],
        "[<what>]",
        "show CPU profiling state and output",
        Level::Operator,
        show_profiling,
    ),
    Command::admin(
        &["set", "profiling"],
        "<what> <state>",
        "not carried: says what to use instead",
        set_profiling,
    ),
    Command::new(&["show", "tasks"], "", "show running tasks", Level::Operator, show_tasks),
    Command::new(&["show", "threads"], "", THREADS_DOC, Level::Operator, |_| answer(Ok(threads()))),
];
