//! The typed configuration: what [`load`](crate::load) returns and `assemble` turns into live objects.
//!
//! - A field is `Option` when nothing was written; the default is then told by the accessor or the doc comment,
//!   with the section of HAProxy's configuration manual it comes from.
//! - Everything a message may have to point at is [`Spanned`]; [`Config::place`] is not needed for that, the
//!   [`Sources`](crate::Sources) turn a span into `file:line`.
//! - `defaults` are already applied: [`Proxy::settings`] of a frontend or backend is complete. Only the rules of a
//!   named `defaults` section stay there, because they are evaluated with the ACLs of that section:
//!   see [`Config::rules`].
//! - Rules, ACLs and conditions are kept as the words that were written ([`RuleLine`], [`AclLine`],
//!   [`Condition`]); `proxy-rules` compiles them.

mod acme;
mod balance;
mod bind;
mod cache;
mod check;
mod fcgi;
mod filter;
mod global;
mod l4;
mod log;
mod log_forward;
mod mail;
mod option;
mod peers;
mod persist;
mod proxy;
mod rare;
mod resolvers;
mod ring;
mod rule;
mod scope;
mod server;
mod stats;
mod stick;
mod threads;
mod timeout;
mod tls;
mod traces;
mod users;

pub use acme::{Acme, AcmeCert, AcmeChallenge, AcmeCurve, AcmeKeyType, AcmeMac, AcmeReady};
pub use balance::{Affinity, Balance, HashFunction, HashKey, HashType};
pub use bind::{Bind, CliLevel, SeverityOutput, Shards, UnixAccess};
pub use cache::{Cache, EarlyHints};
pub use check::{CheckLine, CheckOption, Checks, HealthCheck, MySqlForm, MySqlUser, Protocol};
pub use fcgi::{FcgiApp, FcgiHeader, FcgiParam};
pub use filter::{
    Bandwidth, Compression, CompressionAlgorithm, CompressionDirection, FilterKind, FilterLine,
    Filters, Trace,
};
pub use global::{
    CloseSpread, DefaultPath, Global, HttpClient, MasterWorker, SetVar, StatsGlobal, Tune, TuneH2,
    TuneH2Side, VarSizes,
};
pub use l4::{L4Answer, L4Hook, L4Mode, L4Policy};
pub use log::{
    Facility, LogDestination, LogEntry, LogFormat, LogLevel, LogProfile, LogProto, LogSample,
    LogStep, LogTarget, ProfileStep,
};
pub use log_forward::{HostStrategy, LogForward};
pub use mail::{EmailAlert, Mailer, Mailers};
pub use option::{
    Except, Flag, FlagSet, ForwardFor, Forwarded, ForwardedPart, HTTP_FLAGS, HttpConnectionMode,
    HttpReuse, LogOption, Proto, Redispatch, RestrictNames, Sides,
};
pub use peers::{Peer, Peers};
pub use persist::{Cookie, CookieMode, PersistRdp, PersistRule, UseServer};
pub use proxy::{
    CaptureCookie, CaptureLine, DefaultsId, ErrorPage, ErrorSource, HttpErrors, NamedDefaultServer,
    OwnChecks, Proxy, ProxyKind, Settings, StateSource, TcpProbes,
};
pub use rare::Rare;
pub use resolvers::{
    AcceptFamily, AddressFamily, Nameserver, NameserverLine, Resolvers, ResolversHold, ServerNames,
};
pub use ring::Ring;
pub use rule::{AclLine, Condition, RuleLine, RuleSet, UseBackend};
pub use scope::Scope;
pub use server::{
    AgentOptions, InitAddr, InitState, Observe, OnError, OnMarkedDown, OnMarkedUp, ProbeOptions,
    Server, ServerOptions, SourceAddress, UseSource,
};
pub use stats::StatsPage;
pub use stick::{StickRule, StickTable, StoreWhen};
pub use threads::{
    CpuAffinity, CpuMap, CpuPlace, CpuPolicy, CpuStep, Cpus, Numbers, ThreadGroup, ThreadSet,
};
pub use timeout::Timeouts;
pub use tls::{
    BindTls, CertFiles, CertLine, CertLoad, CertSource, CrtStore, LoadExtra, OcspGlobal,
    ServerProxy, ServerTls, TlsGlobal, TlsSettings, TlsVerify, TlsVersion,
};
pub use traces::TraceLine;
pub use users::{Group, Password, User, Userlist};

