//! Checks that speak a protocol (configuration manual, 4.2 `option smtpchk` and its kin): scripts that need no rules.

use super::expect::{Status, Verdict, failed, passed};
use super::spop;

/// A protocol that servers can be asked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `option ldap-check`: an anonymous bind (RFC 4511, 4.2).
    Ldap,
    /// `option mysql-check`: the handshake, and with a user a log-in and its end.
    MySql(Option<MySqlUser>),
    /// `option pgsql-check`: a start-up message of this user.
    PgSql(String),
    /// `option redis-check`: a PING.
    Redis,
    /// `option smtpchk`: a greeting, hello, QUIT (RFC 5321).
    Smtp { hello: String, domain: String },
    /// `option spop-check`: the hello of the Stream Processing Offload Protocol (its 3.2.4).
    Spop,
    /// `option ssl-hello-chk`: a hello of SSL 3.0 (RFC 6101, 5.6.1.2); any record that answers it will do.
    SslHello,
}

/// Who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MySqlUser {
    pub name: String,
    pub form: MySqlForm,
}

/// The log-in packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MySqlForm {
    Pre41,
    #[default]
    Post41,
    /// With the authentication plugin named.
    Post80,
}

/// An answer that a protocol knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Ldap,
    MySqlGreeting,
    /// What follows the greeting.
    MySqlLogin,
    PgSql,
    Redis,
    Smtp,
    Spop,
    Ssl,
}

/// Longest text of an answer that is told.
const TEXT_MAX: usize = 200;

impl MySqlUser {
    /// The log-in and, in its own packet, the end of the session.
    pub(super) fn login(&self) -> Vec<u8> {
        let mut payload: Vec<u8> = Vec::new();
        match self.form {
            // Capability LONG_PASSWORD aside, the old form only has a limit behind its flags.
            MySqlForm::Pre41 => payload.extend(b"\x00\x80\x00\x00\x01"),
            // PROTOCOL_41 and SECURE_CONNECTION, packets of 16 MB, utf8.
            MySqlForm::Post41 => payload.extend(b"\x00\x82\x00\x00\x00\x80\x00\x01\x21"),
            // And PLUGIN_AUTH.
            MySqlForm::Post80 => payload.extend(b"\x00\x82\x08\x00\x00\x80\x00\x01\x21"),
        }
        if self.form != MySqlForm::Pre41 {
            payload.extend([0; 23]);
        }
        payload.extend(self.name.as_bytes());
        payload.extend(b"\0\0");
        if self.form == MySqlForm::Post80 {
            payload.extend(b"mysql_native_password\0");
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut packets = length[..3].to_vec();
        packets.push(1);
        packets.extend(payload);
        packets.extend(b"\x01\x00\x00\x00\x01");
        packets
    }
}

pub(super) fn pgsql_startup(user: &str) -> Vec<u8> {
    let mut body = b"\x00\x03\x00\x00user\0".to_vec();
    body.extend(user.as_bytes());
    body.extend(b"\0\0");
    let mut message = u32::try_from(body.len() + 4).unwrap_or(u32::MAX).to_be_bytes().to_vec();
    message.extend(body);
    message
}

pub(super) fn ssl_hello() -> Vec<u8> {
    // Every suite of RFC 6101 that is not an export one, and those that TLS 1.0 to 1.2 added for RSA.
    const SUITES: [u16; 12] = [
        0x0004, 0x0005, 0x0009, 0x000a, 0x0012, 0x0013, 0x0015, 0x0016, 0x002f, 0x0035, 0x003c,
        0x009c,
    ];
    let mut hello = b"\x03\x00".to_vec();
    hello.extend([0x53; 32]);
    hello.push(0);
    hello.extend(u16::try_from(SUITES.len() * 2).unwrap_or(0).to_be_bytes());
    hello.extend(SUITES.iter().flat_map(|suite| suite.to_be_bytes()));
    hello.extend(b"\x01\x00");
    let length = u32::try_from(hello.len()).unwrap_or(0).to_be_bytes();
    let mut handshake = vec![1, length[1], length[2], length[3]];
    handshake.extend(hello);
    let mut record = b"\x16\x03\x00".to_vec();
    record.extend(u16::try_from(handshake.len()).unwrap_or(0).to_be_bytes());
    record.extend(handshake);
    record
}

impl Reply {
    /// The status when no answer came in time.
    pub fn timeout(self) -> Status {
        match self {
            Self::Ssl => Status::L6Timeout,
            _ => Status::L7Timeout,
        }
    }

