//! Driving a handshake to its end, and what is known of the connection then.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use proxy_net::Stream;
use proxy_rules::sample::connection::Tls;
use proxy_tls::findings::Findings;
use proxy_tls::rustls::{self, Connection, HandshakeKind, ProtocolVersion};
use proxy_tls::{ciphers, settings};

use super::socks4::Socks4Error;
use super::tls_stream::{poll_receive, poll_send, take_early};

/// Why a handshake did not end well.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// Nothing came before the end.
    #[error("Connection closed during SSL handshake")]
    Empty,
    #[error("Connection error during SSL handshake: {0}")]
    Io(io::Error),
    #[error("Timeout during SSL handshake")]
    Timeout,
    #[error("SSL handshake failure: {0}")]
    Tls(rustls::Error),
    /// The client named no host that a certificate is for, and `strict-sni` asks for one.
    #[error("SSL handshake failure: no certificate for the name")]
    NoCertificate,
    /// The SOCKS4 proxy on the way did not do its part.
    #[error("SOCKS4 proxy: {0}")]
    Socks4(Socks4Error),
}

impl HandshakeError {
    /// Number of the error of a connection that ended so (configuration manual, 7.3.3 "fc_err_str").
    pub(super) fn code(&self, facts: &Tls) -> u8 {
        const SOCKS4_DENY: u8 = 41;
        const SOCKS4_ABORT: u8 = 42;
        const SSL_EMPTY: u8 = 24;
        const SSL_ABORT: u8 = 25;
        const SSL_TIMEOUT: u8 = 26;
        const SSL_CA_FAIL: u8 = 30;
        const SSL_CRT_FAIL: u8 = 31;
        const SSL_HANDSHAKE: u8 = 34;
        match self {
            Self::Socks4(Socks4Error::Denied) => SOCKS4_DENY,
            Self::Socks4(Socks4Error::Closed | Socks4Error::Nonsense) => SOCKS4_ABORT,
            Self::Empty => SSL_EMPTY,
            Self::Io(_) => SSL_ABORT,
            Self::Timeout => SSL_TIMEOUT,
            Self::Tls(_) if facts.ca_err != 0 => SSL_CA_FAIL,
            Self::Tls(_) if facts.crt_err != 0 => SSL_CRT_FAIL,
            Self::Tls(_) | Self::NoCertificate => SSL_HANDSHAKE,
        }
    }

    /// Notes it among what is known of a connection.
    pub(super) fn note(&self, facts: &mut Tls) {
        let reason = self.reason();
        if reason != 0 {
            // Of OpenSSL's library 20, as its packed codes are written.
            facts.error = 20 << 23 | reason;
        }
        facts.error_text = Some(self.to_string().into());
    }

    /// OpenSSL's reason that is nearest; 0 is none.
    fn reason(&self) -> u64 {
        use rustls::{Error, InvalidMessage, PeerIncompatible};
        match self {
            Self::Empty | Self::Io(_) | Self::Timeout | Self::Socks4(_) => 0,
            // "callback failed"
            Self::NoCertificate => 234,
            Self::Tls(error) => match error {
                // "certificate verify failed"
                Error::InvalidCertificate(_) => 134,
                // "peer did not return a certificate"
                Error::NoCertificatesPresented => 199,
                // "no shared cipher"
                Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon) => 193,
                // "unsupported protocol"
                Error::PeerIncompatible(
                    PeerIncompatible::Tls12NotOffered
                    | PeerIncompatible::Tls12NotOfferedOrEnabled
                    | PeerIncompatible::SupportedVersionsExtensionRequired,
                ) => 258,
                // "no suitable signature algorithm"
                Error::PeerIncompatible(PeerIncompatible::NoSignatureSchemesInCommon) => 118,
                // "no suitable groups"
                Error::PeerIncompatible(PeerIncompatible::NoKxGroupsInCommon) => 295,
                // "wrong version number"
                Error::InvalidMessage(InvalidMessage::InvalidContentType) => 267,
                // Alerts of the peer are 1000 and their number.
                Error::AlertReceived(alert) => 1000 + u64::from(u8::from(*alert)),
                // "unexpected message"
                Error::InappropriateMessage { .. }
                | Error::InappropriateHandshakeMessage { .. } => 244,
                // "internal error"
                _ => 68,
            },
        }
    }
}

/// Exchanges messages until the handshake is complete and everything is sent, or until `early` data came.
pub(super) async fn complete(
    tls: &mut Connection,
    socket: &mut Stream,
    found: &mut Findings,
    early: &mut Vec<u8>,
    expired: impl Fn(&mut Context<'_>) -> Poll<()>,
) -> Result<(), HandshakeError> {
    poll_fn(|cx| poll_complete(tls, socket, found, early, &expired, cx)).await
}

fn poll_complete(
    tls: &mut Connection,
    socket: &mut Stream,
    found: &mut Findings,
    early: &mut Vec<u8>,
    expired: &impl Fn(&mut Context<'_>) -> Poll<()>,
    cx: &mut Context<'_>,
) -> Poll<Result<(), HandshakeError>> {
    loop {
        let outcome = tls.process_new_packets();
        found.update();
        if let Err(error) = outcome {
            // The alert that tells the peer why.
            let _ = poll_send(tls, socket, cx);
            return Poll::Ready(Err(HandshakeError::Tls(error)));
        }
        let sent = match poll_send(tls, socket, cx) {
            Poll::Ready(Ok(())) => true,
            // Tickets that a client does not wait for, who may have sent its request already.
            Poll::Ready(Err(_)) if is_only_tickets(tls) => true,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(HandshakeError::Io(error))),
            Poll::Pending => false,
        };
        take_early(tls, early);
        if sent && (!tls.is_handshaking() || !early.is_empty()) {
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

/// Whether all that is left to be sent are session tickets.
fn is_only_tickets(tls: &Connection) -> bool {
    matches!(tls, Connection::Server(_))
        && !tls.is_handshaking()
        && tls.protocol_version() == Some(ProtocolVersion::TLSv1_3)
}

/// What is known of a connection, whether its handshake is complete or not.
pub(super) fn facts(tls: &Connection, found: Findings) -> Tls {
    let suite = tls.negotiated_cipher_suite();
    let (cipher, bits) =
        suite.and_then(|suite| ciphers::describe(suite.suite())).unwrap_or_default();
    let sni = match tls {
        Connection::Server(server) => server.server_name().map(Into::into),
        Connection::Client(_) => None,
    };
    let peer = tls.peer_certificates().unwrap_or_default();
    let report = found.report.unwrap_or_default();
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
        root: found.root,
        secrets: found.secrets,
        client_random: found.client_random,
        ..Tls::default()
    }
}
