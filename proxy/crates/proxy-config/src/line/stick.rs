//! `stick-table` and `stick` (configuration manual, 11.1 and 4.2).

use std::time::Duration;

use proxy_state::stick::data::{self, Form};
use proxy_state::stick::{KeyType, ServerKey, Store};
use proxy_types::{Diagnostic, Spanned, size, text, time};

use super::rules::condition;
use crate::args::Args;
use crate::context::{Context, Parsed};
use crate::keyword::{On, Row, row};
use crate::lexer::{Word, sub_span};
use crate::model::{Proxy, StickRule, StickTable, StoreWhen};

type Parse = fn(&mut Context<'_>, &mut Proxy, &mut Args<'_>) -> Parsed;

/// Elements of an array at most.
const ELEMENTS: u16 = 100;
/// Bytes of a key at most.
const KEY_MAX: u32 = 16_384;

pub(crate) const STICK: &[Row<Parse>] = &[
    row(
        "stick",
        On::BE,
        "{on|match|store-request|store-response} <pattern> [table <table>] [{if|unless} <condition>]",
        "4.2",
        "binds clients to servers by entries of a table",
        stick,
    ),
    row(
        "stick-table",
        On::FE_BE,
        "type <type> size <size> [expire <expire>] [args...]",
        "11.1",
        "a table of counters and servers by key",
        stick_table,
    ),
];

fn stick_table(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    if let Some(before) = &proxy.stick_table {
        let message = format!("{}: there is a stick table already", proxy.label());
        return Err(cx.report(
            Diagnostic::alert(message).at(args.span()).label(before.span, "first declared here"),
        ));
    }
    proxy.stick_table = Some(table(cx, args)?);
    Ok(())
}

