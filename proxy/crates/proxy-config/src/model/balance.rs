//! Choice of a server.

/// `balance` (configuration manual, 4.2 "balance"). The default is [`Balance::RoundRobin`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    LeastConn,
    #[default]
    RoundRobin,
    Source,
    StaticRr,
}

impl Balance {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeastConn => "leastconn",
            Self::RoundRobin => "roundrobin",
            Self::Source => "source",
            Self::StaticRr => "static-rr",
        }
    }
}

/// `hash-type` (4.2 "hash-type"): how `balance source` maps a hash to a server. The default is `map-based sdbm`
/// without avalanche.
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
