//! Field compression (RFC 7541).
//!
//! What is received may use all of it. What is sent uses the static table and plain literals only: no state, no
//! memory, and nothing that depends on the peer's table.

use std::collections::VecDeque;

use super::Fields;
use super::huffman;
use crate::headers::Span;

/// Size of a dynamic table before anything is said of it, in bytes of RFC 7541 section 4.1.
pub const TABLE: usize = 4096;
/// What an entry costs beside its bytes.
const OVERHEAD: usize = 32;

type Entry = (&'static [u8], &'static [u8]);

/// RFC 7541, appendix A.
static STATIC: [Entry; 61] = [
    (b":authority", b""),
    (b":method", b"GET"),
    (b":method", b"POST"),
    (b":path", b"/"),
    (b":path", b"/index.html"),
    (b":scheme", b"http"),
    (b":scheme", b"https"),
    (b":status", b"200"),
    (b":status", b"204"),
    (b":status", b"206"),
    (b":status", b"304"),
    (b":status", b"400"),
    (b":status", b"404"),
    (b":status", b"500"),
    (b"accept-charset", b""),
    (b"accept-encoding", b"gzip, deflate"),
    (b"accept-language", b""),
    (b"accept-ranges", b""),
    (b"accept", b""),
    (b"access-control-allow-origin", b""),
    (b"age", b""),
    (b"allow", b""),
    (b"authorization", b""),
    (b"cache-control", b""),
    (b"content-disposition", b""),
    (b"content-encoding", b""),
    (b"content-language", b""),
    (b"content-length", b""),
    (b"content-location", b""),
    (b"content-range", b""),
    (b"content-type", b""),
    (b"cookie", b""),
    (b"date", b""),
    (b"etag", b""),
    (b"expect", b""),
    (b"expires", b""),
    (b"from", b""),
    (b"host", b""),
    (b"if-match", b""),
    (b"if-modified-since", b""),
    (b"if-none-match", b""),
    (b"if-range", b""),
    (b"if-unmodified-since", b""),
    (b"last-modified", b""),
    (b"link", b""),
    (b"location", b""),
    (b"max-forwards", b""),
    (b"proxy-authenticate", b""),
    (b"proxy-authorization", b""),
    (b"range", b""),
    (b"referer", b""),
    (b"refresh", b""),
    (b"retry-after", b""),
    (b"server", b""),
    (b"set-cookie", b""),
    (b"strict-transport-security", b""),
    (b"transfer-encoding", b""),
    (b"user-agent", b""),
    (b"vary", b""),
    (b"via", b""),
    (b"www-authenticate", b""),
];

/// Why a field section cannot be read: the connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HpackError {
    #[error("a number is too large, or ends early")]
    Number,
    #[error("a text ends early")]
    Truncated,
    #[error("a text is no Huffman code")]
    Huffman,
    #[error("there is no entry {0}")]
    Index(usize),
    #[error("a change of the table's size is too large, or comes too late")]
    TableSize,
}

/// Entries that the peer had kept, the newest first. Their bytes stand in one buffer, the oldest first.
#[derive(Debug, Default)]
struct Dynamic {
    bytes: Vec<u8>,
    entries: VecDeque<Kept>,
    /// Size as of RFC 7541 section 4.1.
    size: usize,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    start: usize,
    name: usize,
    value: usize,
}

impl Kept {
    fn size(self) -> usize {
        self.name + self.value + OVERHEAD
    }
}

