//! Lists of regular expressions: one pass tells whether any matches.

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexSet, RegexSetBuilder};

/// Up to this many expressions are tried one by one.
const LINEAR_MAX: usize = 4;
/// Bytes that a set may take compiled; beyond it the expressions are tried one by one.
const SET_MAX: usize = 64 << 20;

/// Expressions of which any may match anywhere in the text.
#[derive(Debug)]
pub(super) struct Regexes {
    set: Option<RegexSet>,
    list: Box<[Lazy]>,
}

/// Compiled when a match must be told from others, or cut into groups.
#[derive(Debug)]
struct Lazy {
    source: Box<[u8]>,
    ignore_case: bool,
    regex: OnceLock<Option<Regex>>,
}

impl Lazy {
    fn get(&self) -> Option<&Regex> {
        self.regex
            .get_or_init(|| crate::regex::compile(&self.source, self.ignore_case).ok())
            .as_ref()
    }
}

impl Regexes {
    pub(super) fn new<'p>(
        patterns: impl Iterator<Item = &'p [u8]>,
        ignore_case: bool,
    ) -> Result<Self, String> {
        let mut sources = Vec::new();
        let mut list = Vec::new();
        for pattern in patterns {
            let regex = crate::regex::compile(pattern, ignore_case)?;
            sources.push(regex.as_str().to_owned());
            let regex = if list.len() < LINEAR_MAX { Some(regex) } else { None };
            let regex = regex.map_or_else(OnceLock::new, |regex| OnceLock::from(Some(regex)));
            list.push(Lazy { source: pattern.into(), ignore_case, regex });
        }
        let set = match sources.len() <= LINEAR_MAX {
            true => None,
            false => RegexSetBuilder::new(sources)
                .unicode(false)
                .case_insensitive(ignore_case)
                .size_limit(SET_MAX)
                .build()
                .ok(),
        };
        Ok(Self { set, list: list.into() })
    }

    /// The first place that is alive and matches; `any` takes whichever is at hand.
    pub(super) fn find(&self, text: &[u8], any: bool, alive: impl Fn(u32) -> bool) -> Option<u32> {
        let Some(set) = &self.set else {
            let matches = |lazy: &Lazy| lazy.get().is_some_and(|regex| regex.is_match(text));
            return self.list.iter().zip(0..).find(|(r, at)| alive(*at) && matches(r)).map(|f| f.1);
        };
        // Telling which one matched allocates: most texts match none, and most callers do not ask.
        match set.is_match(text) {
            false => None,
            true if any => Some(0),
            true => set.matches(text).into_iter().map(|at| at as u32).find(|at| alive(*at)),
        }
    }

    pub(super) fn regex(&self, at: u32) -> Option<&Regex> {
        self.list.get(at as usize)?.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_by_one_and_in_sets() {
        for fill in [0, 10] {
            let filler: Vec<String> = (0..fill).map(|i| format!("^filler{i}$")).collect();
            let patterns = ["^/a", r"\.png$"].into_iter().chain(filler.iter().map(String::as_str));
            let list = Regexes::new(patterns.map(str::as_bytes), false).unwrap();
            assert_eq!(list.find(b"/a.png", false, |_| true), Some(0));
            assert_eq!(list.find(b"/a.png", false, |at| at != 0), Some(1));
            assert_eq!(list.find(b"/A", false, |_| true), None);
            assert!(list.find(b"x.png", true, |_| true).is_some());
            assert!(list.regex(1).unwrap().is_match(b"x.png"));
        }
        let list = Regexes::new([&b"^/a"[..]].into_iter(), true).unwrap();
        assert_eq!(list.find(b"/A", false, |_| true), Some(0));
        assert!(Regexes::new([&b"(a"[..]].into_iter(), false).is_err());
        assert_eq!(Regexes::new([].into_iter(), false).unwrap().find(b"", false, |_| true), None);
    }
}
