//! What stands between a socket and the bytes of a stream: PROXY protocol, NetScaler's client IP header, TLS.
//!
//! A [`Entrance`] travels with a listener, an [`Exit`] with a server, both as
//! [`proxy_state::Transport`]. A connection passes an entrance once, before its first byte counts.

mod accept;
mod entrance;
mod exit;
mod handshake;
pub mod proxy_protocol;
mod socks4;
mod tls_stream;

pub use entrance::Entrance;
pub use exit::{Exit, SendProxy, SendProxyV2, Sni, TlsExit};
pub use handshake::HandshakeError;
pub use socks4::Socks4Error;
pub use tls_stream::TlsStream;

pub(crate) use accept::accept as accept_tls;
pub(crate) use entrance::enter;
pub(crate) use exit::{Opened, Opening};
pub(crate) use socks4::Request as Socks4Request;
