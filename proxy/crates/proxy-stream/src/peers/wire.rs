//! Numbers, frames and the greeting of the peers protocol 2.1 (peers.txt, "Encoding", "Handshake", "Messages").

/// Bytes of a message at most; the largest key with the most data takes half of it.
pub const MESSAGE_MAX: usize = 64 * 1024;
/// Bytes of a greeting at most.
const HELLO_MAX: usize = 1024;
/// Bytes of a status line at most.
const STATUS_MAX: usize = 16;
const PROTOCOL: &str = "HAProxyS";
/// First number that takes more than one byte.
const LARGE: u64 = 0xf0;

/// Appends a number in 1 to 10 bytes.
pub fn put_int(out: &mut Vec<u8>, value: u64) {
    if value < LARGE {
        return out.push(value as u8);
    }
    out.push(value as u8 | LARGE as u8);
    let mut rest = (value - LARGE) >> 4;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest = (rest - 0x80) >> 7;
    }
    out.push(rest as u8);
}

/// Takes a number from the front; `None` when it is cut off or has more than 64 bits.
pub fn int(input: &mut &[u8]) -> Option<u64> {
    let (first, mut rest) = input.split_first()?;
    let mut value = u128::from(*first);
    if value >= u128::from(LARGE) {
        let mut shift = 4;
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            value += u128::from(*byte) << shift;
            shift += 7;
            if *byte < 0x80 {
                break;
            }
            if shift > 64 {
                return None;
            }
        }
    }
    *input = rest;
    u64::try_from(value).ok()
}

/// Takes `n` bytes from the front.
pub fn bytes<'a>(input: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, rest) = input.split_at_checked(n)?;
    *input = rest;
    Some(taken)
}

/// Takes a number of 32 bits in network order from the front.
pub fn word(input: &mut &[u8]) -> Option<u32> {
    let (taken, rest) = input.split_first_chunk::<4>()?;
    *input = rest;
    Some(u32::from_be_bytes(*taken))
}

/// Messages of class 0.
pub mod control {
    pub const RESYNC_REQUEST: u8 = 0;
    pub const RESYNC_FINISHED: u8 = 1;
    pub const RESYNC_PARTIAL: u8 = 2;
    pub const RESYNC_CONFIRMED: u8 = 3;
    pub const HEARTBEAT: u8 = 4;
}

/// Messages of class 1.
pub mod error {
    pub const PROTOCOL: u8 = 0;
    pub const SIZE_LIMIT: u8 = 1;
}

/// Messages of class 10. The two that tell when the entry expires are not in the document; HAProxy sends the first when it
/// teaches a whole table.
pub mod table {
    pub const UPDATE: u8 = 128;
    pub const UPDATE_NEXT: u8 = 129;
    pub const DEFINITION: u8 = 130;
    pub const SWITCH: u8 = 131;
    pub const ACK: u8 = 132;
    pub const UPDATE_TIMED: u8 = 133;
    pub const UPDATE_NEXT_TIMED: u8 = 134;
}

const CLASS_CONTROL: u8 = 0;
const CLASS_ERROR: u8 = 1;
const CLASS_TABLE: u8 = 10;
/// From this type on, a message has a length.
const SIZED: u8 = 128;

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Control(u8),
    Error(u8),
    /// Type and content of a message about tables.
    Table(u8, &'a [u8]),
    /// Something that a later version has added.
    Unknown,
}

/// Why bytes are no messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("a length that is no number")]
    Length,
    #[error("a message of {0} bytes")]
    TooLong(u64),
}

/// The message at the front and its length; `None` when it is not complete.
///
/// # Errors
/// The bytes cannot be a message, or one that is too long.
pub fn frame(input: &[u8]) -> Result<Option<(Frame<'_>, usize)>, FrameError> {
    /// Bytes of the longest number.
    const NUMBER: usize = 10;
    let [class, kind, rest @ ..] = input else { return Ok(None) };
    if *kind < SIZED {
        let frame = match *class {
            CLASS_CONTROL => Frame::Control(*kind),
            CLASS_ERROR => Frame::Error(*kind),
            _ => Frame::Unknown,
        };
        return Ok(Some((frame, 2)));
    }
    let mut content = rest;
    let Some(length) = int(&mut content) else {
        return if rest.len() < NUMBER { Ok(None) } else { Err(FrameError::Length) };
    };
    let length = match usize::try_from(length) {
        Ok(n) if n <= MESSAGE_MAX => n,
        _ => return Err(FrameError::TooLong(length)),
    };
    let head = input.len() - content.len();
    let Some(content) = content.get(..length) else { return Ok(None) };
    let frame = match *class {
        CLASS_TABLE => Frame::Table(*kind, content),
        _ => Frame::Unknown,
    };
    Ok(Some((frame, head + length)))
}

