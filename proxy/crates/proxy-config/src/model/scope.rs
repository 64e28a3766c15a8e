//! Which section's names a rule sees.

use super::Proxy;

/// The section whose ACLs a rule sees.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a>(pub &'a Proxy);
