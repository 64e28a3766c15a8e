//! `compression` and `filter` lines (configuration manual, 4.2 and 9).

use std::time::Duration;

use proxy_types::{Span, Spanned};

use crate::lexer::Word;

/// How payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionAlgorithm {
    /// Not at all, but sent as if it were.
    Identity,
    Gzip,
    /// With the header of zlib (RFC 1950).
    Deflate,
    /// Without it.
    RawDeflate,
}

/// What is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionDirection {
    Request,
    Response,
    Both,
}

/// What the `compression` lines of a section say; later ones add to earlier ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compression {
    /// The last of the lines.
    pub span: Span,
    /// `algo-req`: one.
    pub request_algorithm: Option<CompressionAlgorithm>,
    /// `algo` and `algo-res`, in the order of preference.
    pub response_algorithms: Vec<CompressionAlgorithm>,
    /// `type-req`: how the values of Content-Type may begin; none is any.
    pub request_types: Vec<String>,
    /// `type` and `type-res`.
    pub response_types: Vec<String>,
    /// `minsize-req`, in bytes; 0 by default.
    pub request_min: Option<Spanned<u32>>,
    /// `minsize-res`.
    pub response_min: Option<Spanned<u32>>,
    /// `offload`: servers do not learn that the client accepts compressed responses.
    pub offload: Option<Span>,
    /// `direction`: responses by default. What `filter comp-req` and `comp-res` say goes before it.
    pub direction: Option<Spanned<CompressionDirection>>,
}

/// `bwlim-in` and `bwlim-out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    pub name: Spanned<String>,
    /// What clients send is limited, rather than what they get.
    pub upload: bool,
    /// Bytes per period.
    pub limit: Spanned<u64>,
    /// `default-period`; a shared limit has that of its table.
    pub period: Option<Spanned<Duration>>,
    /// `key` and `table`: what streams share the limit by.
    pub shared: Option<(Word, Option<Spanned<String>>)>,
    /// `min-size`, in bytes.
    pub min_size: Option<Spanned<u32>>,
}

/// `trace`: tells on stderr what goes through, and may forward it in small parts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    pub name: Option<Spanned<String>>,
    /// `quiet`: nothing is told.
    pub quiet: bool,
    /// `random-forwarding`.
    pub random: bool,
    /// `max-fwd`, in bytes; 0 is no limit.
    pub most: u32,
    /// `hexdump`: payload is shown.
    pub hexdump: bool,
}

/// A filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterKind {
    CompressRequests,
    CompressResponses,
    /// `compression`: both of them, as `compression direction` says.
    Compress,
    /// `cache`: what fills the cache of this name.
    Cache(Spanned<String>),
    Bandwidth(Bandwidth),
    /// `fcgi-app`: requests go to an application by their servers, whatever filters there are.
    FcgiApp(Spanned<String>),
    Trace(Trace),
}

impl FilterKind {
    /// The name that `filter-sequence` knows it by.
    pub fn name(&self) -> &'static str {
        match self {
            Self::CompressRequests => "comp-req",
            Self::CompressResponses => "comp-res",
            Self::Compress => "compression",
            Self::Cache(_) => "cache",
            Self::Bandwidth(limit) if limit.upload => "bwlim-in",
            Self::Bandwidth(_) => "bwlim-out",
            Self::FcgiApp(_) => "fcgi-app",
            Self::Trace(_) => "trace",
        }
    }
}

/// A `filter` line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterLine {
    pub span: Span,
    pub kind: FilterKind,
}

/// The filters of a section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// `filter` lines, in order.
    pub lines: Vec<FilterLine>,
    /// `filter-sequence request`: names in the order of their turns; those that are left out have none.
    pub request_order: Option<Spanned<Vec<Spanned<String>>>>,
    /// `filter-sequence response`.
    pub response_order: Option<Spanned<Vec<Spanned<String>>>>,
}

impl Filters {
    /// Whether a filter has its turn on requests.
    pub fn on_requests(&self, kind: &FilterKind) -> bool {
        Self::takes_part(self.request_order.as_ref(), kind)
    }

    /// Whether a filter has its turn on responses.
    pub fn on_responses(&self, kind: &FilterKind) -> bool {
        Self::takes_part(self.response_order.as_ref(), kind)
    }

    /// The names of the filters that have their turn on responses, in order.
    pub fn response_names(&self) -> Vec<&str> {
        match &self.response_order {
            Some(order) => order.value.iter().map(|name| name.value.as_str()).collect(),
            None => self.lines.iter().map(|line| line.kind.name()).collect(),
        }
    }

    fn takes_part(order: Option<&Spanned<Vec<Spanned<String>>>>, kind: &FilterKind) -> bool {
        order.is_none_or(|order| order.value.iter().any(|name| name.value == kind.name()))
    }
}
