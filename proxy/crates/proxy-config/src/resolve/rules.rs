//! ACLs, conditions and rules: compiled for their mistakes.

use proxy_rules::sample::Place;
use proxy_rules::sample::parse::Named;
use proxy_rules::vars::VarNames;
use proxy_types::{Diagnostic, Spanned, text};

use crate::compile::{BlankFiles, Compiler};
use crate::context::Context;
use crate::model::{Config, Proxy};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    let vars = VarNames::default();
    for proxy in config.defaults.iter().chain(&config.proxies) {
        let mut compiler = Compiler {
            vars: &vars,
            loader: &BlankFiles,
            diag: &mut cx.diagnostics,
            mode: proxy.settings.mode(),
            refs: Vec::new(),
        };
        section(&mut compiler, proxy);
        for named in std::mem::take(&mut compiler.refs) {
            reference(cx, config, proxy, &named);
        }
    }
}

fn section(compiler: &mut Compiler<'_>, proxy: &Proxy) {
    let mut acls = compiler.acls(proxy);
    for condition in proxy.use_backends.iter().filter_map(|rule| rule.condition.as_ref()) {
        compiler.condition(condition, Place::UseBackend, &mut acls);
    }
}

/// A section that an expression names must exist.
fn reference(cx: &mut Context<'_>, config: &Config, user: &Proxy, named: &Spanned<Named>) {
    let (kind, name, candidates): (&str, &str, Vec<&str>) = match &named.value {
        Named::Backend(name) => {
            ("backend", name, config.backends().map(|p| p.name.value.as_str()).collect())
        }
        Named::Frontend(name) => {
            ("frontend", name, config.frontends().map(|p| p.name.value.as_str()).collect())
        }
        Named::Server(backend, name) => {
            let owner = match backend {
                Some(backend) => config.proxy(backend),
                None => Some(user),
            };
            let servers = owner.map_or(&[][..], |p| &p.servers);
            ("server", name, servers.iter().map(|s| s.name.value.as_str()).collect())
        }
        Named::Table(name) => ("stick table", name, Vec::new()),
        Named::Userlist(name) => ("userlist", name, Vec::new()),
    };
    if !candidates.contains(&name) {
        let message = format!("unable to find {kind} '{name}' referenced by {}", user.label());
        let near = text::nearest(name, candidates);
        cx.report(Diagnostic::alert(message).at(named.span).did_you_mean(near));
    }
}
