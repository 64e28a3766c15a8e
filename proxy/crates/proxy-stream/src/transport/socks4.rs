//! The way through a SOCKS4 proxy (the protocol's own page: CONNECT only).

use std::io;
use std::net::{IpAddr, SocketAddr};

use proxy_net::Stream;
use proxy_net::timer::Timer;

use super::exit::send;
use super::handshake::HandshakeError;

/// Bytes of an answer.
const ANSWER: usize = 8;
/// The code of an answer that grants a request.
const GRANTED: u8 = 0x5a;
/// Who asks.
const USER: &[u8] = b"HAProxy\0";

/// Why the proxy did not do its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Socks4Error {
    #[error("it denied the request")]
    Denied,
    #[error("it closed the connection")]
    Closed,
    #[error("its answer is none")]
    Nonsense,
}

/// A request to connect to an IPv4 address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request([u8; 16]);

impl Request {
    /// Asks for a connection to `server`; `None` when it has no IPv4 address, which is all that the protocol knows.
    pub(crate) fn new(server: SocketAddr) -> Option<Self> {
        let IpAddr::V4(ip) = server.ip().to_canonical() else { return None };
        let mut bytes = [0; 16];
        bytes[0] = 4;
        bytes[1] = 1;
        bytes[2..4].copy_from_slice(&server.port().to_be_bytes());
        bytes[4..8].copy_from_slice(&ip.octets());
        bytes[8..].copy_from_slice(USER);
        Some(Self(bytes))
    }

    /// Asks the proxy, and waits for its consent.
    pub(super) async fn perform(
        &self,
        socket: &Stream,
        timer: &Timer,
    ) -> Result<(), HandshakeError> {
        send(socket, &self.0, timer).await?;
        let mut answer = [0; ANSWER];
        let mut got = 0;
        while got < ANSWER {
            // Not a byte more: what follows is the server's.
            match socket.try_read(&mut answer[got..]) {
                Ok(0) => return Err(HandshakeError::Socks4(Socks4Error::Closed)),
                Ok(n) => got += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let waited = timer.guard(socket.readable()).await;
                    let waited = waited.map_err(|_| HandshakeError::Timeout)?;
                    waited.map_err(HandshakeError::Io)?;
                }
                Err(error) => return Err(HandshakeError::Io(error)),
            }
        }
        match answer {
            [0, GRANTED, ..] => Ok(()),
            [0, ..] => Err(HandshakeError::Socks4(Socks4Error::Denied)),
            _ => Err(HandshakeError::Socks4(Socks4Error::Nonsense)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_ipv4_can_be_asked_for() {
        let request = |text: &str| Request::new(text.parse().unwrap());
        let expected = *b"\x04\x01\x00\x50\x0a\x00\x00\x01HAProxy\0";
        assert_eq!(request("10.0.0.1:80"), Some(Request(expected)));
        assert_eq!(request("[::ffff:10.0.0.1]:80"), Some(Request(expected)));
        assert_eq!(request("[::1]:80"), None);
    }
}
