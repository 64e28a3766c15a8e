//! Integers, ranges and comparisons.

use rustc_hash::FxHashMap;

use super::places::{Places, first};

/// Compares the value with the numbers that follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Eq,
    Ge,
    Gt,
    Le,
    Lt,
}

impl Operator {
    pub fn find(word: &[u8]) -> Option<Self> {
        match word {
            b"eq" => Some(Self::Eq),
            b"ge" => Some(Self::Ge),
            b"gt" => Some(Self::Gt),
            b"le" => Some(Self::Le),
            b"lt" => Some(Self::Lt),
            _ => None,
        }
    }

    /// The values that compare so with any of `low..=high`.
    fn range(self, low: i64, high: i64) -> Option<(i64, i64)> {
        match self {
            Self::Eq => Some((low, high)),
            Self::Ge => Some((low, i64::MAX)),
            Self::Gt => Some((low.checked_add(1)?, i64::MAX)),
            Self::Le => Some((i64::MIN, high)),
            Self::Lt => Some((i64::MIN, high.checked_sub(1)?)),
        }
    }
}

/// How words of patterns become ranges. An operator counts for the words after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grammar {
    operator: Option<Operator>,
    dotted: bool,
}

impl Grammar {
    /// Two numbers joined by a dot are one number, for versions.
    pub const DOTTED: Self = Self { operator: None, dotted: true };

    /// Takes an operator, or the range that a word stands for; `None` for one that no number is in.
    ///
    /// # Errors
    /// Why the word is neither.
    pub fn read(&mut self, word: &[u8]) -> Result<Word, String> {
        if let Some(operator) = Operator::find(word) {
            self.operator = Some(operator);
            return Ok(Word::Operator);
        }
        let text = String::from_utf8_lossy(word);
        let number = |part: &str| {
            let (major, minor) = match part.split_once('.') {
                Some((major, minor)) if self.dotted => (major, minor),
                _ if self.dotted => (part, "0"),
                _ => return part.parse().map_err(|_| format!("'{part}' is not a number")),
            };
            match (major.parse::<u16>(), minor.parse::<u16>()) {
                (Ok(major), Ok(minor)) => Ok(i64::from(major) << 16 | i64::from(minor)),
                _ => Err(format!("'{part}' is not a version such as 3.1")),
            }
        };
        // A dash joins two numbers as a colon does; in front of one it is its sign.
        let dash = text.get(1..).and_then(|rest| rest.find('-')).map(|at| at + 1);
        let ends = text.split_once(':').or_else(|| dash.map(|at| (&text[..at], &text[at + 1..])));
        let (low, high) = match ends {
            None => {
                let n = number(&text)?;
                (n, n)
            }
            Some((low, high)) => (
                if low.is_empty() { i64::MIN } else { number(low)? },
                if high.is_empty() { i64::MAX } else { number(high)? },
            ),
        };
        if low > high {
            return Err(format!("'{text}' is not a valid number range"));
        }
        Ok(Word::Range(self.operator.unwrap_or(Operator::Eq).range(low, high)))
    }
}

/// What a word of number patterns is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    Operator,
    /// Both ends belong to it; `None` holds no number.
    Range(Option<(i64, i64)>),
}

/// Numbers and ranges, each with the place of its entry.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    single: FxHashMap<i64, Places>,
    /// In the order of their places.
    ranges: Vec<(i64, i64, u32)>,
}

impl Numbers {
    pub(super) fn push(&mut self, range: Option<(i64, i64)>, at: u32) {
        match range {
            Some((low, high)) if low == high => self.single.entry(low).or_default().push(at),
            Some((low, high)) => self.ranges.push((low, high, at)),
            None => {}
        }
    }

    /// The first place that is alive and has `n`.
    pub(super) fn find(&self, n: i64, alive: impl Fn(u32) -> bool) -> Option<u32> {
        let single = self.single.get(&n).and_then(|list| list.iter().copied().find(|i| alive(*i)));
        let range = self
            .ranges
            .iter()
            .find(|(low, high, at)| (*low..=*high).contains(&n) && alive(*at))
            .map(|(_, _, at)| *at);
        first(single, range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, inside: &[i64], outside: &[i64]) {
        let (mut grammar, mut set) = (Grammar::default(), Numbers::default());
        for (at, word) in words.split(' ').enumerate() {
            if let Word::Range(range) = grammar.read(word.as_bytes()).unwrap() {
                set.push(range, at as u32);
            }
        }
        let has = |n: &&i64| set.find(**n, |_| true).is_some();
        assert!(inside.iter().all(|n| has(&n)), "{words}: {set:?}");
        assert!(!outside.iter().any(|n| has(&n)), "{words}: {set:?}");
    }

    #[test]
    fn ranges_and_operators() {
        check("80", &[80], &[79, 81]);
        check("80 443 1024:", &[80, 443, 1024, i64::MAX], &[81, 1023]);
        check(":1023", &[0, -1, 1023, i64::MIN], &[1024]);
        check("gt 5", &[6, i64::MAX], &[5, -1]);
        check("ge 5", &[5], &[4]);
        check("lt 0", &[-1], &[0]);
        check("le 0 7", &[7, -9], &[8]);
        check("lt 3 gt 10", &[2, 11], &[3, 10]);
        check("gt 9223372036854775807", &[], &[i64::MAX]);
        check("1:3 2:9 20", &[1, 9, 20], &[0, 10]);
    }

    #[test]
    fn the_first_that_lives() {
        let mut set = Numbers::default();
        set.push(Some((1, 5)), 0);
        set.push(Some((3, 3)), 1);
        set.push(Some((3, 3)), 2);
        assert_eq!(set.find(3, |_| true), Some(0));
        assert_eq!(set.find(3, |at| at > 0), Some(1));
        assert_eq!(set.find(3, |at| at > 1), Some(2));
        assert_eq!(set.find(3, |_| false), None);
    }

    #[test]
    fn refused() {
        for word in ["5:3", "x", "", "1:x", "3.1", "ne"] {
            assert!(Grammar::default().read(word.as_bytes()).is_err(), "{word}");
        }
        assert_eq!(Grammar::default().read(b"1-3"), Ok(Word::Range(Some((1, 3)))));
        assert_eq!(Grammar::default().read(b"-3--1"), Ok(Word::Range(Some((-3, -1)))));
        assert_eq!(Grammar::default().read(b"7-"), Ok(Word::Range(Some((7, i64::MAX)))));
        assert_eq!(Grammar::default().read(b"-7"), Ok(Word::Range(Some((-7, -7)))));
        let mut dotted = Grammar::DOTTED;
        assert_eq!(dotted.read(b"3:3.1"), Ok(Word::Range(Some((0x30000, 0x30001)))));
        assert_eq!(dotted.read(b"3.0-3.1"), Ok(Word::Range(Some((0x30000, 0x30001)))));
    }
}
