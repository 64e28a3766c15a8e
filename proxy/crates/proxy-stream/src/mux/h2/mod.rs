//! HTTP/2 (RFC 9113): connections of clients and to servers, each stream of them a
//! [`Framed`](super::Framed).

mod accept;
mod dial;
mod driver;
mod head;
mod link;
mod receive;
mod settings;
mod stream;

pub(crate) use accept::serve;
pub(crate) use dial::{Dialed, dial};
pub use settings::{Settings, Side};

/// What a client that speaks HTTP/2 sends first (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
