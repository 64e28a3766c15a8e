//! Live objects of what commands add to a running worker: the same words, read by the same functions, go the same way as those
//! of the configuration.

use std::rc::Rc;
use std::sync::Arc;

use proxy_config::model::{Config, InitAddr, Proxy, Server};
use proxy_rules::jwt::PublicKeys;
use proxy_rules::pattern::PatternLists;
use proxy_rules::vars::VarNames;
use proxy_state::{Registry, ServerSpec};
use proxy_stream::check::Method;
use proxy_stream::env::Back;
use proxy_stream::log::Sink;
use proxy_types::{Diagnostics, ServerId, Severity, Spanned};

use super::base::Base;
use super::engines::{self, ErrorSections};
use super::fcgi::Apps;
use super::logs::Logs;
use super::mail::MailSpec;
use super::rules::Rules;
use super::state::{self, Overrides};
use super::tls::Tls;
use super::transport::Carried;
use super::{checks, mail, named};
use crate::loading::Loaded;
use crate::worker::desk::Desk;

/// What live objects are made with.
pub(crate) struct Workshop {
    pub(crate) loaded: Rc<Loaded>,
    pub(crate) overrides: Overrides,
    pub(crate) var_names: Arc<VarNames>,
    pub(crate) patterns: Arc<PatternLists>,
    pub(crate) public_keys: Arc<PublicKeys>,
    pub(crate) certificates: Arc<proxy_tls::live::Store>,
    pub(crate) http_errors: ErrorSections,
    pub(crate) desk: Desk,
    /// Where log lines can go.
    pub(crate) carried: Carried,
}

/// A server that is to join its backend.
pub(crate) struct NewServer {
    pub(crate) spec: ServerSpec,
    /// How it is checked, when it says so itself.
    pub(crate) method: Option<Method>,
    /// How its backend is checked, when it is the first one that is.
    pub(crate) of_backend: Option<Method>,
}

/// A backend that rules can choose from here on.
pub(crate) struct NewBackend {
    pub(crate) back: Arc<Back>,
    pub(crate) method: Option<Method>,
    pub(crate) log: Option<Arc<dyn Sink>>,
    pub(crate) mail: Option<MailSpec>,
}

impl Workshop {
    fn config(&self) -> &Config {
        &self.loaded.config
    }

    fn rules(&self) -> Rules<'_> {
        Rules {
            sources: &self.loaded.sources,
            vars: self.var_names.clone(),
            patterns: self.patterns.clone(),
            keys: self.public_keys.clone(),
            counters: self.config().global.tune.stick_counters(),
            named: Default::default(),
            acls: Default::default(),
        }
    }

    /// Makes the specification of a server of `section`.
    ///
    /// # Errors
    /// Something that it names cannot be used.
    pub(crate) fn server(
        &self,
        section: &Proxy,
        server: &Server,
        id: ServerId,
        has_method: bool,
    ) -> Result<NewServer, String> {
        let (config, rules) = (self.config(), self.rules());
        let mut told = Diagnostics::new();
        let base = Base::enter(config, &self.loaded.sources, &mut told);
        let mut tls = Tls::running(config, &rules, self.certificates.clone());
        let mut server = server.clone();
        // No name is looked up while the worker serves (management manual, 9.3 "add server").
        server.options.init_addr = Some(Spanned::builtin(vec![InitAddr::None]));
        let name = &section.name.value;
        let settings = &section.settings;
        let mut spec = state::server(name, settings, &server, id, &self.overrides, &mut told);
        if let Some(check) = &mut spec.check {
            // What traffic begins with is not inherited (configuration manual, 5.2 "check").
            let probe = &server.options.probe;
            let check = Arc::make_mut(check);
            check.tls = probe.ssl.is_some_and(|on| on.value);
            check.send_proxy = probe.send_proxy.is_some_and(|on| on.value);
        }
        spec.transport = tls.exit(section, &server, &mut told);
        spec.check_tls = tls.check_client(section, &server, &spec, &mut told);
        spec.dynamic = true;
        spec.held = server.options.disabled.is_none();
        let method = checks::of_server(config, section, &server, &rules, &mut told);
        let checked = server.options.is_checked() && !has_method;
        let of_backend = if checked {
            checks::of_backend(config, section, &rules, true, &mut told)
        } else {
            None
        };
        drop(base);
        first_alert(&told).map_or(Ok(NewServer { spec, method, of_backend }), Err)
    }

    /// Makes a backend of a section that was not in the configuration. It is known to the registry from here on.
    ///
    /// # Errors
    /// There is one of this name, or something that it names cannot be used.
    pub(crate) fn backend(
        &self,
        section: &Proxy,
        registry: &Arc<Registry>,
    ) -> Result<NewBackend, String> {
        let (config, rules) = (self.config(), self.rules());
        let mut told = Diagnostics::new();
        let base = Base::enter(config, &self.loaded.sources, &mut told);
        let mut tls = Tls::running(config, &rules, self.certificates.clone());
        let id = registry.next_proxy_id();
        let mut spec = state::backend(section, id, &self.overrides, &mut tls, &mut told);
        if spec.fullconn == 0 {
            spec.fullconn = state::fullconn_at_run_time(config, registry);
        }
        let backend = registry.add_backend(spec).map_err(|error| format!("{error}."))?;
        let with = engines::Surroundings {
            config,
            rules: &rules,
            registry,
            sections: &self.http_errors,
            desk: &self.desk,
            // No `defaults` section names one.
            apps: &Apps::default(),
        };
        let back = engines::back(section, backend.clone(), &with, &mut told);
        let method = checks::of_backend(config, section, &rules, false, &mut told);
        let places = &self.carried;
        let logs = Logs { config, resolver: self.overrides.resolver, registry, places };
        let log = logs.of_proxy(section, &mut told);
        let mail = mail::route(config, section, self.overrides.resolver, &mut told);
        drop(base);
        if let Some(wrong) = first_alert(&told) {
            registry.remove_backend(&backend);
            return Err(wrong);
        }
        named::mark_words(&rules, registry);
        Ok(NewBackend { back: Arc::new(back), method, log, mail })
    }
}

fn first_alert(told: &Diagnostics) -> Option<String> {
    let alert = told.iter().find(|d| d.severity == Severity::Alert)?;
    Some(format!("{}.", alert.message))
}
