//! Bytes to heads.

use memchr::memchr3;

use super::framing::{self, Facts};
use super::limits::{Limits, Reject};
use crate::headers::{Field, HeaderList, Span, is_blank, is_token, trimmed};
use crate::message::{BodyLen, Method, RequestHead, ResponseHead, Version};
use crate::uri;

/// How far a parser came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// The head goes on; ask again with more bytes from the same start.
    Incomplete,
    /// The head took this many bytes.
    Complete { consumed: usize },
}

/// A refused head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (at byte {offset})")]
pub struct ParseError {
    /// Status the peer in fault gets, or causes: 400 or 422 for a request, 502 for a response.
    pub status: u16,
    pub reason: Reject,
    /// Byte offset into the input.
    pub offset: usize,
}

/// Inner outcome: `Err(None)` means more bytes are needed.
type Step<T> = Result<T, Option<(Reject, usize)>>;

/// Parses a request head from the start of `input` into `head`, whose former content is lost.
///
/// # Errors
/// The head is malformed, ambiguous or beyond `limits`; the connection cannot be used further.
pub fn parse_request(
    input: &[u8],
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<Progress, ParseError> {
    head.clear();
    let outcome = request(input, limits, head);
    finish(outcome, input, limits, |reason| match reason {
        Reject::UnsupportedCoding => 422,
        Reject::UnexpectedPayload => 413,
        _ => 400,
    })
}

/// Parses a response head from the start of `input` into `head`, whose former content is lost.
/// `method` is that of the request it answers, which decides on the body.
///
/// # Errors
/// As for [`parse_request`].
pub fn parse_response(
    input: &[u8],
    limits: &Limits,
    method: Method,
    head: &mut ResponseHead,
) -> Result<Progress, ParseError> {
    head.clear();
    finish(response(input, limits, method, head), input, limits, |_| 502)
}

fn finish(
    outcome: Step<usize>,
    input: &[u8],
    limits: &Limits,
    status: impl Fn(Reject) -> u16,
) -> Result<Progress, ParseError> {
    let (reason, offset) = match outcome {
        Ok(consumed) if consumed <= limits.max_head => return Ok(Progress::Complete { consumed }),
        Err(None) if input.len() < limits.max_head => return Ok(Progress::Incomplete),
        Ok(_) | Err(None) => (Reject::TooLarge, limits.max_head),
        Err(Some(error)) => error,
    };
    Err(ParseError { status: status(reason), reason, offset })
}

fn request(input: &[u8], limits: &Limits, head: &mut RequestHead) -> Step<usize> {
    let skip = blank_lines(input)?;
    let text = &input[skip..];
    let method_end = token_end(text, 0)?;
    if method_end == 0 || !is_blank(text[method_end]) {
        return fail(Reject::BadMethod, skip + method_end);
    }
    let target_start = scan(text, method_end, is_blank)?;
    let target_end = if limits.relaxed {
        scan(text, target_start, |b| (0x21..=0x7e).contains(&b) || b >= 0x80)?
    } else {
        scan(text, target_start, |b| TARGET[b as usize])?
    };
    if target_end == target_start || !is_blank(text[target_end]) {
        let reason = match text[target_end] {
            b'\r' | b'\n' if target_end > target_start => Reject::BadVersion,
            _ => Reject::BadTarget,
        };
        return fail(reason, skip + target_end);
    }
    let version_start = scan(text, target_end, is_blank)?;
    let version_end = version_start + 8;
    head.version = version(text, version_start, skip)?;
    let line_end = line_end(text, version_end, Reject::BadVersion, skip)?;

    let mut facts = Facts::default();
    let mut unclean = false;
    let end = fields(text, line_end, limits, &mut head.headers, &mut facts, &mut unclean)
        .map_err(|e| e.map(|(reason, at)| (reason, skip + at)))?;
    head.headers.buf.extend_from_slice(&text[..end.end as usize]);
    head.end = end;
    if unclean {
        rewrite_unclean(&mut head.headers);
        head.end = crlf_at_end(&mut head.headers);
    }
    head.method_text = Span::new(0, method_end);
    head.target = Span::new(target_start, target_end);
    head.version_text = Span::new(version_start, version_end);
    head.received = (head.method_text, head.target, head.version_text);
    head.known = Method::of(&text[..method_end]);
    head.line = Span::new(0, line_end);
    let plain = target_start == method_end + 1
        && version_start == target_end + 1
        && (text[method_end], text[target_end]) == (b' ', b' ')
        && line_end == version_end + 2
        && matches!(text[version_end - 1], b'0' | b'1');
    if !plain {
        head.render_line();
    }
    check_request(head, &mut facts, limits).map_err(|reason| Some((reason, skip)))?;
    Ok(skip + end.end as usize)
}

/// What only a whole request tells: framing, target form, host.
fn check_request(head: &mut RequestHead, facts: &mut Facts, limits: &Limits) -> Result<(), Reject> {
    head.flags = facts.finish(&mut head.headers, limits)?;
    // RFC 9112 section 6.1: the framing may have been read differently on the way here.
    head.flags.close_after |= facts.chunked && head.version == Version::Http10;
    if facts.other_codings {
        return Err(Reject::UnsupportedCoding);
    }
    head.body = match facts.length {
        _ if facts.chunked => BodyLen::Chunked,
        Some(0) | None => BodyLen::None,
        Some(length) => BodyLen::Length(length),
    };
    let old = head.version == Version::Http10 && head.body != BodyLen::None;
    if old
        && !limits.any_payload
        && (matches!(head.known, Method::Get | Method::Head | Method::Delete))
    {
        return Err(Reject::UnexpectedPayload);
    }
    if !limits.relaxed {
        facts.merge_hosts(&mut head.headers)?;
        check_target(head)?;
        if head.flags.upgrade
            && head.headers.has_token(b"upgrade", b"websocket")
            && head.headers.get(b"sec-websocket-key").is_none_or(<[u8]>::is_empty)
        {
            return Err(Reject::NoWebsocketKey);
        }
    }
    Ok(())
}

/// RFC 9112 section 3.2: the target form fits the method and agrees with `Host`.
fn check_target(head: &RequestHead) -> Result<(), Reject> {
    let target = head.target();
    if head.known != Method::Connect && target[0] == b'/' {
        return Ok(());
    }
    let parts = uri::split(target);
    let host = head.headers.get(b"host");
    if head.known == Method::Connect {
        let (name, port) = uri::host_port(parts.authority);
        let valid = !name.is_empty()
            && !port.is_empty()
            && port.iter().all(u8::is_ascii_digit)
            && parts.scheme.is_empty()
            && !parts.authority.contains(&b'/');
        if !valid {
            return Err(Reject::BadTargetForm);
        }
    } else if parts.path == b"*" {
        return Ok(());
    } else if parts.scheme.is_empty() {
        return Err(Reject::BadTargetForm);
    }
    let default_port: &[u8] = match parts.scheme {
        s if s.eq_ignore_ascii_case(b"http") => b"80",
        s if s.eq_ignore_ascii_case(b"https") => b"443",
        _ => uri::host_port(parts.authority).1,
    };
    match host {
        Some(host) if !uri::same_authority(host, parts.authority, default_port) => {
            Err(Reject::HostMismatch)
        }
        _ => Ok(()),
    }
}

fn response(input: &[u8], limits: &Limits, method: Method, head: &mut ResponseHead) -> Step<usize> {
    let skip = blank_lines(input)?;
    let text = &input[skip..];
    head.version = version(text, 0, skip)?;
    let digits = text.get(8..12).ok_or(None);
    for (at, &byte) in text.iter().enumerate().take(12).skip(8) {
        let good = if at == 8 { byte == b' ' } else { byte.is_ascii_digit() };
        if !good {
            return fail(Reject::BadStatus, skip + at);
        }
    }
    let status = digits?[1..].iter().fold(0, |n, &b| n * 10 + u16::from(b - b'0'));
    if status < 100 {
        return fail(Reject::BadStatus, skip + 9);
    }
    let after = *text.get(12).ok_or(None)?;
    let reason_start = match after {
        b' ' | b'\t' => 13,
        b'\r' | b'\n' => 12,
        _ => return fail(Reject::BadStatus, skip + 12),
    };
    let reason_end = reason_start + memchr3(b'\r', b'\n', 0, &text[reason_start..]).ok_or(None)?;
    let line_end = line_end(text, reason_end, Reject::BadStatus, skip)?;

    let mut facts = Facts::default();
    let mut unclean = false;
    let end = fields(text, line_end, limits, &mut head.headers, &mut facts, &mut unclean)
        .map_err(|e| e.map(|(reason, at)| (reason, skip + at)))?;
    head.headers.buf.extend_from_slice(&text[..end.end as usize]);
    head.end = end;
    if unclean {
        rewrite_unclean(&mut head.headers);
        head.end = crlf_at_end(&mut head.headers);
    }
    head.status = status;
    head.reason = Span::new(reason_start, reason_end);
    head.line = Span::new(0, line_end);
    if !matches!(&text[..9], b"HTTP/1.1 " | b"HTTP/1.0 ")
        || reason_start != 13
        || after != b' '
        || line_end != reason_end + 2
    {
        head.render_line();
    }
    head.flags = facts.finish(&mut head.headers, limits).map_err(|reason| Some((reason, skip)))?;
    head.body = match status {
        _ if method == Method::Head => BodyLen::None,
        100..=199 | 204 | 304 => BodyLen::None,
        _ if facts.chunked => BodyLen::Chunked,
        _ => match facts.length {
            Some(0) => BodyLen::None,
            Some(length) => BodyLen::Length(length),
            None => BodyLen::UntilClose,
        },
    };
    if head.version == Version::Http10 && facts.chunked {
        head.flags.close_after = true;
    }
    Ok(skip + end.end as usize)
}

/// Parses header lines from `at`; returns the range of the blank line that ends them.
fn fields(
    text: &[u8],
    mut at: usize,
    limits: &Limits,
    headers: &mut HeaderList,
    facts: &mut Facts,
    unclean: &mut bool,
) -> Step<Span> {
    loop {
        match *text.get(at).ok_or(None)? {
            b'\n' => {
                *unclean = true;
                return Ok(Span::new(at, at + 1));
            }
            b'\r' => {
                return match *text.get(at + 1).ok_or(None)? {
                    b'\n' => Ok(Span::new(at, at + 2)),
                    _ => fail(Reject::BareCr, at),
                };
            }
            _ => {}
        }
        let (field, tidy) = match plain_line(text, at) {
            Some(field) => (field, true),
            None => odd_line(text, at, limits)?,
        };
        if headers.fields.len() + 1 >= limits.max_headers {
            return fail(Reject::TooManyHeaders, at);
        }
        *unclean |= !tidy;
        facts
            .see(headers.fields.len(), field.name.of(text), field.value.of(text))
            .map_err(|reason| Some((reason, at)))?;
        headers.fields.push(field);
        at = field.line.end as usize;
    }
}

/// The line at `at`, when it is one of those that nearly all are: `Name: value`, CRLF, and behind it the start of
/// another. `None` says nothing: what is odd or wrong about a line, [`odd_line`] finds out.
fn plain_line(text: &[u8], at: usize) -> Option<Field> {
    let line = text.get(at..)?;
    let name = line.iter().position(|&b| !is_token(b))?;
    if name == 0 || line[name] != b':' {
        return None;
    }
    let start = name + 1 + usize::from(*line.get(name + 1)? == b' ');
    let end = start + control(line.get(start..)?)?;
    let [b'\r', b'\n', next, ..] = line[end..] else { return None };
    if end == start || is_blank(line[start]) || is_blank(line[end - 1]) || is_blank(next) {
        return None;
    }
    Some(Field {
        line: Span::new(at, at + end + 2),
        name: Span::new(at, at + name),
        value: Span::new(at + start, at + end),
    })
}

/// Offset of the first control character below the blank; of a long text, of the first that may not be in a value.
fn control(text: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    /// So many words are looked at before the search is worth a start.
    const WORDS: usize = 12;
    let (words, rest) = text.as_chunks::<8>();
    for (at, word) in words.iter().take(WORDS).enumerate() {
        let word = u64::from_le_bytes(*word);
        // The high bit of a byte tells; a borrow reaches only bytes above one that is found.
        let below = word.wrapping_sub(ONES * 0x20) & !word & (ONES << 7);
        if below != 0 {
            return Some(at * 8 + below.trailing_zeros() as usize / 8);
        }
    }
    if words.len() <= WORDS {
        return rest.iter().position(|&b| b < 0x20).map(|at| words.len() * 8 + at);
    }
    memchr3(b'\r', b'\n', 0, &text[WORDS * 8..]).map(|at| WORDS * 8 + at)
}

/// The line at `at`, whatever form it has, and whether that is the strict one.
#[cold]
fn odd_line(text: &[u8], at: usize, limits: &Limits) -> Step<(Field, bool)> {
    let name_end = token_end(text, at)?;
    if name_end == at || text[name_end] != b':' {
        return fail(Reject::BadName, name_end);
    }
    let mut cursor = name_end + 1;
    let (mut value_end, mut folded) = (cursor, false);
    let line_end = loop {
        let stop = cursor + memchr3(b'\r', b'\n', 0, &text[cursor..]).ok_or(None)?;
        if text[stop] == 0 {
            if !limits.relaxed {
                return fail(Reject::NulInValue, stop);
            }
            cursor = stop + 1;
            continue;
        }
        let line_end = line_end(text, stop, Reject::BareCr, 0)?;
        // A line that starts with a blank continues this one (obs-fold).
        if is_blank(*text.get(line_end).ok_or(None)?) {
            folded = true;
            cursor = line_end;
            continue;
        }
        value_end = value_end.max(stop);
        break line_end;
    };
    let value = trimmed(text, Span::new(name_end + 1, value_end));
    let gap = value.start as usize - (name_end + 1);
    let tidy = line_end == value.end as usize + 2
        && !folded
        && (gap == 0 || gap == 1 && text[name_end + 1] == b' ');
    Ok((Field { line: Span::new(at, line_end), name: Span::new(at, name_end), value }, tidy))
}

/// Rewrites the lines that are not in the strict form at the end of the buffer.
fn rewrite_unclean(headers: &mut HeaderList) {
    for index in 0..headers.fields.len() {
        let field = headers.fields[index];
        let (start, end) = (field.value.end as usize, field.line.end as usize);
        let gap = field.value.start - field.name.end;
        let tidy = end == start + 2
            && (gap == 1 || gap == 2)
            && memchr3(b'\r', b'\n', 0, field.value.of(&headers.buf)).is_none();
        if !tidy {
            let value = field.value.of(&headers.buf).to_vec();
            headers.replace_at(index, &value);
        }
    }
}

fn crlf_at_end(headers: &mut HeaderList) -> Span {
    let start = headers.buf.len();
    headers.buf.extend_from_slice(b"\r\n");
    Span::new(start, start + 2)
}

/// Length of the empty lines before a start line, which are skipped (RFC 9112 section 2.2).
fn blank_lines(input: &[u8]) -> Step<usize> {
    let mut at = 0;
    loop {
        match input.get(at) {
            Some(b'\n') => at += 1,
            Some(b'\r') => match input.get(at + 1) {
                Some(b'\n') => at += 2,
                Some(_) => return fail(Reject::BareCr, at),
                None => return Err(None),
            },
            Some(_) => return Ok(at),
            None => return Err(None),
        }
    }
}

/// `HTTP/1.` and one digit at `at`; a wrong byte is an error as soon as it is there.
fn version(text: &[u8], at: usize, skip: usize) -> Step<Version> {
    if text.get(at..at + 8) == Some(b"HTTP/1.1") {
        return Ok(Version::Http11);
    }
    let have = &text[at.min(text.len())..(at + 8).min(text.len())];
    let expected = b"HTTP/1.";
    for (i, &byte) in have.iter().enumerate() {
        let good = expected.get(i).map_or_else(|| byte.is_ascii_digit(), |&e| e == byte);
        if !good {
            return fail(Reject::BadVersion, skip + at + i);
        }
    }
    match have.get(7) {
        None => Err(None),
        Some(b'0') => Ok(Version::Http10),
        Some(_) => Ok(Version::Http11),
    }
}

/// Offset after the line end that must be at `at`: CRLF or a lone LF.
fn line_end(text: &[u8], at: usize, otherwise: Reject, skip: usize) -> Step<usize> {
    match *text.get(at).ok_or(None)? {
        b'\n' => Ok(at + 1),
        b'\r' => match *text.get(at + 1).ok_or(None)? {
            b'\n' => Ok(at + 2),
            _ => fail(Reject::BareCr, skip + at),
        },
        _ => fail(otherwise, skip + at),
    }
}

/// Offset of the first byte from `at` on that is not `wanted`.
fn scan(text: &[u8], at: usize, wanted: impl Fn(u8) -> bool) -> Step<usize> {
    text[at..].iter().position(|&b| !wanted(b)).map(|n| at + n).ok_or(None)
}

/// What a target is made of where nothing is relaxed: visible ASCII without the sign of fragments.
static TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x21;
    while byte <= 0x7e {
        table[byte] = byte != b'#' as usize;
        byte += 1;
    }
    table
};

