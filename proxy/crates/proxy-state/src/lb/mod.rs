//! Balancing: which server takes the next session.
//!
//! Every algorithm is a row of [`ALGORITHMS`]. Its `build` function turns the eligible servers into a table that a pick only
//! reads; the table is replaced as a whole when a server changes state, weight or address. Picks of all
//! threads share one cursor, so round robin is strict over the whole process.

mod farm;
mod first;
mod hash;
pub mod key;
mod leastconn;
mod random;
mod sequence;
mod sticky;
#[cfg(test)]
mod tests;

pub use farm::{Balancer, Farm};
pub use hash::{HashFunction, HashMethod, HashSpec, avalanche, hash_addr};

use crate::{Now, Server};
use proxy_types::ServerId;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// `hash-preserve-affinity` (configuration manual, 4.2): when a hash gives its server up for the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Affinity {
    /// Never: what is hashed to a full server waits in its queue.
    #[default]
    Always,
    /// When it has its `maxconn` sessions.
    MaxConn,
    /// When its queue has `maxqueue` sessions, too.
    MaxQueue,
}

/// `balance` and `hash-type` of a backend.
#[derive(Clone, Debug)]
pub struct LbSpec {
    pub algorithm: &'static Algorithm,
    pub hash: HashSpec,
    pub affinity: Affinity,
    /// `hash-balance-factor`: most load of a server on a ring in percent of the average; 0 has no bound.
    pub balance_factor: u32,
    /// `random(<draws>)`, at least 1; HAProxy's default is 2.
    pub draws: u32,
    /// Weights are ignored, as in mode log.
    pub unweighted: bool,
}

impl Default for LbSpec {
    /// `roundrobin` once a `balance` line says so; HAProxy's default without one is `random(2)` since 3.3.
    fn default() -> Self {
        Self {
            algorithm: &ALGORITHMS[0],
            hash: HashSpec::default(),
            affinity: Affinity::Always,
            balance_factor: 0,
            draws: 2,
            unweighted: false,
        }
    }
}

impl LbSpec {
    /// Whether weights may change at run time.
    pub fn is_dynamic(&self) -> bool {
        match self.algorithm.weights {
            Weights::Dynamic => true,
            Weights::Static => false,
            Weights::ByHashMethod => self.hash.method == HashMethod::Consistent,
        }
    }
}

/// Whether an algorithm follows changes of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    Dynamic,
    /// Only configured weights count, and 0.
    Static,
    /// As `hash-type` says.
    ByHashMethod,
}

/// What an algorithm hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashes {
    Nothing,
    ClientAddress,
    /// The key handed in by the caller.
    Key,
}

/// A row of [`ALGORITHMS`].
pub struct Algorithm {
    /// Name in `balance`, and in the `algo` column.
    pub name: &'static str,
    pub doc: &'static str,
    pub weights: Weights,
    pub hashes: Hashes,
    build: fn(&LbSpec, &[Slot]) -> Box<dyn Pick>,
}

impl fmt::Debug for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

const fn hashed(name: &'static str, doc: &'static str, hashes: Hashes) -> Algorithm {
    Algorithm { name, doc, weights: Weights::ByHashMethod, hashes, build: hash::build }
}

/// Every algorithm of `balance` (configuration manual, 4.2).
pub static ALGORITHMS: &[Algorithm] = &[
    Algorithm {
        name: "roundrobin",
        doc: "each server in turn, by weight",
        weights: Weights::Dynamic,
        hashes: Hashes::Nothing,
        build: sequence::build,
    },
    Algorithm {
        name: "static-rr",
        doc: "each server in turn, by configured weight",
        weights: Weights::Static,
        hashes: Hashes::Nothing,
        build: sequence::build,
    },
    Algorithm {
        name: "leastconn",
        doc: "the server with the fewest sessions for its weight",
        weights: Weights::Dynamic,
        hashes: Hashes::Nothing,
        build: leastconn::build,
    },
    Algorithm {
        name: "first",
        doc: "the server with the lowest id that has a free slot",
        weights: Weights::Dynamic,
        hashes: Hashes::Nothing,
        build: first::build,
    },
    Algorithm {
        name: "random",
        doc: "the least loaded of some servers drawn at random by weight",
        weights: Weights::Dynamic,
        hashes: Hashes::Nothing,
        build: random::build,
    },
    hashed("source", "by the client's address", Hashes::ClientAddress),
    hashed("uri", "by the path or the whole URI", Hashes::Key),
    hashed("url_param", "by a parameter of the query string", Hashes::Key),
    hashed("hdr", "by a request header", Hashes::Key),
    hashed("rdp-cookie", "by a cookie of the RDP protocol", Hashes::Key),
    hashed("hash", "by an expression", Hashes::Key),
    hashed("log-hash", "by what converters make of a log message", Hashes::Key),
    Algorithm {
        name: STICKY,
        doc: "the server that has been available for longest",
        weights: Weights::Dynamic,
        hashes: Hashes::Nothing,
        build: sticky::build,
    },
];

const STICKY: &str = "sticky";

/// The row of an algorithm by its name in `balance`.
pub fn algorithm(name: &str) -> Option<&'static Algorithm> {
    ALGORITHMS.iter().find(|row| row.name == name)
}

/// What a pick may depend on.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChooseInput<'a> {
    /// Address of the client, for `source`.
    pub client: Option<IpAddr>,
    /// Hash key, for algorithms whose [`Algorithm::hashes`] is [`Hashes::Key`]; without one they go round robin.
    pub key: Option<&'a [u8]>,
    /// The server that just failed: taken only when there is no other.
    pub exclude: Option<ServerId>,
    /// Any 32 random bits, for `random`.
    pub random: u32,
    pub now: Now,
}

/// Why there is no server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoServer {
    /// No server is eligible: all are down, drained or in maintenance.
    #[error("no server is available")]
    NoneAvailable,
    /// Every eligible server is at its `maxconn`: the session waits in the backend's queue.
    #[error("every server is full")]
    AllFull,
}

/// An eligible server with its weight in the table.
struct Slot {
    server: Arc<Server>,
    /// In units of 1/[`WEIGHT_SCALE`](crate::server::WEIGHT_SCALE).
    weight: u32,
}

/// What a pick reads beside its table.
struct PickCtx<'a> {
    slots: &'a [Slot],
    cursor: &'a AtomicUsize,
    /// Hash of the key or address, when there is one.
    hash: Option<u32>,
    /// Position of the server to avoid.
    exclude: Option<usize>,
    random: u32,
    now: Now,
}

impl PickCtx<'_> {
    /// Whether the server at `index` may be taken: it has a free slot and is not the one to avoid.
    fn is_open(&self, index: usize) -> bool {
        self.exclude != Some(index) && !self.slots[index].server.is_full()
    }
}

/// A table built by an algorithm.
trait Pick: Send + Sync + fmt::Debug {
    /// Position of the server to take among `ctx.slots`; `None` when every one is full or to be avoided.
    fn pick(&self, ctx: &PickCtx<'_>) -> Option<usize>;
}
