//! The vocabulary as a list: for `-dKcfg`, reference pages and coverage.

use std::fmt::Write;

use proxy_rules::action::{self, SetKind};

use crate::keyword::{self, Row, Support, Table};
use crate::line::{
    balance, bind, cert, error_page, filter, option, rules, server_rows, stats, timeout, tls,
};
use crate::model::HTTP_FLAGS;
use crate::section::{
    acme, cache, crt_store, global, healthcheck, mailers, other, peers, proxy, resolvers, traces,
    userlist,
};

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
    add(&mut all, "listen", "server <name> <addr>", server_rows::OPTIONS);
    add(&mut all, "listen", "option", option::OPTIONS);
    add(&mut all, "listen", "timeout", timeout::TIMEOUTS);
    add(&mut all, "listen", "balance", balance::ALGORITHMS);
    add(&mut all, "listen", "compression", filter::COMPRESSION);
    add(&mut all, "listen", "filter", filter::FILTERS);
    add(&mut all, "listen", "stats", stats::STATS);
    add(&mut all, "listen", "tcp-request", rules::TCP_REQUEST);
    add(&mut all, "listen", "tcp-response", rules::TCP_RESPONSE);
    add(&mut all, "crt-list", "", cert::OPTIONS);
    add(&mut all, "cache", "", cache::CACHE);
    add(&mut all, "acme", "", acme::ACME);
    add(&mut all, "crt-store", "", crt_store::CRT_STORE);
    add(&mut all, "fcgi-app", "", crate::section::fcgi::FCGI_APP);
    add(&mut all, "fcgi-app", "option", crate::section::fcgi::OPTIONS);
    add(&mut all, "log-forward", "", crate::section::log_forward::LOG_FORWARD);
    add(&mut all, "log-forward", "option", crate::section::log_forward::OPTIONS);
    add(&mut all, "log-profile", "", crate::section::log_profile::LOG_PROFILE);
    add(&mut all, "ring", "", crate::section::ring::RING);
    add(&mut all, "resolvers", "", resolvers::RESOLVERS);
    add(&mut all, "mailers", "", mailers::MAILERS);
    add(&mut all, "healthcheck", "", healthcheck::HEALTHCHECK);
    add(&mut all, "peers", "", peers::PEERS);
    add(&mut all, "traces", "", traces::TRACES);
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
        doc: match row.support {
            Support::Removed { instead, .. } => instead,
            _ => row.doc,
        },
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

/// What `-dKcfg` prints: the keywords that are accepted, by section, a tab before each.
pub fn dump() -> String {
    let mut out = String::from("# List of registered configuration keywords:\n");
    let mut section = "";
    let all = entries();
    for (n, entry) in all.iter().enumerate() {
        if entry.section != section {
            section = entry.section;
            out.push_str(section);
            out.push('\n');
        }
        if matches!(entry.status, Status::Carried | Status::NoEffect) {
            let tls = entry.prefix == "bind <addr>" && is_tls(entry.name);
            let words = entry.words();
            match words.strip_prefix("bind <addr> ").filter(|_| tls) {
                Some(name) => drop(write!(out, "\tbind <addr> ssl {name}")),
                None => drop(write!(out, "\t{words}")),
            }
            if !entry.syntax.is_empty()
                && (entry.prefix.contains("<addr>") || entry.section == "crt-list")
            {
                out.push_str(" +1");
            }
            if entry.prefix == "option" && section == "listen" {
                sides(&mut out, entry.name);
            }
            out.push('\n');
        }
        // Actions follow the keywords of proxies.
        let ends = all.get(n + 1).is_none_or(|next| next.section != section);
        if section == "listen" && ends {
            actions(&mut out);
        }
    }
    out
}

