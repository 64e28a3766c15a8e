//! The connection of a health check.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proxy_net::Stream;
use proxy_net::clock;
use proxy_net::connect::{ConnectError, ConnectFailure, ConnectOptions, connect, describe};
use proxy_net::timer::Timer;
use proxy_rules::check::Connect;
use proxy_state::SockAddr;
use proxy_state::server::{CheckResult, CheckSpec, CheckStatus, CheckTarget, Server};
use proxy_tls::client::Client;
use proxy_tls::rustls::ClientConfig;

use super::script::Subject;
use crate::io::Io;
use crate::transport::{Exit, HandshakeError, Opening, Socks4Request};

/// Why there is no connection.
pub(super) struct Failed {
    pub(super) status: CheckStatus,
    pub(super) info: String,
}

/// A check for which connecting is enough.
pub(super) async fn connection(subject: &Subject<'_>) -> CheckResult {
    let start = clock::precise();
    let by_server = Connect { by_server: true, ..Connect::default() };
    let outcome = open(subject, subject.spec, &by_server, subject.connect_limit, true).await;
    let duration_ms = u64::try_from(clock::precise().since(start).as_millis()).unwrap_or(u64::MAX);
    let (status, info) = match outcome {
        Ok((io, over_tls)) => {
            // Nothing was said, so a reset loses nothing and leaves no TIME_WAIT behind.
            if let Some(socket) = io.transport() {
                socket.set_reset_on_close();
            }
            (if over_tls { CheckStatus::L6Ok } else { CheckStatus::L4Ok }, String::new())
        }
        Err(Failed { status, info }) => (status, info),
    };
    CheckResult { status, code: None, duration_ms, info }
}

/// Connects as the check wants it; whether TLS protects the connection. `speaks` is as in [`socket`].
pub(super) async fn open(
    subject: &Subject<'_>,
    spec: &CheckSpec,
    rule: &Connect,
    limit: Duration,
    speaks: bool,
) -> Result<(Box<dyn Io>, bool), Failed> {
    let server = subject.server;
    let to = destination(&server.addr(), CheckTarget { addr: spec.addr, port: spec.port });
    let timer = Timer::new();
    timer.arm(Some(limit));
    let proxy = server.spec.socks4.as_deref().copied();
    let proxy = proxy.filter(|_| rule.via_socks4 || rule.by_server && spec.via_socks4);
    let mut opening = opening(subject, spec, rule)?;
    let socket = match proxy {
        None => socket(server, &to, limit, speaks || !opening.is_nothing()).await?,
        Some(proxy) => {
            let request = to.inet().and_then(Socks4Request::new).ok_or_else(|| Failed {
                status: CheckStatus::SocketError,
                info: "SOCKS4 knows IPv4 addresses only".to_owned(),
            })?;
            opening.socks4 = Some(request);
            socket(server, &proxy.into(), limit, true).await?
        }
    };
    if opening.is_nothing() {
        return Ok((Box::new(socket), false));
    }
    match opening.perform(socket, to.inet(), &timer).await {
        Ok(opened) => {
            let over_tls = opened.io.is_tls();
            Ok((opened.io, over_tls))
        }
        Err(failed) => Err(match failed.error {
            HandshakeError::Timeout => {
                Failed { status: CheckStatus::L6Timeout, info: String::new() }
            }
            error @ HandshakeError::Socks4(_) => {
                Failed { status: CheckStatus::L4Connection, info: error.to_string() }
            }
            // A reset is how some servers close.
            HandshakeError::Io(error) if is_gone(&error) => {
                Failed { status: CheckStatus::L6Response, info: HandshakeError::Empty.to_string() }
            }
            error => Failed { status: CheckStatus::L6Response, info: error.to_string() },
        }),
    }
}

