//! Tables for people, JSON for programs.

use std::fmt::Write;
use std::io::IsTerminal;

/// How a column is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bytes,
    Number,
    Text,
}

/// A column: its title, and the field of `show stat` it shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    title: &'static str,
    field: &'static str,
    form: Form,
}

impl Column {
    pub(super) const fn text(title: &'static str, field: &'static str) -> Self {
        Self { title, field, form: Form::Text }
    }

    pub(super) const fn number(title: &'static str, field: &'static str) -> Self {
        Self { title, field, form: Form::Number }
    }

    pub(super) const fn bytes(title: &'static str, field: &'static str) -> Self {
        Self { title, field, form: Form::Bytes }
    }
}

/// `1.5M`: three digits at most, in powers of 1024.
pub(super) fn bytes(text: &str) -> String {
    let Ok(mut amount) = text.parse::<f64>() else { return text.to_owned() };
    for unit in ["", "K", "M", "G", "T", "P"] {
        if amount < 1000.0 {
            let digits = usize::from(!unit.is_empty() && amount < 10.0);
            return format!("{amount:.digits$}{unit}");
        }
        amount /= 1024.0;
    }
    format!("{amount:.0}E")
}

/// Escape sequence of a status.
fn colour(status: &str) -> Option<&'static str> {
    let word = status.split(' ').next().unwrap_or_default();
    Some(match word {
        "UP" | "OPEN" => "\x1b[32m",
        "DOWN" | "STOP" => "\x1b[31m",
        "MAINT" | "PAUSED" => "\x1b[33m",
        "DRAIN" | "NOLB" | "FULL" => "\x1b[36m",
        _ => return None,
    })
}

/// Lines of columns, with colours on a terminal.
pub(super) fn draw<'r, F: Fn(&str) -> &'r str>(
    columns: &[Column],
    rows: impl Iterator<Item = F>,
) -> String {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let cells: Vec<Vec<String>> = rows
        .map(|field| {
            let cell = |column: &Column| match (column.form, field(column.field)) {
                (_, "") => "-".to_owned(),
                (Form::Bytes, text) => bytes(text),
                (_, text) => text.to_owned(),
            };
            columns.iter().map(cell).collect()
        })
        .collect();
    let width = |index: usize| {
        let widths = cells.iter().map(|row| row[index].chars().count());
        widths.chain([columns[index].title.len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>, paint: bool| {
        let mut text = String::new();
        for ((cell, column), width) in cells.zip(columns).zip(&widths) {
            let padding = width.saturating_sub(cell.chars().count());
            let paint = (paint && column.field == "status").then(|| colour(cell)).flatten();
            let (begin, end) = paint.map_or(("", ""), |begin| (begin, "\x1b[0m"));
            // Writing to a string cannot fail.
            let _ = match column.form {
                Form::Text => write!(text, "{begin}{cell}{end}{:padding$}  ", ""),
                Form::Bytes | Form::Number => write!(text, "{:padding$}{cell}  ", ""),
            };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    };
    line(&mut columns.iter().map(|column| column.title), false);
    for row in &cells {
        line(&mut row.iter().map(String::as_str), colours);
    }
    out
}

/// An array of objects. What looks like a number is one.
pub(super) fn json(rows: &[Vec<(&str, &str)>]) -> String {
    let value = |text: &str| match text.parse::<i64>() {
        Ok(number) if number.to_string() == text => serde_json::Value::from(number),
        _ => serde_json::Value::from(text),
    };
    let object = |row: &Vec<(&str, &str)>| {
        let pairs = row.iter().map(|(name, text)| ((*name).to_owned(), value(text)));
        serde_json::Value::Object(pairs.collect())
    };
    let array = serde_json::Value::Array(rows.iter().map(object).collect());
    format!("{array:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_short() {
        for (text, expected) in
            [("0", "0"), ("999", "999"), ("1536", "1.5K"), ("104857600", "100M"), ("x", "x")]
        {
            assert_eq!(bytes(text), expected);
        }
    }

    #[test]
    fn columns_are_aligned() {
        let columns = [Column::text("NAME", "n"), Column::number("COUNT", "c")];
        let rows = [["long-name", "7"], ["a", ""]];
        let text = draw(
            &columns,
            rows.iter().map(|row| |field: &str| if field == "n" { row[0] } else { row[1] }),
        );
        assert_eq!(text, "NAME       COUNT\nlong-name      7\na              -\n");
    }

    #[test]
    fn numbers_are_numbers_in_json() {
        let text = json(&[vec![("a", "7"), ("b", "007"), ("c", "x")]]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value, serde_json::json!([{"a": 7, "b": "007", "c": "x"}]));
    }
}
