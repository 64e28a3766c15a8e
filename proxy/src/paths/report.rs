//! How decisions are shown: the table of `sluice explain` and `show l4`, and JSON.

use std::fmt::Write;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Row {
    pub(crate) frontend: String,
    pub(crate) listeners: String,
    pub(crate) path: String,
    pub(crate) why: String,
}

/// Columns aligned to their widest cell, the last one free.
pub(crate) fn table(rows: &[Row]) -> String {
    let width = |title: &str, cell: fn(&Row) -> &str| {
        rows.iter().map(|row| cell(row).chars().count()).fold(title.len(), usize::max)
    };
    let a = width("frontend", |row| &row.frontend);
    let b = width("listeners", |row| &row.listeners);
    let c = width("path", |row| &row.path);
    let mut out = String::new();
    let _ = writeln!(out, "{:<a$}  {:<b$}  {:<c$}  why", "frontend", "listeners", "path");
    for row in rows {
        let _ = writeln!(
            out,
            "{:<a$}  {:<b$}  {:<c$}  {}",
            row.frontend, row.listeners, row.path, row.why
        );
    }
    out
}

/// The same as an array of objects.
pub(crate) fn json(rows: &[Row]) -> String {
    let mut out = serde_json::to_string_pretty(rows).unwrap_or_default();
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(frontend: &str, path: &str, why: &str) -> Row {
        Row {
            frontend: frontend.into(),
            listeners: "*:80".into(),
            path: path.into(),
            why: why.into(),
        }
    }

    #[test]
    fn columns_align() {
        let text = table(&[row("a", "l4", "x"), row("long-name", "userspace", "y")]);
        assert_eq!(
            text,
            "frontend   listeners  path       why\n\
             a          *:80       l4         x\n\
             long-name  *:80       userspace  y\n"
        );
    }
}
