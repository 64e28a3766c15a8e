//! What is remembered of a stream for its log line.

mod record;

pub use record::Record;
