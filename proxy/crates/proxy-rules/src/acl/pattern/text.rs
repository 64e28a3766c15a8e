//! Sets of strings: whole, at the start or end, inside, or between delimiters.

use aho_corasick::AhoCorasick;
use bumpalo::Bump;
use rustc_hash::FxHashSet;

/// Where in the text a pattern must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Anywhere,
    End,
    /// From one of these delimiters, or the start, to the next, or the end.
    Parts(&'static [u8]),
    Start,
    Whole,
}

/// Strings while they are read.
#[derive(Debug)]
pub struct Builder {
    at: Where,
    exact: Vec<Box<[u8]>>,
    folded: Vec<Box<[u8]>>,
}

impl Builder {
    pub(super) fn new(at: Where) -> Self {
        Self { at, exact: Vec::new(), folded: Vec::new() }
    }

    pub(super) fn push(&mut self, pattern: &[u8], ignore_case: bool) {
        let pattern = match self.at {
            // Delimiters around the pattern say nothing.
            Where::Parts(delimiters) => {
                let start = pattern.iter().position(|b| !delimiters.contains(b)).unwrap_or(0);
                let end =
                    pattern.iter().rposition(|b| !delimiters.contains(b)).map_or(0, |i| i + 1);
                &pattern[start.min(end)..end]
            }
            _ => pattern,
        };
        if ignore_case {
            self.folded.push(pattern.to_ascii_lowercase().into());
        } else {
            self.exact.push(pattern.into());
        }
    }

    pub(super) fn finish(self) -> Result<TextSet, String> {
        Ok(TextSet {
            exact: Index::new(self.at, self.exact)?,
            folded: Index::new(self.at, self.folded)?,
        })
    }
}

/// Strings of which any may match.
#[derive(Debug)]
pub struct TextSet {
    exact: Index,
    /// In lower case; compared with the text in lower case.
    folded: Index,
}

impl TextSet {
    pub fn matches(&self, text: &[u8], scratch: &Bump) -> bool {
        if self.exact.matches(text) {
            return true;
        }
        if self.folded.is_empty() {
            return false;
        }
        if !text.iter().any(u8::is_ascii_uppercase) {
            return self.folded.matches(text);
        }
        let lower = scratch.alloc_slice_copy(text);
        lower.make_ascii_lowercase();
        self.folded.matches(lower)
    }
}

/// Up to this many strings are compared one by one: that is faster than hashing.
const LINEAR_MAX: usize = 8;

/// Strings of one length.
type SameLen = (usize, FxHashSet<Box<[u8]>>);

#[derive(Debug)]
enum Index {
    Anywhere(AhoCorasick),
    Empty,
    /// Strings of equal length are looked up together, at the start, the end or both.
    Hashed {
        at: Where,
        by_len: Box<[SameLen]>,
    },
    Linear {
        at: Where,
        list: Box<[Box<[u8]>]>,
    },
}

impl Index {
    fn new(at: Where, list: Vec<Box<[u8]>>) -> Result<Self, String> {
        if list.is_empty() {
            return Ok(Self::Empty);
        }
        if at == Where::Anywhere {
            return AhoCorasick::new(&list)
                .map(Self::Anywhere)
                .map_err(|e| format!("the patterns cannot be indexed: {e}"));
        }
        if list.len() <= LINEAR_MAX || matches!(at, Where::Parts(_)) {
            return Ok(Self::Linear { at, list: list.into() });
        }
        let mut by_len: Vec<SameLen> = Vec::new();
        for pattern in list {
            let len = pattern.len();
            match by_len.iter_mut().find(|(l, _)| *l == len) {
                Some((_, set)) => {
                    set.insert(pattern);
                }
                None => by_len.push((len, FxHashSet::from_iter([pattern]))),
            }
        }
        by_len.sort_by_key(|(len, _)| *len);
        Ok(Self::Hashed { at, by_len: by_len.into() })
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Anywhere(ac) => ac.is_match(text),
            Self::Empty => false,
            Self::Linear { at, list } => list.iter().any(|pattern| match at {
                Where::Anywhere | Where::Whole => **pattern == *text,
                Where::End => text.ends_with(pattern),
                Where::Parts(delimiters) => has_part(text, pattern, delimiters),
                Where::Start => text.starts_with(pattern),
            }),
            Self::Hashed { at, by_len } => {
                let wanted = by_len.iter().take_while(|(len, _)| *len <= text.len());
                match at {
                    Where::End => {
                        wanted.into_iter().any(|(len, set)| set.contains(&text[text.len() - len..]))
                    }
                    Where::Start => {
                        wanted.into_iter().any(|(len, set)| set.contains(&text[..*len]))
                    }
                    Where::Anywhere | Where::Parts(_) | Where::Whole => by_len
                        .binary_search_by_key(&text.len(), |(len, _)| *len)
                        .is_ok_and(|i| by_len[i].1.contains(text)),
                }
            }
        }
    }
}

