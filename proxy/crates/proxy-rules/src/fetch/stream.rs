//! Times, sizes and the course of a stream (configuration manual, 7.3.4).

use std::time::Duration;

use crate::logformat::{LogFacts, TimeoutChanges};
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::context::{Date, LastRule};
use crate::sample::value::display;
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const UNIT: &[ArgDef] = &[opt(ArgKind::Str)];
const HELD: Validity = Validity::REQUEST;
const KEPT: Validity = Validity::REQUEST_KEPT;
const CLIENT: Validity = Validity::CLIENT;
const SERVER: Validity = Validity::SERVER;
const CONN: Validity = Validity::SERVER_CONN;
const PROCESS: Validity = Validity::INTERNAL;
const BACKEND: Validity = Validity::BACKEND;
const STREAM: Validity = Validity::STREAM;
const CACHED: Validity = Validity::of("..........YYYYYYYYYY..");

const fn sint(
    name: &'static str,
    at: Validity,
    run: crate::sample::def::FetchFn,
    doc: &'static str,
) -> FetchDef {
    FetchDef::new(name, &[], Type::Sint, at, run, doc)
}

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "accept_date",
        UNIT,
        Type::Sint,
        CLIENT,
        accept_date,
        "When the connection was accepted, in s, ms or us.",
    )
    .check(check_unit)
    .eg(&[("accept_date", Some("1795341600")), ("accept_date(ms)", Some("1795341600123"))]),
    sint("bc.timer.connect", CONN, timer_connect, "Time to connect to the server.")
        .eg(&[("bc.timer.connect", Some("5"))]),
    FetchDef::new("bc_be_queue", &[], Type::Sint, CONN, be_queue, "Place in the backend's queue.")
        .eg(&[("bc_be_queue", Some("0"))]),
    FetchDef::new(
        "bc_reused",
        &[],
        Type::Bool,
        CONN,
        reused,
        "True when the connection to the server was used before.",
    )
    .eg(&[("bc_reused", Some("0"))]),
    FetchDef::new("bc_srv_queue", &[], Type::Sint, CONN, srv_queue, "Place in the server's queue.")
        .eg(&[("bc_srv_queue", Some("0"))]),
    sint(
        "be_connect_timeout",
        BACKEND,
        be_connect_timeout,
        "`timeout connect` of the backend, in ms.",
    )
    .eg(&[("be_connect_timeout", None)]),
    sint("be_max_retries", BACKEND, be_max_retries, "`retries` of the backend.")
        .eg(&[("be_max_retries", Some("3"))]),
    sint("be_queue_timeout", BACKEND, be_queue_timeout, "`timeout queue` of the backend, in ms.")
        .eg(&[("be_queue_timeout", None)]),
    sint(
        "be_server_timeout",
        BACKEND,
        be_server_timeout,
        "`timeout server` of the backend, in ms.",
    )
    .eg(&[("be_server_timeout", None)]),
    sint(
        "be_tarpit_timeout",
        BACKEND,
        be_tarpit_timeout,
        "`timeout tarpit` of the backend, in ms.",
    )
    .eg(&[("be_tarpit_timeout", None)]),
    sint(
        "be_tunnel_timeout",
        BACKEND,
        be_tunnel_timeout,
        "`timeout tunnel` of the backend, in ms.",
    )
    .eg(&[("be_tunnel_timeout", None)]),
    sint("bytes_in", KEPT, bytes_in, "Bytes received from the client.")
        .eg(&[("bytes_in", Some("100"))]),
    sint("bytes_out", SERVER, bytes_out, "Bytes sent to the client.")
        .eg(&[("bytes_out", Some("1500"))]),
    sint(
        "cur_client_timeout",
        STREAM,
        cur_client_timeout,
        "Timeout of the client in force, in ms.",
    )
    .eg(&[("cur_client_timeout", None)]),
    sint(
        "cur_connect_timeout",
        BACKEND,
        cur_connect_timeout,
        "Timeout of connecting in force, in ms.",
    )
    .eg(&[("cur_connect_timeout", None)]),
    sint("cur_max_retries", BACKEND, cur_max_retries, "Retries in force.")
        .eg(&[("cur_max_retries", Some("3"))]),
    sint("cur_queue_timeout", BACKEND, cur_queue_timeout, "Timeout of queues in force, in ms.")
        .eg(&[("cur_queue_timeout", None)]),
    sint(
        "cur_server_timeout",
        BACKEND,
        cur_server_timeout,
        "Timeout of the server in force, in ms.",
    )
    .eg(&[("cur_server_timeout", None)]),
    sint("cur_tarpit_timeout", CLIENT, cur_tarpit_timeout, "Timeout of tarpits in force, in ms.")
        .eg(&[("cur_tarpit_timeout", None)]),
    sint("cur_tunnel_timeout", BACKEND, cur_tunnel_timeout, "Timeout of tunnels in force, in ms.")
        .eg(&[("cur_tunnel_timeout", None)]),
    sint("fc.timer.handshake", CLIENT, timer_handshake, "Time of the handshakes.")
        .eg(&[("fc.timer.handshake", Some("1"))]),
    sint("fc.timer.total", STREAM, timer_total, "Time since the connection was accepted.")
        .eg(&[("fc.timer.total", Some("0"))]),
    sint(
        "fe_client_timeout",
        STREAM,
        fe_client_timeout,
        "`timeout client` of the frontend, in ms.",
    )
    .eg(&[("fe_client_timeout", None)]),
    sint(
        "fe_tarpit_timeout",
        STREAM,
        fe_tarpit_timeout,
        "`timeout tarpit` of the frontend, in ms.",
    )
    .eg(&[("fe_tarpit_timeout", None)]),
    FetchDef::new(
        "http_first_req",
        &[],
        Type::Bool,
        KEPT_REQUEST,
        first_req,
        "True for the first request of a connection.",
    )
    .eg(&[("http_first_req", Some("1"))]),
    FetchDef::new(
        "internal.strm.is_htx",
        &[],
        Type::Bool,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        is_http,
        "True when the stream carries messages of HTTP.",
    )
    .eg(&[("internal.strm.is_htx", Some("1"))]),
    FetchDef::new(
        "last_entity",
        &[],
        Type::Str,
        PROCESS,
        last_entity,
        "File and line of the rule that last ended a rule set.",
    )
    .eg(&[("last_entity", None)]),
    FetchDef::new(
        "last_rule_file",
        &[],
        Type::Str,
        PROCESS,
        last_rule_file,
        "File of the rule that last ended a rule set.",
    )
    .eg(&[("last_rule_file", None)]),
    sint("last_rule_line", PROCESS, last_rule_line, "Line of the rule that last ended a rule set.")
        .eg(&[("last_rule_line", None)]),
    sint("prio_class", PROCESS, prio_class, "Priority class of the request in queues.")
        .eg(&[("prio_class", Some("0"))]),
    sint("prio_offset", PROCESS, prio_offset, "Priority offset of the request in queues, in ms.")
        .eg(&[("prio_offset", Some("0"))]),
    sint("req.bytes_in", KEPT, bytes_in, "Bytes received from the client.")
        .eg(&[("req.bytes_in", Some("100"))]),
    sint("req.bytes_out", KEPT, req_bytes_out, "Bytes sent to the server.")
        .eg(&[("req.bytes_out", Some("120"))]),
    sint("req.timer.hdr", HELD, timer_hdr, "First byte to the end of the request head.")
        .eg(&[("req.timer.hdr", Some("3"))]),
    sint("req.timer.idle", HELD, timer_idle, "Idle time before the request.")
        .eg(&[("req.timer.idle", Some("2"))]),
    sint("req.timer.queue", CONN, timer_queue, "Time in queues.")
        .eg(&[("req.timer.queue", Some("4"))]),
    sint("req.timer.tq", HELD, timer_tq, "Handshakes, idle time and head together.")
        .eg(&[("req.timer.tq", Some("6"))]),
    FetchDef::new(
        "request_date",
        UNIT,
        Type::Sint,
        KEPT,
        request_date,
        "When the first byte of the request came, in s, ms or us.",
    )
    .check(check_unit)
    .eg(&[("request_date", Some("1795341600"))]),
    sint("res.bytes_in", SERVER, res_bytes_in, "Bytes received from the server.")
        .eg(&[("res.bytes_in", Some("1400"))]),
    sint("res.bytes_out", SERVER, bytes_out, "Bytes sent to the client.")
        .eg(&[("res.bytes_out", Some("1500"))]),
    FetchDef::new(
        "res.cache_hit",
        &[],
        Type::Bool,
        CACHED,
        cache_hit,
        "True when the response came from a cache.",
    )
    .eg(&[("res.cache_hit", Some("0"))]),
    FetchDef::new(
        "res.cache_name",
        &[],
        Type::Str,
        CACHED,
        cache_name,
        "Name of the cache that the response came from; empty for others.",
    )
    .eg(&[("res.cache_name", Some(""))]),
    FetchDef::new(
        "res.comp",
        &[],
        Type::Bool,
        CONN,
        compressed,
        "True when the response was compressed.",
    )
    .eg(&[("res.comp", Some("1"))]),
    FetchDef::new(
        "res.comp_algo",
        &[],
        Type::Str,
        CONN,
        compressed_with,
        "Algorithm that the response was compressed with.",
    )
    .eg(&[("res.comp_algo", Some("gzip"))]),
    sint("res.timer.data", SERVER, timer_data, "Time to transfer the data.")
        .eg(&[("res.timer.data", Some("10"))]),
    sint("res.timer.hdr", Validity::RESPONSE, timer_res_hdr, "Time to get the response head.")
        .eg(&[("res.timer.hdr", Some("6"))]),
    sint("server_status", CONN, server_status, "Status that the server sent.")
        .eg(&[("server_status", Some("200"))]),
    FetchDef::new(
        "term_events",
        &[],
        Type::Str,
        PROCESS,
        no_events,
        "How the parts of a stream ended, for debugging: `-`, they keep no record.",
    )
    .eg(&[("term_events", Some("-"))]),
    sint("txn.conn_retries", CONN, retries, "Retries of connecting.")
        .eg(&[("txn.conn_retries", Some("1"))]),
    sint("txn.id32", PROCESS, id32, "Number of the stream, in 32 bits.")
        .eg(&[("txn.id32", Some("18"))]),
    FetchDef::new(
        "txn.redispatched",
        &[],
        Type::Bool,
        CONN,
        redispatched,
        "True when a retry went to another server.",
    )
    .eg(&[("txn.redispatched", Some("0"))]),
    FetchDef::new(
        "txn.sess_term_state",
        &[],
        Type::Str,
        PROCESS,
        term_state,
        "Termination state, as in logs.",
    )
    .eg(&[("txn.sess_term_state", Some("--"))]),
    sint("txn.status", CONN, txn_status, "Status sent to the client.")
        .eg(&[("txn.status", Some("200"))]),
    sint("txn.timer.total", KEPT, txn_total, "First byte of the request to now.")
        .eg(&[("txn.timer.total", Some("27"))]),
    sint("txn.timer.user", KEPT, txn_user, "Total time as the user feels it.")
        .eg(&[("txn.timer.user", Some("28"))]),
    FetchDef::new(
        "unique-id",
        &[],
        Type::Str,
        Validity::ALWAYS,
        unique_id,
        "Unique id of the stream.",
    )
    .eg(&[("unique-id", Some("id-1"))]),
    FetchDef::new(
        "waiting_entity",
        &[],
        Type::Str,
        PROCESS,
        waiting_entity,
        "File and line of the rule that the stream was waiting at when it failed.",
    )
    .eg(&[("waiting_entity", None)]),
];

