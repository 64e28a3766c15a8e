//! Scripts of health checks: the rules of `http-check` and `tcp-check` (configuration manual, 4.2), compiled. What is
//! sent and what is made of an answer; connections belong to whoever runs the script.

mod connect;
mod expect;
mod http;
pub mod protocol;
mod protocol_script;
mod script;
mod send;
mod spop;
mod words;

pub use connect::{Connect, Port, Proto};
pub use expect::{Answer, Expect, Status, Verdict};
pub use http::HttpRequest;
pub use script::{Act, Line, Script, SetVar, Step};
pub use send::Send;
pub use words::{Kind, RequestLine};
