//! `-dK`: lists of the language's words by class, for tools that compare them (management manual, 3).

use std::collections::BTreeMap;
use std::fmt::Write;

use proxy_admin::command::SessionMode;
use proxy_config::listing;
use proxy_rules::action::service::SERVICES;
use proxy_rules::sample::Place;
use proxy_rules::sample::args::signature;
use proxy_rules::{acl, conv, fetch};

use crate::filters::FILTERS;

/// A class of words, and its list.
struct Class {
    name: &'static str,
    doc: &'static str,
    list: fn() -> String,
}

static CLASSES: &[Class] = &[
    Class { name: "acl", doc: "ACL keywords", list: acls },
    Class { name: "cfg", doc: "configuration keywords", list: listing::dump },
    Class { name: "cli", doc: "CLI keywords", list: commands },
    Class { name: "cnv", doc: "sample converter functions", list: converters },
    Class { name: "flt", doc: "filter names", list: filters },
    Class { name: "smp", doc: "sample fetch functions", list: fetches },
    Class { name: "svc", doc: "service names", list: services },
];

/// The lists of these classes, in the order they are asked for; all of them for `all`, the classes for `help` and
/// for what is none.
pub(crate) fn list(classes: &str) -> String {
    let mut out = String::new();
    for wanted in classes.split(',') {
        if wanted == "all" {
            CLASSES.iter().for_each(|class| out.push_str(&(class.list)()));
            continue;
        }
        match CLASSES.iter().find(|class| class.name == wanted) {
            Some(class) => out.push_str(&(class.list)()),
            None => out.push_str(&help()),
        }
    }
    out
}

fn help() -> String {
    let mut out = String::from("# List of supported keyword classes:\n");
    out.push_str("all: list all keywords\n");
    for class in CLASSES {
        let _ = writeln!(out, "{}: {}", class.name, class.doc);
    }
    out
}

fn acls() -> String {
    let mut out = String::from("# List of registered ACL keywords:\n");
    for alias in acl::alias::ALL {
        let _ = writeln!(out, "{} = {} -m {}", alias.name, alias.fetch, alias.method.name());
    }
    out
}

fn commands() -> String {
    let mut out = String::from("# List of registered CLI keywords:\n");
    // A word that master and workers know has one line.
    let mut rows: BTreeMap<String, [&str; 3]> = BTreeMap::new();
    for name in crate::master::command_names() {
        rows.entry(name.to_owned()).or_default()[0] = "[MASTER] ";
    }
    for command in proxy_admin::lookup::table() {
        let row = rows.entry(command.words.join(" ")).or_default();
        row[1] = "[WORKER] ";
        row[2] = match command.mode {
            SessionMode::Any => "",
            SessionMode::Expert => "[EXPERT] ",
            SessionMode::Experimental => "[EXPERIM] ",
        };
    }
    for (name, marks) in rows {
        let _ = writeln!(out, "{name} {}", marks.concat());
    }
    out
}

fn converters() -> String {
    let mut out = String::from("# List of registered sample converter functions:\n");
    let mut rows: Vec<_> = conv::ALL.iter().flat_map(|rows| rows.iter()).collect();
    rows.sort_unstable_by_key(|row| row.name);
    for row in rows {
        let (input, given) = (row.input.name(), row.out.name());
        // HAProxy writes what comes out first.
        let _ = writeln!(out, "{}{}: {given} => {input}", row.name, signature(row.args));
    }
    out
}

fn filters() -> String {
    let mut out = String::from("# List of registered filter names:\n");
    for (name, origin) in FILTERS {
        let _ = writeln!(out, "{name} [{origin}]");
    }
    out
}

fn services() -> String {
    let mut out = String::from("# List of registered service names:\n");
    for service in SERVICES {
        let _ = writeln!(out, "{}", service.name);
    }
    out
}

/// With a matrix of the places each may be used in, whose columns are drawn above it.
fn fetches() -> String {
    let mut out = String::from("# List of registered sample fetch functions:\n");
    let count = Place::ALL.len();
    for (n, place) in Place::ALL.into_iter().enumerate() {
        let _ = write!(out, "#{:>1$}", "", count + 1 - n);
        (0..n).for_each(|_| out.push_str("/ "));
        out.push_str("_.");
        (n..count).for_each(|_| out.push('-'));
        let _ = writeln!(out, " {}", place.name());
    }
    let _ = writeln!(out, "# {} ", "/ ".repeat(count));
    let _ = writeln!(out, "# {}", "| ".repeat(count));
    let mut rows: Vec<_> = fetch::ALL.iter().flat_map(|rows| rows.iter()).collect();
    rows.sort_unstable_by_key(|row| row.name);
    for row in rows {
        out.push_str("[ ");
        for place in Place::ALL {
            out.push_str(if row.at.contains(place) { "Y " } else { ". " });
        }
        let _ = writeln!(out, "] {}{}: {}", row.name, signature(row.args), row.out.name());
    }
    out
}

/// Compares a page of docs/reference with what the tables say, or writes it.
#[cfg(test)]
pub(crate) fn expect_page(name: &str, page: &str) {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/{}"), name);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "{name}: UPDATE_EXPECT=1 cargo test -p proxy --bins reference");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reference_page_is_up_to_date() {
        let mut page = String::from(
            "# Runtime API\n\nThis page is made from the rows that the program is made of\n\
             (`UPDATE_EXPECT=1 cargo test -p proxy --bins reference` rewrites it).\n\n\
             | command | level | what it does |\n|---|---|---|\n",
        );
        let mut rows: Vec<_> = proxy_admin::lookup::table().collect();
        rows.sort_unstable_by_key(|row| row.words);
        for row in rows {
            let call = format!("{} {}", row.words.join(" "), row.usage).replace('|', "\\|");
            let (level, doc) = (row.level.as_str(), row.doc.replace('|', "\\|"));
            let _ = writeln!(page, "| `{}` | {level} | {doc} |", call.trim_end());
        }
        expect_page("runtime-api.md", &page);
    }

    #[test]
    fn every_filter_that_is_carried_is_listed() {
        let rows = listing::entries().into_iter().filter(|entry| entry.prefix == "filter");
        let carried: Vec<_> =
            rows.filter(|row| row.status == listing::Status::Carried).map(|row| row.name).collect();
        let listed: Vec<_> = FILTERS.iter().map(|(name, _)| *name).collect();
        assert!(carried.iter().all(|name| listed.contains(name)), "{carried:?}, not {listed:?}");
    }

    #[test]
    fn every_class_has_a_list_in_its_form() {
        let all = list("all");
        for line in [
            "path_beg = path -m beg",
            "\ttcp-request connection silent-drop",
            "add(string): sint => sint",
            "show info [WORKER] ",
            "show proc [MASTER] ",
            "show version [MASTER] [WORKER] ",
            "bwlim-in [BWLIM]",
            "[ Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y Y ] always_true: bool",
            "#                      / _.--------------------- frontend tcp-request session rule",
            "# | | | | | | | | | | | | | | | | | | | | | | ",
        ] {
            assert!(all.lines().any(|l| l == line), "{line:?}");
        }
        assert_eq!(list("acl,svc").matches("# List").count(), 2);
        assert!(list("help").contains("smp: sample fetch functions"));
        assert_eq!(list("nope"), list("help"));
    }
}
