//! From a line to the command it calls; what is said of lines that call none, and the help.

use crate::cli::TABLES;
use crate::command::Command;
use crate::session_state::Access;

/// Every command, sorted by its words, the session's own last as in HAProxy's help.
pub fn table() -> impl Iterator<Item = &'static Command> {
    TABLES.iter().copied().flatten()
}

/// The command that a line calls, and its arguments. The longest match wins.
pub fn find(line: &[String]) -> Option<(&'static Command, &[String])> {
    table()
        .filter(|c| c.agreement(line) == c.words.len())
        .max_by_key(|c| c.words.len())
        .map(|c| (c, &line[c.words.len()..]))
}

/// `help [<command>]` and the answer to what is no command.
pub fn help(access: Access, matching: &[String]) -> String {
    let mut text = String::from("The following commands are valid at this level:\n");
    let mut rows = sorted(access);
    if !matching.is_empty() {
        let near = near(&rows, matching);
        rows.retain(|c| {
            near.iter().any(|n| std::ptr::eq(*n, *c)) || c.words.len() == 1 && is_basic(c)
        });
    }
    rows.iter().for_each(|c| text.push_str(&c.help_line()));
    text
}

/// The answer to an unknown command.
pub fn unknown(access: Access, line: &[String]) -> String {
    let rows = sorted(access);
    let near = near(&rows, line);
    if near.is_empty() {
        let mut text =
            String::from("Unknown command. Please enter one of the following commands only:\n");
        rows.iter().for_each(|c| text.push_str(&c.help_line()));
        return text;
    }
    let mut text =
        String::from("Unknown command, but maybe one of the following ones is a better match:\n");
    for command in rows {
        if is_basic(command) || near.iter().any(|n| std::ptr::eq(*n, command)) {
            text.push_str(&command.help_line());
        }
    }
    text
}

/// Commands that every listing ends with.
fn is_basic(command: &Command) -> bool {
    matches!(command.words, ["help" | "prompt" | "quit"])
}

fn sorted(access: Access) -> Vec<&'static Command> {
    let said = |c: &&Command| c.level <= access.level && access.has(c.mode) && !c.is_of_programs();
    let mut rows: Vec<_> = table().filter(said).collect();
    rows.sort_by_key(|c| (is_basic(c), c.words));
    rows
}

/// The commands that agree with the most words; or whose words begin as the line's do; or that are few letters away.
fn near(rows: &[&'static Command], line: &[String]) -> Vec<&'static Command> {
    if line.is_empty() {
        return Vec::new();
    }
    let pick = |wanted: &dyn Fn(&Command) -> bool| -> Vec<&'static Command> {
        rows.iter().copied().filter(|c| wanted(c)).collect()
    };
    let most = rows.iter().map(|c| c.agreement(line)).max().unwrap_or(0);
    let begins = |c: &Command| {
        line.iter().zip(c.words).all(|(typed, word)| word.starts_with(typed.as_str()))
            && line.len() <= c.words.len()
    };
    if most > 0 {
        let narrowed = pick(&|c| {
            c.agreement(line) == most
                && (line.len() <= most || c.words.get(most).is_some_and(|w| close(&line[most], w)))
        });
        if !narrowed.is_empty() {
            return narrowed;
        }
        return pick(&|c| c.agreement(line) == most);
    }
    let begun = pick(&begins);
    if !begun.is_empty() {
        return begun;
    }
    pick(&|c| line.iter().zip(c.words).all(|(typed, word)| close(typed, word)))
}

/// Whether a typed word may mean `word`.
fn close(typed: &str, word: &str) -> bool {
    !typed.is_empty()
        && (word.starts_with(typed)
            || proxy_types::text::distance(typed, word, typed.len().div_ceil(3).min(2)).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_unique_and_documented() {
        let mut seen: Vec<&[&str]> = Vec::new();
        for command in table() {
            assert!(!command.words.is_empty() && !command.doc.is_empty());
            assert!(!seen.contains(&command.words), "{:?} twice", command.words);
            assert!(!command.doc.ends_with('.') && command.doc.len() < 100, "{}", command.doc);
            seen.push(command.words);
        }
    }

    #[test]
    fn the_longest_match_is_called() {
        let line = |s: &str| s.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let call = |s: &str| find(&line(s)).map(|(c, args)| (c.words.join(" "), args.len()));
        assert_eq!(call("show servers state be"), Some(("show servers state".into(), 1)));
        assert_eq!(call("show sta"), None);
        assert_eq!(call("show"), None);
        assert_eq!(call("clear counters all"), Some(("clear counters all".into(), 0)));
        assert_eq!(call("clear counters foo"), Some(("clear counters".into(), 1)));
    }
}
