//! Lists of patterns: what ACLs compare with and maps look up, from files and from the configuration, changed at run
//! time through the CLI and by rules (configuration manual, 2.7, 7.1 and 7.3.1 "map").
//!
//! ```text
//! PatternLists ── PatternList (entries by version) ── Matcher per way of comparing ── Index, Index ...
//! ```
//!
//! A look-up takes the current snapshot of a [`Matcher`] and locks nothing. A change builds a small index for what
//! was added and joins it with others of its size, so that a list may grow one by one without being indexed anew each
//! time; removed entries are marked and skipped. A commit builds all indices aside and swaps them in.

mod entry;
mod file;
mod index;
mod list;
mod matcher;
mod registry;

use crate::sample::Type;

pub use entry::Entry;
pub use file::pair;
pub use index::number::{Grammar, Operator, Word as NumberWord};
pub use list::{Hit, ListError, PatternList, Target};
pub use matcher::{Matcher, Output};
pub use registry::PatternLists;

/// How a value is compared with patterns (`-m`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    Beg,
    Bin,
    Bool,
    Dir,
    Dom,
    End,
    Found,
    Int,
    Ip,
    Len,
    Reg,
    Str,
    Sub,
}

impl Method {
    pub const ALL: [Self; 13] = [
        Self::Found,
        Self::Bool,
        Self::Int,
        Self::Ip,
        Self::Bin,
        Self::Len,
        Self::Str,
        Self::Beg,
        Self::Sub,
        Self::Dir,
        Self::Dom,
        Self::End,
        Self::Reg,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Beg => "beg",
            Self::Bin => "bin",
            Self::Bool => "bool",
            Self::Dir => "dir",
            Self::Dom => "dom",
            Self::End => "end",
            Self::Found => "found",
            Self::Int => "int",
            Self::Ip => "ip",
            Self::Len => "len",
            Self::Reg => "reg",
            Self::Str => "str",
            Self::Sub => "sub",
        }
    }

    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|m| m.name() == name)
    }

    /// What is used for values of type `ty` without `-m`.
    pub fn default_for(ty: Type) -> Option<Self> {
        match ty {
            Type::Addr | Type::Ipv4 | Type::Ipv6 => Some(Self::Ip),
            Type::Bool => Some(Self::Bool),
            Type::Meth | Type::Str => Some(Self::Str),
            Type::Sint => Some(Self::Int),
            Type::Any | Type::Bin | Type::Same => None,
        }
    }

    /// The type that values are turned into before they are compared; `None` when anything will do.
    pub fn takes(self) -> Option<Type> {
        match self {
            Self::Found => None,
            Self::Bool => Some(Type::Bool),
            Self::Int => Some(Type::Sint),
            Self::Ip => Some(Type::Addr),
            Self::Bin => Some(Type::Bin),
            Self::Beg
            | Self::Dir
            | Self::Dom
            | Self::End
            | Self::Len
            | Self::Reg
            | Self::Str
            | Self::Sub => Some(Type::Str),
        }
    }

    /// Whether HAProxy looks such patterns up in a tree or in a list, for the CLI.
    pub fn index_name(self, ignore_case: bool) -> &'static str {
        match self {
            Self::Ip => "tree",
            Self::Beg | Self::Str if !ignore_case => "tree",
            _ => "list",
        }
    }

    /// Whether patterns mean anything.
    pub fn has_patterns(self) -> bool {
        !matches!(self, Self::Bool | Self::Found)
    }
}
