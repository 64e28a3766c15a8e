//! `show table`, `set table`, `clear table` (management manual, 9.3).

use std::fmt::Write as _;
use std::sync::Arc;

use proxy_state::Now;
use proxy_state::stick::data::{self, Form};
use proxy_state::stick::{Entry, Slot, Table};

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};

/// Conditions on data in one command.
const FILTERS: usize = 4;

fn heading(table: &Table, now: Now) -> String {
    // What has expired is neither counted nor shown.
    table.sweep(now);
    let kind = table.spec.key.name();
    let spec = &table.spec;
    format!("# table: {}, type: {kind}, size:{}, used:{}\n", spec.name, spec.size, table.used())
}

/// Identifies an entry as long as it lives, as HAProxy's pointers do.
fn pointer(entry: &Arc<Entry>) -> String {
    format!("0x{:x}", Arc::as_ptr(entry).addr())
}

fn line(table: &Table, entry: &Arc<Entry>, now: Now) -> String {
    let mut text = format!(
        "{}: key={} use={} exp={} shard={}",
        pointer(entry),
        table.show_key(&entry.key),
        entry.trackers(),
        table.expires_in(entry, now),
        table.shard_of(&entry.key)
    );
    entry.read(|values| {
        for store in table.layout.stores() {
            if store.kind.form == Form::Server {
                let _ = write!(
                    text,
                    " {}={}",
                    store.kind.name,
                    values.server.as_deref().unwrap_or("-")
                );
                continue;
            }
            for index in 0..store.count {
                let Some(slot) = table.slot(store.kind.id, index) else { continue };
                // Elements of arrays are shown as the single values they extend: gpc0, gpc1_rate.
                let name = match (store.kind.is_array, store.kind.name.strip_suffix("_rate")) {
                    (false, _) => store.kind.name.to_owned(),
                    (true, Some(stem)) => format!("{stem}{index}_rate"),
                    (true, None) => format!("{}{index}", store.kind.name),
                };
                let value = values.get(slot, now);
                let _ = match store.kind.form {
                    Form::Rate => write!(text, " {name}({})={value}", store.period.as_millis()),
                    _ => write!(text, " {name}={value}"),
                };
            }
        }
    });
    text.push('\n');
    text
}

/// The value that `data.<type>` or `data.<type>[<index>]` names.
fn named(table: &Table, word: &str) -> Result<Slot, &'static str> {
    let name = word.strip_prefix("data.").unwrap_or(word);
    let (name, index) = match name.split_once('[') {
        Some((name, rest)) => {
            let index = rest.strip_suffix(']').and_then(|index| index.parse().ok());
            (name, index.ok_or("Unknown data type")?)
        }
        None => (name, 0),
    };
    let kind = data::find(name).ok_or("Unknown data type")?;
    table.slot(kind.id, index).ok_or("Data type not stored in this table")
}

/// A condition on data.
#[derive(Clone, Copy)]
struct Filter {
    slot: Slot,
    holds: Comparison,
    value: u64,
}

/// How two numbers compare.
type Comparison = fn(u64, u64) -> bool;

const OPERATORS: [(&str, Comparison); 6] = [
    ("eq", |a, b| a == b),
    ("ne", |a, b| a != b),
    ("le", |a, b| a <= b),
    ("ge", |a, b| a >= b),
    ("lt", |a, b| a < b),
    ("gt", |a, b| a > b),
];

/// Which entries a command is about.
enum Which {
    All,
    Key(String),
    Pointer(String),
    Data(Vec<Filter>),
}

fn table<'a>(call: &Call<'a>) -> Result<&'a Arc<Table>, Reply> {
    let tables = &call.admin.registry;
    tables.table(call.arg(0)).ok_or_else(|| Reply::line("No such table"))
}

fn which(call: &Call<'_>, table: &Table) -> Result<Which, Reply> {
    let args = &call.args[1.min(call.args.len())..];
    match args {
        [] => Ok(Which::All),
        [word] if word == "key" => Err(Reply::line("Key value expected")),
        [word, key, ..] if word == "key" => Ok(Which::Key(key.clone())),
        [word, pointer, ..] if word == "ptr" => Ok(Which::Pointer(pointer.clone())),
        [word, ..] if word.starts_with("data.") => {
            let mut filters = Vec::new();
            for (number, words) in args.chunks(3).take(FILTERS).enumerate() {
                let wrong = |why: &str| Reply::line(format!("Filter entry #{}: {why}", number + 1));
                let slot = named(table, &words[0]).map_err(wrong)?;
                let operator = words.get(1).map_or("", String::as_str);
                let found = OPERATORS.iter().find(|(name, _)| *name == operator);
                let (_, holds) = *found.ok_or_else(|| {
                    wrong(
                        "Require and operator among \"eq\", \"ne\", \"le\", \"ge\", \"lt\", \"gt\"",
                    )
                })?;
                let value = words.get(2).and_then(|value| value.parse().ok());
                let value = value
                    .ok_or_else(|| wrong("Require a valid integer value to compare against"))?;
                filters.push(Filter { slot, holds, value });
            }
            Ok(Which::Data(filters))
        }
        _ => Err(Reply::line(
            "Optional argument only supports \"data.<store_data_type>\" <operator> <value> or key <key> or ptr <ptr>",
        )),
    }
}

