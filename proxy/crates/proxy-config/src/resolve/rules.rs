//! ACLs, conditions and rules: compiled for their mistakes.

use proxy_rules::jwt::PublicKeys;
use proxy_rules::logformat::Use;
use proxy_rules::pattern::PatternLists;
use proxy_rules::sample::Place;
use proxy_rules::sample::parse::Named;
use proxy_rules::vars::VarNames;
use proxy_types::{Diagnostic, Mode, Spanned, text};
use rustc_hash::FxHashSet;

use crate::compile::{AclTables, BlankFiles, CompiledProxy, Compiler};
use crate::context::Context;
use crate::model::{Config, ErrorSource, FilterKind, OwnChecks, Proxy, ProxyKind};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    let vars = VarNames::default();
    let patterns = PatternLists::default();
    let mut told = FxHashSet::default();
    let keys = PublicKeys::default();
    let tables = AclTables::default();
    let mut compiler = Compiler {
        section: "",
        vars: &vars,
        loader: &BlankFiles,
        patterns: &patterns,
        keys: &keys,
        files: &(),
        diag: &mut cx.diagnostics,
        mode: Mode::Http,
        in_frontend: false,
        listen: false,
        captures: Default::default(),
        acls: None,
        tables: &tables,
        counters: config.global.tune.stick_counters(),
        refs: Vec::new(),
    };
    compiler.global_vars(config);
    for section in &config.healthchecks {
        compiler.check_script(&section.checks, OwnChecks::default());
    }
    for app in &config.fcgi_apps {
        compiler.fcgi(app);
    }
    for proxy in config.defaults.iter().chain(&config.proxies) {
        let mut compiler = Compiler {
            vars: &vars,
            loader: &BlankFiles,
            patterns: &patterns,
            keys: &keys,
            files: &(),
            diag: &mut cx.diagnostics,
            mode: proxy.settings.mode(),
            in_frontend: false,
            listen: false,
            captures: Default::default(),
            acls: None,
            tables: &tables,
            counters: config.global.tune.stick_counters(),
            section: &proxy.name.value,
            refs: Vec::new(),
        };
        compiler.declare_captures(proxy);
        let in_frontend = proxy.kind != ProxyKind::Backend;
        compiler.rules(proxy, in_frontend, &mut CompiledProxy::default());
        compiler.limiters(proxy);
        if proxy.kind.is_backend() {
            compiler.server_choice(proxy);
        }
        // What was inherited is told once.
        let format = proxy.settings.log_format.as_ref().map(|word| word.span);
        if proxy.kind.is_frontend() && format.is_some_and(|span| told.insert(span)) {
            compiler.log_format(proxy);
        }
        let checks = proxy.settings.checks.option.as_ref().map(|option| option.span);
        if proxy.own_checks != OwnChecks::default() || checks.is_some_and(|span| told.insert(span))
        {
            compiler.check_script(&proxy.settings.checks, proxy.own_checks);
        }
        for server in &proxy.servers {
            if let Some(text) = &server.options.tls.sni {
                compiler.expression(text, Place::ServerSource);
            }
        }
        let formats = [
            (&proxy.settings.error_log_format, Use::Log),
            (&proxy.settings.log_format_sd, Use::Log),
            (&proxy.settings.unique_id_format, Use::Http),
        ];
        for (format, purpose) in formats {
            let is_new = format.as_ref().is_some_and(|word| told.insert(word.span));
            if proxy.kind == ProxyKind::Backend && purpose == Use::Http && is_new {
                compiler.check_unique_id(proxy);
            } else if (proxy.kind.is_frontend() || purpose == Use::Http) && is_new {
                compiler.line_format(format.as_ref(), purpose);
            }
        }
        let key = proxy.settings.balance.as_ref().map(|balance| balance.span);
        if key.is_some_and(|span| told.insert(span)) {
            compiler.balance_key(proxy);
        }
        let forwarded = proxy.settings.forwarded.as_ref().filter(|_| proxy.kind.is_backend());
        for text in forwarded.into_iter().flat_map(|option| option.value.expressions()) {
            if told.insert(text.span) {
                compiler.expression(text, Place::BeHttpRequest);
            }
        }
        compiler.error_rules(proxy);
        let refs = std::mem::take(&mut compiler.refs);
        let pages = error_sections(proxy).filter(|_| proxy.kind != ProxyKind::Defaults);
        for named in refs.into_iter().chain(pages) {
            // Static targets of `use_backend` are checked with their mode.
            if !proxy.use_backends.iter().any(|rule| rule.target.span == named.span) {
                reference(cx, config, proxy, &named);
            }
        }
    }
}

