//! ACLs: named and anonymous tests, and the conditions made of them (configuration manual, 7.1, 7.2 and 7.4).

pub mod alias;
pub mod condition;
pub mod expr;
pub mod predefined;
pub mod table;

pub use condition::Condition;
pub use expr::AclExpr;
pub use table::{Acl, AclTable};

#[cfg(test)]
mod tests;

/// What a test says. The order makes `min` the conjunction and `max` the disjunction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    False,
    /// Data that may still come decides.
    NeedMore,
    True,
}

impl Verdict {
    /// The opposite; what is not known stays unknown.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::NeedMore => Self::NeedMore,
            Self::True => Self::False,
        }
    }
}
