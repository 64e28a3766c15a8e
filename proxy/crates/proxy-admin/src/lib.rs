//! The runtime API.
#![forbid(unsafe_code)]