/// The sections that `errorfiles` and `http-error` lines name, as references.
fn error_sections(proxy: &Proxy) -> impl Iterator<Item = Spanned<Named>> {
    proxy.settings.error_pages.iter().filter_map(|page| match &page.source {
        ErrorSource::Section(name) => {
            Some(Spanned::new(Named::HttpErrors(name.value.as_str().into()), name.span))
        }
        _ => None,
    })
}

/// A section that an expression names must exist.
fn reference(cx: &mut Context<'_>, config: &Config, user: &Proxy, named: &Spanned<Named>) {
    let tables;
    let (kind, name, candidates): (&str, &str, Vec<&str>) = match &named.value {
        Named::Backend(name) => {
            ("backend", name, config.backends().map(|p| p.name.value.as_str()).collect())
        }
        Named::Cache(name) => {
            ("cache", name, config.caches.iter().map(|c| c.name.value.as_str()).collect())
        }
        Named::Frontend(name) => {
            ("frontend", name, config.frontends().map(|p| p.name.value.as_str()).collect())
        }
        Named::HttpErrors(name) => {
            let sections = config.http_errors.iter();
            ("http-errors section", name, sections.map(|s| s.name.value.as_str()).collect())
        }
        Named::Limiter { name, own } => {
            let limits = || {
                user.filters.lines.iter().filter_map(|line| match &line.kind {
                    FilterKind::Bandwidth(limit) => Some(limit),
                    _ => None,
                })
            };
            let shared = limits().any(|limit| limit.name.value == **name && limit.shared.is_some());
            if *own && shared {
                let message = format!("'{name}' is shared: its limit and period cannot be changed");
                cx.report(Diagnostic::alert(message).at(named.span));
            }
            ("bandwidth limit", name, limits().map(|limit| limit.name.value.as_str()).collect())
        }
        Named::LogProfile(name) => {
            let sections = config.log_profiles.iter();
            ("log-profile section", name, sections.map(|p| p.name.value.as_str()).collect())
        }
        Named::Resolvers(name) => {
            let sections = config.resolvers.iter().map(|r| r.name.value.as_str());
            // It always exists (5.3.2).
            ("resolvers section", name, sections.chain(["default"]).collect())
        }
        Named::Server(backend, name) => {
            let owner = match backend {
                Some(backend) => config.proxy(backend),
                None => Some(user),
            };
            let servers = owner.map_or(&[][..], |p| &p.servers);
            ("server", name, servers.iter().map(|s| s.name.value.as_str()).collect())
        }
        Named::Table(name) => {
            tables = super::peers::table_names(config);
            ("stick table", name, tables.iter().map(String::as_str).collect())
        }
        Named::TaskTimes => return,
        Named::Group { list, name } => {
            let found = config.userlists.iter().find(|known| known.name.value == **list);
            // A list that is not there has been reported.
            let Some(list) = found else { return };
            ("group", name, list.groups.iter().map(|group| group.name.value.as_str()).collect())
        }
        Named::Userlist(name) => {
            ("userlist", name, config.userlists.iter().map(|l| l.name.value.as_str()).collect())
        }
    };
    if !candidates.contains(&name) {
        let message = format!("unable to find {kind} '{name}' referenced by {}", user.label());
        let near = text::nearest(name, candidates);
        cx.report(Diagnostic::alert(message).at(named.span).did_you_mean(near));
    }
}
