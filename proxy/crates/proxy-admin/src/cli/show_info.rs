//! `show info`, `show schema json`.

use crate::Level;
use crate::command::{Answer, Call, Command, Reply, SessionMode};
use crate::stats::info::{FIELDS, Reading};
use crate::stats::schema::SCHEMA;
use crate::stats::{Value, json, typed};

fn show_info(call: &mut Call<'_>) -> Answer {
    let has = |word: &str| call.args.iter().any(|a| a == word);
    let desc = has("desc");
    let reading = Reading::new(call.admin);
    let values = FIELDS
        .iter()
        .map(|field| (field, (field.value)(&reading)))
        .filter(|(_, value)| *value != Value::None);
    if has("typed") {
        return Ok(Reply::Text(
            values
                .map(|(field, value)| typed::field(field.position, field, &value, desc))
                .collect(),
        ));
    }
    if has("json") {
        let items: Vec<String> =
            values.map(|(field, value)| json::field(field.position, field, &value)).collect();
        return Ok(Reply::line(format!("[{}]", items.join(","))));
    }
    let line = |name: &str, value: Value, doc: &str| {
        if desc { format!("{name}: {value}:\"{doc}\"\n") } else { format!("{name}: {value}\n") }
    };
    Ok(Reply::Text(values.map(|(field, value)| line(field.name, value, field.doc)).collect()))
}

fn show_schema(_: &mut Call<'_>) -> Answer {
    Ok(Reply::line(SCHEMA))
}

pub(super) static COMMANDS: &[Command] = &[
    Command {
        words: &["show", "info"],
        usage: "[desc|json|typed|float]*",
        doc: "report information about the running process",
        level: Level::User,
        mode: SessionMode::Any,
        run: show_info,
    },
    Command {
        words: &["show", "schema", "json"],
        usage: "",
        doc: "report schema used for stats",
        level: Level::User,
        mode: SessionMode::Any,
        run: show_schema,
    },
];
