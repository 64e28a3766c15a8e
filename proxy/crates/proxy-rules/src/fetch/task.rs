//! What the process spends on a stream (configuration manual, 7.3.2).

use crate::sample::context::TaskTimes;
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const fn times(
    name: &'static str,
    run: crate::sample::def::FetchFn,
    doc: &'static str,
) -> FetchDef {
    let def = FetchDef::new(name, &[], Type::Sint, Validity::INTERNAL, run, doc);
    FetchDef { times_tasks: true, ..def }
}

const fn usage(
    name: &'static str,
    run: crate::sample::def::FetchFn,
    doc: &'static str,
) -> FetchDef {
    FetchDef::new(name, &[], Type::Sint, Validity::INTERNAL, run, doc)
}

pub(super) const FETCHES: &[FetchDef] = &[
    times("cpu_calls", cpu_calls, "How often the task of the request ran.")
        .eg(&[("cpu_calls", Some("4"))]),
    times("cpu_ns_avg", cpu_ns_avg, "Nanoseconds that a run of the task took on average.")
        .eg(&[("cpu_ns_avg", Some("25000"))]),
    times("cpu_ns_tot", cpu_ns_tot, "Nanoseconds that the runs of the task took together.")
        .eg(&[("cpu_ns_tot", Some("100000"))]),
    usage(
        "cpu_usage_grp",
        usage_of_all,
        "How busy the threads of the group were in the last second, in percent.",
    )
    .eg(&[("cpu_usage_grp", Some("0"))]),
    usage(
        "cpu_usage_proc",
        usage_of_all,
        "How busy the threads of the process were in the last second, in percent.",
    )
    .eg(&[("cpu_usage_proc", Some("0"))]),
    usage(
        "cpu_usage_thr",
        usage_of_thread,
        "How busy the running thread was in the last second, in percent.",
    )
    .eg(&[("cpu_usage_thr", Some("0"))]),
    times(
        "lat_ns_avg",
        lat_ns_avg,
        "Nanoseconds that the task waited for a run on average, once woken.",
    )
    .eg(&[("lat_ns_avg", Some("2000"))]),
    times("lat_ns_tot", lat_ns_tot, "Nanoseconds that the task waited for its runs together.")
        .eg(&[("lat_ns_tot", Some("8000"))]),
];

/// The task of the stream; one that is not timed ran never.
fn task(cx: &EvalCtx<'_>) -> TaskTimes {
    cx.task.map(|task| task.times()).unwrap_or_default()
}

fn number<'a>(n: u64) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::try_from(n).unwrap_or(i64::MAX)))
}

fn average<'a>(sum: u64, calls: u32) -> Option<Sample<'a>> {
    number(sum.checked_div(u64::from(calls)).unwrap_or(0))
}

fn cpu_calls<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    number(u64::from(task(cx).calls))
}

fn cpu_ns_avg<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let times = task(cx);
    average(times.run_ns, times.calls)
}

fn cpu_ns_tot<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    number(task(cx).run_ns)
}

fn lat_ns_avg<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let times = task(cx);
    average(times.wait_ns, times.calls)
}

fn lat_ns_tot<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    number(task(cx).wait_ns)
}

fn usage_of_all<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    number(u64::from(cx.shared.registry.process.busy.average()))
}

fn usage_of_thread<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    number(u64::from(cx.shared.registry.process.busy.of(cx.thread)))
}
