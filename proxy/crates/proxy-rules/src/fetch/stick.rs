//! Values of stick tables: of tracked entries, and of the entry of the client's address (configuration manual, 7.3.3, 11.1).

use proxy_state::stick::data::id;

use crate::sample::args::{ArgDef, ArgKind, opt, req};
use crate::sample::{Args, Cursor, EvalCtx, FetchDef, Sample, Type, Validity};
use crate::track::{self, Op};

const ANY: Validity = Validity::of("YYYYYYYYYYYYYYYYYYYY.Y");
const NOT_CLI: Validity = Validity::of("YYYYYYYYYYYYYYYYYYYY..");

const SC: &[ArgDef] = &[req(ArgKind::Int), opt(ArgKind::Table)];
const SC_INDEX: &[ArgDef] = &[req(ArgKind::Int), req(ArgKind::Int), opt(ArgKind::Table)];
const SC_N: &[ArgDef] = &[opt(ArgKind::Table)];
const TABLE: &[ArgDef] = &[req(ArgKind::Table)];
const TABLE_INDEX: &[ArgDef] = &[req(ArgKind::Int), req(ArgKind::Table)];

/// Rows that differ in the set of counters and in the value. The examples are evaluated on an entry with one connection, one
/// request of 2048 bytes, and `gpc0` 7.
macro_rules! rows {
    ($($name:literal $args:tt $at:ident $op:ident $kind:ident $eg:literal $doc:literal;)*) => {
        pub(super) const TRACKED: &[FetchDef] = &[$(
            rows!(@sc $args $name, $at, $op, $kind, $eg, $doc)
        ),*];
        pub(super) const SOURCE: &[FetchDef] = &[$(
            rows!(@src $args $name, $op, $kind, $eg, $doc)
        ),*];
    };
    (@sc [] $name:literal, $at:ident, $op:ident, $kind:ident, $eg:literal, $doc:literal) => {
        FetchDef::new(concat!("sc_", $name), SC, Type::Sint, $at, sc::<{ Op::$op }, { id::$kind }>,
            concat!($doc, " of a tracked entry."))
            .eg(&[(concat!("sc_", $name, "(0)"), Some($eg)), (concat!("sc_", $name, "(1)"), None)])
    };
    (@sc [index] $name:literal, $at:ident, $op:ident, $kind:ident, $eg:literal, $doc:literal) => {
        FetchDef::new(concat!("sc_", $name), SC_INDEX, Type::Sint, $at, sc_index::<{ Op::$op }, { id::$kind }>,
            concat!($doc, " of a tracked entry."))
            .eg(&[(concat!("sc_", $name, "(0,0)"), None)])
    };
    (@src [] $name:literal, $op:ident, $kind:ident, $eg:literal, $doc:literal) => {
        FetchDef::new(concat!("src_", $name), TABLE, Type::Sint, NOT_CLI, src::<{ Op::$op }, { id::$kind }>,
            concat!($doc, " of the entry of the client's address."))
            .eg(&[(concat!("src_", $name), Some($eg))])
    };
    (@src [index] $name:literal, $op:ident, $kind:ident, $eg:literal, $doc:literal) => {
        FetchDef::new(concat!("src_", $name), TABLE_INDEX, Type::Sint, NOT_CLI,
            src_index::<{ Op::$op }, { id::$kind }>, concat!($doc, " of the entry of the client's address."))
            .eg(&[(concat!("src_", $name, "(0)"), None)])
    };
}

