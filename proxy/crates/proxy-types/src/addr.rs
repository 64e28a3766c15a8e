//! Address forms of the configuration language (configuration manual, 2.9). Parsing resolves no name and
//! knows no statement: whether a port is needed or a range allowed is decided by the keyword.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What `bind`, `server`, `log` and others connect or listen to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// `None` leaves the choice to the statement: stream for `bind` and `server`, datagram for `log`.
    pub transport: Option<Transport>,
    pub endpoint: Endpoint,
}

/// Socket type forced by a prefix such as `udp4@` or `stream+ipv6@`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    Datagram,
    Mptcp,
    Quic,
    Stream,
}

/// Address family forced by a prefix such as `ipv4@`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Family {
    #[default]
    Any,
    V4,
    V6,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `abns@name` (padded with zeros) and `abnsz@name` (ends with its first zero).
    Abstract {
        name: String,
        zero_terminated: bool,
    },
    /// `fd@3`: a bound socket inherited from the parent.
    Fd(i32),
    Inet {
        family: Family,
        host: Host,
        port: PortSpec,
    },
    /// `sockpair@3`: connections arrive as descriptors over this socket.
    SockPair(i32),
    /// `/path` and `unix@path`.
    Unix(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// An address, unspecified for `*`, an empty host and `::`.
    Ip(IpAddr),
    /// A name, to be resolved at start.
    Name(String),
}

/// What follows the last colon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PortSpec {
    #[default]
    None,
    /// `+80` or `-80`: relative to the port the client connected to (servers only).
    Offset(i32),
    Port(u16),
    /// Both ends included, `first <= last`.
    Range {
        first: u16,
        last: u16,
    },
}

/// Longest path or abstract name that `sockaddr_un` can carry.
pub const UNIX_PATH_MAX: usize = 107;

/// Why a text is no address, and which bytes of it are wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct AddrError {
    pub kind: AddrErrorKind,
    /// Offset of the wrong part in the text.
    pub offset: usize,
    pub len: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddrErrorKind {
    #[error("missing address")]
    Empty,
    #[error("file descriptor '{0}' is not a valid integer")]
    Fd(String),
    #[error("invalid address: '{0}'")]
    Host(String),
    #[error("invalid address: '{0}' is not an IPv4 address")]
    NotV4(String),
    #[error("invalid address: '{0}' is not an IPv6 address")]
    NotV6(String),
    #[error("invalid port '{0}'")]
    Port(String),
    #[error("invalid port range '{0}'")]
    PortRange(String),
    #[error("unknown address prefix '{0}@'")]
    Prefix(String),
    #[error("socket path longer than {UNIX_PATH_MAX} bytes")]
    PathTooLong,
}

enum Form {
    Abstract { zero_terminated: bool },
    Fd,
    Inet(Family),
    SockPair,
    Unix,
}

/// Every prefix, with what it forces.
const PREFIXES: &[(&str, Option<Transport>, Form)] = &[
    ("abns", None, Form::Abstract { zero_terminated: false }),
    ("abnsz", None, Form::Abstract { zero_terminated: true }),
    ("fd", None, Form::Fd),
    ("ip", None, Form::Inet(Family::Any)),
    ("ipv4", None, Form::Inet(Family::V4)),
    ("ipv6", None, Form::Inet(Family::V6)),
    ("mptcp", Some(Transport::Mptcp), Form::Inet(Family::Any)),
    ("mptcp4", Some(Transport::Mptcp), Form::Inet(Family::V4)),
    ("mptcp6", Some(Transport::Mptcp), Form::Inet(Family::V6)),
    ("quic4", Some(Transport::Quic), Form::Inet(Family::V4)),
    ("quic6", Some(Transport::Quic), Form::Inet(Family::V6)),
    ("sockpair", None, Form::SockPair),
    ("tcp", Some(Transport::Stream), Form::Inet(Family::Any)),
    ("tcp4", Some(Transport::Stream), Form::Inet(Family::V4)),
    ("tcp6", Some(Transport::Stream), Form::Inet(Family::V6)),
    ("udp", Some(Transport::Datagram), Form::Inet(Family::Any)),
    ("udp4", Some(Transport::Datagram), Form::Inet(Family::V4)),
    ("udp6", Some(Transport::Datagram), Form::Inet(Family::V6)),
    ("unix", None, Form::Unix),
    ("uxdg", Some(Transport::Datagram), Form::Unix),
    ("uxst", Some(Transport::Stream), Form::Unix),
];

/// Socket types that may stand before a family prefix.
const SOCKET_TYPES: &[(&str, Transport)] =
    &[("dgram+", Transport::Datagram), ("quic+", Transport::Quic), ("stream+", Transport::Stream)];

