//! Messages of others: RFC 3164 and RFC 5424 told apart and taken apart, as far as they can be.
//!
//! What does not fit either form is still a message: its priority, when it has one, and its text. Nothing is copied, and
//! nothing is looked at twice.

pub mod frames;

/// What a message looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Neither of the others.
    Plain,
    Rfc3164,
    Rfc5424,
}

/// A message taken apart. A field that is not there, or is RFC 5424's `-`, is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub form: Form,
    /// Facility times eight and severity, 0 to 999.
    pub priority: Option<u16>,
    pub date: Option<&'a [u8]>,
    pub host: Option<&'a [u8]>,
    /// The program.
    pub app: Option<&'a [u8]>,
    pub pid: Option<&'a [u8]>,
    pub id: Option<&'a [u8]>,
    /// Structured data.
    pub data: Option<&'a [u8]>,
    pub text: &'a [u8],
}

impl<'a> Message<'a> {
    /// All of it as text.
    #[must_use]
    pub fn raw(bytes: &'a [u8]) -> Self {
        Self {
            form: Form::Plain,
            priority: None,
            date: None,
            host: None,
            app: None,
            pid: None,
            id: None,
            data: None,
            text: without_end(bytes),
        }
    }

    /// Takes a message apart.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Self {
        let raw = Self::raw(bytes);
        let Some((priority, rest)) = priority(raw.text) else { return raw };
        let plain = Self { priority: Some(priority), text: rest, ..raw };
        rfc5424(plain).or_else(|| rfc3164(plain)).unwrap_or(plain)
    }

    /// Syslog severity, 0 to 7. A message without a priority passes every filter.
    #[must_use]
    pub fn severity(&self) -> u8 {
        (self.priority.unwrap_or(0) & 7) as u8
    }
}

fn without_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// `<134>`; digits that are missing are a zero, as for HAProxy.
fn priority(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let rest = bytes.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|b| *b == b'>')?;
    let (digits, rest) = (&rest[..end], &rest[end + 1..]);
    let mut priority = 0;
    for digit in digits {
        priority = priority * 10 + u16::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    Some((priority, rest))
}

/// Up to the next space, which has to be there; what follows it.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// RFC 5424, 6: `1 <date> <host> <app> <pid> <id> <data>[ <text>]` behind the priority.
fn rfc5424(plain: Message<'_>) -> Option<Message<'_>> {
    let rest = plain.text.strip_prefix(b"1 ")?;
    let some = |field| (field != b"-").then_some(field);
    let word = |rest| field(rest).filter(|(field, _)| !field.is_empty());
    let (date, rest) = word(rest)?;
    if date != b"-" && !is_timestamp(date) {
        return None;
    }
    let (host, rest) = word(rest)?;
    let (app, rest) = word(rest)?;
    let (pid, rest) = word(rest)?;
    let (id, rest) = word(rest)?;
    let (data, text) = match rest.strip_prefix(b"-") {
        Some(text) => (None, text),
        None => {
            let end = data_end(rest)?;
            (Some(&rest[..end]), &rest[end..])
        }
    };
    let text = match text {
        [] => text,
        [b' ', text @ ..] => text,
        _ => return None,
    };
    Some(Message {
        form: Form::Rfc5424,
        date: some(date),
        host: some(host),
        app: some(app),
        pid: some(pid),
        id: some(id),
        data,
        text,
        ..plain
    })
}

/// Where structured data ends: `[id name="value" ...]`, one behind the other (RFC 5424, 6.3).
fn data_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while bytes.get(at) == Some(&b'[') {
        let mut quoted = false;
        at += 1;
        loop {
            match bytes.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
            at += 1;
        }
        at += 1;
    }
    (at > 0).then_some(at)
}

/// `2026-01-02T03:04:05[.123456](Z|+01:00)` (RFC 5424, 6.2.3).
fn is_timestamp(bytes: &[u8]) -> bool {
    let fits = |bytes: &[u8], shape: &[u8]| {
        bytes.len() == shape.len()
            && bytes.iter().zip(shape).all(|(byte, shape)| match shape {
                b'9' => byte.is_ascii_digit(),
                shape => byte == shape,
            })
    };
    let Some((main, mut rest)) = bytes.split_at_checked(19) else { return false };
    if !fits(main, b"9999-99-99T99:99:99") {
        return false;
    }
    if let Some(digits) = rest.strip_prefix(b".") {
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        if !(1..=9).contains(&count) {
            return false;
        }
        rest = &digits[count..];
    }
    rest == b"Z" || fits(rest, b"+99:99") || fits(rest, b"-99:99")
}

