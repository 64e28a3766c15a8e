//! Driving a handshake to its end, and what is known of the connection then.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use proxy_net::Stream;
use proxy_rules::sample::connection::Tls;
use proxy_tls::rustls::{self, Connection, HandshakeKind, ProtocolVersion};
use proxy_tls::{ciphers, settings, verify};

use super::tls_stream::{poll_receive, poll_send};

/// Why a handshake did not end well.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Nothing came before the end.
    #[error("connection closed during SSL handshake")]
    Empty,
    #[error("connection error during SSL handshake: {0}")]
    Io(io::Error),
    #[error("timeout during SSL handshake")]
    Timeout,
    #[error("SSL handshake failure: {0}")]
    Tls(rustls::Error),
    /// The client named no host that a certificate is for, and `strict-sni` asks for one.
    #[error("SSL handshake failure: no certificate for the name")]
    NoCertificate,
}

/// Exchanges messages until the handshake is complete and everything is sent.
pub(super) async fn complete(
    tls: &mut Connection,
    socket: &mut Stream,
    expired: impl Fn(&mut Context<'_>) -> Poll<()>,
) -> Result<(), HandshakeError> {
    poll_fn(|cx| poll_complete(tls, socket, &expired, cx)).await
}

fn poll_complete(
    tls: &mut Connection,
    socket: &mut Stream,
    expired: &impl Fn(&mut Context<'_>) -> Poll<()>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), HandshakeError>> {
    loop {
        if let Err(error) = tls.process_new_packets() {
            // The alert that tells the peer why.
            let _ = poll_send(tls, socket, cx);
            return Poll::Ready(Err(HandshakeError::Tls(error)));
        }
        let sent = match poll_send(tls, socket, cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(HandshakeError::Io(error))),
            Poll::Pending => false,
        };
        if sent && !tls.is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        if !tls.is_handshaking() {
            return expired(cx).map(|()| Err(HandshakeError::Timeout));
        }
        match poll_receive(tls, socket, cx) {
            Poll::Ready(Ok(0)) => {
                return Poll::Ready(Err(HandshakeError::Io(io::ErrorKind::UnexpectedEof.into())));
            }
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(HandshakeError::Io(error))),
            Poll::Pending => return expired(cx).map(|()| Err(HandshakeError::Timeout)),
        }
    }
}

/// What is known of a connection, whether its handshake is complete or not.
pub(super) fn facts(tls: &Connection) -> Tls {
    let suite = tls.negotiated_cipher_suite();
    let (cipher, bits) =
        suite.and_then(|suite| ciphers::describe(suite.suite())).unwrap_or_default();
    let sni = match tls {
        Connection::Server(server) => server.server_name().map(Into::into),
        Connection::Client(_) => None,
    };
    let peer = tls.peer_certificates().unwrap_or_default();
    let report = verify::take_report().unwrap_or_default();
    Tls {
        version: match tls.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "",
        },
        cipher,
        bits,
        alpn: tls.alpn_protocol().map(Into::into),
        sni,
        resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
        established: !tls.is_handshaking(),
        group: tls
            .negotiated_key_exchange_group()
            .and_then(|group| settings::group_name(group.name())),
        peer: peer.iter().map(|der| der.as_ref().into()).collect(),
        verify: report.result,
        crt_err: report.crt_err,
        ca_err: report.ca_err,
        ca_err_depth: report.ca_err_depth,
        ..Tls::default()
    }
}
