//! Words that the language has lost, translated where that can be done exactly (`--legacy`, `legacy-syntax accept`).
//!
//! Lines are rewritten in the text, so that comments, order and indentation stay and the result can be kept.

use std::collections::HashMap;

use proxy_types::FileId;

use crate::lexer::{self, Word};
use crate::{Environment, Sources};

/// One line that was rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub file: FileId,
    /// Counted from 1.
    pub line: u32,
    pub old: String,
    /// None when the line is left out.
    pub new: Vec<String>,
}

/// What came of a translation.
#[derive(Debug)]
pub struct Translation {
    pub sources: Sources,
    pub changes: Vec<Change>,
}

impl Translation {
    /// The changes as a diff without context, file by file.
    pub fn diff(&self, before: &Sources) -> String {
        let mut out = String::new();
        let mut file = None;
        for change in &self.changes {
            if file != Some(change.file) {
                file = Some(change.file);
                let name = before.get(change.file).map_or("?", |source| source.name.as_str());
                out.push_str(&format!("--- {name}\n+++ {name} (translated)\n"));
            }
            out.push_str(&format!("@@ line {} @@\n-{}\n", change.line, change.old));
            for line in &change.new {
                out.push_str(&format!("+{line}\n"));
            }
        }
        out
    }
}

/// First words of the lines that [`is_asked_for`] looks at.
const TELLING: &[&[u8]] =
    &[b"global", b"defaults", b"frontend", b"backend", b"listen", b"legacy-syntax"];

/// Whether the configuration asks for the translation itself: `legacy-syntax accept` in a `global` section.
pub fn is_asked_for(sources: &Sources) -> bool {
    sources.iter().any(|(file, source)| {
        let mut in_global = false;
        (1..=source.line_count() as u32).any(|number| {
            let line = source.line(number);
            if lexer::first_plain(line).is_some_and(|first| !TELLING.contains(&first)) {
                return false;
            }
            let words = words(line, file, number);
            match words.first().map(|word| word.value.as_str()) {
                Some("global") => in_global = true,
                Some("defaults" | "frontend" | "backend" | "listen") => in_global = false,
                Some("legacy-syntax") if in_global => {
                    return words.get(1).is_some_and(|word| word.value == "accept");
                }
                _ => {}
            }
            false
        })
    })
}

fn words(line: &[u8], file: FileId, number: u32) -> Vec<Word> {
    lexer::words(line, file, number, &Environment::new()).unwrap_or_default()
}

/// Translates every line that can be translated exactly; all others stay, and are judged as usual.
pub fn translate(sources: &Sources) -> Translation {
    let names = shared_names(sources);
    let mut out = Translation { sources: Sources::new(), changes: Vec::new() };
    for (file, source) in sources.iter() {
        let mut text: Vec<u8> = Vec::new();
        let mut section = String::new();
        for number in 1..=source.line_count() as u32 {
            let line = source.line(number);
            let words = words(line, file, number);
            let texts: Vec<&str> = words.iter().map(|word| word.value.as_str()).collect();
            if let Some(first) = texts.first()
                && matches!(*first, "global" | "defaults" | "frontend" | "backend" | "listen")
            {
                section = (*first).to_owned();
            }
            let last = number == source.line_count() as u32;
            let missing_feed = last && source.is_truncated();
            let indent: String =
                line.iter().take_while(|b| matches!(b, b' ' | b'\t')).map(|b| *b as char).collect();
            let new = rewrite(&section, &texts, &indent, &names);
            if new.is_none() && !missing_feed {
                text.extend_from_slice(line);
                text.push(b'\n');
                continue;
            }
            let old = String::from_utf8_lossy(line).into_owned();
            let new = new.unwrap_or_else(|| vec![old.clone()]);
            for line in &new {
                text.extend_from_slice(line.as_bytes());
                text.push(b'\n');
            }
            out.changes.push(Change { file, line: number, old, new });
        }
        out.sources.add(source.name.clone(), text);
    }
    out
}

