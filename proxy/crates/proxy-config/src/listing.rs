//! The vocabulary as a list: for `-dKcfg`, reference pages and coverage.

use crate::keyword::{Row, Support, Table};
use crate::line::{balance, bind, error_page, option, rules, server, stats, timeout};
use crate::section::{crt_store, global, other, proxy, userlist};

/// One keyword of one table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The section: `global`, `listen` for all proxies, `userlist`...
    pub section: &'static str,
    /// What stands in front: `bind <addr>`, `server <name> <addr>`, `option`, `timeout`, `balance`; or nothing.
    pub prefix: &'static str,
    pub name: &'static str,
    pub syntax: &'static str,
    pub doc: &'static str,
    /// Section of the configuration manual.
    pub manual: &'static str,
    pub status: Status,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Carried,
    NoEffect,
    NotYet,
    Removed,
}

/// Every keyword that has a row, section by section.
pub fn entries() -> Vec<Entry> {
    let mut all = Vec::new();
    add(&mut all, "global", "", global::GLOBAL);
    add(&mut all, "global", "stats", global::STATS);
    add(&mut all, "http-errors", "", error_page::HTTP_ERRORS);
    add(&mut all, "listen", "", proxy::PROXY);
    add(&mut all, "listen", "bind <addr>", bind::OPTIONS);
    add(&mut all, "listen", "server <name> <addr>", server::OPTIONS);
    add(&mut all, "listen", "option", option::OPTIONS);
    add(&mut all, "listen", "timeout", timeout::TIMEOUTS);
    add(&mut all, "listen", "balance", balance::ALGORITHMS);
    add(&mut all, "listen", "stats", stats::STATS);
    add(&mut all, "listen", "tcp-request", rules::TCP_REQUEST);
    add(&mut all, "listen", "tcp-response", rules::TCP_RESPONSE);
    add(&mut all, "crt-store", "", crt_store::CRT_STORE);
    add(&mut all, "userlist", "", userlist::USERLIST);
    for section in other::SECTIONS {
        add(&mut all, section.name, "", section.keywords);
    }
    all
}

fn add<F>(all: &mut Vec<Entry>, section: &'static str, prefix: &'static str, table: Table<F>) {
    let entry = |row: &Row<F>| Entry {
        section,
        prefix,
        name: row.name,
        syntax: row.syntax,
        doc: row.doc,
        manual: row.manual,
        status: match row.support {
            Support::Carried(_) => Status::Carried,
            Support::NoEffect(_) => Status::NoEffect,
            Support::NotYet => Status::NotYet,
            Support::Removed { .. } => Status::Removed,
        },
    };
    all.extend(table.iter().flat_map(|group| group.iter()).map(entry));
}

/// What `-dKcfg` prints: the keywords that do something, by section, a tab before each.
pub fn dump() -> String {
    let mut out = String::from("# List of registered configuration keywords:\n");
    let mut section = "";
    for entry in entries() {
        if entry.status != Status::Carried {
            continue;
        }
        if entry.section != section {
            section = entry.section;
            out.push_str(section);
            out.push('\n');
        }
        out.push('\t');
        if !entry.prefix.is_empty() {
            out.push_str(entry.prefix);
            out.push(' ');
        }
        out.push_str(entry.name);
        if !entry.syntax.is_empty() && entry.prefix.contains("<addr>") {
            out.push_str(" +1");
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustc_hash::FxHashSet;

    /// HAProxy 3.5's own list, as its `-dKcfg` prints it.
    const KNOWN: &str = include_str!("known/cfg.txt");

    #[test]
    fn every_keyword_of_haproxy_has_a_row() {
        let rows: FxHashSet<(&str, &str, &str)> =
            entries().iter().map(|e| (e.section, e.prefix, e.name)).collect();
        let mut section = "";
        let mut missing = Vec::new();
        let mut count = 0;
        for line in KNOWN.lines().filter(|line| !line.starts_with('#')) {
            let Some(line) = line.strip_prefix('\t') else {
                section = line;
                continue;
            };
            let words: Vec<&str> = line.split(' ').collect();
            let (prefix, name) = match words.as_slice() {
                ["bind", _, "ssl", name, ..] | ["bind", _, name, ..] => ("bind <addr>", *name),
                ["server", _, _, name, ..] => ("server <name> <addr>", *name),
                ["option", name, ..] => ("option", *name),
                // Actions are rows of proxy-rules.
                [first @ ("tcp-request" | "tcp-response"), set, _] => (*first, *set),
                [name, _action] => ("", *name),
                [name] => ("", *name),
                other => panic!("{other:?}"),
            };
            count += 1;
            if !rows.contains(&(section, prefix, name)) {
                missing.push(line);
            }
        }
        assert_eq!(missing, [""; 0]);
        assert_eq!(count, 783);
    }

    #[test]
    fn names_are_unique_and_described() {
        let mut seen = FxHashSet::default();
        for e in entries() {
            assert!(seen.insert((e.section, e.prefix, e.name)), "twice: {e:?}");
            assert!(!e.doc.is_empty() && !e.name.is_empty(), "{e:?}");
            assert!(!e.doc.ends_with('.') && e.doc.len() < 80, "{e:?}");
        }
    }

    #[test]
    fn dump_has_what_is_carried() {
        let dump = dump();
        for line in [
            "global",
            "\tmaxconn",
            "listen",
            "\tbind <addr> name +1",
            "\ttimeout client",
            "\toption httplog",
        ] {
            assert!(dump.lines().any(|l| l == line), "{line:?}");
        }
        assert!(!dump.contains("generate-certificates"));
    }
}
