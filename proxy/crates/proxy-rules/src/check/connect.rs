//! `connect`: where a check connects to, and how.

use std::net::{IpAddr, SocketAddr};

use proxy_types::Diagnostic;

use super::words::{Kind, Words, integer};
use crate::sample::parse::{fail, show};
use crate::sample::{EvalCtx, Expr, ParseCx, Parsed};

/// `http-check connect` and `tcp-check connect`.
#[derive(Debug, Default)]
pub struct Connect {
    /// Everything the rule does not say is as the server's line has it.
    pub by_server: bool,
    pub port: Option<Port>,
    pub addr: Option<IpAddr>,
    pub send_proxy: bool,
    /// Close with a FIN instead of a reset.
    pub linger: bool,
    pub ssl: bool,
    /// Host that is asked for over TLS.
    pub sni: Option<Box<str>>,
    /// Protocols to agree on over TLS.
    pub alpn: Option<Vec<Vec<u8>>>,
    /// What is spoken, whatever ALPN says.
    pub proto: Option<Proto>,
    pub via_socks4: bool,
}

/// What can be spoken by `proto`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// Bytes.
    None,
    H1,
    H2,
}

/// Where the port comes from.
#[derive(Debug)]
pub enum Port {
    Fixed(u16),
    Expr(Box<Expr>),
}

impl Port {
    /// The port of the moment; `None` when the expression gives none.
    pub fn eval<'a>(&'a self, cx: &EvalCtx<'a>) -> Option<u16> {
        match self {
            Self::Fixed(port) => Some(*port),
            Self::Expr(expr) => {
                let port = integer(expr, cx)?;
                u16::try_from(port).ok().filter(|port| *port > 0)
            }
        }
    }
}

impl Connect {
    pub(super) fn parse(
        kind: Kind,
        words: &mut Words<'_, '_>,
        cx: &mut ParseCx<'_>,
    ) -> Parsed<(Self, Option<Box<str>>)> {
        let (mut connect, mut comment) = (Self::default(), None);
        while let Some(word) = words.rest.first().copied() {
            words.rest = &words.rest[1..];
            match word.value {
                b"default" => connect.by_server = true,
                b"linger" => connect.linger = true,
                b"send-proxy" => connect.send_proxy = true,
                b"comment" => comment = Some(words.text("a text")?.into()),
                b"port" => {
                    let port = words.next("a port")?;
                    let number = show(port.value).parse::<u16>();
                    connect.port = Some(match number {
                        Ok(number @ 1..) => Port::Fixed(number),
                        _ => Port::Expr(Box::new(Expr::parse(port, cx)?)),
                    });
                }
                b"addr" => {
                    let addr = words.next("an address")?;
                    let text = show(addr.value);
                    if let Ok(both) = text.parse::<SocketAddr>() {
                        connect.addr = Some(both.ip());
                        connect.port = connect.port.or(Some(Port::Fixed(both.port())));
                        continue;
                    }
                    let ip = text.trim_matches(['[', ']']).parse();
                    connect.addr = Some(ip.map_err(|_| {
                        Box::new(
                            Diagnostic::alert(format!(
                                "'{} connect addr' expects an IP address, got '{}'",
                                kind.keyword(),
                                show(addr.value)
                            ))
                            .at(addr.span),
                        )
                    })?);
                }
                b"ssl" => connect.ssl = true,
                b"sni" => connect.sni = Some(words.text("a host name")?.into()),
                b"alpn" => {
                    let list = words.next("a list of protocols")?;
                    let names: Vec<_> =
                        list.value.split(|b| *b == b',').map(<[u8]>::to_vec).collect();
                    if names.iter().any(|name| name.is_empty() || name.len() > 255) {
                        return fail(
                            Diagnostic::alert(format!(
                                "'{} connect alpn' expects names between commas, got '{}'",
                                kind.keyword(),
                                show(list.value)
                            ))
                            .at(list.span),
                        );
                    }
                    connect.alpn = Some(names);
                }
                b"proto" => connect.proto = Some(proto(kind, words)?),
                b"via-socks4" => connect.via_socks4 = true,
                other => {
                    return fail(
                        Diagnostic::alert(format!(
                            "'{} connect' does not know '{}'",
                            kind.keyword(),
                            show(other)
                        ))
                        .at(word.span)
                        .expected("one of addr, alpn, comment, default, linger, port, proto, send-proxy, sni, ssl, \
                             via-socks4"),
                    );
                }
            }
        }
        Ok((connect, comment))
    }
}

/// What fits the kind of the script: HTTP over one of its versions, or bytes.
fn proto(kind: Kind, words: &mut Words<'_, '_>) -> Parsed<Proto> {
    let word = words.next("a protocol")?;
    match (kind, word.value) {
        (Kind::Tcp, b"none") => Ok(Proto::None),
        (Kind::Http, b"h1") => Ok(Proto::H1),
        (Kind::Http, b"h2") => Ok(Proto::H2),
        _ => fail(
            Diagnostic::alert(format!(
                "'{} connect proto' does not know '{}'",
                kind.keyword(),
                show(word.value)
            ))
            .at(word.span)
            .expected(match kind {
                Kind::Tcp => "'none'",
                Kind::Http => "one of h1, h2",
            }),
        ),
    }
}
