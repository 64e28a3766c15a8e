//! The CSV form of `show stat`.

use super::columns::COLUMNS;
use super::{Object, Value};

/// The line of titles.
pub fn header() -> String {
    let mut line = String::from("# ");
    for column in COLUMNS {
        line.push_str(column.name);
        line.push(',');
    }
    line.push('\n');
    line
}

/// The line of an object. Every field ends with a comma, the last too.
pub fn line(object: &Object) -> String {
    let mut line = String::new();
    for column in COLUMNS {
        push_field(&mut line, &(column.value)(object));
        line.push(',');
    }
    line.push('\n');
    line
}

/// Quotes text that would be ambiguous.
pub(super) fn push_field(line: &mut String, value: &Value) {
    match value {
        Value::Str(text) if text.contains([',', '"', '\n', '\r']) => {
            line.push('"');
            line.push_str(&text.replace('"', "\"\"").replace(['\n', '\r'], " "));
            line.push('"');
        }
        value => line.push_str(&value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambiguous_text_is_quoted() {
        let field = |text: &'static str| {
            let mut line = String::new();
            push_field(&mut line, &text.into());
            line
        };
        assert_eq!(field("Connection refused"), "Connection refused");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("say \"x\"\n"), "\"say \"\"x\"\" \"");
    }
}
