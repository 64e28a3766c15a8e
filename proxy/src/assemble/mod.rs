//! The one place where the configuration becomes live objects: names resolved, files opened, rules
//! compiled, specs filled.

pub(crate) mod addresses;
mod base;
mod checks;
mod engines;
mod fcgi;
mod log_forward;
pub(crate) mod logs;
pub(crate) mod mail;
pub(crate) mod metrics;
mod named;
pub(crate) mod names;
pub(crate) mod peers;
mod rules;
mod saved;
pub(crate) mod state;
pub(crate) mod stats;
pub(crate) mod stats_file;
pub(crate) mod tls;
mod traces;
pub(crate) mod transport;
pub(crate) mod workshop;

use std::collections::HashMap;
use std::sync::Arc;

use proxy_config::compile::GlobalVar;
use proxy_http::h1::Limits;
use proxy_rules::jwt::PublicKeys;
use proxy_rules::pattern::PatternLists;
use proxy_rules::vars::VarNames;
use proxy_state::Registry;
use proxy_stream::log::Sink;
use proxy_types::{DiagSink, Diagnostic, Diagnostics};

use proxy_stream::check::Methods;

use crate::args::Args;
use crate::loading::{self, Loaded};
use crate::paths::{self, Decision};
use crate::worker::desk::{self, Clerk, Desk};
use crate::worker::serve::Service;
use addresses::Resolver;
use logs::Logs;
use mail::MailSpec;
use state::Overrides;
use tls::Tls;

/// Everything a worker serves with.
pub(crate) struct Assembled {
    pub(crate) registry: Arc<Registry>,
    pub(crate) patterns: Arc<PatternLists>,
    /// The certificates of listeners and servers.
    pub(crate) certificates: Arc<proxy_tls::live::Store>,
    /// Certificates that are renewed, and where.
    pub(crate) acme: tls::acme::Plan,
    pub(crate) public_keys: Arc<PublicKeys>,
    pub(crate) var_names: Arc<VarNames>,
    /// Set when the worker starts, in order.
    pub(crate) global_vars: Vec<GlobalVar>,
    pub(crate) decisions: Vec<Decision>,
    /// The engine of each frontend, in the order of the registry.
    pub(crate) services: Vec<Service>,
    pub(crate) backends: engines::Backends,
    /// What health checks say, by backend.
    pub(crate) check_methods: Arc<Methods>,
    /// Who gets mail about the servers of which backends.
    pub(crate) mail: Vec<MailSpec>,
    /// `peers` sections that exchange something.
    pub(crate) peers: Vec<peers::Section>,
    /// Rings, and what carries log messages over connections.
    pub(crate) transport: transport::Assembled,
    /// Where traces may go.
    pub(crate) traces: proxy_stream::traces::Sinks,
    /// Where messages of the process go, beside standard error.
    pub(crate) process_log: Option<Arc<dyn Sink>>,
    /// Where changes of each backend's servers are told.
    pub(crate) backend_logs: HashMap<Arc<str>, Arc<dyn Sink>>,
    /// `tune.bufsize`.
    pub(crate) bufsize: usize,
    pub(crate) limits: Limits,
    pub(crate) glitches: [proxy_stream::env::Glitches; 2],
    /// `tune.h2.*`.
    pub(crate) h2: proxy_stream::mux::h2::Settings,
    pub(crate) compression: proxy_stream::compress::Settings,
    /// `h1-case-adjust`.
    pub(crate) spellings: engines::Spellings,
    /// `http-errors` sections.
    pub(crate) http_errors: engines::ErrorSections,
    /// What is resolved at run time.
    pub(crate) names: proxy_names::NamesSpec,
    pub(crate) overrides: Overrides,
    /// Where helper threads have the control thread do something, and who does it.
    pub(crate) desk: Desk,
    pub(crate) clerk: Clerk,
    pub(crate) warned: bool,
}

/// Builds the live objects. Binds nothing.
///
/// # Errors
/// Something in the configuration cannot be used here; it has been printed.
pub(crate) fn assemble(args: &Args, loaded: &Loaded) -> Result<Assembled, ()> {
    let (assembled, diagnostics) = build(args, loaded);
    loading::say(args, &diagnostics, &loaded.sources);
    assembled.ok_or(())
}

/// The addresses that servers begin with, by backend and server.
fn addresses_of(
    registry: Option<&Registry>,
) -> HashMap<Arc<str>, HashMap<Arc<str>, std::net::SocketAddr>> {
    let backends = registry.map(Registry::backends);
    let backends = backends.iter().flat_map(|list| list.iter());
    backends
        .map(|backend| {
            let servers = backend.servers();
            let known = servers.iter().filter(|server| !server.spec.unresolved);
            let known = known.filter_map(|s| Some((s.spec.name.clone(), s.spec.addr.inet()?)));
            (backend.name.clone(), known.collect())
        })
        .collect()
}

