//! A line of the command language: commands separated by `;`, words by blanks, `\` taking the next character
//! as it is, and `<<` at the end announcing a payload (management manual, 9.3).

/// Bytes allowed in a pattern after `<<`.
pub const PATTERN_MAX: usize = 64;

/// A line taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Commands in order; none is empty.
    pub commands: Vec<Vec<String>>,
    /// The last command has a payload, which ends at a line that equals this (the empty line for plain `<<`).
    pub payload: Option<String>,
}

/// Takes a line apart. `line` is without its newline.
pub fn split(line: &str) -> Line {
    let (line, payload) = cut_payload_mark(line);
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ';' => {
                words.extend(word.take());
                if !words.is_empty() {
                    commands.push(std::mem::take(&mut words));
                }
            }
            ' ' | '\t' | '\r' => words.extend(word.take()),
            // A backslash at the very end stands for itself.
            '\\' => word.get_or_insert_default().push(chars.next().unwrap_or('\\')),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if !words.is_empty() {
        commands.push(words);
    }
    Line { commands, payload: payload.map(str::to_owned) }
}

/// Cuts `<<` or `<<PATTERN` off the end. It is a mark only as a word of its own.
fn cut_payload_mark(line: &str) -> (&str, Option<&str>) {
    let line = line.trim_end_matches([' ', '\t', '\r']);
    let Some(at) = line.rfind("<<") else { return (line, None) };
    let pattern = &line[at + 2..];
    let before = &line[..at];
    let apart = before.is_empty() || before.ends_with([' ', '\t']);
    let is_mark = apart && pattern.len() <= PATTERN_MAX && !pattern.contains([' ', '\t', ';']);
    if is_mark { (before, Some(pattern)) } else { (line, None) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(line: &str, expected: &[&[&str]], payload: Option<&str>) {
        let split = split(line);
        let commands: Vec<Vec<&str>> =
            split.commands.iter().map(|c| c.iter().map(String::as_str).collect()).collect();
        assert_eq!(commands, expected);
        assert_eq!(split.payload.as_deref(), payload);
    }

    #[test]
    fn splits_commands_and_words() {
        check("show info", &[&["show", "info"]], None);
        check("  show\tinfo ;show stat;", &[&["show", "info"], &["show", "stat"]], None);
        check("", &[], None);
        check(" ; ;", &[], None);
        check("echo a\\;b \\\\ c\\ d", &[&["echo", "a;b", "\\", "c d"]], None);
        check("echo a\\", &[&["echo", "a\\"]], None);
        check("show info\r", &[&["show", "info"]], None);
    }

    #[test]
    fn finds_payload_marks() {
        check("add map x <<", &[&["add", "map", "x"]], Some(""));
        check("set ssl cert a.pem <<%EOF%", &[&["set", "ssl", "cert", "a.pem"]], Some("%EOF%"));
        check("<<", &[], Some(""));
        check("echo a<<", &[&["echo", "a<<"]], None);
        check("echo << b", &[&["echo", "<<", "b"]], None);
        let long = format!("echo <<{}", "x".repeat(PATTERN_MAX + 1));
        assert_eq!(split(&long).payload, None);
    }

    proptest! {
        /// Escaping every character gives any words back.
        #[test]
        fn escaped_words_survive(
            commands in prop::collection::vec(prop::collection::vec("[^\r\n]{1,12}", 1..5), 0..4)
        ) {
            let escape = |w: &String| w.chars().flat_map(|c| ['\\', c]).collect::<String>();
            let line: Vec<String> = commands
                .iter()
                .map(|words| words.iter().map(escape).collect::<Vec<_>>().join(" "))
                .collect();
            let line = line.join(";") + ";";
            let seen = split(&line);
            prop_assert_eq!(seen.commands, commands);
            prop_assert_eq!(seen.payload, None);
        }

        /// Whatever comes in: no empty command, no empty word.
        #[test]
        fn nothing_is_empty(line in "[ \t;\\\\<a-c]{0,40}|\\PC{0,40}") {
            let seen = split(&line);
            prop_assert!(seen.commands.iter().all(|c| !c.is_empty()));
            prop_assert!(seen.commands.iter().flatten().all(|w| !w.is_empty()));
        }
    }
}
