//! HTTP/2 without IO (RFC 9113): frames, field compression (RFC 7541), and what fields say of a message.

mod fields;
pub mod frame;
pub mod hpack;
mod huffman;
mod message;

/// What a client sends first (RFC 9113 section 3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub use fields::Fields;
pub use message::{Malformed, Received, take_request, take_response, take_trailers};
