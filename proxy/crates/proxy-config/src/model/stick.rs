//! `stick-table` and `stick` lines (configuration manual, 11.1 and 4.2).

use std::time::Duration;

use proxy_state::stick::{KeyType, ServerKey, Store};
use proxy_types::{Span, Spanned};

use super::Condition;
use crate::lexer::Word;

/// A stick table. Its name is that of its section.
#[derive(Clone, Debug)]
pub struct StickTable {
    pub span: Span,
    pub key: KeyType,
    pub size: Spanned<u64>,
    /// `None` never expires.
    pub expire: Option<Duration>,
    pub nopurge: bool,
    pub server_key: ServerKey,
    pub stores: Vec<Store>,
    pub brates_factor: u32,
    /// The section whose peers share it.
    pub peers: Option<Spanned<String>>,
    /// `conn_cur` is learned, too.
    pub recv_only: bool,
    /// The table that gets tags and servers of what peers tell.
    pub write_to: Option<Spanned<String>>,
}

/// `stick on|match|store-request|store-response`.
#[derive(Clone, Debug)]
pub struct StickRule {
    pub span: Span,
    /// Sends the request to the server that the entry names.
    pub matches: bool,
    pub store: Option<StoreWhen>,
    pub pattern: Word,
    /// The table of the section when none is named.
    pub table: Option<Word>,
    pub condition: Option<Condition>,
}

/// When a rule takes the key that the server is stored under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreWhen {
    Request,
    Response,
}
