//! Strings: whole, at the start or end, inside, or between delimiters.

use aho_corasick::AhoCorasick;
use hashbrown::HashTable;
use rustc_hash::FxHasher;
use smallvec::SmallVec;
use std::hash::Hasher;

use super::places::{Places, first};

/// Up to this many strings are compared one by one: that is faster than an index.
const LINEAR_MAX: usize = 8;
/// Texts with more delimiters are searched string by string.
const PARTS_MAX: usize = 64;

/// Where in the text a string must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    Anywhere,
    End,
    /// From one of these delimiters, or the start, to the next, or the end.
    Parts(&'static [u8]),
    Start,
    Whole,
}

/// Strings of which any may match.
#[derive(Debug)]
pub(super) struct Texts {
    at: Where,
    ignore_case: bool,
    /// As they are compared: in lower case when the case is ignored; backwards for [`Where::End`] when they are indexed.
    keys: Box<[Box<[u8]>]>,
    index: Index,
}

#[derive(Debug)]
enum Index {
    Anywhere(Box<AhoCorasick>),
    Linear,
    /// Strings in order, each with the longest other one that it starts with.
    Prefixes {
        order: Box<[u32]>,
        parent: Box<[u32]>,
    },
    /// Whole strings or parts by hash, with the places of each.
    Table {
        table: HashTable<Places>,
        /// Most delimiters inside a string.
        inner_max: usize,
    },
}

const NONE: u32 = u32::MAX;