/// The part of a text that is being looked at, so that errors know where it was.
#[derive(Clone, Copy)]
struct Part<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Part<'a> {
    fn after(self, n: usize) -> Self {
        Self { text: &self.text[n..], offset: self.offset + n }
    }

    fn before(self, n: usize) -> Self {
        Self { text: &self.text[..n], offset: self.offset }
    }

    fn error(self, kind: impl FnOnce(String) -> AddrErrorKind) -> AddrError {
        AddrError { kind: kind(self.text.to_owned()), offset: self.offset, len: self.text.len() }
    }
}

impl Address {
    /// Reads one address. Lists (`bind a:80,b:80`) are split at the commas by the caller.
    pub fn parse(text: &str) -> Result<Self, AddrError> {
        let whole = Part { text, offset: 0 };
        if text.is_empty() {
            return Err(whole.error(|_| AddrErrorKind::Empty));
        }
        if text.starts_with('/') {
            return Ok(Self { transport: None, endpoint: unix(whole)? });
        }
        let mut rest = whole;
        let mut transport = None;
        for &(prefix, forced) in SOCKET_TYPES {
            if text.starts_with(prefix) {
                transport = Some(forced);
                rest = whole.after(prefix.len());
            }
        }
        if rest.text.starts_with('/') {
            return Ok(Self { transport, endpoint: unix(rest)? });
        }
        let Some(at) = rest.text.find('@') else {
            return Ok(Self { transport, endpoint: inet(rest, Family::Any)? });
        };
        let prefix = rest.before(at);
        let rest = rest.after(at + 1);
        let Some((_, forced, form)) = PREFIXES.iter().find(|(name, ..)| *name == prefix.text)
        else {
            return Err(prefix.error(AddrErrorKind::Prefix));
        };
        let endpoint = match *form {
            Form::Abstract { zero_terminated } => {
                if rest.text.len() > UNIX_PATH_MAX {
                    return Err(rest.error(|_| AddrErrorKind::PathTooLong));
                }
                Endpoint::Abstract { name: rest.text.to_owned(), zero_terminated }
            }
            Form::Fd => Endpoint::Fd(descriptor(rest)?),
            Form::Inet(family) => inet(rest, family)?,
            Form::SockPair => Endpoint::SockPair(descriptor(rest)?),
            Form::Unix => unix(rest)?,
        };
        Ok(Self { transport: transport.or(*forced), endpoint })
    }

    /// The port part of an IP address or name.
    pub fn port(&self) -> PortSpec {
        match self.endpoint {
            Endpoint::Inet { port, .. } => port,
            _ => PortSpec::None,
        }
    }

    /// Whether the address is of the IP families (by number or by name).
    pub fn is_inet(&self) -> bool {
        matches!(self.endpoint, Endpoint::Inet { .. })
    }

    /// The socket addresses of an IP address with a port or range, in order; empty for all others.
    pub fn socket_addrs(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        let (ip, range) = match &self.endpoint {
            Endpoint::Inet { host: Host::Ip(ip), port, .. } => (Some(*ip), port.range()),
            _ => (None, None),
        };
        let ports = range.into_iter().flat_map(|(first, last)| first..=last);
        ports.filter_map(move |port| Some(SocketAddr::new(ip?, port)))
    }
}

impl PortSpec {
    /// First and last port; `None` without a port and for offsets.
    pub fn range(self) -> Option<(u16, u16)> {
        match self {
            Self::None | Self::Offset(_) => None,
            Self::Port(port) => Some((port, port)),
            Self::Range { first, last } => Some((first, last)),
        }
    }
}

fn unix(path: Part<'_>) -> Result<Endpoint, AddrError> {
    if path.text.is_empty() {
        return Err(path.error(|_| AddrErrorKind::Empty));
    }
    if path.text.len() > UNIX_PATH_MAX {
        return Err(path.error(|_| AddrErrorKind::PathTooLong));
    }
    Ok(Endpoint::Unix(path.text.to_owned()))
}

fn descriptor(part: Part<'_>) -> Result<i32, AddrError> {
    part.text.parse::<u16>().map(i32::from).map_err(|_| part.error(AddrErrorKind::Fd))
}

