//! Statistics: columns of `show stat`, fields of `show info`, and the forms both are written in.

pub mod columns;
pub mod csv;
pub mod info;
pub mod json;
pub mod nameservers;
pub mod object;
pub mod schema;
pub mod typed;

pub use object::{Kind, Object, Scope};

use std::borrow::Cow;
use std::fmt;

/// A value in its statistics type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The column does not apply to the object.
    None,
    U32(u32),
    U64(u64),
    S32(i32),
    Str(Cow<'static, str>),
}

impl Value {
    /// Name of the type in the typed and JSON forms.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::None | Self::Str(_) => "str",
            Self::U32(_) => "u32",
            Self::U64(_) => "u64",
            Self::S32(_) => "s32",
        }
    }

    /// A number cut to 32 bits at its highest value, for gauges and rates.
    pub fn u32(n: u64) -> Self {
        Self::U32(u32::try_from(n).unwrap_or(u32::MAX))
    }

    pub fn str(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Str(text.into())
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Self {
        Self::U32(n)
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::U64(n)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Str(text.into())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::U32(n) => n.fmt(f),
            Self::U64(n) => n.fmt(f),
            Self::S32(n) => n.fmt(f),
            Self::Str(text) => f.write_str(text),
        }
    }
}

/// Origin, nature, scope and persistence of a value, four letters of the management manual, 9.2.
pub type Tags = &'static str;

/// The words behind the letters of [`Tags`], for JSON.
pub(crate) fn tag_words(tags: Tags) -> [&'static str; 4] {
    let mut letters = tags.bytes();
    let mut next = || letters.next().unwrap_or(b'?');
    let origin = match next() {
        b'M' => "Metric",
        b'S' => "Status",
        b'K' => "Key",
        b'C' => "Config",
        b'P' => "Product",
        _ => "?",
    };
    let nature = match next() {
        b'A' => "Age",
        b'a' => "Avg",
        b'C' => "Counter",
        b'D' => "Duration",
        b'G' => "Gauge",
        b'L' => "Limit",
        b'M' => "Max",
        b'm' => "Min",
        b'N' => "Name",
        b'O' => "Output",
        b'R' => "Rate",
        b'T' => "Time",
        _ => "?",
    };
    let scope = match next() {
        b'C' => "Cluster",
        b'P' => "Process",
        b'S' => "Service",
        b's' => "System",
        _ => "?",
    };
    let persistence = match next() {
        b'V' => "Volatile",
        b'P' => "Persistent",
        _ => "?",
    };
    [origin, nature, scope, persistence]
}
