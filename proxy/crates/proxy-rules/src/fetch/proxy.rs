//! Frontends, listeners, backends and servers (configuration manual, 7.3.2 and 7.3.3).

use proxy_state::Backend;
use proxy_state::server::{OpState, WEIGHT_SCALE};

use crate::sample::args::{ArgDef, ArgKind, opt, req};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const BACKEND: &[ArgDef] = &[opt(ArgKind::Backend)];
const FRONTEND: &[ArgDef] = &[opt(ArgKind::Frontend)];
const SERVER: &[ArgDef] = &[req(ArgKind::Server)];

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "avg_queue",
        BACKEND,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        avg_queue,
        "Queued requests per active server.",
    )
    .eg(&[("avg_queue(be)", Some("0"))]),
    FetchDef::new(
        "be_conn",
        BACKEND,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        be_conn,
        "Sessions of a backend.",
    )
    .eg(&[("be_conn(be)", Some("0"))]),
    FetchDef::new(
        "be_conn_free",
        BACKEND,
        Type::Sint,
        Validity::INTERNAL,
        be_conn_free,
        "Sessions that a backend's usable servers may still take, -1 for any number.",
    )
    .eg(&[("be_conn_free(be)", Some("20"))]),
    FetchDef::new(
        "be_id",
        &[],
        Type::Sint,
        Validity::of("......YYYYYYYYYYYYYY.."),
        be_id,
        "Number of the backend.",
    )
    .eg(&[("be_id", Some("3"))]),
    FetchDef::new(
        "be_name",
        &[],
        Type::Str,
        Validity::of("......YYYYYYYYYYYYYY.."),
        be_name,
        "Name of the backend.",
    )
    .eg(&[("be_name", Some("be"))]),
    FetchDef::new(
        "be_sess_rate",
        BACKEND,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        be_sess_rate,
        "New sessions of a backend per second.",
    )
    .eg(&[("be_sess_rate(be)", Some("0"))]),
    FetchDef::new(
        "connslots",
        BACKEND,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        connslots,
        "Free connection slots of a backend's servers.",
    )
    .eg(&[("connslots(be)", Some("20"))]),
    FetchDef::new(
        "fe_conn",
        FRONTEND,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        fe_conn,
        "Sessions of a frontend.",
    )
    .eg(&[("fe_conn(fe)", Some("1"))]),
    FetchDef::new(
        "fe_defbe",
        &[],
        Type::Str,
        Validity::STREAM,
        fe_defbe,
        "Name of the frontend's default backend.",
    )
    .eg(&[("fe_defbe", Some("be"))]),
    FetchDef::new(
        "fe_id",
        &[],
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYY..."),
        fe_id,
        "Number of the frontend.",
    )
    .eg(&[("fe_id", Some("2"))]),
    FetchDef::new(
        "fe_name",
        &[],
        Type::Str,
        Validity::of("YYYYYYYYYYYYYYYYYYY..."),
        fe_name,
        "Name of the frontend.",
    )
    .eg(&[("fe_name", Some("fe"))]),
    FetchDef::new(
        "fe_req_rate",
        FRONTEND,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        fe_req_rate,
        "HTTP requests of a frontend per second.",
    )
    .eg(&[("fe_req_rate(fe)", Some("0"))]),
    FetchDef::new(
        "fe_sess_rate",
        FRONTEND,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        fe_sess_rate,
        "New sessions of a frontend per second.",
    )
    .eg(&[("fe_sess_rate(fe)", Some("1"))]),
    FetchDef::new(
        "nbsrv",
        BACKEND,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        nbsrv,
        "Usable servers of a backend.",
    )
    .eg(&[("nbsrv(be)", Some("2")), ("nbsrv", Some("2"))]),
    FetchDef::new(
        "queue",
        BACKEND,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        queue,
        "Requests queued in a backend and its servers.",
    )
    .eg(&[("queue(be)", Some("0"))]),
    FetchDef::new(
        "so_id",
        &[],
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYY..."),
        so_id,
        "Number of the listener.",
    )
    .eg(&[("so_id", Some("1"))]),
    FetchDef::new(
        "so_name",
        &[],
        Type::Str,
        Validity::of("YYYYYYYYYYYYYYYYYYY..."),
        so_name,
        "Name of the listener.",
    )
    .eg(&[("so_name", Some("web"))]),
    FetchDef::new(
        "srv_conn",
        SERVER,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        srv_conn,
        "Sessions of a server.",
    )
    .eg(&[("srv_conn(be/s1)", Some("0"))]),
    FetchDef::new(
        "srv_conn_free",
        SERVER,
        Type::Sint,
        Validity::INTERNAL,
        srv_conn_free,
        "Sessions that a server may still take, -1 for any number.",
    )
    .eg(&[("srv_conn_free(be/s1)", Some("10"))]),
    FetchDef::new(
        "srv_id",
        &[],
        Type::Sint,
        Validity::of("..........YYYYYYYYYY.."),
        srv_id,
        "Number of the server.",
    )
    .eg(&[("srv_id", Some("1"))]),
    FetchDef::new(
        "srv_is_up",
        SERVER,
        Type::Bool,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        srv_is_up,
        "True when a server is up.",
    )
    .eg(&[("srv_is_up(be/s1)", Some("1")), ("srv_is_up(s2)", Some("1"))]),
    FetchDef::new(
        "srv_iweight",
        SERVER,
        Type::Sint,
        Validity::INTERNAL,
        srv_iweight,
        "Weight that the configuration gives a server.",
    )
    .eg(&[("srv_iweight(be/s1)", Some("1"))]),
    FetchDef::new(
        "srv_name",
        &[],
        Type::Str,
        Validity::of("..........YYYYYYYYYY.."),
        srv_name,
        "Name of the server.",
    )
    .eg(&[("srv_name", Some("s1"))]),
    FetchDef::new(
        "srv_queue",
        SERVER,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        srv_queue,
        "Requests queued in a server.",
    )
    .eg(&[("srv_queue(be/s1)", Some("0"))]),
    FetchDef::new(
        "srv_sess_rate",
        SERVER,
        Type::Sint,
        Validity::of("YYYYYYYYYYYYYYYYYYYY.Y"),
        srv_sess_rate,
        "New sessions of a server per second.",
    )
    .eg(&[("srv_sess_rate(be/s1)", Some("0"))]),
    FetchDef::new(
        "srv_uweight",
        SERVER,
        Type::Sint,
        Validity::INTERNAL,
        srv_uweight,
        "Weight that an operator gave a server.",
    )
    .eg(&[("srv_uweight(be/s1)", Some("1"))]),
    FetchDef::new(
        "srv_weight",
        SERVER,
        Type::Sint,
        Validity::INTERNAL,
        srv_weight,
        "Weight that a server has at the moment.",
    )
    .eg(&[("srv_weight(be/s1)", Some("1"))]),
];

