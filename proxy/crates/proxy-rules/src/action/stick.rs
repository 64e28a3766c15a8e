//! Actions on stick tables: tracking, and counters and tags of what is tracked (configuration manual, 4.4).

use std::sync::Arc;

use proxy_state::stick::Table;
use proxy_state::stick::data::id;
use proxy_types::Diagnostic;

use super::def::{Act, ActionArgs, ActionDef, SetKind, Sets};
use super::env::{Flow, RuleEnv};
use crate::sample::args::TableRef;
use crate::sample::def::Cursor;
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, Expr, ParseCx, Parsed};
use crate::track::{self, Life};

const SETS: Sets = Sets::of(".YYYYYYY");
const TRACKING: Sets = Sets::of(".YYY.YY.");

const fn tracks(name: &'static str, parse: super::def::ParseFn) -> ActionDef {
    ActionDef {
        name,
        sets: TRACKING,
        parse,
        syntax: "<key> [table <table>]",
        doc: "Counts events of this connection or request in the entry of a key.",
    }
}

pub(super) const ACTIONS: &[ActionDef] = &[
    ActionDef {
        name: "sc-add-gpc",
        sets: SETS,
        parse: |args, cx| {
            let (index, set) = pair(args, cx)?;
            let value = amount(args, cx)?;
            Ok(Box::new(Change { set, index, kind: id::GPC, value: Value::Add(value) }))
        },
        syntax: "(<idx>,<sc-id>) { <int> | <expr> }",
        doc: "Adds to a general purpose counter of a tracked entry.",
    },
    ActionDef {
        name: "sc-inc-gpc",
        sets: SETS,
        parse: |args, cx| {
            let (index, set) = pair(args, cx)?;
            Ok(Box::new(Change { set, index, kind: id::GPC, value: Value::Add(Amount::Fixed(1)) }))
        },
        syntax: "(<idx>,<sc-id>)",
        doc: "Counts in a general purpose counter of a tracked entry.",
    },
    ActionDef {
        name: "sc-inc-gpc0",
        sets: SETS,
        parse: |args, cx| {
            let set = single(args, cx)?;
            Ok(Box::new(Change {
                set,
                index: 0,
                kind: id::GPC0,
                value: Value::Add(Amount::Fixed(1)),
            }))
        },
        syntax: "(<sc-id>)",
        doc: "Counts in the first general purpose counter of a tracked entry.",
    },
    ActionDef {
        name: "sc-inc-gpc1",
        sets: SETS,
        parse: |args, cx| {
            let set = single(args, cx)?;
            Ok(Box::new(Change {
                set,
                index: 0,
                kind: id::GPC1,
                value: Value::Add(Amount::Fixed(1)),
            }))
        },
        syntax: "(<sc-id>)",
        doc: "Counts in the second general purpose counter of a tracked entry.",
    },
    ActionDef {
        name: "sc-set-gpt",
        sets: SETS,
        parse: |args, cx| {
            let (index, set) = pair(args, cx)?;
            let value = amount(args, cx)?;
            Ok(Box::new(Change { set, index, kind: id::GPT, value: Value::Set(value) }))
        },
        syntax: "(<idx>,<sc-id>) { <int> | <expr> }",
        doc: "Sets a general purpose tag of a tracked entry.",
    },
    ActionDef {
        name: "sc-set-gpt0",
        sets: SETS,
        parse: |args, cx| {
            let set = single(args, cx)?;
            let value = amount(args, cx)?;
            Ok(Box::new(Change { set, index: 0, kind: id::GPT0, value: Value::Set(value) }))
        },
        syntax: "(<sc-id>) { <int> | <expr> }",
        doc: "Sets the first general purpose tag of a tracked entry.",
    },
    tracks("track-sc0", track),
    tracks("track-sc1", track),
    tracks("track-sc2", track),
];

/// `track-sc3` and so on, which `tune.stick-counters` makes possible.
static TRACK_MORE: ActionDef = tracks(TRACK, track);
const TRACK: &str = "track-sc";

/// The row of an action that tracks as a set beyond the first three.
pub(super) fn track_more(name: &str) -> Option<&'static ActionDef> {
    let number = name.strip_prefix(TRACK)?;
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number.then_some(&TRACK_MORE)
}

/// A number between the parentheses.
fn number(args: &ActionArgs<'_, '_>, text: &str, high: u16) -> Parsed<u16> {
    match text.trim().parse() {
        Ok(n) if n <= high => Ok(n),
        _ => fail(
            Diagnostic::alert(format!(
                "{}: '{text}' is not a number from 0 to {high}",
                args.what()
            ))
            .at(args.span()),
        ),
    }
}