impl Dynamic {
    fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let kept = self.entries.get(index)?;
        let text = self.bytes.get(kept.start..kept.start + kept.name + kept.value)?;
        text.split_at_checked(kept.name)
    }

    /// Drops the oldest until the table is no larger than `max`.
    fn shrink(&mut self, max: usize) {
        while self.size > max {
            let Some(oldest) = self.entries.pop_back() else { break };
            self.size -= oldest.size();
        }
        if self.entries.is_empty() {
            self.bytes.clear();
        }
    }

    fn insert(&mut self, name: &[u8], value: &[u8], max: usize) {
        let kept = Kept { start: 0, name: name.len(), value: value.len() };
        if kept.size() > max {
            return self.shrink(0);
        }
        self.shrink(max - kept.size());
        let dead = self.entries.back().map_or(self.bytes.len(), |oldest| oldest.start);
        if dead > max {
            self.bytes.drain(..dead);
            self.entries.iter_mut().for_each(|kept| kept.start -= dead);
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.size += kept.size();
        self.entries.push_front(Kept { start, ..kept });
    }
}

/// Reads field sections of one direction of a connection, each once and in order.
#[derive(Debug)]
pub struct Decoder {
    dynamic: Dynamic,
    /// Size that the peer chose.
    max: usize,
    /// Size that we allow.
    limit: usize,
}

/// How much of a section is kept.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of names and values.
    pub bytes: usize,
    /// Number of fields.
    pub fields: usize,
}

struct Reader<'b> {
    rest: &'b [u8],
}

impl<'b> Reader<'b> {
    /// The number in the low `bits` of the first byte and perhaps some more (RFC 7541 section 5.1).
    fn number(&mut self, bits: u32) -> Result<usize, HpackError> {
        let (&first, rest) = self.rest.split_first().ok_or(HpackError::Number)?;
        self.rest = rest;
        let full = (1usize << bits) - 1;
        let mut number = usize::from(first) & full;
        if number < full {
            return Ok(number);
        }
        // Four more bytes say more than any section has.
        for shift in [0, 7, 14, 21] {
            let (&next, rest) = self.rest.split_first().ok_or(HpackError::Number)?;
            self.rest = rest;
            number += usize::from(next & 0x7f) << shift;
            if next & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(HpackError::Number)
    }

    /// Appends a text (RFC 7541 section 5.2).
    fn text(&mut self, out: &mut Vec<u8>) -> Result<(), HpackError> {
        let coded = self.rest.first().is_some_and(|first| first & 0x80 != 0);
        let length = self.number(7)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(HpackError::Truncated)?;
        self.rest = rest;
        if !coded {
            out.extend_from_slice(text);
        } else if !huffman::decode(text, out) {
            return Err(HpackError::Huffman);
        }
        Ok(())
    }
}

impl Decoder {
    /// A decoder whose dynamic table may grow to `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { dynamic: Dynamic::default(), max: limit.min(TABLE), limit }
    }

    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), HpackError> {
        let error = HpackError::Index(index);
        match index.checked_sub(1).ok_or(error)? {
            index if index < STATIC.len() => Ok(STATIC[index]),
            index => self.dynamic.get(index - STATIC.len()).ok_or(error),
        }
    }

    /// Reads a whole section into `out`, which must be empty. False when there was more than `bounds`: `out` has the
    /// first fields then.
    ///
    /// # Errors
    /// The section cannot be read; nor can what follows on this connection.
    pub fn decode(
        &mut self,
        section: &[u8],
        bounds: Bounds,
        out: &mut Fields,
    ) -> Result<bool, HpackError> {
        let mut reader = Reader { rest: section };
        let (mut fits, mut begun) = (true, false);
        while let Some(&first) = reader.rest.first() {
            if first & 0xe0 == 0x20 {
                let size = reader.number(5)?;
                if size > self.limit || begun {
                    return Err(HpackError::TableSize);
                }
                self.max = size;
                self.dynamic.shrink(size);
                continue;
            }
            begun = true;
            let start = out.buf.len();
            let (index, whole) = match first {
                0x80.. => (reader.number(7)?, true),
                0x40.. => (reader.number(6)?, false),
                _ => (reader.number(4)?, false),
            };
            if whole || index > 0 {
                let (name, value) = self.entry(index)?;
                out.buf.extend_from_slice(name);
                let end = out.buf.len();
                if whole {
                    out.buf.extend_from_slice(value);
                    out.list.push((Span::new(start, end), Span::new(end, out.buf.len())));
                    fits = settle(out, start, bounds, fits);
                    continue;
                }
            } else {
                reader.text(&mut out.buf)?;
            }
            let end = out.buf.len();
            reader.text(&mut out.buf)?;
            if first & 0x40 != 0 {
                self.dynamic.insert(&out.buf[start..end], &out.buf[end..], self.max);
            }
            out.list.push((Span::new(start, end), Span::new(end, out.buf.len())));
            fits = settle(out, start, bounds, fits);
        }
        Ok(fits)
    }
}

