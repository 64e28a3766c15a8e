//! Internal services that answer in a server's place: the statistics page, the metrics.

use std::sync::Arc;

use proxy_rules::acl::Condition;
use proxy_rules::ruleset::RuleSet;
use proxy_state::Now;

use crate::reply::Reply;

/// A service. It sees requests, not connections.
pub trait Service: Send + Sync {
    /// As log lines show it in a server's place, e.g. `STATS` for `<STATS>`.
    fn name(&self) -> &'static str;

    /// Makes the answer. Runs on a helper thread, so that it may take its time; it must end.
    fn answer(&self, request: &ServiceRequest, now: Now) -> Reply;
}

/// What a service sees of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRequest {
    pub method: Vec<u8>,
    /// Path and query.
    pub target: Vec<u8>,
    /// The value of `Authorization`, the first one.
    pub authorization: Option<Vec<u8>>,
    /// The client may change states: some `stats admin` condition holds.
    pub admin: bool,
    /// What came with POST; `None` with other methods.
    pub sent: Option<Sent>,
}

/// A body and what says where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// At most what a buffer holds.
    pub body: Vec<u8>,
    /// It is all there.
    pub whole: bool,
    pub host: Option<Vec<u8>>,
    /// `Origin`, or `Referer` where there is none.
    pub origin: Option<Vec<u8>>,
}

/// The statistics page of a frontend or backend.
pub struct Stats {
    /// `stats uri`: targets that begin with this get the page.
    pub uri: Box<[u8]>,
    /// `stats http-request`.
    pub rules: RuleSet,
    /// `stats admin`.
    pub admin: Vec<Condition>,
    pub service: Arc<dyn Service>,
}
