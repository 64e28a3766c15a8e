//! Live objects that the request path reads and the control plane changes. No IO; time is a parameter.
//!
//! | module | holds |
//! |---|---|
//! | [`now`] | [`Now`], the monotonic milliseconds that every function here takes |
//! | [`thread`] | the small index of the running thread, which selects counter shards |
//! | [`counters`] | sharded counters, rates, gauges, averages and what each kind of object counts |
//! | [`timeouts`], [`options`] | settings of a proxy, typed |
//! | [`frontend`], [`listener`], [`backend`], [`server`] | the objects and the `*Spec` each is built from |
//! | [`lb`] | the balancing algorithms, one row each |
//! | [`cookie`] | the persistence cookie: settings, dates, values |
//! | [`queue`] | waiting for a slot of a full server |
//! | [`stick`] | stick tables: keys, counters, expiry |
//! | [`registry`] | every object of a worker, by name and id, and the hooks told of changes |
//!
//! Objects are built once from specs and then shared behind `Arc`. The request path reads them
//! without locks: settings that can change at run time are atomics or `ArcSwap`s, counters have one
//! writer per shard. Changes of server state are serialised by a lock per server and happen
//! on the control thread.
#![forbid(unsafe_code)]

pub mod backend;
pub mod cache;
pub mod cookie;
pub mod counters;
pub mod frontend;
pub mod invalid;
pub mod lb;
pub mod listener;
pub mod now;
pub mod options;
pub mod process;
pub mod queue;
pub mod registry;
pub mod server;
pub mod status;
pub mod stick;
pub mod thread;
pub mod timeouts;

pub use backend::{Backend, BackendSpec};
pub use frontend::{Frontend, FrontendSpec};
pub use lb::{ChooseInput, NoServer};
pub use listener::{Listener, ListenerSpec, Transport};
pub use now::{Epoch, Now};
pub use options::ProxyOptions;
pub use process::Process;
pub use proxy_types::SockAddr;
pub use registry::Registry;
pub use server::{Server, ServerSpec};
pub use timeouts::Timeouts;
