//! HTTP/2 without IO (RFC 9113): frames, field compression (RFC 7541), and what fields say of a message.

mod fields;
pub mod frame;
pub mod hpack;
mod huffman;
mod message;

pub use fields::Fields;
pub use message::{Malformed, Received, take_request, take_response, take_trailers};
