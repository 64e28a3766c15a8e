//! docs/reference: the vocabulary as pages, made from the rows of the tables.

use std::fmt::Write;

use proxy_rules::action::{self, SetKind};
use proxy_rules::logformat::alias;
use proxy_rules::sample::args::signature;
use proxy_rules::{acl, conv, fetch};

use crate::listing::{Status, entries};

/// A page: its file name, and a function that writes it.
pub type Page = (&'static str, fn() -> String);

/// All pages of this crate's rows.
pub const PAGES: &[Page] = &[
    ("keywords.md", keywords),
    ("actions.md", actions),
    ("expressions.md", expressions),
    ("log-format.md", log_format),
];

const MADE: &str = "This page is made from the rows that the program is made of\n\
    (`UPDATE_EXPECT=1 cargo test -p proxy-config --lib compatibility` rewrites it).\n";

/// Text of a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// Code in a cell; nothing for nothing.
fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{}`", cell(text)) }
}

/// `log-profile` and `bind <addr>` to what a heading says of the keywords.
fn heading(section: &str, prefix: &str) -> String {
    match (section, prefix) {
        ("listen", "") => "defaults, frontend, listen, backend".to_owned(),
        ("listen", prefix) => format!("`{prefix} ...`"),
        (section, "") => section.to_owned(),
        (section, prefix) => format!("{section}: `{prefix} ...`"),
    }
}

fn keywords() -> String {
    let mut out = format!(
        "# Keywords\n\n{MADE}Numbers are sections of HAProxy 3.5's configuration manual. Keywords that this version \
         does not carry are in [compatibility.md](../compatibility.md).\n"
    );
    let mut group = None;
    for entry in entries().iter().filter(|entry| entry.status == Status::Carried) {
        if group != Some((entry.section, entry.prefix)) {
            group = Some((entry.section, entry.prefix));
            let _ = writeln!(
                out,
                "\n## {}\n\n| keyword | arguments | what it does | manual |\n|---|---|---|---|",
                heading(entry.section, entry.prefix)
            );
        }
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} |",
            code(entry.name),
            code(entry.syntax),
            cell(entry.doc),
            entry.manual
        );
    }
    out
}

fn actions() -> String {
    let mut out = format!("# Actions of rules\n\n{MADE}");
    for set in SetKind::ALL {
        let _ = writeln!(
            out,
            "\n## `{} ...`\n\n| action | arguments | what it does |\n|---|---|---|",
            set.keyword()
        );
        let mut rows: Vec<_> = action::ALL.iter().flat_map(|rows| rows.iter()).collect();
        rows.sort_unstable_by_key(|row| row.name);
        for row in rows.into_iter().filter(|row| row.sets.contains(set)) {
            let _ =
                writeln!(out, "| {} | {} | {} |", code(row.name), code(row.syntax), cell(row.doc));
        }
    }
    out
}

/// What a cell says of examples: the first that gives a value.
fn example(examples: &[(&str, Option<&str>)]) -> String {
    let given = examples.iter().find_map(|(text, value)| Some((text, (*value)?)));
    given.map_or_else(String::new, |(text, value)| format!("{} is {}", code(text), code(value)))
}

fn expressions() -> String {
    let mut out = format!(
        "# Sample fetches, converters and ACL keywords\n\n{MADE}Arguments in brackets may be left out. Examples are those \
         that the tests run.\n\n## Fetches\n\n| fetch | gives | what | example |\n|---|---|---|---|\n"
    );
    let mut rows: Vec<_> = fetch::ALL.iter().flat_map(|rows| rows.iter()).collect();
    rows.sort_unstable_by_key(|row| row.name);
    for row in rows {
        let call = format!("{}{}", row.name, signature(row.args));
        let (gives, doc) = (row.out.name(), cell(row.doc));
        let _ = writeln!(out, "| {} | {gives} | {doc} | {} |", code(&call), example(row.examples));
    }
    out.push_str("\n## Converters\n\n| converter | takes | gives | what | example |\n|---|---|---|---|---|\n");
    let mut rows: Vec<_> = conv::ALL.iter().flat_map(|rows| rows.iter()).collect();
    rows.sort_unstable_by_key(|row| row.name);
    for row in rows {
        let call = format!("{}{}", row.name, signature(row.args));
        let (takes, gives, doc) = (row.input.name(), row.out.name(), cell(row.doc));
        let shown = example(row.examples);
        let _ = writeln!(out, "| {} | {takes} | {gives} | {doc} | {shown} |", code(&call));
    }
    out.push_str("\n## ACL keywords\n\n| keyword | the same as |\n|---|---|\n");
    for row in acl::alias::ALL {
        let same = format!("{} -m {}", row.fetch, row.method.name());
        let _ = writeln!(out, "| {} | {} |", code(row.name), code(&same));
    }
    out.push_str("\n## Predefined ACLs\n\n| name | the same as |\n|---|---|\n");
    for (name, criterion) in acl::predefined::ALL {
        let _ = writeln!(out, "| {} | {} |", code(name), code(criterion));
    }
    out
}

fn log_format() -> String {
    let mut out =
        format!("# Aliases of log formats\n\n{MADE}\n| alias | what | mode |\n|---|---|---|\n");
    for row in alias::ALL {
        let name = format!("%{}", row.name);
        let mode = if row.http { "http" } else { "" };
        let _ = writeln!(out, "| {} | {} | {mode} |", code(&name), cell(row.doc));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_compatibility_and_reference_are_up_to_date() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/reference");
        for (name, write) in PAGES {
            let (path, page) = (format!("{folder}/{name}"), write());
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::create_dir_all(folder).unwrap();
                std::fs::write(&path, &page).unwrap();
            }
            let written = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                written == page,
                "{name}: UPDATE_EXPECT=1 cargo test -p proxy-config --lib compatibility"
            );
        }
    }

    #[test]
    fn cells_stay_in_their_columns() {
        for (name, write) in PAGES {
            let mut columns = 0;
            for line in write().lines() {
                if !line.starts_with('|') {
                    columns = 0;
                    continue;
                }
                let bars = line.matches('|').count() - line.matches("\\|").count();
                if line.starts_with("|---") {
                    columns = bars;
                } else if columns > 0 && bars != columns {
                    panic!("{name}: {line}");
                }
            }
        }
    }
}
