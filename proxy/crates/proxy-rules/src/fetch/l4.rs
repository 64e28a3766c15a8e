//! Layer 4: addresses of the client's connection (configuration manual, 7.3.3).

use std::net::SocketAddr;

use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const AT: Validity = Validity::CLIENT;

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new("dst", &[], Type::Addr, AT, dst, "Address the client connected to.")
        .eg(&[("dst", Some("198.51.100.1"))]),
    FetchDef::new("dst_port", &[], Type::Sint, AT, dst_port, "Port the client connected to.")
        .eg(&[("dst_port", Some("80"))]),
    FetchDef::new("src", &[], Type::Addr, AT, src, "Address of the client.")
        .eg(&[("src", Some("192.0.2.10"))]),
    FetchDef::new("src_port", &[], Type::Sint, AT, src_port, "Port of the client.")
        .eg(&[("src_port", Some("40000"))]),
];

fn client(cx: &EvalCtx<'_>) -> Option<SocketAddr> {
    cx.session?.src
}

fn local(cx: &EvalCtx<'_>) -> Option<SocketAddr> {
    cx.session?.dst
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