fn avg_queue<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let be = args.backend(0, cx)?;
    let queued = total_queue(be);
    let farm = be.farm();
    let usable = i64::from(if farm.active > 0 { farm.active } else { farm.backup });
    Some(Sample::Int(if usable > 0 { (queued + usable - 1) / usable } else { queued * 10 }))
}

fn total_queue(be: &Backend) -> i64 {
    let servers: i64 = be.servers().iter().map(|s| i64::from(s.queued.get())).sum();
    servers + i64::from(be.queued.get())
}

fn be_conn<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(args.backend(0, cx)?.sessions.get())))
}

fn be_id<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(cx.backend?.id.0)))
}

fn be_name<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Str(cx.backend?.name.as_bytes()))
}

fn be_sess_rate<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(args.backend(0, cx)?.session_rate.get(cx.clock.now) as i64))
}

fn connslots<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let be = args.backend(0, cx)?;
    let mut free = 0;
    for server in be.servers().iter().filter(|s| s.op_state() != OpState::Stopped) {
        // A server without a limit has room for any number.
        if server.maxconn() == 0 {
            return Some(Sample::Int(-1));
        }
        let used = i64::from(server.sessions.get()) + i64::from(server.queued.get());
        free += i64::from(server.maxconn()) + i64::from(server.spec.maxqueue) - used;
    }
    Some(Sample::Int(free.max(0)))
}

fn fe_conn<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(args.frontend(0, cx)?.sessions.get())))
}

fn fe_id<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(cx.frontend?.id.0)))
}

fn fe_name<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Str(cx.frontend?.name.as_bytes()))
}

fn fe_req_rate<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(args.frontend(0, cx)?.request_rate.get(cx.clock.now) as i64))
}

fn fe_sess_rate<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(args.frontend(0, cx)?.session_rate.get(cx.clock.now) as i64))
}

fn nbsrv<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let farm = args.backend(0, cx)?.farm();
    Some(Sample::Int(i64::from(if farm.active > 0 { farm.active } else { farm.backup })))
}

fn queue<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(total_queue(args.backend(0, cx)?)))
}

fn so_id<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(cx.session?.listener.id.0)))
}

fn so_name<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Str(cx.session?.listener.name.as_bytes()))
}

fn srv_conn<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(args.server(0, cx)?.sessions.get())))
}

fn srv_id<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(cx.server?.id.0)))
}

fn srv_is_up<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Bool(args.server(0, cx)?.op_state() != OpState::Stopped))
}

fn srv_name<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Str(cx.server?.name.as_bytes()))
}

fn srv_queue<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(args.server(0, cx)?.queued.get())))
}

fn srv_sess_rate<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(args.server(0, cx)?.session_rate.get(cx.clock.now) as i64))
}

/// Sessions that a server may still take.
fn free(server: &proxy_state::Server) -> Option<i64> {
    let used = i64::from(server.sessions.get()) + i64::from(server.queued.get());
    (server.maxconn() > 0).then(|| (i64::from(server.maxconn()) - used).max(0))
}

fn srv_conn_free<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(free(&*args.server(0, cx)?).unwrap_or(-1)))
}

fn be_conn_free<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let be = args.backend(0, cx)?;
    let mut total = 0;
    for server in be.servers().iter().filter(|s| s.op_state() != OpState::Stopped) {
        match free(server) {
            Some(n) => total += n,
            None => return Some(Sample::Int(-1)),
        }
    }
    Some(Sample::Int(total))
}

fn srv_iweight<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(args.server(0, cx)?.spec.weight)))
}

fn srv_uweight<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(args.server(0, cx)?.weight())))
}

fn srv_weight<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let weight = args.server(0, cx)?.effective_weight();
    Some(Sample::Int(i64::from(weight.div_ceil(WEIGHT_SCALE))))
}

fn fe_defbe<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Str(cx.frontend?.default_backend.as_deref()?.as_bytes()))
}
