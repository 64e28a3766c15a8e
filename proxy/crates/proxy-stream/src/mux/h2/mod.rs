//! HTTP/2 (RFC 9113): connections of clients and to servers, each stream of them a
//! [`Framed`](super::Framed).

mod accept;
mod dial;
mod driver;
mod frames;
mod head;
mod link;
mod receive;
mod settings;
mod stream;

pub(crate) use accept::serve;
pub(crate) use dial::{Dialed, dial};
pub use settings::{Settings, Side};

pub(crate) use proxy_http::h2::PREFACE;
