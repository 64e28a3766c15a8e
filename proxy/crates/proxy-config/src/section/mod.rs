//! Sections: what opens one, and a table of keywords for each.

pub(crate) mod acme;
pub(crate) mod cache;
mod cpus;
pub(crate) mod crt_store;
mod environment;
pub(crate) mod fcgi;
pub(crate) mod global;
mod global_row;
pub(crate) mod healthcheck;
pub(crate) mod log_forward;
pub(crate) mod log_profile;
pub(crate) mod mailers;
pub(crate) mod names;
pub(crate) mod other;
pub(crate) mod peers;
pub(crate) mod proxy;
pub(crate) mod resolvers;
pub(crate) mod ring;
mod security;
mod sluice;
pub(crate) mod tls;
pub(crate) mod traces;
mod tune;
pub(crate) mod userlist;
