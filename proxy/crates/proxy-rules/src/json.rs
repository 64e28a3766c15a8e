//! Reading JSON without building it: a value is found by its path and given as the bytes it was written with
//! (RFC 8259; paths as in RFC 9535, names and indices only).

/// How deep values may be nested.
const DEPTH_MAX: usize = 64;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Json<'a> {
    Array(&'a [u8]),
    Bool(bool),
    Null,
    /// As written.
    Number(&'a [u8]),
    Object(&'a [u8]),
    /// Between the quotes, escapes as written.
    String(&'a [u8]),
}

/// Checks a path: `$.name.other[2]`, `\.` in a name for a dot.
///
/// # Errors
/// What is wrong with it.
pub fn check_path(path: &[u8]) -> Result<(), String> {
    let text = String::from_utf8_lossy(path);
    if !path.starts_with(b"$") {
        return Err(format!("the JSON path '{text}' must start with '$'"));
    }
    let mut steps = Steps(&path[1..]);
    while !steps.0.is_empty() {
        if steps.next().is_none() {
            return Err(format!("'{text}' is not a JSON path such as $.name[0].other"));
        }
    }
    Ok(())
}

enum Step<'p> {
    /// Backslashes stand in front of what they protect.
    Name(&'p [u8]),
    Index(usize),
}

struct Steps<'p>(&'p [u8]);

impl<'p> Iterator for Steps<'p> {
    type Item = Step<'p>;

    fn next(&mut self) -> Option<Step<'p>> {
        match self.0 {
            [b'.', rest @ ..] => {
                let mut len = 0;
                while let Some(b) = rest.get(len)
                    && !matches!(b, b'.' | b'[')
                {
                    len += if *b == b'\\' { 2 } else { 1 };
                }
                let len = len.min(rest.len());
                self.0 = &rest[len..];
                (len > 0).then(|| Step::Name(&rest[..len]))
            }
            [b'[', rest @ ..] => {
                let len = rest.iter().position(|b| *b == b']')?;
                let index = &rest[..len];
                self.0 = &rest[len + 1..];
                if let [q @ (b'\'' | b'"'), name @ .., end] = index
                    && q == end
                {
                    return Some(Step::Name(name));
                }
                std::str::from_utf8(index).ok()?.parse().ok().map(Step::Index)
            }
            _ => None,
        }
    }
}

/// The value at `path`, of the first one when a name comes twice.
pub fn find<'a>(json: &'a [u8], path: &[u8]) -> Option<Json<'a>> {
    let mut at = Reader { bytes: json, at: 0 };
    at.skip_space();
    for step in Steps(path.strip_prefix(b"$")?) {
        match step {
            Step::Name(name) => {
                at.eat(b'{')?;
                loop {
                    at.skip_space();
                    let key = at.string()?;
                    at.skip_space();
                    at.eat(b':')?;
                    at.skip_space();
                    if same_name(key, name) {
                        break;
                    }
                    at.skip(0)?;
                    at.skip_space();
                    at.eat(b',')?;
                }
            }
            Step::Index(index) => {
                at.eat(b'[')?;
                at.skip_space();
                for _ in 0..index {
                    at.skip(0)?;
                    at.skip_space();
                    at.eat(b',')?;
                    at.skip_space();
                }
            }
        }
    }
    at.value()
}

fn same_name(key: &[u8], name: &[u8]) -> bool {
    if !name.contains(&b'\\') {
        return key == name;
    }
    let mut name = name.iter();
    let mut key = key.iter();
    loop {
        let wanted = match name.next() {
            Some(b'\\') => name.next(),
            other => other,
        };
        match (wanted, key.next()) {
            (None, None) => return true,
            (a, b) if a == b => {}
            _ => return false,
        }
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Between the quotes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.eat(b'"')?;
        let start = self.at;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                0..=31 => return None,
                _ => self.at += 1,
            }
        }
        let text = self.bytes.get(start..self.at)?;
        self.at += 1;
        Some(text)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.bytes[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }

    fn number(&mut self) -> Option<()> {
        let _ = self.eat(b'-');
        self.digits()?;
        if self.eat(b'.').is_some() {
            self.digits()?;
        }
        if self.eat(b'e').or_else(|| self.eat(b'E')).is_some() {
            let _ = self.eat(b'+').or_else(|| self.eat(b'-'));
            self.digits()?;
        }
        Some(())
    }

    /// Goes behind the value that starts here.
    fn skip(&mut self, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            open @ (b'{' | b'[') => {
                self.at += 1;
                let close = if open == b'{' { b'}' } else { b']' };
                self.skip_space();
                if self.eat(close).is_some() {
                    return Some(());
                }
                loop {
                    self.skip_space();
                    if open == b'{' {
                        self.string()?;
                        self.skip_space();
                        self.eat(b':')?;
                        self.skip_space();
                    }
                    self.skip(depth + 1)?;
                    self.skip_space();
                    if self.eat(close).is_some() {
                        return Some(());
                    }
                    self.eat(b',')?;
                }
            }
            _ => self.number(),
        }
    }

    fn value(&mut self) -> Option<Json<'a>> {
        let start = self.at;
        let first = self.peek()?;
        self.skip(0)?;
        let all = self.bytes.get(start..self.at)?;
        Some(match first {
            b'"' => Json::String(&all[1..all.len() - 1]),
            b't' => Json::Bool(true),
            b'f' => Json::Bool(false),
            b'n' => Json::Null,
            b'{' => Json::Object(all),
            b'[' => Json::Array(all),
            _ => Json::Number(all),
        })
    }
}