    /// Judges what came so far; `complete` when nothing more will.
    pub fn judge(self, data: &[u8], complete: bool, step: usize) -> Verdict {
        let broken = match self {
            Self::Ssl => Status::L6Response,
            _ => Status::L7Response,
        };
        if data.is_empty() {
            return if complete {
                failed(broken, None, format!("TCPCHK got an empty response at step {step}"))
            } else {
                Verdict::Wait
            };
        }
        let verdict = match self {
            Self::Ldap => ldap(data),
            Self::MySqlGreeting => mysql(data, true),
            Self::MySqlLogin => behind_greeting(data).and_then(|rest| mysql(rest, false)),
            Self::PgSql => pgsql(data),
            Self::Redis => redis(data),
            Self::Smtp => smtp(data),
            Self::Spop => spop::judge(data),
            Self::Ssl => Some(match data[0] {
                0x15 | 0x16 => passed(Status::L6Ok, None, ""),
                _ => failed(broken, None, "TCPCHK did not match content (binary regex)"),
            }),
        };
        match verdict {
            Some(verdict) => verdict,
            None if complete => failed(broken, None, text(data)),
            None => Verdict::Wait,
        }
    }
}

/// The first line, or what is before a NUL, as far as it is worth telling.
fn text(data: &[u8]) -> String {
    let end = data.iter().position(|byte| matches!(byte, b'\r' | b'\n' | 0)).unwrap_or(data.len());
    String::from_utf8_lossy(&data[..end.min(TEXT_MAX)]).into_owned()
}

/// A reply of one or more lines; the last has no `-` behind its code (RFC 5321, 4.2).
fn smtp(data: &[u8]) -> Option<Verdict> {
    let mut rest = data;
    loop {
        let end = rest.windows(2).position(|end| end == b"\r\n")?;
        let line = &rest[..end];
        let code = line
            .get(..3)
            .filter(|code| code.iter().all(u8::is_ascii_digit))
            .and_then(|code| std::str::from_utf8(code).ok()?.parse::<u32>().ok());
        let Some(code) = code.filter(|_| matches!(line.get(3), None | Some(b' ' | b'-'))) else {
            return Some(failed(Status::L7Response, None, text(line)));
        };
        if line.get(3) == Some(&b'-') {
            rest = &rest[end + 2..];
            continue;
        }
        let said = text(line.get(4..).unwrap_or_default());
        return Some(match code {
            200..=299 => passed(Status::L7Ok, Some(code), said),
            _ => failed(Status::L7Status, Some(code), said),
        });
    }
}

fn redis(data: &[u8]) -> Option<Verdict> {
    let end = data.windows(2).position(|end| end == b"\r\n")?;
    Some(match &data[..end] {
        b"+PONG" => passed(Status::L7Ok, Some(0), "Redis server is ok"),
        line => failed(Status::L7Status, None, text(line)),
    })
}

/// A packet: three bytes of length, a number, the payload.
fn mysql(data: &[u8], greeting: bool) -> Option<Verdict> {
    let (head, rest) = data.split_at_checked(4)?;
    let length = usize::from(head[0]) | usize::from(head[1]) << 8 | usize::from(head[2]) << 16;
    if length == 0 || length > 1 << 16 {
        return Some(failed(Status::L7Response, None, "MySQL handshake packet is not valid"));
    }
    let payload = rest.get(..length)?;
    if payload[0] == 0xff {
        let Some((code, message)) = payload[1..].split_at_checked(2) else {
            return Some(failed(Status::L7Response, None, "MySQL error packet is not valid"));
        };
        let code = u32::from(code[0]) | u32::from(code[1]) << 8;
        // `#` and five characters of SQL state may stand in front.
        let message = match message {
            [b'#', rest @ ..] => rest.get(5..).unwrap_or_default(),
            message => message,
        };
        return Some(failed(Status::L7Status, Some(code), text(message)));
    }
    if !greeting {
        return Some(passed(Status::L7Ok, Some(0), ""));
    }
    let version = &payload[1..];
    Some(match version.iter().position(|&byte| byte == 0) {
        Some(end) => passed(Status::L7Ok, Some(0), text(&version[..end])),
        None => failed(Status::L7Response, None, "MySQL handshake packet is not valid"),
    })
}

/// What comes behind the first packet.
fn behind_greeting(data: &[u8]) -> Option<&[u8]> {
    let [a, b, c, ..] = *data else { return None };
    let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
    data.get(4 + length..)
}

fn pgsql(data: &[u8]) -> Option<Verdict> {
    match data[0] {
        b'R' => {
            // The kind, its length, and which authentication is asked for.
            (data.len() >= 9).then(|| passed(Status::L7Ok, Some(0), "PostgreSQL server is ok"))
        }
        b'E' => {
            let (head, rest) = data[1..].split_at_checked(4)?;
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
            let length = usize::try_from(length).ok()?.checked_sub(4)?.min(1 << 16);
            let fields = rest.get(..length).unwrap_or(rest);
            // Fields are a letter and a text that ends with NUL: M is the message, S the severity.
            let field = |letter: u8| {
                fields.split(|&byte| byte == 0).find(|field| field.first() == Some(&letter))
            };
            let told = field(b'M').or_else(|| field(b'S')).map(|field| text(&field[1..]));
            Some(failed(Status::L7Response, None, told.unwrap_or_default()))
        }
        _ => Some(failed(Status::L7Status, None, "PostgreSQL unknown error")),
    }
}

/// The length of a BER element and how many bytes tell it.
fn ber_length(data: &[u8]) -> Option<(usize, usize)> {
    let first = usize::from(*data.first()?);
    if first < 0x80 {
        return Some((first, 1));
    }
    let count = first & 0x7f;
    if count == 0 || count > 4 {
        return Some((usize::MAX, 1));
    }
    let bytes = data.get(1..=count)?;
    Some((bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), 1 + count))
}

