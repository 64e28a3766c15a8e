//! Which path each frontend takes, and the directive that keeps it off a faster one.
//!
//! The decision is a pure function of the configuration and of the addresses that names resolved to;
//! whether the kernel path is there at all is known only when it is opened, see [`Decision::blocker`]
//! against [`crate::worker::l4`].

mod blocker;
mod facts;
mod report;
mod rules;

use std::time::Duration;

use proxy_config::Sources;
use proxy_config::model::{Config, L4Mode, L4Policy, Proxy, RuleSet as ConfigRuleSet};
use proxy_datapath as l4;
use proxy_types::{Mode, Span};

pub(crate) use blocker::Blocker;
pub(crate) use facts::{Facts, ServerAddress};
pub(crate) use report::{Row, json, table};
pub(crate) use rules::DENY;

/// Who carries the bytes of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    /// The kernel programs.
    L4,
    /// The worker, with splice(2).
    Splice,
    /// The HTTP engine, or the relay of datagrams.
    Userspace,
}

impl Path {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::L4 => "l4",
            Self::Splice => "splice",
            Self::Userspace => "userspace",
        }
    }
}

/// The path of one frontend.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub(crate) frontend: String,
    pub(crate) path: Path,
    /// `None` for a frontend the kernel carries.
    pub(crate) blocker: Option<Blocker>,
    /// `l4 require`: it is an error when the kernel does not carry it.
    pub(crate) required: Option<Span>,
    /// Words that have no effect when the kernel does not carry it, which is said.
    pub(crate) kernel_words: Vec<&'static str>,
    /// What the kernel is asked to do, for [`Path::L4`].
    pub(crate) service: Option<l4::ServiceSpec>,
    /// What the kernel is to do in front of userspace, for `l4-deny` on any other path.
    pub(crate) guard: Option<l4::ServiceSpec>,
    /// The kernel asks `tcp-request connection` rules first: they look at the client's address only.
    pub(crate) asks_sources: bool,
    /// Listeners of the frontend that stay in userspace although the frontend qualifies.
    pub(crate) left_out: Vec<String>,
}

/// Decides for every frontend that is not disabled, in the order of the configuration.
pub(crate) fn decide<'a>(config: &'a Config, facts: Facts<'a>) -> Vec<Decision> {
    config
        .frontends()
        .filter(|proxy| !proxy.settings.is_disabled())
        .map(|proxy| decide_one(config, proxy, facts))
        .collect()
}

/// Decides for one frontend.
pub(crate) fn decide_one<'a>(config: &'a Config, proxy: &'a Proxy, facts: Facts<'a>) -> Decision {
    let mode = proxy.settings.mode();
    let policy = proxy.settings.l4.or(config.global.l4);
    let mut decision = Decision {
        frontend: proxy.name.value.clone(),
        path: if mode == Mode::Tcp { Path::Splice } else { Path::Userspace },
        blocker: None,
        required: policy.filter(|p| p.value == L4Policy::Require).map(|p| p.span),
        kernel_words: rules::kernel_words(proxy),
        service: None,
        guard: None,
        asks_sources: config.rules(proxy, ConfigRuleSet::TcpRequestConnection).next().is_some(),
        left_out: Vec::new(),
    };
    let service = rules::service_backend(config, proxy, facts).and_then(|backend| {
        service(config, proxy, backend, facts.addresses, &mut decision.left_out)
    });
    match service {
        Err(blocker) => {
            decision.blocker = Some(blocker);
            decision.guard = guard(proxy, policy.map(|policy| policy.value));
        }
        Ok(service) => (decision.path, decision.service) = (Path::L4, Some(service)),
    }
    decision
}

/// What the kernel does for a frontend that it does not carry: clients that rules rejected stay out.
fn guard(proxy: &Proxy, policy: Option<L4Policy>) -> Option<l4::ServiceSpec> {
    proxy.settings.l4_deny?;
    let vips = rules::guarded(proxy);
    if policy == Some(L4Policy::Off) || vips.is_empty() {
        return None;
    }
    Some(l4::ServiceSpec {
        name: proxy.name.value.clone(),
        frontend: proxy.name.value.clone(),
        backend: String::new(),
        vips,
        protocol: l4::Protocol::Tcp,
        mode: l4::Mode::Guard,
        policy: l4::Policy::RoundRobin,
        maxconn: 0,
        client_idle: Duration::ZERO,
        server_idle: Duration::ZERO,
        connect: Duration::ZERO,
        retries: 0,
        responses: 0,
        rate: 0,
        source_rate: None,
        no_server: l4::Answer::Userspace,
        rejects: rules::rejects(proxy),
        pick_up: false,
        denies: true,
        sources: None,
        log: false,
        servers: Vec::new(),
        all_backups: false,
    })
}

