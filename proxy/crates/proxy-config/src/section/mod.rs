//! Sections: what opens one, and a table of keywords for each.

pub(crate) mod crt_store;
pub(crate) mod global;
pub(crate) mod other;
pub(crate) mod proxy;
pub(crate) mod tls;
pub(crate) mod userlist;