/// Whether the section is still within the bounds with its last field, whose bytes begin at `start`; else that is dropped.
fn settle(out: &mut Fields, start: usize, bounds: Bounds, fits: bool) -> bool {
    let fits = fits && out.buf.len() <= bounds.bytes && out.list.len() <= bounds.fields;
    if !fits {
        out.list.pop();
        out.buf.truncate(start);
    }
    fits
}

/// Writes a number below `mask`'s bits.
fn write_number(out: &mut Vec<u8>, sign: u8, bits: u32, mut number: usize) {
    let full = (1usize << bits) - 1;
    if number < full {
        out.push(sign | number as u8);
        return;
    }
    out.push(sign | full as u8);
    number -= full;
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    write_number(out, 0, 7, text.len());
    out.extend_from_slice(text);
}

/// Says that the peer's table is not used; needed once the peer allows less than before (RFC 7541 section 4.2).
pub fn write_no_table(out: &mut Vec<u8>) {
    out.push(0x20);
}

/// Writes `:status`.
pub fn write_status(out: &mut Vec<u8>, status: u16) {
    let index = match status {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            write_number(out, 0, 4, 8);
            let digit = |by: u16| b'0' + (status / by % 10) as u8;
            return write_text(out, &[digit(100), digit(10), digit(1)]);
        }
    };
    out.push(0x80 | index);
}

/// Writes `:method`, `:scheme`, `:path` or `:authority`, or any other name that the static table has at `index`.
fn write_at(out: &mut Vec<u8>, index: usize, value: &[u8]) {
    write_number(out, 0, 4, index);
    write_text(out, value);
}

/// Writes the pseudo fields of a request; of `scheme` and `path` those that there are, and `:protocol` (RFC 8441).
pub fn write_request_line(
    out: &mut Vec<u8>,
    method: &[u8],
    scheme: Option<&[u8]>,
    path: Option<&[u8]>,
    authority: Option<&[u8]>,
    protocol: Option<&[u8]>,
) {
    match method {
        b"GET" => out.push(0x82),
        b"POST" => out.push(0x83),
        other => write_at(out, 2, other),
    }
    match scheme {
        Some(b"http") => out.push(0x86),
        Some(b"https") => out.push(0x87),
        Some(other) => write_at(out, 6, other),
        None => {}
    }
    match path {
        Some(b"/") => out.push(0x84),
        Some(other) => write_at(out, 4, other),
        None => {}
    }
    if let Some(authority) = authority {
        write_at(out, 1, authority);
    }
    if let Some(protocol) = protocol {
        out.push(0);
        write_text(out, b":protocol");
        write_text(out, protocol);
    }
}

/// Writes a field. Its name may be in any case, and is sent in lower case.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    match static_name(name) {
        Some(index) => write_number(out, 0, 4, index),
        None => {
            out.push(0);
            write_number(out, 0, 7, name.len());
            out.extend(name.iter().map(u8::to_ascii_lowercase));
        }
    }
    write_text(out, value);
}

