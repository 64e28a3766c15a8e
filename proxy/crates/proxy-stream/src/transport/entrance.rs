//! What a client passes before its session begins.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use proxy_rules::sample::connection::ProxyHeader;
use proxy_tls::listener::Listener;

use super::accept::accept;
use super::proxy_protocol::netscaler::{self, CipError};
use super::proxy_protocol::{self, Header, HeaderError};
use crate::io::Conn;
use crate::log;
use crate::session::Session;
use crate::stream::Expected;
use crate::traces::{self, Level, Parties, ssl};

/// What stands before the sessions of a listener.
#[derive(Debug, Default)]
pub struct Entrance {
    /// `accept-proxy`.
    pub accept_proxy: bool,
    /// `accept-netscaler-cip`: the magic number.
    pub netscaler_cip: Option<u32>,
    /// `ssl`.
    pub tls: Option<Arc<Listener>>,
    /// `tune.ssl.capture-buffer-size`: what clients offer is kept for fetches.
    pub capture: bool,
}

/// Errors of connections that do not come to a session, by their number in the manual (7.3.3 "fc_err_str").
mod error {
    pub(super) const PRX_EMPTY: u8 = 11;
    pub(super) const PRX_ABORT: u8 = 12;
    pub(super) const PRX_TIMEOUT: u8 = 13;
    pub(super) const PRX_TRUNCATED: u8 = 14;
    pub(super) const PRX_NOT_HDR: u8 = 15;
    pub(super) const PRX_BAD_HDR: u8 = 16;
    pub(super) const PRX_BAD_PROTO: u8 = 17;
    pub(super) const CIP_EMPTY: u8 = 18;
    pub(super) const CIP_ABORT: u8 = 19;
    pub(super) const CIP_TIMEOUT: u8 = 20;
    pub(super) const CIP_TRUNCATED: u8 = 21;
    pub(super) const CIP_BAD_MAGIC: u8 = 22;
    pub(super) const CIP_BAD_PROTO: u8 = 23;
    pub(super) const SSL_EMPTY: u8 = 24;
    pub(super) const SSL_ABORT: u8 = 25;
}

/// The kinds of header that tell another client's address.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Proxy,
    Netscaler(u32),
}

/// Lets a connection through the entrance of its listener. False when it failed; that is in the log then.
pub(crate) async fn enter(s: &mut Session, expect: Expected) -> bool {
    let transport = s.facts.listener.transport.clone();
    let entrance = transport.and_then(|transport| transport.downcast::<Entrance>().ok());
    let entrance = entrance.unwrap_or_default();
    s.client_timer.arm(s.front.frontend.timeouts.client_hs());
    let outcome = pass(s, &entrance, expect).await;
    s.client_timer.disarm();
    if let Err(code) = outcome {
        s.facts.connection.error = code;
        let quiet = matches!(code, error::PRX_EMPTY | error::CIP_EMPTY | error::SSL_EMPTY);
        s.front.frontend.counters.local().err_req.inc();
        if !(quiet && s.front.frontend.options.dontlognull) {
            log::refused(s);
        }
    }
    outcome.is_ok()
}

async fn pass(s: &mut Session, entrance: &Entrance, expect: Expected) -> Result<(), u8> {
    if entrance.accept_proxy || expect.proxy {
        told(s, Told::Proxy).await?;
    }
    // A rule tells no magic number: it is that of the listener, or 0.
    if let Some(magic) = entrance.netscaler_cip.or_else(|| expect.netscaler.then_some(0)) {
        told(s, Told::Netscaler(magic)).await?;
    }
    match &entrance.tls {
        Some(listener) => tls(s, listener, entrance.capture).await,
        None => Ok(()),
    }
}

