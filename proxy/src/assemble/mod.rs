//! The one place where the configuration becomes live objects: names resolved, files opened, rules
//! compiled, specs filled.

pub(crate) mod addresses;
pub(crate) mod state;