/// Backends that have the name of a frontend, and the name that they get.
fn shared_names(sources: &Sources) -> HashMap<String, String> {
    let mut of: HashMap<&str, Vec<String>> = HashMap::new();
    for (file, source) in sources.iter() {
        for number in 1..=source.line_count() as u32 {
            let words = words(source.line(number), file, number);
            // What is made at run time would still mean the old name.
            if let [keyword, name, ..] = words.as_slice()
                && keyword.value == "use_backend"
                && name.value.contains("%[")
            {
                return HashMap::new();
            }
            if let [kind, name, ..] = words.as_slice() {
                let kind = match kind.value.as_str() {
                    "frontend" => "frontend",
                    "backend" => "backend",
                    "listen" => "listen",
                    _ => continue,
                };
                of.entry(kind).or_default().push(name.value.to_string());
            }
        }
    }
    let all = |kind: &str| of.get(kind).map(Vec::as_slice).unwrap_or_default();
    let taken =
        |name: &String| ["frontend", "backend", "listen"].iter().any(|k| all(k).contains(name));
    all("backend")
        .iter()
        .filter(|name| all("frontend").contains(name))
        .map(|name| {
            let mut new = format!("{name}_backend");
            while taken(&new) {
                new.push('_');
            }
            (name.clone(), new)
        })
        .collect()
}

/// The lines that stand for one; `None` when it stays.
fn rewrite(
    section: &str,
    words: &[&str],
    indent: &str,
    names: &HashMap<String, String>,
) -> Option<Vec<String>> {
    let quoted =
        |words: &[&str]| words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
    let line = |text: String| Some(vec![format!("{indent}{text}")]);
    let gone = || Some(Vec::new());
    let rename = |at: usize| {
        let new = names.get(*words.get(at)?)?;
        let mut words: Vec<&str> = words.to_vec();
        words[at] = new;
        line(quoted(&words))
    };
    match (section, words) {
        (_, ["frontend" | "listen", name, address]) if address.contains(':') => Some(vec![
            format!("{indent}{} {}", words[0], quote(name)),
            format!("{indent}    bind {}", quote(address)),
        ]),
        (_, ["backend", ..]) => rename(1),
        (_, ["default_backend", ..] | ["use_backend", ..]) if section != "global" => rename(1),
        ("global", ["legacy-syntax", ..] | ["master-worker"] | ["debug"]) => gone(),
        (_, ["option", "http-use-htx" | "http-tunnel"] | ["no", "option", "http-use-htx"]) => {
            gone()
        }
        (_, ["option", "forceclose"]) => line("option httpclose".into()),
        (_, ["redispatch"]) => line("option redispatch".into()),
        (_, ["clitimeout", time] | ["timeout", "clitimeout", time]) => {
            line(format!("timeout client {time}"))
        }
        (_, ["srvtimeout", time] | ["timeout", "srvtimeout", time]) => {
            line(format!("timeout server {time}"))
        }
        // Queue and tarpit take it over where they have none of their own, as they did.
        (_, ["contimeout", time] | ["timeout", "contimeout", time]) => {
            line(format!("timeout connect {time}"))
        }
        (_, ["block", condition @ ..]) if !condition.is_empty() => {
            line(format!("http-request deny {}", quoted(condition)))
        }
        (_, ["reqadd", header, condition @ ..]) => add("http-request", header, condition, indent),
        (_, ["rspadd", header, condition @ ..]) => add("http-response", header, condition, indent),
        (_, ["reqdel" | "reqidel", pattern, condition @ ..]) => {
            delete("http-request", pattern, condition, indent)
        }
        (_, ["rspdel" | "rspidel", pattern, condition @ ..]) => {
            delete("http-response", pattern, condition, indent)
        }
        (_, ["option", "httpchk", method, uri, version]) if version.contains("\r\n") => {
            hidden_headers(method, uri, version, indent)
        }
        _ => None,
    }
}

/// `reqadd Name:\ value`
fn add(keyword: &str, header: &str, condition: &[&str], indent: &str) -> Option<Vec<String>> {
    let (name, value) = header.split_once(':')?;
    is_name(name).then_some(())?;
    // A format starts with a percent sign, and this text is none.
    let value = value.trim_start().replace('%', "%%");
    let mut text = format!("{indent}{keyword} add-header {name} {}", quote(&value));
    condition.iter().for_each(|word| text.push_str(&format!(" {}", quote(word))));
    Some(vec![text])
}

/// `reqidel ^Name:.*`: only patterns that are about one name are clear.
fn delete(keyword: &str, pattern: &str, condition: &[&str], indent: &str) -> Option<Vec<String>> {
    let name = pattern.strip_prefix('^')?;
    let name = name.strip_suffix(".*").unwrap_or(name).strip_suffix(':')?;
    is_name(name).then_some(())?;
    let mut text = format!("{indent}{keyword} del-header {name}");
    condition.iter().for_each(|word| text.push_str(&format!(" {}", quote(word))));
    Some(vec![text])
}

