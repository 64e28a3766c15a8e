//! The JSON form of `show stat` and `show info`, without blanks.

use super::columns::COLUMNS;
use super::info::Field;
use super::{Object, Tags, Value, tag_words};
use std::fmt::Write;

/// The array of an object's values.
pub fn object(object: &Object) -> String {
    let mut text = String::from("[");
    for (position, column) in COLUMNS.iter().enumerate().filter(|(_, c)| c.name != "-") {
        let value = (column.value)(object);
        if value == Value::None {
            continue;
        }
        if text.len() > 1 {
            text.push(',');
        }
        let (kind, proxy, id) = (object.type_name(), object.proxy_id(), object.id());
        let _ = write!(text, "{{\"objType\":\"{kind}\",\"proxyId\":{proxy},\"id\":{id},");
        finish(&mut text, position, column.name, Some(1), column.tags, &value);
    }
    text.push(']');
    text
}

/// The object of a field of `show info`.
pub fn field(position: usize, field: &Field, value: &Value) -> String {
    let mut text = String::from("{");
    finish(&mut text, position, field.name, Some(1), field.tags, value);
    text
}

/// A value with what is said of it; `process` is the number of the process, where there is one.
pub(super) fn finish(
    text: &mut String,
    position: usize,
    name: &str,
    process: Option<u32>,
    tags: Tags,
    value: &Value,
) {
    let [origin, nature, scope, persistence] = tag_words(tags);
    let _ = write!(text, "\"field\":{{\"pos\":{position},\"name\":\"{name}\"}},");
    if let Some(process) = process {
        let _ = write!(text, "\"processNum\":{process},");
    }
    let _ = write!(
        text,
        "\"tags\":{{\"origin\":\"{origin}\",\"nature\":\"{nature}\",\"scope\":\"{scope}\",\
         \"persistence\":\"{persistence}\"}},\"value\":{{\"type\":\"{}\",\"value\":",
        value.type_name()
    );
    match value {
        Value::None | Value::Str(_) => push_string(text, &value.to_string()),
        Value::U32(_) | Value::U64(_) | Value::S32(_) => {
            let _ = write!(text, "{value}");
        }
    }
    text.push_str("}}");
}

/// A string with what JSON wants escaped (RFC 8259, 7).
fn push_string(text: &mut String, value: &str) {
    text.push('"');
    for c in value.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let mut text = String::new();
        push_string(&mut text, "a\"b\\c\n\u{1}é");
        assert_eq!(text, "\"a\\\"b\\\\c\\n\\u0001é\"");
    }
}