/// [`assemble`], with what is to be said instead of saying it.
pub(crate) fn build(args: &Args, loaded: &Loaded) -> (Option<Assembled>, Diagnostics) {
    let mut diagnostics = loaded.told.following();
    let saved = saved::SavedStates::read(&loaded.config, &mut diagnostics);
    let overrides = Overrides {
        resolver: Resolver { ipv4_only: args.ipv4_only },
        ignore_resolution: args.ignore_resolution,
        maxconn: args.maxconn,
        proxy_maxconn: args.proxy_maxconn,
        saved,
    };
    let base = base::Base::enter(&loaded.config, &loaded.sources, &mut diagnostics);
    let rules = rules::Rules {
        named: Default::default(),
        acls: Default::default(),
        sources: &loaded.sources,
        vars: Arc::default(),
        patterns: Arc::default(),
        keys: Arc::default(),
        counters: loaded.config.global.tune.stick_counters(),
    };
    let mut tls = Tls::new(&loaded.config, &rules, &mut diagnostics);
    let spec = state::registry(&loaded.config, &overrides, &mut tls, &mut diagnostics);
    let names = names::names(&loaded.config, &overrides, &mut diagnostics);
    let registry = match Registry::new(spec) {
        Ok(registry) => Some(registry),
        Err(error) => {
            diagnostics.push(Diagnostic::alert(error.to_string()));
            None
        }
    };
    if let Some(registry) = &registry {
        overrides.saved.apply(registry);
        stats_file::preload(&loaded.config, registry, &mut diagnostics);
    }
    let global_vars = rules.global_vars(&loaded.config, &mut diagnostics);
    let mut process_log = None;
    let mut backend_logs = HashMap::new();
    let check_methods = Arc::new(Methods::default());
    let (desk, clerk) = desk::open();
    let mut peers = Vec::new();
    let mut carried = None;
    let http_errors = engines::error_sections(&loaded.config, &mut diagnostics);
    let (services, backends) = registry
        .as_ref()
        .map(|registry| {
            let places = transport::Places::open(
                &loaded.config,
                registry,
                &rules,
                &overrides,
                &mut tls,
                &mut diagnostics,
            );
            let logs = Logs {
                config: &loaded.config,
                resolver: overrides.resolver,
                registry,
                places: &places,
            };
            process_log = logs.of_process(&mut diagnostics);
            peers = peers::sections(
                &loaded.config,
                registry,
                &overrides,
                &logs,
                &mut tls,
                &mut diagnostics,
            );
            for proxy in loaded.config.backends() {
                if let Some(backend) = registry.backend(&proxy.name.value) {
                    checks::methods(
                        &loaded.config,
                        proxy,
                        &backend,
                        &rules,
                        &check_methods,
                        &mut diagnostics,
                    );
                }
                if let Some(backend) = registry.backend(&proxy.name.value)
                    && let Some(sink) = logs.of_proxy(proxy, &mut diagnostics)
                {
                    backend_logs.insert(backend.name.clone(), sink);
                }
            }
            let forwards = log_forward::forwards(&logs, &mut tls, &mut diagnostics);
            let services = engines::services(
                &loaded.config,
                &rules,
                registry,
                &logs,
                &http_errors,
                &desk,
                &mut diagnostics,
            );
            carried = Some(places.close(forwards));
            services
        })
        .unwrap_or_default();
    let addresses = std::cell::OnceCell::new();
    let facts = paths::Facts {
        addresses: &|backend, server| {
            let known = addresses.get_or_init(|| addresses_of(registry.as_deref()));
            known.get(backend)?.get(server).copied()
        },
        compiled: &|frontend| {
            let mut fronts = services.iter().map(|service| service.front());
            fronts
                .find(|front| *front.frontend.name == *frontend)
                .map(|front| &front.tcp_connection)
        },
        changed: &|_| None,
        published: &|backend| backend.unpublished.is_none(),
    };
    let decisions = paths::decide(&loaded.config, facts);
    for decision in &decisions {
        if let (Some(span), Some(blocker)) = (decision.required, &decision.blocker) {
            diagnostics.push(
                Diagnostic::alert(format!(
                    "frontend '{}' cannot be carried by the kernel although 'l4 require' asks for it",
                    decision.frontend
                ))
                .at(span)
                .label(blocker.span, format!("{}: {}", blocker.directive, blocker.reason)),
            );
        }
    }
    if let Some(registry) = &registry {
        named::mark(&loaded.config, &rules, registry);
    }
    let transport = carried.unwrap_or_default();
    let traces = traces::sinks(&loaded.config, &transport.rings, &mut diagnostics);
    traces::begin(args, &loaded.config, &traces, &mut diagnostics);
    let mail = mail::routes(&loaded.config, overrides.resolver, &mut diagnostics);
    let acme = tls.acme(&mut diagnostics);
    let spellings = engines::spellings(&loaded.config, &mut diagnostics);
    drop(base);
    let Some(registry) = registry.filter(|_| !diagnostics.has_alert()) else {
        return (None, diagnostics);
    };
    let assembled = Assembled {
        registry,
        certificates: tls.live(),
        acme,
        patterns: rules.patterns,
        public_keys: rules.keys,
        global_vars,
        var_names: rules.vars,
        decisions,
        services,
        backends,
        check_methods,
        mail,
        peers,
        transport,
        traces,
        process_log,
        backend_logs,
        bufsize: loaded.config.global.tune.bufsize() as usize,
        limits: engines::limits(&loaded.config),
        glitches: engines::glitches(&loaded.config),
        h2: engines::h2(&loaded.config),
        compression: engines::compression(&loaded.config),
        spellings,
        http_errors,
        names,
        overrides,
        desk,
        clerk,
        warned: diagnostics.has_warning(),
    };
    (Some(assembled), diagnostics)
}