pub(crate) const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// RFC 3164, 4.1: `Mmm dd hh:mm:ss <host> [<app>[[<pid>]]: ]<text>` behind the priority. The word behind the date is the
/// host, whatever it looks like.
fn rfc3164(plain: Message<'_>) -> Option<Message<'_>> {
    let (date, rest) = plain.text.split_at_checked(15)?;
    let digit = |at: usize| date[at].is_ascii_digit();
    let is_date = MONTHS.iter().any(|month| date[..3] == month[..])
        && date[3] == b' '
        && (date[4] == b' ' || digit(4))
        && digit(5)
        && date[6] == b' '
        && [7, 8, 10, 11, 13, 14].into_iter().all(digit)
        && date[9] == b':'
        && date[12] == b':';
    if !is_date {
        return None;
    }
    let (host, text) = field(rest.strip_prefix(b" ")?)?;
    let message = Message { form: Form::Rfc3164, date: Some(date), text, ..plain };
    let message = Message { host: Some(host).filter(|host| !host.is_empty()), ..message };
    let tagged = field(text).and_then(|(tag, text)| {
        let tag = tag.strip_suffix(b":").filter(|tag| !tag.is_empty())?;
        let process = tag.strip_suffix(b"]").and_then(|tag| {
            let open = memchr::memchr(b'[', tag).filter(|open| *open > 0)?;
            Some((&tag[..open], &tag[open + 1..]))
        });
        let (app, pid) = process.map_or((tag, None), |(app, pid)| (app, Some(pid)));
        Some(Message { app: Some(app), pid: pid.filter(|pid| !pid.is_empty()), text, ..message })
    });
    Some(tagged.unwrap_or(message))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The form and the fields, `-` for those that are not there.
    fn shown(message: &[u8]) -> String {
        let m = Message::parse(message);
        let priority = m.priority.map_or_else(|| "-".into(), |p| p.to_string());
        let fields = [m.date, m.host, m.app, m.pid, m.id, m.data, Some(m.text)];
        let fields = fields
            .map(|f| f.map_or_else(|| "-".into(), |f| String::from_utf8_lossy(f).into_owned()));
        format!("{:?} {priority} {}", m.form, fields.join("|"))
    }

    #[track_caller]
    fn check(message: &str, expected: &str) {
        assert_eq!(shown(message.as_bytes()), expected, "{message}");
    }

    /// What HAProxy 2.6 makes of the same messages, except where it cuts those that are no RFC 5424.
    #[test]
    fn forms() {
        const D: &str = "Nov 30 17:54:45";
        check(
            "<134>Nov 30 17:54:45 web1 haproxy[123]: hello\n",
            "Rfc3164 134 Nov 30 17:54:45|web1|haproxy|123|-|-|hello",
        );
        check(&format!("<134>{D} host prog: m"), &format!("Rfc3164 134 {D}|host|prog|-|-|-|m"));
        check(&format!("<134>{D} host prog m"), &format!("Rfc3164 134 {D}|host|-|-|-|-|prog m"));
        check(
            &format!("<134>{D} host prog[12]:m"),
            &format!("Rfc3164 134 {D}|host|-|-|-|-|prog[12]:m"),
        );
        check(
            &format!("<134>{D} host pr/og-x.y[ab]: m"),
            &format!("Rfc3164 134 {D}|host|pr/og-x.y|ab|-|-|m"),
        );
        check(
            &format!("<134>{D} prog[12]: a b"),
            &format!("Rfc3164 134 {D}|prog[12]:|-|-|-|-|a b"),
        );
        check(&format!("<134>{D} host "), &format!("Rfc3164 134 {D}|host|-|-|-|-|"));
        check(&format!("<134>{D} host"), &format!("Plain 134 -|-|-|-|-|-|{D} host"));
        check("<134>Nov 1 07:54:45 h p: m", "Plain 134 -|-|-|-|-|-|Nov 1 07:54:45 h p: m");
        check("<134>Nov  1 07:54:45 h p: m", "Rfc3164 134 Nov  1 07:54:45|h|p|-|-|-|m");
        check(
            "<29>1 2026-01-02T03:04:05.123456+02:00 h a 77 ID47 [x a=\"]\\\"\"][y] three",
            "Rfc5424 29 2026-01-02T03:04:05.123456+02:00|h|a|77|ID47|[x a=\"]\\\"\"][y]|three",
        );
        check("<29>1 - - - - - -", "Rfc5424 29 -|-|-|-|-|-|");
        check("<29>1 - - - - - - m", "Rfc5424 29 -|-|-|-|-|-|m");
        check("<29>1 bad h a p m - m", "Plain 29 -|-|-|-|-|-|1 bad h a p m - m");
        check("<29>1 - h a p m [x", "Plain 29 -|-|-|-|-|-|1 - h a p m [x");
        check("<29>2 - h a p m - m", "Plain 29 -|-|-|-|-|-|2 - h a p m - m");
        check("plain", "Plain - -|-|-|-|-|-|plain");
        check("<13>six\r\n", "Plain 13 -|-|-|-|-|-|six");
        check("<>m", "Plain 0 -|-|-|-|-|-|m");
        check("<999>m", "Plain 999 -|-|-|-|-|-|m");
        check("<12345>m", "Plain - -|-|-|-|-|-|<12345>m");
        check("< 13>m", "Plain - -|-|-|-|-|-|< 13>m");
        check("", "Plain - -|-|-|-|-|-|");
    }

    proptest! {
        /// Never panics, and every field is a part of the message, in order.
        #[test]
        fn fields_are_parts(
            message in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "<[0-9]{0,4}>(1 [-2]|Nov )[-0-9T:Z.+ ]{0,30}[a-z\\[\\]:\" \\\\]{0,60}".prop_map(String::into_bytes),
            ],
        ) {
            let parsed = Message::parse(&message);
            let mut at = message.as_ptr() as usize;
            let end = at + message.len();
            let fields = [parsed.date, parsed.host, parsed.app, parsed.pid, parsed.id, parsed.data];
            for field in fields.into_iter().flatten().chain([parsed.text]) {
                let start = field.as_ptr() as usize;
                prop_assert!(start >= at && start + field.len() <= end);
                at = start + field.len();
            }
        }
    }
}
