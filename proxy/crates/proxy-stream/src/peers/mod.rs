//! Stick tables shared between processes (configuration manual, 11.2; peers.txt).
//!
//! ```text
//! wire        numbers, frames, greeting         section  peers, tables, how far each has got
//! dictionary  texts that are named by numbers   lesson   from whom a new process learns
//! message     definitions, updates              session  one connection, without IO
//!                                               run      sockets, reconnects, the end
//! ```

pub mod dictionary;
pub mod lesson;
pub mod message;
pub mod run;
pub mod section;
pub mod session;
pub mod wire;

#[cfg(test)]
mod tests;
