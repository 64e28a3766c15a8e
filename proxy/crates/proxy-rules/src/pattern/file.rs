//! Lines of pattern files (configuration manual, 2.7 and 7.3.1 "map").

/// One line: the pattern, and in maps what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line<'c> {
    /// From 1.
    pub(super) number: usize,
    pub(super) key: &'c [u8],
    pub(super) value: Option<&'c [u8]>,
}

fn is_blank(b: &u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// The lines of a file that say something. A `#` in the first column makes a comment.
pub(super) fn lines(content: &[u8], map: bool) -> impl Iterator<Item = Line<'_>> {
    content.split(|b| *b == b'\n').zip(1..).filter_map(move |(line, number)| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first() == Some(&b'#') {
            return None;
        }
        let (key, value) = match map {
            true => pair(line),
            false => {
                let start = line.iter().position(|b| !is_blank(b)).unwrap_or(line.len());
                (&line[start..], None)
            }
        };
        (!key.is_empty()).then_some(Line { number, key, value })
    })
}

/// A key and the value behind it, without the blanks around.
pub fn pair(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    let start = line.iter().position(|b| !is_blank(b)).unwrap_or(line.len());
    let end = line.iter().rposition(|b| !is_blank(b)).map_or(start, |i| i + 1);
    let line = &line[start..end.max(start)];
    match line.iter().position(is_blank) {
        Some(len) => {
            let rest = &line[len..];
            let skip = rest.iter().position(|b| !is_blank(b)).unwrap_or(rest.len());
            (&line[..len], Some(&rest[skip..]))
        }
        None => (line, Some(b"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let text = b"# comment\n\n  2.22.246.0/23    United Kingdom  \t\r\nkey\n #no comment x\n";
        let map: Vec<_> = lines(text, true).map(|l| (l.number, l.key, l.value.unwrap())).collect();
        let expected: [(usize, &[u8], &[u8]); 3] =
            [(3, b"2.22.246.0/23", b"United Kingdom"), (4, b"key", b""), (5, b"#no", b"comment x")];
        assert_eq!(map, expected);
        let list: Vec<_> = lines(b"\ta b \n#x", false).collect();
        assert_eq!(list, [Line { number: 1, key: b"a b ", value: None }]);
    }
}
