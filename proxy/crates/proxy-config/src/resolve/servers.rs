//! Servers of each backend: unique names and numbers, checks that have a port to go to.

use proxy_types::{Diagnostic, PortSpec, Span};
use rustc_hash::FxHashMap;

use crate::context::Context;
use crate::model::{CheckLine, CheckOption, Config, Proxy, Server, ServerOptions};

pub(super) fn check(cx: &mut Context<'_>, config: &Config) {
    for proxy in config.backends() {
        mail(cx, config, proxy);
        unique(cx, proxy);
        for server in &proxy.servers {
            alone(cx, config, proxy, server);
            tracked(cx, config, proxy, server);
            resolvers(cx, config, proxy, server);
        }
        check_rules(cx, proxy);
    }
    for proxy in &config.proxies {
        states_of_http_checks(cx, proxy);
    }
}

/// What is to be said of a server whatever others there are.
pub(crate) fn alone(cx: &mut Context<'_>, config: &Config, proxy: &Proxy, server: &Server) {
    check_port(cx, proxy, server);
    agent_port(cx, proxy, server);
    via_socks4(cx, proxy, server);
    own_check(cx, config, proxy, server);
    initial(cx, proxy, server);
}

/// Rules of checks that the section has and does not use.
fn check_rules(cx: &mut Context<'_>, proxy: &Proxy) {
    let checks = &proxy.settings.checks;
    let option = checks.option.as_ref().map(|option| &option.value);
    let is_http = matches!(option, Some(CheckOption::Http { .. }));
    // What only sets how states are told is no rule.
    let rule = checks.http.iter().find(|line| !is_state(line));
    if let Some(line) = rule.filter(|_| proxy.own_checks.http && !is_http) {
        ignored(cx, proxy, "http-check", "httpchk", line.span);
    }
    let line = checks.tcp.first();
    if let Some(line) = line.filter(|_| proxy.own_checks.tcp && option != Some(&CheckOption::Tcp)) {
        ignored(cx, proxy, "tcp-check", "tcp-check", line.span);
    }
}

fn ignored(cx: &mut Context<'_>, proxy: &Proxy, keyword: &str, option: &str, span: Span) {
    let message = format!(
        "{} uses {keyword} rules without 'option {option}', so the rules are ignored.",
        proxy.label()
    );
    cx.report(Diagnostic::warning(message).at(span));
}

/// `http-check disable-on-404` and `send-state`.
fn is_state(line: &CheckLine) -> bool {
    line.words
        .first()
        .is_some_and(|word| matches!(word.value.as_str(), "disable-on-404" | "send-state"))
}

/// `disable-on-404` and `send-state` where checks are others than those of HTTP.
fn states_of_http_checks(cx: &mut Context<'_>, proxy: &Proxy) {
    let checks = &proxy.settings.checks;
    let Some(option) = &checks.option else { return };
    if proxy.kind.is_backend() && matches!(option.value, CheckOption::Http { .. }) {
        return;
    }
    for line in checks.http.iter().filter(|line| is_state(line)) {
        let message = format!(
            "'{}' will be ignored for {} (requires 'option httpchk').",
            line.words[0],
            proxy.label()
        );
        cx.report(Diagnostic::warning(message).at(line.span));
    }
}

/// Whether the rules of checks tell where to connect to: the first step does, and no other is without a port.
fn rules_have_ports(proxy: &Proxy) -> bool {
    let checks = &proxy.settings.checks;
    let lines = match checks.option.as_ref().map(|option| &option.value) {
        Some(CheckOption::Tcp) => &checks.tcp,
        Some(CheckOption::Http { .. }) => &checks.http,
        _ => return false,
    };
    let is = |line: &CheckLine, words: &[&str]| {
        line.words.first().is_some_and(|word| words.contains(&word.value.as_str()))
    };
    let mut steps = lines.iter().filter(|line| {
        !is(line, &["comment", "set-var", "set-var-fmt", "unset-var"]) && !is_state(line)
    });
    let has_port = |line: &CheckLine| line.words.iter().any(|word| word.value == "port");
    let first = steps.clone().next();
    // Without a rule that sends, the request of 'option httpchk' comes first.
    let sends = checks.tcp == *lines || lines.iter().any(|line| is(line, &["send"]));
    sends
        && first.is_some_and(|line| is(line, &["connect"]))
        && steps.all(|line| !is(line, &["connect"]) || has_port(line))
}