const KEPT_REQUEST: Validity = Validity::of("..YYYYYYYYYYYYYYYYY...");

fn is_http<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(cx.http))
}

fn number<'a>(n: impl TryInto<i64>) -> Option<Sample<'a>> {
    Some(Sample::Int(n.try_into().unwrap_or(i64::MAX)))
}

/// A time; what was not reached yet has none.
fn timer<'a>(cx: &EvalCtx<'a>, of: impl Fn(&LogFacts<'a>) -> Option<u32>) -> Option<Sample<'a>> {
    of(&cx.known()?).and_then(number)
}

fn check_unit(args: &mut Args) -> Result<(), String> {
    match args.str(0) {
        None | Some(b"s" | b"ms" | b"us") => Ok(()),
        Some(_) => Err("the unit must be s, ms or us".to_owned()),
    }
}

fn date<'a>(date: Date, args: &Args) -> Option<Sample<'a>> {
    let usec = i64::from(date.usec);
    Some(Sample::Int(match args.str(0) {
        Some(b"ms") => date.secs * 1000 + usec / 1000,
        Some(b"us") => date.secs * 1_000_000 + usec,
        _ => date.secs,
    }))
}

macro_rules! fetches {
    ($($name:ident: |$cx:ident| $value:expr;)*) => {
        $(fn $name<'a>($cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
            $value
        })*
    };
}

