//! The server's side of a handshake.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use proxy_net::Stream;
use proxy_rules::sample::connection::Tls;
use proxy_tls::listener::{Chosen, Listener};
use proxy_tls::rustls::server::{Accepted, Acceptor};
use proxy_tls::rustls::{self, Connection};

use super::handshake::{self, HandshakeError};
use super::tls_stream::{Sync, TlsStream};

/// `unrecognized_name` (RFC 6066, 3), fatal, in a record of its own.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Shakes hands with a client. `received` are bytes that came already. What is known of the client is told even
/// when it fails.
pub(super) async fn accept(
    mut socket: Stream,
    received: &[u8],
    listener: &Listener,
    expired: impl Fn(&mut Context<'_>) -> Poll<()>,
) -> (Result<TlsStream, HandshakeError>, Tls) {
    let (accepted, mut rest) = match hello(&mut socket, received, &expired).await {
        Ok(found) => found,
        Err(error) => return (Err(error), Tls::default()),
    };
    let known = |accepted: &Accepted| Tls {
        sni: accepted.client_hello().server_name().map(Into::into),
        ..Tls::default()
    };
    let Some(chosen) = listener.choose(&accepted.client_hello()) else {
        let _ = socket.try_write(&UNRECOGNIZED_NAME);
        return (Err(HandshakeError::NoCertificate), known(&accepted));
    };
    let Chosen { config, certificate } = chosen;
    let before = known(&accepted);
    let mut tls: Connection = match accepted.into_connection(config) {
        Ok(connection) => connection.into(),
        Err((error, mut alert)) => {
            tell(&mut socket, &mut alert).await;
            return (Err(HandshakeError::Tls(error)), before);
        }
    };
    while !rest.is_empty() && tls.process_new_packets().is_ok() {
        if tls.read_tls(&mut rest).is_err() {
            break;
        }
    }
    let outcome = handshake::complete(&mut tls, &mut socket, expired).await;
    let mut facts = handshake::facts(&tls);
    facts.own = Some(certificate.der.clone());
    if facts.sni.is_none() {
        facts.sni = before.sni;
    }
    (outcome.map(|()| TlsStream::new(socket, tls)), facts)
}

/// Waits for the whole ClientHello. What of `received` comes after it is returned, too.
async fn hello<'a>(
    socket: &mut Stream,
    received: &'a [u8],
    expired: &impl Fn(&mut Context<'_>) -> Poll<()>,
) -> Result<(Accepted, &'a [u8]), HandshakeError> {
    let mut acceptor = Acceptor::default();
    let mut received = received;
    let mut any = !received.is_empty();
    poll_fn(|cx| {
        loop {
            match acceptor.accept() {
                Ok(Some(accepted)) => return Poll::Ready(Ok((accepted, received))),
                Ok(None) => {}
                Err((error, mut alert)) => {
                    let _ = alert.write(&mut Sync { socket, cx });
                    return Poll::Ready(Err(HandshakeError::Tls(error)));
                }
            }
            let read = if received.is_empty() {
                acceptor.read_tls(&mut Sync { socket, cx })
            } else {
                acceptor.read_tls(&mut received)
            };
            match read {
                Ok(0) if any => {
                    let error = io::ErrorKind::UnexpectedEof.into();
                    return Poll::Ready(Err(HandshakeError::Io(error)));
                }
                Ok(0) => return Poll::Ready(Err(HandshakeError::Empty)),
                Ok(_) => any = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return expired(cx).map(|()| Err(HandshakeError::Timeout));
                }
                Err(error) => return Poll::Ready(Err(HandshakeError::Io(error))),
            }
        }
    })
    .await
}

/// Sends an alert, if it can be sent at once.
async fn tell(socket: &mut Stream, alert: &mut rustls::server::AcceptedAlert) {
    poll_fn(|cx| {
        let _ = alert.write(&mut Sync { socket, cx });
        Poll::Ready(())
    })
    .await;
}
