//! The chunked transfer coding (RFC 9112 section 7.1), decoded in place.
//!
//! Chunks are forwarded in the framing they came in, so the decoder's main work is to find the
//! end and to refuse what two parsers could read differently: line ends are CRLF, sizes are plain
//! hexadecimal. Extensions are dropped, as no hop needs them.

use crate::headers::is_token;

/// Largest chunk accepted, in bytes.
const MAX_CHUNK: u64 = 1 << 56;
/// Longest size line, extensions included.
const MAX_SIZE_LINE: u32 = 4096;
/// Longest trailer section.
const MAX_TRAILERS: u32 = 16 * 1024;

/// What stays in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The message as chunked bytes, extensions removed.
    Chunks,
    /// The payload alone, for a recipient that does not know the coding.
    Payload,
    /// As payload; trailer fields are kept apart for [`ChunkDecoder::take_trailers`].
    PayloadAndTrailers,
    /// As chunks, without trailer fields.
    ChunksOnly,
}

/// Outcome of [`ChunkDecoder::filter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filtered {
    /// Bytes of the input that belonged to the message; what follows is the next one.
    pub consumed: usize,
    /// Bytes to forward, moved to the start of the buffer.
    pub produced: usize,
    /// The message ended.
    pub done: bool,
}

/// Why chunked framing is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("chunk size is not hexadecimal")]
    BadSize,
    #[error("chunk size is too large")]
    SizeTooLarge,
    #[error("chunk size line is too long")]
    LineTooLong,
    #[error("control character in a chunk extension")]
    BadExtension,
    #[error("CRLF expected in chunk framing")]
    BadLineEnd,
    #[error("malformed trailer field")]
    BadTrailer,
    #[error("trailer section is too large")]
    TrailersTooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    SizeStart,
    Size,
    /// After blanks behind the size: an extension or the line end.
    SizeBlank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLf,
    EndLf,
    Done,
}

/// Incremental decoder of one chunked body. Splitting the input anywhere gives the same result.
#[derive(Debug, Clone)]
pub struct ChunkDecoder {
    state: State,
    /// Bytes left of the current chunk, or the size read so far.
    left: u64,
    /// Bytes of the current size line or of the trailer section.
    line: u32,
    /// Trailer lines, when they are kept apart.
    trailers: Vec<u8>,
}

impl Default for ChunkDecoder {
    fn default() -> Self {
        Self { state: State::SizeStart, left: 0, line: 0, trailers: Vec::new() }
    }
}

impl ChunkDecoder {
    /// True once the final CRLF was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Bytes of payload that come before the next framing.
    #[must_use]
    pub fn payload_left(&self) -> u64 {
        if self.state == State::Data { self.left } else { 0 }
    }

    /// Takes note of payload that went another way, at most [`Self::payload_left`] bytes.
    pub fn skip(&mut self, n: u64) {
        if self.state == State::Data {
            self.left = self.left.saturating_sub(n);
            if self.left == 0 {
                self.state = State::DataCr;
            }
        }
    }