/// The settings of a table.
pub(crate) fn table(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<StickTable> {
    const WORDS: [&str; 11] = [
        "type",
        "size",
        "expire",
        "nopurge",
        "recv-only",
        "write-to",
        "srvkey",
        "store",
        "brates-factor",
        "peers",
        "string",
    ];
    let span = args.span();
    let (mut key, mut entries) = (None, None);
    let mut table = StickTable {
        span,
        key: KeyType::Integer,
        size: Spanned::new(0, span),
        expire: None,
        nopurge: false,
        server_key: ServerKey::Name,
        stores: Vec::new(),
        brates_factor: 1,
        peers: None,
        recv_only: false,
        write_to: None,
    };
    while let Some(word) = args.optional() {
        match word.value.as_str() {
            "type" => key = Some(key_type(cx, args)?),
            "size" => {
                let word = args.word(cx, "a number of entries after 'size'")?;
                match size::parse_size(&word.value) {
                    Ok(n @ 1..) => entries = Some(Spanned::new(n, word.span)),
                    Ok(0) => return Err(args.wrong(cx, word.span, "a table without room")),
                    Err(error) => {
                        let message = format!("{error} in 'size {}'", word.value);
                        return Err(args.wrong(cx, word.span, message));
                    }
                }
            }
            "expire" => {
                let value = args.timer(cx)?;
                if value.is_zero() {
                    return Err(args.wrong(cx, value.span, "'expire' has to be longer than 0"));
                }
                table.expire = Some(value.value);
            }
            "nopurge" => table.nopurge = true,
            "srvkey" => {
                const KEYS: &[(&str, ServerKey)] =
                    &[("addr", ServerKey::Addr), ("name", ServerKey::Name)];
                table.server_key = args.choice(cx, KEYS)?.value;
            }
            "store" => {
                let list = args.word(cx, "data types after 'store'")?;
                stores(cx, args, list, &mut table.stores)?;
            }
            "brates-factor" => table.brates_factor = args.number(cx, 1..=1024u32)?.value,
            "peers" => table.peers = Some(args.string(cx, "the name of a 'peers' section")?),
            "recv-only" => table.recv_only = true,
            "write-to" => table.write_to = Some(args.string(cx, "the name of a table")?),
            other => {
                let near = text::nearest(other, WORDS);
                let message = format!("'{}' : unknown argument '{other}'", args.name());
                return Err(cx.report(Diagnostic::alert(message).at(word.span).did_you_mean(near)));
            }
        }
    }
    let (Some(key), Some(entries)) = (key, entries) else {
        return Err(args.wrong(cx, span, "'type' and 'size' are missing or one of them is"));
    };
    (table.key, table.size) = (key, entries);
    if let Err((kind, array)) = single_or_array(&table.stores) {
        let message = format!("'{kind}' and the array '{array}' exclude each other");
        return Err(args.wrong(cx, span, message));
    }
    Ok(table)
}

/// Arrays take the place of the data types that they extend.
fn single_or_array(stores: &[Store]) -> Result<(), (&'static str, &'static str)> {
    let has = |name: &str| stores.iter().any(|store| store.kind.name == name);
    let pairs = [
        ("gpt0", "gpt"),
        ("gpc0", "gpc"),
        ("gpc1", "gpc"),
        ("gpc0_rate", "gpc_rate"),
        ("gpc1_rate", "gpc_rate"),
    ];
    match pairs.into_iter().find(|(single, array)| has(single) && has(array)) {
        Some(pair) => Err(pair),
        None => Ok(()),
    }
}

fn key_type(cx: &mut Context<'_>, args: &mut Args<'_>) -> Parsed<KeyType> {
    const TYPES: &[(&str, KeyType)] = &[
        ("binary", KeyType::Binary(32)),
        ("integer", KeyType::Integer),
        ("ip", KeyType::Ipv4),
        ("ipv4", KeyType::Ipv4),
        ("ipv6", KeyType::Ipv6),
        // 32 with the end, which counts where peers compare the lengths of keys.
        ("string", KeyType::Str(31)),
    ];
    let key = args.choice(cx, TYPES)?.value;
    let has_length = matches!(key, KeyType::Binary(_) | KeyType::Str(_));
    if !has_length || args.accept("len").is_none() {
        return Ok(key);
    }
    let len = args.number(cx, 1..=KEY_MAX)?.value as usize;
    Ok(match key {
        KeyType::Binary(_) => KeyType::Binary(len),
        _ => KeyType::Str(len),
    })
}

/// `name`, `name(<period>)`, `name(<nb>)` and `name(<nb>,<period>)`, separated by commas.
fn stores(cx: &mut Context<'_>, args: &Args<'_>, list: &Word, into: &mut Vec<Store>) -> Parsed {
    let (mut start, mut depth) = (0, 0);
    let mut items = Vec::new();
    for (at, c) in list.value.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                items.push((start, &list.value[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push((start, &list.value[start..]));
    for (at, item) in items {
        let span = sub_span(list, at, item.len().max(1));
        match store(item) {
            Ok(store) if into.iter().any(|other| other.kind.id == store.kind.id) => {
                let message = format!("data type '{}' is stored already", store.kind.name);
                return Err(args.wrong(cx, span, message));
            }
            Ok(store) => into.push(store),
            Err(why) => {
                let name = item.split('(').next().unwrap_or_default();
                let near = match data::find(name) {
                    Some(_) => None,
                    None => text::nearest(name, data::TYPES.iter().map(|kind| kind.name)),
                };
                let message = format!("'{}' : {why}", args.name());
                return Err(cx.report(Diagnostic::alert(message).at(span).did_you_mean(near)));
            }
        }
    }
    Ok(())
}

fn store(item: &str) -> Result<Store, String> {
    let (name, inner) = match item.split_once('(') {
        Some((name, rest)) => {
            let inner = rest.strip_suffix(')').ok_or_else(|| format!("missing ')' in '{item}'"))?;
            (name, Some(inner))
        }
        None => (item, None),
    };
    let kind = data::find(name).ok_or_else(|| format!("unknown data type '{name}'"))?;
    let mut given = inner.into_iter().flat_map(|inner| inner.split(',')).map(str::trim);
    let mut count = 1;
    if kind.is_array {
        let text = given.next().unwrap_or_default();
        let number = text.parse().ok().filter(|n| (1..=ELEMENTS).contains(n));
        count = number.ok_or_else(|| {
            format!("'{name}' expects a number of elements from 1 to {ELEMENTS} in parentheses")
        })?;
    }
    let mut period = Duration::ZERO;
    if kind.form == Form::Rate {
        let text = given.next().filter(|text| !text.is_empty());
        let text = text.ok_or_else(|| format!("'{name}' expects a period in parentheses"))?;
        period = time::parse_timer(text).map_err(|error| format!("{error} in '{item}'"))?;
        if period.is_zero() {
            return Err(format!("the period of '{name}' has to be longer than 0"));
        }
    }
    match given.next() {
        Some(extra) => Err(format!("unexpected argument '{extra}' of '{name}'")),
        None => Ok(Store { kind, count, period }),
    }
}

fn stick(cx: &mut Context<'_>, proxy: &mut Proxy, args: &mut Args<'_>) -> Parsed {
    const KINDS: &[(&str, (bool, Option<StoreWhen>))] = &[
        ("match", (true, None)),
        ("on", (true, Some(StoreWhen::Request))),
        ("store-request", (false, Some(StoreWhen::Request))),
        ("store-response", (false, Some(StoreWhen::Response))),
    ];
    let span = args.span();
    let (matches, store) = args.choice(cx, KINDS)?.value;
    let pattern = args.word(cx, "a sample expression")?.clone();
    let table = match args.accept("table") {
        Some(_) => Some(args.word(cx, "the name of a table")?.clone()),
        None => None,
    };
    let condition = condition(cx, args)?;
    proxy.stick_rules.push(StickRule { span, matches, store, pattern, table, condition });
    Ok(())
}
