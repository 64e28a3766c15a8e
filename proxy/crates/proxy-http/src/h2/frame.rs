//! Frames (RFC 9113 section 4 and 6).

/// Bytes before the payload of a frame.
pub const HEAD: usize = 9;
/// Largest payload that every peer takes, in bytes.
pub const PAYLOAD: usize = 16_384;
/// Window of connections and streams before anything is said of it, in bytes.
pub const WINDOW: i64 = 65_535;
/// Largest window, in bytes.
pub const WINDOW_MAX: i64 = 0x7fff_ffff;
/// Largest stream number.
pub const STREAM_MAX: u32 = 0x7fff_ffff;

/// Types of frames.
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PUSH_PROMISE: u8 = 5;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub mod flag {
    pub const ACK: u8 = 1;
    pub const END_STREAM: u8 = 1;
    pub const END_HEADERS: u8 = 4;
    pub const PADDED: u8 = 8;
    pub const PRIORITY: u8 = 0x20;
}

/// Identifiers of settings (RFC 9113 section 6.5.2, RFC 8441 section 3).
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 1;
    pub const ENABLE_PUSH: u16 = 2;
    pub const MAX_CONCURRENT_STREAMS: u16 = 3;
    pub const INITIAL_WINDOW_SIZE: u16 = 4;
    pub const MAX_FRAME_SIZE: u16 = 5;
    pub const MAX_HEADER_LIST_SIZE: u16 = 6;
    pub const ENABLE_CONNECT_PROTOCOL: u16 = 8;
}

/// Error codes (RFC 9113 section 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub u32);

impl Code {
    pub const NO_ERROR: Self = Self(0);
    pub const PROTOCOL_ERROR: Self = Self(1);
    pub const INTERNAL_ERROR: Self = Self(2);
    pub const FLOW_CONTROL_ERROR: Self = Self(3);
    pub const STREAM_CLOSED: Self = Self(5);
    pub const FRAME_SIZE_ERROR: Self = Self(6);
    pub const REFUSED_STREAM: Self = Self(7);
    pub const CANCEL: Self = Self(8);
    pub const COMPRESSION_ERROR: Self = Self(9);
    pub const ENHANCE_YOUR_CALM: Self = Self(11);

    /// Whether whoever is told so broke the protocol.
    #[must_use]
    pub fn is_of_peer(self) -> bool {
        [
            Self::PROTOCOL_ERROR,
            Self::FLOW_CONTROL_ERROR,
            Self::STREAM_CLOSED,
            Self::FRAME_SIZE_ERROR,
            Self::COMPRESSION_ERROR,
        ]
        .contains(&self)
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match self.0 {
            0 => "NO_ERROR",
            1 => "PROTOCOL_ERROR",
            2 => "INTERNAL_ERROR",
            3 => "FLOW_CONTROL_ERROR",
            4 => "SETTINGS_TIMEOUT",
            5 => "STREAM_CLOSED",
            6 => "FRAME_SIZE_ERROR",
            7 => "REFUSED_STREAM",
            8 => "CANCEL",
            9 => "COMPRESSION_ERROR",
            10 => "CONNECT_ERROR",
            11 => "ENHANCE_YOUR_CALM",
            12 => "INADEQUATE_SECURITY",
            13 => "HTTP_1_1_REQUIRED",
            other => return write!(f, "error {other}"),
        };
        f.write_str(name)
    }
}

/// What comes before the payload of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    /// Bytes of the payload.
    pub len: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl FrameHead {
    /// Reads the head at the start of `bytes`; `None` when they are too few.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEAD>()?;
        Some(Self {
            len: usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]),
            kind: head[3],
            flags: head[4],
            stream: number(&head[5..]) & STREAM_MAX,
        })
    }

    /// Whether any bit of `flag` is set.
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The head as it travels. A payload of more than 16 MB cannot be said.
    #[must_use]
    pub fn bytes(&self) -> [u8; HEAD] {
        debug_assert!(self.len < 1 << 24);
        let ([_, a, b, c], [d, e, f, g]) =
            ((self.len as u32).to_be_bytes(), self.stream.to_be_bytes());
        [a, b, c, self.kind, self.flags, d, e, f, g]
    }

    /// Writes the head.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes());
    }
}

/// The number in the first four bytes; 0 when there are fewer.
#[must_use]
pub fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk::<4>().map_or(0, |b| u32::from_be_bytes(*b))
}

/// Writes a whole frame.
pub fn write(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    FrameHead { len: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// The part of `payload` that is neither padding nor priority; `None` when they do not fit in.
#[must_use]
pub fn content<'p>(head: &FrameHead, payload: &'p [u8]) -> Option<&'p [u8]> {
    let mut rest = payload;
    let mut padding = 0;
    if head.has(flag::PADDED) {
        let (length, after) = rest.split_first()?;
        (padding, rest) = (usize::from(*length), after);
    }
    if head.kind == kind::HEADERS && head.has(flag::PRIORITY) {
        rest = rest.get(5..)?;
    }
    rest.get(..rest.len().checked_sub(padding)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_both_ways() {
        let head = FrameHead { len: 0x01_02_03, kind: kind::DATA, flags: 1, stream: 7 };
        let mut out = Vec::new();
        head.write(&mut out);
        assert_eq!(out, [1, 2, 3, 0, 1, 0, 0, 0, 7]);
        assert_eq!(FrameHead::parse(&out), Some(head));
        assert_eq!(FrameHead::parse(&out[..8]), None);
    }

    #[test]
    fn padding_and_priority() {
        let head = |kind, flags| FrameHead { len: 0, kind, flags, stream: 1 };
        for (kind, flags, payload, expected) in [
            (kind::DATA, 0, &b"abc"[..], Some(&b"abc"[..])),
            (kind::DATA, flag::PADDED, b"\x02abcd", Some(b"ab")),
            (kind::DATA, flag::PADDED, b"\x04abcd", Some(b"")),
            (kind::DATA, flag::PADDED, b"\x05abcd", None),
            (kind::DATA, flag::PADDED, b"", None),
            (kind::HEADERS, flag::PRIORITY, b"12345ab", Some(b"ab")),
            (kind::HEADERS, flag::PRIORITY, b"1234", None),
            (kind::HEADERS, flag::PRIORITY | flag::PADDED, b"\x0112345ab", Some(b"a")),
        ] {
            assert_eq!(
                content(&head(kind, flags), payload),
                expected,
                "{kind} {flags} {payload:?}"
            );
        }
    }
}
