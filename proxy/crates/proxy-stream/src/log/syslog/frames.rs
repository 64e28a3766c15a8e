//! Where messages end on a connection (RFC 6587): behind as many bytes as were announced, or with their line.

/// How messages are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// By what a message begins with: a digit announces its length, `<` a line.
    #[default]
    Either,
    /// Each is a line (`option assume-rfc6587-ntf`).
    Lines,
}

/// What the front of the received bytes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Too little came yet.
    Partial,
    /// A message stands between these; bytes up to `used` are done with.
    Message { start: usize, end: usize, used: usize },
    /// Nothing that may stand there, or a message that is too long.
    Broken,
}

/// Digits of a length.
const DIGITS: usize = 10;

impl Framing {
    /// The next message of `bytes`, of `most` bytes at most.
    #[must_use]
    pub fn next(self, bytes: &[u8], most: usize) -> Frame {
        match bytes.first() {
            None => Frame::Partial,
            Some(b'0'..=b'9') if self == Self::Either => announced(bytes, most),
            Some(b'<') => line(bytes, most),
            Some(_) if self == Self::Lines => line(bytes, most),
            Some(_) => Frame::Broken,
        }
    }
}

fn announced(bytes: &[u8], most: usize) -> Frame {
    let digits = bytes.iter().take(DIGITS + 1).take_while(|b| b.is_ascii_digit()).count();
    let mut len = 0_usize;
    for digit in &bytes[..digits] {
        len = len.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    }
    if digits > DIGITS || bytes[0] == b'0' || len > most {
        return Frame::Broken;
    }
    match bytes.get(digits) {
        None => Frame::Partial,
        Some(b' ') => {
            let start = digits + 1;
            match bytes.len() - start >= len {
                true => Frame::Message { start, end: start + len, used: start + len },
                false => Frame::Partial,
            }
        }
        Some(_) => Frame::Broken,
    }
}

fn line(bytes: &[u8], most: usize) -> Frame {
    // One more for the end itself.
    let seen = &bytes[..bytes.len().min(most.saturating_add(1))];
    match memchr::memchr(b'\n', seen) {
        Some(end) => Frame::Message { start: 0, end, used: end + 1 },
        None if bytes.len() > most => Frame::Broken,
        None => Frame::Partial,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MOST: usize = 20;

    /// All messages of a stream that arrives in pieces of `piece` bytes, and what was left.
    fn split(framing: Framing, stream: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
        let (mut input, mut out) = (Vec::new(), Vec::new());
        for piece in stream.chunks(piece) {
            input.extend_from_slice(piece);
            loop {
                match framing.next(&input, MOST) {
                    Frame::Partial => break,
                    Frame::Broken => return (out, true),
                    Frame::Message { start, end, used } => {
                        out.push(input[start..end].to_vec());
                        input.drain(..used);
                    }
                }
            }
            assert!(input.len() <= MOST + DIGITS + 1 + piece.len());
        }
        (out, false)
    }

    #[track_caller]
    fn check(framing: Framing, stream: &str, messages: &[&str], broken: bool) {
        for piece in [1, 2, 1000] {
            let (seen, ended) = split(framing, stream.as_bytes(), piece);
            let seen: Vec<_> = seen.iter().map(|m| String::from_utf8_lossy(m)).collect();
            assert_eq!((seen, ended), (messages.iter().map(|m| (*m).into()).collect(), broken));
        }
    }

    #[test]
    fn both_forms_and_what_is_neither() {
        use Framing::{Either, Lines};
        check(
            Either,
            "<1>a\n5 <1>bc7 <2>d\nef<3>g\r\n",
            &["<1>a", "<1>bc", "<2>d\nef", "<3>g\r"],
            false,
        );
        check(Either, "<1>a\n\n<1>b\n", &["<1>a"], true);
        check(Either, "x\n", &[], true);
        check(Either, "12x bad\n", &[], true);
        check(Either, "05 <1>a", &[], true);
        check(Either, "21 ", &[], true);
        check(Either, "99999999999999999999999 ", &[], true);
        check(Either, "<1>45678901234567890\n", &["<1>45678901234567890"], false);
        check(Either, "<1>456789012345678901\n", &[], true);
        check(Lines, "5 <1>bc\nx\n\n", &["5 <1>bc", "x", ""], false);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(stream in "([0-9]{1,2} )?[<a\n1 ]{0,60}", piece in 1_usize..9) {
            for framing in [Framing::Either, Framing::Lines] {
                let whole = split(framing, stream.as_bytes(), usize::MAX);
                prop_assert_eq!(split(framing, stream.as_bytes(), piece), whole);
            }
        }
    }
}
