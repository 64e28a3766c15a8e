//! Log formats: text with `%aliases` and `%[expressions]`, for log lines, header values, paths and bodies
//! (configuration manual, 8.2.6).

pub mod alias;
pub mod encode;
mod encoding;
pub mod facts;
pub mod formats;
mod parse;
mod render;

use crate::sample::Expr;

pub use alias::AliasDef;
pub use facts::{AnsweredBy, LogFacts, Origin, Termination, TimeoutChanges};

/// What the result is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Headers, paths, bodies, variables: what is empty gives nothing, controls are percent-encoded.
    Http,
    /// Log lines: what is empty shows as `-`, runs of spaces are one.
    Log,
}

/// `{+Q,+E,+X}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// Double quotes around strings.
    pub quote: bool,
    /// A backslash in front of `"`, `\` and `]`.
    pub escape: bool,
    /// Addresses, ports and some numbers in hexadecimal.
    pub hex: bool,
    /// How values are encoded.
    pub encoding: Encoding,
    /// Bytes are kept as they are; set for whole formats only.
    pub binary: bool,
}

/// `+json`, `+cbor`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    Cbor,
    Json,
    #[default]
    None,
}

/// What an encoded value is to be (`%(name:type)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemType {
    Bool,
    Sint,
    Str,
}

/// `%(name:type)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Label {
    name: Box<str>,
    ty: Option<ItemType>,
}

/// A compiled format.
#[derive(Debug)]
pub struct LogFormat {
    items: Box<[Item]>,
    purpose: Use,
    /// The named items make one object of it, and nothing else is written.
    object: Encoding,
    binary: bool,
    text: Box<str>,
}

#[derive(Debug)]
enum Item {
    Alias(&'static AliasDef, Flags, Label),
    Expr(Box<Expr>, Flags, Label),
    /// A run of spaces of a log line.
    Space,
    Text(Box<[u8]>),
}

impl LogFormat {
    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text, when the format says the same at every time.
    pub fn constant(&self) -> Option<&[u8]> {
        match &*self.items {
            [] => Some(b""),
            [Item::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether an alias or an expression with this name is used.
    pub fn mentions(&self, name: &str) -> bool {
        self.items.iter().any(|item| match item {
            Item::Alias(def, ..) => def.name == name,
            Item::Expr(expr, ..) => expr.fetch().name == name,
            Item::Space | Item::Text(_) => false,
        })
    }
}

#[cfg(test)]
mod tests;
