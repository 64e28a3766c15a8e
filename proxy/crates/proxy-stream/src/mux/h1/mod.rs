//! HTTP/1 on a connection: heads in, bodies through.

mod body;
mod piped;
mod pump;

pub use body::Body;
pub(crate) use piped::Splicing;
pub(crate) use pump::Transform;
pub use pump::{Pump, PumpFault, Wire};
