//! The header list: ranges into one buffer, plus edits appended to the same buffer.

/// A range of a head's buffer, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && u32::try_from(end).is_ok());
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes of this range in `buf`.
    #[must_use]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// True when the range holds no byte.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// One header line: `line` covers the name up to and including CRLF.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) line: Span,
    pub(crate) name: Span,
    pub(crate) value: Span,
}

impl Field {
    /// Whether its name is `name`. Most names differ in length already, which needs no look at the buffer.
    fn is_called(&self, name: &[u8], buf: &[u8]) -> bool {
        self.name.len() == name.len() && self.name.of(buf).eq_ignore_ascii_case(name)
    }
}

/// One header field as rules see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: &'a [u8],
    pub value: &'a [u8],
}

/// Ordered header fields of one message. Names keep the case they were received in and compare
/// without it; values carry no leading or trailing blanks and no CR, LF or NUL.
#[derive(Debug, Clone, Default)]
pub struct HeaderList {
    pub(crate) buf: Vec<u8>,
    pub(crate) fields: Vec<Field>,
}

impl HeaderList {
    /// Empties the list and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.buf.clear();
        self.fields.clear();
    }

    /// Number of fields.
    #[must_use]
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// True when there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// All fields in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Header<'_>> + ExactSizeIterator {
        self.fields
            .iter()
            .map(|f| Header { name: f.name.of(&self.buf), value: f.value.of(&self.buf) })
    }

    /// The field at `index` of [`Self::iter`].
    #[must_use]
    pub fn at(&self, index: usize) -> Option<Header<'_>> {
        let field = self.fields.get(index)?;
        Some(Header { name: field.name.of(&self.buf), value: field.value.of(&self.buf) })
    }

    /// Value of the first field called `name`.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        Some(self.fields[self.position(name)?].value.of(&self.buf))
    }

    /// Values of all fields called `name`, in order, unsplit.
    pub fn get_all<'a>(&'a self, name: &'a [u8]) -> impl DoubleEndedIterator<Item = &'a [u8]> {
        self.fields
            .iter()
            .filter(move |field| field.is_called(name, &self.buf))
            .map(|f| f.value.of(&self.buf))
    }

    /// Comma-separated values of all fields called `name` (see [`crate::value::split`]).
    pub fn values<'a>(&'a self, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).flat_map(crate::value::split)
    }

    /// True when a field called `name` exists.
    #[must_use]
    pub fn contains(&self, name: &[u8]) -> bool {
        self.get(name).is_some()
    }

    /// True when a comma-separated value of a field called `name` equals `token` without case.
    #[must_use]
    pub fn has_token(&self, name: &[u8], token: &[u8]) -> bool {
        self.values(name).any(|v| v.eq_ignore_ascii_case(token))
    }

    /// Adds a field at the end. Bytes that would break the framing (CR, LF, NUL) become spaces.
    pub fn append(&mut self, name: &[u8], value: &[u8]) {
        let field = self.store(name, value);
        self.fields.push(field);
    }

    /// Adds a field whose value is made of several pieces.
    pub fn append_parts(&mut self, name: &[u8], parts: &[&[u8]]) {
        let field = self.store_parts(name, parts);
        self.fields.push(field);
    }

    /// Removes every field called `name` and adds one at the end.
    pub fn set(&mut self, name: &[u8], value: &[u8]) {
        self.remove(name);
        self.append(name, value);
    }

    /// Removes every field called `name`; returns how many there were.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        let before = self.fields.len();
        let Some(first) = self.position(name) else { return 0 };
        let mut kept = first;
        for index in first + 1..before {
            let field = self.fields[index];
            if !field.is_called(name, &self.buf) {
                self.fields[kept] = field;
                kept += 1;
            }
        }
        self.fields.truncate(kept);
        before - kept
    }

    /// Place of the first field called `name`.
    fn position(&self, name: &[u8]) -> Option<usize> {
        self.fields.iter().position(|field| field.is_called(name, &self.buf))
    }

    /// Removes the fields for which `drop` says so; returns how many there were.
    pub fn remove_if(&mut self, mut drop: impl FnMut(Header<'_>) -> bool) -> usize {
        let before = self.fields.len();
        let buf = &self.buf;
        self.fields.retain(|f| !drop(Header { name: f.name.of(buf), value: f.value.of(buf) }));
        before - self.fields.len()
    }

    /// Gives the field at `index` a new value; its name and place stay. False when out of range.
    pub fn replace_at(&mut self, index: usize, value: &[u8]) -> bool {
        let Some(&old) = self.fields.get(index) else { return false };
        let name = self.copy_in_place(old.name);
        let field = self.finish_line(name, &[value]);
        self.fields[index] = field;
        true
    }

    /// Spells names anew: `spelling` gives, for a name in lower case, the same name in another case.
    pub fn respell<'s>(&mut self, spelling: impl Fn(&[u8]) -> Option<&'s [u8]>) {
        let mut lower = [0; 128];
        for field in &self.fields {
            let (start, end) = (field.name.start as usize, field.name.end as usize);
            let Some(lower) = lower.get_mut(..end - start) else { continue };
            lower.copy_from_slice(&self.buf[start..end]);
            lower.make_ascii_lowercase();
            if let Some(name) = spelling(lower).filter(|name| name.len() == lower.len()) {
                self.buf[start..end].copy_from_slice(name);
            }
        }
    }

    /// Bytes of the buffer used so far, removed and replaced fields included.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buf.len()
    }

    fn store(&mut self, name: &[u8], value: &[u8]) -> Field {
        self.store_parts(name, &[value])
    }

    fn store_parts(&mut self, name: &[u8], parts: &[&[u8]]) -> Field {
        let start = self.buf.len();
        self.buf.extend_from_slice(name);
        for byte in &mut self.buf[start..] {
            *byte = if is_token(*byte) { *byte } else { b'_' };
        }
        let name = Span::new(start, self.buf.len());
        self.finish_line(name, parts)
    }

    fn copy_in_place(&mut self, span: Span) -> Span {
        let start = self.buf.len();
        self.buf.extend_from_within(span.start as usize..span.end as usize);
        Span::new(start, self.buf.len())
    }

    /// Completes the line whose name was just pushed to the buffer.
    fn finish_line(&mut self, name: Span, parts: &[&[u8]]) -> Field {
        self.buf.extend_from_slice(b": ");
        let start = self.buf.len();
        for part in parts {
            self.buf.extend_from_slice(part);
        }
        for byte in &mut self.buf[start..] {
            *byte = if matches!(*byte, b'\r' | b'\n' | 0) { b' ' } else { *byte };
        }
        let value = trimmed(&self.buf, Span::new(start, self.buf.len()));
        self.buf.extend_from_slice(b"\r\n");
        Field { line: Span::new(name.start as usize, self.buf.len()), name, value }
    }
}

