//! The configuration as it is read: comments gone, conditions and variables resolved, one form of quoting.

use crate::keyword::{On, find};
use crate::lexer::{Text, Word};
use crate::line::{option, rules, stats, timeout};
use crate::mask::Mask;
use crate::model::ProxyKind;
use crate::section::proxy::PROXY;

/// How a configuration is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Line by line (`-dC`). With a key other than 0, names and addresses are hashed with it, and lines end where
    /// a secret begins.
    Lines { key: u32 },
    /// Every section with the settings that it takes from `defaults`, and no `defaults` sections.
    Resolved,
}

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    sections: Vec<Section>,
}

#[derive(Debug)]
struct Section {
    /// `None` for those that are no proxies.
    kind: Option<ProxyKind>,
    name: String,
    /// The `defaults` section it starts from.
    defaults: Option<usize>,
    words: Vec<Text>,
    lines: Vec<Vec<Text>>,
}

fn texts(words: &[Word]) -> Vec<Text> {
    words.iter().map(|word| word.value.clone()).collect()
}

impl Recorder {
    /// A line that opens a section.
    pub(crate) fn section(&mut self, kind: Option<ProxyKind>, words: &[Word]) {
        let words = texts(words);
        let from = words.iter().position(|word| *word == "from");
        let name =
            words.get(1).filter(|_| from != Some(1)).map(Text::to_string).unwrap_or_default();
        let named = from.and_then(|at| words.get(at + 1));
        let defaults = self.sections.iter().rposition(|section| {
            section.kind == Some(ProxyKind::Defaults)
                && match named {
                    Some(name) => *name == section.name.as_str(),
                    None => kind != Some(ProxyKind::Defaults),
                }
        });
        self.sections.push(Section { kind, name, defaults, words, lines: Vec::new() });
    }

    /// Any other line.
    pub(crate) fn line(&mut self, words: &[Word]) {
        if let Some(section) = self.sections.last_mut() {
            section.lines.push(texts(words));
        }
    }

    pub(crate) fn write(&self, form: Form) -> String {
        if let Form::Lines { key } = form
            && key != 0
        {
            let mask = Mask::new(key);
            let mut out = String::new();
            for section in &self.sections {
                let masked = |line: &Vec<Text>| mask.line(line);
                let lines: Vec<Vec<Text>> = section.lines.iter().map(masked).collect();
                write_section(&mut out, &mask.line(&section.words), lines.iter());
            }
            return out;
        }
        let mut out = String::new();
        for section in &self.sections {
            let Some(kind) = section.kind.filter(|_| form == Form::Resolved) else {
                write_section(&mut out, &section.words, section.lines.iter());
                continue;
            };
            if kind == ProxyKind::Defaults {
                continue;
            }
            let inherited = self.inherited(section);
            let head = [kind.as_str().into(), section.name.as_str().into()];
            let own = |keyword: &str| section.lines.iter().any(|line| line[0] == *keyword);
            let lines = inherited.into_iter().filter(|line| {
                // A rule of checks takes the place of all that are inherited.
                let replaced =
                    matches!(line[0].as_str(), "http-check" | "tcp-check") && own(&line[0]);
                fits(kind, line) && !replaced
            });
            write_section(&mut out, &head, lines.chain(&section.lines));
        }
        out
    }

    /// The lines of the `defaults` sections that a section starts from.
    fn inherited(&self, section: &Section) -> Vec<&Vec<Text>> {
        let mut chain = Vec::new();
        let mut next = section.defaults;
        // A section only ever starts from one before it.
        while let Some(defaults) = next.and_then(|at| self.sections.get(at)) {
            chain.push(&defaults.lines);
            next = defaults.defaults;
        }
        chain.into_iter().rev().flatten().collect()
    }
}

/// Whether a line of `defaults` says something to such a section.
fn fits(kind: ProxyKind, line: &[Text]) -> bool {
    let at = usize::from(line.len() > 1 && matches!(line[0].as_str(), "no" | "default"));
    let (name, second) = (line[at].as_str(), line.get(at + 1).map_or("", Text::as_str));
    let on: Option<On> = match name {
        "option" => find(option::OPTIONS, second).map(|row| row.on),
        "stats" => find(stats::STATS, second).map(|row| row.on),
        "tcp-request" => find(rules::TCP_REQUEST, second).map(|row| row.on),
        "tcp-response" => find(rules::TCP_RESPONSE, second).map(|row| row.on),
        "timeout" => find(timeout::TIMEOUTS, second).map(|row| row.on),
        _ => find(PROXY, name).map(|row| row.on),
    };
    on.is_none_or(|on| on.frontend() && kind.is_frontend() || on.backend() && kind.is_backend())
}

fn write_section<'a>(out: &mut String, words: &[Text], lines: impl Iterator<Item = &'a Vec<Text>>) {
    if !out.is_empty() {
        out.push('\n');
    }
    write_line(out, words);
    for line in lines {
        out.push_str("    ");
        write_line(out, line);
    }
}