fn inet(part: Part<'_>, family: Family) -> Result<Endpoint, AddrError> {
    let bracketed = part.text.starts_with('[').then(|| part.text.find(']')).flatten();
    let (host, port) = match bracketed {
        Some(close) => {
            let after = part.after(close + 1);
            let port = match after.text.strip_prefix(':') {
                Some(_) => after.after(1),
                None if after.text.is_empty() => after,
                None => return Err(part.error(AddrErrorKind::Host)),
            };
            (part.before(close).after(1), port)
        }
        // Without brackets the last colon starts the port, in IPv6 too.
        None => match part.text.rfind(':') {
            Some(colon) => (part.before(colon), part.after(colon + 1)),
            None => (part, part.after(part.text.len())),
        },
    };
    Ok(Endpoint::Inet { family, host: parse_host(host, family)?, port: parse_port(port)? })
}

fn parse_host(part: Part<'_>, family: Family) -> Result<Host, AddrError> {
    if part.text.is_empty() || part.text == "*" {
        return Ok(Host::Ip(match family {
            Family::Any | Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }));
    }
    if let Ok(ip) = part.text.parse::<IpAddr>() {
        return match (ip, family) {
            (IpAddr::V6(_), Family::V4) => Err(part.error(AddrErrorKind::NotV4)),
            (IpAddr::V4(_), Family::V6) => Err(part.error(AddrErrorKind::NotV6)),
            _ => Ok(Host::Ip(ip)),
        };
    }
    let labels = part.text.strip_suffix('.').unwrap_or(part.text);
    let valid = labels.len() <= 253
        && labels.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
        && labels.bytes().any(|b| !b.is_ascii_digit() && b != b'.');
    if valid { Ok(Host::Name(part.text.to_owned())) } else { Err(part.error(AddrErrorKind::Host)) }
}

fn parse_port(part: Part<'_>) -> Result<PortSpec, AddrError> {
    let number = |text: &str| -> Option<u16> {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let text = part.text;
    if text.is_empty() {
        return Ok(PortSpec::None);
    }
    if let Some(digits) = text.strip_prefix('+') {
        let value = number(digits).ok_or_else(|| part.error(AddrErrorKind::Port))?;
        return Ok(PortSpec::Offset(i32::from(value)));
    }
    if let Some(digits) = text.strip_prefix('-') {
        let value = number(digits).ok_or_else(|| part.error(AddrErrorKind::Port))?;
        return Ok(PortSpec::Offset(-i32::from(value)));
    }
    match text.split_once('-') {
        None => number(text).map(PortSpec::Port).ok_or_else(|| part.error(AddrErrorKind::Port)),
        Some((low, high)) => {
            let first =
                number(low).ok_or_else(|| part.before(low.len()).error(AddrErrorKind::Port))?;
            let last =
                number(high).ok_or_else(|| part.after(low.len() + 1).error(AddrErrorKind::Port))?;
            if first > last || first == 0 {
                return Err(part.error(AddrErrorKind::PortRange));
            }
            Ok(PortSpec::Range { first, last })
        }
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Offset(by) => write!(f, ":{by:+}"),
            Self::Port(port) => write!(f, ":{port}"),
            Self::Range { first, last } => write!(f, ":{first}-{last}"),
        }
    }
}

