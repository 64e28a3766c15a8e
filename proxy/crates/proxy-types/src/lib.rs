//! Vocabulary shared by every part of Sluice: diagnostics, addresses, durations, sizes. No IO, no async.
//!
//! | module | holds |
//! |---|---|
//! | [`addr`] | the address forms of `bind`, `server`, `log`, `source` |
//! | [`diag`] | [`Diagnostic`], [`Span`], [`Spanned`] and the sinks that collect them |
//! | [`ids`] | newtypes for proxies, servers, listeners |
//! | [`mode`] | what a proxy speaks |
//! | [`size`] | `64k` |
//! | [`sockaddr`] | where a socket is bound or connects to |
//! | [`text`] | nearest known word |
//! | [`time`] | `5s` |
#![forbid(unsafe_code)]

pub mod addr;
pub mod diag;
pub mod ids;
pub mod mode;
pub mod size;
pub mod sockaddr;
pub mod text;
pub mod time;

pub use addr::{Address, Endpoint, Host, PortSpec, Transport};
pub use diag::{DiagSink, Diagnostic, Diagnostics, FileId, Label, Severity, Span, Spanned};
pub use ids::{ListenerId, ProxyId, ServerId};
pub use mode::Mode;
pub use sockaddr::SockAddr;