impl Texts {
    pub(super) fn new<'p>(
        at: Where,
        patterns: impl Iterator<Item = &'p [u8]>,
        ignore_case: bool,
    ) -> Result<Self, String> {
        let mut keys: Box<[Box<[u8]>]> =
            patterns.map(|pattern| normalize(at, pattern, ignore_case)).collect();
        if at == Where::End && keys.len() > LINEAR_MAX {
            keys.iter_mut().for_each(|key| key.reverse());
        }
        let index = match at {
            Where::Anywhere => AhoCorasick::builder()
                .ascii_case_insensitive(ignore_case)
                .build(keys.iter())
                .map(|ac| Index::Anywhere(Box::new(ac)))
                .map_err(|e| format!("the patterns cannot be indexed: {e}"))?,
            _ if keys.len() <= LINEAR_MAX => Index::Linear,
            Where::End | Where::Start => prefixes(&keys),
            Where::Parts(delimiters) => table(&keys, delimiters),
            Where::Whole => table(&keys, b""),
        };
        Ok(Self { at, ignore_case, keys, index })
    }

    /// The place of the best match that is alive: the longest one for prefixes whose case counts, else the first.
    pub(super) fn find(&self, text: &[u8], alive: impl Fn(u32) -> bool) -> Option<u32> {
        match &self.index {
            Index::Anywhere(ac) => {
                let matches = ac.find_overlapping_iter(text).map(|m| m.pattern().as_u32());
                return matches.filter(|at| alive(*at)).min();
            }
            Index::Linear if self.ignore_case => {
                return self.one_by_one(text, <[u8]>::eq_ignore_ascii_case, alive);
            }
            Index::Linear => return self.one_by_one(text, |a, b| *a == *b, alive),
            Index::Prefixes { .. } | Index::Table { .. } => {}
        }
        let mut room: SmallVec<[u8; 256]> = SmallVec::new();
        let text = if self.at == Where::End {
            room.extend(text.iter().rev().copied());
            room.as_mut_slice()
        } else if self.ignore_case {
            room.extend_from_slice(text);
            room.as_mut_slice()
        } else {
            return self.search(text, alive);
        };
        if self.ignore_case {
            text.make_ascii_lowercase();
        }
        self.search(text, alive)
    }

    /// Whether any string matches.
    pub(super) fn has(&self, text: &[u8]) -> bool {
        match &self.index {
            // The first match will do, which is found in fewer steps than all of them.
            Index::Anywhere(ac) => ac.is_match(text),
            _ => self.find(text, |_| true).is_some(),
        }
    }

    /// The longest match wins rather than the first.
    pub(super) fn prefers_longest(&self) -> bool {
        self.at == Where::Start && !self.ignore_case
    }

    /// Bytes of the string at a place.
    pub(super) fn len_of(&self, at: u32) -> usize {
        self.keys.get(at as usize).map_or(0, |key| key.len())
    }

    /// Compares with every string as it is, with `same` for bytes of equal number.
    fn one_by_one(
        &self,
        text: &[u8],
        same: impl Fn(&[u8], &[u8]) -> bool + Copy,
        alive: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let matches = |key: &[u8]| match self.at {
            Where::Anywhere | Where::Whole => text.len() == key.len() && same(text, key),
            Where::End => {
                text.len().checked_sub(key.len()).is_some_and(|start| same(&text[start..], key))
            }
            Where::Start => text.get(..key.len()).is_some_and(|start| same(start, key)),
            Where::Parts(delimiters) => has_part(text, key, delimiters, same),
        };
        let mut all = self.keys.iter().zip(0..).filter(|(k, at)| matches(k) && alive(*at));
        if !self.prefers_longest() {
            return all.next().map(|(_, at)| at);
        }
        // The first of the longest.
        let longest = all.fold(None, |best: Option<(usize, u32)>, (k, at)| match best {
            Some((len, _)) if len >= k.len() => best,
            _ => Some((k.len(), at)),
        });
        longest.map(|(_, at)| at)
    }

    fn search(&self, text: &[u8], alive: impl Fn(u32) -> bool) -> Option<u32> {
        match &self.index {
            Index::Anywhere(_) | Index::Linear => None,
            Index::Prefixes { order, parent } => {
                let after = order.partition_point(|at| *self.keys[*at as usize] <= *text);
                let mut next = after.checked_sub(1).map_or(NONE, |i| i as u32);
                let mut best = None;
                // Whatever is a prefix of the text is a prefix of what comes last before it.
                while next != NONE {
                    let at = order[next as usize];
                    if text.starts_with(&self.keys[at as usize]) && alive(at) {
                        best = first(best, Some(at));
                        if self.prefers_longest() {
                            break;
                        }
                    }
                    next = parent[next as usize];
                }
                best
            }
            Index::Table { table, inner_max } => match self.at {
                Where::Parts(delimiters) => {
                    self.find_part(table, *inner_max, text, delimiters, alive)
                }
                _ => self.look_up(table, text, &alive),
            },
        }
    }

    fn look_up(
        &self,
        table: &HashTable<Places>,
        text: &[u8],
        alive: &impl Fn(u32) -> bool,
    ) -> Option<u32> {
        let places = table.find(hash(text), |places| *self.keys[places[0] as usize] == *text)?;
        places.iter().copied().find(|at| alive(*at))
    }

    fn find_part(
        &self,
        table: &HashTable<Places>,
        inner_max: usize,
        text: &[u8],
        delimiters: &[u8],
        alive: impl Fn(u32) -> bool,
    ) -> Option<u32> {
        // A part starts behind, and ends in front of, a delimiter or an end of the text.
        let mut ends: SmallVec<[usize; PARTS_MAX]> = SmallVec::new();
        ends.extend(text.iter().enumerate().filter(|(_, b)| delimiters.contains(b)).map(|e| e.0));
        ends.push(text.len());
        if ends.len() > PARTS_MAX {
            let mut all = self.keys.iter().zip(0..);
            return all
                .find(|(key, at)| has_part(text, key, delimiters, |a, b| *a == *b) && alive(*at))
                .map(|(_, at)| at);
        }
        let mut best = None;
        let mut start = 0;
        for (index, end) in ends.iter().enumerate() {
            for end in ends[index..].iter().take(inner_max + 1) {
                if *end > start {
                    best = first(best, self.look_up(table, &text[start..*end], &alive));
                }
            }
            start = end + 1;
        }
        best
    }
}

/// A pattern in the form it is compared in.
fn normalize(at: Where, pattern: &[u8], ignore_case: bool) -> Box<[u8]> {
    let mut key = match at {
        // Delimiters around the pattern say nothing.
        Where::Parts(delimiters) => {
            let start = pattern.iter().position(|b| !delimiters.contains(b)).unwrap_or(0);
            let end = pattern.iter().rposition(|b| !delimiters.contains(b)).map_or(0, |i| i + 1);
            pattern[start.min(end)..end].to_vec()
        }
        Where::Anywhere | Where::End | Where::Start | Where::Whole => pattern.to_vec(),
    };
    if ignore_case {
        key.make_ascii_lowercase();
    }
    key.into()
}

fn hash(text: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(text);
    hasher.finish()
}

fn table(keys: &[Box<[u8]>], delimiters: &[u8]) -> Index {
    let mut table: HashTable<Places> = HashTable::with_capacity(keys.len());
    let mut inner_max = 0;
    for (key, at) in keys.iter().zip(0..) {
        inner_max = inner_max.max(key.iter().filter(|b| delimiters.contains(b)).count());
        let of = |places: &Places| hash(&keys[places[0] as usize]);
        table
            .entry(hash(key), |places| keys[places[0] as usize] == *key, of)
            .and_modify(|places| places.push(at))
            .or_insert_with(|| SmallVec::from_elem(at, 1));
    }
    Index::Table { table, inner_max }
}

