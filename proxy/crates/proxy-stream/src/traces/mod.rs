//! Traces: what the engine does, told to rings and descriptors while it does it (management manual, 9.3 "trace";
//! configuration manual, 12.1).
//!
//! A trace point asks its [`Source`] first, which is one relaxed load while nobody traces:
//! `if traces::H1.wants(h1::RX_HEADERS) { .. }`. The rest is out of line.

mod command;
mod points;
mod source;
mod vocabulary;

pub use command::{flag_lines, run, show};
pub(crate) use points::{Parties, agreed, number, request, response, tell, tell_with};
pub use source::{Level, Sinks, Source, TraceSink};
pub(crate) use source::{Subject, Telling};
pub(crate) use vocabulary::{
    CHECK, H1, H2, PEERS, SESSION, SSL, STREAM, check, h1, h2, peers, session, ssl, stream,
};
pub use vocabulary::{NOT_CARRIED, SOURCES};
