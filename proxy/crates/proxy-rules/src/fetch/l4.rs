//! Layer 4: addresses of the client's connection (configuration manual, 7.3.3).

use std::net::SocketAddr;

use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const AT: Validity = Validity::CLIENT;
const SERVER: Validity = Validity::SERVER_CONN;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new("bc_dst", &[], Type::Addr, SERVER, bc_dst, "Address of the server connected to.")
        .eg(&[("bc_dst", None)]),
    FetchDef::new(
        "bc_dst_port",
        &[],
        Type::Sint,
        SERVER,
        bc_dst_port,
        "Port of the server connected to.",
    )
    .eg(&[("bc_dst_port", None)]),
    FetchDef::new("bc_src", &[], Type::Addr, SERVER, bc_src, "Own address towards the server.")
        .eg(&[("bc_src", None)]),
    FetchDef::new(
        "bc_src_port",
        &[],
        Type::Sint,
        SERVER,
        bc_src_port,
        "Own port towards the server.",
    )
    .eg(&[("bc_src_port", None)]),
    FetchDef::new("dst", &[], Type::Addr, AT, dst, "Address the client connected to.")
        .eg(&[("dst", Some("198.51.100.1"))]),
    FetchDef::new(
        "dst_conn",
        &[],
        Type::Sint,
        Validity::STREAM,
        dst_conn,
        "Connections of the listener.",
    )
    .eg(&[("dst_conn", Some("0"))]),
    FetchDef::new(
        "dst_is_local",
        &[],
        Type::Bool,
        AT,
        dst_is_local,
        "True when the address the client connected to is one of this machine.",
    )
    .eg(&[("dst_is_local", Some("0"))]),
    FetchDef::new("dst_port", &[], Type::Sint, AT, dst_port, "Port the client connected to.")
        .eg(&[("dst_port", Some("80"))]),
    FetchDef::new(
        "fc_dst",
        &[],
        Type::Addr,
        AT,
        fc_dst,
        "Address the client's connection came to.",
    )
    .eg(&[("fc_dst", Some("198.51.100.1"))]),
    FetchDef::new(
        "fc_dst_is_local",
        &[],
        Type::Bool,
        AT,
        fc_dst_is_local,
        "True when the connection came to an address of this machine.",
    )
    .eg(&[("fc_dst_is_local", Some("0"))]),
    FetchDef::new(
        "fc_dst_port",
        &[],
        Type::Sint,
        AT,
        fc_dst_port,
        "Port the client's connection came to.",
    )
    .eg(&[("fc_dst_port", Some("80"))]),
    FetchDef::new(
        "fc_src",
        &[],
        Type::Addr,
        AT,
        fc_src,
        "Address the client's connection came from.",
    )
    .eg(&[("fc_src", Some("192.0.2.10"))]),
    FetchDef::new(
        "fc_src_is_local",
        &[],
        Type::Bool,
        AT,
        fc_src_is_local,
        "True when the connection came from an address of this machine.",
    )
    .eg(&[("fc_src_is_local", Some("0"))]),
    FetchDef::new(
        "fc_src_port",
        &[],
        Type::Sint,
        AT,
        fc_src_port,
        "Port the client's connection came from.",
    )
    .eg(&[("fc_src_port", Some("40000"))]),
    FetchDef::new("src", &[], Type::Addr, AT, src, "Address of the client.")
        .eg(&[("src", Some("192.0.2.10"))]),
    FetchDef::new(
        "src_is_local",
        &[],
        Type::Bool,
        AT,
        src_is_local,
        "True when the client's address is one of this machine.",
    )
    .eg(&[("src_is_local", Some("0"))]),
    FetchDef::new("src_port", &[], Type::Sint, AT, src_port, "Port of the client.")
        .eg(&[("src_port", Some("40000"))]),
];

fn client(cx: &EvalCtx<'_>) -> Option<SocketAddr> {
    cx.src()
}

fn local(cx: &EvalCtx<'_>) -> Option<SocketAddr> {
    cx.dst()
}

fn dst<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    local(cx).map(|a| Sample::from(a.ip()))
}

fn dst_port<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    local(cx).map(|a| Sample::Int(i64::from(a.port())))
}

fn src<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    client(cx).map(|a| Sample::from(a.ip()))
}

fn src_port<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    client(cx).map(|a| Sample::Int(i64::from(a.port())))
}

fn addr<'a>(addr: Option<SocketAddr>) -> Option<Sample<'a>> {
    addr.map(|a| Sample::from(a.ip()))
}

fn port<'a>(addr: Option<SocketAddr>) -> Option<Sample<'a>> {
    addr.map(|a| Sample::Int(i64::from(a.port())))
}

fn bc_dst<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    addr(cx.known()?.backend_dst)
}

fn bc_dst_port<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    port(cx.known()?.backend_dst)
}

fn bc_src<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    addr(cx.known()?.backend_src)
}

fn bc_src_port<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    port(cx.known()?.backend_src)
}

fn dst_conn<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(cx.session?.listener.sessions.get())))
}

fn fc_dst<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    addr(cx.session?.dst)
}

fn fc_dst_port<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    port(cx.session?.dst)
}

fn fc_src<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    addr(cx.session?.src)
}

fn fc_src_port<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    port(cx.session?.src)
}

/// Sockets of this machine that have no address are local.
fn is_local<'a>(cx: &EvalCtx<'a>, addr: Option<SocketAddr>) -> Option<Sample<'a>> {
    cx.session?;
    Some(Sample::Bool(addr.is_none_or(|a| (cx.shared.is_local)(a.ip()))))
}

fn dst_is_local<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    is_local(cx, local(cx))
}

fn src_is_local<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    is_local(cx, client(cx))
}

fn fc_dst_is_local<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    is_local(cx, cx.session?.dst)
}

fn fc_src_is_local<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    is_local(cx, cx.session?.src)
}