rows! {
    "bytes_in_rate" [] ANY GET BYTES_IN_RATE "2048" "Rate of bytes from clients";
    "bytes_out_rate" [] ANY GET BYTES_OUT_RATE "0" "Rate of bytes to clients";
    "clr_gpc" [index] ANY CLEAR GPC "0" "Clears and gives a general purpose counter";
    "clr_gpc0" [] ANY CLEAR GPC0 "7" "Clears and gives the first general purpose counter";
    "clr_gpc1" [] ANY CLEAR GPC1 "0" "Clears and gives the second general purpose counter";
    "conn_cnt" [] ANY GET CONN_CNT "1" "Number of connections";
    "conn_cur" [] ANY GET CONN_CUR "1" "Number of connections that live";
    "conn_rate" [] ANY GET CONN_RATE "1" "Rate of connections";
    "get_gpc" [index] ANY GET GPC "0" "A general purpose counter";
    "get_gpc0" [] ANY GET GPC0 "7" "The first general purpose counter";
    "get_gpc1" [] ANY GET GPC1 "0" "The second general purpose counter";
    "get_gpt" [index] ANY GET GPT "0" "A general purpose tag";
    "get_gpt0" [] ANY GET GPT0 "0" "The first general purpose tag";
    "glitch_cnt" [] ANY GET GLITCH_CNT "0" "Number of glitches";
    "glitch_rate" [] ANY GET GLITCH_RATE "0" "Rate of glitches";
    "gpc0_rate" [] ANY GET GPC0_RATE "0" "Rate of the first general purpose counter";
    "gpc1_rate" [] ANY GET GPC1_RATE "0" "Rate of the second general purpose counter";
    "gpc_rate" [index] ANY GET GPC_RATE "0" "Rate of a general purpose counter";
    "http_err_cnt" [] ANY GET HTTP_ERR_CNT "0" "Number of HTTP errors";
    "http_err_rate" [] ANY GET HTTP_ERR_RATE "0" "Rate of HTTP errors";
    "http_fail_cnt" [] ANY GET HTTP_FAIL_CNT "0" "Number of HTTP failures";
    "http_fail_rate" [] ANY GET HTTP_FAIL_RATE "0" "Rate of HTTP failures";
    "http_req_cnt" [] ANY GET HTTP_REQ_CNT "1" "Number of HTTP requests";
    "http_req_rate" [] ANY GET HTTP_REQ_RATE "1" "Rate of HTTP requests";
    "inc_gpc" [index] ANY INCREMENT GPC "0" "Counts in and gives a general purpose counter";
    "inc_gpc0" [] ANY INCREMENT GPC0 "8" "Counts in and gives the first general purpose counter";
    "inc_gpc1" [] ANY INCREMENT GPC1 "1" "Counts in and gives the second general purpose counter";
    "kbytes_in" [] NOT_CLI KILO BYTES_IN_CNT "2" "Kilobytes from clients";
    "kbytes_out" [] NOT_CLI KILO BYTES_OUT_CNT "0" "Kilobytes to clients";
    "sess_cnt" [] ANY GET SESS_CNT "0" "Number of sessions";
    "sess_rate" [] ANY GET SESS_RATE "0" "Rate of sessions";
}

/// Rows of one set of counters, named by its number.
macro_rules! numbered {
    ($table:ident $set:literal $prefix:literal; $($name:literal $at:ident $op:ident $kind:ident $doc:literal;)*) => {
        pub(super) const $table: &[FetchDef] = &[$(
            FetchDef::new(concat!($prefix, "_", $name), SC_N, Type::Sint, $at,
                numbered::<{ Op::$op }, { id::$kind }, $set>, $doc)
                .eg(&[(concat!($prefix, "_", $name, "(none)"), None)])
        ),*];
    };
}

macro_rules! sets {
    ($($table:ident $set:literal $prefix:literal)*) => {$(
        numbered! { $table $set $prefix;
            "bytes_in_rate" ANY GET BYTES_IN_RATE "Rate of bytes from clients.";
            "bytes_out_rate" ANY GET BYTES_OUT_RATE "Rate of bytes to clients.";
            "clr_gpc0" ANY CLEAR GPC0 "Clears and gives the first general purpose counter.";
            "clr_gpc1" ANY CLEAR GPC1 "Clears and gives the second general purpose counter.";
            "conn_cnt" ANY GET CONN_CNT "Number of connections.";
            "conn_cur" ANY GET CONN_CUR "Number of connections that live.";
            "conn_rate" ANY GET CONN_RATE "Rate of connections.";
            "get_gpc0" ANY GET GPC0 "The first general purpose counter.";
            "get_gpc1" ANY GET GPC1 "The second general purpose counter.";
            "get_gpt0" ANY GET GPT0 "The first general purpose tag.";
            "glitch_cnt" ANY GET GLITCH_CNT "Number of glitches.";
            "glitch_rate" ANY GET GLITCH_RATE "Rate of glitches.";
            "gpc0_rate" ANY GET GPC0_RATE "Rate of the first general purpose counter.";
            "gpc1_rate" ANY GET GPC1_RATE "Rate of the second general purpose counter.";
            "http_err_cnt" ANY GET HTTP_ERR_CNT "Number of HTTP errors.";
            "http_err_rate" ANY GET HTTP_ERR_RATE "Rate of HTTP errors.";
            "http_fail_cnt" ANY GET HTTP_FAIL_CNT "Number of HTTP failures.";
            "http_fail_rate" ANY GET HTTP_FAIL_RATE "Rate of HTTP failures.";
            "http_req_cnt" ANY GET HTTP_REQ_CNT "Number of HTTP requests.";
            "http_req_rate" ANY GET HTTP_REQ_RATE "Rate of HTTP requests.";
            "inc_gpc0" ANY INCREMENT GPC0 "Counts in and gives the first general purpose counter.";
            "inc_gpc1" ANY INCREMENT GPC1 "Counts in and gives the second general purpose counter.";
            "kbytes_in" NOT_CLI KILO BYTES_IN_CNT "Kilobytes from clients.";
            "kbytes_out" NOT_CLI KILO BYTES_OUT_CNT "Kilobytes to clients.";
            "sess_cnt" ANY GET SESS_CNT "Number of sessions.";
            "sess_rate" ANY GET SESS_RATE "Rate of sessions.";
        }
    )*};
}

