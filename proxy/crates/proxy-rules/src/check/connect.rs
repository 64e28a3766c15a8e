//! `connect`: where a check connects to, and how.

use std::net::IpAddr;

use proxy_types::Diagnostic;

use super::{Kind, Words, integer};
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
                    let ip = show(addr.value).trim_matches(['[', ']']).parse();
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
                b"ssl" | b"sni" | b"alpn" | b"proto" | b"via-socks4" => {
                    return fail(
                        Diagnostic::alert(format!(
                            "'{} connect' with '{}' : known, not carried yet",
                            kind.keyword(),
                            show(word.value)
                        ))
                        .at(word.span),
                    );
                }
                other => {
                    return fail(
                        Diagnostic::alert(format!(
                            "'{} connect' does not know '{}'",
                            kind.keyword(),
                            show(other)
                        ))
                        .at(word.span)
                        .expected("one of addr, comment, default, linger, port, send-proxy"),
                    );
                }
            }
        }
        Ok((connect, comment))
    }
}