/// `option httpchk GET / HTTP/1.1\r\nHost:\ name`
fn hidden_headers(method: &str, uri: &str, version: &str, indent: &str) -> Option<Vec<String>> {
    let (head, body) = version.split_once("\r\n\r\n").unwrap_or((version, ""));
    let mut lines = head.split("\r\n");
    let version = lines.next()?;
    let mut send = format!("{indent}http-check send");
    for header in lines.filter(|line| !line.is_empty()) {
        let (name, value) = header.split_once(':')?;
        is_name(name).then_some(())?;
        send.push_str(&format!(" hdr {name} {}", quote(&value.trim().replace('%', "%%"))));
    }
    if !body.is_empty() {
        send.push_str(&format!(" body {}", quote(body)));
    }
    let option =
        format!("{indent}option httpchk {} {} {}", quote(method), quote(uri), quote(version));
    Some(vec![option, send])
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn quote(word: &str) -> String {
    crate::dump::quoted(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, load};

    fn translated(text: &str) -> (String, Translation) {
        let sources = Sources::from_text("t.cfg", text);
        let translation = translate(&sources);
        let source = translation.sources.get(FileId(0)).unwrap();
        let lines: Vec<_> = (1..=source.line_count() as u32)
            .map(|n| String::from_utf8_lossy(source.line(n)).into_owned())
            .collect();
        (lines.join("\n"), translation)
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        assert_eq!(translated(&format!("{line}\n")).0, expected, "{line}");
    }

    #[test]
    fn lines_that_have_an_exact_translation() {
        check("  clitimeout 5000", "  timeout client 5000");
        check("  timeout contimeout 5s", "  timeout connect 5s");
        check("  contimeout 5s", "  timeout connect 5s");
        check("listen web 0.0.0.0:80", "listen web\n    bind 0.0.0.0:80");
        check("frontend  main *:5000", "frontend main\n    bind *:5000");
        check(r" reqadd X-Proto:\ https", " http-request add-header X-Proto https");
        check(r" rspadd X-A:\ 50%\ off if foo", " http-response add-header X-A '50%% off' if foo");
        check(" reqidel ^X-Forwarded-For:.*", " http-request del-header X-Forwarded-For");
        check(" rspidel ^Server:", " http-response del-header Server");
        check(" block if bad", " http-request deny if bad");
        check(" option forceclose", " option httpclose");
        check(
            r" option httpchk GET /up HTTP/1.1\r\nHost:\ www.example.com",
            " option httpchk GET /up HTTP/1.1\n http-check send hdr Host www.example.com",
        );
    }

    #[test]
    fn others_stay() {
        for line in [
            r" reqrep ^([^\ :]*)\ /old/(.*) \1\ /new/\2",
            " reqidel ^X-.*:",
            "frontend main # *:5000",
            " option httpchk GET /up",
        ] {
            check(line, line);
        }
    }

    #[test]
    fn whole_files_become_valid() {
        let (text, translation) = translated(
            "global\n legacy-syntax accept\n debug\n master-worker\ndefaults\n mode http\n contimeout 5s\n clitimeout 5s\n \
             srvtimeout 5s\nfrontend www\n bind :80\n use_backend www if { path / }\n default_backend www\nbackend www\n \
             server a 127.0.0.1:80",
        );
        let (config, diagnostics) =
            load(&translation.sources, &Environment::new(), &Options::default());
        assert!(config.is_some(), "{text}\n{diagnostics:?}");
        assert!(
            text.contains("backend www_backend") && text.contains("use_backend www_backend if")
        );
        let before = Sources::from_text("t.cfg", "");
        assert!(
            translation
                .diff(&before)
                .starts_with("--- t.cfg\n+++ t.cfg (translated)\n@@ line 2 @@\n")
        );
        // Once translated, nothing is left to translate.
        assert!(translate(&translation.sources).changes.is_empty());
        assert!(is_asked_for(&Sources::from_text("t", "global\n legacy-syntax accept\n")));
        assert!(!is_asked_for(&Sources::from_text("t", "defaults\n legacy-syntax accept\n")));
    }
}
