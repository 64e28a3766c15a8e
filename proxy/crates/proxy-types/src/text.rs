//! Nearest known word, for "did you mean".

/// Number of single-letter edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`;
/// `None` when more than `limit` are needed. Bytes, not characters: keywords are ASCII.
pub fn distance(a: &str, b: &str, limit: usize) -> Option<usize> {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut row: Vec<usize> = vec![0; b.len() + 1];
    for (i, &x) in a.iter().enumerate() {
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replace = above[j] + usize::from(x != y);
            let mut best = replace.min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
        if row.iter().min().is_some_and(|&m| m > limit) {
            return None;
        }
        std::mem::swap(&mut before, &mut above);
        std::mem::swap(&mut above, &mut row);
    }
    Some(above[b.len()]).filter(|&d| d <= limit)
}

/// The candidate that needs the fewest edits, when that is few for the length of `word` (a third, at most 4).
/// Words of more than 64 bytes have no neighbour: nobody mistyped a keyword that long.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > 64 {
        return None;
    }
    let mut limit = (word.len().div_ceil(3)).min(4);
    let mut best = None;
    for candidate in candidates {
        if let Some(d) = distance(word, candidate, limit)
            && d < candidate.len()
        {
            if d == 0 {
                return Some(candidate);
            }
            best = Some(candidate);
            limit = d - 1;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        let known = ["bind", "balance", "nbthread", "option", "httplog", "maxconn", "log"];
        assert_eq!(nearest(word, known), expected);
    }

    #[test]
    fn finds_the_mistyped_word() {
        check("nbthrd", Some("nbthread"));
        check("optoin", Some("option"));
        check("blance", Some("balance"));
        check("maxcon", Some("maxconn"));
        check("foo", None);
        check("", None);
        check("zzzzzzzzz", None);
        check("bind", Some("bind"));
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("abc", "abc", 3), Some(0));
        assert_eq!(distance("abc", "acb", 3), Some(1));
        assert_eq!(distance("abc", "xyz", 3), Some(3));
        assert_eq!(distance("abc", "xyz", 2), None);
        assert_eq!(distance("", "xy", 2), Some(2));
    }
}