fn write_line(out: &mut String, words: &[Text]) {
    for (index, word) in words.iter().filter(|word| !word.is_empty() || words.len() > 2).enumerate()
    {
        if index > 0 {
            out.push(' ');
        }
        match word.is_utf8() {
            true => quote(out, word),
            false => quote_bytes(out, word.as_bytes()),
        }
    }
    out.push('\n');
}

/// [`quote`] as a text of its own.
pub(crate) fn quoted(word: &str) -> String {
    let mut out = String::new();
    quote(&mut out, word);
    out
}

/// A word so that the lexer reads it back.
fn quote(out: &mut String, word: &str) {
    let plain = |c: char| !(c.is_whitespace() || c.is_control() || "\"'\\#$".contains(c));
    if !word.is_empty() && word.chars().all(plain) {
        out.push_str(word);
    } else if !word.contains('\'') && !word.chars().any(char::is_control) {
        out.push('\'');
        out.push_str(word);
        out.push('\'');
    } else {
        out.push('"');
        for c in word.chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '"' | '\\' | '$' => {
                    out.push('\\');
                    out.push(c);
                }
                c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
                c => out.push(c),
            }
        }
        out.push('"');
    }
}

/// The same for a word that is no text.
fn quote_bytes(out: &mut String, word: &[u8]) {
    out.push('"');
    for &byte in word {
        match byte {
            b' '..=b'~' if !b"\"\\$".contains(&byte) => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, Options, Sources, load};

    const TEXT: &str = "global\n setenv A b # comment\n.if defined(A)\n description \"it's $A\"\n.else\n nosuch\n.endif\n\
         defaults base\n mode http\n timeout client 1s\n timeout server 1s\n option httpchk\n http-check expect status 200\n\
         defaults more from base\n timeout connect 2s\n\
         frontend f from more\n bind :80\n log-format 'a b'\n default_backend b\n\
         backend b\n http-check expect status 204\n server s 127.0.0.1:80\n";

    fn write(text: &str, form: Form) -> String {
        let sources = Sources::from_text("t", text);
        crate::dump(&sources, &Environment::new(), &Options::default(), form)
    }

    #[test]
    fn lines_are_those_that_count() {
        assert_eq!(
            write(TEXT, Form::Lines { key: 0 }),
            "global\n    setenv A b\n    description \"it's b\"\n\n\
             defaults base\n    mode http\n    timeout client 1s\n    timeout server 1s\n    option httpchk\n    \
             http-check expect status 200\n\n\
             defaults more from base\n    timeout connect 2s\n\n\
             frontend f from more\n    bind :80\n    log-format 'a b'\n    default_backend b\n\n\
             backend b\n    http-check expect status 204\n    server s 127.0.0.1:80\n"
        );
    }

    #[test]
    fn a_key_hides_names_addresses_and_secrets() {
        let text = "userlist u\n user joe insecure-password tea\n\
            backend shop\n balance roundrobin\n http-request set-header X-Shop %[src,ipmask(24)]-red if { path_beg /buy }\n \
            server joe 10.1.2.3:80 check inter 2s\n";
        let masked = write(text, Form::Lines { key: 7 });
        for gone in ["joe", "tea", "shop", "10.1.2.3", "red", "buy", "Shop"] {
            assert!(!masked.contains(gone), "{gone}: {masked}");
        }
        for kept in [
            "\n    user ",
            " insecure-password [...]",
            "%[src,ipmask(24)]",
            ":80 check inter 2s",
            "path_beg",
            "\nbackend ",
        ] {
            assert!(masked.contains(kept), "{kept}: {masked}");
        }
        // The same name is the same everywhere; another key makes another.
        let name = |text: &str| {
            text.lines().find_map(|l| l.strip_prefix("    server ")).map(|l| l[..6].to_owned())
        };
        let user =
            masked.lines().find_map(|l| l.strip_prefix("    user ")).map(|l| l[..6].to_owned());
        assert_eq!(name(&masked), user);
        assert_ne!(name(&masked), name(&write(text, Form::Lines { key: 8 })));
    }

    #[test]
    fn defaults_are_resolved() {
        let resolved = write(TEXT, Form::Resolved);
        assert_eq!(
            resolved,
            "global\n    setenv A b\n    description \"it's b\"\n\n\
             frontend f\n    mode http\n    timeout client 1s\n    bind :80\n    log-format 'a b'\n    \
             default_backend b\n\n\
             backend b\n    mode http\n    timeout server 1s\n    option httpchk\n    timeout connect 2s\n    \
             http-check expect status 204\n    server s 127.0.0.1:80\n"
        );
        // It reads back as what it was.
        let sources = Sources::from_text("t", resolved.clone());
        let (config, _) = load(&sources, &Environment::new(), &Options::default());
        assert!(config.is_some());
        assert_eq!(write(&resolved, Form::Resolved), resolved);
    }
}
