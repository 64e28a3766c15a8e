//! Lists of regular expressions, matched in one pass.

use regex::bytes::{RegexSet, RegexSetBuilder};

/// Expressions while they are read.
#[derive(Debug, Default)]
pub struct Builder(Vec<String>);

impl Builder {
    pub(super) fn push(&mut self, pattern: &[u8], ignore_case: bool) -> Result<(), String> {
        let re = crate::regex::compile(pattern, ignore_case)?;
        self.0.push(format!("(?{}:{})", if ignore_case { "i" } else { "-i" }, re.as_str()));
        Ok(())
    }

    pub(super) fn finish(self) -> Result<RegexList, String> {
        RegexSetBuilder::new(self.0)
            .unicode(false)
            .build()
            .map(RegexList)
            .map_err(|e| format!("the regular expressions cannot be compiled together: {e}"))
    }
}

/// Expressions of which any may match anywhere in the text.
#[derive(Debug)]
pub struct RegexList(RegexSet);

impl RegexList {
    pub fn matches(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_is_per_expression() {
        let mut builder = Builder::default();
        builder.push(b"^/a", false).unwrap();
        builder.push(br"\.PNG$", true).unwrap();
        assert!(builder.push(b"(a", false).is_err());
        let list = builder.finish().unwrap();
        assert!(list.matches(b"/a") && list.matches(b"x.png"));
        assert!(!list.matches(b"/A") && !list.matches(b"x.png/"));
        assert!(!Builder::default().finish().unwrap().matches(b""));
    }
}
