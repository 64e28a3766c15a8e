//! Log formats (configuration manual, 8.2).

pub mod facts;

pub use facts::{AnsweredBy, LogFacts, Origin, Termination};
