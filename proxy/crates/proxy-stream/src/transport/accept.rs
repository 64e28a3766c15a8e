//! The server's side of a handshake.

use std::future::poll_fn;
use std::io::{self, Read};
use std::task::{Context, Poll};

use proxy_net::Stream;
use proxy_rules::sample::connection::Tls;
use proxy_tls::findings::Findings;
use proxy_tls::listener::{Chosen, Listener};
use proxy_tls::rustls::server::{Accepted, Acceptor};
use proxy_tls::rustls::{self, Connection};

use super::handshake::{self, HandshakeError};
use super::tls_stream::{Early, Sync, TlsStream};

/// `unrecognized_name` (RFC 6066, 3), fatal, in a record of its own.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Shakes hands with a client. `received` are bytes that came already. What is known of the client is told even
/// when it fails.
pub(crate) async fn accept(
    mut socket: Stream,
    received: &[u8],
    listener: &Listener,
    capture: bool,
    expired: impl Fn(&mut Context<'_>) -> Poll<()>,
) -> (Result<TlsStream, HandshakeError>, Tls) {
    let mut raw = capture.then(Vec::new);
    let (accepted, mut rest) = match hello(&mut socket, received, raw.as_mut(), &expired).await {
        Ok(came) => came,
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
    let Chosen { config, certificate, name } = chosen;
    let before = known(&accepted);
    let mut found = Findings::default();
    let mut tls: Connection = match accepted.into_connection(config) {
        Ok(connection) => connection.into(),
        Err((error, mut alert)) => {
            tell(&mut socket, &mut alert).await;
            return (Err(HandshakeError::Tls(error)), before);
        }
    };
    found.update();
    while !rest.is_empty() && tls.process_new_packets().is_ok() {
        found.update();
        if tls.read_tls(&mut rest).is_err() {
            break;
        }
    }
    let mut early = Vec::new();
    let outcome = handshake::complete(&mut tls, &mut socket, &mut found, &mut early, expired).await;
    let mut facts = handshake::facts(&tls, found);
    let early = (!early.is_empty()).then(|| Early::new(early));
    if let Some(early) = &early {
        facts.established = true;
        facts.early = Some(early.told());
    }
    facts.crtname = Some(name);
    facts.hello = raw.and_then(|raw| body(&raw));
    facts.own = Some(certificate.der.clone());
    if facts.sni.is_none() {
        facts.sni = before.sni;
    }
    (outcome.map(|()| TlsStream::new(socket, tls, early)), facts)
}

/// Waits for the whole ClientHello. What of `received` comes after it is returned, too.
async fn hello<'a>(
    socket: &mut Stream,
    received: &'a [u8],
    mut raw: Option<&mut Vec<u8>>,
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
            let read = match (&mut raw, received.is_empty()) {
                (None, true) => acceptor.read_tls(&mut Sync { socket, cx }),
                (None, false) => acceptor.read_tls(&mut received),
                (Some(raw), true) => {
                    acceptor.read_tls(&mut Copied { from: &mut Sync { socket, cx }, to: raw })
                }
                (Some(raw), false) => {
                    acceptor.read_tls(&mut Copied { from: &mut received, to: raw })
                }
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

/// Keeps what is read.
struct Copied<'a> {
    from: &'a mut dyn Read,
    to: &'a mut Vec<u8>,
}

impl Read for Copied<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buf)?;
        self.to.extend_from_slice(&buf[..n]);
        Ok(n)
    }
}

/// The body of the ClientHello in the first records of a connection.
fn body(mut records: &[u8]) -> Option<Box<[u8]>> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    let mut message = Vec::new();
    while let Some((&[HANDSHAKE, _, _, high, low], rest)) = records.split_first_chunk::<5>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (fragment, rest) = rest.split_at_checked(length)?;
        message.extend_from_slice(fragment);
        records = rest;
        if let Some((&[CLIENT_HELLO, a, b, c], rest)) = message.split_first_chunk::<4>() {
            let length = u32::from_be_bytes([0, a, b, c]) as usize;
            if let Some(body) = rest.get(..length) {
                return Some(body.into());
            }
        }
    }
    None
}
