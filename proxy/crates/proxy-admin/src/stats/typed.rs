//! The typed form of `show stat` and `show info` (management manual, 9.2).

use super::columns::COLUMNS;
use super::info::Field;
use super::{Object, Tags, Value};
use std::fmt::Write;

/// The lines of an object, one per value that applies.
pub fn object(object: &Object, desc: bool) -> String {
    let mut text = String::new();
    for (position, column) in COLUMNS.iter().enumerate().filter(|(_, c)| c.name != "-") {
        let value = (column.value)(object);
        if value == Value::None {
            continue;
        }
        let (letter, proxy, id) = (object.letter(), object.proxy_id(), object.id());
        let _ = write!(text, "{letter}.{proxy}.{id}.{position}.{}.1:", column.name);
        finish(&mut text, column.tags, &value, desc.then_some(column.doc));
    }
    text
}

/// The line of a field of `show info`.
pub fn field(position: usize, field: &Field, value: &Value, desc: bool) -> String {
    let mut text = format!("{position}.{}.1:", field.name);
    finish(&mut text, field.tags, value, desc.then_some(field.doc));
    text
}

/// What follows the names of a value.
pub(super) fn finish(text: &mut String, tags: Tags, value: &Value, doc: Option<&str>) {
    let _ = write!(text, "{tags}:{}:{value}", value.type_name());
    if let Some(doc) = doc {
        let _ = write!(text, ":\"{doc}\"");
    }
    text.push('\n');
}