/// Appends a string with its escapes undone; false when one of them is none.
pub fn unescape(text: &[u8], mut push: impl FnMut(&[u8])) -> bool {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        push(&rest[..at]);
        let hex4 = |digits: &[u8]| {
            let text = std::str::from_utf8(digits.get(..4)?).ok()?;
            u32::from_str_radix(text, 16).ok()
        };
        let tail = &rest[at + 1..];
        let (bytes, used): (&[u8], usize) = match tail.first() {
            Some(b'b') => (b"\x08", 1),
            Some(b'f') => (b"\x0c", 1),
            Some(b'n') => (b"\n", 1),
            Some(b'r') => (b"\r", 1),
            Some(b't') => (b"\t", 1),
            Some(b'"' | b'\\' | b'/') => (&tail[..1], 1),
            Some(b'u') => {
                let Some(unit) = hex4(&tail[1..]) else { return false };
                let low = match tail.get(5..) {
                    Some([b'\\', b'u', digits @ ..]) if (0xd800..0xdc00).contains(&unit) => {
                        hex4(digits)
                    }
                    _ => None,
                };
                let (code, used) = match low {
                    Some(low) if (0xdc00..0xe000).contains(&low) => {
                        (0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), 11)
                    }
                    _ => (unit, 5),
                };
                let Some(c) = char::from_u32(code) else { return false };
                push(c.encode_utf8(&mut [0; 4]).as_bytes());
                (b"", used)
            }
            _ => return false,
        };
        push(bytes);
        rest = &tail[used..];
    }
    push(rest);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(json: &str, path: &str, expected: Option<Json<'_>>) {
        assert_eq!(check_path(path.as_bytes()), Ok(()));
        assert_eq!(find(json.as_bytes(), path.as_bytes()), expected, "{json} {path}");
    }

    #[test]
    fn values_by_path() {
        let json =
            r#" { "a" : 1, "b": {"c": [1, "x\"y", {"d": true}], "e.f": -1.5e3}, "n": null } "#;
        check(json, "$.a", Some(Json::Number(b"1")));
        check(json, "$.b.c[1]", Some(Json::String(br#"x\"y"#)));
        check(json, "$.b.c[2].d", Some(Json::Bool(true)));
        check(json, "$.b.c[3]", None);
        check(json, r"$.b.e\.f", Some(Json::Number(b"-1.5e3")));
        check(json, "$['b']['e.f']", Some(Json::Number(b"-1.5e3")));
        check(json, "$.n", Some(Json::Null));
        check(json, "$.b.c", Some(Json::Array(br#"[1, "x\"y", {"d": true}]"#)));
        check(json, "$.z", None);
        check("[1", "$[0]", Some(Json::Number(b"1")));
        check("{\"a\":{", "$.a", None);
        for wrong in ["a", "$a", "$.", "$[x]", "$[1"] {
            assert!(check_path(wrong.as_bytes()).is_err(), "{wrong}");
        }
        let deep = "[".repeat(200);
        check(&deep, "$", None);
    }

    #[test]
    fn escapes() {
        let text = |s: &str| {
            let mut out = Vec::new();
            unescape(s.as_bytes(), |p| out.extend_from_slice(p))
                .then(|| String::from_utf8(out).unwrap())
        };
        assert_eq!(text(r#"a\n\"\/\u00e9\ud83d\ude00"#).as_deref(), Some("a\n\"/é😀"));
        assert_eq!(text(r"\x"), None);
        assert_eq!(text(r"\ud83d"), None);
    }

    proptest! {
        #[test]
        fn never_panics(json in "[\\[\\]{}\":,a1\\\\ .truenl-]{0,40}", path in "\\$[.\\[\\]a0'\\\\]{0,12}") {
            let _ = check_path(path.as_bytes());
            let _ = find(json.as_bytes(), path.as_bytes());
            unescape(json.as_bytes(), |_| {});
        }
    }
}