fn is_gone(error: &io::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

/// What the connection begins with: by its rule and, unless that says so, as the server's line has it for checks.
fn opening(subject: &Subject<'_>, spec: &CheckSpec, rule: &Connect) -> Result<Opening, Failed> {
    let server = &subject.server.spec;
    let mut opening = Opening::default();
    if rule.send_proxy || rule.by_server && spec.send_proxy {
        let exit = server.transport.as_ref().and_then(|exit| exit.downcast_ref::<Exit>());
        let plain = Exit::default();
        opening.header = subject.with_cx(|cx| exit.unwrap_or(&plain).check_header(cx));
    }
    if rule.ssl || rule.by_server && spec.tls {
        let Some(client) = server.check_tls.as_ref().and_then(|tls| tls.downcast_ref::<Client>())
        else {
            return Err(Failed {
                status: CheckStatus::SocketError,
                info: "no TLS settings".to_owned(),
            });
        };
        let mut config = client.config();
        let alpn = rule.alpn.as_ref().or_else(|| spec.alpn.as_ref().filter(|_| rule.by_server));
        if let Some(alpn) = alpn {
            let mut own = ClientConfig::clone(&config);
            own.alpn_protocols.clone_from(alpn);
            config = Arc::new(own);
        }
        let named = rule.sni.as_deref().or_else(|| spec.sni.as_deref().filter(|_| rule.by_server));
        let name = match (named, subject.script) {
            (Some(name), _) => Some(name.into()),
            (None, Some(script)) if spec.sni_auto => subject.with_cx(|cx| {
                let host = script.auto_host(cx)?;
                std::str::from_utf8(host).ok().map(Into::into)
            }),
            _ => None,
        };
        opening.tls = Some((config, name));
    }
    Ok(opening)
}

/// A connection of a check of the server; `speaks` when the check says the first word, or none at all.
pub(super) async fn socket(
    server: &Server,
    to: &SockAddr,
    limit: Duration,
    speaks: bool,
) -> Result<Stream, Failed> {
    let source = server.spec.source.as_ref();
    let options = ConnectOptions {
        source: source.and_then(|s| s.addr),
        interface: source.and_then(|s| s.interface.clone()),
        // The handshake's last ACK and what follows it are then one packet less on the wire. Where the server is to
        // speak first it would wait for that ACK.
        smart_connect: speaks,
        namespace: server.spec.namespace.clone(),
        md5: server.spec.md5.clone(),
        ..ConnectOptions::default()
    };
    connect(to, &options, Some(limit)).await.map_err(|error| failure(&error))
}

fn failure(error: &ConnectError) -> Failed {
    let (status, info) = match (error.failure, &error.cause) {
        (ConnectFailure::Timeout, None) => (CheckStatus::L4Timeout, String::new()),
        (ConnectFailure::Timeout, Some(cause)) => (CheckStatus::L4Timeout, words_of(cause)),
        (ConnectFailure::Refused | ConnectFailure::Unreachable, cause) => {
            (CheckStatus::L4Connection, cause.as_ref().map(words_of).unwrap_or_default())
        }
        (ConnectFailure::Exhausted | ConnectFailure::Resource | ConnectFailure::Local, _) => {
            (CheckStatus::SocketError, error.to_string())
        }
    };
    Failed { status, info }
}

/// An error of a socket in HAProxy's words.
pub(super) fn words_of(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "ECONNREFUSED returned by OS".to_owned(),
        io::ErrorKind::ConnectionReset => "ECONNRESET returned by OS".to_owned(),
        _ => format!("General socket error ({})", describe(error)),
    }
}

/// `addr` and `port` of the check in place of the server's.
pub(super) fn destination(server: &SockAddr, target: CheckTarget) -> SockAddr {
    match server {
        SockAddr::Inet(addr) => {
            let ip = target.addr.unwrap_or_else(|| addr.ip());
            let port = target.port.unwrap_or_else(|| addr.port());
            SockAddr::Inet(SocketAddr::new(ip, port))
        }
        // Beside a unix socket, a service that answers for it may be asked.
        SockAddr::Unix(_) | SockAddr::Abstract(_) => match (target.addr, target.port) {
            (Some(ip), Some(port)) => SockAddr::Inet(SocketAddr::new(ip, port)),
            _ => server.clone(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(addr: Option<&str>, port: Option<u16>, expected: &str) {
        let target = CheckTarget { addr: addr.map(|a| a.parse().unwrap()), port };
        let server = SockAddr::Inet("10.0.0.1:80".parse().unwrap());
        let to = destination(&server, target);
        assert_eq!(to.to_string(), expected);
    }

    #[test]
    fn a_check_may_go_elsewhere() {
        check(None, None, "10.0.0.1:80");
        check(None, Some(8080), "10.0.0.1:8080");
        check(Some("10.0.0.2"), None, "10.0.0.2:80");
        check(Some("::1"), Some(1), "[::1]:1");
    }
}