    /// The trailer lines that [`Keep::PayloadAndTrailers`] kept, line ends included.
    pub fn take_trailers(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.trailers)
    }

    /// Reads `buf` and keeps at its start what goes to the recipient.
    ///
    /// # Errors
    /// The framing is malformed; nothing that follows can be trusted.
    pub fn filter(&mut self, buf: &mut [u8], keep: Keep) -> Result<Filtered, ChunkError> {
        let framing = matches!(keep, Keep::Chunks | Keep::ChunksOnly);
        let (mut at, mut out, mut from) = (0, 0, 0);
        while at < buf.len() && self.state != State::Done {
            if self.state == State::Data {
                let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len() - at);
                at += n;
                self.left -= n as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
                continue;
            }
            let in_trailers = self.in_trailers();
            let mut wanted = self.step(buf[at])?;
            if in_trailers && self.state != State::EndLf {
                match keep {
                    Keep::PayloadAndTrailers => self.trailers.push(buf[at]),
                    Keep::ChunksOnly => wanted = false,
                    Keep::Chunks | Keep::Payload => {}
                }
            }
            if !(framing && wanted) {
                out += keep_run(buf, from, at, out);
                from = at + 1;
            }
            at += 1;
        }
        out += keep_run(buf, from, at, out);
        Ok(Filtered { consumed: at, produced: out, done: self.is_done() })
    }

    /// One byte of framing; says whether it belongs to the canonical form.
    fn step(&mut self, byte: u8) -> Result<bool, ChunkError> {
        self.line += 1;
        let mut wanted = true;
        self.state = match self.state {
            State::SizeStart | State::Size => match (hex(byte), byte) {
                (Some(digit), _) => {
                    self.left = self.left * 16 + u64::from(digit);
                    if self.left > MAX_CHUNK {
                        return Err(ChunkError::SizeTooLarge);
                    }
                    self.size_line(State::Size)?
                }
                _ if self.state == State::SizeStart => return Err(ChunkError::BadSize),
                (_, b'\r') => State::SizeLf,
                (_, b';') => {
                    wanted = false;
                    State::Extension
                }
                (_, b' ' | b'\t') => {
                    wanted = false;
                    State::SizeBlank
                }
                _ => return Err(ChunkError::BadSize),
            },
            State::SizeBlank | State::Extension => match byte {
                b'\r' => State::SizeLf,
                b'\n' => return Err(ChunkError::BadLineEnd),
                b' ' | b'\t' => {
                    wanted = false;
                    self.size_line(self.state)?
                }
                b';' => {
                    wanted = false;
                    self.size_line(State::Extension)?
                }
                _ if self.state == State::SizeBlank => return Err(ChunkError::BadSize),
                0..=0x1f | 0x7f => return Err(ChunkError::BadExtension),
                _ => {
                    wanted = false;
                    self.size_line(State::Extension)?
                }
            },
            State::SizeLf => {
                expect(byte, b'\n')?;
                self.line = 0;
                if self.left == 0 { State::TrailerStart } else { State::Data }
            }
            State::DataCr => {
                expect(byte, b'\r')?;
                State::DataLf
            }
            State::DataLf => {
                expect(byte, b'\n')?;
                self.line = 0;
                State::SizeStart
            }
            State::TrailerStart if byte == b'\r' => State::EndLf,
            State::TrailerStart | State::TrailerName => match byte {
                b':' if self.state == State::TrailerName => State::TrailerValue,
                _ if is_token(byte) => self.trailer(State::TrailerName)?,
                _ => return Err(ChunkError::BadTrailer),
            },
            State::TrailerValue => match byte {
                b'\r' => State::TrailerLf,
                b'\n' | 0 => return Err(ChunkError::BadTrailer),
                _ => self.trailer(State::TrailerValue)?,
            },
            State::TrailerLf => {
                expect(byte, b'\n')?;
                State::TrailerStart
            }
            State::EndLf => {
                expect(byte, b'\n')?;
                State::Done
            }
            State::Data | State::Done => self.state,
        };
        Ok(wanted)
    }

    /// The next byte belongs to a trailer field, or begins the end of the section.
    fn in_trailers(&self) -> bool {
        use State::{TrailerLf, TrailerName, TrailerStart, TrailerValue};
        matches!(self.state, TrailerStart | TrailerName | TrailerValue | TrailerLf)
    }

    fn size_line(&self, next: State) -> Result<State, ChunkError> {
        if self.line > MAX_SIZE_LINE { Err(ChunkError::LineTooLong) } else { Ok(next) }
    }

    fn trailer(&self, next: State) -> Result<State, ChunkError> {
        if self.line > MAX_TRAILERS { Err(ChunkError::TrailersTooLarge) } else { Ok(next) }
    }
}

/// Moves `buf[from..to]` to `out`; returns its length.
fn keep_run(buf: &mut [u8], from: usize, to: usize, out: usize) -> usize {
    if from >= to {
        return 0;
    }
    if from != out {
        buf.copy_within(from..to, out);
    }
    to - from
}