/// Whether the entry meets all conditions.
fn meets(which: &Which, entry: &Arc<Entry>, now: Now) -> bool {
    match which {
        Which::All | Which::Key(_) => true,
        Which::Pointer(wanted) => pointer(entry) == *wanted,
        Which::Data(filters) => {
            entry.read(|values| filters.iter().all(|f| (f.holds)(values.get(f.slot, now), f.value)))
        }
    }
}

/// The entries a command is about, shard by shard.
fn entries(table: Arc<Table>, which: Which, now: Now) -> impl Iterator<Item = Vec<Arc<Entry>>> {
    let mut single = match &which {
        Which::Key(key) => {
            Some(table.parse_key(key).and_then(|key| table.get(&key, now)).into_iter().collect())
        }
        _ => None,
    };
    let by_key = single.is_some();
    let mut shard = 0;
    std::iter::from_fn(move || {
        if by_key {
            return single.take();
        }
        let mut entries = table.entries(shard, now)?;
        shard += 1;
        entries.retain(|entry| meets(&which, entry, now));
        Some(entries)
    })
}

/// `show table [<name> [data.<type> <operator> <value>]... | key <key> | ptr <ptr>]`.
fn show(call: &mut Call<'_>) -> Answer {
    if call.args.is_empty() {
        let now = call.now;
        let all = call.admin.registry.tables().iter().map(|table| heading(table, now));
        return Ok(Reply::Text(all.collect()));
    }
    let table = table(call)?.clone();
    let which = which(call, &table)?;
    let now = call.now;
    let first = heading(&table, now);
    let lines = entries(table.clone(), which, now)
        .map(move |entries| entries.iter().map(|entry| line(&table, entry, now)).collect());
    Ok(Reply::Pieces(Box::new(std::iter::once(first).chain(lines))))
}

/// `clear table <name> [data.<type> <operator> <value>]... | key <key> | ptr <ptr>`.
fn clear(call: &mut Call<'_>) -> Answer {
    let table = table(call)?.clone();
    let which = which(call, &table)?;
    let by_name = matches!(which, Which::Key(_) | Which::Pointer(_));
    for entry in entries(table.clone(), which, call.now).flatten() {
        if !table.remove(&entry) && by_name {
            return Err(Reply::line("Entry currently in use, cannot remove"));
        }
    }
    Ok(Reply::done())
}

/// `set table <name> key <key> [data.<type> <value>]...`.
fn set(call: &mut Call<'_>) -> Answer {
    let table = table(call)?.clone();
    let now = call.now;
    let mut values = Vec::new();
    for words in call.args.get(3..).unwrap_or_default().chunks(2) {
        if !words[0].starts_with("data.") {
            return Err(Reply::line("\"data.<type>\" followed by a value expected"));
        }
        let slot = named(&table, &words[0]).map_err(Reply::line)?;
        let value = words.get(1).and_then(|value| value.parse::<u64>().ok());
        let value = value.ok_or_else(|| Reply::line("Require a valid integer value to store"))?;
        values.push((slot, value));
    }
    let entry = match (call.arg(1), call.arg(2)) {
        ("key", key) if !key.is_empty() => {
            let key = table.parse_key(key).ok_or_else(|| Reply::line("Invalid key"))?;
            table
                .get_or_make(&key, now)
                .ok_or_else(|| Reply::line("Unable to allocate a new entry"))?
        }
        ("ptr", wanted) if !wanted.is_empty() => {
            let which = Which::Pointer(wanted.to_owned());
            let found = entries(table.clone(), which, now).flatten().next();
            found.ok_or_else(|| Reply::line("No such entry"))?
        }
        _ => return Err(Reply::line("Required arguments: key <key> or ptr <ptr>")),
    };
    table.update(&entry, |all| values.iter().for_each(|(slot, value)| all.set(*slot, *value, now)));
    table.touch(&entry, now);
    Ok(Reply::done())
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["clear", "table"],
        usage: "<table> [<filter>]*",
        doc: "remove an entry from a table (filter: data/key/ptr)",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: clear,
    },
    Command {
        words: &["set", "table"],
        usage: "<table> {key|ptr} <k> [data.* <v>]*",
        doc: "update or create a table entry's data",
        level: Level::Operator,
        mode: SessionMode::Any,
        run: set,
    },
    Command {
        words: &["show", "table"],
        usage: "[<table> [<filter>]*]",
        doc: "report table usage stats or dump this table's contents",
        level: Level::User,
        mode: SessionMode::Any,
        run: show,
    },
];