fn prefixes(keys: &[Box<[u8]>]) -> Index {
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    // Of equal strings the first is the last in order, where the search starts.
    order.sort_by(|a, b| keys[*a as usize].cmp(&keys[*b as usize]).then(b.cmp(a)));
    let mut parent = vec![NONE; order.len()];
    let mut open: Vec<u32> = Vec::new();
    for (index, at) in order.iter().enumerate() {
        let key = &keys[*at as usize];
        while let Some(top) = open.last()
            && !key.starts_with(&keys[order[*top as usize] as usize])
        {
            open.pop();
        }
        parent[index] = open.last().copied().unwrap_or(NONE);
        open.push(index as u32);
    }
    Index::Prefixes { order: order.into(), parent: parent.into() }
}

fn has_part(
    text: &[u8],
    pattern: &[u8],
    delimiters: &[u8],
    same: impl Fn(&[u8], &[u8]) -> bool,
) -> bool {
    if pattern.is_empty() {
        return false;
    }
    let ends = |at: usize| text.get(at).is_none_or(|b| delimiters.contains(b));
    let mut start = 0;
    loop {
        let end = start + pattern.len();
        if text.get(start..end).is_some_and(|part| same(part, pattern)) && ends(end) {
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
    use proptest::prelude::*;

    fn texts(at: Where, patterns: &[&str], ignore_case: bool) -> Texts {
        Texts::new(at, patterns.iter().map(|p| p.as_bytes()), ignore_case).unwrap()
    }

    #[track_caller]
    fn check(at: Where, patterns: &[&str], ignore_case: bool, inside: &[&str], outside: &[&str]) {
        // The same answers one by one and indexed.
        let filler: Vec<String> = (0..20).map(|i| format!("\u{1}filler{i}")).collect();
        for extra in [0, filler.len()] {
            let mut all = patterns.to_vec();
            all.extend(filler[..extra].iter().map(String::as_str));
            let set = texts(at, &all, ignore_case);
            for text in inside {
                assert!(
                    set.find(text.as_bytes(), |_| true).is_some() && set.has(text.as_bytes()),
                    "{text} {at:?} {patterns:?}"
                );
            }
            for text in outside {
                assert!(
                    set.find(text.as_bytes(), |_| true).is_none() && !set.has(text.as_bytes()),
                    "{text} {at:?} {patterns:?}"
                );
            }
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

    #[test]
    fn which_one_counts() {
        let find = |at, patterns: &[&str], ignore_case, text: &str| {
            texts(at, patterns, ignore_case).find(text.as_bytes(), |_| true)
        };
        assert_eq!(find(Where::Start, &["/", "/a", "/ab", "/a"], false, "/ac"), Some(1));
        assert_eq!(find(Where::Start, &["/", "/a", "/ab"], true, "/AB"), Some(0));
        assert_eq!(find(Where::End, &["b", "ab"], false, "xab"), Some(0));
        assert_eq!(find(Where::Parts(b"."), &["b.c", "c", "c"], false, "a.b.c"), Some(0));
        assert_eq!(find(Where::Anywhere, &["c", "abc"], false, "abc"), Some(0));
        let set = texts(Where::Whole, &["a", "a"], false);
        assert_eq!(set.find(b"a", |at| at != 0), Some(1));
    }

    proptest! {
        /// The index says the same as trying one by one.
        #[test]
        fn as_one_by_one(
            patterns in prop::collection::vec("[abA./]{1,5}", 9..40),
            text in "[abA./]{0,12}",
            dead in prop::collection::vec(any::<bool>(), 40),
            ignore_case in any::<bool>(),
        ) {
            let alive = |at: u32| !dead[at as usize];
            for at in [Where::End, Where::Parts(b"./"), Where::Start, Where::Whole] {
                let list = patterns.iter().map(String::as_bytes);
                let indexed = Texts::new(at, list.clone(), ignore_case).unwrap();
                let mut linear = Texts::new(at, list, ignore_case).unwrap();
                linear.index = Index::Linear;
                if at == Where::End {
                    linear.keys.iter_mut().for_each(|key| key.reverse());
                }
                prop_assert_eq!(
                    indexed.find(text.as_bytes(), alive),
                    linear.find(text.as_bytes(), alive),
                    "{:?}", at
                );
            }
        }
    }
}