impl fmt::Display for Address {
    /// The canonical form, which parses back to the same address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transport {
            None => {}
            Some(Transport::Stream) => f.write_str("stream+")?,
            Some(Transport::Datagram) => f.write_str("dgram+")?,
            Some(Transport::Quic) => f.write_str("quic+")?,
            Some(Transport::Mptcp) => {}
        }
        match &self.endpoint {
            Endpoint::Abstract { name, zero_terminated } => {
                write!(f, "{}@{name}", if *zero_terminated { "abnsz" } else { "abns" })
            }
            Endpoint::Fd(fd) => write!(f, "fd@{fd}"),
            Endpoint::SockPair(fd) => write!(f, "sockpair@{fd}"),
            Endpoint::Unix(path) => {
                let bare = self.transport.is_none() && path.starts_with('/');
                write!(f, "{}{path}", if bare { "" } else { "unix@" })
            }
            Endpoint::Inet { family, host, port } => {
                f.write_str(match (self.transport, family) {
                    (Some(Transport::Mptcp), Family::Any) => "mptcp@",
                    (Some(Transport::Mptcp), Family::V4) => "mptcp4@",
                    (Some(Transport::Mptcp), Family::V6) => "mptcp6@",
                    (None, Family::Any) => "",
                    (Some(_), Family::Any) => "ip@",
                    (_, Family::V4) => "ipv4@",
                    (_, Family::V6) => "ipv6@",
                })?;
                match host {
                    Host::Ip(IpAddr::V4(ip)) => write!(f, "{ip}{port}"),
                    Host::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]{port}"),
                    Host::Name(name) => write!(f, "{name}{port}"),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, canonical: &str) {
        let address = Address::parse(text).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(address.to_string(), canonical, "{text:?}");
        assert_eq!(
            Address::parse(canonical).as_ref(),
            Ok(&address),
            "{canonical:?} does not parse back"
        );
    }

    #[track_caller]
    fn wrong(text: &str, message: &str, offset: usize, len: usize) {
        let error = Address::parse(text).expect_err(text);
        assert_eq!((error.to_string().as_str(), error.offset, error.len), (message, offset, len));
    }

    #[test]
    fn forms() {
        check(":80", "0.0.0.0:80");
        check("*:80", "0.0.0.0:80");
        check("*", "0.0.0.0");
        check("1.2.3.4", "1.2.3.4");
        check("1.2.3.4:", "1.2.3.4");
        check("[1.2.3.4]:80", "1.2.3.4:80");
        check(":::80", "[::]:80");
        check("[::]:80", "[::]:80");
        check("::1:80", "[::1]:80");
        check("[::1]", "[::1]");
        check("[2001:db8::1]:8443", "[2001:db8::1]:8443");
        check("ipv4@:80", "ipv4@0.0.0.0:80");
        check("ipv6@:80", "ipv6@[::]:80");
        check("ipv6@*:80", "ipv6@[::]:80");
        check("ip@:80", "0.0.0.0:80");
        check("tcp4@:80", "stream+ipv4@0.0.0.0:80");
        check("tcp@[::1]:80", "stream+ip@[::1]:80");
        check("stream+ipv4@:80", "stream+ipv4@0.0.0.0:80");
        check("stream+127.0.0.1:80", "stream+ip@127.0.0.1:80");
        check("stream+/run/a.sock", "stream+unix@/run/a.sock");
        check("udp@1.2.3.4:514", "dgram+ip@1.2.3.4:514");
        check("dgram+ipv6@[::1]:514", "dgram+ipv6@[::1]:514");
        check("quic4@:443", "quic+ipv4@0.0.0.0:443");
        check("mptcp6@:443", "mptcp6@[::]:443");
        check("localhost:80", "localhost:80");
        check("web_1.example.org.:80", "web_1.example.org.:80");
        check("_http._tcp.example.org", "_http._tcp.example.org");
        check("1.2.3.4:80-90", "1.2.3.4:80-90");
        check("1.2.3.4:+80", "1.2.3.4:+80");
        check("1.2.3.4:-80", "1.2.3.4:-80");
        check("/run/x.sock", "/run/x.sock");
        check("unix@x.sock", "unix@x.sock");
        check("uxdg@/dev/log", "dgram+unix@/dev/log");
        check("abns@web", "abns@web");
        check("abnsz@web", "abnsz@web");
        check("fd@3", "fd@3");
        check("sockpair@4", "sockpair@4");
    }

    #[test]
    fn mistakes_are_located() {
        wrong("", "missing address", 0, 0);
        wrong("unix@", "missing address", 5, 0);
        wrong("1.2.3.4:65536", "invalid port '65536'", 8, 5);
        wrong("1.2.3.4:80x", "invalid port '80x'", 8, 3);
        wrong("1.2.3.4:90-80", "invalid port range '90-80'", 8, 5);
        wrong("1.2.3.4:80-", "invalid port ''", 11, 0);
        wrong("256.1.1.1:80", "invalid address: '256.1.1.1'", 0, 9);
        wrong("[::1", "invalid address: '[:'", 0, 2);
        wrong("[::1]x:80", "invalid address: '[::1]x:80'", 0, 9);
        wrong("::", "invalid address: ':'", 0, 1);
        wrong("ipv4@::1:80", "invalid address: '::1' is not an IPv4 address", 5, 3);
        wrong("ipv6@1.2.3.4:80", "invalid address: '1.2.3.4' is not an IPv6 address", 5, 7);
        wrong("fd@x", "file descriptor 'x' is not a valid integer", 3, 1);
        wrong("fd@-1", "file descriptor '-1' is not a valid integer", 3, 2);
        wrong("foo@1.2.3.4:80", "unknown address prefix 'foo@'", 0, 3);
        wrong("a b:80", "invalid address: 'a b'", 0, 3);
    }

    #[test]
    fn ranges_expand() {
        let address = Address::parse("127.0.0.1:65534-65535").unwrap();
        let all: Vec<String> = address.socket_addrs().map(|a| a.to_string()).collect();
        assert_eq!(all, ["127.0.0.1:65534", "127.0.0.1:65535"]);
        assert_eq!(Address::parse("localhost:80").unwrap().socket_addrs().count(), 0);
        assert_eq!(Address::parse("/x").unwrap().socket_addrs().count(), 0);
    }
}
