//! The hello of SPOP (the protocol's own document, 3.2.4 to 3.2.6): a frame that says what the check can, and the answer.

use super::expect::{Status, Verdict, failed, passed};
use crate::spop::{Reader, put_number, put_text};

/// Types of frames.
const HELLO: u8 = 1;
const AGENT_HELLO: u8 = 101;
const AGENT_DISCONNECT: u8 = 102;
/// Types of values.
const BOOL: u8 = 1;
const INT32: u8 = 2;
const UINT64: u8 = 5;
const UINT32: u8 = 3;
const IPV4: u8 = 6;
const IPV6: u8 = 7;
const STRING: u8 = 8;
const BINARY: u8 = 9;
/// Longest frame that the check takes.
const FRAME_MAX: u64 = 16380;

/// The frame that asks.
pub(super) fn hello() -> Vec<u8> {
    // The flag FIN; no stream, no frame of one.
    let mut frame = vec![HELLO, 0, 0, 0, 1, 0, 0];
    let text = |frame: &mut Vec<u8>, text: &str| put_text(frame, text.as_bytes());
    text(&mut frame, "supported-versions");
    frame.push(STRING);
    text(&mut frame, "2.0");
    text(&mut frame, "max-frame-size");
    frame.push(UINT32);
    put_number(&mut frame, FRAME_MAX);
    text(&mut frame, "capabilities");
    frame.push(STRING);
    text(&mut frame, "");
    text(&mut frame, "healthcheck");
    frame.push(BOOL | 0x10);
    let mut message = u32::try_from(frame.len()).unwrap_or(0).to_be_bytes().to_vec();
    message.extend(frame);
    message
}

/// A value: its number or its bytes.
fn value<'a>(rest: &mut Reader<'a>) -> Option<Value<'a>> {
    let kind = rest.byte()?;
    Some(match kind & 0x0f {
        0 | BOOL => Value::Other,
        INT32..=UINT64 => Value::Number(rest.number()?),
        IPV4 => {
            rest.take(4)?;
            Value::Other
        }
        IPV6 => {
            rest.take(16)?;
            Value::Other
        }
        STRING | BINARY => Value::Text(rest.text()?),
        _ => return None,
    })
}

enum Value<'a> {
    Number(u64),
    Text(&'a [u8]),
    Other,
}

/// Judges the agent's frame; `None` while it is not complete.
pub(super) fn judge(data: &[u8]) -> Option<Verdict> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    let length = u64::from(u32::from_be_bytes(*length));
    let wrong = |text: &str| Some(failed(Status::L7Response, None, text));
    if length > FRAME_MAX {
        return wrong("frame is too big");
    }
    let frame = rest.get(..usize::try_from(length).ok()?)?;
    match read(frame) {
        Some(Frame::Hello { version: Some(true), size: Some(true), capabilities: true }) => {
            Some(passed(Status::L7Ok, Some(0), "SPOA server is ok"))
        }
        Some(Frame::Hello { version: None, .. }) => wrong("version value not found"),
        Some(Frame::Hello { version: Some(false), .. }) => wrong("unsupported version"),
        Some(Frame::Hello { size: None, .. }) => wrong("max-frame-size value not found"),
        Some(Frame::Hello { size: Some(false), .. }) => {
            wrong("max-frame-size too big or too small")
        }
        Some(Frame::Hello { .. }) => wrong("capabilities value not found"),
        Some(Frame::Disconnect { code, message }) => {
            let message = String::from_utf8_lossy(&message[..message.len().min(200)]);
            Some(failed(Status::L7Status, Some(code), message.as_ref()))
        }
        None => wrong("invalid frame received"),
    }
}

enum Frame<'a> {
    Hello { version: Option<bool>, size: Option<bool>, capabilities: bool },
    Disconnect { code: u32, message: &'a [u8] },
}

fn read(frame: &[u8]) -> Option<Frame<'_>> {
    let mut rest = Reader(frame);
    let kind = rest.byte()?;
    // Only whole frames: FIN.
    if rest.take(4)?[3] & 1 == 0 {
        return None;
    }
    let (stream, of_stream) = (rest.number()?, rest.number()?);
    if (stream, of_stream) != (0, 0) {
        return None;
    }
    let (mut version, mut size, mut capabilities) = (None, None, false);
    let (mut code, mut message) = (0, &b""[..]);
    while !rest.0.is_empty() {
        let name = rest.text()?;
        match (name, value(&mut rest)?) {
            (b"version", Value::Text(text)) => version = Some(text.trim_ascii().starts_with(b"2.")),
            (b"max-frame-size", Value::Number(number)) => {
                size = Some((256..=FRAME_MAX).contains(&number))
            }
            (b"capabilities", Value::Text(_)) => capabilities = true,
            (b"status-code", Value::Number(number)) => code = u32::try_from(number).ok()?,
            (b"message", Value::Text(text)) => message = text,
            _ => {}
        }
    }
    match kind {
        AGENT_HELLO => Some(Frame::Hello { version, size, capabilities }),
        AGENT_DISCONNECT => Some(Frame::Disconnect { code, message }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data: &[u8], expected: &str) {
        let seen = match judge(data) {
            None | Some(Verdict::Wait) => "wait".to_owned(),
            Some(Verdict::Passed { info, .. }) => format!("+ {info}"),
            Some(Verdict::Failed { status, code, info }) => {
                format!("- {status:?} {} {info}", code.unwrap_or_default())
            }
        };
        assert_eq!(seen, expected);
    }

    #[test]
    fn agents_answer() {
        assert_eq!(hello().len(), 82);
        let hello = b"\0\0\0\x36\x65\0\0\0\x01\0\0\x07version\x08\x032.0\
            \x0emax-frame-size\x03\xfc\xf0\x06\x0ccapabilities\x08\x00";
        check(hello, "+ SPOA server is ok");
        for end in 0..hello.len() {
            check(&hello[..end], "wait");
        }
        let goodbye = b"\0\0\0\x26\x66\0\0\0\x01\0\0\x0bstatus-code\x03\x63\
            \x07message\x08\x07invalid";
        check(goodbye, "- L7Status 99 invalid");
        check(b"\0\0\0\x01\x65", "- L7Response 0 invalid frame received");
        check(b"\xff\0\0\0", "- L7Response 0 frame is too big");
    }

    proptest::proptest! {
        #[test]
        fn any_frame_is_survived(body in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            let mut data = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
            data.extend(body);
            assert!(judge(&data).is_some());
        }
    }
}
