//! The process and its surroundings (configuration manual, 7.3.2).

use crate::sample::args::{ArgKind, opt, req};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "act_conn",
        &[],
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYYYY"),
        act_conn,
        "Client connections of the process.",
    )
    .eg(&[("act_conn", Some("0"))]),
    FetchDef::new(
        "date",
        &[opt(ArgKind::Int), opt(ArgKind::Str)],
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYYYY"),
        date,
        "Date, with an offset, in s, ms or us.",
    )
    .check(check_unit)
    .eg(&[
        ("date", Some("1795341600")),
        ("date(-60)", Some("1795341540")),
        ("date(0,ms)", Some("1795341600123")),
    ]),
    FetchDef::new(
        "date_us",
        &[],
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYYYY"),
        date_us,
        "Microseconds of the date.",
    )
    .eg(&[("date_us", Some("123456"))]),
    FetchDef::new(
        "env",
        &[req(ArgKind::Str)],
        Type::Str,
        Validity::of("YYYYYYYYYYYYYYYYYYYYYY"),
        env,
        "Environment variable.",
    )
    .eg(&[("env(LANG)", Some("C")), ("env(NO_SUCH)", None)]),
    FetchDef::new(
        "hostname",
        &[],
        Type::Str,
        Validity::of("YYYYYYYYYYYYYYYYYYYYYY"),
        hostname,
        "Name of the machine.",
    )
    .eg(&[("hostname", Some("lb1"))]),
    FetchDef::new("nbproc", &[], Type::Sint, Validity::ALWAYS, one, "Number of processes: 1.")
        .eg(&[("nbproc", Some("1"))]),
    FetchDef::new(
        "pid",
        &[],
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYYYY"),
        pid,
        "Number of the process.",
    )
    .eg(&[("pid", Some("4711"))]),
    FetchDef::new("proc", &[], Type::Sint, Validity::ALWAYS, one, "Place of the process: 1.")
        .eg(&[("proc", Some("1"))]),
    FetchDef::new(
        "quic_enabled",
        &[],
        Type::Bool,
        Validity::ALWAYS,
        no,
        "False: QUIC is not carried.",
    )
    .eg(&[("quic_enabled", Some("0"))]),
    FetchDef::new(
        "rand",
        &[opt(ArgKind::Int)],
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYYYY"),
        rand,
        "Random number below 2^32 or the argument.",
    )
    .eg(&[("rand(1)", Some("0")), ("rand,length,bool", Some("1"))]),
    FetchDef::new(
        "stopping",
        &[],
        Type::Bool,
        Validity::INTERNAL,
        stopping,
        "True once the process has begun to leave.",
    )
    .eg(&[("stopping", Some("0"))]),
    FetchDef::new(
        "tgroup",
        &[],
        Type::Sint,
        Validity::ALWAYS,
        one,
        "Group of the running thread: 1.",
    )
    .eg(&[("tgroup", Some("1"))]),
    FetchDef::new(
        "thread",
        &[],
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYYYY"),
        thread,
        "Index of the running thread.",
    )
    .eg(&[("thread", Some("0"))]),
    FetchDef::new(
        "uptime",
        &[],
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYYYY"),
        uptime,
        "Seconds since the process started.",
    )
    .eg(&[("uptime", Some("60"))]),
    FetchDef::new(
        "uuid",
        &[opt(ArgKind::Int)],
        Type::Str,
        Validity::ALWAYS,
        uuid,
        "A new UUID of version 4 or 7.",
    )
    .check(check_version)
    .eg(&[
        ("uuid,length", Some("36")),
        ("uuid(7),bytes(14,1)", Some("7")),
        ("uuid,bytes(14,1)", Some("4")),
    ]),
    FetchDef::new(
        "wait_end",
        &[],
        Type::Bool,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        wait_end,
        "True once no more content will come.",
    )
    .eg(&[("wait_end", None)]),
];

fn act_conn<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(cx.shared.registry.process.connections.get())))
}

fn date<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let (date, offset) = (cx.clock.date, args.int(0).unwrap_or(0));
    let usec = i64::from(date.usec);
    Some(Sample::Int(match args.str(1) {
        Some(b"ms") => (date.secs * 1000 + usec / 1000).saturating_add(offset),
        Some(b"us") => (date.secs * 1_000_000 + usec).saturating_add(offset),
        _ => date.secs.saturating_add(offset),
    }))
}

fn check_unit(args: &mut Args) -> Result<(), String> {
    match args.str(1) {
        None | Some(b"s" | b"ms" | b"us") => Ok(()),
        Some(_) => Err("the unit must be s, ms or us".to_owned()),
    }
}

fn date_us<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(cx.clock.date.usec)))
}

fn env<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let name = args.str(0)?;
    let found = cx.shared.env.iter().find(|(key, _)| key.as_bytes() == name);
    found.map(|(_, value)| Sample::Str(value))
}

fn hostname<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Str(cx.shared.hostname.as_bytes()))
}

fn pid<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(cx.shared.pid)))
}

fn rand<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let random = i64::from(cx.next_random());
    Some(Sample::Int(match args.int(0) {
        Some(range) if range > 0 => ((i128::from(random) * i128::from(range)) >> 32) as i64,
        _ => random,
    }))
}

fn thread<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(cx.thread as i64))
}

fn uptime<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(cx.clock.date.secs - cx.shared.started.secs))
}

fn wait_end<'a>(cx: &EvalCtx<'a>, _: &'a Args, cursor: &mut Cursor) -> Option<Sample<'a>> {
    if cx.complete { Some(Sample::Bool(true)) } else { cursor.wait() }
}

fn one<'a>(_: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(1))
}

fn no<'a>(_: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(false))
}

fn stopping<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(cx.stopping))
}

fn check_version(args: &mut Args) -> Result<(), String> {
    match args.int(0) {
        None | Some(4 | 7) => Ok(()),
        Some(n) => Err(format!("unsupported version {n} of a UUID (4 or 7 is expected)")),
    }
}

/// RFC 9562, 5.4 and 5.7. Not for secrets: the sequence of the thread is fast, not unpredictable.
fn uuid<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let random = (0..4).fold(0u128, |n, _| n << 32 | u128::from(cx.next_random()));
    let (bits, version) = match args.int(0) {
        Some(7) => {
            let ms = cx.clock.date.secs as u128 * 1000 + u128::from(cx.clock.date.usec / 1000);
            (ms << 80 | random & ((1 << 80) - 1), 7)
        }
        _ => (random, 4),
    };
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | version << 76 | 0x2 << 62;
    let field = |shift: u32, len: u32| bits >> shift & ((1 << len) - 1);
    let text = format_args!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        field(96, 32),
        field(80, 16),
        field(64, 16),
        field(48, 16),
        field(0, 48)
    );
    Some(Sample::Str(crate::sample::value::display(cx.scratch, text)))
}
