//! Sets of HTTP status codes (configuration manual, 3.1 "http-err-codes").

/// Some of the codes from 100 to 599.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusSet([u64; 8]);

impl StatusSet {
    /// `http-err-codes` as it is without the word: errors of clients.
    pub const ERRORS: Self = Self([0; 8]).with(400, 499);
    /// `http-fail-codes` as it is without the word: failures of servers.
    pub const FAILURES: Self = Self([0; 8]).with(500, 599).without(501, 501).without(505, 505);

    const fn set(mut self, first: u16, last: u16, to: bool) -> Self {
        let mut code = first;
        while code <= last && code <= 599 {
            if code >= 100 {
                let (word, bit) = ((code - 100) / 64, (code - 100) % 64);
                let mask = 1 << bit;
                self.0[word as usize] =
                    if to { self.0[word as usize] | mask } else { self.0[word as usize] & !mask };
            }
            code += 1;
        }
        self
    }

    /// With the codes of a range added.
    #[must_use]
    pub const fn with(self, first: u16, last: u16) -> Self {
        self.set(first, last, true)
    }

    /// With the codes of a range taken away.
    #[must_use]
    pub const fn without(self, first: u16, last: u16) -> Self {
        self.set(first, last, false)
    }

    #[must_use]
    pub const fn contains(&self, status: u16) -> bool {
        match status {
            100..=599 => self.0[((status - 100) / 64) as usize] >> ((status - 100) % 64) & 1 == 1,
            _ => false,
        }
    }

    /// Changes the set as a word of the configuration says: ranges joined by commas take its place, behind `+` they are
    /// added, behind `-` taken away.
    ///
    /// # Errors
    /// What is no range of codes.
    pub fn change(&mut self, word: &str) -> Result<(), String> {
        let (add, list) = match word.as_bytes().first() {
            Some(b'+') => (true, &word[1..]),
            Some(b'-') => (false, &word[1..]),
            _ => {
                *self = Self([0; 8]);
                (true, word)
            }
        };
        for range in list.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let code =
                |text: &str| text.parse::<u16>().ok().filter(|code| (100..=599).contains(code));
            match (code(first), code(last)) {
                (Some(first), Some(last)) if first <= last => *self = self.set(first, last, add),
                _ => return Err(format!("'{range}' is no range of status codes from 100 to 599")),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, expected: &[(u16, bool)]) {
        let mut set = StatusSet::ERRORS;
        words.split(' ').for_each(|word| set.change(word).unwrap());
        for (code, is_in) in expected {
            assert_eq!(set.contains(*code), *is_in, "{words}: {code}");
        }
    }

    #[test]
    fn words_of_the_manual() {
        let exactly = [
            (400, true),
            (401, false),
            (402, true),
            (445, false),
            (480, true),
            (490, true),
            (499, false),
        ];
        check("400,402-444,446-480,490", &exactly);
        check("400-499 -450 +500", &[(449, true), (450, false), (500, true), (501, false)]);
        check("-450-459", &[(449, true), (450, false), (459, false), (460, true)]);
        check("+501,505", &[(400, true), (501, true), (502, false), (505, true)]);
        let failures = StatusSet::FAILURES;
        assert!([500, 502, 599].iter().all(|code| failures.contains(*code)));
        assert!([499, 501, 505, 600, 0].iter().all(|code| !failures.contains(*code)));
        for wrong in ["", "+", "99", "600", "500-400", "4xx", "400,,401"] {
            assert!(StatusSet::ERRORS.clone().change(wrong).is_err(), "{wrong}");
        }
    }
}