use crate::Environment;

/// A whole configuration without errors.
#[derive(Clone, Debug, Default)]
pub struct Config {
    pub global: Global,
    /// `defaults` sections in the order of the sources.
    pub defaults: Vec<Proxy>,
    /// `frontend`, `backend` and `listen` sections in the order of the sources.
    pub proxies: Vec<Proxy>,
    /// `mailers` sections.
    pub mailers: Vec<Mailers>,
    /// `healthcheck` sections.
    pub healthchecks: Vec<HealthCheck>,
    pub caches: Vec<Cache>,
    /// `fcgi-app` sections.
    pub fcgi_apps: Vec<FcgiApp>,
    /// `acme` sections.
    pub acmes: Vec<Acme>,
    /// `crt-store` sections.
    pub crt_stores: Vec<CrtStore>,
    /// `log-profile` sections.
    pub log_profiles: Vec<LogProfile>,
    /// `ring` sections in the order of the sources.
    pub rings: Vec<Ring>,
    /// `log-forward` sections in the order of the sources.
    pub log_forwards: Vec<LogForward>,
    /// `resolvers` sections.
    pub resolvers: Vec<Resolvers>,
    /// `peers` sections in the order of the sources.
    pub peers: Vec<Peers>,
    /// The lines of `traces` sections, in order.
    pub traces: Vec<TraceLine>,
    /// `userlist` sections.
    pub userlists: Vec<Userlist>,
    /// `http-errors` sections in the order of the sources.
    pub http_errors: Vec<HttpErrors>,
    /// The environment after `setenv` and its kin.
    pub environment: Environment,
}

impl Config {
    /// The frontend, backend or listen section of this name.
    pub fn proxy(&self, name: &str) -> Option<&Proxy> {
        self.proxies.iter().find(|p| p.name.value == name)
    }

    /// Sections that accept connections: `frontend` and `listen`.
    pub fn frontends(&self) -> impl Iterator<Item = &Proxy> {
        self.proxies.iter().filter(|p| p.kind.is_frontend())
    }

    /// Sections that have servers: `backend` and `listen`.
    pub fn backends(&self) -> impl Iterator<Item = &Proxy> {
        self.proxies.iter().filter(|p| p.kind.is_backend())
    }

    /// The rules of one set in the order of evaluation, each with the section whose ACLs it sees: first those of
    /// the `defaults` section that the proxy uses, then its own.
    pub fn rules<'a>(
        &'a self,
        proxy: &'a Proxy,
        set: RuleSet,
    ) -> impl Iterator<Item = (Scope<'a>, &'a RuleLine)> {
        let inherited = proxy.defaults.and_then(|id| self.defaults.get(id.0));
        let of = move |section: &'a Proxy| {
            section.rules.iter().filter(move |r| r.set == set).map(move |r| (Scope(section), r))
        };
        inherited.into_iter().flat_map(of).chain(of(proxy))
    }

    /// Log targets of a proxy, those of `log global` put in place.
    pub fn log_targets<'a>(&'a self, proxy: &'a Proxy) -> impl Iterator<Item = &'a LogTarget> {
        self.targets(&proxy.settings.logs)
    }

    /// The targets of `log` lines.
    pub fn targets<'a>(&'a self, logs: &'a [LogEntry]) -> impl Iterator<Item = &'a LogTarget> {
        logs.iter().flat_map(|entry| {
            let (global, own) = match entry {
                LogEntry::Global { targets, .. } => {
                    (&self.global.logs[..self.global.logs.len().min(*targets)], None)
                }
                LogEntry::Target(target) => (&[][..], Some(target)),
            };
            global.iter().chain(own)
        })
    }
}