fn entity<'a>(cx: &EvalCtx<'a>, rule: &LastRule) -> Option<Sample<'a>> {
    let (file, line) = rule.get()?;
    Some(Sample::Str(display(cx.scratch, format_args!("{file}:{line}"))))
}

fn accept_date<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    date(cx.session?.accepted, args)
}

fn request_date<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    date(cx.known()?.request, args)
}

fn ms<'a>(of: Option<Duration>) -> Option<Sample<'a>> {
    number(of?.as_millis())
}

/// What `set-timeout` asked for, or what the proxy says.
fn in_force<'a>(
    cx: &EvalCtx<'a>,
    set: impl Fn(&TimeoutChanges) -> Option<u32>,
    configured: Option<Duration>,
) -> Option<Sample<'a>> {
    match cx.overrides.and_then(|overrides| set(&overrides.timeouts.get())) {
        Some(set) => number(set),
        None => ms(configured),
    }
}

fetches! {
    timer_connect: |cx| timer(cx, |f| f.connect);
    be_queue: |cx| number(cx.known()?.backend_queue);
    reused: |cx| Some(Sample::Bool(cx.known()?.reused));
    srv_queue: |cx| number(cx.known()?.server_queue);
    be_connect_timeout: |cx| ms(cx.backend?.timeouts.connect);
    be_max_retries: |cx| number(cx.backend?.retries);
    be_queue_timeout: |cx| ms(cx.backend?.timeouts.queue());
    be_server_timeout: |cx| ms(cx.backend?.timeouts.server);
    be_tarpit_timeout: |cx| ms(cx.backend?.timeouts.tarpit());
    be_tunnel_timeout: |cx| ms(cx.backend?.timeouts.tunnel);
    bytes_in: |cx| number(cx.known()?.bytes_in);
    bytes_out: |cx| number(cx.known()?.bytes_out);
    cur_client_timeout: |cx| in_force(cx, |t| t.client, cx.frontend?.timeouts.client);
    cur_connect_timeout: |cx| in_force(cx, |t| t.connect, cx.backend?.timeouts.connect);
    cur_max_retries: |cx| match cx.overrides.and_then(|o| o.retries.get()) {
        Some(set) => number(set),
        None => number(cx.backend?.retries),
    };
    cur_queue_timeout: |cx| in_force(cx, |t| t.queue, cx.backend?.timeouts.queue());
    cur_server_timeout: |cx| in_force(cx, |t| t.server, cx.backend?.timeouts.server);
    cur_tarpit_timeout: |cx| {
        let of_backend = cx.backend.and_then(|b| b.timeouts.tarpit());
        let configured = of_backend.or_else(|| cx.frontend?.timeouts.tarpit());
        in_force(cx, |t| t.tarpit, configured)
    };
    cur_tunnel_timeout: |cx| in_force(cx, |t| t.tunnel, cx.backend?.timeouts.tunnel);
    timer_handshake: |cx| timer(cx, |f| f.handshake);
    timer_total: |cx| {
        let (now, start) = (cx.clock.date, cx.session?.accepted);
        number((now.secs - start.secs) * 1000 + (i64::from(now.usec) - i64::from(start.usec)) / 1000)
    };
    fe_client_timeout: |cx| ms(cx.frontend?.timeouts.client);
    fe_tarpit_timeout: |cx| ms(cx.frontend?.timeouts.tarpit());
    first_req: |cx| Some(Sample::Bool(cx.known()?.first_request));
    last_rule_file: |cx| {
        let (file, _) = cx.last_rule?.get()?;
        Some(Sample::Str(cx.scratch.alloc_slice_copy(file.as_bytes())))
    };
    last_rule_line: |cx| number(cx.last_rule?.get()?.1);
    last_entity: |cx| entity(cx, cx.last_rule?);
    waiting_entity: |cx| entity(cx, cx.waiting_rule?);
    no_events: |_cx| Some(Sample::Str(b"-"));
    prio_class: |cx| number(cx.overrides.map_or(0, |o| o.priority.get().0));
    prio_offset: |cx| number(cx.overrides.map_or(0, |o| o.priority.get().1));
    req_bytes_out: |cx| number(cx.known()?.request_out);
    timer_hdr: |cx| timer(cx, |f| f.request_head);
    timer_idle: |cx| timer(cx, |f| f.idle);
    timer_queue: |cx| timer(cx, |f| f.queue);
    timer_tq: |cx| timer(cx, |f| {
        Some(f.handshake.unwrap_or(0) + f.idle.unwrap_or(0) + f.request_head?)
    });
    res_bytes_in: |cx| number(cx.known()?.response_in);
    timer_data: |cx| timer(cx, |f| {
        let before = [f.idle, f.request_head, f.queue, f.connect, f.response_head];
        f.response_head.map(|_| {
            f.total.saturating_sub(before.into_iter().flatten().sum()).min(f.total)
        })
    });
    timer_res_hdr: |cx| timer(cx, |f| f.response_head);
    server_status: |cx| number(cx.known()?.server_status?);
    retries: |cx| number(cx.known()?.retries);
    id32: |cx| number(cx.known()?.stream_number);
    cache_hit: |cx| Some(Sample::Bool(cx.known()?.cache.is_some()));
    cache_name: |cx| Some(Sample::Str(cx.known()?.cache.unwrap_or_default().as_bytes()));
    compressed: |cx| Some(Sample::Bool(cx.known()?.compressed.is_some()));
    compressed_with: |cx| Some(Sample::Str(cx.known()?.compressed?.as_bytes()));
    redispatched: |cx| Some(Sample::Bool(cx.known()?.redispatched));
    term_state: |cx| {
        let state = cx.known()?.termination;
        Some(Sample::Str(cx.scratch.alloc_slice_copy(&[state.cause, state.phase])))
    };
    txn_status: |cx| number(cx.known()?.status?);
    txn_total: |cx| timer(cx, |f| Some(f.total.saturating_sub(f.idle.unwrap_or(0) + f.handshake.unwrap_or(0))));
    txn_user: |cx| timer(cx, |f| Some(f.total.saturating_sub(f.idle.unwrap_or(0))));
    unique_id: |cx| cx.known()?.unique_id.map(Sample::Str);
}
