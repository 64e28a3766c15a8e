//! Records (FastCGI specification, 3.3).

/// Bytes of a header.
const HEADER: usize = 8;
/// Most content of a record.
const LONGEST: usize = 0xffff;
/// The only version.
const VERSION: u8 = 1;
/// The role of applications that answer requests.
const RESPONDER: u16 = 1;
const KEEP_CONN: u8 = 1;

/// Kinds of records (FastCGI specification, 8).
pub mod kind {
    pub const BEGIN_REQUEST: u8 = 1;
    pub const ABORT_REQUEST: u8 = 2;
    pub const END_REQUEST: u8 = 3;
    pub const PARAMS: u8 = 4;
    pub const STDIN: u8 = 5;
    pub const STDOUT: u8 = 6;
    pub const STDERR: u8 = 7;
}

/// Writes content as records of a kind; without content, the record that ends a stream.
pub fn write(out: &mut Vec<u8>, kind: u8, id: u16, content: &[u8]) {
    // Readers like records that are multiples of eight bytes (3.3).
    const PADDING: [u8; 7] = [0; 7];
    let mut rest = content;
    loop {
        let (part, left) = rest.split_at(rest.len().min(LONGEST));
        let padding = (8 - part.len() % 8) % 8;
        let (id, length) = (id.to_be_bytes(), (part.len() as u16).to_be_bytes());
        let header = [VERSION, kind, id[0], id[1], length[0], length[1], padding as u8, 0];
        out.extend_from_slice(&header);
        out.extend_from_slice(part);
        out.extend_from_slice(&PADDING[..padding]);
        rest = left;
        if rest.is_empty() {
            return;
        }
    }
}

/// Begins a request; `keep` asks for the connection to stay open behind it.
pub fn write_begin(out: &mut Vec<u8>, id: u16, keep: bool) {
    let role = RESPONDER.to_be_bytes();
    let flags = if keep { KEEP_CONN } else { 0 };
    write(out, kind::BEGIN_REQUEST, id, &[role[0], role[1], flags, 0, 0, 0, 0, 0]);
}

/// Bytes that are no records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("version {0} of FastCGI does not exist")]
pub struct NoRecord(u8);

/// Part of a record's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part<'a> {
    pub kind: u8,
    /// The request; 0 is the connection itself.
    pub id: u16,
    pub content: &'a [u8],
    /// The record has no more.
    pub last: bool,
    /// The record has no content at all: it ends a stream.
    pub empty: bool,
}

/// Takes records apart.
#[derive(Debug, Default, Clone)]
pub struct Reader {
    header: [u8; HEADER],
    /// Bytes of the header that are there.
    have: usize,
    /// Bytes of content, then of padding, that are to come.
    content: usize,
    padding: usize,
    /// The record began with some content.
    filled: bool,
}

impl Reader {
    /// Uses the start of `data`; gives how many bytes, and what they say. Nothing said means that all was used.
    ///
    /// # Errors
    /// The bytes are no records; the connection is of no use any more.
    pub fn next<'a>(&mut self, data: &'a [u8]) -> Result<(usize, Option<Part<'a>>), NoRecord> {
        let mut at = 0;
        loop {
            if self.have < HEADER {
                let part = (HEADER - self.have).min(data.len() - at);
                self.header[self.have..self.have + part].copy_from_slice(&data[at..at + part]);
                self.have += part;
                at += part;
                if self.have > 0 && self.header[0] != VERSION {
                    return Err(NoRecord(self.header[0]));
                }
                if self.have < HEADER {
                    return Ok((at, None));
                }
                let [_, _, _, _, high, low, padding, _] = self.header;
                self.content = usize::from(u16::from_be_bytes([high, low]));
                self.padding = usize::from(padding);
                self.filled = self.content > 0;
                if !self.filled {
                    return Ok((at, Some(self.part(&[]))));
                }
            }
            if self.content > 0 {
                if at == data.len() {
                    return Ok((at, None));
                }
                let length = self.content.min(data.len() - at);
                let content = &data[at..at + length];
                self.content -= length;
                return Ok((at + length, Some(self.part(content))));
            }
            let skipped = self.padding.min(data.len() - at);
            self.padding -= skipped;
            at += skipped;
            if self.padding > 0 {
                return Ok((at, None));
            }
            self.have = 0;
        }
    }

    /// Whether a record began and has not ended.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.have > 0 && (self.have < HEADER || self.content > 0 || self.padding > 0)
    }

    fn part<'a>(&self, content: &'a [u8]) -> Part<'a> {
        let [_, kind, high, low, ..] = self.header;
        Part {
            kind,
            id: u16::from_be_bytes([high, low]),
            content,
            last: self.content == 0,
            empty: !self.filled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Kind, request, content of each record, read in pieces of these sizes.
    fn read(bytes: &[u8], sizes: &[usize]) -> Result<Vec<(u8, u16, Vec<u8>)>, NoRecord> {
        let (mut reader, mut records) = (Reader::default(), Vec::new());
        let mut content = Vec::new();
        let (mut rest, mut sizes) = (bytes, sizes.iter().cycle());
        while !rest.is_empty() {
            let size = (*sizes.next().unwrap_or(&1)).clamp(1, rest.len());
            let (mut piece, left) = rest.split_at(size);
            loop {
                let (used, part) = reader.next(piece)?;
                piece = &piece[used..];
                let Some(part) = part else { break };
                content.extend_from_slice(part.content);
                assert_eq!(part.empty, part.last && content.is_empty());
                if part.last {
                    records.push((part.kind, part.id, std::mem::take(&mut content)));
                }
            }
            assert!(piece.is_empty());
            rest = left;
        }
        Ok(records)
    }

    #[test]
    fn bytes_are_as_specified() {
        let mut out = Vec::new();
        write_begin(&mut out, 1, true);
        write(&mut out, kind::PARAMS, 1, b"abc");
        write(&mut out, kind::STDIN, 1, b"");
        assert_eq!(
            out,
            [
                &[1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0][..],
                &[1, 4, 0, 1, 0, 3, 5, 0, b'a', b'b', b'c', 0, 0, 0, 0, 0],
                &[1, 5, 0, 1, 0, 0, 0, 0],
            ]
            .concat()
        );
    }

    #[test]
    fn long_content_takes_several_records() {
        let mut out = Vec::new();
        write(&mut out, kind::STDIN, 7, &[b'x'; 70_000]);
        let lengths: Vec<_> =
            read(&out, &[999]).unwrap().into_iter().map(|(_, _, content)| content.len()).collect();
        assert_eq!(lengths, [65_535, 4_465]);
        assert_eq!(read(&[2, 0, 0], &[1]), Err(NoRecord(2)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            records in prop::collection::vec(
                (any::<u8>(), any::<u16>(), prop::collection::vec(any::<u8>(), 0..40)), 0..8),
            sizes in prop::collection::vec(1usize..50, 1..5),
        ) {
            let mut out = Vec::new();
            for (kind, id, content) in &records {
                write(&mut out, *kind, *id, content);
            }
            prop_assert_eq!(read(&out, &sizes).unwrap(), records);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(0u8..4, 0..200)) {
            let _ = read(&bytes, &[3, 1]);
        }
    }
}