fn expect(byte: u8, wanted: u8) -> Result<(), ChunkError> {
    if byte == wanted { Ok(()) } else { Err(ChunkError::BadLineEnd) }
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Outcome = Result<(String, usize, bool), ChunkError>;

    fn run(input: &[u8], keep: Keep, cut: usize) -> Outcome {
        let mut decoder = ChunkDecoder::default();
        let (mut out, mut consumed, mut done) = (Vec::new(), 0, false);
        for part in [&input[..cut], &input[cut..]] {
            let mut buf = part.to_vec();
            let step = decoder.filter(&mut buf, keep)?;
            out.extend_from_slice(&buf[..step.produced]);
            consumed += step.consumed;
            done = step.done;
        }
        Ok((String::from_utf8_lossy(&out).into_owned(), consumed, done))
    }

    #[track_caller]
    fn check(input: &str, chunks: &str, payload: &str, rest: usize) {
        for cut in 0..=input.len() {
            let consumed = input.len() - rest;
            let expected = Ok((chunks.to_owned(), consumed, true));
            assert_eq!(run(input.as_bytes(), Keep::Chunks, cut), expected, "cut at {cut}");
            let expected = Ok((payload.to_owned(), consumed, true));
            assert_eq!(run(input.as_bytes(), Keep::Payload, cut), expected, "cut at {cut}");
        }
    }

    #[track_caller]
    fn refuse(input: &str, expected: ChunkError) {
        for cut in 0..=input.len() {
            assert_eq!(run(input.as_bytes(), Keep::Chunks, cut), Err(expected), "cut at {cut}");
        }
    }

    #[test]
    fn bodies() {
        check("0\r\n\r\n", "0\r\n\r\n", "", 0);
        check("2\r\nab\r\n0\r\n\r\nGET", "2\r\nab\r\n0\r\n\r\n", "ab", 3);
        check("A\r\n0123456789\r\n00\r\n\r\n", "A\r\n0123456789\r\n00\r\n\r\n", "0123456789", 0);
        check("2;x=y;z\r\nab\r\n0 ;q\r\n\r\n", "2\r\nab\r\n0\r\n\r\n", "ab", 0);
        check("2 \t\r\nab\r\n0\r\nT: 1\r\n\r\n", "2\r\nab\r\n0\r\nT: 1\r\n\r\n", "ab", 0);
        check(
            "00000000000000000002\r\nab\r\n0\r\n\r\n",
            "00000000000000000002\r\nab\r\n0\r\n\r\n",
            "ab",
            0,
        );
    }

    #[test]
    fn trailers_kept_apart_or_dropped() {
        let input = b"2\r\nab\r\n0\r\nT: 1\r\nu: 2\r\n\r\n";
        for cut in 0..=input.len() {
            let got = run(input, Keep::ChunksOnly, cut);
            assert_eq!(got, Ok(("2\r\nab\r\n0\r\n\r\n".to_owned(), input.len(), true)), "{cut}");
        }
        let mut decoder = ChunkDecoder::default();
        let step = decoder.filter(&mut input.to_vec(), Keep::PayloadAndTrailers).unwrap();
        assert_eq!((step.produced, step.done), (2, true));
        assert_eq!(decoder.take_trailers(), b"T: 1\r\nu: 2\r\n");
    }

    #[test]
    fn refused() {
        refuse("\r\n", ChunkError::BadSize);
        refuse("g\r\n", ChunkError::BadSize);
        refuse("0x2\r\n", ChunkError::BadSize);
        refuse("-1\r\n", ChunkError::BadSize);
        refuse("2 2\r\nab\r\n", ChunkError::BadSize);
        refuse("2\nab\r\n", ChunkError::BadSize);
        refuse("2;a\nab\r\n", ChunkError::BadLineEnd);
        refuse("2\rab", ChunkError::BadLineEnd);
        refuse("2\r\nabc\r\n", ChunkError::BadLineEnd);
        refuse("2\r\nab\n0\r\n", ChunkError::BadLineEnd);
        refuse("2;\x01\r\nab", ChunkError::BadExtension);
        refuse("ffffffffffffffff\r\n", ChunkError::SizeTooLarge);
        refuse("0\r\n: x\r\n\r\n", ChunkError::BadTrailer);
        refuse("0\r\nA b: x\r\n\r\n", ChunkError::BadTrailer);
        refuse("0\r\nA: x\n\r\n", ChunkError::BadTrailer);
        refuse("0\r\nA: x\r\n\rx", ChunkError::BadLineEnd);
    }

    #[test]
    fn bounds() {
        let long = format!("2;{}\r\n", "x".repeat(5000));
        assert_eq!(run(long.as_bytes(), Keep::Chunks, 0), Err(ChunkError::LineTooLong));
        let zeros = "0".repeat(5000);
        assert_eq!(run(zeros.as_bytes(), Keep::Chunks, 0), Err(ChunkError::LineTooLong));
        let trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(4000));
        assert_eq!(run(trailers.as_bytes(), Keep::Chunks, 0), Err(ChunkError::TrailersTooLarge));
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(input in "[0-9a-f;x \r\n:A]{0,40}", cut in 0usize..40) {
            let input = input.as_bytes();
            let cut = cut.min(input.len());
            prop_assert_eq!(run(input, Keep::Chunks, cut), run(input, Keep::Chunks, 0));
            prop_assert_eq!(run(input, Keep::Payload, cut), run(input, Keep::Payload, 0));
        }

        #[test]
        fn payload_survives(parts in prop::collection::vec("[ -~]{1,50}", 0..8)) {
            let mut wire = String::new();
            for part in &parts {
                wire.push_str(&format!("{:x};e\r\n{part}\r\n", part.len()));
            }
            wire.push_str("0\r\n\r\n");
            let got = run(wire.as_bytes(), Keep::Payload, 0).unwrap();
            prop_assert_eq!(got, (parts.concat(), wire.len(), true));
        }

        #[test]
        fn never_panics(input in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = run(&input, Keep::Chunks, 0);
        }
    }
}
