//! What `resolvers` sections and the words of `server` lines ask for.

use crate::{Accept, Family};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::time::Duration;

/// Everything about names, from the configuration.
#[derive(Clone, Debug, Default)]
pub struct NamesSpec {
    pub sections: Vec<SectionSpec>,
    /// Servers whose address comes from a section's nameservers.
    pub watches: Vec<WatchSpec>,
    /// `dns-accept-family`.
    pub accept: Accept,
}

/// A `resolvers` section (configuration manual, 5.3.2).
#[derive(Clone, Debug)]
pub struct SectionSpec {
    pub name: String,
    pub nameservers: Vec<NameserverSpec>,
    /// `accepted_payload_size`: the largest reply over UDP in bytes; 512 by default.
    pub payload: u16,
    /// `resolve_retries`: times that the queries for a name are sent before an error counts; 3 by default.
    pub retries: u32,
    /// `timeout resolve`: between two resolutions of a name; 1 s by default.
    pub resolve: Duration,
    /// `timeout retry`: for replies to a query; 1 s by default.
    pub retry: Duration,
    pub hold: Hold,
}

impl SectionSpec {
    /// A section with HAProxy's defaults and without nameservers.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            nameservers: Vec::new(),
            payload: 512,
            retries: 3,
            resolve: Duration::from_secs(1),
            retry: Duration::from_secs(1),
            hold: Hold::default(),
        }
    }
}

/// `hold`: how far back a valid reply makes up for an error of its kind.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    pub nx: Duration,
    pub other: Duration,
    pub refused: Duration,
    pub timeout: Duration,
    /// How long a record is kept that replies have no more; 0 by default.
    pub obsolete: Duration,
    /// How long `do-resolve` reuses a reply; 10 s by default.
    pub valid: Duration,
}

impl Default for Hold {
    fn default() -> Self {
        let long = Duration::from_secs(30);
        Self {
            nx: long,
            other: long,
            refused: long,
            timeout: long,
            obsolete: Duration::ZERO,
            valid: Duration::from_secs(10),
        }
    }
}

/// A `nameserver` line.
#[derive(Clone, Debug)]
pub struct NameserverSpec {
    pub name: String,
    pub addr: SocketAddr,
    /// Asked over TCP from the start.
    pub stream: bool,
    /// `maxconn`: TCP connections at once; 0 is no limit.
    pub maxconn: u32,
}

/// A server with `resolvers`.
#[derive(Clone, Debug)]
pub struct WatchSpec {
    pub backend: String,
    pub server: String,
    /// Name of the section.
    pub section: String,
    /// `resolve-prefer`.
    pub prefer: Family,
    /// `resolve-net`: networks whose addresses come first.
    pub nets: Vec<IpNet>,
    /// `resolve-opts allow-dup-ip`.
    pub duplicates: bool,
    /// `resolve-opts ignore-weight`.
    pub ignore_weight: bool,
}
