//! `show l4`: the path of each frontend, and the state of the kernel path.

use crate::Level;
use crate::command::{Answer, Call, Command, Reply};
use std::fmt::Write;

pub(super) static COMMANDS: &[Command] = &[Command {
    words: &["show", "l4"],
    usage: "",
    doc: "show which path each frontend takes and why, and the kernel path",
    level: Level::User,
    run: show,
}];

fn show(call: &mut Call<'_>) -> Answer {
    let Some(l4) = &call.admin.l4 else {
        return Ok(Reply::line("The kernel path is switched off."));
    };
    let rows = l4.rows();
    let width = |title: &str, cell: fn(&crate::L4Row) -> &str| {
        rows.iter().map(|row| cell(row).chars().count()).fold(title.len(), usize::max)
    };
    let a = width("frontend", |row| &row.frontend);
    let b = width("listeners", |row| &row.listener);
    let c = width("path", |row| &row.path);
    let mut text = format!("{:<a$}  {:<b$}  {:<c$}  why\n", "frontend", "listeners", "path");
    for row in &rows {
        let _ = writeln!(
            text,
            "{:<a$}  {:<b$}  {:<c$}  {}",
            row.frontend, row.listener, row.path, row.reason
        );
    }
    for (name, value) in l4.status() {
        let _ = writeln!(text, "{name}: {value}");
    }
    Ok(Reply::Text(text))
}