/// The number of a set of counters.
fn set(args: &ActionArgs<'_, '_>, text: &str, cx: &ParseCx<'_>) -> Parsed<u8> {
    let Some(last) = cx.counters.checked_sub(1) else {
        let message = format!("{}: 'tune.stick-counters' allows no counters", args.what());
        return fail(Diagnostic::alert(message).at(args.span()));
    };
    Ok(number(args, text, u16::from(last))? as u8)
}

fn single(args: &ActionArgs<'_, '_>, cx: &ParseCx<'_>) -> Parsed<u8> {
    let text = show(args.paren("<sc-id>")?.value).into_owned();
    set(args, &text, cx)
}

fn pair(args: &ActionArgs<'_, '_>, cx: &ParseCx<'_>) -> Parsed<(u16, u8)> {
    let text = show(args.paren("<idx>,<sc-id>")?.value).into_owned();
    let (index, set) = text.split_once(',').unwrap_or((&text, ""));
    Ok((number(args, index, 99)?, self::set(args, set, cx)?))
}

/// A number of 32 bits, or an expression that gives one.
#[derive(Debug)]
enum Amount {
    Fixed(u32),
    Of(Expr),
}

impl Amount {
    fn value(&self, cx: &EvalCtx<'_>) -> Option<u32> {
        match self {
            Self::Fixed(n) => Some(*n),
            Self::Of(expr) => u32::try_from(expr.eval(cx)?.int()?).ok(),
        }
    }
}

fn amount(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Amount> {
    if let Some(n) = args.peek().and_then(|word| show(word.value).parse().ok()) {
        args.take();
        return Ok(Amount::Fixed(n));
    }
    Ok(Amount::Of(args.expr(cx)?))
}

#[derive(Debug)]
enum Value {
    Add(Amount),
    Set(Amount),
}

/// A change of one value of a tracked entry.
#[derive(Debug)]
struct Change {
    set: u8,
    index: u16,
    kind: usize,
    value: Value,
}

impl Act for Change {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let cx = env.cx();
        let now = cx.clock.now;
        let Some(held) = track::tracked(&cx, self.set) else { return Flow::Next };
        let slot = held.table.slot(self.kind, self.index);
        match &self.value {
            Value::Set(amount) => {
                if let (Some(slot), Some(n)) = (slot, amount.value(&cx)) {
                    held.table.update(&held.entry, |values| values.set(slot, u64::from(n), now));
                }
            }
            Value::Add(amount) => {
                let rate = track::rate_of(self.kind).and_then(|k| held.table.slot(k, self.index));
                if let Some(n) = amount.value(&cx) {
                    held.table.update(&held.entry, |values| {
                        for slot in [slot, rate].into_iter().flatten() {
                            values.add(slot, u64::from(n), now);
                        }
                    });
                }
            }
        }
        held.table.touch(&held.entry, now);
        Flow::Next
    }
}

#[derive(Debug)]
struct Track {
    set: u8,
    life: Life,
    /// The request counts, too.
    http: bool,
    /// Content that is not there yet is waited for.
    waits: bool,
    key: Expr,
    table: TableRef,
}

fn track(args: &mut ActionArgs<'_, '_>, cx: &mut ParseCx<'_>) -> Parsed<Box<dyn Act>> {
    let span = args.span();
    let set = set(args, args.name().strip_prefix(TRACK).unwrap_or_default(), cx)?;
    let key = args.expr(cx)?;
    let named = match args.take_keyword("table") {
        true => Some(args.text("the name of a table")?),
        false => None,
    };
    let table = match named {
        Some((name, span)) => TableRef::named(&name, span, cx),
        None => TableRef::named(cx.section, span, cx),
    };
    let (life, http) = match args.kind {
        SetKind::TcpConnection | SetKind::TcpSession => (Life::Session, false),
        _ => (Life::Stream, true),
    };
    let waits = matches!(args.kind, SetKind::TcpRequest | SetKind::TcpResponse);
    Ok(Box::new(Track { set, life, http, waits, key, table }))
}

impl Act for Track {
    fn run<'a>(&'a self, env: &mut RuleEnv<'_, 'a>) -> Flow<'a> {
        let has_request = env.request.is_some();
        let cx = env.cx();
        let Some(table) = self.table.get(&cx) else { return Flow::Next };
        let table: &Arc<Table> = table;
        let mut cursor = Cursor::default();
        let Some(value) = self.key.next(&cx, &mut cursor) else {
            let later = self.waits && cursor.may_change && !cx.complete;
            return if later { Flow::Wait } else { Flow::Next };
        };
        if track::track(&cx, self.life, self.set, table, value)
            && self.http
            && has_request
            && let Some(held) = track::tracked(&cx, self.set)
        {
            held.count(id::HTTP_REQ_CNT, id::HTTP_REQ_RATE, 1, cx.clock.now);
        }
        Flow::Next
    }
}
