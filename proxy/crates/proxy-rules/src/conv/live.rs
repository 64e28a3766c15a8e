//! Live objects that a value names (configuration manual, 7.3.1).

use std::sync::Arc;

use proxy_state::Server;
use proxy_state::server::OpState;

use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};

pub(super) const CONVS: &[ConvDef] = &[
    ConvDef::new(
        "fe_exists",
        &[],
        Type::Str,
        Type::Bool,
        fe_exists,
        "True when a frontend has this name.",
    )
    .eg(&[("str(fe),fe_exists", Some("1")), ("str(none),fe_exists", Some("0"))]),
    ConvDef::new(
        "nbsrv",
        &[],
        Type::Str,
        Type::Sint,
        nbsrv,
        "Usable servers of the backend of this name.",
    )
    .eg(&[("str(be),nbsrv", Some("2")), ("str(none),nbsrv", None)]),
    ConvDef::new(
        "srv_is_up",
        &[],
        Type::Str,
        Type::Bool,
        srv_is_up,
        "True when the server `[backend/]server` is up.",
    )
    .eg(&[
        ("str(be/s1),srv_is_up", Some("1")),
        ("str(s2),srv_is_up", Some("1")),
        ("str(be/none),srv_is_up", None),
    ]),
    ConvDef::new(
        "srv_queue",
        &[],
        Type::Str,
        Type::Sint,
        srv_queue,
        "Requests queued in the server `[backend/]server`.",
    )
    .eg(&[("str(be/s1),srv_queue", Some("0"))]),
];

fn name<'a>(value: Sample<'a>) -> Option<&'a str> {
    std::str::from_utf8(value.bytes()?).ok()
}

fn server(cx: &EvalCtx<'_>, value: Sample<'_>) -> Option<Arc<Server>> {
    match name(value)?.split_once('/') {
        Some((backend, server)) => cx.shared.registry.backend(backend)?.server(server),
        None => cx.backend?.server(name(value)?),
    }
}

fn fe_exists<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Bool(cx.shared.registry.frontend(name(value)?).is_some()))
}

fn nbsrv<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let farm = cx.shared.registry.backend(name(value)?)?.farm();
    Some(Sample::Int(i64::from(if farm.active > 0 { farm.active } else { farm.backup })))
}

fn srv_is_up<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Bool(server(cx, value)?.op_state() != OpState::Stopped))
}

fn srv_queue<'a>(cx: &EvalCtx<'a>, _: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(server(cx, value)?.queued.get())))
}
