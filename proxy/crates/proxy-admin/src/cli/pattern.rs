//! Maps and the pattern lists of ACLs: `show|get|add|set|del|clear|prepare|commit` (management manual, 9.3).

use crate::Level;
use crate::command::{Answer, Call, Command, Reply};
use proxy_rules::pattern::{Entry, Hit, ListError, PatternList, Target, pair};
use proxy_rules::sample::context::Clock;
use proxy_rules::sample::{EvalCtx, Type};
use std::cell::Cell;
use std::fmt::Write;
use std::sync::Arc;

/// Which of the two families a command belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Acl,
    Map,
}

impl Family {
    /// As the sentences name it.
    fn name(self) -> &'static str {
        if self == Self::Map { "map" } else { "ACL" }
    }

    /// Whether its commands see a list: maps are those with two columns, and those may serve ACLs, too.
    fn sees(self, list: &PatternList) -> bool {
        match self {
            Self::Map => list.is_map(),
            Self::Acl => !list.is_map() || list.is_used_by_acl(),
        }
    }

    fn list(self, call: &Call<'_>, reference: &str) -> Result<Arc<PatternList>, Reply> {
        let found = call.admin.shared.patterns.find(reference).filter(|list| self.sees(list));
        found.ok_or_else(|| {
            Reply::line(format!("Unknown {} identifier. Please use #<id> or <file>.", self.name()))
        })
    }
}

/// Takes `@<version>` off the front of the arguments.
fn version(args: &[String]) -> Result<(Option<u32>, &[String]), Reply> {
    match args {
        [first, rest @ ..] if first.starts_with('@') => {
            let version = first[1..].parse().map_err(|_| out_of_range())?;
            Ok((Some(version), rest))
        }
        _ => Ok((None, args)),
    }
}

fn out_of_range() -> Reply {
    ListError::VersionOutOfRange.into()
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// `<key>`, or `#<ref>` as the listing gives it.
fn target(word: &str) -> Target<'_> {
    match word.strip_prefix('#') {
        // What is no number names no entry.
        Some(id) => {
            Target::Id(u64::from_str_radix(id.trim_start_matches("0x"), 16).unwrap_or_default())
        }
        None => Target::Key(word.as_bytes()),
    }
}

fn entry_line(entry: &Arc<Entry>) -> String {
    let mut line = format!("{:#x} {}", entry.id(), text(entry.key()));
    if let Some(value) = entry.value() {
        let _ = write!(line, " {}", text(&value));
    }
    line.push('\n');
    line
}

fn show(call: &mut Call<'_>, family: Family) -> Answer {
    let (version, rest) = version(call.args)?;
    let Some(reference) = rest.first() else {
        if version.is_some() {
            return Err(family.list(call, "").err().unwrap_or_else(Reply::done));
        }
        let lists = call.admin.shared.patterns.all();
        let lines = lists.into_iter().filter(move |list| family.sees(list)).map(|list| {
            format!("{} ({}) {}\n", list.id(), list.name().unwrap_or(""), list.description())
        });
        let header = std::iter::once("# id (file) description\n".to_owned());
        return Ok(Reply::Pieces(Box::new(header.chain(lines))));
    };
    let entries = family.list(call, reference)?.entries(version);
    Ok(Reply::Pieces(Box::new(entries.into_iter().map(|entry| entry_line(&entry)))))
}

fn hit_line(hit: &Hit, family: Family, map: bool) -> String {
    let case = if hit.ignore_case { "insensitive" } else { "sensitive" };
    let (found, key_word) = match family {
        Family::Acl => ("match", "pattern"),
        Family::Map => ("found", "key"),
    };
    let mut line = format!("type={}, case={case}, {found}=", hit.method.name());
    let Some((key, value)) = &hit.entry else {
        line.push_str("no\n");
        return line;
    };
    let index = hit.method.index_name(hit.ignore_case);
    let _ = write!(line, "yes, idx={index}, {key_word}=\"{}\"", text(key));
    if family == Family::Map && map {
        match (hit.output, value) {
            (Some(output), Some(value)) => {
                let kind = match output {
                    // Addresses are of the family they are written in.
                    Type::Addr if value.contains(&b':') => Type::Ipv6,
                    Type::Addr => Type::Ipv4,
                    other => other,
                };
                let _ = write!(line, ", value=\"{}\", type=\"{}\"", text(value), kind.name());
            }
            _ => line.push_str(", value=none"),
        }
    }
    line.push('\n');
    line
}

fn get(call: &mut Call<'_>, family: Family) -> Answer {
    let [reference, value, ..] = call.args else {
        return Err(Reply::line(format!("Missing {} identifier and/or key.", family.name())));
    };
    let list = family.list(call, reference)?;
    let (scratch, random) = (bumpalo::Bump::new(), Cell::new(1));
    let clock = Clock { now: call.now, ..Clock::default() };
    let cx = EvalCtx::new(&scratch, &call.admin.shared, clock, &random);
    let hits = list.look_up(value.as_bytes(), &cx);
    Ok(Reply::Text(hits.iter().map(|hit| hit_line(hit, family, list.is_map())).collect()))
}

const ADD_MAP: &str = "'add map' expects three parameters (map identifier, key and value) or one parameter (map identifier) and a payload";

