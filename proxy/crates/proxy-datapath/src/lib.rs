//! User side of the kernel data path: loads the programs of `proxy-ebpf`, keeps them pinned, fills
//! their tables and reads their counters. Everything here is synchronous and meant for the control
//! thread; no packet waits for it.
//!
//! ```text
//! ServiceSpec, NetFacts --plan::plan--> Plan --Datapath::apply--> maps
//! ```
//!
//! - [`plan`] is pure: what can be carried by the kernel, and how.
//! - [`Datapath::open`] finds or makes the pinned state of a network namespace and attaches.
//! - [`Datapath::apply`] and [`Datapath::set_server`] are the only writers of the tables.
//!
//! Programs, tables and connections live in the kernel on their own: a process that dies leaves
//! them at work, and the next one takes them over.

mod apply;
mod attach;
mod counters;
mod datapath;
pub mod decap;
mod denied;
mod flows;
mod instance;
#[cfg(test)]
mod kernel_tests;
mod load;
mod maps;
mod names;
pub mod net;
pub mod object;
pub mod plan;
mod programs;
mod ring;
mod sources;
mod spec;
mod status;
mod sys;
mod trace;
mod unavailable;
mod view;

pub use proxy_common::{EndReason, FlowStatus, Traffic};

pub use self::apply::{ApplyError, ApplyReport, LeftOut, NoRoom};
pub use self::attach::{AttachedHook, InterfaceReport};
pub use self::counters::{Counters, ServerCounters, ServiceCounters};
pub use self::datapath::{Datapath, OpenOptions, OpenReport};
pub use self::denied::Denied;
pub use self::flows::{EndFlows, EndedFlow, ExpireReport, Flow, FlowError};
pub use self::maps::Adoption;
pub use self::net::{Hook, NetFacts};
pub use self::sources::{Prefix, SourcePolicy, SourceRule, SourceVerdict, flatten};
pub use self::spec::{
    Answer, Mode, Policy, Protocol, ServerChange, ServerSpec, ServiceSpec, Usable,
};
pub use self::status::{InterfaceStatus, Status, TableStatus};
pub use self::sys::jiffy_ns;
pub use self::trace::{Sample, Trace};
pub use self::unavailable::Unavailable;
pub use self::view::View;
