//! Limits of bandwidth: `filter bwlim-in` and `bwlim-out` (configuration manual, 9.7), and what `set-bandwidth-limit`
//! asks of them.

use std::sync::Arc;

use crate::sample::Expr;
use crate::sample::args::TableRef;

/// A limit that streams may be put under.
#[derive(Debug)]
pub struct Limiter {
    pub name: Box<str>,
    pub direction: Direction,
    /// Bytes that are sent on at a time, when so many are there.
    pub min_size: u32,
    pub kind: Kind,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What clients send.
    In,
    /// What clients get.
    Out,
}

/// Who shares a limit.
#[derive(Debug)]
pub enum Kind {
    /// Every stream has its own.
    Stream {
        /// Bytes per period.
        limit: u64,
        /// Milliseconds.
        period: u32,
    },
    /// All streams with the same entry of a stick table.
    Shared {
        /// Bytes over the period of the table's rate.
        limit: u64,
        key: Expr,
        table: TableRef,
    },
}

/// What a rule asks for: the limit called `name`, with a limit in bytes and a period in ms of its own, if it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: Arc<str>,
    pub limit: Option<u64>,
    pub period: Option<u32>,
}