/// An LDAPMessage with a bindResponse (RFC 4511, 4.1.1 and 4.2.2).
fn ldap(data: &[u8]) -> Option<Verdict> {
    let strange = || Some(failed(Status::L7Response, None, "Not LDAPv3 protocol"));
    if data[0] != 0x30 {
        return strange();
    }
    let (_, used) = ber_length(data.get(1..)?)?;
    // messageID 1
    let rest = data.get(1 + used..)?;
    match rest.get(..3)? {
        [0x02, 0x01, 0x01] => {}
        _ => return strange(),
    }
    let rest = &rest[3..];
    if *rest.first()? != 0x61 {
        return strange();
    }
    let (_, used) = ber_length(rest.get(1..)?)?;
    match rest.get(1 + used..)?.get(..3)? {
        [0x0a, 0x01, 0] => Some(passed(Status::L7Ok, Some(0), "Success")),
        [0x0a, 0x01, code] => Some(failed(
            Status::L7Status,
            Some(u32::from(*code)),
            "See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9",
        )),
        _ => strange(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(reply: Reply, data: &[u8], expected: &str) {
        let say = |kind: &str, status: Status, code: Option<u32>, info: &str| {
            format!(
                "{kind} {status:?} {} {info}",
                code.map_or_else(|| "-".to_owned(), |c| c.to_string())
            )
        };
        let found = match reply.judge(data, false, 2) {
            Verdict::Wait => "wait".to_owned(),
            Verdict::Passed { status, code, info } => say("+", status, code, &info),
            Verdict::Failed { status, code, info } => say("-", status, code, &info),
        };
        assert_eq!(found, expected, "{}", data.escape_ascii());
    }

    #[test]
    fn smtp_replies() {
        check(Reply::Smtp, b"220 hello\r\n", "+ L7Ok 220 hello");
        check(Reply::Smtp, b"220", "wait");
        check(Reply::Smtp, b"250-a\r\n250-b\r\n", "wait");
        check(Reply::Smtp, b"250-a\r\n250 last\r\n", "+ L7Ok 250 last");
        check(Reply::Smtp, b"421 later\r\n", "- L7Status 421 later");
        check(Reply::Smtp, b"I'm not\r\n", "- L7Response - I'm not");
        check(Reply::Smtp, b"248\r\n", "+ L7Ok 248 ");
    }

    #[test]
    fn mysql_packets() {
        check(Reply::MySqlGreeting, b"\x08\0\0\0\x0a8.0.19\0", "+ L7Ok 0 8.0.19");
        check(Reply::MySqlGreeting, b"\x08\0\0\0\x0a8.0", "wait");
        let login = |answer: &[u8], expected: &str| {
            let greeting = b"\x03\0\0\0\x0a8\0";
            check(Reply::MySqlLogin, &[&greeting[..], answer].concat(), expected);
        };
        login(b"", "wait");
        login(b"\x03\0\0\x02\0\0\0", "+ L7Ok 0 ");
        login(b"\x06\0\0\x02\xff\xe3\x04abc", "- L7Status 1251 abc");
        login(b"\x0b\0\0\x02\xff\x15\x04#28000no", "- L7Status 1045 no");
        login(b"\0\0\0\x02", "- L7Response - MySQL handshake packet is not valid");
        let user = MySqlUser { name: "user".into(), form: MySqlForm::Pre41 };
        assert_eq!(user.login(), b"\x0b\0\0\x01\0\x80\0\0\x01user\0\0\x01\0\0\0\x01");
        let user = MySqlUser { name: "user".into(), form: MySqlForm::Post41 };
        assert_eq!(user.login().len(), 47);
    }

    #[test]
    fn pgsql_messages() {
        check(Reply::PgSql, b"R\0\0\0\x08\0\0\0\0", "+ L7Ok 0 PostgreSQL server is ok");
        check(Reply::PgSql, b"R\0\0", "wait");
        check(Reply::PgSql, b"E\0\0\0\x0bSFATAL\0", "- L7Response - FATAL");
        check(Reply::PgSql, b"E\0\0\0\x10SFATAL\0Mwhy\0\0", "- L7Response - why");
        check(Reply::PgSql, b"Nothing", "- L7Status - PostgreSQL unknown error");
        assert_eq!(pgsql_startup("postgres"), b"\0\0\0\x17\0\x03\0\0user\0postgres\0\0");
    }

    #[test]
    fn ldap_and_redis_and_ssl() {
        let good = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00";
        check(Reply::Ldap, good, "+ L7Ok 0 Success");
        check(Reply::Ldap, &good[..9], "wait");
        let long = b"\x30\x84\0\0\0\x10\x02\x01\x01\x61\x84\0\0\0\x07\x0a\x01\x00\x04\x00\x04\x00";
        check(Reply::Ldap, long, "+ L7Ok 0 Success");
        check(Reply::Ldap, b"\x30\x0c\x02\x01\x01\x60", "- L7Response - Not LDAPv3 protocol");
        let denied = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x01\x04\x00\x04\x00";
        check(
            Reply::Ldap,
            denied,
            "- L7Status 1 See RFC: http://tools.ietf.org/html/rfc4511#section-4.1.9",
        );
        check(Reply::Redis, b"+PONG\r\n", "+ L7Ok 0 Redis server is ok");
        check(Reply::Redis, b"-LOADING wait\r\n", "- L7Status - -LOADING wait");
        check(Reply::Ssl, b"\x15\x03", "+ L6Ok - ");
        check(Reply::Ssl, b"HTTP", "- L6Response - TCPCHK did not match content (binary regex)");
        assert_eq!(
            Reply::Ssl.judge(b"", true, 2),
            failed(Status::L6Response, None, "TCPCHK got an empty response at step 2")
        );
    }

    /// Whatever comes, it is judged.
    #[test]
    fn any_bytes_are_judged() {
        let all = [
            Reply::Ldap,
            Reply::MySqlGreeting,
            Reply::MySqlLogin,
            Reply::PgSql,
            Reply::Redis,
            Reply::Smtp,
            Reply::Ssl,
        ];
        let mut state = 1_u32;
        for round in 0..20_000 {
            let length = round % 40;
            let data: Vec<u8> = (0..length)
                .map(|_| {
                    state ^= state << 13;
                    state ^= state >> 17;
                    state ^= state << 5;
                    // Small numbers make lengths that fit.
                    if state & 0x100 == 0 { (state % 8) as u8 } else { state as u8 }
                })
                .collect();
            for reply in all {
                assert_ne!(reply.judge(&data, true, 1), Verdict::Wait);
            }
        }
    }
}
