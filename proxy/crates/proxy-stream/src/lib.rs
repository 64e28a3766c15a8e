//! From an accepted connection to its log line.
#![forbid(unsafe_code)]
