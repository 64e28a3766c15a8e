//! Between bytes of a connection and messages of a stream.

pub mod h1;
