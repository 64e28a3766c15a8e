//! HTTP/1 on the wire (RFC 9112): heads, body framing, chunks, and their way back to bytes.
//!
//! The parser is our own rather than a library's because its leniency is part of the surface:
//! what HAProxy accepts (bare LF at line ends, folded lines, later 1.x versions) is accepted and
//! rewritten in the strict form, what it refuses is refused with its status, and every error
//! carries the offset that `show errors` needs.

mod chunk;
mod framing;
mod limits;
mod parse;
mod write;

pub use chunk::{ChunkDecoder, ChunkError, Filtered, Keep};
pub use limits::{Limits, Reject};
pub use parse::{ParseError, Progress, parse_request, parse_response};
pub use write::{request_runs, response_runs, write_request, write_response};
