//! Integers, ranges and comparisons.

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

/// Ranges while they are read.
#[derive(Debug, Default)]
pub struct Builder {
    ranges: Vec<(i64, i64)>,
    operator: Option<Operator>,
    dotted: bool,
}

impl Builder {
    pub(super) fn allow_dotted(&mut self) {
        self.dotted = true;
    }

    pub(super) fn push(&mut self, word: &[u8]) -> Result<(), String> {
        if let Some(operator) = Operator::find(word) {
            self.operator = Some(operator);
            return Ok(());
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
        let (low, high) = match text.split_once(':') {
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
        let operator = self.operator.unwrap_or(Operator::Eq);
        self.ranges.extend(operator.range(low, high));
        Ok(())
    }

    /// Sorts the ranges and joins those that touch.
    pub(super) fn finish(mut self) -> NumberSet {
        self.ranges.sort_unstable();
        let mut joined: Vec<(i64, i64)> = Vec::with_capacity(self.ranges.len());
        for (low, high) in self.ranges {
            match joined.last_mut() {
                Some(last) if low <= last.1.saturating_add(1) => last.1 = last.1.max(high),
                _ => joined.push((low, high)),
            }
        }
        NumberSet(joined.into())
    }
}

/// Disjoint ranges in ascending order.
#[derive(Debug)]
pub struct NumberSet(Box<[(i64, i64)]>);

impl NumberSet {
    pub fn contains(&self, n: i64) -> bool {
        let after = self.0.partition_point(|range| range.0 <= n);
        after > 0 && n <= self.0[after - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, inside: &[i64], outside: &[i64]) {
        let mut builder = Builder::default();
        words.split(' ').for_each(|w| builder.push(w.as_bytes()).unwrap());
        let set = builder.finish();
        assert!(inside.iter().all(|n| set.contains(*n)), "{words}: {set:?}");
        assert!(!outside.iter().any(|n| set.contains(*n)), "{words}: {set:?}");
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
    fn refused() {
        for word in ["5:3", "x", "", "1:x", "3.1", "ne"] {
            assert!(Builder::default().push(word.as_bytes()).is_err(), "{word}");
        }
        let mut dotted = Builder::default();
        dotted.allow_dotted();
        dotted.push(b"3:3.1").unwrap();
        let set = dotted.finish();
        assert!(set.contains(0x30001) && set.contains(0x30000) && !set.contains(0x30002));
    }
}