/// Offset of the first byte from `at` on that belongs to no token.
fn token_end(text: &[u8], mut at: usize) -> Step<usize> {
    // Names are made of little else than letters, digits and dashes: those go eight at a time.
    while let Some(eight) = text.get(at..at + 8).and_then(|part| part.first_chunk()) {
        let plain = plain_run(u64::from_le_bytes(*eight));
        at += plain;
        if plain < 8 {
            if !is_token(text[at]) {
                return Ok(at);
            }
            at += 1;
        }
    }
    scan(text, at, is_token)
}

/// How many of eight bytes, from the lowest on, are letters, digits or dashes.
fn plain_run(bytes: u64) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The high bit of each byte tells: of bytes below 128 the sums do not carry into the next one.
    let within = |bytes: u64, first: u8, last: u8| {
        let from = bytes + ONES * u64::from(128 - first);
        let beyond = bytes + ONES * u64::from(127 - last);
        from & !beyond
    };
    let low = bytes & !HIGH;
    let letters = within(low | (ONES * 0x20), b'a', b'z');
    let others = within(low, b'0', b'9') | within(low, b'-', b'-');
    let plain = (letters | others) & !bytes & HIGH;
    ((plain ^ HIGH).trailing_zeros() / 8) as usize
}

fn fail<T>(reason: Reject, offset: usize) -> Step<T> {
    Err(Some((reason, offset)))
}

impl RequestHead {
    /// Whether the client lets its connection be kept after this exchange.
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        framing::persistent(self.version, self.flags)
    }
}

impl ResponseHead {
    /// Whether the server lets its connection be kept after this exchange.
    #[must_use]
    pub fn is_persistent(&self) -> bool {
        framing::persistent(self.version, self.flags) && self.body != BodyLen::UntilClose
    }
}

#[cfg(test)]
mod tests;
