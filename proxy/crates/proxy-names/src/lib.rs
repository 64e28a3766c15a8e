//! Host names that are resolved while the worker runs (configuration manual, 5.3): the nameservers of `resolvers`
//! sections are asked periodically, and what they say reaches the servers of the registry.
//!
//! ```text
//! question (a name, what is wanted) ─▶ lookup (retries, query types) ─▶ exchange (UDP, TCP) ─▶ wire
//!     │                                                                                        │
//!     └──▶ records (what was seen, until it is obsolete) ─▶ choice ─▶ servers                ◀─┘
//! ```
//!
//! Everything runs on one thread, that of [`Names::start`]; other threads ask through [`Asker`].

mod ask;
mod choice;
mod counters;
mod exchange;
mod family;
mod lookup;
mod names;
mod question;
mod records;
mod servers;
mod spec;
pub mod wire;

pub use ask::{Ask, Asker};
pub use counters::{COUNTERS, Counters};
pub use family::{Accept, Family};
pub use names::{FqdnError, Names, NameserverView, Report, SectionView, Surroundings, asker};
pub use spec::{Hold, NamesSpec, NameserverSpec, SectionSpec, WatchSpec};