fn add_map(call: &mut Call<'_>) -> Answer {
    let (version, rest) = version(call.args)?;
    let usage = || Reply::line(ADD_MAP);
    let [reference, words @ ..] = rest else { return Err(usage()) };
    let pairs: Vec<(&[u8], Option<&[u8]>)> = match (words, call.payload) {
        ([], Some(payload)) => {
            let lines = payload.lines().map(|line| pair(line.as_bytes()));
            lines.filter(|(key, _)| !key.is_empty()).collect()
        }
        ([key, value, ..], None) => vec![(key.as_bytes(), Some(value.as_bytes()))],
        _ => return Err(usage()),
    };
    let list = Family::Map.list(call, reference)?;
    if let Some((key, _)) = pairs.iter().find(|(_, value)| value.is_none_or(<[u8]>::is_empty)) {
        return Err(Reply::line(format!("Missing value for key '{}'.", text(key))));
    }
    if pairs.is_empty() {
        return Err(usage());
    }
    list.add(version, &pairs)?;
    Ok(Reply::done())
}

fn add_acl(call: &mut Call<'_>) -> Answer {
    let (version, rest) = version(call.args)?;
    let [reference, pattern, ..] = rest else {
        return Err(Reply::line("'add acl' expects two parameters: ACL identifier and pattern."));
    };
    let list = Family::Acl.list(call, reference)?;
    if list.is_map() {
        return Err(Reply::line(
            "This ACL is shared with a map containing samples. You must use the command 'add map' to add values.",
        ));
    }
    list.add(version, &[(pattern.as_bytes(), None)])?;
    Ok(Reply::done())
}

fn set_map(call: &mut Call<'_>) -> Answer {
    let [reference, key, value, ..] = call.args else {
        return Err(Reply::line(
            "'set map' expects three parameters: map identifier, key and value.",
        ));
    };
    Family::Map.list(call, reference)?.set(target(key), value.as_bytes())?;
    Ok(Reply::done())
}

fn del(call: &mut Call<'_>, family: Family) -> Answer {
    let [reference, key, ..] = call.args else {
        return Err(Reply::line(format!(
            "This command expects two parameters: {} identifier and key.",
            family.name()
        )));
    };
    family.list(call, reference)?.delete(target(key))?;
    Ok(Reply::done())
}

fn clear(call: &mut Call<'_>, family: Family) -> Answer {
    let (version, rest) = version(call.args)?;
    let Some(reference) = rest.first() else {
        return Err(Reply::line(format!("Missing {} identifier.", family.name())));
    };
    family.list(call, reference)?.clear(version)?;
    Ok(Reply::done())
}

fn prepare(call: &mut Call<'_>, family: Family) -> Answer {
    let list = family.list(call, call.arg(0))?;
    Ok(Reply::line(format!("New version created: {}", list.prepare())))
}

fn commit(call: &mut Call<'_>, family: Family) -> Answer {
    if !call.arg(0).starts_with('@') {
        return Err(Reply::line("Missing version number."));
    }
    let (version, rest) = version(call.args)?;
    let Some(reference) = rest.first() else {
        return Err(Reply::line(format!("Missing {} identifier.", family.name())));
    };
    let list = family.list(call, reference)?;
    list.commit(version.ok_or_else(out_of_range)?)?;
    Ok(Reply::done())
}

// HAProxy 2.6 lets any level change lists; the manual allows no change at level `user` (9.3 `user`).
pub(super) static COMMANDS: &[Command] = &[
    Command::new(
        &["add", "acl"],
        "[@<ver>] <acl> <pattern>",
        "add an acl entry",
        Level::Operator,
        add_acl,
    ),
    Command::new(
        &["add", "map"],
        "[@<ver>] <map> <key> <val>",
        "add a map entry (payload supported instead of key/val)",
        Level::Operator,
        add_map,
    ),
    Command::new(
        &["clear", "acl"],
        "[@<ver>] <acl>",
        "clear the contents of this acl",
        Level::Operator,
        |call| clear(call, Family::Acl),
    ),
    Command::new(
        &["clear", "map"],
        "[@<ver>] <map>",
        "clear the contents of this map",
        Level::Operator,
        |call| clear(call, Family::Map),
    ),
    Command::new(
        &["commit", "acl"],
        "@<ver> <acl>",
        "commit the ACL at this version",
        Level::Operator,
        |call| commit(call, Family::Acl),
    ),
    Command::new(
        &["commit", "map"],
        "@<ver> <map>",
        "commit the map at this version",
        Level::Operator,
        |call| commit(call, Family::Map),
    ),
    Command::new(
        &["del", "acl"],
        "<acl> [<key>|#<ref>]",
        "delete acl entries matching <key>",
        Level::Operator,
        |call| del(call, Family::Acl),
    ),
    Command::new(
        &["del", "map"],
        "<map> [<key>|#<ref>]",
        "delete map entries matching <key>",
        Level::Operator,
        |call| del(call, Family::Map),
    ),
    Command::new(
        &["get", "acl"],
        "<acl> <value>",
        "report the patterns matching a sample for an ACL",
        Level::User,
        |call| get(call, Family::Acl),
    ),
    Command::new(
        &["get", "map"],
        "<map> <value>",
        "report the keys and values matching a sample for a map",
        Level::User,
        |call| get(call, Family::Map),
    ),
    Command::new(
        &["prepare", "acl"],
        "<acl>",
        "prepare a new version for atomic ACL replacement",
        Level::Operator,
        |call| prepare(call, Family::Acl),
    ),
    Command::new(
        &["prepare", "map"],
        "<map>",
        "prepare a new version for atomic map replacement",
        Level::Operator,
        |call| prepare(call, Family::Map),
    ),
    Command::new(
        &["set", "map"],
        "<map> [<key>|#<ref>] <value>",
        "modify a map entry",
        Level::Operator,
        set_map,
    ),
    Command::new(
        &["show", "acl"],
        "[@<ver>] [<acl>]",
        "report available acls or dump an acl's contents",
        Level::User,
        |call| show(call, Family::Acl),
    ),
    Command::new(
        &["show", "map"],
        "[@<ver>] [<map>]",
        "report available maps or dump a map's contents",
        Level::User,
        |call| show(call, Family::Map),
    ),
];
