//! The other ends: servers and receivers that run on threads of the test process.
//!
//! They live in the network namespace of the thread that starts them; use `NetNs::enter`.

pub mod acme;
pub mod dns;
pub mod fcgi;
pub mod http;
pub mod script;
pub mod syslog;

pub use http::{HttpServer, filler};
pub use script::ScriptServer;
pub use syslog::Syslog;