/// Appends a message of class 0.
pub fn put_control(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(&[CLASS_CONTROL, kind]);
}

/// Appends a message of class 1.
pub fn put_error(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(&[CLASS_ERROR, kind]);
}

/// Appends a message about tables.
pub fn put_table(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    out.extend_from_slice(&[CLASS_TABLE, kind]);
    put_int(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Says how far the updates of the peer's table `id` have arrived.
pub fn put_ack(out: &mut Vec<u8>, id: u64, update: u32) {
    let mut content = Vec::with_capacity(14);
    put_int(&mut content, id);
    content.extend_from_slice(&update.to_be_bytes());
    put_table(out, table::ACK, &content);
}

/// What an acknowledgement tells: the table, by our number, and the update.
pub fn ack(mut content: &[u8]) -> Option<(u64, u32)> {
    Some((int(&mut content)?, word(&mut content)?))
}

/// The first message of who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The 1 of 2.1.
    pub minor: u8,
    /// Who is meant.
    pub remote: String,
    /// Who it is.
    pub local: String,
    pub pid: u32,
}

/// Answers to a greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Succeeded,
    TryAgain,
    ProtocolError,
    BadVersion,
    /// The name that is meant is not ours.
    LocalMismatch,
    /// We do not know who it is.
    RemoteMismatch,
}

impl Status {
    pub fn code(self) -> u16 {
        match self {
            Self::Succeeded => 200,
            Self::TryAgain => 300,
            Self::ProtocolError => 501,
            Self::BadVersion => 502,
            Self::LocalMismatch => 503,
            Self::RemoteMismatch => 504,
        }
    }

    fn of(code: &str) -> Option<Self> {
        const ALL: [Status; 6] = [
            Status::Succeeded,
            Status::TryAgain,
            Status::ProtocolError,
            Status::BadVersion,
            Status::LocalMismatch,
            Status::RemoteMismatch,
        ];
        let code: u16 = code.parse().ok()?;
        ALL.into_iter().find(|status| status.code() == code)
    }

    /// The line that is sent.
    pub fn line(self) -> String {
        format!("{}\n", self.code())
    }
}

impl Hello {
    /// The lines that are sent.
    pub fn lines(&self) -> String {
        format!("{PROTOCOL} 2.{}\n{}\n{} {} 1\n", self.minor, self.remote, self.local, self.pid)
    }
}

/// The greeting at the front and its length; `None` when it is not complete.
///
/// # Errors
/// The answer to a greeting that is none.
pub fn hello(input: &[u8]) -> Result<Option<(Hello, usize)>, Status> {
    let mut lines = [""; 3];
    let mut at = 0;
    for (number, line) in lines.iter_mut().enumerate() {
        let rest = &input[at..];
        let Some(end) = memchr::memchr(b'\n', rest) else {
            let wrong = number == 0 && !PROTOCOL.as_bytes().starts_with(head(rest));
            let long = input.len() > HELLO_MAX;
            return if wrong || long { Err(Status::ProtocolError) } else { Ok(None) };
        };
        let text = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        *line = std::str::from_utf8(text).map_err(|_| Status::ProtocolError)?;
        if number == 0 && !line.starts_with(PROTOCOL) {
            return Err(Status::ProtocolError);
        }
        at += end + 1;
    }
    if at > HELLO_MAX {
        return Err(Status::ProtocolError);
    }
    let [first, remote, last] = lines;
    let version = first.strip_prefix(PROTOCOL).and_then(|rest| rest.strip_prefix(' '));
    let minor = match version.ok_or(Status::ProtocolError)? {
        "2.0" => 0,
        "2.1" => 1,
        _ => return Err(Status::BadVersion),
    };
    let mut words = last.split(' ');
    let (Some(local), Some(pid), Some(_)) = (words.next(), words.next(), words.next()) else {
        return Err(Status::ProtocolError);
    };
    let pid = pid.parse().unwrap_or(0);
    Ok(Some((Hello { minor, remote: remote.to_owned(), local: local.to_owned(), pid }, at)))
}

/// As many bytes as the name of the protocol has.
fn head(text: &[u8]) -> &[u8] {
    &text[..text.len().min(PROTOCOL.len())]
}