sets! {
    SET0 0 "sc0"
    SET1 1 "sc1"
    SET2 2 "sc2"
}

/// Rows about the tracking itself, and about whole tables.
pub(super) const TABLES: &[FetchDef] = &[
    FetchDef::new("sc0_key", &[], Type::Any, ANY, numbered_key::<0>, "Key of the entry of set 0.")
        .eg(&[("sc0_key", Some("192.0.2.10"))]),
    FetchDef::new(
        "sc0_tracked",
        SC_N,
        Type::Bool,
        ANY,
        numbered_tracked::<0>,
        "True when set 0 tracks.",
    )
    .eg(&[("sc0_tracked", Some("1"))]),
    FetchDef::new(
        "sc0_trackers",
        SC_N,
        Type::Sint,
        ANY,
        numbered_trackers::<0>,
        "Who tracks the entry of set 0.",
    )
    .eg(&[("sc0_trackers", Some("1"))]),
    FetchDef::new(
        "sc1_clr_gpc",
        SC,
        Type::Sint,
        ANY,
        clear_of_one,
        "Clears and gives a general purpose counter of the entry of set 1.",
    )
    .eg(&[("sc1_clr_gpc(0)", None)]),
    FetchDef::new("sc1_key", &[], Type::Any, ANY, numbered_key::<1>, "Key of the entry of set 1.")
        .eg(&[("sc1_key", None)]),
    FetchDef::new(
        "sc1_tracked",
        SC_N,
        Type::Bool,
        ANY,
        numbered_tracked::<1>,
        "True when set 1 tracks.",
    )
    .eg(&[("sc1_tracked", Some("0"))]),
    FetchDef::new(
        "sc1_trackers",
        SC_N,
        Type::Sint,
        ANY,
        numbered_trackers::<1>,
        "Who tracks the entry of set 1.",
    )
    .eg(&[("sc1_trackers", None)]),
    FetchDef::new("sc2_key", &[], Type::Any, ANY, numbered_key::<2>, "Key of the entry of set 2.")
        .eg(&[("sc2_key", None)]),
    FetchDef::new(
        "sc2_tracked",
        SC_N,
        Type::Bool,
        ANY,
        numbered_tracked::<2>,
        "True when set 2 tracks.",
    )
    .eg(&[("sc2_tracked", Some("0"))]),
    FetchDef::new(
        "sc2_trackers",
        SC_N,
        Type::Sint,
        ANY,
        numbered_trackers::<2>,
        "Who tracks the entry of set 2.",
    )
    .eg(&[("sc2_trackers", None)]),
    FetchDef::new(
        "sc_key",
        &[req(ArgKind::Int)],
        Type::Any,
        ANY,
        sc_key,
        "Key of a tracked entry.",
    )
    .eg(&[("sc_key(0)", Some("192.0.2.10"))]),
    FetchDef::new(
        "sc_tracked",
        SC,
        Type::Bool,
        ANY,
        sc_tracked,
        "True when a set of counters tracks.",
    )
    .eg(&[("sc_tracked(0)", Some("1")), ("sc_tracked(1)", Some("0"))]),
    FetchDef::new("sc_trackers", SC, Type::Sint, ANY, sc_trackers, "Who tracks a tracked entry.")
        .eg(&[("sc_trackers(0)", Some("1"))]),
    FetchDef::new(
        "src_updt_conn_cnt",
        TABLE,
        Type::Sint,
        NOT_CLI,
        src::<{ Op::INCREMENT }, { id::CONN_CNT }>,
        "Counts in and gives the connections of the client's address.",
    )
    .eg(&[("src_updt_conn_cnt", Some("2"))]),
    FetchDef::new("table_avl", TABLE, Type::Sint, ANY, table_avl, "Free entries of a table.")
        .eg(&[("table_avl", Some("9"))]),
    FetchDef::new("table_cnt", TABLE, Type::Sint, ANY, table_cnt, "Entries of a table.")
        .eg(&[("table_cnt", Some("1"))]),
];

