//! Choice of a server.

use crate::lexer::Word;

/// `balance` (configuration manual, 4.2 "balance"). The default is [`Balance::RoundRobin`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    First,
    /// The expression to hash, as written.
    Hash(Word),
    Header {
        name: String,
        use_domain_only: bool,
    },
    LeastConn,
    /// The converters that make the key of a message, as written.
    LogHash(Word),
    Random {
        /// At least 1.
        draws: u32,
    },
    RdpCookie {
        name: String,
    },
    #[default]
    RoundRobin,
    Source,
    StaticRr,
    /// The server that has been available for longest.
    Sticky,
    Uri {
        len: Option<usize>,
        depth: Option<usize>,
        whole: bool,
        path_only: bool,
    },
    UrlParam {
        name: String,
    },
}

impl Balance {
    /// The name of the algorithm.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Hash(_) => "hash",
            Self::Header { .. } => "hdr",
            Self::LeastConn => "leastconn",
            Self::LogHash(_) => "log-hash",
            Self::Random { .. } => "random",
            Self::RdpCookie { .. } => "rdp-cookie",
            Self::RoundRobin => "roundrobin",
            Self::Source => "source",
            Self::StaticRr => "static-rr",
            Self::Sticky => "sticky",
            Self::Uri { .. } => "uri",
            Self::UrlParam { .. } => "url_param",
        }
    }

    /// Whether only backends in mode log have it.
    pub fn needs_log(&self) -> bool {
        matches!(self, Self::LogHash(_) | Self::Sticky)
    }

    /// Whether backends in mode log have it.
    pub fn fits_log(&self) -> bool {
        self.needs_log() || matches!(self, Self::Random { .. } | Self::RoundRobin)
    }

    /// Whether it looks at HTTP requests.
    pub fn needs_http(&self) -> bool {
        matches!(self, Self::Header { .. } | Self::Uri { .. } | Self::UrlParam { .. })
    }
}

/// `hash-type` (4.2 "hash-type"): how a hash maps to a server. The default is `map-based sdbm` without
/// avalanche.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashType {
    pub consistent: bool,
    pub function: HashFunction,
    pub avalanche: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashFunction {
    Crc32,
    Djb2,
    None,
    #[default]
    Sdbm,
    Wt6,
}

/// `hash-preserve-affinity` (4.2): when a hash gives its server up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    #[default]
    Always,
    MaxConn,
    MaxQueue,
}

/// `hash-key` (5.2): what a server's places on the ring come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashKey {
    Addr,
    AddrPort,
    Guid,
    #[default]
    Id,
    Id32,
}
