//! HTTP messages and codecs. No IO, no clock.
//!
//! A message head lives in one buffer: the bytes as received, then whatever edits added. Header
//! fields are ranges into it ([`HeaderList`]), so reading, editing and sending a head neither
//! allocates per field nor loses the order and case of names. [`h1`] turns bytes into heads and
//! body pieces and back.
#![forbid(unsafe_code)]

pub mod fcgi;
pub mod framed;
pub mod h1;
pub mod h2;
mod headers;
mod message;
pub mod status;
pub mod uri;
pub mod value;

pub use headers::{Header, HeaderList, Span};
pub use message::{BodyLen, HeadFlags, Method, RequestHead, ResponseHead, Version};