/// Shrinks `span` past blanks, and the line ends of folded values, at both ends.
pub(crate) fn trimmed(buf: &[u8], span: Span) -> Span {
    let (mut start, mut end) = (span.start, span.end);
    let is_space = |byte: u8| is_blank(byte) || byte == b'\r' || byte == b'\n';
    while start < end && is_space(buf[start as usize]) {
        start += 1;
    }
    while end > start && is_space(buf[end as usize - 1]) {
        end -= 1;
    }
    Span { start, end }
}

pub(crate) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// RFC 9110 section 5.6.2 `tchar`.
pub(crate) fn is_token(byte: u8) -> bool {
    TOKEN[byte as usize]
}

static TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let extra = b"!#$%&'*+-.^_`|~";
    let mut i = 0;
    while i < extra.len() {
        table[extra[i] as usize] = true;
        i += 1;
    }
    let mut c = 0;
    while c < 256 {
        if (c as u8).is_ascii_alphanumeric() {
            table[c] = true;
        }
        c += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn list(rows: &[(&str, &str)]) -> HeaderList {
        let mut list = HeaderList::default();
        for (name, value) in rows {
            list.append(name.as_bytes(), value.as_bytes());
        }
        list
    }

    #[track_caller]
    fn check(list: &HeaderList, expected: &[(&str, &str)]) {
        let got: Vec<_> = list
            .iter()
            .map(|h| (String::from_utf8_lossy(h.name), String::from_utf8_lossy(h.value)))
            .collect();
        let expected: Vec<_> = expected.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn edits() {
        let mut l = list(&[("Host", "a"), ("X", "1"), ("x", "2"), ("Y", "3")]);
        assert_eq!(l.get(b"x"), Some(&b"1"[..]));
        assert_eq!(l.get_all(b"X").next_back(), Some(&b"2"[..]));
        assert_eq!(l.remove(b"X"), 2);
        check(&l, &[("Host", "a"), ("Y", "3")]);
        assert!(l.replace_at(0, b"b"));
        assert!(!l.replace_at(9, b"b"));
        check(&l, &[("Host", "b"), ("Y", "3")]);
        l.set(b"Host", b"c");
        check(&l, &[("Y", "3"), ("Host", "c")]);
        l.append_parts(b"Z", &[b"1", b".", b"2"]);
        check(&l, &[("Y", "3"), ("Host", "c"), ("Z", "1.2")]);
    }

    #[test]
    fn appended_bytes_cannot_split_the_message() {
        let mut l = HeaderList::default();
        l.append(b"X Y", b"a\r\nEvil: 1\0");
        check(&l, &[("X_Y", "a  Evil: 1")]);
    }

    #[test]
    fn names_in_another_case() {
        let mut l = list(&[("content-LENGTH", "1"), ("x", "2")]);
        l.respell(|name| (name == b"content-length").then_some(&b"Content-Length"[..]));
        check(&l, &[("Content-Length", "1"), ("x", "2")]);
    }

    #[test]
    fn tokens() {
        let l = list(&[("Connection", "Keep-Alive, x"), ("connection", "CLOSE")]);
        assert!(l.has_token(b"connection", b"close"));
        assert!(l.has_token(b"connection", b"x"));
        assert!(!l.has_token(b"connection", b"keep"));
        assert!(!l.has_token(b"via", b"close"));
    }
}