/// The status line at the front and its length; `None` when it is not complete.
///
/// # Errors
/// It is no status line.
pub fn status(input: &[u8]) -> Result<Option<(Status, usize)>, Status> {
    let Some(end) = memchr::memchr(b'\n', input) else {
        return if input.len() > STATUS_MAX { Err(Status::ProtocolError) } else { Ok(None) };
    };
    let text = std::str::from_utf8(&input[..end]).map_err(|_| Status::ProtocolError)?;
    let status = Status::of(text.trim_end_matches('\r')).ok_or(Status::ProtocolError)?;
    Ok(Some((status, end + 1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(value: u64, expected: &[u8]) {
        let mut out = Vec::new();
        put_int(&mut out, value);
        assert_eq!(out, expected);
        assert_eq!(int(&mut &out[..]), Some(value));
    }

    #[test]
    fn numbers() {
        check(0, &[0]);
        check(239, &[239]);
        check(240, &[0xf0, 0]);
        // The example of the document.
        check(0x1234, &[0xf4, 0x94, 0x01]);
        check(2287, &[0xff, 0x7f]);
        check(2288, &[0xf0, 0x80, 0]);
        check(264_431, &[0xff, 0xff, 0x7f]);
        check(264_432, &[0xf0, 0x80, 0x80, 0]);
        assert_eq!(int(&mut &[0xff; 20][..]), None);
        assert_eq!(int(&mut &[0xf4, 0x94][..]), None);
    }

    #[test]
    fn greetings() {
        let own = Hello { minor: 1, remote: "b".into(), local: "a".into(), pid: 7 };
        let text = own.lines();
        assert_eq!(text, "HAProxyS 2.1\nb\na 7 1\n");
        for cut in 0..text.len() {
            assert_eq!(hello(&text.as_bytes()[..cut]), Ok(None));
        }
        let more = format!("{text}\0\0");
        assert_eq!(hello(more.as_bytes()), Ok(Some((own, text.len()))));
        let of = |text: &str| hello(text.as_bytes()).map(|_| ());
        assert_eq!(of("HAProxyS 2.1\r\nA\r\nB 1 2\r\n"), Ok(()));
        assert_eq!(of("HAProxyS 2.0\nA\nB xx yy\n"), Ok(()));
        assert_eq!(of("HAProxyS 2.2\nA\nB 1 2\n"), Err(Status::BadVersion));
        assert_eq!(of("HTTP/1.1 2.1\nA\nB 1 2\n"), Err(Status::ProtocolError));
        assert_eq!(of("GET"), Err(Status::ProtocolError));
        assert_eq!(of("HAProxyS 2.1\nA\nB\n"), Err(Status::ProtocolError));
        assert_eq!(of(&format!("HAProxyS 2.1\n{}", "x".repeat(2000))), Err(Status::ProtocolError));
    }

    #[test]
    fn answers() {
        assert_eq!(status(b"20"), Ok(None));
        assert_eq!(status(b"200\n\0\0"), Ok(Some((Status::Succeeded, 4))));
        assert_eq!(status(b"504\n"), Ok(Some((Status::RemoteMismatch, 4))));
        assert_eq!(status(b"999\n"), Err(Status::ProtocolError));
        assert_eq!(status(b"HTTP/1.1 400 Bad request"), Err(Status::ProtocolError));
    }

    #[test]
    fn frames() {
        assert_eq!(frame(&[0]), Ok(None));
        assert_eq!(frame(&[0, 4, 0]), Ok(Some((Frame::Control(4), 2))));
        assert_eq!(frame(&[7, 200, 1]), Ok(None));
        assert_eq!(frame(&[7, 200, 1, 9]), Ok(Some((Frame::Unknown, 4))));
        let mut out = Vec::new();
        put_ack(&mut out, 300, 9);
        let Ok(Some((Frame::Table(table::ACK, content), length))) = frame(&out) else { panic!() };
        assert_eq!((ack(content), length), (Some((300, 9)), out.len()));
        let mut long = vec![10, 128];
        put_int(&mut long, 1 << 20);
        assert_eq!(frame(&long), Err(FrameError::TooLong(1 << 20)));
        assert_eq!(frame(&[[10, 128].as_slice(), &[0xff; 12]].concat()), Err(FrameError::Length));
    }

    proptest! {
        #[test]
        fn every_number_comes_back(value: u64) {
            let mut out = Vec::new();
            put_int(&mut out, value);
            prop_assert!(out.len() <= 10);
            let mut rest = &out[..];
            prop_assert_eq!(int(&mut rest), Some(value));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_looked_at(input: Vec<u8>) {
            let _ = (frame(&input), hello(&input), status(&input), ack(&input));
        }
    }
}
