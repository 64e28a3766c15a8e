//! The streams of both connections as their protocols see them (configuration manual, 7.3.5).

use std::fmt::Write as _;

use super::tls::{Back, Front, Side};
use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::value::display;
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const LAYERS: &[ArgDef] = &[opt(ArgKind::Int)];

pub(super) const FETCHES: &[FetchDef] = &[
    FetchDef::new(
        "bs.aborted",
        &[],
        Type::Sint,
        Validity::SERVER_CONN,
        aborted::<Back>,
        "True when the server gave the stream up.",
    )
    .eg(&[("bs.aborted", Some("0"))]),
    FetchDef::new(
        "bs.debug_str",
        LAYERS,
        Type::Str,
        Validity::SERVER_CONN,
        layers::<Back>,
        "State of the layers below the stream to the server, for people.",
    )
    .check(check_layers)
    .eg(&[("bs.debug_str(1)", Some("id=1 aborted=0"))]),
    FetchDef::new(
        "bs.id",
        &[],
        Type::Sint,
        Validity::SERVER_CONN,
        back_id,
        "Number of the stream on the server's connection.",
    )
    .eg(&[("bs.id", Some("1"))]),
    FetchDef::new(
        "bs.rst_code",
        &[],
        Type::Sint,
        Validity::SERVER_CONN,
        reset::<Back>,
        "Code that the server reset the stream with.",
    )
    .eg(&[("bs.rst_code", None)]),
    FetchDef::new(
        "fs.aborted",
        &[],
        Type::Sint,
        Validity::CLIENT_SESSION,
        aborted::<Front>,
        "True when the client gave the stream up.",
    )
    .eg(&[("fs.aborted", Some("1"))]),
    FetchDef::new(
        "fs.debug_str",
        LAYERS,
        Type::Str,
        Validity::CLIENT_SESSION,
        layers::<Front>,
        "State of the layers below the client's stream, for people.",
    )
    .check(check_layers)
    .eg(&[
        ("fs.debug_str(1)", Some("id=3 aborted=1 rst=8")),
        ("fs.debug_str(3)", Some("id=3 aborted=1 rst=8 streams=2/100 glitches=3")),
        ("fs.debug_str(8)", Some("src=192.0.2.10:40000 dst=198.51.100.1:80 err=31")),
    ]),
    FetchDef::new(
        "fs.id",
        &[],
        Type::Str,
        Validity::CLIENT_SESSION,
        front_id,
        "Number of the stream on the client's connection.",
    )
    .eg(&[("fs.id", Some("3"))]),
    FetchDef::new(
        "fs.rst_code",
        &[],
        Type::Sint,
        Validity::CLIENT_SESSION,
        reset::<Front>,
        "Code that the client reset the stream with.",
    )
    .eg(&[("fs.rst_code", Some("8"))]),
];

/// What tells that a peer gave up, beside its protocol.
trait End: Side {
    /// Letter of its aborts in termination states, and in which phases it is one.
    const CAUSE: (u8, &'static [u8]);
}

impl End for Front {
    const CAUSE: (u8, &'static [u8]) = (b'C', b"RQCHDL");
}

impl End for Back {
    // A server that did not take the connection gave no stream up.
    const CAUSE: (u8, &'static [u8]) = (b'S', b"HDL");
}

fn gave_up<E: End>(cx: &EvalCtx<'_>) -> Option<bool> {
    let socket = E::socket(cx)?;
    let ended = || {
        cx.known().is_some_and(|facts| {
            let end = facts.termination;
            end.cause == E::CAUSE.0 && E::CAUSE.1.contains(&end.phase)
        })
    };
    Some(socket.stream().aborted || ended())
}

fn aborted<'a, E: End>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    gave_up::<E>(cx).map(Sample::Bool)
}

fn back_id<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(Back::socket(cx)?.stream().id)))
}

fn front_id<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let id = Front::socket(cx)?.stream().id;
    Some(Sample::Str(display(cx.scratch, format_args!("{id}"))))
}

fn reset<'a, E: End>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(i64::from(E::socket(cx)?.stream().reset?)))
}

/// Numbers of the layers (configuration manual, 7.3.5 "fs.debug_str").
const STREAM: i64 = 1;
const MUX: i64 = 2;
const TRANSPORT: i64 = 4;
const CONNECTION: i64 = 8;
const SOCKET: i64 = 16;
const ALL: i64 = STREAM | MUX | TRANSPORT | CONNECTION | SOCKET;

fn check_layers(args: &mut Args) -> Result<(), String> {
    match args.int(0) {
        None | Some(0..=ALL) => Ok(()),
        Some(n) => Err(format!("no layers have the number {n} (0 to {ALL} is expected)")),
    }
}

fn layers<'a, E: End>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let socket = E::socket(cx)?;
    let wanted = args.int(0).filter(|layers| *layers != 0).unwrap_or(ALL);
    let has = |layer| wanted & layer != 0;
    let mut text = bumpalo::collections::String::new_in(cx.scratch);
    // Writing to memory does not fail.
    if has(STREAM) {
        let stream = socket.stream();
        let aborted = u8::from(gave_up::<E>(cx).unwrap_or(false));
        let _ = write!(text, " id={} aborted={aborted}", stream.id);
        if let Some(code) = stream.reset {
            let _ = write!(text, " rst={code}");
        }
    }
    if let Some(link) = E::link(cx).filter(|_| has(MUX)) {
        let (streams, limit) = (link.streams.get(), link.limit.get());
        let _ = write!(text, " streams={streams}/{limit} glitches={}", link.glitches.get());
    }
    if has(TRANSPORT) {
        match E::connection(cx).and_then(|connection| connection.tls.as_deref()) {
            Some(tls) => {
                let tls = tls.by_now();
                let _ = write!(text, " tls={} cipher={}", tls.version, tls.cipher);
            }
            None => text.push_str(" tls=none"),
        }
    }
    if has(CONNECTION) {
        let session = cx.session;
        let known = cx.known();
        let (src, dst) = match E::CAUSE.0 {
            b'C' => (session.and_then(|s| s.src), session.and_then(|s| s.dst)),
            _ => known.map_or((None, None), |facts| (facts.backend_src, facts.backend_dst)),
        };
        for (name, addr) in [("src", src), ("dst", dst)] {
            if let Some(addr) = addr {
                let _ = write!(text, " {name}={addr}");
            }
        }
        if let Some(error) = E::connection(cx).map(|c| c.error).filter(|error| *error != 0) {
            let _ = write!(text, " err={error}");
        }
    }
    if let Some(info) = has(SOCKET).then(|| socket.tcp_info()).flatten() {
        let (rtt, retrans, unacked) = (info.rtt, info.retrans, info.unacked);
        let _ = write!(text, " rtt={rtt}us retrans={retrans} unacked={unacked}");
    }
    Some(Sample::Str(text.into_bump_str().trim_start().as_bytes()))
}