fn unique(cx: &mut Context<'_>, proxy: &Proxy) {
    let mut names: FxHashMap<&str, Span> = FxHashMap::default();
    for named in &proxy.settings.named_default_servers {
        names.insert(&named.name.value, named.name.span);
    }
    let mut ids: FxHashMap<u32, Span> = FxHashMap::default();
    for server in &proxy.servers {
        if let Some(before) = names.insert(&server.name.value, server.name.span) {
            let message = format!(
                "{}, another server named '{}' was already defined at line {}, please use distinct names",
                proxy.label(),
                server.name,
                before.line
            );
            cx.report(
                Diagnostic::alert(message).at(server.name.span).label(before, "first defined here"),
            );
        }
        if let Some(id) = server.id
            && let Some(before) = ids.insert(id.value, id.span)
        {
            let message = format!(
                "'server {}/{}' : 'id' : custom id {id} already used",
                proxy.name, server.name
            );
            cx.report(Diagnostic::alert(message).at(id.span).label(before, "first used here"));
        }
    }
}

/// A server that is tracked must have a state of its own to follow: checks, an agent, or a server that it tracks.
fn tracked(cx: &mut Context<'_>, config: &Config, proxy: &Proxy, server: &Server) {
    let Some(target) = &server.options.track else { return };
    let (owner, name) = match target.value.split_once('/') {
        Some((backend, name)) => (config.proxy(backend), name),
        None => (Some(proxy), target.value.as_str()),
    };
    let found = owner.and_then(|owner| owner.servers.iter().find(|s| s.name.value == name));
    if let (Some(owner), Some(found)) = (owner, found)
        && !has_state(&found.options)
    {
        let message = format!(
            "'server {}/{}' : unable to use {}/{name} for tracking as it does not have any check nor agent enabled.",
            proxy.name, server.name, owner.name
        );
        cx.report(Diagnostic::alert(message).at(target.span).label(found.span, "the server"));
    }
}

/// Whether anything but the administrator changes the state of the server.
fn has_state(options: &ServerOptions) -> bool {
    options.is_checked() || options.has_agent() || options.track.is_some()
}

/// The section that a server names has to exist.
fn own_check(cx: &mut Context<'_>, config: &Config, proxy: &Proxy, server: &Server) {
    let Some(name) = &server.options.healthcheck else { return };
    if !config.healthchecks.iter().any(|section| section.name.value == name.value) {
        let names = config.healthchecks.iter().map(|section| section.name.value.as_str());
        let near = proxy_types::text::nearest(&name.value, names).map(str::to_owned);
        let message = format!(
            "'server {}/{}' : unable to find healthcheck section '{name}'",
            proxy.name, server.name
        );
        let diagnostic = Diagnostic::alert(message).at(name.span);
        cx.report(diagnostic.did_you_mean(near.as_deref()));
    }
}

/// A server that tracks another has that one's state from the start.
fn initial(cx: &mut Context<'_>, proxy: &Proxy, server: &Server) {
    if let (Some(state), Some(track)) = (server.options.init_state, &server.options.track) {
        let message = format!(
            "'server {}/{}' : 'init-state' cannot be used with 'track'",
            proxy.name, server.name
        );
        cx.report(Diagnostic::alert(message).at(state.span).label(track.span, "it tracks here"));
    }
}