/// Applies `op` to the entry of set `set`, or to the entry of its key in the table that argument `table` names.
fn of_set<'a>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    set: i64,
    table: usize,
    (op, kind, index): (u8, usize, i64),
) -> Option<Sample<'a>> {
    let held = track::tracked(cx, u8::try_from(set).ok()?)?;
    let table = if args.is_given(table) { args.table(table, cx)? } else { &held.table };
    let index = u16::try_from(index).ok()?;
    let value = track::apply(op, table, &held.entry.key, kind, index, cx.clock.now)?;
    Some(Sample::Int(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn sc<'a, const OP: u8, const ID: usize>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    of_set(cx, args, args.int(0)?, 1, (OP, ID, 0))
}

fn sc_index<'a, const OP: u8, const ID: usize>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    of_set(cx, args, args.int(1)?, 2, (OP, ID, args.int(0)?))
}

fn numbered<'a, const OP: u8, const ID: usize, const SET: i64>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    of_set(cx, args, SET, 0, (OP, ID, 0))
}

fn clear_of_one<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    of_set(cx, args, 1, 1, (Op::CLEAR, id::GPC, args.int(0)?))
}

/// Applies `op` to the entry of the client's address.
fn of_source<'a>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    table: usize,
    (op, kind, index): (u8, usize, i64),
) -> Option<Sample<'a>> {
    let table = args.table(table, cx)?;
    let source = Sample::from(cx.session?.src?.ip());
    let key = track::key(table, source, cx.scratch)?;
    let index = u16::try_from(index).ok()?;
    let value = track::apply(op, table, &key, kind, index, cx.clock.now)?;
    Some(Sample::Int(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn src<'a, const OP: u8, const ID: usize>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    of_source(cx, args, 0, (OP, ID, 0))
}

fn src_index<'a, const OP: u8, const ID: usize>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    of_source(cx, args, 1, (OP, ID, args.int(0)?))
}

fn key_of<'a>(cx: &EvalCtx<'a>, set: i64) -> Option<Sample<'a>> {
    let held = track::tracked(cx, u8::try_from(set).ok()?)?;
    track::sample(&held.table, &held.entry.key, cx.scratch)
}

fn is_tracked<'a>(cx: &EvalCtx<'a>, args: &'a Args, set: i64, table: usize) -> Option<Sample<'a>> {
    let held = u8::try_from(set).ok().and_then(|set| track::tracked(cx, set));
    let tracked = match (held, args.is_given(table)) {
        (None, _) => false,
        (Some(_), false) => true,
        (Some(held), true) => args.table(table, cx)?.get(&held.entry.key, cx.clock.now).is_some(),
    };
    Some(Sample::Bool(tracked))
}

fn trackers<'a>(cx: &EvalCtx<'a>, args: &'a Args, set: i64, table: usize) -> Option<Sample<'a>> {
    let held = track::tracked(cx, u8::try_from(set).ok()?)?;
    let count = match args.is_given(table) {
        false => held.entry.trackers(),
        true => args
            .table(table, cx)?
            .get(&held.entry.key, cx.clock.now)
            .map_or(0, |entry| entry.trackers()),
    };
    Some(Sample::Int(i64::from(count)))
}

fn numbered_key<'a, const SET: i64>(
    cx: &EvalCtx<'a>,
    _: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    key_of(cx, SET)
}

fn numbered_tracked<'a, const SET: i64>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    is_tracked(cx, args, SET, 0)
}

fn numbered_trackers<'a, const SET: i64>(
    cx: &EvalCtx<'a>,
    args: &'a Args,
    _: &mut Cursor,
) -> Option<Sample<'a>> {
    trackers(cx, args, SET, 0)
}

fn sc_key<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    key_of(cx, args.int(0)?)
}

fn sc_tracked<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    is_tracked(cx, args, args.int(0)?, 1)
}

fn sc_trackers<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    trackers(cx, args, args.int(0)?, 1)
}

fn table_avl<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    let table = args.table(0, cx)?;
    Some(Sample::Int(table.spec.size.saturating_sub(table.used()) as i64))
}

fn table_cnt<'a>(cx: &EvalCtx<'a>, args: &'a Args, _: &mut Cursor) -> Option<Sample<'a>> {
    Some(Sample::Int(args.table(0, cx)?.used() as i64))
}
