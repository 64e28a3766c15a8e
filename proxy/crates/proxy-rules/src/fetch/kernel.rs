//! What the kernel measures on the client's connection (configuration manual, 7.3.3).

use crate::sample::args::{ArgDef, ArgKind, opt};
use crate::sample::context::TcpInfo;
use crate::sample::def::FetchFn;
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};

const AT: Validity = Validity::CLIENT;
const UNIT: &[ArgDef] = &[opt(ArgKind::Str)];

const fn count(name: &'static str, run: FetchFn, doc: &'static str) -> FetchDef {
    FetchDef::new(name, &[], Type::Sint, AT, run, doc)
}

const fn time(name: &'static str, run: FetchFn, doc: &'static str) -> FetchDef {
    FetchDef::new(name, UNIT, Type::Sint, AT, run, doc).check(check_unit)
}

pub(super) const FETCHES: &[FetchDef] = &[
    count("fc_fackets", fackets, "Segments that the client acknowledged ahead.")
        .eg(&[("fc_fackets", Some("1"))]),
    count("fc_lost", lost, "Segments to the client that seem to be lost.")
        .eg(&[("fc_lost", Some("2"))]),
    count("fc_reordering", reordering, "How far segments to the client get out of order.")
        .eg(&[("fc_reordering", Some("3"))]),
    count(
        "fc_retrans",
        retrans,
        "Segments to the client that were sent again and are on their way.",
    )
    .eg(&[("fc_retrans", Some("4"))]),
    time("fc_rtt", rtt, "Round trip time of the client, in ms or us.").eg(&[
        ("fc_rtt", Some("12")),
        ("fc_rtt(ms)", Some("12")),
        ("fc_rtt(us)", Some("12345")),
    ]),
    time("fc_rttvar", rttvar, "Variance of the client's round trip time, in ms or us.")
        .eg(&[("fc_rttvar(us)", Some("678"))]),
    count("fc_sacked", sacked, "Segments that the client acknowledged selectively.")
        .eg(&[("fc_sacked", Some("5"))]),
    FetchDef::new(
        "fc_saved_syn",
        &[],
        Type::Bin,
        AT,
        saved_syn,
        "The client's first packet, if `tcp-ss` kept it.",
    )
    .eg(&[("fc_saved_syn,ip.src", Some("192.0.2.10"))]),
    count("fc_unacked", unacked, "Segments that the client did not acknowledge yet.")
        .eg(&[("fc_unacked", Some("6"))]),
];

fn check_unit(args: &mut Args) -> Result<(), String> {
    match args.str(0) {
        None | Some(b"ms" | b"us") => Ok(()),
        Some(_) => Err("the unit must be ms or us".to_owned()),
    }
}

fn info(cx: &EvalCtx<'_>) -> Option<TcpInfo> {
    cx.client_socket?.tcp_info()
}

fn in_unit<'a>(us: u32, args: &Args) -> Option<Sample<'a>> {
    let factor = if args.str(0) == Some(b"us") { 1 } else { 1000 };
    Some(Sample::Int(i64::from(us / factor)))
}

fn rtt<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    in_unit(info(cx)?.rtt, args)
}

fn rttvar<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    in_unit(info(cx)?.rttvar, args)
}

macro_rules! counts {
    ($($name:ident)*) => {
        $(fn $name<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
            Some(Sample::Int(i64::from(info(cx)?.$name)))
        })*
    };
}

counts! { fackets lost reordering retrans sacked unacked }

fn saved_syn<'a>(cx: &EvalCtx<'a>, _: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let packet = cx.client_socket?.saved_syn().filter(|packet| !packet.is_empty())?;
    Some(Sample::Bin(cx.scratch.alloc_slice_copy(&packet)))
}
