//! A configuration without what it says of its owner: for `-dC<key>` (management manual, 3).

use proxy_rules::{acl, action, conv, fetch};
use rustc_hash::FxHashSet;
use xxhash_rust::xxh32::xxh32;

use crate::listing::entries;
use crate::section::names::section_names;
use crate::text::Text;

/// Words behind which a secret stands.
const SECRET: &[&str] = &[
    "auth",
    "ca-sign-pass",
    "cluster-secret",
    "dynamic-cookie-key",
    "insecure-password",
    "password",
    "presetenv",
    "setenv",
    "tcp-md5sig",
];

/// Which words may be shown, and the key of those that may not.
pub(crate) struct Mask {
    key: u32,
    known: FxHashSet<&'static str>,
}

impl Mask {
    pub(crate) fn new(key: u32) -> Self {
        let mut known = FxHashSet::from_iter(["if", "unless", "or", "no", "from", "default"]);
        let mut add = |text: &'static str| known.extend(text.split(|c| !is_word(c)));
        section_names().for_each(&mut add);
        for entry in entries() {
            add(entry.section);
            add(entry.prefix);
            add(entry.name);
            add(entry.syntax);
        }
        for row in action::ALL.iter().flat_map(|rows| rows.iter()) {
            add(row.name);
            add(row.syntax);
        }
        fetch::ALL.iter().flat_map(|rows| rows.iter()).for_each(|row| add(row.name));
        conv::ALL.iter().flat_map(|rows| rows.iter()).for_each(|row| add(row.name));
        acl::alias::ALL.iter().for_each(|row| add(row.name));
        Self { key, known }
    }

    /// The line as it may be shown.
    pub(crate) fn line(&self, words: &[Text]) -> Vec<Text> {
        let secret = words.iter().position(|word| SECRET.contains(&word.as_str()));
        let shown = secret.map_or(words.len(), |at| at + 1);
        let mut line: Vec<Text> = words[..shown].iter().map(|word| self.word(word)).collect();
        if shown < words.len() {
            line.push("[...]".into());
        }
        line
    }

    fn word(&self, word: &str) -> Text {
        let mut out = String::new();
        let mut rest = word;
        while !rest.is_empty() {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let (part, after) = rest.split_at(length);
            // A number may have a unit; `10.1.2.3` is none.
            let number = part.trim_end_matches(|c: char| c.is_ascii_lowercase());
            if self.known.contains(part)
                || number.bytes().all(|b| b.is_ascii_digit()) && part.len() < number.len() + 3
            {
                out.push_str(part);
            } else {
                out.push_str(&format!("{:06x}", xxh32(part.as_bytes(), self.key) & 0xff_ffff));
            }
            let between = after.find(is_word).unwrap_or(after.len());
            out.push_str(&after[..between]);
            rest = &after[between..];
        }
        out.into()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_.-".contains(c)
}