/// `email-alert` needs a section that is there, and both addresses.
fn mail(cx: &mut Context<'_>, config: &Config, proxy: &Proxy) {
    let alert = &proxy.settings.email_alert;
    if let Some(name) = &alert.mailers
        && !config.mailers.iter().any(|section| section.name.value == name.value)
    {
        let names = config.mailers.iter().map(|section| section.name.value.as_str());
        let near = proxy_types::text::nearest(&name.value, names).map(str::to_owned);
        let message = format!("{}: unable to find mailers '{name}'", proxy.label());
        let diagnostic = Diagnostic::alert(message).at(name.span);
        cx.report(diagnostic.did_you_mean(near.as_deref()));
    }
    let spans = [&alert.mailers, &alert.from, &alert.to, &alert.myhostname];
    let level = alert.level.as_ref().map(|level| level.span);
    let first = spans.iter().find_map(|word| Some(word.as_ref()?.span)).or(level);
    let complete = alert.mailers.is_some() && alert.from.is_some() && alert.to.is_some();
    if let Some(span) = first.filter(|_| !complete) {
        let message = format!(
            "{}: no mail is sent: 'email-alert' needs 'mailers', 'from' and 'to'",
            proxy.label()
        );
        cx.warn(span, message);
    }
}

/// Checks can take the way of a proxy only where there is one.
fn via_socks4(cx: &mut Context<'_>, proxy: &Proxy, server: &Server) {
    let options = &server.options;
    if let Some(via) = options.probe.socks4.filter(|via| via.value && options.socks4.is_none()) {
        let message = format!(
            "{}: server '{}' has 'check-via-socks4' but no 'socks4'",
            proxy.label(),
            server.name
        );
        let help = "add 'socks4 <addr>:<port>': where the proxy is";
        cx.report(Diagnostic::alert(message).at(via.span).help(help));
    }
}

/// An agent has no port but its own.
fn agent_port(cx: &mut Context<'_>, proxy: &Proxy, server: &Server) {
    let agent = &server.options.agent;
    let Some(check) = agent.check.filter(|check| check.value && agent.port.is_none()) else {
        return;
    };
    let message = format!("{}: server '{}' has no 'agent-port'", proxy.label(), server.name);
    let help = "add 'agent-port <port>': where the agent listens";
    cx.report(Diagnostic::alert(message).at(check.span).help(help));
}

/// The section that resolves the name must exist; SRV records have no other way to become addresses.
fn resolvers(cx: &mut Context<'_>, config: &Config, proxy: &Proxy, server: &Server) {
    let Some(wanted) = &server.options.names.resolvers else {
        if let Some(record) = server.srv_record() {
            let message = format!(
                "'server {}/{}' : no method found to resolve address '{record}'",
                proxy.name, server.name
            );
            let help = "'resolvers <id>' names the section whose nameservers know SRV records";
            cx.report(Diagnostic::alert(message).at(server.address.span).help(help));
        }
        return;
    };
    // It is made of /etc/resolv.conf when there is none.
    if config.resolvers.iter().any(|r| r.name.value == wanted.value) || wanted.value == "default" {
        return;
    }
    let message = format!(
        "{}, server '{}': unable to find required resolvers '{wanted}'",
        proxy.label(),
        server.name
    );
    let names = config.resolvers.iter().map(|r| r.name.value.as_str());
    let near = proxy_types::text::nearest(&wanted.value, names).map(str::to_owned);
    cx.report(Diagnostic::alert(message).at(wanted.span).did_you_mean(near.as_deref()));
}

/// A check of an IP server needs a port of its own or of the server.
fn check_port(cx: &mut Context<'_>, proxy: &Proxy, server: &Server) {
    let options = &server.options;
    let has_port = |port: PortSpec| matches!(port, PortSpec::Port(port) if port != 0);
    let reachable = !server.address.is_inet()
        || rules_have_ports(proxy)
        || server.srv_record().is_some()
        || options.check_port.is_some()
        || has_port(server.address.port())
        || options.check_addr.as_ref().is_some_and(|addr| has_port(addr.port()));
    if options.is_checked() && !reachable {
        let message = format!(
            "{}: server '{}' has neither service port nor check port",
            proxy.label(),
            server.name
        );
        let help = "add a port to the address or 'port <port>' for the checks";
        cx.report(Diagnostic::alert(message).at(server.address.span).help(help));
    }
}
