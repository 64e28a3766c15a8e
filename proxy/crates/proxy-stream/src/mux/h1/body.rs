//! Where a body ends, byte by byte.

use proxy_http::BodyLen;
use proxy_http::h1::{ChunkDecoder, ChunkError, Filtered, Keep};

/// What is left of a body.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// Nothing is left.
    #[default]
    Done,
    /// This many bytes, more than zero.
    Length(u64),
    /// Chunks, and in which form the recipient gets them.
    Chunked(ChunkDecoder, Keep),
    /// Everything up to the end of the connection.
    UntilClose,
    /// Everything up to the end that the sender's protocol marks.
    Framed,
}

impl Body {
    /// The whole body of a message. `keep` says what the recipient of chunks understands.
    #[must_use]
    pub fn new(len: BodyLen, keep: Keep) -> Self {
        match len {
            BodyLen::None | BodyLen::Length(0) => Self::Done,
            BodyLen::Length(n) => Self::Length(n),
            BodyLen::Chunked => Self::Chunked(ChunkDecoder::default(), keep),
            BodyLen::UntilClose => Self::UntilClose,
        }
    }

    /// True when nothing is left.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Bytes that go to the recipient as they come.
    pub(super) fn plain(&self) -> u64 {
        match self {
            Self::Done | Self::Framed => 0,
            Self::Length(left) => *left,
            Self::Chunked(decoder, _) => decoder.payload_left(),
            Self::UntilClose => u64::MAX,
        }
    }

    /// Takes note of plain bytes that went another way.
    pub(super) fn skip(&mut self, n: u64) {
        match self {
            Self::Done | Self::Framed | Self::UntilClose => {}
            Self::Length(left) if *left <= n => *self = Self::Done,
            Self::Length(left) => *left -= n,
            Self::Chunked(decoder, _) => decoder.skip(n),
        }
    }

    /// Takes the body's part of `buf` and moves what is to be sent to its start. Trailers that are kept apart
    /// are in `trailers` at the end.
    pub(super) fn filter(
        &mut self,
        buf: &mut [u8],
        trailers: &mut Vec<u8>,
    ) -> Result<Filtered, ChunkError> {
        let all = buf.len();
        let filtered = match self {
            Self::Done => Filtered { consumed: 0, produced: 0, done: true },
            Self::UntilClose | Self::Framed => {
                Filtered { consumed: all, produced: all, done: false }
            }
            Self::Length(left) => {
                let n = usize::try_from(*left).unwrap_or(usize::MAX).min(all);
                *left -= n as u64;
                Filtered { consumed: n, produced: n, done: *left == 0 }
            }
            Self::Chunked(decoder, keep) => decoder.filter(buf, *keep)?,
        };
        if filtered.done {
            if let Self::Chunked(decoder, Keep::PayloadAndTrailers) = self {
                *trailers = decoder.take_trailers();
            }
            *self = Self::Done;
        }
        Ok(filtered)
    }
}
