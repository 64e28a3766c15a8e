//! `default_backend` and `use_backend`: the backend must exist and speak the same.

use proxy_types::{Diagnostic, Mode, Span, text};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::context::Context;
use crate::model::{Config, LogDestination, Proxy, ProxyKind};
use crate::source::Sources;

pub(super) fn check(cx: &mut Context<'_>, sources: &Sources, config: &Config) {
    let mut by_name: FxHashMap<&str, &Proxy> = FxHashMap::default();
    for proxy in &config.proxies {
        by_name.entry(proxy.name.value.as_str()).or_insert(proxy);
    }
    let mut check = Check { cx, sources, config, by_name, used: FxHashSet::default() };
    for proxy in config.frontends() {
        if let Some(target) = &proxy.settings.default_backend {
            check.target(proxy, "default_backend", &target.value, target.span);
        }
        for rule in proxy.use_backends.iter().filter(|rule| !rule.is_dynamic()) {
            check.target(proxy, "use_backend", &rule.target.value, rule.target.span);
        }
    }
    let logs = config.frontends().chain(config.backends()).flat_map(|p| config.log_targets(p));
    let forwarded = config.log_forwards.iter().flat_map(|s| config.log_targets(&s.proxy));
    for target in logs.chain(forwarded).chain(&config.global.logs) {
        if let LogDestination::Backend(name) = &target.destination.value {
            check.used.insert(name);
        }
    }
    let dynamic = config.frontends().any(|p| p.use_backends.iter().any(|rule| rule.is_dynamic()));
    if dynamic {
        return;
    }
    for proxy in config.proxies.iter().filter(|p| p.kind == ProxyKind::Backend) {
        if !check.used.contains(proxy.name.value.as_str()) {
            let message = format!("{} is used by no frontend", proxy.label());
            check.cx.report(Diagnostic::diag(message).at(proxy.span));
        }
    }
}

struct Check<'a, 'c, 'x> {
    cx: &'c mut Context<'x>,
    sources: &'c Sources,
    config: &'a Config,
    by_name: FxHashMap<&'a str, &'a Proxy>,
    used: FxHashSet<&'a str>,
}

impl<'a> Check<'a, '_, '_> {
    fn target(&mut self, proxy: &Proxy, keyword: &str, name: &'a str, span: Span) {
        self.used.insert(name);
        let found = self.by_name.get(name).copied().filter(|target| target.kind.is_backend());
        let Some(target) = found else {
            let message =
                format!("Proxy '{}': unable to find required {keyword}: '{name}'", proxy.name);
            let mut same = self.config.proxies.iter().filter(|p| p.name.value == name);
            if same.any(|p| p.kind.is_backend()) {
                // It has the name of a frontend, which is reported where it stands.
                return;
            }
            let backends = self.by_name.values().filter(|p| p.kind.is_backend());
            let mut names: Vec<&str> = backends.map(|p| p.name.value.as_str()).collect();
            names.sort_unstable();
            let near = text::nearest(name, names);
            self.cx.report(Diagnostic::alert(message).at(span).did_you_mean(near));
            return;
        };
        let modes = (proxy.settings.mode(), target.settings.mode());
        // A TCP connection goes on in mode http when its backend is (4.2 "mode").
        if modes.0 == modes.1 || modes == (Mode::Tcp, Mode::Http) {
            return;
        }
        let message = format!(
            "{} {} ({}) tries to use incompatible {} {} ({}) as its {keyword} (see 'mode')",
            modes.0,
            proxy.label(),
            self.sources.place(proxy.span),
            modes.1,
            target.label(),
            self.sources.place(target.span),
        );
        let mut diagnostic = Diagnostic::alert(message).at(span);
        for p in [proxy, target] {
            diagnostic = match p.settings.mode {
                Some(mode) => diagnostic.label(mode.span, format!("mode of {}", p.label())),
                None => diagnostic.note(format!("{} has the default mode, tcp", p.label())),
            };
        }
        self.cx.report(diagnostic);
    }
}
