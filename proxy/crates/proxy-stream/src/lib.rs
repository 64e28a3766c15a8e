//! From an accepted connection to its log line.
//!
//! ```text
//! session ── next_request ── stream::run ─┬─ request   rules, backend, head for the server
//!    │  ▲    (head, timeouts)             ├─ backend   queue, balancing, idle pool, connect, retries
//!    │  └───── keep-alive ────────────────┤  transfer  both directions at once, timeouts, early responses
//!    └ linger, close                      ├─ tunnel    after 101 or CONNECT; all there is in mode tcp
//!                                         └─ finish    counters, record, log line
//! ```
//!
//! # What a worker does with it
//! 1. Once: build an [`env::Env`], and a [`env::Front`] and [`env::Back`] per proxy, from the live
//!    objects of `proxy-state`.
//! 2. On each worker thread, inside its current-thread runtime with `spawn_local`: [`Thread::start`].
//! 3. For each accepted connection: `spawn_local(`[`serve`]`(thread, front, Box::new(stream), accepted))`.
//!    The call itself counts the connection, so that the accept loop sees the limit reached at once;
//!    the end of a session calls [`Slots::freed`](proxy_net::accept::Slots) of the environment.
//!    Those of a frontend in mode tcp go to [`serve_tcp`]; sockets of one in mode udp to [`udp::Relay`].
//! 4. To drain: `StopSource::drain` of the [`Stop`](proxy_net::stop::Stop) given to the threads. Idle client
//!    connections close at once, busy ones after their response, which says so; each session is a job.
//!
//! # What costs what
//! A task owns its client connection and, during an exchange, the server connection: no channel, no spawn,
//! no lock per request. What a request needs ([`RequestHead`](proxy_http::RequestHead), response head, pumps)
//! is one boxed exchange from a per-thread list; an idle connection holds none. Bytes pass through one scratch
//! buffer per thread ([`scratch`]); only what the other side does not take is copied. A timeout is a store
//! ([`proxy_net::timer`]).
#![forbid(unsafe_code)]

pub mod backend;
pub mod check;
pub mod compress;
pub mod env;
pub mod invalid;
pub mod io;
pub mod log;
pub mod mux;
pub mod peers;
pub mod reply;
pub mod scratch;
pub mod service;
mod session;
mod stopwatch;
mod stream;
pub mod term;
mod thread;
mod throttle;
pub mod trace;
pub mod traces;
pub mod transport;
pub mod udp;

pub use session::{serve, serve_tcp};
pub use thread::{StreamRow, Thread};
