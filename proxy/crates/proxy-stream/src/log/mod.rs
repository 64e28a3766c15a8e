//! What is remembered of a stream, and the line made of it.

pub mod emit;
mod line;
mod record;
mod refused;

use std::sync::Arc;

use proxy_rules::logformat::LogFormat;

pub(crate) use line::{View, write};
pub use record::Record;
pub(crate) use refused::{broken, write as refused};

/// Takes finished lines. Called on the thread of the stream, so it must not wait.
pub trait Sink: Send + Sync {
    /// `severity` is that of syslog, 0 (emerg) to 7 (debug). `line` has no line end.
    fn line(&self, severity: u8, line: &[u8]);
}

/// How a frontend logs its streams.
pub struct Log {
    /// `log-format`, `option httplog` ...
    pub format: LogFormat,
    /// `error-log-format`, for streams that failed before they reached a server.
    pub error_format: Option<LogFormat>,
    pub sink: Arc<dyn Sink>,
}