/// Takes the addresses from a header.
async fn told(s: &mut Session, kind: Told) -> Result<(), u8> {
    let (client, timer) = (&mut s.client, &s.client_timer);
    let limit = s.thread.env.shared.bufsize;
    let Header { ends, tlvs } = poll_fn(|cx| {
        loop {
            if !client.input.is_empty()
                && let Some((header, length)) = read(client.input.data(), kind)?
            {
                client.input.consume(length);
                return Poll::Ready(Ok(header));
            }
            let empty = client.input.is_empty();
            if client.eof {
                return Poll::Ready(Err(if empty { gone(kind).0 } else { gone(kind).1 }));
            }
            if client.input.len() >= limit {
                return Poll::Ready(Err(gone(kind).1));
            }
            match receive(client, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => {
                    let abort =
                        if kind == Told::Proxy { error::PRX_ABORT } else { error::CIP_ABORT };
                    return Poll::Ready(Err(abort));
                }
                Poll::Pending => {
                    let late =
                        if kind == Told::Proxy { error::PRX_TIMEOUT } else { error::CIP_TIMEOUT };
                    return timer.poll_expired(cx).map(|()| Err(late));
                }
            }
        }
    })
    .await?;
    if let Some((src, dst)) = ends {
        (s.facts.src, s.facts.dst) = (Some(src), Some(dst));
    }
    if kind == Told::Proxy {
        s.facts.connection.proxy = Some(Arc::new(ProxyHeader { tlvs }));
    }
    Ok(())
}

fn read(data: &[u8], kind: Told) -> Result<Option<(Header, usize)>, u8> {
    match kind {
        Told::Proxy => proxy_protocol::parse(data).map_err(|wrong| match wrong {
            HeaderError::NotAHeader => error::PRX_NOT_HDR,
            HeaderError::Bad => error::PRX_BAD_HDR,
            HeaderError::Protocol => error::PRX_BAD_PROTO,
        }),
        Told::Netscaler(magic) => netscaler::parse(data, magic).map_err(|wrong| match wrong {
            CipError::Magic => error::CIP_BAD_MAGIC,
            CipError::Protocol => error::CIP_BAD_PROTO,
            CipError::Truncated => error::CIP_TRUNCATED,
        }),
    }
}

/// The errors of an end before anything came, and of one within a header.
fn gone(kind: Told) -> (u8, u8) {
    match kind {
        Told::Proxy => (error::PRX_EMPTY, error::PRX_TRUNCATED),
        Told::Netscaler(_) => (error::CIP_EMPTY, error::CIP_TRUNCATED),
    }
}

fn receive(client: &mut Conn, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
    crate::scratch::with(|buf| client.poll_read(cx, buf).map_ok(|n| client.input.push(&buf[..n])))
}

async fn tls(s: &mut Session, listener: &Listener, capture: bool) -> Result<(), u8> {
    let Some((socket, received)) = s.client.take_socket() else { return Err(error::SSL_ABORT) };
    if traces::SSL.wants(ssl::NEW) {
        let event = (ssl::NEW, Level::State);
        traces::tell(&traces::SSL, event, &Parties::client(s, None), "new TLS handshake");
    }
    let timer = &s.client_timer;
    let (outcome, mut facts) =
        accept(socket, &received, listener, capture, |cx| timer.poll_expired(cx)).await;
    let outcome = match outcome {
        Ok(stream) => {
            s.client = Conn::new(Box::new(stream));
            let now = s.thread.now(s.thread.tick());
            s.thread.env.registry().process.begin_tls(now, facts.resumed);
            s.front.frontend.tls.complete(facts.resumed);
            s.facts.listener.tls.complete(facts.resumed);
            if traces::SSL.wants(ssl::HANDSHAKE) {
                let event = (ssl::HANDSHAKE, Level::User);
                let parties = Parties::client(s, None);
                traces::tell_with(&traces::SSL, event, &parties, "TLS handshake done", &|t| {
                    traces::agreed(&facts, t);
                });
            }
            Ok(())
        }
        Err(failure) => {
            let code = failure.code(&facts);
            tracing::debug!(%failure, src = ?s.facts.src, listener = &*s.facts.listener.name, "TLS");
            failure.note(&mut facts);
            s.front.frontend.tls.fail();
            s.facts.listener.tls.fail();
            // The handshake may be complete and its last message not be sent: nothing was counted.
            facts.established = false;
            if traces::SSL.wants(ssl::ERR) {
                let event = (ssl::ERR, Level::Error);
                let parties = Parties::client(s, None);
                traces::tell_with(&traces::SSL, event, &parties, "TLS handshake failed", &|t| {
                    t.text.push_str(&format!(": {failure}"));
                });
            }
            Err(code)
        }
    };
    s.facts.connection.tls = Some(Arc::new(facts));
    outcome
}
