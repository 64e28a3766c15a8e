//! Statistics: `show stat`, `show info`, `show schema json`.

use super::refuse;
use crate::Level;
use crate::command::{Answer, Call, Command, Reply};
use crate::stats::info::{FIELDS, Reading};
use crate::stats::{Scope, csv, json, schema, typed};

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["show", "info"],
        usage: "[desc|json|typed|float]*",
        doc: "report information about the running process",
        level: Level::User,
        run: info,
    },
    Command {
        words: &["show", "schema", "json"],
        usage: "",
        doc: "report schema used for stats",
        level: Level::User,
        run: |_| Ok(Reply::line(schema::SCHEMA)),
    },
    Command {
        words: &["show", "stat"],
        usage: "[desc|json|no-maint|typed|up]* [{<iid>|<proxy>} <type> <sid>]",
        doc: "report counters for each proxy and server",
        level: Level::User,
        run: stat,
    },
];

/// The form of the answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Typed,
    Json,
}

fn info(call: &mut Call<'_>) -> Answer {
    let (mut form, mut desc) = (Form::Plain, false);
    for word in call.args {
        match word.as_str() {
            "typed" => form = Form::Typed,
            "json" => form = Form::Json,
            "desc" => desc = true,
            // Rates are whole numbers here; HAProxy's `float` adds decimals where it has them.
            "float" => {}
            other => {
                return refuse(format!("'{other}' is none of 'desc', 'json', 'typed', 'float'."));
            }
        }
    }
    let facts = call.admin.process.facts();
    let reading = Reading { admin: call.admin, facts, now: call.now };
    let mut lines = Vec::with_capacity(FIELDS.len());
    for (position, field) in FIELDS.iter().enumerate() {
        let value = (field.value)(&reading);
        lines.push(match form {
            Form::Plain if desc => format!("{}: {value}:\"{}\"\n", field.name, field.doc),
            Form::Plain => format!("{}: {value}\n", field.name),
            Form::Typed => typed::field(position, field, &value, desc),
            Form::Json => json::field(position, field, &value),
        });
    }
    Ok(Reply::Text(match form {
        Form::Json => format!("[{}]\n", lines.join(",")),
        Form::Plain | Form::Typed => lines.concat(),
    }))
}

fn stat(call: &mut Call<'_>) -> Answer {
    let (mut form, mut desc, mut scope) = (Form::Plain, false, Scope::default());
    let mut rest = call.args;
    if let [domain, name, tail @ ..] = rest
        && domain == "domain"
    {
        if name != "proxy" {
            return refuse(format!("statistics domain '{name}' is not carried; 'proxy' is."));
        }
        rest = tail;
    }
    while let Some((word, tail)) = rest.split_first() {
        match word.as_str() {
            "typed" => form = Form::Typed,
            "json" => form = Form::Json,
            "desc" => desc = true,
            "no-maint" => scope.no_maint = true,
            "up" => scope.up = true,
            _ => break,
        }
        rest = tail;
    }
    if let Some((proxy, tail)) = rest.split_first() {
        scope.proxy = proxy_id(call, proxy)?;
        let number = |n: usize| tail.get(n).map(|word| word.parse::<i64>());
        match number(0).transpose() {
            Ok(kinds) => scope.types = kinds.filter(|k| *k >= 0).map_or(u32::MAX, |k| k as u32),
            Err(_) => {
                return refuse(
                    "<type> is a number: 1 frontends, 2 backends, 4 servers, 8 listeners.",
                );
            }
        }
        match number(1).transpose() {
            Ok(sid) => scope.sid = sid.and_then(|sid| u32::try_from(sid).ok()),
            Err(_) => return refuse("<sid> is a number, -1 for all."),
        }
    }
    let objects = scope.objects(call.admin, call.session.level > Level::User);
    let pieces: Box<dyn Iterator<Item = String>> = match form {
        Form::Plain => {
            Box::new(std::iter::once(csv::header()).chain(objects.map(|object| csv::line(&object))))
        }
        Form::Typed => Box::new(objects.map(move |object| typed::object(&object, desc) + "\n")),
        Form::Json => {
            let mut separator = "[";
            let lines = objects.map(move |object| {
                std::mem::replace(&mut separator, ",").to_owned() + &json::object(&object)
            });
            let mut any = lines.peekable();
            let empty = if any.peek().is_none() { "[" } else { "" };
            Box::new(
                std::iter::once(empty.to_owned())
                    .chain(any)
                    .chain(std::iter::once("]\n".to_owned())),
            )
        }
    };
    Ok(Reply::Pieces(pieces))
}

/// `-1` for all, an id, or a name.
fn proxy_id(call: &Call<'_>, word: &str) -> Result<Option<u32>, Reply> {
    if word == "-1" {
        return Ok(None);
    }
    if let Ok(id) = word.parse() {
        return Ok(Some(id));
    }
    let registry = &call.admin.registry;
    let id = registry
        .frontend(word)
        .map(|frontend| frontend.id)
        .or_else(|| registry.backend(word).map(|backend| backend.id));
    match id {
        Some(id) => Ok(Some(id.0)),
        None => refuse("No such proxy."),
    }
}
