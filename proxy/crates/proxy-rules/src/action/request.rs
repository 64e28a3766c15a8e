//! What rules ask of the stream that runs them.

use proxy_types::addr::Family;

use crate::vars::VarRef;

/// What is to be resolved, and where the address goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolve<'a> {
    /// The `resolvers` section.
    pub section: &'a str,
    pub name: &'a str,
    /// The family that is preferred, if any.
    pub prefer: Family,
    pub var: VarRef,
}

/// A service that rules may name.
#[derive(Debug, PartialEq, Eq)]
pub struct ServiceDef {
    pub name: &'static str,
    /// One line, third person.
    pub doc: &'static str,
}