/// Where the static table has a name of a field.
fn static_name(name: &[u8]) -> Option<usize> {
    let candidates: &[usize] = match name.len() {
        3 => &[21, 60],
        4 => &[33, 34, 59, 45, 38, 37],
        5 => &[22, 50],
        6 => &[54, 19, 32, 35],
        7 => &[36, 51, 52],
        8 => &[46, 39, 42],
        10 => &[58, 55],
        11 => &[53],
        12 => &[31, 47],
        13 => &[24, 44, 41, 18, 23, 30],
        14 => &[28, 15],
        15 => &[16, 17],
        16 => &[26, 27, 29, 61],
        17 => &[40, 57],
        18 => &[48],
        19 => &[25, 43, 49],
        25 => &[56],
        27 => &[20],
        _ => &[],
    };
    candidates.iter().copied().find(|index| STATIC[index - 1].0.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::super::huffman;
    use super::*;
    use proptest::prelude::*;

    const ALL: Bounds = Bounds { bytes: usize::MAX, fields: usize::MAX };

    fn decode(decoder: &mut Decoder, section: &[u8]) -> Result<Vec<(String, String)>, HpackError> {
        let mut out = Fields::default();
        assert!(decoder.decode(section, ALL, &mut out)?);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(out.iter().map(|(name, value)| (text(name), text(value))).collect())
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<_> = text.chars().filter(|c| !c.is_whitespace()).collect();
        digits
            .chunks(2)
            .map(|two| u8::from_str_radix(&two.iter().collect::<String>(), 16).unwrap())
            .collect()
    }

    #[track_caller]
    fn check(decoder: &mut Decoder, section: &str, expected: &[(&str, &str)]) {
        let expected: Vec<_> =
            expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(decode(decoder, &hex(section)).unwrap(), expected);
    }

    #[test]
    fn requests_of_the_standard() {
        // RFC 7541, C.4: one connection, with Huffman codes.
        let mut decoder = Decoder::new(TABLE);
        let first = [(":method", "GET"), (":scheme", "http"), (":path", "/")];
        let host = (":authority", "www.example.com");
        let rows = [first[0], first[1], first[2], host];
        check(&mut decoder, "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", &rows);
        let rows = [rows[0], rows[1], rows[2], host, ("cache-control", "no-cache")];
        check(&mut decoder, "8286 84be 5886 a8eb 1064 9cbf", &rows);
        let rows = [
            first[0],
            (":scheme", "https"),
            (":path", "/index.html"),
            host,
            ("custom-key", "custom-value"),
        ];
        let section = "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf";
        check(&mut decoder, section, &rows);
        assert_eq!(decoder.dynamic.size, 164);
    }

    #[test]
    fn responses_of_the_standard_push_entries_out() {
        // RFC 7541, C.5: a table of 256 bytes.
        let mut decoder = Decoder::new(TABLE);
        let (date, location) =
            (("date", "Mon, 21 Oct 2013 20:13:21 GMT"), ("location", "https://www.example.com"));
        let section = "3fe101 4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
            2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d";
        let private = ("cache-control", "private");
        check(&mut decoder, section, &[(":status", "302"), private, date, location]);
        check(&mut decoder, "4803 3330 37c1 c0bf", &[(":status", "307"), private, date, location]);
        assert_eq!(decoder.dynamic.size, 222);
        assert_eq!(decoder.dynamic.entries.len(), 4);
    }

    #[test]
    fn refused() {
        for (section, error) in [
            ("80", HpackError::Index(0)),
            ("be", HpackError::Index(62)),
            ("ff80808080", HpackError::Number),
            ("ff", HpackError::Number),
            ("0003 6162", HpackError::Truncated),
            ("0081 00", HpackError::Huffman),
            ("3fe21f", HpackError::TableSize),
            ("8220", HpackError::TableSize),
        ] {
            assert_eq!(decode(&mut Decoder::new(TABLE), &hex(section)), Err(error), "{section}");
        }
    }

    #[test]
    fn what_is_too_much_is_read_and_dropped() {
        let mut decoder = Decoder::new(TABLE);
        let mut section = Vec::new();
        // Kept in the table, though not in the section.
        section.extend([0x40, 1, b'a', 20]);
        section.extend([b'x'; 20]);
        section.extend([0x40, 1, b'b', 2, b'y', b'y', 0x82]);
        let mut out = Fields::default();
        let bounds = Bounds { bytes: 10, fields: 9 };
        assert_eq!(decoder.decode(&section, bounds, &mut out), Ok(false));
        assert!(out.is_empty());
        let rows = decode(&mut decoder, &hex("bebf")).unwrap();
        assert_eq!(rows[0], ("b".into(), "yy".into()));
        assert_eq!(rows[1].1.len(), 20);
        let mut out = Fields::default();
        let bounds = Bounds { bytes: 100, fields: 2 };
        assert_eq!(decoder.decode(&hex("828282"), bounds, &mut out), Ok(false));
        assert_eq!(out.len(), 2);
    }

    #[test]
    fn names_of_the_static_table() {
        for (at, (name, _)) in STATIC.iter().enumerate().filter(|(_, (name, _))| name[0] != b':') {
            assert_eq!(static_name(name), Some(at + 1), "{}", String::from_utf8_lossy(name));
        }
        assert_eq!(static_name(b"Content-Type"), Some(31));
        assert_eq!(static_name(b"x-own"), None);
    }

    #[test]
    fn heads_of_ours() {
        let mut out = Vec::new();
        write_request_line(&mut out, b"PUT", Some(b"https"), Some(b"/p"), Some(b"a"), None);
        write_field(&mut out, b"X-Own", b"1");
        write_field(&mut out, b"Server", &[b's'; 200]);
        for status in [200, 101, 429] {
            write_status(&mut out, status);
        }
        let long = "s".repeat(200);
        let rows = decode(&mut Decoder::new(TABLE), &out).unwrap();
        let expected = [
            (":method", "PUT"),
            (":scheme", "https"),
            (":path", "/p"),
            (":authority", "a"),
            ("x-own", "1"),
            ("server", &long),
            (":status", "200"),
            (":status", "101"),
            (":status", "429"),
        ];
        let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(rows, expected);
    }

    proptest! {
        /// Whatever mix of forms says it, the fields are the ones that were meant, and the table stays within its size.
        #[test]
        fn fields_come_through(
            fields in prop::collection::vec(("[a-z-]{1,12}", "[ -~]{0,40}", 0u8..4), 0..60),
            size in 0usize..600,
        ) {
            let mut decoder = Decoder::new(TABLE);
            let mut section = Vec::new();
            write_number(&mut section, 0x20, 5, size);
            for (name, value, form) in &fields {
                section.push(if form & 1 == 0 { 0x40 } else { 0 });
                for text in [name, value] {
                    if form & 2 == 0 {
                        write_text(&mut section, text.as_bytes());
                    } else {
                        let code = huffman::tests::encode(text.as_bytes());
                        write_number(&mut section, 0x80, 7, code.len());
                        section.extend(code);
                    }
                }
            }
            let rows = decode(&mut decoder, &section).unwrap();
            let expected: Vec<_> = fields.iter().map(|(n, v, _)| (n.clone(), v.clone())).collect();
            prop_assert_eq!(&rows, &expected);
            prop_assert!(decoder.dynamic.size <= size);
            prop_assert!(decoder.dynamic.bytes.len() <= 2 * size + 60);
            // The newest of those that were kept is entry 62.
            let newest = fields.iter().rev().find(|(_, _, form)| form & 1 == 0);
            if let Some((name, value, _)) = newest.filter(|(n, v, _)| n.len() + v.len() + OVERHEAD <= size) {
                let row = decode(&mut decoder, &[0x80 | 62]).unwrap();
                prop_assert_eq!(&row, &[(name.clone(), value.clone())]);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(section in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut decoder = Decoder::new(TABLE);
            let _ = decoder.decode(&section, ALL, &mut Fields::default());
            prop_assert!(decoder.dynamic.size <= TABLE);
        }
    }
}