fn has_part(text: &[u8], pattern: &[u8], delimiters: &[u8]) -> bool {
    if pattern.is_empty() {
        return false;
    }
    let ends = |at: usize| text.get(at).is_none_or(|b| delimiters.contains(b));
    let mut start = 0;
    loop {
        if text[start..].starts_with(pattern) && ends(start + pattern.len()) {
            return true;
        }
        match text[start..].iter().position(|b| delimiters.contains(b)) {
            Some(len) => start += len + 1,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(at: Where, patterns: &[&str], ignore_case: bool, inside: &[&str], outside: &[&str]) {
        // The same answers one by one and hashed.
        let filler: Vec<String> = (0..20).map(|i| format!("\u{1}filler{i}")).collect();
        for extra in [0, filler.len()] {
            let mut builder = Builder::new(at);
            patterns.iter().for_each(|p| builder.push(p.as_bytes(), ignore_case));
            filler[..extra].iter().for_each(|p| builder.push(p.as_bytes(), ignore_case));
            let set = builder.finish().unwrap();
            let matches = |s: &&&str| set.matches(s.as_bytes(), &Bump::new());
            assert_eq!(
                inside.iter().filter(|s| !matches(s)).collect::<Vec<_>>(),
                [""; 0].iter().collect::<Vec<_>>()
            );
            assert_eq!(
                outside.iter().filter(matches).collect::<Vec<_>>(),
                [""; 0].iter().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn places() {
        check(Where::Whole, &["/a", "/bc"], false, &["/a", "/bc"], &["/", "/A", "/b", "/bcd", ""]);
        check(Where::Whole, &["Www.A"], true, &["www.a", "WWW.A"], &["www.b", "www"]);
        check(
            Where::Start,
            &["/static", "/i"],
            false,
            &["/static", "/static/x", "/i"],
            &["/s", "x/i", ""],
        );
        check(Where::End, &[".png", ".JPG"], true, &["a.PNG", ".jpg"], &["png", "a.pngx", ""]);
        check(Where::Anywhere, &["bc"], false, &["abcd", "bc"], &["b", "BC", ""]);
        check(Where::Anywhere, &["bc"], true, &["aBCd"], &["b"]);
    }

    #[test]
    fn parts_of_the_manual() {
        let path = "/images/png/logo/32x32.png";
        for pattern in
            ["/images", "/images/png", "images/png", "/png/logo", "logo/32x32.png", "32x32.png"]
        {
            check(Where::Parts(b"/"), &[pattern], false, &[path], &["/x", "", "/"]);
        }
        check(Where::Parts(b"/"), &["32x32", "log", ""], false, &[], &[path]);
        let url = "http://www1.dc-eu.example.com:80/blah";
        for pattern in [
            "http",
            "www1",
            ".www1",
            "dc-eu",
            "example",
            "com",
            "80",
            "dc-eu.example",
            "blah",
            ":www1:",
            "dc-eu.example:80",
        ] {
            let hits = !matches!(pattern, "dc-eu.example:80");
            let (inside, outside): (&[&str], &[&str]) =
                if hits { (&[url], &[]) } else { (&[], &[url]) };
            check(Where::Parts(b"/?.:"), &[pattern], false, inside, outside);
        }
        check(Where::Parts(b"/?.:"), &["eu", "dc"], false, &[], &[url]);
        check(Where::Parts(b"/?.:"), &["EXAMPLE"], true, &[url, "Example"], &[]);
    }
}
