//! `show l4`: which path carries each frontend, and the state of the kernel data path.

use crate::Level;
use crate::command::{Answer, Call, Command, Reply};
use std::fmt::Write;

fn show_l4(call: &mut Call<'_>) -> Answer {
    let Some(view) = &call.admin.l4 else {
        return Err(Reply::line("The kernel data path is not available in this process."));
    };
    let rows = view.rows();
    let titles = ["# frontend", "listener", "path", "reason"].map(str::to_owned);
    let table: Vec<[String; 4]> = std::iter::once(titles)
        .chain(rows.into_iter().map(|r| {
            let reason = if r.reason.is_empty() { "-".into() } else { r.reason };
            [r.frontend, r.listener, r.path, reason]
        }))
        .collect();
    let width =
        |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (a, b, c) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [frontend, listener, path, reason] in &table {
        let _ = writeln!(text, "{frontend:a$} {listener:b$} {path:c$} {reason}");
    }
    for (name, value) in view.status() {
        let _ = writeln!(text, "{name}: {value}");
    }
    Ok(Reply::Text(text))
}

pub(super) static COMMANDS: &[Command] = &[Command {
    words: &["show", "l4"],
    usage: "",
    doc: "show the path of each frontend and the state of the kernel data path",
    level: Level::Operator,
    run: show_l4,
}];
