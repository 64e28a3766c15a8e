//! Values of the entry that a value is the key of (configuration manual, 7.3.1, 11.1).

use proxy_state::stick::data::id;

use crate::sample::args::{ArgDef, ArgKind, opt, req};
use crate::sample::{Args, ConvDef, EvalCtx, Sample, Type};
use crate::track::{self, Op};

const TABLE: &[ArgDef] = &[req(ArgKind::Table)];
const INDEX: &[ArgDef] = &[req(ArgKind::Int), req(ArgKind::Table)];
const DEFAULT: &[ArgDef] = &[req(ArgKind::Table), opt(ArgKind::Int)];

macro_rules! rows {
    ($($name:literal $args:ident $run:ident $op:ident $kind:ident $doc:literal;)*) => {
        /// Rows that give one value of an entry.
        pub(super) const VALUES: &[ConvDef] = &[$(
            ConvDef::new(concat!("table_", $name), $args, Type::Any, Type::Sint,
                $run::<{ Op::$op }, { id::$kind }>, concat!($doc, " of the entry of a key."))
                .eg(&rows!(@eg $args $name))
        ),*];
    };
    (@eg TABLE $name:literal) => { [(concat!("src,table_", $name, "(none)"), None)] };
    (@eg INDEX $name:literal) => { [(concat!("src,table_", $name, "(0,none)"), None)] };
}

rows! {
    "bytes_in_rate" TABLE value GET BYTES_IN_RATE "Rate of bytes from clients";
    "bytes_out_rate" TABLE value GET BYTES_OUT_RATE "Rate of bytes to clients";
    "clr_gpc" INDEX indexed CLEAR GPC "Clears and gives a general purpose counter";
    "clr_gpc0" TABLE value CLEAR GPC0 "Clears and gives the first general purpose counter";
    "clr_gpc1" TABLE value CLEAR GPC1 "Clears and gives the second general purpose counter";
    "conn_cnt" TABLE value GET CONN_CNT "Number of connections";
    "conn_cur" TABLE value GET CONN_CUR "Number of connections that live";
    "conn_rate" TABLE value GET CONN_RATE "Rate of connections";
    "glitch_cnt" TABLE value GET GLITCH_CNT "Number of glitches";
    "glitch_rate" TABLE value GET GLITCH_RATE "Rate of glitches";
    "gpc" INDEX indexed GET GPC "A general purpose counter";
    "gpc0" TABLE value GET GPC0 "The first general purpose counter";
    "gpc0_rate" TABLE value GET GPC0_RATE "Rate of the first general purpose counter";
    "gpc1" TABLE value GET GPC1 "The second general purpose counter";
    "gpc1_rate" TABLE value GET GPC1_RATE "Rate of the second general purpose counter";
    "gpc_rate" INDEX indexed GET GPC_RATE "Rate of a general purpose counter";
    "gpt" INDEX indexed GET GPT "A general purpose tag";
    "gpt0" TABLE value GET GPT0 "The first general purpose tag";
    "http_err_cnt" TABLE value GET HTTP_ERR_CNT "Number of HTTP errors";
    "http_err_rate" TABLE value GET HTTP_ERR_RATE "Rate of HTTP errors";
    "http_fail_cnt" TABLE value GET HTTP_FAIL_CNT "Number of HTTP failures";
    "http_fail_rate" TABLE value GET HTTP_FAIL_RATE "Rate of HTTP failures";
    "http_req_cnt" TABLE value GET HTTP_REQ_CNT "Number of HTTP requests";
    "http_req_rate" TABLE value GET HTTP_REQ_RATE "Rate of HTTP requests";
    "inc_gpc" INDEX indexed INCREMENT GPC "Counts in and gives a general purpose counter";
    "inc_gpc0" TABLE value INCREMENT GPC0 "Counts in and gives the first general purpose counter";
    "inc_gpc1" TABLE value INCREMENT GPC1 "Counts in and gives the second general purpose counter";
    "kbytes_in" TABLE value KILO BYTES_IN_CNT "Kilobytes from clients";
    "kbytes_out" TABLE value KILO BYTES_OUT_CNT "Kilobytes to clients";
    "server_id" TABLE value GET SERVER_ID "Number of the server";
    "sess_cnt" TABLE value GET SESS_CNT "Number of sessions";
    "sess_rate" TABLE value GET SESS_RATE "Rate of sessions";
}

/// Rows about the entry itself.
pub(super) const ENTRIES: &[ConvDef] = &[
    ConvDef::new(
        "in_table",
        TABLE,
        Type::Any,
        Type::Bool,
        in_table,
        "True when a table has an entry of this key.",
    )
    .eg(&[("src,in_table", Some("1")), ("dst,in_table(fe)", Some("0"))]),
    ConvDef::new(
        "table_expire",
        DEFAULT,
        Type::Any,
        Type::Sint,
        table_expire,
        "Milliseconds until the entry of a key expires.",
    )
    .eg(&[("src,table_expire(fe)", Some("30000")), ("dst,table_expire(fe,5)", Some("5"))]),
    ConvDef::new(
        "table_idle",
        DEFAULT,
        Type::Any,
        Type::Sint,
        table_idle,
        "Milliseconds since the entry of a key was used.",
    )
    .eg(&[("src,table_idle(fe)", Some("0")), ("dst,table_idle(fe)", None)]),
    ConvDef::new(
        "table_trackers",
        TABLE,
        Type::Any,
        Type::Sint,
        table_trackers,
        "Who tracks the entry of a key.",
    )
    .eg(&[("src,table_trackers(fe)", Some("1")), ("dst,table_trackers", Some("0"))]),
];

fn apply<'a>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    table: usize,
    value: Sample<'a>,
    (op, kind, index): (u8, usize, i64),
) -> Option<Sample<'a>> {
    let table = args.table(table, cx)?;
    let key = track::key(table, value, cx.scratch)?;
    let value = track::apply(op, table, &key, kind, u16::try_from(index).ok()?, cx.clock.now)?;
    Some(Sample::Int(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn value<'a, const OP: u8, const ID: usize>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    value: Sample<'a>,
) -> Option<Sample<'a>> {
    apply(cx, args, 0, value, (OP, ID, 0))
}

fn indexed<'a, const OP: u8, const ID: usize>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    value: Sample<'a>,
) -> Option<Sample<'a>> {
    apply(cx, args, 1, value, (OP, ID, args.int(0)?))
}

fn in_table<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let table = args.table(0, cx)?;
    let key = track::key(table, value, cx.scratch)?;
    Some(Sample::Bool(table.get(&key, cx.clock.now).is_some()))
}

fn table_expire<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let table = args.table(0, cx)?;
    let key = track::key(table, value, cx.scratch)?;
    let left = table.get(&key, cx.clock.now).map(|e| table.expires_in(&e, cx.clock.now) as i64);
    left.or_else(|| args.int(1)).map(Sample::Int)
}

fn table_idle<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let table = args.table(0, cx)?;
    let key = track::key(table, value, cx.scratch)?;
    let idle = table.get(&key, cx.clock.now).map(|e| e.idle_ms(cx.clock.now) as i64);
    idle.or_else(|| args.int(1)).map(Sample::Int)
}

fn table_trackers<'a>(cx: &EvalCtx<'a>, args: &'a Args, value: Sample<'a>) -> Option<Sample<'a>> {
    let table = args.table(0, cx)?;
    let key = track::key(table, value, cx.scratch)?;
    let trackers = table.get(&key, cx.clock.now).map_or(0, |entry| entry.trackers());
    Some(Sample::Int(i64::from(trackers)))
}