/// Builds what the kernel is asked to do.
fn service(
    config: &Config,
    proxy: &Proxy,
    backend: &Proxy,
    addresses: ServerAddress<'_>,
    left_out: &mut Vec<String>,
) -> Result<l4::ServiceSpec, Blocker> {
    let mut servers = Vec::with_capacity(backend.servers.len());
    for server in &backend.servers {
        // A server without an address starts in maintenance; it joins when it gets one.
        let Some(address) = addresses(&backend.name.value, &server.name.value) else { continue };
        let options = &server.options;
        let source = options.source.as_ref().or(backend.settings.source.as_ref());
        servers.push(l4::ServerSpec {
            name: server.name.value.clone(),
            addr: address,
            weight: options.weight(),
            usable: if options.is_disabled() { l4::Usable::Down } else { l4::Usable::Up },
            backup: options.is_backup(),
            maxconn: options.maxconn.map_or(0, |maxconn| maxconn.value),
            source: source.and_then(|source| rules::source_ip(&source.value)),
        });
    }
    let Some(first) = servers.first() else {
        return Err(Blocker {
            directive: format!("{} '{}'", backend.kind.as_str(), backend.name.value),
            reason: "no server of it has an address",
            span: backend.span,
        });
    };
    let policy = rules::policy(backend)?;
    let v4 = first.addr.is_ipv4();
    if let Some(other) = servers.iter().find(|server| server.addr.is_ipv4() != v4) {
        let span = backend.servers.iter().find(|s| s.name.value == other.name).map(|s| s.span);
        return Err(Blocker {
            directive: format!("server {}", other.name),
            reason: "servers of both address families cannot share a kernel service",
            span: span.unwrap_or(backend.span),
        });
    }
    let vips = rules::vips(proxy, v4, left_out)?;
    let mode = match proxy.settings.l4_mode.or(config.global.l4_mode).map(|mode| mode.value) {
        Some(L4Mode::Nat) => l4::Mode::Nat,
        Some(L4Mode::Dsr) => l4::Mode::Direct,
        Some(L4Mode::IpIp) => l4::Mode::Tunnel,
        Some(L4Mode::FullNat) | None => l4::Mode::FullNat,
    };
    let pick_up = rules::picks_up(proxy, policy, mode)?;
    let [connect, client_idle, server_idle] = rules::limits(proxy, backend);
    Ok(l4::ServiceSpec {
        name: proxy.name.value.clone(),
        frontend: proxy.name.value.clone(),
        backend: backend.name.value.clone(),
        vips,
        protocol: match proxy.settings.mode() {
            Mode::Udp => l4::Protocol::Udp,
            Mode::Http | Mode::Log | Mode::Tcp => l4::Protocol::Tcp,
        },
        mode,
        policy,
        maxconn: proxy.settings.maxconn.map_or(0, |maxconn| maxconn.value),
        client_idle,
        server_idle,
        connect,
        retries: u8::try_from(backend.settings.retries()).unwrap_or(u8::MAX),
        responses: proxy.settings.udp_responses.map_or(0, |number| number.value),
        rate: proxy.settings.rate_limit_sessions.map_or(0, |rate| rate.value),
        source_rate: proxy.settings.l4_source_rate.map(|rate| rate.value),
        no_server: proxy
            .settings
            .l4_no_server
            .map_or(l4::Answer::Userspace, |answer| rules::answer(answer.value)),
        rejects: rules::rejects(proxy),
        pick_up,
        denies: proxy.settings.l4_deny.is_some(),
        // Filled in by the worker, which can evaluate them.
        sources: None,
        log: config.log_targets(proxy).next().is_some(),
        servers,
        all_backups: backend.settings.flags.is_on(proxy_config::model::Flag::AllBackups),
    })
}

impl Decision {
    /// What the kernel is asked to do, for whichever path.
    pub(crate) fn kernel_service(&self) -> Option<&l4::ServiceSpec> {
        self.service.as_ref().or(self.guard.as_ref())
    }

    /// One sentence: why this path.
    pub(crate) fn why(&self, sources: &Sources) -> String {
        match (&self.blocker, &self.service) {
            (Some(blocker), _) if blocker.span.is_none() => {
                format!("{}: {}", blocker.directive, blocker.reason)
            }
            (Some(blocker), _) => format!(
                "{} ({}): {}",
                blocker.directive,
                sources.place(blocker.span),
                blocker.reason
            ),
            (None, Some(service)) => {
                let inspected = if self.asks_sources {
                    "rules about addresses only"
                } else {
                    "nothing to inspect"
                };
                let mut why = format!(
                    "mode {}, {inspected}, backend {} with {} server{}",
                    service.protocol.name(),
                    service.backend,
                    service.servers.len(),
                    if service.servers.len() == 1 { "" } else { "s" }
                );
                if !self.left_out.is_empty() {
                    why.push_str(&format!("; in userspace: {}", self.left_out.join(", ")));
                }
                why
            }
            (None, None) => String::new(),
        }
    }
}