/// Where a switch has its effect, as HAProxy lists it: `[ FE BE HTTP ]`. Options with arguments have no such list.
fn sides(out: &mut String, name: &str) {
    let Some(row) = keyword::find(option::OPTIONS, name) else { return };
    let Support::Carried(option::Kind::Flag(_)) = row.support else { return };
    out.push_str(" [");
    let http = HTTP_FLAGS.iter().any(|(_, http, _)| *http == name);
    for (mark, on) in [(" FE", row.on.frontend()), (" BE", row.on.backend()), (" HTTP", http)] {
        if on {
            out.push_str(mark);
        }
    }
    out.push_str(" ]");
}

/// Whether an option of `bind` lines is one of TLS, which HAProxy lists behind `ssl`.
fn is_tls(name: &str) -> bool {
    let tables: Table<bind::Parse> =
        &[tls::BIND_VERSIONS, tls::BIND_SETTINGS, tls::BIND_DEFAULTS, tls::BIND, tls::BIND_NOT_YET];
    name != "ssl" && keyword::find(tables, name).is_some()
}

/// `http-request deny` and all others, a star after those whose names go on.
fn actions(out: &mut String) {
    for set in SetKind::ALL {
        let rows = action::ALL.iter().flat_map(|rows| rows.iter());
        let mut names: Vec<String> = rows
            .filter(|row| row.sets.contains(set))
            .map(|row| match row.name.strip_prefix("track-sc") {
                Some(_) => "track-sc*".to_owned(),
                None if row.syntax.starts_with('(') => format!("{}*", row.name),
                None => row.name.to_owned(),
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let _ = writeln!(out, "\t{} {name}", set.keyword());
        }
    }
}

impl Entry {
    /// The keyword with what stands in front of it.
    pub fn words(&self) -> String {
        match self.prefix {
            "" => self.name.to_owned(),
            prefix => format!("{prefix} {}", self.name),
        }
    }
}

/// docs/compatibility.md: what becomes of every word.
pub fn compatibility() -> String {
    let all = entries();
    let of = |status| all.iter().filter(move |entry| entry.status == status);
    let mut out = format!(
        "# Compatibility\n\n\
         What becomes of each word of HAProxy 3.5's configuration. This page is made from the tables of keywords\n\
         (`UPDATE_EXPECT=1 cargo test -p proxy-config --lib compatibility` rewrites it); `sluice -dKall -c -f <file>`\n\
         lists what a binary accepts, actions, fetches and converters included.\n\n\
         * **carried** ({}): does what the manual says.\n\
         * **no effect** ({}): tunes what only HAProxy's implementation has. Its arguments are checked, a notice says\n  \
         once that it does nothing, and never is it a warning: `zero-warning` does not stop such a start.\n\
         * **not yet** ({}): known, and stops the start with the line when it is used.\n\
         * **removed** ({}): gone from the language; the message says what to write instead.\n",
        of(Status::Carried).count(),
        of(Status::NoEffect).count(),
        of(Status::NotYet).count(),
        of(Status::Removed).count(),
    );
    let mut table = |title: &str, status: Status, last: &str| {
        let _ = writeln!(
            out,
            "\n## {title}\n\n| section | word | manual | {last} |\n|---|---|---|---|"
        );
        for entry in all.iter().filter(|entry| entry.status == status) {
            let _ = writeln!(
                out,
                "| {} | `{}` | {} | {} |",
                entry.section,
                entry.words(),
                entry.manual,
                entry.doc.replace('|', "\\|")
            );
        }
    };
    table("Not yet", Status::NotYet, "topic");
    table("No effect", Status::NoEffect, "why");
    table("Removed", Status::Removed, "");
    table("Carried", Status::Carried, "what it does");
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
    fn compatibility_page_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/compatibility.md");
        let page = compatibility();
        if std::env::var_os("UPDATE_EXPECT").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(written == page, "UPDATE_EXPECT=1 cargo test -p proxy-config --lib compatibility");
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
            "\toption abortonclose [ FE BE ]",
            "\toption http-no-delay [ FE BE HTTP ]",
            "\thttp-request track-sc*",
            "\tca-file +1",
        ] {
            assert!(dump.lines().any(|l| l == line), "{line:?}");
        }
        assert!(!dump.contains("quic-force-retry"));
    }
}
